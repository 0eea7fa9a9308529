"""What a server's reply means: one pure function over a table, first match wins."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from publisher.model import Outcome


class ReplyClass(StrEnum):
    """What a reply is about, and so what follows from it (spec mail §1.7)."""

    SENT = "sent"
    RETRY = "retry"  # this recipient or moment: later again
    THROTTLE = "throttle"  # too fast for this server: everybody waits, nobody is blamed
    SUPPRESS = "suppress"  # the address does not exist
    SOFT = "soft"  # the recipient, but perhaps only for now
    POLICY = "policy"  # us, the sender: never held against an address
    MESSAGE = "message"  # this message's size or content
    CONFIG = "config"  # our account or settings: nothing can be sent until they are mended


@dataclass(frozen=True, slots=True)
class Reply:
    """A classified reply."""

    outcome: Outcome
    kind: ReplyClass


@dataclass(frozen=True, slots=True)
class _Rule:
    """A row of the table; an empty field matches everything, a field that is given must match."""

    kind: ReplyClass
    phases: str = ""
    """Names separated by spaces."""
    code: str = ""
    """Pattern for the three digits."""
    status: str = ""
    """Pattern for the enhanced status code (RFC 3463); a reply without one never matches it."""
    words: str = ""
    """Pattern sought in the text, whatever its case."""


_NO_SUCH_USER = (
    r"(?:user|recipient|mailbox|address|account)\b.{0,40}?"
    r"\b(?:unknown|not found|does(?: not|n't) exist|disabled|no longer)"
    r"|(?:unknown|no such|invalid) (?:user|recipient|mailbox|address|account|local)|no mailbox here"
)
_TOO_FAST = (
    r"\[TSS0\d\]|too many (?:connections|messages|recipients|concurrent)|max(?:imum)? .{0,20}per connection"
    r"|rate limit|throttl|unusual rate|receiving mail at a rate"
)
_BLOCKED = r"spam|block ?list|black ?list|\bRBL\b|reputation|dmarc|\bspf\b|dkim|unsolicited|banned|poor sender"

# The order is that of spec mail §1.7: phase, then what providers mean in particular, enhanced code, words, basic code.
_TABLE: tuple[_Rule, ...] = (
    # Setting up the connection: whatever fails there is no recipient's fault.
    _Rule(ReplyClass.MESSAGE, phases="message"),
    _Rule(ReplyClass.CONFIG, phases="tls"),
    _Rule(ReplyClass.THROTTLE, code="421"),
    _Rule(ReplyClass.RETRY, phases="connect auth", code="4.."),
    _Rule(ReplyClass.CONFIG, phases="auth"),
    _Rule(ReplyClass.POLICY, phases="connect", code="55[0-9]"),
    _Rule(ReplyClass.CONFIG, phases="connect", code="5.."),
    # The relay does not know us, or what we said to it.
    _Rule(ReplyClass.CONFIG, code="53[0458]"),
    _Rule(ReplyClass.RETRY, code="454", status=r"4\.7\.[08]"),
    _Rule(ReplyClass.CONFIG, status=r"5\.7\.[89]|5\.5\.\d+|5\.1\.[78]"),
    _Rule(ReplyClass.POLICY, phases="mail", code="5..", status=r"5\.7\.\d+"),
    _Rule(ReplyClass.MESSAGE, phases="mail", code="552|554", status=r"5\.3\.4|5\.6\.\d+"),
    _Rule(ReplyClass.MESSAGE, phases="mail", code="552"),
    _Rule(ReplyClass.CONFIG, phases="mail", code="5.."),
    # Too fast.
    _Rule(ReplyClass.THROTTLE, code="4..", status=r"4\.7\.28|4\.7\.650|4\.7\.[56]\d\d|4\.7\.8[5-9]\d|4\.5\.3"),
    _Rule(ReplyClass.THROTTLE, code="4..", words=_TOO_FAST),
    # The address is no more; believed only of the command that names it (a later refusal may be about the content).
    _Rule(ReplyClass.SUPPRESS, phases="rcpt", status=r"5\.1\.(?:[1236]|10)|5\.2\.1|5\.7\.1[378]|5\.4\.(?:4|310)"),
    _Rule(ReplyClass.SOFT, status=r"5\.1\.(?:[1236]|10)|5\.2\.\d+|5\.7\.1[378]|5\.4\.\d+"),
    # The message.
    _Rule(ReplyClass.MESSAGE, status=r"5\.3\.4|5\.6\.\d+|5\.7\.0"),
    _Rule(ReplyClass.MESSAGE, code="55[04]", status=r"5\.7\.1", words=r"RFC ?5322|not RFC|encoded-word"),
    # Us.
    _Rule(ReplyClass.POLICY, status=r"5\.7\.\d+"),
    # Without a code of their own, words must do.
    _Rule(ReplyClass.SOFT, code="5..", words=r"quota|mailbox (?:is )?full|over ?limit|storage"),
    _Rule(ReplyClass.POLICY, code="5..", words=_BLOCKED),
    _Rule(ReplyClass.SUPPRESS, phases="rcpt", code="55[013]", words=_NO_SUCH_USER),
    _Rule(ReplyClass.MESSAGE, code="552"),
    _Rule(ReplyClass.MESSAGE, phases="dot body", code="554"),
    _Rule(ReplyClass.CONFIG, code="50[0-4]"),
    _Rule(ReplyClass.SOFT, code="5.."),
    _Rule(ReplyClass.RETRY, code="4.."),
)

_STATUS = re.compile(r"\s*([245])\.(\d{1,3})\.(\d{1,3})\b")


def classify(phase: str, code: int | None, text: str) -> Reply:
    """Say what came of an attempt that ended in `phase` (see `model.Attempt`) with this reply.

    `code` None means that no well-formed reply came: the connection broke, fell silent or talked nonsense.
    """
    digit = code // 100 if code is not None else 0
    if phase == "dot" and digit not in (2, 4, 5):
        return Reply(Outcome.AMBIGUOUS, ReplyClass.RETRY)
    if phase == "dot" and digit == 2:
        return Reply(Outcome.ACCEPTED, ReplyClass.SENT)
    kind = _kind(phase, code, text)
    # Outside the gap everything is unsent; refused is what no repetition to the same server will change.
    refused = digit == 5 or phase in ("message", "tls") or (phase == "auth" and digit != 4)
    return Reply(Outcome.REFUSED if refused else Outcome.DEFERRED, kind)


def _kind(phase: str, code: int | None, text: str) -> ReplyClass:
    digits = f"{code:03d}" if code is not None else ""
    status = enhanced_status(code, text)
    for rule in _TABLE:
        if rule.phases and phase not in rule.phases.split():
            continue
        if rule.code and not re.fullmatch(rule.code, digits):
            continue
        if rule.status and not re.fullmatch(rule.status, status):
            continue
        if rule.words and not re.search(rule.words, text, re.IGNORECASE | re.DOTALL):
            continue
        return rule.kind
    return ReplyClass.RETRY


def enhanced_status(code: int | None, text: str) -> str:
    """Return the enhanced status code at the start of a text; "" for none, or one that contradicts the reply's code."""
    match = _STATUS.match(text)
    if code is None or match is None or int(match[1]) != code // 100:
        return ""
    return ".".join(str(int(part)) for part in match.groups())
