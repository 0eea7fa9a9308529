"""Crash points: `PUBLISHER_FAULT=point:n` ends the process at the n-th passage of a point, as a power cut would."""

from __future__ import annotations

import os

POINTS = (
    # An issue comes into being.
    "dispatch.drafted",  # composed in memory
    "freezing.begun",  # inside the transaction: slot, planned issue, segments are written
    "freezing.queued",  # inside a transaction: some more deliveries are
    "freezing.committed",  # durable, more are to come
    "freezing.opened",  # inside the transaction: the issue is sent from now on
    "dispatch.frozen",  # durable, nobody knows
    # What an operator does with it.
    "issue.turned",  # inside the transaction: approved, paused, resumed or cancelled, its deliveries are as before
    "issue.told",  # durable, the outbox does not know
    "resend.reopened",  # inside the transaction: deliveries wait again, their issue is still over
    # A worker takes over from those that died.
    "worker.registered",  # it has its epoch
    "worker.declared",  # inside the transaction: others are declared dead, what they left is not settled
    "worker.settled",  # inside the transaction: deliveries are, notices and cursors not
    "worker.recovered",  # durable
    "worker.ended",  # what it left itself is settled, its life sign stands
    "outbox.flushed",  # outcomes of an earlier run are written
    "outbox.given-back",  # claims of an earlier run wait again
    # Reading ahead.
    "ahead.read",  # rows
    "ahead.segment",  # the bytes that they share
    "ahead.composed",  # messages were made
    # The clerk's transaction.
    "clerk.begin",  # outcomes and candidates are known, nothing is written
    "record.written",  # inside: outcomes are, cursors not
    "clerk.recorded",  # inside: cursors are
    "clerk.noted",  # inside: failed attempts are, nobody is suppressed
    "clerk.charged",  # inside: paces are, nothing is claimed
    "claims.closed",  # inside: who left is, nothing is claimed
    "clerk.taken",  # inside: candidates are marked
    "clerk.committed",  # durable, the connections do not know yet
    # One message.
    "outbox.claimed",  # a connection may send
    "smtp.dialling",
    "smtp.connected",
    "smtp.asked",  # MAIL, RCPT and DATA are written, or the first of them
    "smtp.mail",  # MAIL is answered
    "smtp.rcpt",  # RCPT is answered
    "smtp.data",  # DATA is answered
    "smtp.opened",  # the server waits for the message
    "smtp.block",  # part of a long body is written
    "smtp.before-dot",
    "smtp.after-dot",  # nobody knows
    "smtp.answered",
    "smtp.refused",  # an envelope is refused and still open
    "smtp.dropped",  # a connection was given up
    "smtp.leaving",  # QUIT comes next
    "outbox.attempted",  # the outcome is known, not written
    "pace.complained",  # inside the transaction that slows a provider
    "outbox.heeded",  # what follows for others is durable, the outcome is not written
    "outbox.alarmed",  # the breaker has paused an issue
    # The end of a run.
    "outbox.stopping",  # told to stop, messages are under way
    "outbox.emptied",  # nothing is due any more, issues are not closed
    "outbox.finishing",  # inside the transaction that closes them
    # A transport that is configured no more.
    "lane.settled",  # its outcomes are written
    "lane.adopting",  # inside the transaction: what it may have sent is uncertain, the rest is still its own
    "lane.adopted",  # durable
    # Notices.
    "notice.claimed",
    "notice.composed",
    "notice.attempted",  # the outcome is known, not written
    "notice.recorded",  # durable
    # Leaving, keys, backups.
    "journal.written",  # who leaves is in the journal, not yet in the database
    "keys.written",  # the file has a new key, the database names the old one
    "restore.unpacked",  # beside its place
    "restore.moving",  # keys and journal are in their place, the database is not
    "restore.settled",
    "standing.compared",  # inside the transaction: a copy is told, and paused
    "standing.replayed",  # inside the transaction: who left is gone from it
    "standing.resumed",  # durable, not counted
)

_armed: str | None = None
_left = 0


def arm(text: str) -> None:
    """Prepare to die at `point:n`; "" never. Raises ValueError for a point that does not exist."""
    global _armed, _left
    name, _, number = text.partition(":")
    if name and name not in POINTS:
        raise ValueError(f"PUBLISHER_FAULT: there is no point {name!r}; there are {', '.join(POINTS)}")
    _armed, _left = name or None, int(number or 1)


def point(name: str) -> None:
    """Die here if that was asked for."""
    global _left  # noqa: PLW0603 - a crash is an affair of the whole process
    if _armed == name:
        _left -= 1
        if _left == 0:
            os._exit(137)  # as after SIGKILL: no buffers flushed, no handlers run


arm(os.environ.get("PUBLISHER_FAULT", ""))
