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


TOO_BIG = "too-big"
"""How our own words begin for a message that the server has said it would not take (SIZE, RFC 1870)."""


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
    """Pattern sought in the text without the addresses in it, whatever its case."""

    def matches(self, phase: str, code: str, status: str, text: str) -> bool:
        """Whether the row speaks of this reply."""
        return (
            (not self.phases or phase in self.phases.split())
            and (not self.code or re.fullmatch(self.code, code) is not None)
            and (not self.status or re.fullmatch(self.status, status) is not None)
            and (not self.words or re.search(self.words, text, re.IGNORECASE | re.DOTALL) is not None)
        )


# How servers say it, gathered from what providers publish and from replies seen.
_NO_SUCH_USER = (
    r"\b(?:user|recipient|mailbox|mail ?box|address|account|alias|inbox)\b[^.]{0,40}?"
    r"\b(?:unknown|not found|not exist\w*|n[o']t exist|non-?existent|disabled|deactivated|inactive|no longer)"
    r"|\b(?:unknown|no such|invalid|unrouteable|non-?existent|inactive) "
    r"(?:or \w+ )?(?:user|recipient|mailbox|address|account|local|alias|person)"
    r"|no mailbox (?:here|by that name)|(?:does not|doesn't) have an? \S* ?account|no longer (?:on server|valid)"
)
_NO_SUCH_DOMAIN = r"domain\b.{0,30}?(?:not exist|not found|n't exist|non-?existent)|(?:no such|unknown) domain|null mx"
_FULL = r"quota|(?:mail ?box|inbox|account)\b.{0,20}? full|over ?limit|exceeded storage|storage (?:limit|allocation)"
_TOO_BIG = r"(?:message|mail|size)\b.{0,30}?(?:too (?:big|large)|exceeds?)|too (?:big|large)|maximum .{0,20}?size"
_TOO_FAST = (
    r"\[TSS?0\d\]|\[IPTS\d+\]|too many|max(?:imum)? .{0,20}per connection|rate.?limit|throttl|unusual(?:ly high)? rate"
    r"|receiving (?:mail|email) at a rate|(?:sending|message|hourly|connection) rate|(?:slow|back) ?(?:down|off)"
    r"|concurren|try again (?:more slowly|less)|server (?:is )?busy|exceeded the (?:rate|limit)"
)
_BLOCKED = (
    r"\bspam|block ?list|black ?list|deny ?list|\bR?BL\b|\bDNSBL\b|spamhaus|spamcop|barracuda|proofpoint|cloudmark"
    r"|reputation|dmarc|\bspf\b|dkim|unauthenticated|unsolicited|\bbulk\b|banned|poor sender|policy reasons"
    r"|(?:local|security|mail) policy|\[(?:BL|PH|CS|HM|DYN|S|C|IPR)\d+\]|abus(?:e|ive)|complaints"
    r"|(?:your|client|this|sending) (?:ip|host|server|network)\b.{0,40}?(?:block|reject|list|den|refus)"
)
_NO_NAME = r"\bPTR\b|reverse (?:dns|hostname|lookup)|\brdns\b|cannot find your (?:reverse )?host"
_MALFORMED = (
    r"RFC ?(?:2822|5321|5322|2047)|not RFC|encoded-word|multiple from|malformed|header.{0,20}(?:missing|invalid)"
)
_HARMFUL = r"virus|malware|phish|potential(?:ly)? security|attachment|content (?:is )?(?:rejected|not allowed|blocked)"
_NO_RELAYING = (
    r"relay(?:ing)?\b.{0,30}?(?:denied|not (?:permitted|allowed)|prohibited|access)|(?:not|unable|cannot) .{0,12}relay"
    r"|allowed rcpthosts|authentication (?:is )?required|authenticate first|must (?:be )?authenticat|not logged in"
)
_OUR_ACCOUNT = (
    r"(?:daily|monthly|hourly|user|your) .{0,20}?(?:sending|message|relay) (?:limit|quota)|credits? exceeded"
    r"|sending (?:is |has been )?(?:paused|suspended|disabled)|(?:not|un)[- ]?verified|unauthori[sz]ed sender"
    r"|sender .{0,30}?(?:not owned|not allowed|not authori[sz]ed)"
)
_OUR_SENDER = r"sender\b.{0,40}?(?:reject|refus|denied|invalid|not exist)|(?:reject|refus)\w* sender"
_BAD_SYNTAX = r"(?:bad|invalid|malformed|illegal)\b.{0,20}?(?:address|recipient|mailbox)|address syntax"

_C = ReplyClass
_TABLE: tuple[_Rule, ...] = (
    # The phase: setting up a connection is no recipient's business, and our own check sent nothing.
    _Rule(_C.MESSAGE, phases="message"),
    _Rule(_C.THROTTLE, phases="connect tls auth", code="421"),
    _Rule(_C.RETRY, phases="connect tls auth", code="4.."),
    _Rule(_C.CONFIG, phases="tls auth"),
    _Rule(_C.POLICY, phases="connect", code="55."),
    _Rule(_C.CONFIG, phases="connect", code="5.."),
    # Our account at the relay, and the way we talk to it (RFC 4954 §6, RFC 5321 §4.2.4).
    _Rule(_C.CONFIG, code="53[0458]"),
    _Rule(_C.RETRY, code="454", status=r"4\.7\.0"),
    _Rule(_C.CONFIG, status=r"5\.7\.8|5\.1\.[78]|5\.4\.5"),  # Google: 5.4.5 is the account's daily limit
    _Rule(_C.CONFIG, code="50.", status=r"5\.7\.9"),
    _Rule(_C.CONFIG, code="50.|55[0145]", status=r"5\.5\.[1-46]"),
    # MAIL names the sender alone, so what it is answered is about us or the message's size.
    _Rule(_C.MESSAGE, phases="mail", status=r"5\.3\.4|5\.6\.\d+"),
    _Rule(_C.POLICY, phases="mail", status=r"[45]\.7\.(?:1|2[3-9]|3[0-2]|5\d\d|6\d\d)", code="5.."),
    _Rule(_C.CONFIG, phases="mail", code="5..", words=_OUR_ACCOUNT),
    _Rule(_C.POLICY, phases="mail", code="5..", words=_BLOCKED),
    _Rule(_C.POLICY, phases="mail", code="5..", status=r"5\.7\.\d+"),
    _Rule(_C.MESSAGE, phases="mail", code="552"),
    _Rule(_C.CONFIG, phases="mail", code="5.."),
    # Enhanced codes with which providers mean something of their own, or that some words turn into something else.
    _Rule(_C.THROTTLE, code="4..", status=r"4\.7\.28|4\.7\.[56]\d\d|4\.7\.8[5-9]\d|4\.5\.3"),  # Google, Microsoft
    _Rule(_C.POLICY, code="4..", status=r"4\.7\.(?:2[3-79]|3[0-2])"),  # Google: who we are is not proved
    _Rule(_C.SOFT, phases="rcpt data dot", status=r"4\.4\.7|5\.4\.7"),  # a relay gave up waiting
    _Rule(_C.SOFT, phases="rcpt", status=r"5\.2\.1", words=r"receiving (?:mail|email) at a rate|too (?:quickly|many)"),
    _Rule(_C.POLICY, status=r"5\.1\.\d+|5\.2\.1", words=r"spamhaus|spamcop|\bR?BL\b|(?:black|block) ?list"),
    _Rule(_C.CONFIG, code="5..", status=r"5\.7\.[01]", words=_NO_RELAYING),
    _Rule(_C.MESSAGE, code="55.", status=r"5\.7\.1", words=_MALFORMED),
    _Rule(_C.POLICY, code="55.", status=r"5\.7\.0", words=_BLOCKED),
    _Rule(_C.MESSAGE, code="55.", status=r"5\.7\.1", words=r"virus|malware"),
    # Microsoft: this recipient, or this list, takes mail from chosen senders only.
    _Rule(_C.SOFT, phases="rcpt data dot", status=r"5\.7\.(?:12[49]|13[3-6]|193)"),
    # The address is no more: believed only of the command that names it (a later refusal may be about the content).
    _Rule(_C.SUPPRESS, phases="rcpt", status=r"5\.1\.(?:[1236]|10)|5\.2\.1|5\.7\.1[378]|5\.4\.(?:4|310)"),
    _Rule(_C.SOFT, phases="rcpt data dot", status=r"5\.1\.(?:[1236]|10)|5\.2\.\d+|5\.7\.1[378]|5\.4\.\d+"),
    # Enhanced codes as registered (RFC 3463, RFC 5248).
    _Rule(_C.MESSAGE, status=r"5\.3\.4|5\.6\.\d+|5\.7\.0"),
    _Rule(_C.POLICY, status=r"5\.7\.\d+"),
    # Words, where the code says nothing.
    _Rule(_C.POLICY, code="4..", words=_NO_NAME),
    _Rule(_C.THROTTLE, code="4..", status=r"|4\.[03457]\.\d+", words=_TOO_FAST),
    _Rule(_C.CONFIG, code="5..", words=_NO_RELAYING),
    _Rule(_C.CONFIG, code="5..", words=_OUR_ACCOUNT),
    _Rule(_C.POLICY, code="5..", words=_OUR_SENDER),
    _Rule(_C.SOFT, phases="rcpt dot", code="5..", words=_FULL),
    _Rule(_C.MESSAGE, code="55[24]", words=_TOO_BIG),
    _Rule(_C.POLICY, code="5..", words=_BLOCKED),
    _Rule(_C.POLICY, code="5..", words=_NO_NAME),
    _Rule(_C.MESSAGE, code="5..", words=_HARMFUL),
    _Rule(_C.MESSAGE, phases="data body dot", code="5..", words=_MALFORMED),
    _Rule(_C.SUPPRESS, phases="rcpt", code="55[0134]", words=f"{_NO_SUCH_USER}|{_NO_SUCH_DOMAIN}"),
    _Rule(_C.SOFT, phases="dot", code="55[0134]", words=f"{_NO_SUCH_USER}|{_NO_SUCH_DOMAIN}"),
    _Rule(_C.SOFT, phases="rcpt", code="501", words=_BAD_SYNTAX),
    # The three digits alone.
    _Rule(_C.THROTTLE, code="421"),
    _Rule(_C.CONFIG, code="50[0-4]|555"),
    _Rule(_C.SOFT, phases="rcpt", code="5.."),
    _Rule(_C.MESSAGE, code="5.."),  # DATA and what follows name no address, so none is blamed
    _Rule(_C.RETRY),
)
"""In the order of spec mail §1.7: phase, enhanced code, words, basic code; the first row that matches decides."""

_ADDRESS = re.compile(r"<[^<>\s]*>|\S+@\S+")
"""What servers repeat of the envelope: a reader called quota@ or spam@ must not change what is understood."""

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
    refused = digit == 5 or phase == "message" or (phase in ("tls", "auth") and digit != 4)
    return Reply(Outcome.REFUSED if refused else Outcome.DEFERRED, kind)


def _kind(phase: str, code: int | None, text: str) -> ReplyClass:
    digits = f"{code:03d}" if code is not None else ""
    status, words = enhanced_status(code, text), _ADDRESS.sub("", text)
    return next(rule.kind for rule in _TABLE if rule.matches(phase, digits, status, words))


def enhanced_status(code: int | None, text: str) -> str:
    """Return the enhanced status code at the start of a text; "" for none, or one that contradicts the reply's code."""
    match = _STATUS.match(text)
    if code is None or match is None or int(match[1]) != code // 100:
        return ""
    return ".".join(str(int(part)) for part in match.groups())
