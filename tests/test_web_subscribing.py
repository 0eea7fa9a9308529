"""Signing up, confirming, choosing and leaving as a visitor meets them: over HTTP, on a real database, at any hour."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import AsyncIterator, Iterator
from datetime import date
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from publisher.config import Config
from publisher.render import Renderer
from publisher.store import articles, issues, subscribers
from publisher.store.database import Database
from publisher.store.tables import segments as segment_rows
from publisher.store.tables import subscribers as subscriber_rows
from publisher.subscriptions.values import Choice, FieldProblem
from publisher.tokens import Keyring, Pepper, Purpose
from publisher.web import Parts, routing
from publisher.web.chrome import Chrome
from publisher.web.forms import parsed
from publisher.web.polls import Clients
from publisher.web.preferences import pause_of
from tests.publications import load_publication
from tests.store.make import draft, dump, frozen, new, stored
from tests.subscriptions.town import KEY, MORE, SALT, Town

pytestmark = pytest.mark.anyio

SITE = "https://mail.ledger.example"


@pytest.fixture(scope="module")
def publication(tmp_path_factory: pytest.TempPathFactory) -> tuple[Config, Renderer]:
    """The configuration and its templates, read once."""
    config = load_publication(tmp_path_factory.mktemp("pages") / "home", {}, more=MORE)
    return config, Renderer.for_newsletter(config)


@pytest.fixture
def town(publication: tuple[Config, Renderer], tmp_path: Path) -> Iterator[Town]:
    """A desk over an empty database."""
    config, renderer = publication
    database = Database.open(data_dir=tmp_path)
    yield Town(config, database, Keyring([KEY]), Pepper(SALT), renderer)
    database.close()


def parts_of(town: Town, home: Path) -> Parts:
    """What the pages need of a service."""
    return Parts(
        config=town.config,
        database=town.database,
        renderer=town.renderer,
        keyring=town.keyring,
        desk=town.desk,
        data_dir=home,
        inbox=None,
        clock=lambda: town.now,
        readiness=dict,
    )


@pytest.fixture
async def client(town: Town, tmp_path: Path) -> AsyncIterator[httpx2.AsyncClient]:
    """A visitor of the public listener."""
    transport = httpx2.ASGITransport(app=routing.application(parts_of(town, tmp_path)), client=("203.0.113.7", 4711))
    async with httpx2.AsyncClient(
        transport=transport, base_url=SITE, headers={"Accept-Language": "en", "Sec-Fetch-Site": "same-origin"}
    ) as client:
        yield client


def fields(page: str, action: str = "") -> dict[str, list[str]]:
    """What the form with this action would send as it stands."""
    for form in re.findall(r"<form.*?</form>", page, re.DOTALL):
        if f'action="{action}' in form:
            found: dict[str, list[str]] = {}
            for tag in re.findall(r"<input[^>]*>", form):
                read = {name: unescape(value) for name, value in re.findall(r'([\w-]+)="([^"]*)"', tag)}
                if read.get("type") not in ("checkbox", "radio") or " checked" in tag:
                    found.setdefault(read["name"], []).append(read.get("value", ""))
            for name, options in re.findall(r'<select[^>]*name="([^"]+)"[^>]*>(.*?)</select>', form, re.DOTALL):
                found[name] = re.findall(r'<option value="([^"]*)"[^>]* selected', options) or [""]
            return found
    raise AssertionError(f"no form posts to {action}")


def heading(answer: httpx2.Response) -> tuple[int, str]:
    """The status of an answer and the heading of its page."""
    found = re.search(r"<h1[^>]*>(.*?)</h1>", answer.text, re.DOTALL)
    return answer.status_code, unescape(found[1]) if found else answer.text


async def filled(client: httpx2.AsyncClient, town: Town, **typed: Any) -> dict[str, Any]:
    """The sign-up form as somebody fills it in, in ten seconds."""
    form = fields((await client.get("/subscribe")).text, "/subscribe")
    town.passes(seconds=10)
    return {**form, "email": "ada@example.org", "newsletter": ["weekly"], **typed}


async def test_a_person_signs_up_confirms_and_is_subscribed(client: httpx2.AsyncClient, town: Town) -> None:
    """P4, P5."""
    form = await filled(client, town, **{"frequency.alerts": "daily"}, newsletter=["weekly", "alerts"])
    form["category.weekly"] = ["economy"]
    answer = await client.post("/subscribe?lang=en", data=form)
    assert heading(answer) == (200, "Look into your mailbox")
    assert town.states() == {"weekly": "pending", "alerts": "pending"}
    link = f"/c/{town.token(Purpose.CONFIRM)}"
    shown = await client.get(link)
    assert heading(shown) == (200, "Shall we write to you?")
    assert "a***@e***.org" in shown.text
    assert town.states() == {"weekly": "pending", "alerts": "pending"}
    for _ in range(2):
        assert heading(await client.post(link)) == (200, "You are subscribed")
    assert town.states() == {"weekly": "confirmed", "alerts": "confirmed"}


async def test_every_address_is_answered_alike(client: httpx2.AsyncClient, town: Town) -> None:
    """F6: known, unknown, unsubscribed and suppressed; the page differs in the address alone."""
    await town.reader("known@example.org")
    await town.reader("left@example.org")
    await town.desk.leave(town.mail_token("left@example.org"))
    told = []
    for address in ("known@example.org", "left@example.org", "stranger@example.org"):
        form = await filled(client, town, email=address)
        answer = await client.post("/subscribe?lang=en", data=form)
        told.append((answer.status_code, answer.text.replace(address, "ADDRESS"), sorted(answer.headers)))
    assert told[0] == told[1] == told[2]


@pytest.mark.parametrize(
    "trick", [{"remarks": "buy"}, {"stamp": ""}, {"stamp": "x" * 30}, {"stamp": "late"}, {"seconds": 1}]
)
async def test_a_program_is_answered_as_a_person_is_and_nothing_is_done(
    client: httpx2.AsyncClient, town: Town, trick: dict[str, Any]
) -> None:
    """F8: honeypot filled, no or a forged stamp, filled in within two seconds."""
    person = await client.post("/subscribe?lang=en", data=await filled(client, town, email="a@example.org"))
    form = await filled(client, town, email="b@example.org")
    if trick.pop("seconds", None):
        form["stamp"] = town.desk.stamp()
        town.passes(seconds=1)
    answer = await client.post("/subscribe?lang=en", data={**form, **trick})
    assert answer.text == person.text.replace("a@example.org", "b@example.org")
    assert town.states("b@example.org") == {}
    assert [kind for kind, _ in town.notices()] == ["sign-up"]


async def test_a_form_of_another_site_leads_to_ours_and_does_nothing(client: httpx2.AsyncClient, town: Town) -> None:
    """F8: the plain HTML form of docs/subscribers.md; the person sees what is offered and agrees here."""
    foreign = {"Sec-Fetch-Site": "cross-site", "Origin": "https://ledger.example"}
    typed = {"email": "ada@example.org", "newsletter": "alerts", "frequency.alerts": "daily"}
    answer = await client.post("/subscribe?lang=en", data=typed, headers=foreign)
    assert heading(answer) == (200, "Newsletters by e-mail")
    assert (town.states(), town.notices()) == ({}, [])
    town.passes(seconds=1.5)
    form = fields(answer.text, "/subscribe")
    assert (form["email"], form["newsletter"]) == (["ada@example.org"], ["alerts"])
    assert (form["frequency.alerts"], form["form"]) == (["daily"], ["embed:ledger.example"])
    assert heading(await client.post("/subscribe?lang=en", data=form)) == (200, "Look into your mailbox")
    assert town.states() == {"alerts": "pending"}


async def test_nothing_but_the_sign_up_and_leaving_takes_posts_of_other_sites(
    client: httpx2.AsyncClient, town: Town
) -> None:
    """F8: cross-site posts are refused by Sec-Fetch-Site, and by Origin where a browser is older."""
    await town.reader()
    less, whole = town.mail_token(), await town.fresh()
    paths = [
        "/preferences", "/c/x", f"/u/{less}/preferences", f"/u/{less}/pause", f"/u/{less}/link", f"/m/{whole}",
        f"/m/{whole}/pause", f"/m/{whole}/leave", f"/m/{whole}/address", f"/m/{whole}/erase", "/a/x",
    ]  # fmt: skip
    for headers in ({"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "", "Origin": "https://evil.example"}):
        assert {path: (await client.post(path, headers=headers)).status_code for path in paths} == dict.fromkeys(
            paths, 403
        )


async def test_an_older_browser_that_names_no_origin_can_use_our_forms(client: httpx2.AsyncClient, town: Town) -> None:
    """With `Referrer-Policy: no-referrer` a browser sends `Origin: null` for a form of our own."""
    del client.headers["Sec-Fetch-Site"]
    form = await filled(client, town)
    await client.post("/subscribe?lang=en", data=form, headers={"Origin": "null"})
    assert town.states() == {"weekly": "pending"}


@pytest.mark.parametrize(
    ("typed", "says", "described"),
    [
        ({"email": ""}, "Please write your e-mail address.", "email-problem email-hint"),
        ({"email": "ada@localhost"}, "This is no e-mail address.", "email-problem email-hint"),
        ({"newsletter": []}, "Please choose at least one newsletter.", "problems"),
        ({"newsletter": ["staff"]}, "This newsletter is not offered any more.", "problems"),
        ({"frequency.weekly": "secondly"}, "This is not offered.", ""),
        ({"category.weekly": []}, "Please keep at least one category", ""),
    ],
)
async def test_a_problem_is_told_beside_its_field(
    client: httpx2.AsyncClient, town: Town, typed: dict[str, Any], says: str, described: str
) -> None:
    """F1, F7, WCAG 3.3.1: in words, tied to the field, and what was typed stays."""
    form = await filled(client, town, **typed)
    answer = await client.post("/subscribe?lang=en", data=form)
    assert answer.status_code == 422
    assert says in unescape(answer.text)
    assert f'aria-describedby="{described}"' in answer.text or not described
    assert town.rows(subscriber_rows) == []


async def test_an_address_in_another_alphabet_is_an_address(client: httpx2.AsyncClient, town: Town) -> None:
    """F1: the page lets it through, which a browser's own check of `type="email"` does not; RFC 6531."""
    form = await filled(client, town, email="иван@почта.рф")
    page = (await client.get("/subscribe")).text
    assert 'type="text" name="email"' in page
    answer = await client.post("/subscribe?lang=en", data=form)
    assert heading(answer) == (200, "Look into your mailbox")
    [row] = town.rows(subscriber_rows)
    assert (row["address"], row["address_key"]) == ("иван@xn--80a1acny.xn--p1ai",) * 2
    wrong = await client.post("/subscribe?lang=en", data={**form, "email": "иван@почта"})
    assert wrong.status_code == 422


async def test_what_nobody_offered_is_ignored(client: httpx2.AsyncClient, town: Town) -> None:
    """F7: extra fields do nothing."""
    form = await filled(client, town, status="confirmed", is_admin="1", lists="hidden", again="1")
    await client.post("/subscribe?lang=en", data=form)
    assert town.states() == {"weekly": "pending"}


async def test_one_click_ends_the_subscription_of_the_mail_alone(client: httpx2.AsyncClient, town: Town) -> None:
    """F14, F17, RFC 8058: urlencoded, multipart, empty; no cookie, no redirect; the same a hundred times."""
    await town.reader("ada@example.org", "weekly", "alerts")
    path = f"/u/{town.mail_token()}"
    del client.headers["Sec-Fetch-Site"]
    bodies: list[dict[str, Any]] = [
        {"data": {"List-Unsubscribe": "One-Click"}},
        {"files": {"List-Unsubscribe": (None, "One-Click")}},
        {"data": {"List-Unsubscribe": "One-Click", "everything": "1", "x": "y"}},
        {},
    ]
    told = set()
    for body in [*bodies, *([bodies[0]] * 100)]:
        answer = await client.post(path, headers={"Sec-Fetch-Site": "cross-site"}, **body)
        told.add((answer.status_code, "set-cookie" in answer.headers))
    assert told == {(200, False)}
    assert town.states() == {"weekly": "unsubscribed", "alerts": "confirmed"}
    assert [event for _, event in town.events()].count("unsubscribed") == 1


async def test_everything_is_left_where_somebody_asks_for_it(client: httpx2.AsyncClient, town: Town) -> None:
    """F17: the mail's newsletter first, and all are offered."""
    await town.reader("ada@example.org", "weekly", "alerts")
    path = f"/u/{town.mail_token()}"
    done = await client.post(f"{path}?lang=en", data={})
    assert fields(done.text, path) == {"everything": ["1"]}
    await client.post(path, data={"everything": "1"})
    assert town.states() == {"weekly": "unsubscribed", "alerts": "unsubscribed"}
    assert heading(await client.get(path)) == (200, "You have left")


async def test_a_link_of_a_mail_shows_a_mask_and_allows_less_alone(client: httpx2.AsyncClient, town: Town) -> None:
    """F18: mails are forwarded."""
    await town.reader("ada@example.org", choices={"weekly": Choice(categories=("economy", "security"))})
    base = f"/u/{town.mail_token()}"
    page = (await client.get(f"{base}/preferences")).text
    assert ("ada@example.org" in page, "a***@e***.org" in page) == (False, True)
    form = fields(page, f"{base}/preferences")
    assert set(form) >= {"category.weekly", "shows.weekly"}
    assert set(form).isdisjoint({"first-language", "timezone", "format", "newsletter"})
    saved = await client.post(f"{base}/preferences?lang=en", data={**form, "category.weekly": ["economy"]})
    assert "Saved." in saved.text
    more = {**form, "category.weekly": ["economy", "security"]}
    assert heading(await client.post(f"{base}/preferences?lang=en", data=more)) == (403, "This needs a fresh link")
    assert heading(await client.post(f"{base}/link?lang=en")) == (200, "Look into your mailbox")
    whole = town.token(Purpose.MANAGE)
    assert "ada@example.org" in (await client.get(f"/m/{whole}")).text
    assert heading(await client.post(f"/m/{whole}?lang=en", data=more)) == (200, "Your settings")
    held = (await town.desk.preferences(whole)).held  # type: ignore[union-attr]  # the test would fail right here
    assert held[0].choice.categories is None  # whoever ticks everything wants what comes in future too


async def test_a_fresh_link_changes_everything_at_once(client: httpx2.AsyncClient, town: Town) -> None:
    """Issue 5, 2: categories, frequency, hour, zone, languages, format, another newsletter."""
    await town.reader()
    base = f"/m/{await town.fresh()}"
    form = fields((await client.get(base)).text, base)
    form |= {
        "category.weekly": ["security"],
        "content.weekly": ["full"],
        "newsletter": ["alerts"],
        "frequency.alerts": ["daily"],
        "first-language": ["ru"],
        "language": ["en"],
        "timezone": ["Asia/Tokyo"],
        "format": ["text"],
    }
    answer = await client.post(f"{base}?lang=en", data=form)
    assert (answer.status_code, "Saved." in answer.text) == (200, True)
    assert "Nothing was changed." in (await client.post(f"{base}?lang=en", data=form | {"newsletter": []})).text
    now = await town.desk.preferences(base[3:])
    assert now is not None
    assert (now.languages, now.timezone, now.format) == (("ru", "en"), "Asia/Tokyo", "text")
    assert {one.newsletter: (one.choice.frequency, one.choice.categories, one.choice.content) for one in now.held} == {
        "weekly": ("weekly", ("security",), "full"),
        "alerts": ("daily", None, "summary"),
    }


async def test_a_pause_has_a_first_and_a_last_day(client: httpx2.AsyncClient, town: Town) -> None:
    """Issue 5, 2: by one press or until a day; what is no day is told."""
    await town.reader()
    base = f"/m/{await town.fresh()}"
    typed = [{"days": "14"}, {"resume": "1"}, {"until": "2027-01-31"}, {"until": "yesterday"}, {"until": "2020-01-01"}]
    told = []
    for one in typed:
        answer = await client.post(f"{base}/pause?lang=en", data={"newsletter": "weekly", **one})
        told.append((answer.status_code, "Paused until" in answer.text))
    assert told == [(200, True), (200, False), (200, True), (422, True), (422, True)]


async def test_a_new_address_counts_once_its_owner_pressed_the_button(client: httpx2.AsyncClient, town: Town) -> None:
    """Issue 5, 2."""
    await town.reader()
    base = f"/m/{await town.fresh()}"
    wrong = await client.post(f"{base}/address?lang=en", data={"email": "nonsense"})
    assert (wrong.status_code, 'aria-invalid="true"' in wrong.text) == (422, True)
    asked = await client.post(f"{base}/address?lang=en", data={"email": "ada@new.example"})
    assert heading(asked) == (200, "Look into your new mailbox")
    path = f"/a/{town.token(Purpose.ADDRESS)}"
    assert heading(await client.get(path)) == (200, "Shall we write to this address?")
    assert town.states("ada@new.example") == {}
    assert heading(await client.post(path)) == (200, "Your address is changed")
    assert town.states("ada@new.example") == {"weekly": "confirmed"}


async def test_my_data_is_shown_given_and_erased(client: httpx2.AsyncClient, town: Town) -> None:
    """Issue 5, 4: by the person, with a box to tick first."""
    await town.reader()
    base = f"/m/{await town.fresh()}"
    assert "ada@example.org" in unescape((await client.get(f"{base}/data")).text)
    file = await client.get(f"{base}/data.json")
    assert (file.headers["content-disposition"], "ada@example.org" in file.text) == (
        'attachment; filename="my-data.json"',
        True,
    )
    assert (await client.post(f"{base}/erase", data={})).status_code == 422
    assert heading(await client.post(f"{base}/erase?lang=en", data={"sure": "1"})) == (200, "You are forgotten")
    assert heading(await client.get(f"{base}?lang=en")) == (404, "This link does not work")
    assert town.states() == {}


@pytest.mark.parametrize("prefix", ["/c/", "/u/", "/m/", "/a/"])
async def test_every_wrong_token_gets_the_same_page(client: httpx2.AsyncClient, town: Town, prefix: str) -> None:
    """F12: truncated, flipped, of another purpose, NUL, of another ring, very long, of what does not exist."""
    await town.reader()
    right = {"/u/": town.mail_token(), "/m/": await town.fresh(), "/c/": town.token(Purpose.CONFIRM)}
    token = right.get(prefix, right["/u/"])
    foreign = Keyring([b"z" * 32])
    wrong = [
        token[:-1], token[:-1] + ("A" if token[-1] != "A" else "B"), "%00" + token, "x" * 4000, "é",
        foreign.token(Purpose.MANAGE, 1), town.keyring.token(Purpose.FORM, 1), town.keyring.token(Purpose.CONFIRM, 99),
        *(other for place, other in right.items() if place != prefix),
    ]  # fmt: skip
    told = {
        (answer.status_code, answer.headers["cache-control"], re.sub(r'href="[^"]*\?lang=ru"', "", answer.text))
        for bad in wrong
        for answer in (await client.get(f"{prefix}{bad}?lang=en"), await client.post(f"{prefix}{bad}?lang=en"))
    }
    assert len(told) == 1
    assert next(iter(told))[0] == 404


async def test_links_stay_after_their_keys_were_rotated(client: httpx2.AsyncClient, town: Town) -> None:
    """F13: a mail of three years ago."""
    await town.reader()
    path = f"/u/{town.mail_token()}"
    town.keyring._keys = (b"n" * 32, *town.keyring._keys)
    town.passes(days=3 * 365)
    assert heading(await client.post(f"{path}?lang=en")) == (200, "You have left")


@pytest.mark.parametrize("path", ["/u/trial", "/u/trial/preferences"])
async def test_a_link_of_a_trial_mail_says_that_it_is_nobody_s(client: httpx2.AsyncClient, path: str) -> None:
    """K17: every link of a test mail and of a preview leads somewhere, and changes nothing."""
    assert heading(await client.get(f"{path}?lang=en")) == (200, "This mail was a trial")
    assert heading(await client.get(f"{path}?lang=ru")) == (200, "Это письмо было пробным")


@pytest.mark.parametrize(
    ("days", "acts", "title"),
    [
        (4, "", "This link is too old"),
        (0, "leave", "You have left"),
        (0, "erase", "This link does not work"),
    ],
)
async def test_a_confirm_link_says_what_became_of_it(
    client: httpx2.AsyncClient, town: Town, days: int, acts: str, title: str
) -> None:
    """F11: after expiry a new mail is offered, after leaving it explains, after erasing it is neutral."""
    await town.sign_up()
    path = f"/c/{town.token(Purpose.CONFIRM)}"
    if acts:
        await client.post(path)
        base = f"/m/{await town.fresh()}"
        sent = {"leave": {"everything": "1"}, "erase": {"sure": "1"}}[acts]
        assert (await client.post(f"{base}/{acts}", data=sent)).status_code == 200
    town.passes(days=days)
    for answer in (await client.get(f"{path}?lang=en"), await client.post(f"{path}?lang=en")):
        assert heading(answer)[1] == title
    if days:
        assert heading(await client.post(f"{path}/renew?lang=en")) == (200, "Look into your mailbox")
        assert town.token(Purpose.CONFIRM) != path[3:]


async def test_whoever_was_suppressed_confirms_once_more_in_so_many_words(
    client: httpx2.AsyncClient, town: Town
) -> None:
    """F20."""
    await town.sign_up()
    town.database.write(
        lambda conn: subscribers.suppress(conn, "ada@example.org", reason="spam", kind="complaint", now=town.now)
    )
    path = f"/c/{town.token(Purpose.CONFIRM)}"
    shown = await client.post(f"{path}?lang=en")
    assert (heading(shown), town.states()) == ((200, "Shall we write to you again?"), {"weekly": "pending"})
    assert heading(await client.post(f"{path}?lang=en", data=fields(shown.text, path))) == (200, "You are subscribed")


async def test_too_many_asks_are_told_to_wait(client: httpx2.AsyncClient, town: Town) -> None:
    """F4: 429 with the seconds to wait, which says nothing of any address."""
    answers = []
    for number in range(town.config.sign_up.requests_per_hour + 1):
        form = await filled(client, town, email=f"a{number}@example.org")
        answers.append(await client.post("/subscribe?lang=en", data=form))
    assert heading(answers[-2])[0] == 200
    assert heading(answers[-1]) == (429, "Please try again later")
    assert int(answers[-1].headers["retry-after"]) > 0


async def test_a_network_of_ipv6_is_one_client_and_many_networks_meet_the_limit_of_all(
    publication: tuple[Config, Renderer], tmp_path: Path
) -> None:
    """F4: addresses of one /64 share its limit; a thousand /64 meet the breaker; each person is told when to come."""
    config, renderer = publication
    few = config.model_copy(update={"sign_up": config.sign_up.model_copy(update={"mails_per_hour": 60})})
    with Database.open(data_dir=tmp_path) as database:
        town = Town(few, database, Keyring([KEY]), Pepper(SALT), renderer)
        pages_of = routing.application(parts_of(town, tmp_path))

        async def ask(address: str, number: int) -> int:
            async with httpx2.AsyncClient(
                transport=httpx2.ASGITransport(app=pages_of, client=(address, 1)),
                base_url=SITE,
                headers={"Sec-Fetch-Site": "same-origin"},
            ) as client:
                form = await filled(client, town, email=f"r{number}@example.org")
                return (await client.post("/subscribe?lang=en", data=form)).status_code

        most = few.sign_up.requests_per_hour
        same = [await ask(f"2001:db8:1:2::{number:x}", number) for number in range(1, most + 3)]
        assert same == [200] * most + [429] * 2
        other = [await ask(f"2001:db8:1:{number:x}::1", number) for number in range(1000, 1060)]
        assert other == [200] * (60 - most) + [429] * most
        assert len(town.rows(subscriber_rows)) == 60


async def test_a_form_that_lay_open_overnight_is_shown_again(client: httpx2.AsyncClient, town: Town) -> None:
    form = await filled(client, town)
    town.passes(days=2)
    answer = await client.post("/subscribe?lang=en", data=form)
    assert (heading(answer), town.states()) == ((200, "Newsletters by e-mail"), {})
    town.passes(seconds=10)
    await client.post("/subscribe?lang=en", data=fields(answer.text, "/subscribe"))
    assert town.states() == {"weekly": "pending"}


async def test_a_link_is_asked_for_with_the_address_alone(client: httpx2.AsyncClient, town: Town) -> None:
    """Issue 5: preferences without an old mail in hand; the same answer for a stranger (F6)."""
    await town.reader()
    told = []
    for address in ("ada@example.org", "eve@example.org"):
        form = fields((await client.get("/preferences")).text, "/preferences")
        town.passes(seconds=10)
        answer = await client.post("/preferences?lang=en", data=form | {"email": [address]})
        told.append((answer.status_code, answer.text.replace(address, "ADDRESS")))
    assert told[0] == told[1]
    assert [kind for kind, _ in town.notices()].count("link") == 1


async def addresses(town: Town) -> list[str]:
    """Every address of a person's business, with tokens that work."""
    await town.reader("ada@example.org", "weekly", "alerts")
    await town.sign_up("new@example.org")
    waiting = town.token(Purpose.CONFIRM)
    whole = await town.fresh()
    await town.desk.ask_address(whole, "ada@new.example", client=None)
    less, moving = town.mail_token(), town.token(Purpose.ADDRESS)
    known: dict[str, str] = {"/c": waiting, "/u": less, "/m": whole, "/a": moving}
    paths = [route.path for route in routing._of_persons(parts_of(town, town.config.data_dir), Clients())]
    return sorted({path.replace("{token}", known.get(path[:2], "")) for path in paths})


async def test_reading_changes_nothing_whatever_token_it_carries(
    client: httpx2.AsyncClient, town: Town, tmp_path: Path
) -> None:
    """F9, P5: GET, HEAD and OPTIONS of every route there is, as link scanners and prefetching browsers ask."""
    paths = await addresses(town)
    assert len(paths) == 16
    [number] = stored(town.database, new(draft("storm.md", title="A storm", slug="storm", categories=("economy",))))
    frozen(town.database, [1], newsletter="weekly", article_ids=[number])
    town.database.write(lambda conn: conn.execute(segment_rows.update().values(is_web=True)))
    [article] = town.database.read(lambda conn: articles.for_feed(conn, limit=9))
    [ref] = town.database.read(lambda conn: [issue.ref for issue in issues.listing(conn, limit=9)])
    known = {
        "/articles": (article.ref, article.slug),
        "/issues": (ref,),
        "/feeds": ("all",),
        "/categories": ("economy",),
    }
    known["/newsletters"] = ("weekly",)
    others = set()
    for route in routing.routes_of(Chrome(parts_of(town, tmp_path)), Clients()):
        path = route.path.replace("{token}", "T")
        for value in known.get("/" + path.split("/")[1], ()):
            path = re.sub(r"{\w+}", value, path, count=1)
        others.add(path)
    others = {path for path in others if "/T" not in path} - set(paths)
    before = dump(town.database)
    statuses = {}
    for path in [*paths, *others, "/feeds/all.atom", "/nothing"]:
        for method in ("GET", "HEAD", "OPTIONS"):
            headers = {"Sec-Purpose": "prefetch", "Sec-Fetch-Site": "none"}
            statuses[path, method] = (await client.request(method, path, headers=headers)).status_code
    assert dump(town.database) == before
    shown = [path for path in paths if statuses[path, "GET"] == 200]
    allowed = {status for (path, method), status in statuses.items() if method == "OPTIONS" and path in paths}
    assert allowed == {405}
    seen = {path: statuses[path, "GET"] for path in others}
    assert {status for path, status in seen.items() if path != "/readyz"} == {200, 301, 308}
    assert len([status for status in seen.values() if status == 200]) >= 12
    assert len(shown) == 9  # every page that shows something; the others take posts alone
    assert {status for (path, method), status in statuses.items() if path in paths and method == "GET"} == {200, 405}


async def test_no_page_acts_by_itself(client: httpx2.AsyncClient, town: Town) -> None:
    """F10: no script, no refresh, no form that a browser sends without a press; whatever acts is a button of a POST."""
    buttons = 0
    for path in await addresses(town):
        answer = await client.get(path)
        if answer.status_code != 200 or path.endswith(".json"):
            continue
        assert not re.search(r"<script|http-equiv|<meta[^>]*refresh|<iframe|<object|<embed|onload", answer.text)
        assert "refresh" not in answer.headers
        methods = re.findall(r"<form([^>]*)>", answer.text)
        assert [one for one in methods if 'method="post"' not in one] == []
        assert not re.search(
            r"<(?:a|img|link)[^>]*(?:href|src)=\"[^\"]*/(?:erase|leave|pause|renew|address)\b", answer.text
        )
        buttons += answer.text.count("<button")
    assert buttons > 12


async def test_each_address_names_the_methods_that_it_takes(client: httpx2.AsyncClient, town: Town) -> None:
    """The matrix of routes and methods: what is not named is refused and says what is."""
    matrix = {}
    for path in await addresses(town):
        named = {(await client.request("PUT", path)).headers["allow"]}
        for method in ("DELETE", "PATCH", "TRACE", "OPTIONS"):
            answer = await client.request(method, path)
            assert answer.status_code == 405, (method, path)
            named.add(answer.headers["allow"])
        (matrix[re.sub(r"[\w-]{23,}", "T", path)],) = named
    both, shows, acts = "GET, HEAD, POST", "GET, HEAD", "POST"
    assert matrix == {
        "/subscribe": both,
        "/preferences": both,
        "/c/T": both,
        "/c/T/renew": acts,
        "/a/T": both,
        "/u/T": both,
        "/u/T/preferences": both,
        "/u/T/pause": acts,
        "/u/T/link": acts,
        "/m/T": both,
        "/m/T/pause": acts,
        "/m/T/leave": acts,
        "/m/T/address": acts,
        "/m/T/data": shows,
        "/m/T/data.json": shows,
        "/m/T/erase": acts,
    }


async def test_pages_with_a_token_are_kept_listed_and_told_by_nobody(client: httpx2.AsyncClient, town: Town) -> None:
    """F19, F21, spec delivery §8: no cache, no index, no referrer, no frame, no script, nothing from elsewhere."""
    for path in await addresses(town):
        if path in ("/subscribe", "/preferences"):
            continue
        answer = await client.get(path)
        assert answer.headers["referrer-policy"] == "no-referrer"
        policy = answer.headers["content-security-policy"]
        assert "frame-ancestors 'none'" in policy
        assert "script" not in policy
        assert "unsafe" not in policy
        if answer.status_code != 200 or path.endswith(".json"):
            continue
        assert (answer.headers["cache-control"], answer.headers["x-robots-tag"]) == ("no-store", "noindex")
        assert not re.search(r"<script|<style|style=|\son\w+=|<iframe", answer.text)
        elsewhere = re.findall(r'(?:src|href|action)="(https?://[^"]+)"', answer.text)
        assert [one for one in elsewhere if not one.startswith((SITE, "https://ledger.example"))] == []
    robots = (await client.get("/robots.txt")).text
    assert {f"Disallow: /{letter}/" for letter in "ucma"} <= set(robots.splitlines())


async def test_no_log_tells_a_token_or_an_address(
    client: httpx2.AsyncClient, town: Town, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """F19."""
    paths = await addresses(town)
    for path in paths:
        await client.get(path)
        await client.post(path, data={"email": "ada@example.org"})
    told = "".join(capsys.readouterr()) + caplog.text
    tokens = {part for path in paths for part in path.split("/") if len(part) > 22}
    assert [secret for secret in (*tokens, "ada@example.org") if secret in told] == []


@pytest.mark.parametrize("size", [64 * 1024 + 1, 10_000_000])
async def test_a_body_larger_than_any_form_is_not_read(client: httpx2.AsyncClient, town: Town, size: int) -> None:
    """F12: announced or not."""
    before = dump(town.database)
    for headers in ({"Content-Length": str(size)}, {}):
        answer = await client.post("/subscribe?lang=en", content=b"x" * size, headers=headers)
        assert heading(answer) == (413, "That is not possible here")
    assert (await client.post("/subscribe", content=b"a=1&" * 1001)).status_code == 400
    assert dump(town.database) == before


async def test_leaving_says_done_only_when_it_is_written_down(
    client: httpx2.AsyncClient, town: Town, tmp_path: Path
) -> None:
    """F15, P6: locked by another writer: 503 and Retry-After; done as soon as it can be."""
    await town.reader()
    path = f"/u/{town.mail_token()}"
    town.database.write(lambda conn: conn.exec_driver_sql("PRAGMA busy_timeout = 50"))
    other = sqlite3.connect(tmp_path / "publisher.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    refused = await client.post(f"{path}?lang=en", data={"List-Unsubscribe": "One-Click"})
    assert (heading(refused), refused.headers["retry-after"]) == ((503, "Please try again later"), "30")
    assert town.states() == {"weekly": "confirmed"}
    other.execute("ROLLBACK")
    other.close()
    assert heading(await client.post(f"{path}?lang=en"))[0] == 200
    assert town.states() == {"weekly": "unsubscribed"}


async def test_a_database_that_takes_nothing_is_no_success(client: httpx2.AsyncClient, town: Town) -> None:
    """F15: read-only; pages still show."""
    await town.reader()
    path = f"/u/{town.mail_token()}"
    town.database.write(lambda conn: conn.exec_driver_sql("PRAGMA query_only = ON"))
    assert (await client.post(path)).status_code == 503
    assert (await client.get(path)).status_code == 200


@given(st.binary(max_size=300))
def test_any_body_is_a_form(body: bytes) -> None:
    form = parsed(body)  # no body of this size holds more fields than a form may have
    assert all("\0" not in value for values in form.fields.values() for value in values)
    assert all(form.one(name) == form.all(name)[0].strip() for name in form.fields)


@given(st.dictionaries(st.sampled_from(["email", "hour.weekly", "é&=", ""]), st.text(max_size=20), max_size=4))
def test_a_form_is_read_back_as_it_was_typed(typed: dict[str, str]) -> None:
    sendable = {name: value.encode("utf-8", "replace").decode() for name, value in typed.items()}
    read = parsed(urlencode(sendable).encode())
    assert {name: values[0] for name, values in read.fields.items()} == {
        name: value.replace("\0", "\N{REPLACEMENT CHARACTER}") for name, value in sendable.items()
    }


@given(
    st.one_of(
        st.sampled_from(["14", "31", "92", "", "15"]).map(lambda days: {"days": days}),
        st.text(max_size=12).map(lambda day: {"until": day}),
        st.dates().map(lambda day: {"until": day.isoformat()}),
    )
)
def test_a_pause_is_a_day_or_a_problem(typed: dict[str, str]) -> None:
    found = pause_of(parsed(urlencode(typed, errors="replace").encode()), date(2026, 11, 23))
    assert isinstance(found, date) or found == FieldProblem("pause", "invalid")
