"""Pages as a visitor meets them: over HTTP against the real app, on a real database."""

from __future__ import annotations

import asyncio
import json
import re
import socket
from collections.abc import AsyncIterator
from dataclasses import replace
from html import unescape
from pathlib import Path
from typing import Any

import httpx2
import pytest
import sqlalchemy as sa
import uvicorn
from starlette.types import ASGIApp

from publisher.app import App
from publisher.model import SubscriptionState
from publisher.service import Service
from publisher.store import subscribers, tables
from publisher.web import routing
from tests.publications import load_publication, write_article

pytestmark = pytest.mark.anyio


@pytest.fixture
async def app(tmp_path: Path) -> AsyncIterator[App]:
    """A publication whose weekly issue went out to two readers."""
    async with await App.open(load_publication(tmp_path)) as app:
        rows = [
            {"email": "anna@reader.example", "languages": "en", "consent": "form"},
            {"email": "boris@reader.example", "languages": "ru", "consent": "form"},
        ]
        await app.import_subscribers(rows)
        await app.publishing.collect()
        await app.dispatching.dispatch("weekly")
        await app.sending.send()
        yield app


def client_of(application: ASGIApp) -> httpx2.AsyncClient:
    return httpx2.AsyncClient(transport=httpx2.ASGITransport(app=application), base_url="http://here")


@pytest.fixture
async def client(app: App) -> AsyncIterator[httpx2.AsyncClient]:
    """A visitor of the public listener."""
    async with client_of(routing.application(Service(app).parts)) as client:
        yield client


def links(page: str) -> list[str]:
    """Every address that a page links to, in order."""
    return [unescape(found) for found in re.findall(r'(?:href|src)="([^"]+)"', page)]


async def test_home_shows_each_story_once_in_the_language_of_the_visitor(client: httpx2.AsyncClient) -> None:
    english = (await client.get("/", headers={"Accept-Language": "en-GB,en;q=0.9"})).text
    assert ("A good harvest" in english, "Хороший урожай" in english) == (True, False)
    russian = (await client.get("/", headers={"Accept-Language": "ru-BY"})).text
    assert ("A good harvest" in russian, "Хороший урожай" in russian) == (False, True)
    assert '<html lang="ru" dir="ltr">' in russian
    assert "Последние статьи" in russian
    assert "The border is quiet" in russian  # it exists in English only


async def test_every_page_announces_the_feeds_in_three_formats(client: httpx2.AsyncClient) -> None:
    """FR-D1: the site's feed first, absolute addresses, distinct titles."""
    for path in ("/", "/feeds/", "/categories/economy", "/newsletters/", "/newsletters/weekly"):
        page = (await client.get(path)).text
        found = re.findall(r'<link rel="alternate" type="([^"]+)" title="([^"]+)" href="([^"]+)">', page)
        assert found[:3] == [
            ("application/rss+xml", "The Ledger (RSS)", "https://mail.ledger.example/feeds/all.rss"),
            ("application/atom+xml", "The Ledger (Atom)", "https://mail.ledger.example/feeds/all.atom"),
            ("application/feed+json", "The Ledger (JSON)", "https://mail.ledger.example/feeds/all.json"),
        ]
        assert len({title for _, title, _ in found}) == len(found)


async def test_no_link_of_any_page_is_dead(client: httpx2.AsyncClient) -> None:
    """Every address of ours that a page names, and those pages name, answers."""
    seen: set[str] = set()
    waiting = ["/"]
    while waiting:
        path = waiting.pop()
        if path in seen:
            continue
        seen.add(path)
        answer = await client.get(path)
        assert answer.status_code == 200, path
        if answer.headers["content-type"].startswith("text/html"):
            local = [link.removeprefix("https://mail.ledger.example") for link in links(answer.text)]
            waiting += [link.partition("#")[0] for link in local if link.startswith("/")]
    assert any(path.startswith("/issues/") for path in seen)
    assert any(path.startswith("/articles/") for path in seen)
    assert {"/feeds/all.rss", "/feeds/economy.atom", "/feeds/language-ru.json"} <= seen


async def test_the_feeds_page_counts_what_each_feed_holds(client: httpx2.AsyncClient) -> None:
    page = (await client.get("/feeds/")).text
    rows = re.findall(r'<th scope="row">(.*?)</th>\s*<td class="number">(\d+)</td><td class="date">(.*?)</td>', page)
    assert [(re.sub("<.*?>", "", name), int(count), newest) for name, count, newest in rows] == [
        ("All articles", 3, "20 November 2026"),
        ("Economy", 2, "20 November 2026"),
        ("Security", 1, "19 November 2026"),
        ("English", 2, "20 November 2026"),
        ("Русский", 1, "20 November 2026"),
        ("The week", 1, rows[-1][2]),
    ]


async def test_an_article_without_an_address_of_its_own_has_a_page(client: httpx2.AsyncClient) -> None:
    home = (await client.get("/?lang=en")).text
    address = next(link for link in links(home) if "/articles/" in link and link.endswith("harvest"))
    answer = await client.get(address.removeprefix("https://mail.ledger.example"))
    assert "<strong>doubled</strong>" in answer.text
    assert "Improved" in answer.text
    assert "Хороший урожай" in answer.text  # its translation is linked
    short = "/".join(address.removeprefix("https://mail.ledger.example").split("/")[:3])
    moved = await client.get(short + "/old-slug")
    assert (moved.status_code, moved.headers["location"]) == (301, address)


async def test_an_article_taken_from_elsewhere_leads_there(app: App, client: httpx2.AsyncClient) -> None:
    """FR-R14, FR-A8: from the file to the page and the feeds."""
    text = "---\ntitle: A flood\ndate: 2026-11-21 09:00\nsource: The <Courier> & Co <https://courier.example/>\n---\nWater."
    write_article(app.config.data_dir.parent, "flood.md", text)
    await app.publishing.collect()
    home = (await client.get("/?lang=ru")).text
    path = next(link for link in links(home) if link.endswith("flood")).removeprefix("https://mail.ledger.example")
    assert (
        'Впервые опубликовано: <a href="https://courier.example/" dir="auto">The &lt;Courier&gt; &amp; Co</a>'
        in (await client.get(f"{path}?lang=ru")).text
    )
    feed = (app.config.data_dir / "site" / "feeds" / "all.rss").read_text(encoding="utf-8")
    assert '<source url="https://courier.example/">The &lt;Courier&gt; &amp; Co</source>' in feed


async def test_an_article_says_its_license_and_where_it_is_discussed_and_is_linked_by_an_address_that_stays(
    app: App, client: httpx2.AsyncClient
) -> None:
    """FR-A6: from the file to the page and the feeds; the address of a related article leads to its page."""
    stated = "license: CC BY-SA 4.0\ndiscussion: https://forum.example/t/1?a=1&b=2\nrelated: harvest.md\n"
    write_article(app.config.data_dir.parent, "flood.md", f"---\ntitle: A flood\ndate: 2026-11-21\n{stated}---\nWater.")
    await app.publishing.collect()
    home = (await client.get("/?lang=ru")).text
    path = next(link for link in links(home) if link.endswith("flood")).removeprefix("https://mail.ledger.example")
    page = (await client.get(f"{path}?lang=ru")).text
    assert '<a href="https://forum.example/t/1?a=1&amp;b=2">Обсудить статью</a>' in page
    license_ = "https://creativecommons.org/licenses/by-sa/4.0/"
    assert f'Лицензия: <a rel="license" href="{license_}" dir="ltr">CC BY-SA 4.0</a>' in page
    (item,) = (i for i in json.loads(feed(app, "all.json"))["items"] if i["title"] == "A flood")
    own = item["_publisher"]
    assert (own["license"], own["discussion_url"]) == (license_, "https://forum.example/t/1?a=1&b=2")
    (related,) = own["related"]
    answer = await client.get(related.removeprefix("https://mail.ledger.example"))
    assert (answer.status_code, answer.headers["location"].rpartition("/")[2]) == (301, "harvest")


def feed(app: App, name: str) -> bytes:
    return (app.config.data_dir / "site" / "feeds" / name).read_bytes()


async def test_the_page_of_an_issue_holds_nobody_s_link_or_name(app: App, client: httpx2.AsyncClient) -> None:
    """L6: rendered from a neutral context."""
    archive = (await client.get("/newsletters/weekly?lang=en")).text
    address = next(link for link in links(archive) if "/issues/" in link)
    page = (await client.get(address.removeprefix("https://mail.ledger.example"))).text
    assert "A good harvest" in page
    assert "/u/" not in page
    for secret in ("anna", "boris", "reader.example", *(app.shared.keyring.unsubscribe_token(n) for n in (1, 2))):
        assert secret not in page


@pytest.mark.parametrize(
    ("condition", "status"),
    [("planned", 404), ("held", 404), ("cancelled", 404), ("sending", 200), ("paused", 200), ("sent", 200)],
)
async def test_an_issue_has_a_page_from_when_it_is_sent_and_none_when_it_is_cancelled(
    app: App, client: httpx2.AsyncClient, condition: str, status: int
) -> None:
    """L5."""
    [ref] = app.database.read(lambda conn: conn.exec_driver_sql("SELECT ref FROM issues").scalars().all())
    app.database.write(lambda conn: conn.exec_driver_sql("UPDATE issues SET state = ?", (condition,)))
    assert (await client.get(f"/issues/{ref}")).status_code == status
    listed = f"/issues/{ref}" in (await client.get("/newsletters/weekly?lang=en")).text
    assert listed is (condition in ("sending", "sent"))


async def test_every_issue_is_reached_from_the_page_of_its_newsletter_however_many_there_are(
    app: App, client: httpx2.AsyncClient
) -> None:
    """Issue 6: two hundred more weeks; who asks for what is older than nothing is told so."""
    app.database.write(_two_hundred_more)
    newest_first = "SELECT ref FROM issues ORDER BY id DESC"
    refs = app.database.read(lambda conn: conn.exec_driver_sql(newest_first).scalars().all())
    assert len(refs) == 201
    met: list[str] = []
    address = "/newsletters/weekly?lang=en"
    while address and len(met) <= len(refs):
        page = (await client.get(address)).text
        met += re.findall(r'<h3><a href="[^"]+/issues/([0-9a-f]+)\?', page)
        older = re.search(r'<a rel="next" href="https://mail\.ledger\.example([^"]+)">Older issues</a>', page)
        address = unescape(older[1]) if older else ""
    assert met == list(refs)
    for nothing in (refs[-1], "none", "' OR 1=1"):
        assert (await client.get("/newsletters/weekly", params={"lang": "en", "before": nothing})).status_code == 404


def _two_hundred_more(conn: Any) -> None:
    issue = conn.execute(sa.select(tables.issues)).mappings().one()
    segments = conn.execute(sa.select(tables.segments)).mappings().all()
    for number in range(200):
        again = {"id": issue["id"] + 1 + number, "ref": f"{number:012x}", "slot": f"2030-01-01T{number:05}"}
        conn.execute(sa.insert(tables.issues).values({**issue, **again}))
        for segment in segments:
            kept = {name: value for name, value in segment.items() if name != "id"}
            conn.execute(sa.insert(tables.segments).values({**kept, "issue_id": again["id"]}))


async def test_all_newsletters_stand_on_one_page_with_the_way_to_each(app: App, client: httpx2.AsyncClient) -> None:
    """Issue 5: what each is, its latest issue, past ones, the sign-up; without the slash a visitor is led there."""
    [ref] = app.database.read(lambda conn: conn.exec_driver_sql("SELECT ref FROM issues").scalars().all())
    site = "https://mail.ledger.example"
    page = (await client.get("/newsletters/?lang=en")).text
    assert re.findall(r'<h2><a href="([^"]+)">([^<]+)</a></h2>', page) == [
        (f"{site}/newsletters/{one.slug}?lang=en", one.title if isinstance(one.title, str) else one.title["en"])
        for one in app.config.newsletters
    ]
    assert links(page)[-5:-2] == [
        "/subscribe?lang=en&newsletter=weekly",
        f"{site}/newsletters/weekly?lang=en",
        f"{site}/issues/{ref}?lang=en",
    ]
    led = await client.get("/newsletters")
    assert (led.status_code, led.headers["location"]) == (308, "/newsletters/")
    assert f"{site}/newsletters/?lang=en" in links((await client.get("/newsletters/weekly?lang=en")).text)


async def test_a_newsletter_s_former_address_leads_to_its_present_one(app: App) -> None:
    """Links in old mail and on other sites outlive a new name."""
    named = [one.model_copy(update={"former": ("old-weekly",)}) for one in app.config.newsletters]
    parts = replace(Service(app).parts, config=app.config.model_copy(update={"newsletters": tuple(named)}))
    async with client_of(routing.application(parts)) as visitor:
        led = await visitor.get("/newsletters/old-weekly?lang=en")
        assert led.status_code == 301
        assert led.headers["location"] == "https://mail.ledger.example/newsletters/weekly?lang=en"
        assert (await visitor.get("/newsletters/other")).status_code == 404


async def test_search_engines_are_asked_to_leave_issues_out_where_a_newsletter_wants_it(
    app: App, client: httpx2.AsyncClient
) -> None:
    [ref] = app.database.read(lambda conn: conn.exec_driver_sql("SELECT ref FROM issues").scalars().all())
    assert "x-robots-tag" not in (await client.get(f"/issues/{ref}")).headers
    private = [newsletter.model_copy(update={"noindex": True}) for newsletter in app.config.newsletters]
    config = app.config.model_copy(update={"newsletters": tuple(private)})
    parts = replace(Service(app).parts, config=config)
    async with client_of(routing.application(parts)) as other:
        assert (await other.get(f"/issues/{ref}")).headers["x-robots-tag"] == "noindex"
        assert '<meta name="robots" content="noindex">' in (await other.get("/newsletters/weekly?lang=en")).text


async def test_what_is_not_there_is_a_404_in_the_visitor_s_language(client: httpx2.AsyncClient) -> None:
    """L5: an issue's address cannot be guessed, and a wrong one tells nothing."""
    for path in ("/nothing", "/issues/000000000000", "/articles/000000000000/x", "/categories/x", "/newsletters/x"):
        answer = await client.get(path, headers={"Accept-Language": "ru"})
        assert (answer.status_code, "Не найдено" in answer.text) == (404, True), path


async def test_opening_an_unsubscribe_link_changes_nothing(app: App, client: httpx2.AsyncClient) -> None:
    """P5, F9: only a post does."""
    path = f"/u/{app.shared.keyring.unsubscribe_token(1)}"
    for method in ("GET", "HEAD", "OPTIONS"):
        await client.request(method, path)
    assert state(app, 1) is SubscriptionState.CONFIRMED
    page = await client.get(path)
    assert 'method="post"' in page.text
    assert page.headers["cache-control"] == "no-store"
    assert page.headers["referrer-policy"] == "no-referrer"


@pytest.mark.parametrize(
    "post",
    [
        {"data": {"List-Unsubscribe": "One-Click"}},
        {"files": {"List-Unsubscribe": (None, "One-Click")}},
        {"content": b""},
        {
            "data": {"List-Unsubscribe": "One-Click"},
            "headers": {"Sec-Fetch-Site": "cross-site", "Origin": "https://mail.example"},
        },
    ],
)
async def test_one_click_unsubscribes_at_once_and_answers_the_same_each_time(
    app: App, client: httpx2.AsyncClient, post: dict[str, object]
) -> None:
    """H2, F14: no cookie, no login, no redirect; RFC 8058 §3.2 posts come from other sites."""
    path = f"/u/{app.shared.keyring.unsubscribe_token(1)}"
    first = await client.post(path, **post)  # type: ignore[arg-type]  # httpx2's own union of forms
    assert (first.status_code, "location" in first.headers, "set-cookie" in first.headers) == (200, False, False)
    assert state(app, 1) is SubscriptionState.UNSUBSCRIBED
    assert state(app, 2) is SubscriptionState.CONFIRMED
    again = await client.post(path, **post)  # type: ignore[arg-type]  # as above
    assert (again.status_code, again.text) == (200, first.text)


@pytest.mark.parametrize("token", ["x", "%00", "a" * 10_000, "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"])
async def test_a_broken_unsubscribe_link_is_one_page_whatever_is_wrong(client: httpx2.AsyncClient, token: str) -> None:
    """F12: truncated, forged, huge or with NUL: the same answer, no exception."""
    answers = [await client.request(method, f"/u/{token}") for method in ("GET", "POST")]
    assert [(a.status_code, "This link does not work" in a.text) for a in answers] == [(404, True)] * 2


async def test_a_post_from_another_site_is_refused(client: httpx2.AsyncClient) -> None:
    """L2: except where mail providers must post from."""
    for headers in ({"Sec-Fetch-Site": "cross-site"}, {"Origin": "https://evil.example"}):
        assert (await client.post("/", headers=headers)).status_code == 403
    assert (await client.post("/", headers={"Sec-Fetch-Site": "same-origin"})).status_code == 405


async def test_a_method_that_is_not_possible_is_told_which_are(client: httpx2.AsyncClient) -> None:
    """FR-H1: all of them, also where reading and posting are two routes."""
    answers = [await client.put(path) for path in ("/u/token", "/")]
    assert [(answer.status_code, answer.headers["allow"]) for answer in answers] == [
        (405, "GET, HEAD, POST"),
        (405, "GET, HEAD"),
    ]


async def test_every_answer_forbids_scripts_and_framing(client: httpx2.AsyncClient) -> None:
    """F21, L4: no script may run even if one slipped in."""
    for path in ("/", "/feeds/", "/nothing", "/livez"):
        policy = (await client.get(path)).headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "script-src" not in policy
        assert "frame-ancestors 'none'" in policy
        assert "<script" not in (await client.get(path)).text


async def test_the_page_of_a_feed_needs_no_script_and_takes_ours_alone(client: httpx2.AsyncClient) -> None:
    """FR-D1, F21: whole addresses in the page, before its articles; the script is a file of ours, and the only one."""
    answer = await client.get("/feeds/economy?lang=en")
    assert answer.headers["content-security-policy"].endswith("; script-src 'self'")
    scripts = re.findall(r"<script[^>]*>[^<]*</script>", answer.text)
    address = re.fullmatch(r'<script src="(/copy\.js\?v=[0-9a-f]{12})" defer></script>', scripts[0])
    assert len(scripts) == 1
    assert address is not None
    script = await client.get(address[1])
    assert (script.status_code, script.headers["content-type"]) == (200, "text/javascript; charset=utf-8")
    assert "script-src" not in script.headers["content-security-policy"]
    shown = [re.sub("<[^>]+>", "", code) for code in re.findall(r"<code.*?</code>", answer.text)]
    assert shown == [f"https://mail.ledger.example/feeds/economy.{form}" for form in ("rss", "atom", "json")]
    assert answer.text.index("<code") < answer.text.index("A good harvest")


async def test_a_withdrawn_article_has_no_page(app: App, client: httpx2.AsyncClient) -> None:
    """L11."""
    home = (await client.get("/?lang=en")).text
    path = next(link for link in links(home) if link.endswith("harvest")).removeprefix("https://mail.ledger.example")
    await app.publishing.withdraw([path.split("/")[2]])
    assert (await client.get(path)).status_code == 404


def state(app: App, number: int) -> SubscriptionState:
    found = app.database.read(lambda conn: subscribers.subscription(conn, number))
    assert found is not None
    return found.state


async def test_a_page_announces_the_feeds_of_its_subject_after_the_site_s(client: httpx2.AsyncClient) -> None:
    """FR-D1: in the head and in the Link header, the same addresses."""
    home = (await client.get("/?lang=en")).text
    article = next(link for link in links(home) if link.endswith("harvest"))
    for path in ("/categories/economy?lang=en", "/feeds/economy?lang=en", article):
        answer = await client.get(path.removeprefix("https://mail.ledger.example"))
        head = re.findall(r'<link rel="alternate" type="[^"]+" title="([^"]+)" href="([^"]+)">', answer.text)
        assert head[3:] == [
            (f"The Ledger: Economy ({name})", f"https://mail.ledger.example/feeds/economy.{ending}")
            for name, ending in (("RSS", "rss"), ("Atom", "atom"), ("JSON", "json"))
        ]
        assert re.findall(r"<([^>]+)>", answer.headers["link"]) == [address for _, address in head]


async def test_one_click_works_in_http_1_0(app: App, client: httpx2.AsyncClient) -> None:
    """F14: the oldest of mail programs, over a real connection: no length, no body, no host."""
    server = uvicorn.Server(
        uvicorn.Config(routing.application(Service(app).parts), log_config=None, lifespan="off", port=0)
    )
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        running = asyncio.create_task(server.serve(sockets=[listener]))
        reader, writer = await asyncio.open_connection(*listener.getsockname())
        writer.write(f"POST /u/{app.shared.keyring.unsubscribe_token(1)} HTTP/1.0\r\n\r\n".encode())
        async with asyncio.timeout(20):
            answer = await reader.read()
        writer.close()
        server.should_exit = True
        await running
    assert answer.split(b"\r\n")[0].split()[1] == b"200"
    assert state(app, 1) is SubscriptionState.UNSUBSCRIBED
