"""Threads that are there from the beginning: one that is asked for in the middle of the work may be refused."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import ParamSpec, TypeVar

import structlog

from publisher.errors import ThreadsError

log: structlog.stdlib.BoundLogger = structlog.get_logger()

P = ParamSpec("P")
T = TypeVar("T")


@contextmanager
def explained(name: str) -> Iterator[None]:
    """Raise ThreadsError when the system refuses to start a thread, which is to be called `name`."""
    try:
        yield
    except RuntimeError as error:  # Python's, for want of processes, of memory, of anything
        raise ThreadsError(
            f"the system gives this process no more threads ({name}: {error}); raise the limit: `ulimit -u` of its "
            "user, TasksMax= of a systemd unit, the pids limit of a container"
        ) from error


def started(number: int, name: str) -> ThreadPoolExecutor:
    """Return a pool all of whose threads have started. Raises ThreadsError when the system refuses one of them.

    A pool that starts them when they are needed puts the work on its queue first: where the thread is refused then,
    whoever gave it the work gets an exception, and another thread may do the work all the same.
    """
    pool = ThreadPoolExecutor(number, thread_name_prefix=name)
    complete = threading.Event()
    try:
        with explained(name):
            for _ in range(number):
                pool.submit(complete.wait)  # none of them is free before the last one is there
    except ThreadsError:
        complete.set()
        pool.shutdown(cancel_futures=True)
        raise
    complete.set()
    return pool


def spare(number: int, name: str) -> Executor:
    """Return a pool as `started` does, or, where the system has no threads left, one that lets its caller do the work.

    For work that need not be done aside, so that it goes on more slowly.
    """
    try:
        return started(number, name)
    except ThreadsError as error:
        log.warning("work goes on more slowly", reason=str(error))
        return InPlace()


class InPlace(Executor):
    """Does what it is given at once, on the thread of whoever gives it."""

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Do it, and return what it came to."""
        future: Future[T] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:  # noqa: BLE001 - it is the answer
            future.set_exception(error)
        return future
