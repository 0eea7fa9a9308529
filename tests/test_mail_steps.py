"""What follows from an attempt: the state machine of spec delivery §5.2, without database or server."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from publisher.mail.replies import ReplyClass, classify
from publisher.mail.steps import ACTIONS, USUAL, Policy, Step, next_step
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
        record = step(tried, CLAIMED._replace(attempt=number)).record
        assert record.state is DeliveryState.DEFERRED
        assert record.next_at is not None
        waits.append((record.next_at - NOW).total_seconds() / 60)
    assert waits == [5, 10, 20, 40, 67, 67]
    assert [USUAL.pause(1, chance) for chance in (0.0, 1.0)] == [timedelta(minutes=4), timedelta(minutes=6)]


def test_a_message_that_would_come_too_late_expires() -> None:
    """§5.2: never re-rendered, never sent after its time; the words stay."""
    late = CLAIMED._replace(expires_at=NOW + timedelta(minutes=5))
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
    first, second = step(tried).record, step(tried, CLAIMED._replace(ambiguous=1)).record
    held = step(tried, policy=Policy(on_uncertain="hold")).record
    assert [(r.state, r.ambiguous) for r in (first, second, held)] == [
        (DeliveryState.DEFERRED, True),
        (DeliveryState.UNCERTAIN, True),
        (DeliveryState.UNCERTAIN, True),
    ]


def test_what_may_have_been_sent_never_expires() -> None:
    """Expired means certainly not sent: else the next issue would bring the same articles again."""
    late = CLAIMED._replace(expires_at=NOW + timedelta(minutes=1))
    assert step(attempt("dot", None, "closed"), late).record.state is DeliveryState.UNCERTAIN
    doubtful = late._replace(ambiguous=1)
    assert step(attempt("rcpt", 450, "4.2.0 greylisted"), doubtful).record.state is DeliveryState.UNCERTAIN


# Spec mail §1.7, a line each: what the server says, and what follows. "at" is the phase, "waits" is tried again later,
# "stays" is due as it was.
LINES = [
    ("sent", "dot", 250, "2.0.0 queued as 4FzX", DeliveryState.SENT, {}),
    ("retry", "rcpt", 450, "4.2.0 greylisted", DeliveryState.DEFERRED, {}),
    ("retry", "rcpt", 450, "4.2.1 receiving mail too quickly", DeliveryState.DEFERRED, {}),
    ("retry", "rcpt", 452, "4.2.2 mailbox full", DeliveryState.DEFERRED, {}),
    ("retry", "dot", 451, "4.3.0 try again", DeliveryState.DEFERRED, {}),
    ("retry", "dot", 451, "4.4.2 timeout", DeliveryState.DEFERRED, {}),
    ("retry", "body", None, "closed", DeliveryState.DEFERRED, {}),
    ("throttle", "rcpt", 421, "too much mail", DeliveryState.DEFERRED, {"slow"}),
    ("throttle", "dot", 421, "4.7.0 [TSS04] deferred", DeliveryState.DEFERRED, {"slow"}),
    ("throttle", "dot", 421, "4.7.28 unusual rate", DeliveryState.DEFERRED, {"slow"}),
    ("throttle", "rcpt", 451, "4.7.500 server busy", DeliveryState.DEFERRED, {"slow"}),
    ("throttle", "rcpt", 451, "4.7.650 rate limited", DeliveryState.DEFERRED, {"slow"}),
    ("throttle", "rcpt", 451, "4.7.850 limit", DeliveryState.DEFERRED, {"slow"}),
    ("throttle", "rcpt", 452, "4.5.3 too many recipients", DeliveryState.DEFERRED, {"slow"}),
    ("throttle", "rcpt", 451, "max message per connection reached", DeliveryState.DEFERRED, {"slow"}),
    ("throttle", "rcpt", 450, "too many connections", DeliveryState.DEFERRED, {"slow"}),
    ("throttle", "connect", 421, "too many connections", DeliveryState.DEFERRED, {"hold"}),
    ("throttle", "mail", 421, "slow down", DeliveryState.DEFERRED, {"hold"}),
    ("suppress", "rcpt", 550, "5.1.1 no such user", DeliveryState.FAILED, {"suppress"}),
    ("suppress", "rcpt", 550, "5.1.2 bad domain", DeliveryState.FAILED, {"suppress"}),
    ("suppress", "rcpt", 556, "5.1.10 null MX", DeliveryState.FAILED, {"suppress"}),
    ("suppress", "rcpt", 550, "5.2.1 disabled", DeliveryState.FAILED, {"suppress"}),
    ("suppress", "rcpt", 550, "5.7.17 changed owner", DeliveryState.FAILED, {"suppress"}),
    ("suppress", "rcpt", 550, "5.4.4 no route: domain gone", DeliveryState.FAILED, {"suppress"}),
    ("suppress", "rcpt", 550, "user unknown", DeliveryState.FAILED, {"suppress"}),
    ("soft", "rcpt", 552, "5.2.2 over quota", DeliveryState.FAILED, {"soft"}),
    ("soft", "rcpt", 550, "5.2.3 too long for this mailbox", DeliveryState.FAILED, {"soft"}),
    ("soft", "dot", 554, "mailbox full", DeliveryState.FAILED, {"soft"}),
    ("soft", "dot", 550, "5.1.1 no such user", DeliveryState.FAILED, {"soft"}),
    ("soft", "dot", 550, "5.4.7 expired", DeliveryState.FAILED, {"soft"}),
    ("policy", "rcpt", 550, "5.7.1 blocked by an RBL", DeliveryState.FAILED, {}),
    ("policy", "dot", 550, "5.7.26 unauthenticated", DeliveryState.FAILED, {}),
    ("policy", "dot", 550, "5.7.515 access denied", DeliveryState.FAILED, {}),
    ("policy", "dot", 451, "4.7.26 unauthenticated", DeliveryState.DEFERRED, {}),
    ("policy", "connect", 554, "5.7.1 no reverse name", DeliveryState.DEFERRED, {"hold"}),
    ("message", "dot", 552, "5.3.4 too big", DeliveryState.FAILED, {}),
    ("message", "dot", 554, "5.6.0 bad content", DeliveryState.FAILED, {}),
    ("message", "dot", 550, "5.7.1 not RFC 5322 compliant", DeliveryState.FAILED, {}),
    ("message", "message", None, "smtputf8-unsupported", DeliveryState.FAILED, {}),
    ("config", "auth", 535, "5.7.8 wrong password", DeliveryState.DEFERRED, {"hold"}),
    ("config", "rcpt", 530, "5.7.0 authentication required", DeliveryState.DEFERRED, {"hold"}),
    ("config", "mail", 553, "5.1.8 sender refused", DeliveryState.DEFERRED, {"hold"}),
    ("config", "rcpt", 503, "5.5.1 bad sequence", DeliveryState.DEFERRED, {"hold"}),
    ("config", "tls", None, "certificate expired", DeliveryState.DEFERRED, {"hold"}),
    ("retry", "auth", 454, "4.7.0 temporary failure", DeliveryState.DEFERRED, {"hold"}),
    ("retry", "dot", None, "no reply within 600 s", DeliveryState.DEFERRED, {}),
]


@pytest.mark.parametrize(
    ("kind", "phase", "code", "text", "state", "marks"), LINES, ids=[f"{line[1]} {line[2]} {line[3]}" for line in LINES]
)
def test_each_class_of_reply_has_its_action(
    kind: str, phase: str, code: int | None, text: str, state: DeliveryState, marks: set[str]
) -> None:
    """Spec mail §1.7: only suppress and soft count against a reader, only throttle slows, config makes all wait."""
    assert classify(phase, code, text).kind == kind
    came = step(attempt(phase, code, text))
    words = f"{phase}: {code or ''}{' ' if code else ''}{text}"
    assert came.record.state is state
    assert {name: getattr(came, name) for name in ("suppress", "soft", "slow", "hold") if getattr(came, name)} == (
        dict.fromkeys(marks, words)
    )
    assert (came.record.next_at == NOW) == (("hold" in marks and kind != "throttle") or phase in ("connect", "auth"))


def test_every_class_has_an_action() -> None:
    assert set(ACTIONS) == set(ReplyClass)


def test_a_reader_is_scored_at_expiry_for_what_the_server_said_of_them_alone() -> None:
    """Spec mail §1.7, retry: a lost line, our own pace or a throttling provider is no reader's fault."""
    late = CLAIMED._replace(expires_at=NOW + timedelta(minutes=1))
    said = [
        ("rcpt", 450, "4.2.2 mailbox full"),
        ("rcpt", None, "closed"),
        ("rcpt", 421, "4.7.28 slow down"),
        ("dot", 451, "4.7.26 unauthenticated"),
        ("mail", 451, "4.3.0 try again"),
    ]
    came = [step(attempt(*reply), late) for reply in said]
    assert {one.record.state for one in came} == {DeliveryState.EXPIRED}
    assert [one.soft for one in came] == ["rcpt: 450 4.2.2 mailbox full", "", "", "", ""]


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
    claimed = CLAIMED._replace(attempt=number, ambiguous=ambiguous, expires_at=NOW + timedelta(minutes=minutes))
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
    assert not came.soft or state in (DeliveryState.FAILED, DeliveryState.EXPIRED, DeliveryState.DEFERRED)
    assert not (came.soft and (came.suppress or came.slow or came.hold))
