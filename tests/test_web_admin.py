"""The door of the admin pages: every route has a role, every form is ours and good once, nobody stays in."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import httpx2
import pytest
from starlette.applications import Starlette
from starlette.routing import Route

from publisher.accounts.tries import MOST_OF_CLIENT, WINDOW
from publisher.accounts.values import FRESH, LINK_LIVES, SESSION_RESTS, Role
from publisher.clock import now
from publisher.store import audit
from publisher.store.database import Connection
from publisher.web.admin import nonces
from publisher.web.admin.application import application, ways
from publisher.web.admin.door import Door
from publisher.web.admin.frame import Frame
from publisher.web.admin.ways import Way
from publisher.web.security import Guard
from tests.backroom import HOST, Backroom, backroom, form_value

pytestmark = pytest.mark.anyio

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE")
SAMPLES = {
    "token": "0" * 64,
    "newsletter": "weekly",
    "key": "1700000000.x",
    "view": "html",
    "ref": "0a1b2c3d4e5f",
    "id": "1",
}


@pytest.fixture
async def room(tmp_path: Path) -> AsyncIterator[Backroom]:
    async with backroom(tmp_path) as opened:
        yield opened


def table(room: Backroom) -> list[Way]:
    """The table of routes."""
    frame = Frame(room.service.parts, room.office)
    return ways(frame, Door(frame))


def address(path: str) -> str:
    """An address that a route answers to."""
    return re.sub(r"\{(\w+)(?::\w+)?\}", lambda match: SAMPLES[match[1]], path)


def cookie_of(client: httpx2.AsyncClient) -> str:
    """The secret of the session of a browser."""
    [value] = client.cookies.values()
    return value


async def test_the_application_has_no_route_beside_the_table(room: Backroom) -> None:
    """A route without a role cannot come in."""
    guard = application(room.service.parts, room.office)
    assert isinstance(guard, Guard)
    assert isinstance(guard.app, Starlette)
    routes = [
        (route.path, sorted((route.methods or set()) - {"HEAD"}))
        for route in guard.app.routes
        if isinstance(route, Route)
    ]
    assert len(routes) == len(guard.app.routes)
    assert routes == [(way.path, [way.method]) for way in table(room)]
    assert len({(way.method, way.path) for way in table(room)}) == len(routes)


async def test_each_route_asks_for_its_role_whatever_the_method(room: Backroom) -> None:
    """L1: routes × roles × methods."""
    room.office.stop.set()  # or the events would never end
    clients = {None: room.client()} | {role: await room.enter(role) for role in Role}
    known: dict[str, dict[str, Role | None]] = {}
    for way in table(room):
        known.setdefault(way.path, {})[way.method] = way.role
    wrong: list[tuple[object, ...]] = []
    for path, methods in known.items():
        for role in (None, Role.VIEWER, Role.EDITOR, Role.ADMIN):
            for method in METHODS:
                if path.startswith("/logout") and method == "POST" and role is not None:
                    continue  # asked below, by itself: nobody is left after it
                url, client = address(path), clients[role]
                form = nonces.nonce(cookie_of(client), url, f"{len(wrong):032x}") if role else ""
                answer = await client.request(method, url, data={"form": form} if method == "POST" else None)
                asked = "GET" if method == "HEAD" else method
                least = methods.get(asked)
                if asked not in methods:
                    right = answer.status_code == 405
                elif least is None:
                    right = answer.status_code in (200, 303, 403)
                elif role is None:
                    right = answer.status_code == 401
                elif not role.may(least):
                    right = answer.status_code == 403
                else:
                    right = answer.status_code in (200, 302, 303, 308, 404, 409)
                if not right:
                    wrong.append((method, path, role, answer.status_code))
    assert wrong == []


async def test_a_post_without_a_form_of_this_login_and_address_changes_nothing(room: Backroom) -> None:
    """L2, for each POST of the table: no form, one of another login, one for another address, one made up."""
    admin, other = await room.enter(Role.ADMIN), await room.enter(Role.ADMIN)
    before = await room.app.database.aread(lambda conn: audit.listing(conn, limit=100))
    wrong = []
    for way in table(room):
        if way.method != "POST" or way.role is None:
            continue
        url = address(way.path)
        for form in (
            None,
            "",
            "x",
            nonces.nonce(cookie_of(other), url, "0" * 32),
            nonces.nonce(cookie_of(admin), "/elsewhere", "0" * 32),
            nonces.nonce(cookie_of(admin), url, "0" * 32)[:-1] + "g",
        ):
            answer = await admin.post(url, data=None if form is None else {"form": form})
            if answer.status_code != 403:
                wrong.append((url, form, answer.status_code))
    assert wrong == []
    assert await room.app.database.aread(lambda conn: audit.listing(conn, limit=100)) == before


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://localhost.evil.example"},
    ],
)
async def test_a_post_that_another_site_started_is_refused_even_with_a_good_form(
    room: Backroom, headers: dict[str, str]
) -> None:
    """L2, for each POST of the table, the login included."""
    admin = await room.enter(Role.ADMIN)
    invited = await room.office.gate.invite("eve")
    secret = cookie_of(admin)
    wrong = []
    for way in table(room):
        if way.method == "POST":
            url = address(way.path).replace(SAMPLES["token"], invited.token)
            async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=room.pages), base_url=HOST) as stranger:
                answer = await stranger.post(
                    url,
                    data={"form": nonces.nonce(secret, url, "1" * 32)},
                    headers={"Cookie": f"{next(iter(admin.cookies))}={secret}"} | headers,
                )
            if answer.status_code != 403:
                wrong.append((url, answer.status_code))
    assert wrong == []
    assert await room.office.gate.enter(invited.token) is not None  # it was not used up
    assert (await admin.get("/accounts")).status_code == 200


async def test_looking_at_a_link_uses_nothing_up_and_pressing_its_button_once_logs_in(room: Backroom) -> None:
    """P5, L3: GET changes nothing; the cookie is new, for this host, and no script may read it."""
    invited = await room.office.gate.invite("ada", Role.VIEWER)
    url = f"/login/{invited.token}"
    client = room.client()
    client.cookies.set("planted", "x")
    for _ in range(3):
        assert f'action="{url}"' in (await client.get(url)).text
    answer = await client.post(url)
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    said = answer.headers["set-cookie"]
    assert re.fullmatch(r"publisher-[0-9a-f]{8}=[0-9a-f]{64}; HttpOnly; Path=/; SameSite=lax", said), said
    assert (await client.get("/preview/weekly")).status_code == 200
    again = await room.client().post(url)
    assert (again.status_code, "good no more" in again.text) == (403, True)


async def test_behind_https_the_cookie_is_bound_to_this_host_and_to_https(tmp_path: Path) -> None:
    async with backroom(tmp_path, more='admin_url = "https://admin.ledger.example"') as room:
        invited = await room.app.entering.invite("ada")
        assert invited["link"].startswith("https://admin.ledger.example/login/")
        client = room.client(Host="admin.ledger.example")
        token = (await room.office.gate.invite("ada")).token
        answer = await client.post(f"/login/{token}")
        assert answer.status_code == 303
        assert re.fullmatch(
            r"__Host-publisher-[0-9a-f]{8}=[0-9a-f]{64}; HttpOnly; Path=/; SameSite=lax; Secure",
            answer.headers["set-cookie"],
        )
        assert (await room.client(Host="evil.example").get("/login")).status_code == 400


async def test_after_five_wrong_links_a_client_waits_even_with_a_good_one(room: Backroom) -> None:
    """L3: 5 tries in 15 minutes."""
    good = (await room.office.gate.invite("ada")).token
    client = room.client()
    statuses = [(await client.post(f"/login/{number:063d}f")).status_code for number in range(MOST_OF_CLIENT + 1)]
    assert statuses == [403] * MOST_OF_CLIENT + [429]
    answer = await client.post(f"/login/{good}")
    assert (answer.status_code, 0 < int(answer.headers["retry-after"]) <= WINDOW.total_seconds()) == (429, True)
    room.shift += WINDOW
    assert (await client.post(f"/login/{good}")).status_code == 303


async def test_a_session_ends_by_itself_by_hand_and_by_an_admin(room: Backroom) -> None:
    ada, bob, admin = (
        await room.enter(Role.VIEWER, "ada"),
        await room.enter(Role.VIEWER, "bob"),
        await room.enter(Role.ADMIN),
    )
    page = (await ada.get("/preview/weekly")).text
    left = await ada.post("/logout", data={"form": form_value(page, "/logout")})
    assert (left.status_code, left.headers["location"], "Max-Age=0" in left.headers["set-cookie"]) == (
        303,
        "/login",
        True,
    )
    assert (await ada.get("/preview/weekly")).status_code == 401
    page = (await admin.get("/accounts")).text
    gone = await admin.post("/accounts/revoke", data={"form": form_value(page, "/accounts/revoke"), "name": "bob"})
    assert gone.headers["location"] == "/accounts?said=revoke_account"
    assert (await bob.get("/preview/weekly")).status_code == 401
    room.shift += SESSION_RESTS
    assert (await admin.get("/accounts")).status_code == 401


async def test_inviting_needs_a_login_of_the_last_minutes_and_tells_the_link_once(room: Backroom) -> None:
    """L14's rule for what lets somebody in; K16: the same form again makes no second link."""
    admin = await room.enter(Role.ADMIN)
    page = (await admin.get("/accounts")).text
    fields = {"form": form_value(page, "/accounts"), "name": "<i>eve</i>", "role": "editor"}
    answer = await admin.post("/accounts", data=fields)
    [link] = re.findall(r"http://127.0.0.1:0/login/([0-9a-f]{64})", answer.text)
    assert "&lt;i&gt;eve&lt;/i&gt;" in answer.text
    assert "<i>eve" not in answer.text
    again = await admin.post("/accounts", data=fields)
    assert (again.status_code, "/login/" in again.text) == (200, False)
    eve = room.client()
    assert (await eve.post(f"/login/{link}")).status_code == 303
    assert (await eve.get("/accounts")).status_code == 403
    room.shift += FRESH
    stale = await admin.post("/accounts", data=fields | {"form": form_value(page, "/accounts")})
    assert (stale.status_code, stale.headers["location"]) == (303, "/fresh")
    assert "publisher admin invite" in (await admin.get("/fresh")).text
    room.shift += LINK_LIVES
    wrong = await (await room.enter(Role.ADMIN, "bob")).get("/accounts")
    assert "Revoke &lt;i&gt;eve&lt;/i&gt;" in wrong.text


@pytest.mark.parametrize(
    ("name", "status", "said"),
    [("", 409, "not empty"), ("x" * 61, 409, "60 characters"), ("a\0b", 200, "a\N{REPLACEMENT CHARACTER}b")],
)
async def test_a_name_that_is_none_is_refused_with_words(room: Backroom, name: str, status: int, said: str) -> None:
    admin = await room.enter(Role.ADMIN)
    form = form_value((await admin.get("/accounts")).text, "/accounts")
    answer = await admin.post("/accounts", data={"form": form, "name": name})
    assert (answer.status_code, said in answer.text) == (status, True)


async def test_the_audit_log_tells_who_did_what_page_by_page(room: Backroom) -> None:
    admin = await room.enter(Role.ADMIN, "ada")

    def fill(conn: Connection) -> None:
        for number in range(150):
            audit.note(conn, who="bob", action="approve", subject=f"issue <b>{number}</b>", now=now())

    await room.app.database.awrite(fill)
    first = await admin.get("/audit")
    [older] = re.findall(r'href="(/audit\?before=\d+)"', first.text)
    second = await admin.get(older)
    assert ("issue &lt;b&gt;149&lt;/b&gt;" in first.text, "logged in" in first.text) == (True, False)
    assert "issue &lt;b&gt;0&lt;/b&gt;" in second.text
    assert '<bdi>ada</bdi></td><td data-label="What">logged in' in second.text
    for odd in ("x", "-1", "9" * 30, "%00", ""):
        assert (await admin.get(f"/audit?before={odd}")).status_code == 200


async def test_the_use_of_a_session_is_noted_once_a_minute_not_at_every_look(room: Backroom) -> None:
    """A page that is looked at writes nothing most of the time."""
    admin = await room.enter(Role.ADMIN, "ada")

    async def seen() -> object:
        [one] = await room.office.gate.listing()
        return one.seen_at

    first = await seen()
    await admin.get("/accounts")
    assert await seen() == first
    room.shift += timedelta(minutes=1)
    await admin.get("/accounts")
    for _ in range(100):
        if await seen() != first:
            break
    assert await seen() != first
