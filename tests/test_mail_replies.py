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
    ("dot", 150, "wait", AMBIGUOUS, C.RETRY),
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
    ("tls", 454, "4.7.0 TLS not available due to temporary reason", DEFERRED, C.RETRY),
    ("rcpt", 450, "4.4.1 no answer from host", DEFERRED, C.RETRY),
    ("mail", 450, "4.1.8 <news@example.org>: Sender address rejected: Domain not found", DEFERRED, C.RETRY),
    ("rcpt", 451, "greylisted, please try again in 300 seconds", DEFERRED, C.RETRY),
    # throttle
    ("connect", 421, "4.3.2 busy", DEFERRED, C.THROTTLE),
    ("mail", 421, "4.7.0 [TSS04] temporarily deferred", DEFERRED, C.THROTTLE),
    ("rcpt", 421, "4.7.28 unusual rate", DEFERRED, C.THROTTLE),
    ("rcpt", 451, "4.7.650 The mail server [192.0.2.1] has been temporarily rate limited", DEFERRED, C.THROTTLE),
    ("rcpt", 451, "4.7.500 Server busy", DEFERRED, C.THROTTLE),
    ("rcpt", 452, "4.5.3 too many recipients", DEFERRED, C.THROTTLE),
    ("mail", 450, "too many connections from your host", DEFERRED, C.THROTTLE),
    ("dot", 421, "too many messages on this connection", DEFERRED, C.THROTTLE),
    ("auth", 421, "4.7.0 try again later", DEFERRED, C.THROTTLE),
    ("rcpt", 451, "4.7.501 too much mail from you", DEFERRED, C.THROTTLE),
    ("rcpt", 451, "4.7.699 Server busy", DEFERRED, C.THROTTLE),
    ("rcpt", 450, "4.7.850 rate", DEFERRED, C.THROTTLE),
    ("rcpt", 450, "4.7.899 rate", DEFERRED, C.THROTTLE),
    ("mail", 451, "max message per connection reached", DEFERRED, C.THROTTLE),
    ("rcpt", 451, "4.7.1 Rate limit exceeded", DEFERRED, C.THROTTLE),
    ("dot", 454, "Throttling failure: Maximum sending rate exceeded.", DEFERRED, C.THROTTLE),
    ("rcpt", 450, "4.7.1 Server busy, slow down", DEFERRED, C.THROTTLE),
    # suppress
    ("rcpt", 550, "5.1.1 The email account that you tried to reach does not exist", REFUSED, C.SUPPRESS),
    ("rcpt", 550, "5.1.10 null MX", REFUSED, C.SUPPRESS),
    ("rcpt", 550, "5.2.1 The email account that you tried to reach is disabled", REFUSED, C.SUPPRESS),
    ("rcpt", 550, "5.4.310 DNS domain does not exist", REFUSED, C.SUPPRESS),
    ("rcpt", 550, "No such user here", REFUSED, C.SUPPRESS),
    ("rcpt", 553, "sorry, recipient unknown", REFUSED, C.SUPPRESS),
    ("rcpt", 550, "Requested action not taken: mailbox unavailable or user unknown", REFUSED, C.SUPPRESS),
    ("rcpt", 550, "5.1.2 bad destination system", REFUSED, C.SUPPRESS),
    ("rcpt", 553, "5.1.3 bad destination syntax", REFUSED, C.SUPPRESS),
    ("rcpt", 551, "5.1.6 mailbox has moved", REFUSED, C.SUPPRESS),
    ("rcpt", 550, "5.4.4 domain does not exist", REFUSED, C.SUPPRESS),
    ("rcpt", 550, "5.7.13 user account disabled", REFUSED, C.SUPPRESS),
    ("rcpt", 550, "5.7.17 mailbox owner has changed", REFUSED, C.SUPPRESS),
    ("rcpt", 550, "5.7.18 domain owner has changed", REFUSED, C.SUPPRESS),
    ("rcpt", 550, "5.1.0 Address rejected: user unknown", REFUSED, C.SUPPRESS),
    ("rcpt", 551, "account does not exist", REFUSED, C.SUPPRESS),
    ("rcpt", 554, "delivery error: dd This user doesn't have a yahoo.com account", REFUSED, C.SUPPRESS),
    ("rcpt", 550, "Unrouteable address", REFUSED, C.SUPPRESS),
    ("rcpt", 550, "5.0.0 <gone@example.net>... User unknown", REFUSED, C.SUPPRESS),
    ("rcpt", 550, "<spam-quota@example.net>: no such user", REFUSED, C.SUPPRESS),
    ("rcpt", 550, "5.1.1 <blocklist@example.net>: Recipient address rejected", REFUSED, C.SUPPRESS),
    # soft: never suppressed at once
    ("dot", 550, "5.1.1 no such user", REFUSED, C.SOFT),
    ("rcpt", 552, "5.2.2 over quota", REFUSED, C.SOFT),
    ("rcpt", 554, "mailbox is full", REFUSED, C.SOFT),
    ("rcpt", 550, "Requested action not taken", REFUSED, C.SOFT),
    ("dot", 550, "no such user", REFUSED, C.SOFT),
    ("rcpt", 554, "5.2.3 message length exceeds the limit of the mailbox", REFUSED, C.SOFT),
    ("rcpt", 554, "5.4.7 delivery time expired", REFUSED, C.SOFT),
    ("rcpt", 451, "4.4.7 message expired", DEFERRED, C.SOFT),
    ("rcpt", 550, "5.5.0 Requested action not taken: mailbox unavailable", REFUSED, C.SOFT),
    ("rcpt", 550, "5.4.1 Recipient address rejected: Access denied", REFUSED, C.SOFT),
    ("rcpt", 550, "5.7.133 sender not authenticated for group", REFUSED, C.SOFT),
    ("rcpt", 501, "bad address syntax", REFUSED, C.SOFT),
    (
        "rcpt",
        550,
        "5.2.1 The user you are trying to contact is receiving mail at a rate that prevents additional messages",
        REFUSED,
        C.SOFT,
    ),
    # policy: ours, not the reader's
    ("rcpt", 550, "5.7.1 Service unavailable; client host blocked using RBL", REFUSED, C.POLICY),
    ("dot", 550, "5.7.26 This mail is unauthenticated", REFUSED, C.POLICY),
    ("dot", 550, "5.7.515 Access denied, sending domain does not meet the required level", REFUSED, C.POLICY),
    ("mail", 550, "5.7.606 Access denied, banned sending IP", REFUSED, C.POLICY),
    ("connect", 554, "5.7.1 blocked", REFUSED, C.POLICY),
    ("dot", 554, "Message rejected as spam", REFUSED, C.POLICY),
    ("rcpt", 550, "5.7.25 no PTR", REFUSED, C.POLICY),
    ("dot", 550, "5.7.27 SPF", REFUSED, C.POLICY),
    ("dot", 550, "5.7.28 unsolicited", REFUSED, C.POLICY),
    ("dot", 550, "5.7.29 TLS required", REFUSED, C.POLICY),
    ("dot", 550, "5.7.30 DKIM", REFUSED, C.POLICY),
    ("dot", 550, "5.7.32 alignment", REFUSED, C.POLICY),
    ("dot", 550, "5.7.509 Access denied, sending domain does not pass DMARC verification", REFUSED, C.POLICY),
    ("mail", 550, "5.7.511 Access denied, banned sender", REFUSED, C.POLICY),
    ("mail", 550, "5.7.649 banned", REFUSED, C.POLICY),
    ("dot", 550, "5.7.1 rejected by the DMARC policy of example.org", REFUSED, C.POLICY),
    ("dot", 554, "5.7.9 Message not accepted for policy reasons", REFUSED, C.POLICY),
    ("dot", 554, "Message not allowed - [PH01] Email not accepted for policy reasons", REFUSED, C.POLICY),
    ("dot", 421, "4.7.26 rate limited because it is unauthenticated", DEFERRED, C.POLICY),
    ("dot", 451, "4.7.23 no PTR record", DEFERRED, C.POLICY),
    ("dot", 451, "4.7.27 SPF", DEFERRED, C.POLICY),
    ("dot", 451, "4.7.30 DKIM", DEFERRED, C.POLICY),
    ("dot", 451, "4.7.32 alignment", DEFERRED, C.POLICY),
    ("rcpt", 450, "4.7.25 Client host rejected: cannot find your hostname", DEFERRED, C.POLICY),
    ("rcpt", 550, "5.1.1 blocked, see https://www.spamhaus.org/lookup", REFUSED, C.POLICY),
    ("rcpt", 550, "sender address rejected", REFUSED, C.POLICY),
    ("dot", 554, "5.7.0 Reject, id=1 - SPAM", REFUSED, C.POLICY),
    ("rcpt", 550, "Your IP is listed in our block list", REFUSED, C.POLICY),
    # message
    ("mail", 552, "5.3.4 message too big", REFUSED, C.MESSAGE),
    ("dot", 552, "message size exceeds limit", REFUSED, C.MESSAGE),
    ("dot", 554, "5.6.0 bad content", REFUSED, C.MESSAGE),
    ("dot", 550, "5.7.1 Messages not RFC 5322 compliant", REFUSED, C.MESSAGE),
    ("dot", 554, "transaction failed", REFUSED, C.MESSAGE),
    ("message", None, "the message has 9 octets, the server takes 5 at most", REFUSED, C.MESSAGE),
    ("dot", 552, "5.7.0 This message was blocked because its content presents a security issue", REFUSED, C.MESSAGE),
    ("dot", 554, "5.7.1 virus found", REFUSED, C.MESSAGE),
    ("rcpt", 553, "5.6.7 address needs SMTPUTF8", REFUSED, C.MESSAGE),
    ("dot", 550, "rejected", REFUSED, C.MESSAGE),
    ("data", 554, "no", REFUSED, C.MESSAGE),
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
    ("auth", 534, "5.7.9 mechanism too weak", REFUSED, C.CONFIG),
    ("rcpt", 538, "5.7.11 encryption required", REFUSED, C.CONFIG),
    ("mail", 504, "parameter not implemented", REFUSED, C.CONFIG),
    ("data", 503, "5.5.1 bad sequence", REFUSED, C.CONFIG),
    ("mail", 550, "5.1.7 bad sender", REFUSED, C.CONFIG),
    ("rcpt", 554, "5.7.1 <reader@example.net>: Relay access denied", REFUSED, C.CONFIG),
    ("rcpt", 550, "relaying prohibited, authentication required", REFUSED, C.CONFIG),
    ("dot", 550, "5.4.5 Daily user sending limit exceeded", REFUSED, C.CONFIG),
    ("dot", 554, "Message rejected: Email address is not verified.", REFUSED, C.CONFIG),
    ("mail", 555, "unsupported option", REFUSED, C.CONFIG),
]


@pytest.mark.parametrize(("phase", "code", "text", "outcome", "kind"), EXAMPLES)
def test_a_reply_has_its_outcome_and_class(
    phase: str, code: int | None, text: str, outcome: Outcome, kind: ReplyClass
) -> None:
    """Spec mail §1.7, delivery §5.3."""
    assert classify(phase, code, text) == Reply(outcome, kind)


NAMED: dict[ReplyClass, dict[str, str]] = {
    C.RETRY: {"rcpt 450": "4.2.0 4.2.1", "rcpt 451": "4.3.0 4.3.2 4.4.1 4.4.2 4.7.1", "rcpt 452": "4.2.2 4.3.1"},
    C.THROTTLE: {
        "mail 421": "4.7.0 4.7.28 4.3.2",
        "rcpt 421": "4.4.5",
        "dot 421": "4.7.28",
        "rcpt 451": "4.7.500 4.7.550 4.7.650 4.7.699 4.7.850 4.7.899",
        "rcpt 452": "4.5.3",
    },
    C.SUPPRESS: {
        "rcpt 550": "5.1.1 5.1.2 5.1.3 5.1.6 5.2.1 5.4.4 5.4.310 5.7.13 5.7.17 5.7.18",
        "rcpt 551": "5.1.6",
        "rcpt 556": "5.1.10",
    },
    C.SOFT: {"rcpt 552": "5.2.2", "rcpt 550": "5.2.3 5.4.7", "dot 552": "5.2.2 5.2.3", "rcpt 450": "4.4.7"},
    C.POLICY: {
        "dot 550": "5.7.1 5.7.25 5.7.26 5.7.27 5.7.28 5.7.29 5.7.30 5.7.32 5.7.509 5.7.511 5.7.515 5.7.606 5.7.649",
        "mail 550": "5.7.1 5.7.25 5.7.26 5.7.515 5.7.606",
    },
    C.MESSAGE: {"dot 552": "5.3.4", "mail 552": "5.3.4", "dot 554": "5.6.0 5.6.3 5.7.0"},
    C.CONFIG: {
        "auth 535": "5.7.8",
        "auth 530": "5.7.0",
        "auth 534": "5.7.9",
        "auth 538": "5.7.11",
        "mail 501": "5.5.4",
        "mail 503": "5.5.1",
        "mail 504": "5.5.4",
        "mail 550": "5.1.7 5.1.8",
        "mail 553": "5.1.8",
    },
}
"""The codes that spec mail §1.7 names, by class, phase and basic code."""


@pytest.mark.parametrize(
    ("kind", "where", "status"),
    [(kind, where, one) for kind, rows in NAMED.items() for where, codes in rows.items() for one in codes.split()],
)
def test_a_code_that_is_named_means_what_is_written(kind: ReplyClass, where: str, status: str) -> None:
    """Spec mail §1.7: by the code alone, whatever a server adds in words that say nothing."""
    phase, code = where.split()
    assert classify(phase, int(code), f"{status} see our pages").kind is kind


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


WORDS = st.sampled_from(
    [
        "user",
        "unknown",
        "mailbox",
        "full",
        "spam",
        "quota",
        "does not exist",
        "<a@b>",
        "relay denied",
        "too many",
        "421",
        "sender",
        "\n",
    ]
)
STATUS = st.sampled_from(
    [
        "5.1.1",
        "5.1.8",
        "5.1.10",
        "5.2.1",
        "5.2.2",
        "4.4.7",
        "5.4.7",
        "5.4.4",
        "5.4.5",
        "5.5.0",
        "5.5.1",
        "5.6.7",
        "4.7.28",
        "4.7.26",
        "5.7.0",
        "5.7.1",
        "5.7.13",
        "5.7.133",
    ]
)
SAID = st.text(max_size=80) | st.tuples(STATUS, st.lists(WORDS, max_size=8).map(" ".join)).map(" ".join)


@given(st.sampled_from(PHASES), st.none() | st.integers(0, 999), SAID)
def test_only_the_dot_is_ever_ambiguous_and_only_rcpt_suppresses(phase: str, code: int | None, text: str) -> None:
    """P2, P3 of delivery §5.3: no other side of the gap leaves a doubt, no other command names an address."""
    reply = classify(phase, code, text)
    digit = code // 100 if code is not None else None
    assert (reply.outcome is AMBIGUOUS) == (phase == "dot" and digit not in (2, 4, 5))
    assert (reply.outcome is ACCEPTED) == (phase == "dot" and digit == 2)
    assert (reply.kind is C.SENT) == (reply.outcome is ACCEPTED)
    if reply.kind is C.SUPPRESS:
        assert (phase, reply.outcome) == ("rcpt", REFUSED)
    if reply.kind is C.SOFT:
        assert phase in ("rcpt", "data", "body", "dot")


@given(st.sampled_from(PHASES), st.integers(400, 599), SAID, st.sampled_from(["quota", "spam", "unknown", "relay"]))
def test_what_a_reader_is_called_changes_nothing(phase: str, code: int, text: str, name: str) -> None:
    """Servers repeat the address; its words are not theirs."""
    assert classify(phase, code, f"{text} <{name}@{name}.example>") == classify(phase, code, f"{text} <a@b.example>")
