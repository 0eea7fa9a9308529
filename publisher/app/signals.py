"""What the signals of the operating system do to an app: stop in order, or at once."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator

from publisher.app import App


@contextlib.asynccontextmanager
async def signals(app: App) -> AsyncIterator[None]:
    """Let SIGINT and SIGTERM stop the app in order, and a second one end the process at once: a crash loses nothing."""
    loop = asyncio.get_running_loop()

    def stop() -> None:
        app.shared.stop.set()
        app.shared.woken.set()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, _die, number)

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop)
    try:
        yield
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)


def _die(number: int) -> None:
    if sys.stderr.isatty():
        sys.stderr.write("\x1b[?25h")  # a progress bar hides the cursor
        sys.stderr.flush()
    os._exit(128 + number)
