"""Accounts and sessions as plain values: what a role may do, and how long a link or a session lives."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

LINK_LIVES = timedelta(minutes=60)
"""A link that logs in, from the moment it is printed; it is good once."""
SESSION_RESTS = timedelta(hours=12)
"""A session nobody used for so long is over."""
SESSION_LIVES = timedelta(days=7)
"""And so is one this old, however much it is used."""
FRESH = timedelta(minutes=15)
"""After a login, what takes data away or lets somebody in may be done without another one (L14)."""
SEEN_EVERY = timedelta(minutes=1)
"""How exactly it is known when a session was last used: looking at a page is to write nothing most of the time."""
LONGEST_NAME = 60


class Role(StrEnum):
    """What an account may do; each may all that the one before it may."""

    VIEWER = "viewer"  # numbers, issues, previews: no reader's address
    EDITOR = "editor"  # decides about issues and deliveries, looks after readers
    ADMIN = "admin"  # accounts, the audit log, taking all readers away as a file

    def may(self, least: Role) -> bool:
        """Whether this role may do what at least `least` may."""
        order = list(Role)
        return order.index(self) >= order.index(least)


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """Somebody who may log in."""

    id: int
    name: str
    role: Role
    created_at: datetime
    entered_at: datetime | None
    """When they last logged in; None: never."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """One login of an account in one browser."""

    id: int
    account: Account
    began_at: datetime
    seen_at: datetime

    def is_over(self, now: datetime) -> bool:
        """Whether it rested too long or is too old."""
        return now >= self.seen_at + SESSION_RESTS or now >= self.began_at + SESSION_LIVES

    def is_fresh(self, now: datetime) -> bool:
        """Whether the login is so recent that it stands for the person at the screen."""
        return now < self.began_at + FRESH


@dataclass(frozen=True, slots=True, kw_only=True)
class Invited:
    """A link to log in, before anybody used it: its token is told once and stored nowhere."""

    account: Account
    token: str
    expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Audited:
    """One thing that was done: who, what, when. What it was done to is named, never shown."""

    id: int
    recorded_at: datetime
    who: str
    action: str
    subject: str


def name_problem(name: str) -> str:
    """Return what is wrong with the name of an account; "" when nothing is."""
    if not name or name != name.strip():
        return "a name has no space around it and is not empty"
    if len(name) > LONGEST_NAME:
        return f"a name has {LONGEST_NAME} characters at most"
    if any(unicodedata.category(letter).startswith("C") for letter in name):
        return "a name has no invisible characters"
    return ""
