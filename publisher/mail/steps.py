"""What an attempt means for its delivery: pure decisions over what was claimed, what came of it and what time it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Literal

from publisher.mail.replies import ReplyClass, classify
from publisher.model import Attempt, Claimed, DeliveryState, Outcome, Recorded

GIVEN_UP = Attempt(outcome=Outcome.AMBIGUOUS, code=None, text="given up while stopping", phase="dot")
"""What is known of a message that was under way when a stop could wait no longer."""

MAX_AMBIGUOUS = 2
"""Attempts of one delivery whose outcome nobody knows, in its whole life: nobody gets more than two copies (P2)."""

CONNECTING = ("connect", "tls", "auth")
"""Phases in which no recipient has been named yet."""

NAMED = ("rcpt", "data", "body", "dot")
"""Phases in which one has been, so that a reply may be about this recipient or who takes their mail."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """What follows from a class of reply, beside what its outcome says: refused fails, deferred is tried again."""

    suppress: bool = False
    """The address is never mailed again."""
    soft: Literal["", "now", "at expiry"] = ""
    """When it counts as an event against the reader; three issues in two weeks are too many (spec mail §1.7)."""
    slows: bool = False
    """The recipient's provider gets mail at half the rate; said before a recipient was named, the transport rests."""
    rests: bool = False
    """The transport rests, and the delivery is due as it was, whatever the outcome: nothing was about it."""
    trips: Literal["", "transport", "issue"] = ""
    """What the breaker stops when such replies come in number."""


ACTIONS: Mapping[ReplyClass, Action] = MappingProxyType(
    {
        ReplyClass.SENT: Action(),
        ReplyClass.RETRY: Action(soft="at expiry"),
        ReplyClass.THROTTLE: Action(slows=True),
        ReplyClass.SUPPRESS: Action(suppress=True),
        ReplyClass.SOFT: Action(soft="now"),
        ReplyClass.POLICY: Action(trips="transport"),
        ReplyClass.MESSAGE: Action(trips="issue"),
        ReplyClass.CONFIG: Action(rests=True),
    }
)
"""The actions of spec mail §1.7; only `suppress` and `soft` ever count against a reader."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """How patient and how careful sending is (spec mail §1.6, delivery §5.2)."""

    on_uncertain: Literal["retry", "hold"] = "retry"
    """After an attempt of unknown outcome: send once more (same bytes), or leave it to the operator."""
    first_pause: timedelta = timedelta(minutes=5)
    longest_pause: timedelta = timedelta(minutes=67)
    jitter: float = 0.2
    """Part of a pause by which it is longer or shorter, so that what failed together does not return together."""

    def pause(self, attempt: int, chance: float) -> timedelta:
        """Return the wait after the n-th attempt: doubled each time up to the longest. `chance` is in [0, 1)."""
        doubled = self.first_pause * (1 << min(attempt - 1, 16))
        return min(doubled, self.longest_pause) * (1 + self.jitter * (2 * chance - 1))


USUAL = Policy()


@dataclass(frozen=True, slots=True)
class Step:
    """What follows from an attempt."""

    record: Recorded
    address: str = ""
    """The recipient's."""
    suppress: str = ""
    """Why the address is never to be mailed again; "" when it may be."""
    soft: str = ""
    """What counts against the reader until it proves to have passed; "" when nothing does."""
    slow: str = ""
    """Why the recipient's provider should get less mail in an hour; "" when it bears what it gets."""
    hold: str = ""
    """Why nothing more should be sent over this transport for now; "" when all is well with it."""


def next_step(attempt: Attempt, claimed: Claimed, *, now: datetime, policy: Policy, chance: float) -> Step:
    """Decide what the ledger shall say; nothing but an address fault ever counts against a reader."""
    if attempt.outcome is Outcome.ACCEPTED:
        return Step(_recorded(claimed, attempt, DeliveryState.SENT))
    if attempt.outcome is Outcome.AMBIGUOUS:
        return Step(_ambiguous(attempt, claimed, now, policy, chance))
    kind, words = classify(attempt.phase, attempt.code, attempt.text).kind, _words(attempt)
    action = ACTIONS[kind]
    if attempt.phase in CONNECTING or action.rests:
        # Whoever mends the account or the network need not wait for a pause that the reader did not cause.
        return Step(_recorded(claimed, attempt, DeliveryState.DEFERRED, next_at=now), claimed.address, hold=words)
    named = attempt.phase in NAMED
    if attempt.outcome is Outcome.REFUSED:
        record = _recorded(claimed, attempt, DeliveryState.FAILED)
    else:
        record = _deferred(attempt, claimed, now, policy, chance)
    # A server that says nothing about a recipient until the delivery expires may be ours, or the line to it.
    tired = record.state is DeliveryState.EXPIRED and named and attempt.code is not None
    return Step(
        record,
        claimed.address,
        suppress=words if action.suppress else "",
        soft=words if action.soft == "now" or (action.soft == "at expiry" and tired) else "",
        slow=words if action.slows and named else "",
        hold=words if action.slows and not named else "",
    )


def _ambiguous(attempt: Attempt, claimed: Claimed, now: datetime, policy: Policy, chance: float) -> Recorded:
    if policy.on_uncertain == "hold" or claimed.ambiguous + 1 >= MAX_AMBIGUOUS:
        return _recorded(claimed, attempt, DeliveryState.UNCERTAIN, ambiguous=True)
    next_at = now + policy.pause(claimed.attempt, chance)
    if next_at >= claimed.expires_at:
        return _recorded(
            claimed, attempt, DeliveryState.UNCERTAIN, ambiguous=True
        )  # it may have been sent: not expired
    return _recorded(claimed, attempt, DeliveryState.DEFERRED, next_at=next_at, ambiguous=True)


def _deferred(attempt: Attempt, claimed: Claimed, now: datetime, policy: Policy, chance: float) -> Recorded:
    next_at = now + policy.pause(claimed.attempt, chance)
    if next_at < claimed.expires_at:
        return _recorded(claimed, attempt, DeliveryState.DEFERRED, next_at=next_at)
    # An earlier attempt may have reached the reader, and then "expired" would be a lie that sends the articles again.
    state = DeliveryState.UNCERTAIN if claimed.ambiguous else DeliveryState.EXPIRED
    return _recorded(claimed, attempt, state)


def _recorded(
    claimed: Claimed,
    attempt: Attempt,
    state: DeliveryState,
    *,
    next_at: datetime | None = None,
    ambiguous: bool = False,
) -> Recorded:
    return Recorded(
        delivery_id=claimed.id,
        epoch=claimed.epoch,
        state=state,
        reason="" if state is DeliveryState.SENT else _words(attempt),
        attempt=attempt,
        next_at=next_at,
        ambiguous=ambiguous,
    )


def _words(attempt: Attempt) -> str:
    """Return the reason as an operator reads it: where, and the server's words."""
    code = f"{attempt.code} " if attempt.code is not None else ""
    return f"{attempt.phase}: {code}{attempt.text}"
