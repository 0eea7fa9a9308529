"""Crash points: `PUBLISHER_FAULT=point:n` ends the process at the n-th passage of a point, as a power cut would."""

from __future__ import annotations

import os

POINTS = (
    "ahead.read",  # rows were read ahead
    "ahead.composed",  # messages were made
    "clerk.begin",  # outcomes and candidates are known, nothing is written
    "clerk.recorded",  # inside the transaction: outcomes written
    "clerk.taken",  # inside the transaction: candidates marked
    "clerk.committed",  # durable, the connections do not know yet
    "outbox.claimed",  # a connection may send
    "outbox.attempted",  # the outcome is known, not written
    "smtp.connected",
    "smtp.opened",  # the server waits for the message
    "smtp.before-dot",
    "smtp.after-dot",  # nobody knows
    "smtp.answered",
    "outbox.finishing",  # nothing is due any more, issues are not closed
)

FREEZING = (
    "freezing.begun",  # inside the transaction: slot, planned issue, segments written
    "freezing.queued",  # inside a transaction: some more deliveries written
    "freezing.committed",  # durable, more are to come
)
"""Points that an issue passes before it is sent."""

_armed = ""
_left = 0


def arm(text: str) -> None:
    """Prepare to die at `point:n`; "" never. Raises ValueError for a point that does not exist."""
    global _armed, _left
    name, _, number = text.partition(":")
    if name and name not in (*POINTS, *FREEZING):
        known = ", ".join((*POINTS, *FREEZING))
        raise ValueError(f"PUBLISHER_FAULT: there is no point {name!r}; there are {known}")
    _armed, _left = name, int(number or 1)


def point(name: str) -> None:
    """Die here if that was asked for."""
    global _left  # noqa: PLW0603 - a crash is an affair of the whole process
    if _armed == name:
        _left -= 1
        if _left == 0:
            os._exit(137)  # as after SIGKILL: no buffers flushed, no handlers run


arm(os.environ.get("PUBLISHER_FAULT", ""))
