"""The event loop: uvloop's, which has every thread that it may need from the beginning (K13)."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar

import uvloop

from publisher.errors import ThreadsError
from publisher.threads import started

T = TypeVar("T")

ASIDE = 8
"""Threads for what would hold up the event loop. Each task of a service has one such thing at a time: it collects,
builds feeds, composes, compiles templates, looks for changed files, sees to its life sign."""

NAMES = 4
"""Threads that look up names; those without an answer are not to hold up what else is done aside."""


class Loop(uvloop.Loop):
    """Starts no thread.

    uvloop's own ways start four at the first connection to any address; where one of these is refused, libuv aborts
    the process.
    """

    def __init__(self, aside: ThreadPoolExecutor, names: ThreadPoolExecutor) -> None:
        """`aside`: a pool of `ASIDE` threads, `names`: of `NAMES`."""
        super().__init__()
        self._aside, self._names = aside, names
        self.set_default_executor(aside)

    async def getaddrinfo(self, host: Any, port: Any, **options: int) -> list[Any]:  # noqa: ANN401 - as asyncio has it
        """Look up a name on a thread; an address is its own answer, and needs none. `sock_connect` asks here too."""
        find = partial(socket.getaddrinfo, host, port)
        flags = options.pop("flags", 0)
        try:
            return find(**options, flags=flags | socket.AI_NUMERICHOST)
        except socket.gaierror:
            return await self.run_in_executor(self._names, partial(find, **options, flags=flags))

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:  # noqa: ARG002, ASYNC109 - as asyncio has it
        """Wait for what is still done aside, some of which may wait for this loop. The usual way starts a thread."""
        self._names.shutdown(wait=False, cancel_futures=True)
        idle = threading.Barrier(ASIDE)  # nobody passes before every thread has done what it was at
        await asyncio.gather(*(asyncio.wrap_future(self._aside.submit(idle.wait)) for _ in range(ASIDE)))
        self._aside.shutdown()


def play(story: Coroutine[Any, Any, T]) -> T:
    """Run a story to its end. Raises ThreadsError when there are not threads enough to begin it."""
    try:
        loop = partial(Loop, started(ASIDE, "publisher-aside"), started(NAMES, "publisher-names"))
    except ThreadsError:
        story.close()
        raise
    return uvloop.run(story, loop_factory=loop)
