"""Entries already in bytes: a document is its beginning, a piece for each entry, and its end."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from publisher.feeds.entry import Entry
from publisher.feeds.kept import Kept
from publisher.feeds.spec import Format

Pieces = Kept[tuple[Format, str, Entry], bytes]
"""By format, language of the feed (an entry says its own only where it differs) and the entry itself."""


def pieces_of(
    form: Format,
    language: str,
    entries: Sequence[Entry],
    make: Callable[[Sequence[Entry]], Sequence[bytes]],
    kept: Pieces | None,
) -> list[bytes]:
    """Return the piece of each entry, in order; `make` is asked for those that are not kept, all at once."""
    if kept is None:
        return list(make(entries))
    pieces = [kept.get((form, language, entry)) for entry in entries]
    missing = [index for index, piece in enumerate(pieces) if piece is None]
    made = make([entries[index] for index in missing]) if missing else ()
    for index, piece in zip(missing, made, strict=True):
        pieces[index] = piece
        kept.put((form, language, entries[index]), piece, len(piece))
    return [piece for piece in pieces if piece is not None]
