"""What the signals of the operating system do to an app: stop in order, or at once."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator

from publisher.app import App
from publisher.errors import PublisherError


class Hangups:
    """SIGHUP while a service starts: noted, so that it ends nothing, until it can be answered by a reload."""

    def __init__(self) -> None:
        self.came = False
        signal.signal(signal.SIGHUP, lambda *_: self.note())

    def note(self) -> None:
        """Remember that it came."""
        self.came = True

    def repeat(self) -> None:
        """Let what came too early come now."""
        if self.came:
            signal.raise_signal(signal.SIGHUP)


@contextlib.asynccontextmanager
async def signals(app: App, *, serving: bool = False) -> AsyncIterator[None]:
    """Let SIGINT and SIGTERM stop the app in order, and a second one end the process at once: a crash loses nothing.

    SIGHUP lets a service reload its configuration, however often it comes (K9); it stops a command, whose terminal is
    gone.
    """
    loop = asyncio.get_running_loop()
    reloads: set[asyncio.Task[None]] = set()

    def reload() -> None:
        if not reloads:
            task = loop.create_task(_reload(app))
            reloads.add(task)
            task.add_done_callback(reloads.discard)
        else:
            again.set()

    again = asyncio.Event()

    async def _reload(app: App) -> None:
        """Reload, and once more when the signal came again meanwhile."""
        while True:
            again.clear()
            with contextlib.suppress(PublisherError, OSError):  # told where it was found
                await app.reloading.reload()
            if not again.is_set():
                return

    def stop() -> None:
        app.shared.stop.set()
        app.shared.woken.set()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, _die, number)

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop)
    loop.add_signal_handler(signal.SIGHUP, reload if serving else stop)
    try:
        yield
    finally:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.remove_signal_handler(number)
        if serving:
            signal.signal(signal.SIGHUP, signal.SIG_IGN)  # what is left to close shall be closed
        if reloads:
            await asyncio.wait(reloads)


def _die(number: int) -> None:
    if sys.stderr.isatty():
        sys.stderr.write("\x1b[?25h")  # a progress bar hides the cursor
        sys.stderr.flush()
    os._exit(128 + number)
