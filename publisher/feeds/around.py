"""What stands around the entries of a document: its place in the archive, and what was taken back."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

KEPT = timedelta(days=30)
"""How long a feed says that an article was taken back: whoever looks once a month still learns of it."""


@dataclass(frozen=True, slots=True)
class Tombstone:
    """An article that was taken back: the id readers know it by, and when (aware UTC)."""

    id: str
    when: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Around:
    """RFC 5005 and RFC 6721. Addresses are without the dot and the format, so that each format links its own."""

    tombstones: tuple[Tombstone, ...] = ()
    archive: bool = False
    """Whether this is a closed archive document: its entries change no more."""
    own: str = ""
    """Address of this document; empty: the feed's own, which people subscribe to."""
    current: str = ""
    """Of an archive document: the feed it belongs to."""
    prev_archive: str = ""
    next_archive: str = ""


NOTHING = Around()
"""Around a document that stands alone."""


def recent(stones: Sequence[Tombstone], changes: Iterable[datetime]) -> tuple[Tombstone, ...]:
    """Return the tombstones that a feed still shows, newest first, ties by id.

    Their 30 days are counted back from the feed's newest change, never from now, so that the same articles always give
    the same bytes (FR-X4).
    """
    newest = max((*changes, *(stone.when for stone in stones)), default=None)
    shown = [stone for stone in stones if newest is not None and stone.when >= newest - KEPT]
    return tuple(sorted(shown, key=lambda stone: (-stone.when.timestamp(), stone.id)))
