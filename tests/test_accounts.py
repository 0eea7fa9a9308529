"""Who may log in, how often somebody may try, and what goes on record."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from publisher.accounts.gate import Gate, hashed
from publisher.accounts.tries import MOST_OF_ALL, MOST_OF_CLIENT, WINDOW, Tries
from publisher.accounts.values import (
    FRESH,
    LINK_LIVES,
    SESSION_LIVES,
    SESSION_RESTS,
    Role,
    name_problem,
)
from publisher.app import App
from publisher.errors import NotFoundError, RefusedError
from publisher.store import audit
from publisher.store.database import Database
from tests.publications import load_publication

NOW = datetime(2026, 11, 23, 7, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)


class Doorkeeper:
    """A gate with a clock that the test moves, and secrets in order."""

    def __init__(self, database: Database) -> None:
        self.now = NOW
        self.thrown = 0
        self.gate = Gate(database, clock=lambda: self.now, secret=self._secret)

    def _secret(self) -> str:
        self.thrown += 1
        return f"{self.thrown:064x}"


@pytest.fixture
def keeper(database: Database) -> Doorkeeper:
    return Doorkeeper(database)


pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("role", "least", "may"),
    [
        (role, least, may)
        for role, row in zip(Role, ["100", "110", "111"], strict=True)
        for least, may in zip(Role, row, strict=True)
    ],
)
def test_each_role_may_all_that_the_one_before_it_may(role: Role, least: Role, may: str) -> None:
    assert role.may(least) is (may == "1")


async def test_a_link_is_good_once_within_its_hour_and_gives_a_new_secret_each_time(keeper: Doorkeeper) -> None:
    """L3: no fixation, for what a browser had before counts for nothing."""
    invited = await keeper.gate.invite("ada", Role.EDITOR)
    keeper.now += LINK_LIVES - SECOND
    entered = await keeper.gate.enter(invited.token)
    assert entered is not None
    session, secret = entered
    assert (session.account.name, session.account.role, secret != invited.token) == ("ada", Role.EDITOR, True)
    assert await keeper.gate.enter(invited.token) is None
    again = await keeper.gate.invite("ada")
    assert again.account.role is Role.EDITOR
    keeper.now += LINK_LIVES
    assert await keeper.gate.enter(again.token) is None


async def test_a_session_ends_when_it_rests_too_long_and_when_it_is_too_old(keeper: Doorkeeper) -> None:
    entered = await keeper.gate.enter((await keeper.gate.invite("ada")).token)
    assert entered is not None
    _, secret = entered
    keeper.now += SESSION_RESTS - SECOND
    session = await keeper.gate.session(secret)
    assert session is not None
    assert not session.is_fresh(keeper.now)
    assert session.is_fresh(NOW + FRESH - SECOND)
    keeper.now += SECOND
    assert await keeper.gate.session(secret) is None
    keeper.now = NOW
    while keeper.now < NOW + SESSION_LIVES - SESSION_RESTS:
        keeper.now += SESSION_RESTS - SECOND
        session = await keeper.gate.session(secret)
        assert session is not None
        await keeper.gate.note_use(session)
    keeper.now = NOW + SESSION_LIVES - SECOND
    assert await keeper.gate.session(secret) is not None
    keeper.now += SECOND
    assert await keeper.gate.session(secret) is None


async def test_logging_out_everywhere_ends_every_session_of_the_account_and_no_other(keeper: Doorkeeper) -> None:
    """L3: all sessions end."""
    secrets = []
    for name in ("ada", "ada", "ada", "bob"):
        entered = await keeper.gate.enter((await keeper.gate.invite(name)).token)
        assert entered is not None
        secrets.append(entered[1])
    first = await keeper.gate.session(secrets[0])
    assert first is not None
    await keeper.gate.leave(first)
    assert [await keeper.gate.session(secret) is not None for secret in secrets] == [False, True, True, True]
    second = await keeper.gate.session(secrets[1])
    assert second is not None
    await keeper.gate.leave(second, everywhere=True)
    assert [await keeper.gate.session(secret) is not None for secret in secrets] == [False, False, False, True]


async def test_the_last_admin_stays_admin(keeper: Doorkeeper) -> None:
    await keeper.gate.invite("ada", Role.ADMIN)
    with pytest.raises(RefusedError, match="ada is the last admin"):
        await keeper.gate.revoke("ada")
    with pytest.raises(RefusedError, match="ada is the last admin"):
        await keeper.gate.invite("ada", Role.VIEWER)
    await keeper.gate.invite("bob", Role.ADMIN)
    await keeper.gate.revoke("ada")
    assert [one.account.name for one in await keeper.gate.listing()] == ["bob"]
    with pytest.raises(NotFoundError, match="no account 'ada'"):
        await keeper.gate.revoke("ada")


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("Ада Лавлейс", ""),
        ("", "empty"),
        (" ada", "space"),
        ("a" * 61, "60"),
        ("a\u202eb", "invisible"),
        ("a\nb", "invisible"),
    ],
)
def test_a_name_is_what_people_can_read(name: str, problem: str) -> None:
    assert problem in name_problem(name)
    assert bool(problem) == bool(name_problem(name))


@given(st.lists(st.tuples(st.integers(0, 600), st.sampled_from(["a", "b", "c"])), max_size=80))
def test_nobody_tries_more_than_five_times_in_any_quarter_of_an_hour(steps: list[tuple[int, str]]) -> None:
    """L3: 5 in 15 minutes for each client, and an end for all together."""
    tries, now = Tries(), NOW
    done: list[tuple[datetime, str]] = []
    for seconds, client in steps:
        now += timedelta(seconds=seconds)
        lately = [(at, who) for at, who in done if at > now - WINDOW]
        wait = tries.wait(client, now)
        mine = sum(who == client for _, who in lately)
        assert (wait > 0) == (mine >= MOST_OF_CLIENT or len(lately) >= MOST_OF_ALL)
        assert wait <= WINDOW.total_seconds()
        if wait == 0:
            tries.failed(client, now)
            done.append((now, client))


def test_many_clients_together_are_told_to_wait_too() -> None:
    tries = Tries()
    for number in range(MOST_OF_ALL):
        assert tries.wait(f"client {number}", NOW) == 0
        tries.failed(f"client {number}", NOW)
    assert tries.wait("somebody else", NOW + SECOND) == WINDOW.total_seconds() - 1
    assert tries.wait("somebody else", NOW + WINDOW) == 0


async def test_the_first_start_prints_a_link_until_somebody_has_logged_in(tmp_path: Path) -> None:
    async with await App.open(load_publication(tmp_path)) as app:
        links = [await app.entering.first() for _ in range(2)]
        assert [link.startswith("http://127.0.0.1:0/login/") for link in links] == [True, True]
        gate = app.entering.gate
        assert await gate.enter(links[0].rpartition("/")[2]) is None  # the newer one took its place
        entered = await gate.enter(links[1].rpartition("/")[2])
        assert entered is not None
        assert (entered[0].account.name, entered[0].account.role) == ("admin", Role.ADMIN)
        assert await app.entering.first() == ""


async def test_what_a_command_changes_goes_on_record_before_it_is_done(tmp_path: Path) -> None:
    """Spec delivery §8: who, what, when; readers by number, no address."""
    async with await App.open(load_publication(tmp_path)) as app:
        row = {"email": "anna@reader.example", "consent": "paper form", "languages": "en"}
        await app.actions["import_subscribers"](rows=[row])
        await app.actions["suppress"](address="anna@reader.example")
        await app.actions["suppress"](address="nobody@reader.example")
        with pytest.raises(NotFoundError):
            await app.actions["approve"](ref="0123")
        await app.actions["collect"]()
        found = await app.database.aread(lambda conn: audit.listing(conn, limit=50))
    assert [(one.who, one.action, one.subject) for one in reversed(found)] == [
        ("command line", "import_subscribers", ""),
        ("command line", "suppress", "reader 1"),
        ("command line", "suppress", "an address of no reader"),
        ("command line", "approve", "issue 0123"),
        ("command line", "approve refused", "issue 0123"),
    ]


def test_a_secret_cannot_be_read_from_what_is_stored(tmp_path: Path) -> None:
    """Byte search of the data directory, the log of the database included."""

    async def story() -> list[str]:
        async with await App.open(load_publication(tmp_path)) as app:
            link = await app.entering.first()
            entered = await app.entering.gate.enter(link.rpartition("/")[2])
            assert entered is not None
            unused = await app.entering.first() or (await app.entering.invite("bob"))["link"]
            return [link.rpartition("/")[2], entered[1], unused.rpartition("/")[2]]

    secrets = asyncio.run(story())
    stored = b"".join(path.read_bytes() for path in (tmp_path / "data").rglob("*") if path.is_file())
    assert [secret for secret in secrets if secret.encode() in stored] == []
    assert hashed(secrets[1]).encode() in stored
