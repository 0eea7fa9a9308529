"""What systemd, or whoever else set NOTIFY_SOCKET, is told: ready, reloading, stopping, and that we still get on."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Self

import structlog

log: structlog.stdlib.BoundLogger = structlog.get_logger()

LONGEST_SILENCE = 1200.0
"""Seconds in which a run of the outbox may come no further, for one that waits is not to be ended: a server has 300 for
the dialogue and 600 for its answer to the final dot (RFC 5321 §4.5.3.2), and a pace may hold mails back for 60 more."""


class Supervisor:
    """Speaks sd_notify(3); says nothing when nobody listens. What cannot be said is logged once and harms nothing."""

    def __init__(self, address: str = "", watchdog: timedelta | None = None) -> None:
        self._address = address
        self.watchdog = watchdog
        """Within which time it must be told that we get on; None: it does not ask."""
        self._ready = False
        self._stopping = False
        self._status = ""
        self._failed = False

    @classmethod
    def of(cls, environment: Mapping[str, str], pid: int) -> Self:
        """Return the supervisor that these variables name; a watchdog of another process is not ours to feed."""
        usec = environment.get("WATCHDOG_USEC", "")
        ours = environment.get("WATCHDOG_PID", str(pid)) == str(pid)
        watchdog = timedelta(microseconds=int(usec)) if usec.isdecimal() and int(usec) and ours else None
        return cls(environment.get("NOTIFY_SOCKET", ""), watchdog)

    def ready(self) -> None:
        """Say that everything listens."""
        self._ready = True
        self._tell("READY=1")

    def reloading(self) -> None:
        """Say that a reload has begun; one before we are ready is part of the start, and one at the end is nobody's."""
        if self._ready and not self._stopping:
            self._tell("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def reloaded(self) -> None:
        """Say that the reload is over, whether it was taken or rejected."""
        if self._ready and not self._stopping:
            self._tell("READY=1")

    def stopping(self) -> None:
        """Say that the end has begun; nothing but the state is told after it."""
        if not self._stopping:
            self._stopping = True
            self._tell("STOPPING=1")

    def alive(self) -> None:
        """Feed the watchdog."""
        self._tell("WATCHDOG=1")

    def status(self, words: str) -> None:
        """Tell in one line what is going on; the same line is told once."""
        line = " ".join(words.split())
        if line != self._status:
            self._status = line
            self._tell(f"STATUS={line}")

    def _tell(self, *lines: str) -> None:
        if not self._address:
            return
        # A name that begins with @ stands for one in the abstract namespace, which begins with NUL (unix(7)).
        name = f"\0{self._address[1:]}" if self._address.startswith("@") else self._address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
                sender.setblocking(False)
                sender.connect(name)
                sender.send("\n".join(lines).encode())
        except OSError as error:
            if not self._failed:
                log.warning("the supervisor cannot be told", reason=os.strerror(error.errno or 0))
            self._failed = True


@dataclass(frozen=True, slots=True)
class Pulse:
    """Where a part of the work stood when it last got on."""

    mark: object
    """Changes whenever the part gets on."""
    since: float
    """When it last did, in seconds of a clock that only goes forward."""

    def after(self, mark: object, tick: float) -> Pulse:
        """Return the pulse at a later look."""
        return self if mark == self.mark else Pulse(mark, tick)


class Pulses:
    """Knows which parts of the work get on, by looking at them now and then."""

    def __init__(self) -> None:
        self._pulses: dict[str, Pulse] = {}

    def stalled(self, marks: Mapping[str, tuple[object, float]], tick: float) -> list[str]:
        """Return the parts that got no further for longer than they may.

        `marks`: of each part at work, what changes as it gets on, and how many seconds it may stand still.
        """
        self._pulses = {
            part: self._pulses.get(part, Pulse(mark, tick)).after(mark, tick) for part, (mark, _) in marks.items()
        }
        return [part for part, pulse in self._pulses.items() if tick - pulse.since > marks[part][1]]
