"""The timer: wakes the service at given moments; what is due then, the database says."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog
from apscheduler.jobstores.base import JobLookupError
from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.base import BaseTrigger

log: structlog.stdlib.BoundLogger = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Wake:
    """When to wake: once at an aware time, each period, or first at the time and then each period."""

    at: datetime | None = None
    every: timedelta | None = None

    def __post_init__(self) -> None:
        if self.at is None and self.every is None:
            raise ValueError("a wake-up needs a time or a period")
        if self.at is not None and self.at.tzinfo is None:
            raise ValueError(f"naive datetime {self.at!r}")
        if self.every is not None and self.every <= timedelta(0):
            raise ValueError(f"{self.every} is no period")


class Timer:
    """Calls back with the name of each wake-up that has come, late rather than never, late ones together once.

    A callback still at work when its name comes again is called once more afterwards, however often it came. It runs
    in a task of ours, because APScheduler cancels its own at shutdown.
    """

    def __init__(self, callback: Callable[[str], Awaitable[None]]) -> None:
        self._callback = callback
        self._wakes: dict[str, Wake] = {}
        self._running: dict[str, asyncio.Task[None]] = {}
        self._again: set[str] = set()
        # `Any`, because APScheduler ships no types.
        self._scheduler: Any = AsyncIOScheduler(  # type: ignore[no-untyped-call]  # see above
            timezone=UTC, job_defaults={"coalesce": True, "misfire_grace_time": None, "max_instances": 1}
        )

    def start(self) -> None:
        """Begin to wake, in the running event loop; what was due before wakes at once."""
        self._scheduler.start()

    async def stop(self) -> None:
        """Wake no more, and wait until the callbacks at work have finished."""
        self._again.clear()
        if self._scheduler.running:
            self._scheduler.shutdown(wait=False)
        self._wakes.clear()
        if running := list(self._running.values()):
            await asyncio.wait(running)

    @property
    def names(self) -> frozenset[str]:
        """The wake-ups that are set; a single one that has come is set no more."""
        return frozenset(self._wakes)

    def wake(self, name: str, *, at: datetime | None = None, every: timedelta | None = None) -> None:
        """Wake with this name at an aware time (a past one: at once), or each period; replaces an earlier wake-up."""
        wake = Wake(at, every)
        self._wakes[name] = wake
        self._scheduler.add_job(self._come, _Trigger(wake), args=(name, wake), id=name, replace_existing=True)

    def set(self, wakes: Mapping[str, Wake]) -> None:
        """Make these the only wake-ups; one that stays as it was keeps its turn."""
        for name in self.names - wakes.keys():
            self.forget(name)
        for name, wake in wakes.items():
            if self._wakes.get(name) != wake:
                self.wake(name, at=wake.at, every=wake.every)

    def forget(self, name: str) -> None:
        """Drop a wake-up; none of this name is fine too."""
        if self._wakes.pop(name, None) is not None:
            try:
                self._scheduler.remove_job(name)
            except JobLookupError:
                log.debug("wake-up came as it was dropped", name=name)

    async def _come(self, name: str, wake: Wake) -> None:
        """Start the callback; asynchronous only because APScheduler runs other functions in threads."""
        if self._wakes.get(name) is not wake:
            return  # dropped or replaced between coming due and this task's turn
        if wake.every is None:
            del self._wakes[name]
        if name in self._running:
            self._again.add(name)
            return
        task = asyncio.get_running_loop().create_task(self._answer(name), name=f"wake {name}")
        self._running[name] = task

    async def _answer(self, name: str) -> None:
        try:
            while True:
                self._again.discard(name)
                try:
                    await self._callback(name)
                except Exception:  # whatever failed in one wake-up, the next ones must come
                    log.exception("wake-up failed", name=name)
                if name not in self._again:
                    return
        finally:
            del self._running[name]


class _Trigger(BaseTrigger):
    """When a wake comes next.

    APScheduler's own interval trigger counts through every period passed over, which after a clock set from 1970 to
    today holds up the event loop for minutes; this one goes on from now.
    """

    def __init__(self, wake: Wake) -> None:
        self._wake = wake

    def get_next_fire_time(self, previous_fire_time: datetime | None, now: datetime) -> datetime | None:
        if previous_fire_time is None and self._wake.at is not None:
            return self._wake.at
        return None if self._wake.every is None else now + self._wake.every

    def __str__(self) -> str:
        return f"wake at {self._wake.at}, every {self._wake.every}"
