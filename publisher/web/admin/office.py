"""What the admin pages need of the running service beside what all pages need."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from publisher.accounts.gate import Gate
from publisher.accounts.tries import Tries
from publisher.store.counted import Counted


class Act(Protocol):
    """Does what somebody asks for, by the name of its story, and puts it on record."""

    def __call__(
        self,
        who: str,
        action: str,
        arguments: Mapping[str, Any],
        *,
        form: str | None = None,
    ) -> Awaitable[Any]:
        """Return what came of it. Raises PublisherError as the story does."""


@dataclass(frozen=True, slots=True)
class Latest:
    """What the service counted last in the background, and when."""

    numbers: Counted
    at: datetime


class Dice(Protocol):
    """Throws 32 random hexadecimal digits."""

    def __call__(self) -> str:
        """Return the next."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Office:
    """Lasts as long as the service; pages are built anew with each configuration."""

    gate: Gate
    act: Act
    dice: Dice
    stop: asyncio.Event
    """Set when the service is told to stop: what would stay open ends."""
    counted: Callable[[], Latest | None]
    tries: Tries = field(default_factory=Tries)
    streams: set[object] = field(default_factory=set)
    """Pages that are told of changes at this moment."""
