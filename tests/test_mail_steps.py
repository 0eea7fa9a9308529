"""What follows from an attempt: the state machine of spec delivery §5.2, without database or server."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from publisher.mail.replies import classify
from publisher.mail.steps import USUAL, Policy, Step, next_step
from publisher.model import Attempt, Claimed, DeliveryState, Outcome, Recorded

NOW = datetime(2026, 11, 23, 7, 0, tzinfo=UTC)
CLAIMED = Claimed(
    id=7,
    issue_id=1,
    segment_id=1,
    subscription_id=3,
    epoch=5,
    attempt=1,
    address="r@example.net",
    name="",
    date_at=NOW,
    message_id="<a.b@example.org>",
    expires_at=NOW + timedelta(hours=36),
    ambiguous=0,
)


def attempt(phase: str, code: int | None, text: str) -> Attempt:
    return Attempt(outcome=classify(phase, code, text).outcome, code=code, text=text, phase=phase)


def step(tried: Attempt, claimed: Claimed = CLAIMED, policy: Policy = USUAL, chance: float = 0.5) -> Step:
    return next_step(tried, claimed, now=NOW, policy=policy, chance=chance)


def test_an_accepted_message_is_sent() -> None:
    """With the server's words."""
    tried = attempt("dot", 250, "2.0.0 queued as 1")
    assert step(tried) == Step(
        Recorded(
            delivery_id=7, epoch=5, state=DeliveryState.SENT, reason="", attempt=tried, next_at=None, ambiguous=False
        )
    )


def test_a_deferred_message_waits_longer_each_time() -> None:
    """Spec mail §1.6: 5 min × 2ⁿ, at most 67 min, ±20 %."""
    tried = attempt("rcpt", 450, "4.2.0 greylisted")
    waits = []
    for number in range(1, 7):
        record = step(tried, replace(CLAIMED, attempt=number)).record
        assert record.state is DeliveryState.DEFERRED
        assert record.next_at is not None
        waits.append((record.next_at - NOW).total_seconds() / 60)
    assert waits == [5, 10, 20, 40, 67, 67]
    assert [USUAL.pause(1, chance) for chance in (0.0, 1.0)] == [timedelta(minutes=4), timedelta(minutes=6)]


def test_a_message_that_would_come_too_late_expires() -> None:
    """§5.2: never re-rendered, never sent after its time; the words stay."""
    late = replace(CLAIMED, expires_at=NOW + timedelta(minutes=5))
    record = step(attempt("rcpt", 450, "4.2.0 greylisted"), late).record
    assert (record.state, record.reason, record.next_at) == (DeliveryState.EXPIRED, "rcpt: 450 4.2.0 greylisted", None)


def test_an_unknown_address_is_suppressed_with_the_evidence() -> None:
    """Spec mail §1.7: only at RCPT; a refusal after the dot fails the delivery alone."""
    gone = step(attempt("rcpt", 550, "5.1.1 no such user"))
    assert (gone.record.state, gone.suppress) == (DeliveryState.FAILED, "rcpt: 550 5.1.1 no such user")
    later = step(attempt("dot", 550, "5.1.1 no such user"))
    assert (later.record.state, later.suppress) == (DeliveryState.FAILED, "")


@pytest.mark.parametrize(
    "tried",
    [
        attempt("connect", None, "cannot connect"),
        attempt("connect", 554, "5.7.1 blocked"),
        attempt("tls", None, "no STARTTLS"),
        attempt("auth", 535, "5.7.8 wrong password"),
        attempt("mail", 550, "5.1.8 sender refused"),
        attempt("rcpt", 530, "5.7.0 authentication required"),
    ],
    ids=lambda tried: f"{tried.phase} {tried.code}",
)
def test_what_is_no_readers_fault_holds_the_transport_and_keeps_the_queue(tried: Attempt) -> None:
    """§5.3, H5–H8: recipients untouched, due again as soon as the fault is mended."""
    came = step(tried)
    assert (came.record.state, came.record.next_at, came.suppress) == (DeliveryState.DEFERRED, NOW, "")
    assert came.hold.startswith(tried.phase)


def test_an_unknown_outcome_is_tried_once_more_and_then_left_to_people() -> None:
    """P2: at most two ambiguous attempts in a delivery's life; `hold` allows one and never repeats."""
    tried = attempt("dot", None, "no reply within 600 s")
    first, second = step(tried).record, step(tried, replace(CLAIMED, ambiguous=1)).record
    held = step(tried, policy=Policy(on_uncertain="hold")).record
    assert [(r.state, r.ambiguous) for r in (first, second, held)] == [
        (DeliveryState.DEFERRED, True),
        (DeliveryState.UNCERTAIN, True),
        (DeliveryState.UNCERTAIN, True),
    ]


def test_what_may_have_been_sent_never_expires() -> None:
    """Expired means certainly not sent: else the next issue would bring the same articles again."""
    late = replace(CLAIMED, expires_at=NOW + timedelta(minutes=1))
    assert step(attempt("dot", None, "closed"), late).record.state is DeliveryState.UNCERTAIN
    doubtful = replace(late, ambiguous=1)
    assert step(attempt("rcpt", 450, "4.2.0 greylisted"), doubtful).record.state is DeliveryState.UNCERTAIN


def test_a_throttled_transport_rests() -> None:
    """H21: nobody is blamed."""
    came = step(attempt("rcpt", 421, "4.7.0 too fast"))
    assert (came.record.state, came.hold) == (DeliveryState.DEFERRED, "rcpt: 421 4.7.0 too fast")


PHASES = ["connect", "tls", "auth", "message", "mail", "rcpt", "data", "body", "dot"]


@given(
    st.sampled_from(PHASES),
    st.none() | st.integers(200, 599),
    st.sampled_from(["", "5.1.1 no such user", "4.2.0 later", "5.7.1 spam", "5.3.4 big"]),
    st.integers(1, 40),
    st.integers(0, 1),
    st.integers(-10, 3000),
    st.sampled_from(["retry", "hold"]),
    st.floats(0, 1, exclude_max=True),
)
def test_the_machine_keeps_its_promises(
    phase: str, code: int | None, text: str, number: int, ambiguous: int, minutes: int, mode: str, chance: float
) -> None:
    """P1, P2: sent only if accepted; waiting only until it expires; an unknown outcome bounded; reasons always."""
    claimed = replace(CLAIMED, attempt=number, ambiguous=ambiguous, expires_at=NOW + timedelta(minutes=minutes))
    tried = attempt(phase, code, text)
    policy = Policy(on_uncertain="hold" if mode == "hold" else "retry")
    came = step(tried, claimed, policy, chance)
    state = came.record.state
    assert (state is DeliveryState.SENT) == (tried.outcome is Outcome.ACCEPTED)
    assert came.record.ambiguous == (tried.outcome is Outcome.AMBIGUOUS)
    assert (came.record.next_at is not None) == (state is DeliveryState.DEFERRED)
    if came.record.ambiguous and (mode == "hold" or ambiguous):
        assert state is DeliveryState.UNCERTAIN
    if state is DeliveryState.DEFERRED and not came.hold:
        assert came.record.next_at is not None
        assert came.record.next_at < claimed.expires_at
    assert state is DeliveryState.SENT or came.record.reason
    assert not came.suppress or state is DeliveryState.FAILED
