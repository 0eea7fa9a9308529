"""The breaker: notices when outcomes speak against us, the server or an issue rather than against readers."""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from dataclasses import dataclass
from datetime import datetime, timedelta

from publisher.mail.replies import TOO_BIG, ReplyClass, classify
from publisher.mail.steps import CONNECTING
from publisher.model import Attempt, Claimed, Outcome

WINDOW = timedelta(minutes=1)
LEAST_UNKNOWN = 5
"""Unknown outcomes in a window that are forgiven however few connections there are (spec delivery §5.2)."""

LAST = 50
POLICY_ROW, POLICY_SHARE = 5, 0.2
"""Refusals of us as a sender, one after another or of the last `LAST` attempts (spec mail §1.7)."""

UNKNOWN_ADDRESSES = 10
"""Addresses said not to exist among the last `LAST`: then the server is wrong, or the list (H9)."""

MESSAGE_DOMAINS = 3
"""Recipient domains that refuse what an issue says, with nobody accepting it."""

UNKNOWN_SHARE = 0.01
"""Part of an issue that may have got lost or arrived twice before somebody should look (spec delivery §5.2)."""

THROTTLING = 3
"""Recipient domains that find us too fast, with nobody accepting anything between: then the server itself does."""


@dataclass(frozen=True, slots=True)
class Alarm:
    """What should stop, and why."""

    reason: str
    issue_id: int | None = None
    """The issue to pause; None: all sending over this transport rests."""
    lasting: bool = False
    """It rests until an operator says otherwise, since trying again would do harm."""


class Breaker:
    """Remembers recent outcomes over one transport; lives as long as the process."""

    def __init__(self, connections: int) -> None:
        self._most_unknown = max(LEAST_UNKNOWN, 2 * connections)
        # Those under way on other connections come on top.
        self._most_gone = max(LEAST_UNKNOWN, UNKNOWN_ADDRESSES - connections + 1)
        self._unknown: deque[datetime] = deque()
        self._last: deque[ReplyClass] = deque(maxlen=LAST)
        self._row = 0
        self._accepted: set[int] = set()
        self._refusing: dict[int, set[str]] = defaultdict(set)
        self._throttling: set[str] = set()
        self._unknown_of: Counter[int] = Counter()

    def note(self, claimed: Claimed, attempt: Attempt, now: datetime, *, deliveries: int = 0) -> Alarm | None:
        """Take an attempt in and say what should stop because of it; None: nothing.

        `deliveries`: how many the issue has in all, asked for where the outcome is unknown; 0: it does not matter.
        """
        if attempt.outcome is Outcome.ACCEPTED:
            self._note_accepted(claimed)
            return None
        kind = classify(attempt.phase, attempt.code, attempt.text).kind
        words = f"{attempt.code or ''} {attempt.text}".strip()
        if attempt.outcome is Outcome.AMBIGUOUS:
            return self._note_unknown(now, words) or self._note_share(claimed, deliveries, words)
        if attempt.phase in CONNECTING:
            return None  # the transport rests already, and trying again costs nobody their mail (H3)
        if attempt.code is not None:
            self._last.append(kind)
        self._row = self._row + 1 if kind is ReplyClass.POLICY else 0
        if kind is ReplyClass.SUPPRESS and self._last.count(kind) >= self._most_gone:
            number = self._last.count(kind)
            reason = f"{number} of the last {len(self._last)} addresses do not exist, says the server: {words}"
            return Alarm(reason, lasting=True)
        if kind is ReplyClass.THROTTLE:
            return self._note_throttle(claimed, words)
        return self._note_content(claimed, attempt, kind, words) or self._note_policy(kind, words)

    def _note_accepted(self, claimed: Claimed) -> None:
        self._last.append(ReplyClass.SENT)
        self._row = 0
        self._throttling.clear()
        self._accepted.add(claimed.issue_id)
        self._refusing.pop(claimed.issue_id, None)

    def _note_unknown(self, now: datetime, words: str) -> Alarm | None:
        self._unknown.append(now)
        while self._unknown[0] <= now - WINDOW:
            self._unknown.popleft()
        if len(self._unknown) <= self._most_unknown:
            return None
        number = len(self._unknown)
        self._unknown.clear()
        return Alarm(f"{number} mails within a minute may or may not have arrived: {words}")

    def _note_share(self, claimed: Claimed, deliveries: int, words: str) -> Alarm | None:
        """A handful is no share of anything, so that a small issue may lose one."""
        self._unknown_of[claimed.issue_id] += 1
        number = self._unknown_of[claimed.issue_id]
        if not deliveries or number <= max(self._most_unknown, UNKNOWN_SHARE * deliveries):
            return None
        del self._unknown_of[claimed.issue_id]
        return Alarm(f"{number} mails of an issue to {deliveries} may or may not have arrived: {words}", lasting=True)

    def _note_throttle(self, claimed: Claimed, words: str) -> Alarm | None:
        self._throttling.add(_domain(claimed))
        if len(self._throttling) < THROTTLING:
            return None
        self._throttling.clear()
        return Alarm(f"we are too fast for the server: {words}")

    def _note_content(self, claimed: Claimed, attempt: Attempt, kind: ReplyClass, words: str) -> Alarm | None:
        if attempt.phase == "message" and attempt.text.startswith(TOO_BIG):
            return Alarm(words, claimed.issue_id)  # as big for everybody, and the limit is the server's for all (H4)
        about_content = kind is ReplyClass.MESSAGE or (kind is ReplyClass.POLICY and attempt.phase in ("body", "dot"))
        if not about_content or claimed.issue_id in self._accepted:
            return None
        domains = self._refusing[claimed.issue_id]
        domains.add(_domain(claimed))
        if len(domains) < MESSAGE_DOMAINS:
            return None
        del self._refusing[claimed.issue_id]
        return Alarm(f"{len(domains)} domains refuse what the issue says: {words}", claimed.issue_id)

    def _note_policy(self, kind: ReplyClass, words: str) -> Alarm | None:
        if kind is not ReplyClass.POLICY:
            return None
        share = self._last.count(kind)
        if self._row >= POLICY_ROW or (len(self._last) == LAST and share > POLICY_SHARE * LAST):
            self._row = 0
            self._last.clear()
            # Each further try fails somebody's mail and costs us reputation, and only people can mend it.
            return Alarm(f"we are refused as a sender: {words}", lasting=True)
        return None


def _domain(claimed: Claimed) -> str:
    return claimed.address.rpartition("@")[2].lower()
