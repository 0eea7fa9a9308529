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
"""Seconds that a page waits for a count that has begun: most are done by then, and the others are not worth it."""


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
        self.last: Taken[T] | None = None
        self.version = 0
        """Moves whenever a count finds other numbers than the one before."""

    async def get(self, patience: float = PATIENCE) -> Taken[T] | None:
        """Return the last count, after waiting so many seconds for a newer one; None before the first is done."""
        if self._task is None and asyncio.get_running_loop().time() >= self._due:
            self._task = asyncio.create_task(self._take())
        if self._task is not None and patience:
            await asyncio.wait([self._task], timeout=patience)
        return self.last

    def hurry(self) -> None:
        """Count again at the next question, because something was changed just now."""
        self._due = 0.0

    async def _take(self) -> None:
        loop = asyncio.get_running_loop()
        begun, moment = loop.time(), self._clock()
        self._due = float("inf")
        try:
            value = await self._count()
            if self.last is None or value != self.last.value:
                self.version += 1
            self.last = Taken(value, moment)
        except (StoreError, BusyError) as error:
            log.warning("not counted", reason=str(error))
        finally:
            due = loop.time() + max(LEAST, SHARE * (loop.time() - begun))
            # Somebody may have asked for haste meanwhile: what was counted then is of before the change.
            self._due = due if self._due == float("inf") else 0.0
            self._task = None
