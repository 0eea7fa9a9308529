"""What replies mean: the table of spec mail §1.7 by example."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from publisher.mail.replies import Reply, ReplyClass, classify, enhanced_status
from publisher.model import Outcome

ACCEPTED, DEFERRED, REFUSED, AMBIGUOUS = Outcome.ACCEPTED, Outcome.DEFERRED, Outcome.REFUSED, Outcome.AMBIGUOUS
C = ReplyClass

EXAMPLES: list[tuple[str, int | None, str, Outcome, ReplyClass]] = [
    # sent
    ("dot", 250, "2.0.0 queued", ACCEPTED, C.SENT),
    ("dot", 251, "will forward", ACCEPTED, C.SENT),
    # ambiguous
    ("dot", None, "the server closed the connection", AMBIGUOUS, C.RETRY),
    ("dot", 354, "go on", AMBIGUOUS, C.RETRY),
    # retry
    ("rcpt", 450, "4.2.0 greylisted, come back in 300 s", DEFERRED, C.RETRY),
    ("rcpt", 450, "4.2.1 receiving too quickly", DEFERRED, C.RETRY),
    ("rcpt", 452, "4.2.2 mailbox full", DEFERRED, C.RETRY),
    ("dot", 451, "4.3.0 try again", DEFERRED, C.RETRY),
    ("rcpt", 451, "4.7.1 please wait", DEFERRED, C.RETRY),
    ("connect", None, "cannot connect", DEFERRED, C.RETRY),
    ("rcpt", None, "the server closed the connection", DEFERRED, C.RETRY),
    ("data", None, "unexpected reply: 250 ok", DEFERRED, C.RETRY),
    ("body", None, "the server took nothing for 180 s", DEFERRED, C.RETRY),
    ("auth", 454, "4.7.0 temporary authentication failure", DEFERRED, C.RETRY),
    # throttle
    ("connect", 421, "4.3.2 busy", DEFERRED, C.THROTTLE),
    ("mail", 421, "4.7.0 [TSS04] temporarily deferred", DEFERRED, C.THROTTLE),
    ("rcpt", 421, "4.7.28 unusual rate", DEFERRED, C.THROTTLE),
    ("rcpt", 451, "4.7.650 The mail server [192.0.2.1] has been temporarily rate limited", DEFERRED, C.THROTTLE),
    ("rcpt", 451, "4.7.500 Server busy", DEFERRED, C.THROTTLE),
    ("rcpt", 452, "4.5.3 too many recipients", DEFERRED, C.THROTTLE),
    ("mail", 450, "too many connections from your host", DEFERRED, C.THROTTLE),
    # suppress
    ("rcpt", 550, "5.1.1 The email account that you tried to reach does not exist", REFUSED, C.SUPPRESS),
    ("rcpt", 550, "5.1.10 null MX", REFUSED, C.SUPPRESS),
    ("rcpt", 550, "5.2.1 The email account that you tried to reach is disabled", REFUSED, C.SUPPRESS),
    ("rcpt", 550, "5.4.310 DNS domain does not exist", REFUSED, C.SUPPRESS),
    ("rcpt", 550, "No such user here", REFUSED, C.SUPPRESS),
    ("rcpt", 553, "sorry, recipient unknown", REFUSED, C.SUPPRESS),
    ("rcpt", 550, "Requested action not taken: mailbox unavailable or user unknown", REFUSED, C.SUPPRESS),
    # soft: never suppressed at once
    ("dot", 550, "5.1.1 no such user", REFUSED, C.SOFT),
    ("rcpt", 552, "5.2.2 over quota", REFUSED, C.SOFT),
    ("rcpt", 554, "mailbox is full", REFUSED, C.SOFT),
    ("rcpt", 550, "Requested action not taken", REFUSED, C.SOFT),
    # policy: ours, not the reader's
    ("rcpt", 550, "5.7.1 Service unavailable; client host blocked using RBL", REFUSED, C.POLICY),
    ("dot", 550, "5.7.26 This mail is unauthenticated", REFUSED, C.POLICY),
    ("dot", 550, "5.7.515 Access denied, sending domain does not meet the required level", REFUSED, C.POLICY),
    ("mail", 550, "5.7.606 Access denied, banned sending IP", REFUSED, C.POLICY),
    ("connect", 554, "5.7.1 blocked", REFUSED, C.POLICY),
    ("dot", 554, "Message rejected as spam", REFUSED, C.POLICY),
    # message
    ("mail", 552, "5.3.4 message too big", REFUSED, C.MESSAGE),
    ("dot", 552, "message size exceeds limit", REFUSED, C.MESSAGE),
    ("dot", 554, "5.6.0 bad content", REFUSED, C.MESSAGE),
    ("dot", 550, "5.7.1 Messages not RFC 5322 compliant", REFUSED, C.MESSAGE),
    ("dot", 554, "transaction failed", REFUSED, C.MESSAGE),
    ("message", None, "the message has 9 octets, the server takes 5 at most", REFUSED, C.MESSAGE),
    # config
    ("auth", 535, "5.7.8 bad credentials", REFUSED, C.CONFIG),
    ("auth", None, "the server offers none of the ways to log in", REFUSED, C.CONFIG),
    ("tls", None, "TLS: certificate verify failed", REFUSED, C.CONFIG),
    ("mail", 530, "5.7.0 Authentication required", REFUSED, C.CONFIG),
    ("mail", 550, "5.1.8 sender refused", REFUSED, C.CONFIG),
    ("mail", 553, "sender address rejected: not owned by user", REFUSED, C.CONFIG),
    ("rcpt", 501, "5.5.4 invalid argument", REFUSED, C.CONFIG),
    ("rcpt", 503, "bad sequence of commands", REFUSED, C.CONFIG),
    ("connect", 501, "5.5.4 HELO argument invalid", REFUSED, C.CONFIG),
]


@pytest.mark.parametrize(("phase", "code", "text", "outcome", "kind"), EXAMPLES)
def test_a_reply_has_its_outcome_and_class(
    phase: str, code: int | None, text: str, outcome: Outcome, kind: ReplyClass
) -> None:
    """Spec mail §1.7, delivery §5.3."""
    assert classify(phase, code, text) == Reply(outcome, kind)


@pytest.mark.parametrize(
    ("code", "text", "status"),
    [
        (550, "5.1.1 gone", "5.1.1"),
        (550, " 5.01.001 gone", "5.1.1"),
        (550, "4.1.1 gone", ""),
        (550, "gone 5.1.1", ""),
        (550, "5.1.1000 gone", ""),
        (None, "5.1.1 gone", ""),
    ],
)
def test_an_enhanced_code_counts_only_where_it_agrees(code: int | None, text: str, status: str) -> None:
    """RFC 2034: it starts the text, and its class is the reply's."""
    assert enhanced_status(code, text) == status


PHASES = ["connect", "tls", "auth", "message", "mail", "rcpt", "data", "body", "dot"]


@given(st.sampled_from(PHASES), st.none() | st.integers(200, 599), st.text(max_size=80))
def test_only_the_dot_is_ever_ambiguous_and_only_rcpt_suppresses(phase: str, code: int | None, text: str) -> None:
    """P2, P3 of delivery §5.3: no other side of the gap leaves a doubt, no other command names an address."""
    reply = classify(phase, code, text)
    unanswered = code is None or code // 100 == 3
    assert (reply.outcome is AMBIGUOUS) == (phase == "dot" and unanswered)
    assert (reply.outcome is ACCEPTED) == (phase == "dot" and code is not None and code // 100 == 2)
    assert (reply.kind is C.SENT) == (reply.outcome is ACCEPTED)
    if reply.kind is C.SUPPRESS:
        assert (phase, reply.outcome) == ("rcpt", REFUSED)
