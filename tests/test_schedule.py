"""The timer wakes: late rather than never, late ones together, and it neither runs twice at once nor breaks off."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import pytest
from structlog.testing import capture_logs

from publisher.schedule import Timer, Wake, _Trigger

pytestmark = pytest.mark.anyio

LONG_AGO = datetime(2001, 1, 1, tzinfo=UTC)
FAR_OFF = datetime(2999, 1, 1, tzinfo=UTC)
INSTANT = timedelta(milliseconds=5)


class Bell:
    """A callback that notes each name, and may be told to wait or to fail."""

    def __init__(self) -> None:
        self.rung: asyncio.Queue[str] = asyncio.Queue()
        self.open = asyncio.Event()
        self.open.set()
        self.finished: list[str] = []
        self.failures: list[Exception] = []

    async def __call__(self, name: str) -> None:
        self.rung.put_nowait(name)
        await self.open.wait()
        if self.failures:
            raise self.failures.pop()
        self.finished.append(name)

    async def next(self) -> str:
        async with asyncio.timeout(30):
            return await self.rung.get()


@asynccontextmanager
async def running(bell: Bell) -> AsyncIterator[Timer]:
    timer = Timer(bell)
    timer.start()
    try:
        yield timer
    finally:
        bell.open.set()
        await timer.stop()


async def test_a_time_that_has_passed_wakes_at_once_and_once() -> None:
    bell = Bell()
    async with running(bell) as timer:
        timer.wake("weekly", at=LONG_AGO)
        assert await bell.next() == "weekly"
        timer.wake("daily", at=LONG_AGO)
        assert await bell.next() == "daily"
        assert timer.names == frozenset()
    assert (bell.finished, bell.rung.empty()) == (["weekly", "daily"], True)


async def test_what_was_set_before_the_start_wakes_after_it() -> None:
    bell = Bell()
    timer = Timer(bell)
    timer.wake("weekly", at=LONG_AGO)
    timer.start()
    assert await bell.next() == "weekly"
    await timer.stop()


async def test_a_period_wakes_again_and_again() -> None:
    bell = Bell()
    async with running(bell) as timer:
        timer.wake("look", at=LONG_AGO, every=INSTANT)
        assert [await bell.next() for _ in range(4)] == ["look"] * 4
        assert timer.names == {"look"}


async def test_a_callback_at_work_is_called_once_more_however_often_its_name_came() -> None:
    bell = Bell()
    bell.open.clear()
    async with running(bell) as timer:
        timer.wake("look", at=LONG_AGO)
        assert await bell.next() == "look"
        for other in ("first", "second", "third"):
            timer.wake("look", at=LONG_AGO)
            timer.wake(other, at=LONG_AGO)
            assert await bell.next() == other  # `look` came before it, and waits
        bell.open.set()
        assert await bell.next() == "look"
    assert sorted(bell.finished) == ["first", "look", "look", "second", "third"]
    assert bell.rung.empty()


async def test_a_failure_is_logged_and_the_next_wake_up_comes() -> None:
    bell = Bell()
    bell.failures.append(RuntimeError("the disk is full"))
    with capture_logs() as logs:
        async with running(bell) as timer:
            timer.wake("look", at=LONG_AGO, every=INSTANT)
            assert [await bell.next(), await bell.next()] == ["look", "look"]
    assert logs == [{"event": "wake-up failed", "name": "look", "exc_info": True, "log_level": "error"}]


async def test_stopping_waits_for_the_callback_and_wakes_no_more() -> None:
    """K9: APScheduler would cancel it."""
    bell = Bell()
    bell.open.clear()
    timer = Timer(bell)
    timer.start()
    timer.wake("collect", at=LONG_AGO, every=INSTANT)
    await bell.next()
    stopping = asyncio.create_task(timer.stop())
    await asyncio.sleep(0)
    assert not stopping.done()
    bell.open.set()
    await stopping
    assert (bell.finished, bell.rung.empty(), timer.names) == (["collect"], True, frozenset())


async def test_stopping_before_the_start_is_nothing() -> None:
    timer = Timer(Bell())
    timer.wake("weekly", at=FAR_OFF)
    await timer.stop()
    assert timer.names == frozenset()


async def test_setting_wakes_drops_adds_and_keeps() -> None:
    bell = Bell()
    async with running(bell) as timer:
        timer.set({"old": Wake(at=FAR_OFF), "kept": Wake(at=FAR_OFF, every=timedelta(days=1))})
        timer.set({"new": Wake(at=LONG_AGO), "kept": Wake(at=FAR_OFF, every=timedelta(days=1))})
        assert await bell.next() == "new"
        assert timer.names == {"kept"}
        timer.forget("kept")
        timer.forget("kept")
        assert timer.names == frozenset()


async def test_a_wake_up_replaced_or_dropped_as_it_comes_does_not_wake() -> None:
    bell = Bell()
    async with running(bell) as timer:
        timer.wake("dropped", at=LONG_AGO)
        timer.wake("replaced", at=LONG_AGO)
        timer.forget("dropped")
        timer.wake("replaced", at=FAR_OFF)
        timer.wake("last", at=LONG_AGO)
        assert await bell.next() == "last"
        assert timer.names == {"replaced"}
    assert bell.finished == ["last"]


async def test_periods_passed_over_are_not_counted_through() -> None:
    """K2, K3: asleep for a night or set from 1970 to today, one wake-up comes and the next is one period from now."""
    now = datetime(2026, 11, 23, 7, 0, tzinfo=UTC)
    trigger = _Trigger(Wake(every=timedelta(seconds=30)))
    assert trigger.get_next_fire_time(datetime(1970, 1, 1, tzinfo=UTC), now) == now + timedelta(seconds=30)


@pytest.mark.parametrize(
    ("at", "every"),
    [
        (None, None),
        (datetime.fromisoformat("2026-11-23"), None),
        (None, timedelta(0)),
        (FAR_OFF, timedelta(seconds=-1)),
    ],
)
async def test_a_wake_up_without_a_moment_is_refused(at: datetime | None, every: timedelta | None) -> None:
    with pytest.raises(ValueError, match=r"needs a time|naive|no period"):
        Wake(at, every)
