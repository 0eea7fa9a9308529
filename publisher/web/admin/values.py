"""Numbers and moments as the admin pages write them. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from publisher.mail.progress import duration_in_words, per_second, rate_in_words, time_left
from publisher.model import DeliveryState, Issue, IssueState
from publisher.store.tallies import Tally
from publisher.web import plots
from publisher.web.values import Words

STATES: Mapping[IssueState, tuple[str, str]] = {
    IssueState.PLANNED: ("planned", "calm"),
    IssueState.HELD: ("waits for approval", "look"),
    IssueState.SENDING: ("sending", "busy"),
    IssueState.PAUSED: ("paused", "look"),
    IssueState.SENT: ("sent", "good"),
    IssueState.CANCELLED: ("cancelled", "calm"),
}
"""An issue's state in words, and the look of the words."""

MEANINGS: Mapping[DeliveryState, str] = {
    DeliveryState.SENT: "the server took it",
    DeliveryState.SENDING: "on the wire",
    DeliveryState.QUEUED: "waits for its turn",
    DeliveryState.DEFERRED: "is tried again",
    DeliveryState.UNCERTAIN: "perhaps sent: decide below",
    DeliveryState.FAILED: "refused for good",
    DeliveryState.SUPPRESSED: "not to be mailed",
    DeliveryState.EXPIRED: "too late, or in a newer issue",
}
"""Each state of a delivery, in the order in which pages list them."""

_MOST_BARS = 120


def about_issue(words: Words, issue: Issue, titles: Mapping[str, str]) -> dict[str, Any]:
    """Return an issue without its numbers."""
    state, look = STATES[issue.state]
    return {
        "ref": issue.ref,
        "url": f"/issues/{issue.ref}",
        "newsletter": titles.get(issue.newsletter, issue.newsletter),
        "frequency": issue.frequency,
        "slot": issue.slot.replace("T", " "),
        "state": str(issue.state),
        "words": state,
        "look": look,
        "reason": issue.reason,
        "created": words.date(issue.created_at, "time"),
        "sent": words.date(issue.sent_at, "time") if issue.sent_at else "",
        "transport": issue.transport,
    }


def about_tally(tally: Tally, now: datetime) -> dict[str, Any]:
    """Return the numbers of an issue: by state, the share of each, how fast it goes and how long it will take."""
    total = sum(tally.states.values())
    waiting = sum(tally.states.get(s, 0) for s in (DeliveryState.QUEUED, DeliveryState.DEFERRED, DeliveryState.SENDING))
    done = total - waiting
    rate = rate_of(tally, now) if waiting else None
    left = time_left(waiting, rate) if rate else None
    return {
        "total": total,
        "done": done,
        "waiting": waiting,
        "share": f"{100 * done / total:.0f} %" if total else "–",
        "states": [
            {"name": str(state), "number": tally.states[state], "meaning": meaning}
            for state, meaning in MEANINGS.items()
            if tally.states.get(state)
        ],
        "numbers": {str(state): tally.states.get(state, 0) for state in MEANINGS},
        "bar": plots.shares([(str(state), tally.states.get(state, 0)) for state in MEANINGS]),
        "rate": rate_in_words(rate) if rate else "",
        "left": duration_in_words(left) if left else "",
    }


def rate_of(tally: Tally, now: datetime) -> float | None:
    """Return how many a second were sent in this minute and the one before; None when none were."""
    this = now.replace(second=0, microsecond=0)
    since = this - timedelta(minutes=1)
    return per_second(sum(number for at, number in tally.sent if at >= since), now - since)


def sending_plot(words: Words, tally: Tally) -> plots.Plot | None:
    """Return the sends by minute, or by as many minutes as keep the bars few; None when nothing was sent."""
    if not tally.sent:
        return None
    first, last = tally.sent[0][0], tally.sent[-1][0]
    minutes = int((last - first).total_seconds() // 60) + 1
    every = -(-minutes // _MOST_BARS)
    numbers = [0] * max(-(-minutes // every), 12)
    for at, number in tally.sent:
        numbers[int((at - first).total_seconds() // 60) // every] += number
    step = timedelta(minutes=every)
    points = [((first + index * step).astimezone(words.zone).strftime("%H:%M"), n) for index, n in enumerate(numbers)]
    unit = "minute" if every == 1 else f"{every} minutes"
    total = sum(numbers)
    summary = f"{total:,} mails sent from {points[0][0]}, {max(numbers):,} in the busiest {unit}"
    return plots.bars(points, summary=summary, names=("sent", ""))


def at_clock(words: Words, moment: datetime) -> str:
    """Return the time of day in the publication's zone, to the second: `14:05:09`."""
    return moment.astimezone(words.zone).strftime("%H:%M:%S")


def ahead(moment: datetime, now: datetime) -> str:
    """Return how far away a moment is: `in 3 h`, `4 min ago`."""
    away = moment - now
    text = _long(abs(away))
    return f"in {text}" if away > timedelta(0) else f"{text} ago"


def _long(time: timedelta) -> str:
    if time < timedelta(minutes=1):
        return "less than a minute"
    if time < timedelta(hours=1):
        return f"{time // timedelta(minutes=1)} min"
    if time < timedelta(days=2):
        hours, minutes = divmod(time // timedelta(minutes=1), 60)
        return f"{hours} h {minutes:02d} min"
    return f"{time.days} days"
