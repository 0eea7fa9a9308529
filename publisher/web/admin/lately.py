"""Numbers that take long to count: counted beside the pages, not too often, and shown with their age."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, TypeVar

import structlog

from publisher.errors import BusyError, StoreError

log: structlog.stdlib.BoundLogger = structlog.get_logger()

T = TypeVar("T")

LEAST = 1.0
"""Seconds between two counts at least."""
SHARE = 20
"""A count is followed by a pause of at least so many times its length: 5 % of a core at most."""
PATIENCE = 0.05
"""Seconds that a page waits for numbers it has none of, or that were changed just now: most are counted by then."""


@dataclass(frozen=True, slots=True)
class Taken(Generic[T]):
    """Numbers and the moment of which they are."""

    value: T
    taken_at: datetime


class Lately(Generic[T]):
    """Keeps the last count. Counts only while somebody asks."""

    def __init__(self, count: Callable[[], Awaitable[T]], clock: Callable[[], datetime]) -> None:
        self._count = count
        self._clock = clock
        self._task: asyncio.Task[None] | None = None
        self._due = 0.0
        self._changes = self._seen = 0
        """Changes that somebody made here, and how many of them the last count has seen."""
        self.last: Taken[T] | None = None
        self.version = 0
        """Moves whenever a count finds other numbers than the one before."""

    async def get(self, patience: float = PATIENCE) -> Taken[T] | None:
        """Return the last count, and begin another one when it is time; None before the first is done.

        It is waited for, so many seconds, only where the last one is of no use.
        """
        if self._task is None and asyncio.get_running_loop().time() >= self._due:
            self._task = asyncio.create_task(self._take())
        useless = self.last is None or self._seen < self._changes
        if self._task is not None and useless and patience:
            await asyncio.wait([self._task], timeout=patience)
        return self.last

    def hurry(self) -> None:
        """Count again at the next question, because something was changed just now."""
        self._due = 0.0
        self._changes += 1

    async def _take(self) -> None:
        loop = asyncio.get_running_loop()
        begun, moment, changes = loop.time(), self._clock(), self._changes
        try:
            value = await self._count()
            if self.last is None or value != self.last.value:
                self.version += 1
            self.last, self._seen = Taken(value, moment), changes
        except (StoreError, BusyError) as error:
            log.warning("not counted", reason=str(error))
        finally:
            # What was changed meanwhile may not be in these numbers.
            pause = max(LEAST, SHARE * (loop.time() - begun)) if changes == self._changes else 0.0
            self._due = loop.time() + pause
            self._task = None
