"""Why an issue is not sent before somebody has looked at it."""

from __future__ import annotations

from dataclasses import dataclass

GROWTH = 1.5  # spec delivery §5.4, big-send guard
REPEATED = 0.5  # the same
FEW = 100
"""Below so many readers growth is no accident: a list of ten doubles in an afternoon."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is known of an issue about to be frozen, and of the last one of its newsletter and frequency."""

    readers: int
    last_readers: int | None
    """None: it is the first."""
    articles: int
    """What a reader of everything gets."""
    repeated: int
    """How many of those an earlier issue held."""


def hold_reason(facts: Facts, *, approval: bool) -> str:
    """Say why the issue has to wait for approval; "" when it may go."""
    if approval:
        return "every issue of this newsletter waits for approval"
    last = facts.last_readers
    if last is not None and facts.readers >= FEW and facts.readers > last * GROWTH:
        return f"{facts.readers} readers, and the last issue went to {last}"
    if facts.repeated > facts.articles * REPEATED:
        return f"{facts.repeated} of {facts.articles} articles were in an earlier issue"
    return ""
