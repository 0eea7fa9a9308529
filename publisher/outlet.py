"""Where a service's words go out: whoever reads them, or does not, holds up nothing (delivery J22)."""

from __future__ import annotations

import contextlib
import io
import os
import queue
import threading
from typing import TextIO

from publisher.threads import explained

MOST = 10_000
"""Lines that wait for a reader; with more to come the newest are lost."""

PATIENCE = 2.0
"""Seconds that the last lines have to go out when the program ends."""


class Outlet(io.TextIOBase):
    """Takes the place of standard error: writing returns at once and never fails, and a thread carries lines out.

    A pipe that nobody reads and a full disk behind it cost lines, which are counted and told of once it goes on.
    """

    def __init__(self, target: TextIO, *, most: int = MOST) -> None:
        self._target = target
        self._lines: queue.Queue[str | None] = queue.Queue(most)
        self._part = threading.local()  # of a line: `print` writes its end by itself
        self._lost = 0
        self._counting = threading.Lock()
        try:
            # Not through the target's buffer: a thread that hangs in it would keep the program from ending.
            self._descriptor: int | None = os.dup(target.fileno())
        except (OSError, ValueError):  # a stand-in without a file
            self._descriptor = None
        self._carrier = threading.Thread(target=self._carry, name="publisher-log", daemon=True)
        with explained("publisher-log"):
            self._carrier.start()

    def write(self, text: str, /) -> int:
        """Take a text; its lines go out when there is a reader."""
        whole = getattr(self._part, "text", "") + text
        line, end, self._part.text = whole.rpartition("\n")
        if end:
            try:
                self._lines.put_nowait(line + end)
            except queue.Full:
                self._count(1)
        return len(text)

    def isatty(self) -> bool:
        """Whether people read it."""
        return self._target.isatty()

    @property
    def encoding(self) -> str:  # type: ignore[override]  # as of a file that is open
        """The target's."""
        return self._target.encoding or "utf-8"

    def end(self, patience: float = PATIENCE) -> None:
        """Let what waits go out, for so many seconds at most."""
        with contextlib.suppress(queue.Full):
            self._lines.put(None, timeout=patience)
            self._carrier.join(patience)
        if self._descriptor is not None and not self._carrier.is_alive():
            os.close(self._descriptor)

    def _count(self, number: int) -> int:
        with self._counting:
            before, self._lost = self._lost, self._lost + number if number else 0
        return before

    def _carry(self) -> None:
        while (text := self._lines.get()) is not None:
            lost = self._count(0)
            if lost:
                text = f"{lost} lines of the log were lost, because nobody took them\n{text}"
            try:
                self._put(text)
            except (OSError, ValueError):  # a full disk, or a pipe whose reader is gone
                self._count(lost + 1)

    def _put(self, text: str) -> None:
        if self._descriptor is None:
            self._target.write(text)
            self._target.flush()
            return
        rest = memoryview(text.encode(self.encoding, "backslashreplace"))
        while rest:
            rest = rest[os.write(self._descriptor, rest) :]
