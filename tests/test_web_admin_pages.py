"""What the admin pages say and do: issues decided once, reasons without addresses, hostile words escaped, no 5xx."""

from __future__ import annotations

import asyncio
import contextlib
import csv
import io
import re
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from html import unescape
from itertools import count
from pathlib import Path
from urllib.parse import quote, unquote, urlencode

import httpx2
import pytest
import structlog
from anyio.from_thread import start_blocking_portal
from hypothesis import given, settings
from hypothesis import strategies as st

from publisher import reports
from publisher.accounts.values import FRESH, Role
from publisher.clock import now
from publisher.config import check, load
from publisher.errors import ConfigurationError, StoreError
from publisher.model import DeliveryState, IssueState
from publisher.store import audit, deliveries, feed_pollers, issues, subscribers
from publisher.store.database import Connection
from publisher.store.tables import deliveries as delivery_rows
from publisher.store.tallies import Reason
from publisher.web import routing
from publisher.web.admin import nonces
from publisher.web.admin.application import ways
from publisher.web.admin.causes import Cause, causes
from publisher.web.admin.door import Door
from publisher.web.admin.frame import Frame
from publisher.web.admin.lately import Lately
from publisher.web.admin.values import ahead
from tests.backroom import Backroom, backroom, form_value
from tests.publications import load_publication, write_article
from tests.store.make import dump

pytestmark = pytest.mark.anyio

APPROVAL = '[[newsletters]]\nslug = "slow"\ntitle = "Slow"\nfrom_address = "a@ledger.example"\napproval = true\n'
PEOPLE = [
    {"email": "anna@reader.example", "name": "<script>alert(1)</script>", "consent": "<b>paper</b>", "languages": "en"},
    {"email": "boris@reader.example", "consent": "paper form", "languages": "ru en"},
]
EVIL = '<script>alert("x")</script><img src=x onerror=alert(1)>'


@pytest.fixture
async def room(tmp_path: Path) -> AsyncIterator[Backroom]:
    """A publication with two readers and an issue that waits for approval."""
    async with backroom(tmp_path) as opened:
        await opened.app.import_subscribers(PEOPLE)
        await opened.app.publishing.collect()
        done = await opened.app.dispatching.dispatch("weekly")
        assert done["outcome"] == "dispatched"
        await opened.app.measuring.count()
        yield opened


async def ref_of(room: Backroom) -> str:
    [issue] = await room.app.database.aread(lambda conn: issues.uncounted(conn))
    return issue.ref


async def state_of(room: Backroom) -> IssueState:
    [issue] = await room.app.database.aread(lambda conn: issues.uncounted(conn))
    return issue.state


async def alter(room: Backroom, state: DeliveryState, *, words: str = "", reason: str = "") -> None:
    """Let every delivery have come to this."""

    def work(conn: Connection) -> None:
        values = {"state": state, "reply_text": words or None, "reason": reason, "address": "anna@reader.example"}
        conn.execute(delivery_rows.update().values(values))

    await room.app.database.awrite(work)


async def test_the_overview_shows_what_comes_what_went_and_how_everything_is(room: Backroom) -> None:
    page = (await (await room.enter(Role.VIEWER)).get("/")).text
    assert re.search(r"Subscriptions</dt><dd><strong>2</strong>", page)
    assert f'<a href="/issues/{await ref_of(room)}">The week</a>' in page
    assert "Mondays at 07:00 Europe/Minsk" in page
    assert re.search(r"<code>publisher.toml:\d+</code>", page)
    line = int(re.findall(r"publisher.toml:(\d+)", page)[0])
    lines = room.app.config.files[0].read_text(encoding="utf-8").splitlines()
    assert lines[line - 1] == "[newsletters.frequencies.weekly]"
    assert re.search(
        r'articles <span class="soft">folder</span></th><td data-label="Health"><span class="state good">well</span>',
        page,
    )
    assert "reader.example" not in page


async def test_problems_of_the_service_and_doubtful_deliveries_stand_on_top(room: Backroom) -> None:
    room.service.problems["source news"] = f"/srv/{EVIL}: gone"
    await alter(room, DeliveryState.UNCERTAIN)
    page = (await (await room.enter(Role.VIEWER)).get("/")).text
    assert "/srv/&lt;script&gt;" in page
    assert f'<a href="/issues/{await ref_of(room)}">issue {await ref_of(room)}: 2</a>' in page


async def test_an_edit_that_is_rejected_stands_on_the_overview_until_it_is_mended(room: Backroom) -> None:
    """D1, issue 7 deliverable 1: shown in the log, by `status`, /readyz, a metric, and here, with file and line."""
    file = room.app.config.files[0]
    whole = file.read_text(encoding="utf-8")
    file.write_text(whole.replace("timezone =", "timzone ="), encoding="utf-8")
    viewer = await room.enter(Role.VIEWER)
    with structlog.testing.capture_logs() as logged, pytest.raises(ConfigurationError):
        await room.app.reloading.reload()
    wrong = f"{file}:7: site.timzone: "
    assert [line["log_level"] for line in logged if wrong in line.get("reason", "")] == ["error"]
    status = await room.app.database.aread(lambda conn: reports.status(room.app.config, conn, now()))
    assert status["configuration"].startswith(wrong)
    assert (await viewer.get("/readyz")).json()["problems"]["configuration"].startswith(wrong)
    assert "publisher_config_last_reload_success 0.0" in (await viewer.get("/metrics")).text
    page = (await viewer.get("/")).text
    assert re.search(rf"<dt>configuration</dt><dd><bdi>{re.escape(wrong)}", page)
    file.write_text(whole, encoding="utf-8")
    await room.app.reloading.reload()
    assert "<dt>configuration</dt>" not in (await viewer.get("/")).text
    assert "publisher_config_last_reload_success 1.0" in (await viewer.get("/metrics")).text


async def test_the_overview_gives_the_advice_of_the_check_with_file_and_line(tmp_path: Path) -> None:
    """Issue 7, deliverable 4: what `publisher check` warns of, in its words, each at its place."""
    file = load_publication(tmp_path).files[0]
    text = file.read_text(encoding="utf-8")
    text = text.replace('path = "../articles"', 'path = "../<nowhere>"')
    file.write_text(text.replace('ru = "Экономика"', 'rus = "Экономика"'), encoding="utf-8")
    loaded = load(file, {})
    async with backroom(tmp_path, config=loaded) as room:
        page = (await (await room.enter(Role.VIEWER)).get("/")).text
        begun, ended = page.index('<ul class="plain">'), page.index("</ul></section>")
        shown = [unescape(re.sub(r"<[^>]+>", "", line)).strip() for line in page[begun:ended].split("<li>")[1:]]
        # As the command writes it, but for the folder and a colon.
        expected = [
            str(one).replace(f"{file.parent}/", "").replace(": ", " ", 1).replace(": ", " ", 1) for one in check(loaded)
        ]
        assert shown == expected
        assert len(shown) == 2
        assert "&lt;nowhere&gt;" in page

        # It is looked for anew: what was corrected on the disk is gone by itself.
        (tmp_path / "<nowhere>").mkdir()
        viewer = await room.enter(Role.VIEWER)
        for _ in range(500):
            if "nowhere" not in (page := (await viewer.get("/")).text):
                break
            await asyncio.sleep(0.02)
        assert "nowhere" not in page
        assert "Advice on the configuration" in page


async def test_a_configuration_without_faults_gets_no_advice(room: Backroom) -> None:
    page = (await (await room.enter(Role.VIEWER)).get("/")).text
    assert check(room.app.config) == ()
    assert "Advice" not in page


async def test_an_issue_is_paused_resumed_and_cancelled_by_editors_once_each(room: Backroom) -> None:
    """K16, K18: a form sent twice acts once, and of two editors the second is told."""
    editor, other = await room.enter(Role.EDITOR, "ada"), await room.enter(Role.EDITOR, "bob")
    url = f"/issues/{await ref_of(room)}"
    for turn, state in (("pause", IssueState.PAUSED), ("resume", IssueState.SENDING), ("cancel", IssueState.CANCELLED)):
        mine, theirs = [(await one.get(url)).text for one in (editor, other)]
        fields = {"form": form_value(mine, f"{url}/{turn}")}
        for said in (turn, "already"):
            answer = await editor.post(f"{url}/{turn}", data=fields)
            assert (answer.status_code, answer.headers["location"]) == (303, f"{url}?said={said}")
            assert await state_of(room) is state
        late = await other.post(f"{url}/{turn}", data={"form": form_value(theirs, f"{url}/{turn}")})
        assert (late.status_code, "Nothing was changed" in late.text) == (409, True)
        assert '<p class="note" role="status">' in (await editor.get(f"{url}?said={turn}")).text
    entries = await room.app.database.aread(lambda conn: audit.listing(conn, limit=9))
    ref = await ref_of(room)
    assert [(one.who, one.action, one.subject) for one in entries if one.action.startswith("pause")] == [
        ("bob", "pause refused", f"issue {ref}"),
        ("bob", "pause", f"issue {ref}"),
        ("ada", "pause", f"issue {ref}"),
    ]


async def test_a_held_issue_is_approved_from_its_page(tmp_path: Path) -> None:
    async with backroom(tmp_path, more="") as room:
        file = tmp_path / "config" / "publisher.toml"
        file.write_text(file.read_text("utf-8").replace("from_address", "approval = true\nfrom_address", 1), "utf-8")
        await room.app.reloading.reload()
        await room.app.import_subscribers(PEOPLE)
        await room.app.publishing.collect()
        await room.app.dispatching.dispatch("weekly")
        editor = await room.enter(Role.EDITOR)
        url = f"/issues/{await ref_of(room)}"
        page = (await editor.get(url)).text
        assert "waits for approval" in page
        done = await editor.post(f"{url}/approve", data={"form": form_value(page, f"{url}/approve")})
        assert done.headers["location"] == f"{url}?said=approve"
        assert await state_of(room) is IssueState.SENDING


@pytest.mark.parametrize(("action", "state"), [("resend", DeliveryState.DEFERRED), ("mark_sent", DeliveryState.SENT)])
async def test_uncertain_deliveries_are_decided_all_or_those_chosen(
    room: Backroom, action: str, state: DeliveryState
) -> None:
    """One resend, however often the form is sent (K16)."""
    await alter(room, DeliveryState.UNCERTAIN, words=EVIL)
    editor = await room.enter(Role.EDITOR)
    page = f"/issues/{await ref_of(room)}"
    url = f"{page}/uncertain"
    shown = (await editor.get(page)).text
    assert EVIL not in shown
    form = form_value(shown, url)
    nobody = await editor.post(url, data={"form": form, "do": action, "id": ["999", "x", "-1", "9" * 40]})
    assert nobody.status_code == 409
    assert (await editor.post(url, data={"form": form, "do": "cancel", "id": "1"})).status_code == 400
    for _ in range(2):
        answer = await editor.post(url, data={"form": form, "do": action, "id": "1"})
        assert answer.status_code in (303, 409)
    rows = await room.app.database.aread(lambda conn: deliveries.listing(conn))
    assert [row.state for row in rows] == [state, DeliveryState.UNCERTAIN]
    again = await editor.post(url, data={"form": form, "do": f"{action} all"})
    assert again.status_code == 303  # the same form did its work already
    rows = await room.app.database.aread(lambda conn: deliveries.listing(conn))
    assert [row.state for row in rows] == [state, DeliveryState.UNCERTAIN]
    fresh = form_value((await editor.get(page)).text, url)
    assert (await editor.post(url, data={"form": fresh, "do": f"{action} all"})).status_code == 303
    rows = await room.app.database.aread(lambda conn: deliveries.listing(conn))
    assert [row.state for row in rows] == [state, state]


async def test_a_viewer_sees_why_deliveries_failed_and_no_address(room: Backroom) -> None:
    await alter(room, DeliveryState.FAILED, words="550 5.1.1 <anna@reader.example> no such user q4Bz81Wqp")
    url = f"/issues/{await ref_of(room)}"
    page = (await (await room.enter(Role.VIEWER)).get(url)).text
    row = re.sub(r' data-label="[^"]*"', "", page)
    assert '<td class="number">2</td><td>failed</td><td><bdi>550 5.1.1 [address] no such user […]</bdi></td>' in row
    assert "reader.example" not in page
    assert "/pause" not in page


def test_reasons_alike_but_for_address_and_queue_number_are_one() -> None:
    words = ["550 5.1.1 <a@x.org>: unknown 4Bq1Xz0WqG", "550 5.1.1 <b.c+d@y.example>: unknown 9ZZ81k2Lm0", "552 full"]
    found = causes(
        Reason(state=DeliveryState.FAILED, reason="", code=int(text[:3]), words=text, deliveries=number)
        for number, text in enumerate(words, start=1)
    )
    assert found == [
        Cause(state=DeliveryState.FAILED, words="550 5.1.1 [address]: unknown […]", deliveries=3),
        Cause(state=DeliveryState.FAILED, words="552 full", deliveries=3),
    ]


@given(st.text(), st.text())
def test_no_address_is_left_in_any_reason(before: str, after: str) -> None:
    """L13's rule for pages that viewers see."""
    reason = Reason(
        state=DeliveryState.FAILED, reason="", code=None, words=f"{before} anna.q@reader.example {after}", deliveries=1
    )
    assert "anna.q@reader.example" not in causes([reason])[0].words


async def test_the_segments_of_an_issue_are_shown_without_anybody_s_links(room: Backroom) -> None:
    viewer = await room.enter(Role.VIEWER)
    url = f"/issues/{await ref_of(room)}"
    found = re.findall(rf"{url}/segments/\d+", (await viewer.get(url)).text)
    assert len(found) == 2
    for address in found:
        frame = await viewer.get(address)
        assert (frame.status_code, "publisherslot" in frame.text) == (200, False)
        assert "default-src 'none'" in frame.headers["content-security-policy"]
    for odd in ("0", "999", "x", "9" * 40, "-1"):
        assert (await viewer.get(f"{url}/segments/{odd}")).status_code == 404


async def test_a_reader_is_found_by_post_and_shown_with_everything_escaped(room: Backroom) -> None:
    """L4, L15; spec delivery §8: no address in any URL."""
    await alter(room, DeliveryState.FAILED, words=EVIL, reason=EVIL)
    editor = await room.enter(Role.EDITOR)
    page = (await editor.get("/readers/")).text
    form = form_value(page, "/readers/")
    found = await editor.post("/readers/", data={"form": form, "address": "ANNA@"})
    assert re.findall(r'href="(/readers/\d+)"', found.text) == ["/readers/1"]
    assert "No reader" in (await editor.post("/readers/", data={"form": form, "address": "%"})).text
    record = (await editor.get("/readers/1")).text
    for words in ("&lt;script&gt;alert(1)&lt;/script&gt;", "&lt;b&gt;paper&lt;/b&gt;", "&lt;img src=x"):
        assert words in record
    assert not re.search(r"<script>|<img src=x|<b>paper", record)
    assert "reader.example" not in str(found.url)


async def test_suppressing_a_reader_and_taking_it_back_goes_on_record_by_number(room: Backroom) -> None:
    editor = await room.enter(Role.EDITOR, "ada")
    for action, suppressed in (("suppress", True), ("unsuppress", False)):
        page = (await editor.get("/readers/1")).text
        done = await editor.post(f"/readers/1/{action}", data={"form": form_value(page, f"/readers/1/{action}")})
        assert done.headers["location"] == f"/readers/1?said={action}"
        found = await room.app.database.aread(lambda conn: subscribers.suppressed(conn, "anna@reader.example"))
        assert (found is not None) is suppressed
    entries = await room.app.database.aread(lambda conn: audit.listing(conn, limit=2))
    assert [(one.who, one.action, one.subject) for one in entries] == [
        ("ada", "unsuppress", "reader 1"),
        ("ada", "suppress", "reader 1"),
    ]


async def test_readers_are_taken_away_after_a_fresh_login_once_and_on_record(room: Backroom) -> None:
    """L14."""
    admin = await room.enter(Role.ADMIN, "ada")
    form = form_value((await admin.get("/readers/")).text, "/export/readers")
    answer = await admin.post("/export/readers", data={"form": form})
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert [row["email"] for row in rows] == ["anna@reader.example", "boris@reader.example"]
    again = await admin.post("/export/readers", data={"form": form})
    assert (again.status_code, again.headers["location"]) == (303, "/readers/")
    entries = await room.app.database.aread(lambda conn: audit.listing(conn, limit=9))
    assert [(one.who, one.subject) for one in entries if one.action == "export_subscribers"] == [("ada", "")]
    room.shift += FRESH
    assert "/export/readers" not in (await admin.get("/readers/")).text
    form = nonces.nonce(next(iter(admin.cookies.values())), "/export/readers", "c" * 32)
    stale = await admin.post("/export/readers", data={"form": form})
    assert (stale.status_code, stale.headers["location"]) == (303, "/fresh")


async def test_a_page_is_told_when_it_is_out_of_date_and_no_more_after_a_logout(room: Backroom) -> None:
    viewer = await room.enter(Role.VIEWER)
    await room.office.gate.leave(next(iter([await room.office.gate.session(next(iter(viewer.cookies.values())))])))  # type: ignore[arg-type]
    assert (await viewer.get("/events")).status_code == 401
    viewer = await room.enter(Role.VIEWER)
    room.office.stop.set()
    answer = await viewer.get("/events")
    assert (answer.headers["content-type"], answer.text) == ("text/event-stream; charset=utf-8", "retry: 5000\n\n")
    assert room.office.streams == set()
    room.office.streams.update(object() for _ in range(100))
    assert (await viewer.get("/events")).status_code == 429


async def test_a_long_count_is_shown_with_its_age_and_taken_again_only_when_that_is_cheap() -> None:
    numbers, gate = iter(range(9)), asyncio.Event()

    async def count() -> int:
        await gate.wait()
        return next(numbers)

    lately = Lately(count, lambda: datetime(2026, 11, 23, tzinfo=UTC))
    assert await lately.get() is None
    gate.set()
    first = await lately.get(1)
    assert (first and first.value, lately.version) == (0, 1)
    again = await lately.get(1)
    assert (again and again.value) == 0  # too soon for another
    lately.hurry()
    after = await lately.get(1)
    assert (after and after.value, lately.version) == (1, 2)


async def test_a_count_that_fails_leaves_the_last_one_standing() -> None:
    answers: list[int | StoreError] = [7, StoreError("the disk is full")]

    async def count() -> int:
        answer = answers.pop(0)
        if isinstance(answer, StoreError):
            raise answer
        return answer

    lately = Lately(count, now)
    await lately.get(1)
    lately.hurry()
    kept = await lately.get(1)
    assert kept
    assert kept.value == 7


@pytest.fixture(scope="module")
def sweeper(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., int]]:
    """Ask the pages of a publication as an admin, and return the status."""
    with start_blocking_portal() as portal, contextlib.ExitStack() as stack:
        room = stack.enter_context(
            portal.wrap_async_context_manager(backroom(tmp_path_factory.mktemp("sweep") / "home"))
        )
        portal.call(room.app.import_subscribers, PEOPLE)
        portal.call(room.app.publishing.collect)
        portal.call(room.app.dispatching.dispatch, "weekly")
        room.office.stop.set()  # or the events would never end
        admin = portal.call(room.enter, Role.ADMIN)
        secret = next(iter(admin.cookies.values()))
        thrown = count()

        def ask(method: str, path: str, query: str, fields: list[tuple[str, str]], headers: dict[str, str]) -> int:
            async def story() -> int:
                url = httpx2.URL(f"http://localhost{path}").copy_with(query=query.encode("utf-8", "replace") or None)
                form = nonces.nonce(secret, unquote(url.path), f"{next(thrown):032x}")
                body = urlencode([("form", form), *fields], errors="replace") if method == "POST" else None
                given = {"Content-Type": "application/x-www-form-urlencoded"} | headers
                raw = {name.encode(): value.encode("latin-1") for name, value in given.items()}
                answer = await admin.request(method, url, content=body, headers=raw)
                return answer.status_code

            return portal.call(story)

        yield ask


ODD = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=40),
    st.sampled_from(["", "0", "-1", "9" * 40, "1e9", "%", "..", "' OR 1=1 --", "\0", "{{ 7*7 }}", EVIL, "weekly", "1"]),
)
HEADERS = st.dictionaries(
    st.sampled_from(
        ["Accept", "Accept-Language", "User-Agent", "Referer", "X-Forwarded-For", "Range", "If-None-Match"]
    ),
    st.text(st.characters(min_codepoint=32, max_codepoint=255, exclude_characters="\x7f"), max_size=60),
    max_size=3,
)
PATHS = sorted(
    [
        "/",
        "/events",
        "/live.js",
        "/issues/",
        "/issues/{}",
        "/issues/{}/events",
        "/issues/{}/segments/{}",
        "/issues/{}/approve",
        "/issues/{}/pause",
        "/issues/{}/resume",
        "/issues/{}/cancel",
        "/issues/{}/uncertain",
        "/preview/",
        "/preview/{}",
        "/preview/{}/mail",
        "/preview/{}/state",
        "/inbox/",
        "/inbox/{}",
        "/inbox/{}/{}",
        "/fresh",
        "/accounts",
        "/accounts/revoke",
        "/audit",
        "/readers/",
        "/readers/{}",
        "/readers/{}/suppress",
        "/readers/{}/unsuppress",
        "/export/readers",
        "/login/{}",
        "/{}",
    ]
)


async def test_the_sweep_goes_to_every_route(room: Backroom) -> None:
    """But for logging out, after which nothing could be asked."""
    frame = Frame(room.service.parts, room.office)
    known = {re.sub(r"\{\w+\}", "{}", way.path) for way in ways(frame, Door(frame))}
    plain = {"/login", "/style.css", "/icon.svg", "/favicon.ico", "/livez", "/readyz", "/metrics", "/preview.js"}
    plain |= {"/issues", "/preview", "/inbox", "/readers", "/logout", "/logout/everywhere"}
    assert known - plain == set(PATHS) - {"/{}"}


async def addresses(room: Backroom, known: Mapping[str, str]) -> set[str]:
    """An address that answers for every route; `known` says what stands for the parameters that differ."""
    ref = await ref_of(room)
    shown = await room.app.database.aread(lambda conn: issues.segments(conn, issues.uncounted(conn)[0].id))
    known = {
        "/inbox/{key}/{view}": f"{known['/inbox/{key}']}/html",
        "/issues/{ref}/segments/{id}": f"{ref}/segments/{shown[0].id}",
        "/readers/{id}": "1",
        "/readers/{id}/suppress": "1/suppress",
        "/readers/{id}/unsuppress": "1/unsuppress",
        **known,
    }
    frame = Frame(room.service.parts, room.office)
    paths = set()
    for way in ways(frame, Door(frame)):
        given = known.get(way.path)
        path = way.path.partition("{")[0] + given if given else way.path
        paths.add(path.replace("{ref}", ref).replace("{newsletter}", "weekly"))
    assert [path for path in paths if "{" in path] == []
    return paths


async def test_what_strangers_write_is_text_on_every_admin_page(tmp_path: Path) -> None:
    """L4: an article, a source's error, a server's reply, a reader's name and consent, a User-Agent and a Referer."""
    async with backroom(tmp_path) as room:
        title = EVIL.replace('"', "'")
        write_article(
            tmp_path, "evil.md", f'---\ntitle: "{title}"\ndate: 2026-11-20 09:00\nauthor: "{title}"\n---\nText.\n'
        )
        await room.app.import_subscribers([{**PEOPLE[0], "name": EVIL, "consent": EVIL}])
        await room.app.publishing.collect()
        assert (await room.app.dispatching.dispatch("weekly"))["outcome"] == "dispatched"
        await room.app.publishing.feeds()
        poller = {"User-Agent": f"Feedbin {EVIL} - 12 subscribers", "Referer": EVIL}
        transport = httpx2.ASGITransport(app=routing.application(room.service.parts))
        async with httpx2.AsyncClient(transport=transport, base_url="http://localhost") as client:
            assert (await client.get("/feeds/all.atom", headers=poller)).status_code == 200
        polled = room.service.polls.take(now())
        assert polled
        await room.app.database.awrite(lambda conn: feed_pollers.put(conn, polled, now()))
        await alter(room, DeliveryState.UNCERTAIN, words=f"451 {EVIL}", reason=EVIL)
        room.service.problems[f"source {EVIL}"] = EVIL
        inbox = room.service.parts.inbox
        assert inbox is not None
        for name in ("tmp", "new", "cur"):
            (room.app.config.data_dir / "inbox" / name).mkdir(parents=True, exist_ok=True)
        await inbox.keep(f"To: {EVIL}\r\nFrom: {EVIL}\r\nSubject: {EVIL}\r\n\r\n{EVIL}\r\n".encode())
        [mail] = inbox.messages()
        await room.app.measuring.count()
        admin = await room.enter(Role.ADMIN, EVIL[:60])
        room.office.stop.set()  # or the events would never end
        raw, escaped = [], 0
        for path in sorted(await addresses(room, {"/login/{token}": "0" * 64, "/inbox/{key}": mail.key})):
            answer = await admin.get(path, headers=poller)
            if answer.headers.get("content-type", "").startswith("text/html"):
                raw += [path] if re.search(r"<script>|<img src=.?x", answer.text) else []
                escaped += "&lt;script&gt;" in answer.text
                policy = answer.headers["content-security-policy"]
                assert not re.search(r"script-src[^;]*(unsafe|\*|data:)", policy), path
                assert "default-src 'none'" in policy, path
    assert raw == []
    assert escaped > 6


async def test_looking_changes_nothing_on_any_admin_page_whoever_looks(room: Backroom) -> None:
    """F9, P5: GET, HEAD and OPTIONS of every route, with a session, with a link that would log in, and with neither."""
    db, inbox = room.app.database, room.service.parts.inbox
    assert inbox is not None
    folder = room.app.config.data_dir / "inbox"
    for name in ("tmp", "new", "cur"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    await inbox.keep(b"To: anna@reader.example\r\nSubject: x\r\n\r\nHello\r\n")
    [mail] = inbox.messages()
    admin = await room.enter(Role.ADMIN)
    invited = await room.office.gate.invite("eve")
    paths = await addresses(room, {"/login/{token}": invited.token, "/inbox/{key}": mail.key})
    room.office.stop.set()  # or the events would never end
    before, kept = dump(db), sorted(folder.rglob("*"))
    statuses = {}
    for client in (admin, room.client()):
        for path in sorted(paths):
            for method in ("GET", "HEAD", "OPTIONS"):
                headers = {"Sec-Purpose": "prefetch", "Sec-Fetch-Site": "none"}
                statuses[client is admin, path, method] = (
                    await client.request(method, path, headers=headers)
                ).status_code
    assert dump(db) == before
    assert sorted(folder.rglob("*")) == kept
    looked = [path for (known_one, path, method), status in statuses.items() if method == "GET" and status == 200]
    assert len(looked) > 25, statuses
    assert await room.office.gate.enter(invited.token) is not None  # looked at nine times, and not used up


@settings(max_examples=400)
@given(st.data())
def test_nothing_that_anybody_sends_makes_a_page_fail(sweeper: Callable[..., int], data: st.DataObject) -> None:
    """L1, L8, L15: hostile paths, queries, fields and headers, logged in as an admin: no 5xx."""
    method = data.draw(st.sampled_from(["GET", "POST", "HEAD"]))
    parts = data.draw(st.sampled_from(PATHS)).split("{}")
    path = parts[0] + "".join(quote(data.draw(ODD), safe="") + part for part in parts[1:])
    names = st.sampled_from(["said", "before", "language", "format", "dark", "v", "x"])
    query = "&".join(f"{n}={quote(v)}" for n, v in data.draw(st.lists(st.tuples(names, ODD), max_size=3)))
    fields = data.draw(
        st.lists(st.tuples(st.sampled_from(["id", "do", "name", "role", "address", "form"]), ODD), max_size=4)
    )
    status = sweeper(method, path, query, fields, data.draw(HEADERS))
    assert status < 500, (method, path, query, fields)


@pytest.mark.parametrize(
    ("away", "said"),
    [
        (timedelta(seconds=5), "in less than a minute"),
        (timedelta(minutes=5, seconds=30), "in 5 min"),
        (timedelta(hours=17, minutes=8), "in 17 h 08 min"),
        (timedelta(days=6, hours=3), "in 6 days"),
        (-timedelta(minutes=3), "3 min ago"),
    ],
)
def test_how_far_away_a_moment_is_stands_in_words(away: timedelta, said: str) -> None:
    moment = datetime(2026, 11, 23, tzinfo=UTC)
    assert ahead(moment + away, moment) == said
