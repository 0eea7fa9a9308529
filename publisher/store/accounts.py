"""Accounts of the admin pages, their links to log in, their sessions: of every secret only the hash lies here."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from publisher.accounts.values import SESSION_LIVES, SESSION_RESTS, Account, Role, Session
from publisher.store.tables import accounts, invites, sessions


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """An account with its open sessions, for those who look after accounts."""

    account: Account
    sessions: int
    seen_at: datetime | None
    """When one of its open sessions was last used."""


def get(conn: sa.Connection, *, name: str) -> Account | None:
    """Return the account of this name, None when there is none."""
    row = conn.execute(sa.select(accounts).where(accounts.c.name == name)).mappings().one_or_none()
    return _account(row) if row else None


def add(conn: sa.Connection, name: str, role: Role, now: datetime) -> Account:
    """Add an account; the name must be new."""
    row = {"name": name, "role": role, "created_at": now}
    return _account(conn.execute(sa.insert(accounts).values(row).returning(accounts)).mappings().one())


def change(conn: sa.Connection, id: int, role: Role) -> Account:  # noqa: A002 - the column's name
    """Give an account another role; its open sessions have it at once."""
    statement = sa.update(accounts).where(accounts.c.id == id).values(role=role)
    return _account(conn.execute(statement.returning(accounts)).mappings().one())


def remove(conn: sa.Connection, id: int) -> None:  # noqa: A002 - the column's name
    """Delete an account with its links and sessions."""
    conn.execute(sa.delete(accounts).where(accounts.c.id == id))


def listing(conn: sa.Connection, now: datetime) -> list[Listed]:
    """Return all accounts by name, with their sessions that are not over at `now`."""
    a, s = accounts.c, sessions.c
    live = sa.and_(s.account_id == a.id, s.seen_at > now - SESSION_RESTS, s.began_at > now - SESSION_LIVES)
    number, seen = sa.func.count(s.id).label("sessions"), sa.func.max(s.seen_at).label("seen_at")
    query = sa.select(accounts, number, seen).select_from(accounts.outerjoin(sessions, live))
    rows = conn.execute(query.group_by(*accounts.c).order_by(a.name)).mappings()
    return [Listed(account=_account(row), sessions=row["sessions"], seen_at=row["seen_at"]) for row in rows]


def admins(conn: sa.Connection) -> int:
    """Return how many accounts may look after accounts."""
    query = sa.select(accounts.c.id).where(accounts.c.role == Role.ADMIN)
    return len(conn.scalars(query.with_for_update()).all())  # locked, so that two do not take each other's leave away


def nobody_entered(conn: sa.Connection) -> bool:
    """Whether no account was ever logged in to."""
    return conn.scalar(sa.select(accounts.c.id).where(accounts.c.entered_at.is_not(None)).limit(1)) is None


def put_invite(conn: sa.Connection, account_id: int, token_hash: str, *, expires_at: datetime, now: datetime) -> None:
    """Keep a link for an account in the place of older ones."""
    conn.execute(sa.delete(invites).where(invites.c.account_id == account_id))
    row = {"account_id": account_id, "token_hash": token_hash, "created_at": now, "expires_at": expires_at}
    conn.execute(sa.insert(invites).values(row))


def use_invite(conn: sa.Connection, token_hash: str, now: datetime) -> Account | None:
    """Use up a link and return its account, None when there is no such link or its time is over."""
    i = invites.c
    # Deleted, not marked: of two at the same moment one finds it.
    statement = sa.delete(invites).where(i.token_hash == token_hash).returning(i.account_id, i.expires_at)
    row = conn.execute(statement).one_or_none()
    if row is None or row.expires_at <= now:
        return None
    entered = sa.update(accounts).where(accounts.c.id == row.account_id).values(entered_at=now)
    return _account(conn.execute(entered.returning(accounts)).mappings().one())


def begin_session(conn: sa.Connection, account: Account, secret_hash: str, now: datetime) -> Session:
    """Begin a session of an account."""
    row = {"account_id": account.id, "secret_hash": secret_hash, "began_at": now, "seen_at": now}
    id_ = conn.execute(sa.insert(sessions).values(row).returning(sessions.c.id)).scalar_one()
    return Session(id=id_, account=account, began_at=now, seen_at=now)


def session(conn: sa.Connection, secret_hash: str) -> Session | None:
    """Return the session with this hash, also one that is over; None when there is none."""
    s = sessions.c
    joined = sa.select(accounts, s.id.label("session_id"), s.began_at, s.seen_at).join_from(sessions, accounts)
    row = conn.execute(joined.where(s.secret_hash == secret_hash)).mappings().one_or_none()
    if row is None:
        return None
    return Session(id=row["session_id"], account=_account(row), began_at=row["began_at"], seen_at=row["seen_at"])


def note_use(conn: sa.Connection, session_id: int, now: datetime) -> None:
    """Write down that a session is in use."""
    conn.execute(sa.update(sessions).where(sessions.c.id == session_id).values(seen_at=now))


def end_sessions(conn: sa.Connection, account_id: int, *, only: int | None) -> None:
    """End all sessions of an account, or one."""
    statement = sa.delete(sessions).where(sessions.c.account_id == account_id)
    conn.execute(statement if only is None else statement.where(sessions.c.id == only))


def forget(conn: sa.Connection, now: datetime) -> None:
    """Delete sessions and links that are over."""
    s = sessions.c
    over = sa.or_(s.seen_at <= now - SESSION_RESTS, s.began_at <= now - SESSION_LIVES)
    conn.execute(sa.delete(sessions).where(over))
    conn.execute(sa.delete(invites).where(invites.c.expires_at <= now))


def _account(row: sa.RowMapping) -> Account:
    a = accounts.c
    return Account(
        id=row[a.id],
        name=row[a.name],
        role=Role(row[a.role]),
        created_at=row[a.created_at],
        entered_at=row[a.entered_at],
    )
