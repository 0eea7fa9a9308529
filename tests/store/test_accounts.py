"""Accounts, links and sessions lie in both databases, and what is over opens nothing."""

from __future__ import annotations

from functools import partial

import pytest
import sqlalchemy as sa

from publisher.accounts.values import SESSION_LIVES, SESSION_RESTS, Account, Role, Session
from publisher.store import accounts, audit
from publisher.store.database import Connection, Database
from publisher.store.tables import invites, sessions
from tests.store.make import HOUR, MINUTE, NOW


def added(database: Database, name: str = "ada", role: Role = Role.EDITOR) -> Account:
    return database.write(lambda conn: accounts.add(conn, name, role, NOW))


def test_a_link_logs_in_once_and_not_after_its_hour(database: Database) -> None:
    """Issue 7, 4: single-use, expiring."""
    ada = added(database)

    def put(conn: Connection, token: str) -> None:
        accounts.put_invite(conn, ada.id, token, expires_at=NOW + HOUR, now=NOW)

    database.write(partial(put, token="first"))
    used = [database.write(lambda conn: accounts.use_invite(conn, "first", NOW + MINUTE)) for _ in range(2)]
    assert used == [
        Account(id=ada.id, name="ada", role=Role.EDITOR, created_at=NOW, entered_at=NOW + MINUTE),
        None,
    ]
    database.write(partial(put, token="late"))
    assert database.write(lambda conn: accounts.use_invite(conn, "late", NOW + HOUR)) is None
    database.write(partial(put, token="older"))
    database.write(partial(put, token="newer"))
    assert database.write(lambda conn: accounts.use_invite(conn, "older", NOW)) is None
    assert database.write(lambda conn: accounts.use_invite(conn, "newer", NOW)) is not None
    assert database.write(lambda conn: accounts.use_invite(conn, "never made", NOW)) is None


def test_whoever_is_taken_away_is_logged_out_and_their_links_are_gone(database: Database) -> None:
    ada, bob = added(database), added(database, "bob", Role.ADMIN)

    def work(conn: Connection) -> None:
        for one in (ada, bob):
            accounts.put_invite(conn, one.id, f"link {one.name}", expires_at=NOW + HOUR, now=NOW)
            accounts.begin_session(conn, one, f"secret {one.name}", NOW)
        accounts.remove(conn, ada.id)

    database.write(work)

    def session_of(name: str) -> Session | None:
        return database.read(lambda conn: accounts.session(conn, f"secret {name}"))

    found = [session_of(name) for name in ("ada", "bob")]
    assert [session.account.name if session else None for session in found] == [None, "bob"]
    assert database.write(lambda conn: accounts.use_invite(conn, "link ada", NOW)) is None


def test_a_session_has_the_role_that_its_account_has_now(database: Database) -> None:
    ada = added(database)
    database.write(lambda conn: accounts.begin_session(conn, ada, "secret", NOW))
    database.write(lambda conn: accounts.change(conn, ada.id, Role.VIEWER))
    session = database.read(lambda conn: accounts.session(conn, "secret"))
    assert session is not None
    assert session.account.role is Role.VIEWER


def test_the_list_counts_sessions_that_are_open(database: Database) -> None:
    ada, _ = added(database), added(database, "bob")

    def work(conn: Connection) -> None:
        accounts.begin_session(conn, ada, "old", NOW - SESSION_LIVES)
        accounts.begin_session(conn, ada, "idle", NOW - SESSION_RESTS)
        accounts.begin_session(conn, ada, "open", NOW - HOUR)
        session = accounts.session(conn, "old")
        assert session is not None
        accounts.note_use(conn, session.id, NOW)

    database.write(work)
    listed = database.read(lambda conn: accounts.listing(conn, NOW))
    assert [(one.account.name, one.sessions, one.seen_at) for one in listed] == [
        ("ada", 1, NOW - HOUR),
        ("bob", 0, None),
    ]
    database.write(lambda conn: accounts.forget(conn, NOW))
    assert database.read(lambda conn: conn.scalar(sa.select(sa.func.count()).select_from(sessions))) == 1


def test_nothing_that_opens_a_door_lies_in_the_database(database: Database) -> None:
    """Tokens are hashed at rest: the columns are those of hashes."""
    assert [c.name for c in invites.columns] == ["id", "account_id", "token_hash", "created_at", "expires_at"]
    assert [c.name for c in sessions.columns] == ["id", "account_id", "secret_hash", "began_at", "seen_at"]


def test_one_form_goes_on_record_once(database: Database) -> None:
    """K16: of a double submit the second finds the entry of the first."""

    def note(form: str | None) -> bool:
        return database.write(
            lambda conn: audit.note(conn, who="ada", action="approve", subject="issue x", now=NOW, form=form)
        )

    assert [note("one"), note("one"), note(None), note(None), note("two")] == [True, False, True, True, True]
    listed = database.read(lambda conn: audit.listing(conn, limit=3))
    assert [one.id for one in listed] == sorted((one.id for one in listed), reverse=True)
    older = database.read(lambda conn: audit.listing(conn, before=listed[-1].id, limit=3))
    assert len(listed) + len(older) == 4


@pytest.mark.parametrize("statement", ["update", "delete"])
def test_no_statement_of_ours_changes_the_audit_log(statement: str) -> None:
    """Append-only (spec delivery §8)."""
    from publisher.files import packaged

    sources = (packaged("templates").parent / "publisher").rglob("*.py")
    assert [str(path) for path in sources if f"sa.{statement}(audit" in path.read_text(encoding="utf-8")] == []
