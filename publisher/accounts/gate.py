"""The gate of the admin pages: links that log in once, and sessions (spec delivery L3)."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import datetime

from publisher.accounts.values import LINK_LIVES, SEEN_EVERY, Account, Audited, Invited, Role, Session, name_problem
from publisher.errors import NotFoundError, RefusedError
from publisher.store import accounts, audit
from publisher.store.accounts import Listed
from publisher.store.database import Connection, Database


class Gate:
    """Lets people in and out. `secret` throws 64 hexadecimal digits; only their hash is stored."""

    def __init__(self, db: Database, *, clock: Callable[[], datetime], secret: Callable[[], str]) -> None:
        self._db = db
        self._clock = clock
        self._secret = secret

    async def is_new(self) -> bool:
        """Whether nobody has ever logged in."""
        return await self._db.aread(accounts.nobody_entered)

    async def invite(self, name: str, role: Role | None = None) -> Invited:
        """Return a link that logs in once; makes the account when there is none, sets its role when one is given.

        An older link that nobody used is good no more. Raises RefusedError for a name that cannot be one, or when the
        last admin would lose the role.
        """
        if problem := name_problem(name):
            raise RefusedError(f"{name!r}: {problem}")
        now, token = self._clock(), self._secret()

        def work(conn: Connection) -> Account:
            account = accounts.get(conn, name=name)
            if account is None:
                account = accounts.add(conn, name, role or Role.VIEWER, now)
            elif role is not None and role is not account.role:
                _keep_an_admin(conn, account, role)
                account = accounts.change(conn, account.id, role)
            accounts.put_invite(conn, account.id, hashed(token), expires_at=now + LINK_LIVES, now=now)
            return account

        return Invited(account=await self._db.awrite(work), token=token, expires_at=now + LINK_LIVES)

    async def enter(self, token: str) -> tuple[Session, str] | None:
        """Use up a link: return a new session and its secret, None for a link that is wrong, used or too old.

        The secret is new at every login, so that nobody can have planted it before.
        """
        now, secret = self._clock(), self._secret()

        def work(conn: Connection) -> Session | None:
            account = accounts.use_invite(conn, hashed(token), now)
            if account is None:
                return None
            accounts.forget(conn, now)
            audit.note(conn, who=account.name, action="logged in", subject="", now=now)
            return accounts.begin_session(conn, account, hashed(secret), now)

        session = await self._db.awrite(work)
        return None if session is None else (session, secret)

    async def session(self, secret: str) -> Session | None:
        """Return the session that a browser's secret belongs to, None when there is none or it is over."""
        if not secret:
            return None
        now, key = self._clock(), hashed(secret)
        session = await self._db.aread(lambda conn: accounts.session(conn, key))
        return None if session is None or session.is_over(now) else session

    def is_to_note(self, session: Session) -> bool:
        """Whether it is time to write down that a session is in use."""
        return self._clock() >= session.seen_at + SEEN_EVERY

    async def note_use(self, session: Session) -> None:
        """Write down that a session is in use."""
        now = self._clock()
        await self._db.awrite(lambda conn: accounts.note_use(conn, session.id, now))

    async def leave(self, session: Session, *, everywhere: bool = False) -> None:
        """End a session, or every session of its account."""
        now = self._clock()

        def work(conn: Connection) -> None:
            accounts.end_sessions(conn, session.account.id, only=None if everywhere else session.id)
            action = "logged out everywhere" if everywhere else "logged out"
            audit.note(conn, who=session.account.name, action=action, subject="", now=now)

        await self._db.awrite(work)

    async def revoke(self, name: str) -> None:
        """Take an account away, with its links and sessions. Raises NotFoundError; RefusedError for the last admin."""

        def work(conn: Connection) -> None:
            account = accounts.get(conn, name=name)
            if account is None:
                raise NotFoundError(f"there is no account {name!r}; `publisher admin list` shows them")
            _keep_an_admin(conn, account, None)
            accounts.remove(conn, account.id)

        await self._db.awrite(work)

    async def listing(self) -> list[Listed]:
        """Return all accounts by name, with their open sessions."""
        now = self._clock()
        return await self._db.aread(lambda conn: accounts.listing(conn, now))

    async def audited(self, *, before: int | None = None, limit: int) -> list[Audited]:
        """Return what was done, the latest first, from the row before the one with this id."""
        return await self._db.aread(lambda conn: audit.listing(conn, before=before, limit=limit))


def hashed(secret: str) -> str:
    """Return what is stored of a secret: with 256 random bits in it, nobody finds it again."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def _keep_an_admin(conn: Connection, account: Account, role: Role | None) -> None:
    if account.role is Role.ADMIN and role is not Role.ADMIN and accounts.admins(conn) == 1:
        raise RefusedError(f"{account.name} is the last admin; invite another one first")
