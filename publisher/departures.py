"""The journal of who left: keyed hashes, synced before anybody is answered, so that no restored backup mails them."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Literal, NamedTuple

from publisher import faults

Event = Literal["left", "suppressed", "erased", "back", "moved"]
"""`left` a newsletter; `suppressed`: never mailed again; `erased`; came `back` to a newsletter, or (for `*`) from a
suppression; `moved` to another address."""
ALL = "*"

NAME = "departures"
"""The file in the data directory."""

_LINE = re.compile(
    r"(?P<at>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,6})?Z) (?P<event>left|suppressed|erased|back|moved) "
    r"(?P<what>[^\s]{1,200}) (?P<hash>[0-9a-f]{64})(?: (?P<other>[0-9a-f]{64}))?",
    re.ASCII,
)


class Departure(NamedTuple):
    """One line."""

    at: datetime
    event: Event
    what: str
    """The newsletter, the kind of a suppression, or `*`."""
    hash: str
    """Stands for the address, and tells it to nobody who has not the key."""
    other: str = ""
    """Of `moved`: stands for the new address."""


@dataclass(slots=True)
class Gone:
    """What became of one address by the end of the journal."""

    newsletters: set[str] = field(default_factory=set)
    """That it left."""
    suppressed: str = ""
    """Kind of its suppression; "" when there is none."""
    erased: bool = False


def written(departure: Departure) -> str:
    """Return the line of a departure, without its end."""
    at = departure.at.isoformat().replace("+00:00", "Z")
    return " ".join((at, *departure[1:4], *filter(None, departure[4:])))


def read(text: str) -> list[Departure]:
    """Return what a journal says; a line that a power cut left incomplete says nothing."""
    found = []
    for line in text.split("\n"):
        match = _LINE.fullmatch(line)
        moment = _moment(match["at"]) if match else None
        if match and moment and (match["event"] == "moved") == bool(match["other"]):
            event: Event = match["event"]  # type: ignore[assignment]  # the expression names them all
            found.append(Departure(moment, event, match["what"], match["hash"], match["other"] or ""))
    return found


def load(file: Path) -> list[Departure]:
    """Return what a journal says, nothing when there is none. Raises OSError."""
    try:
        return read(file.read_text(encoding="utf-8", errors="replace"))
    except FileNotFoundError:
        return []


def outcome(journal: Iterable[Departure]) -> dict[str, Gone]:
    """Return who is gone by the end of a journal, by hash; who came back to all they had left is not.

    What happened to somebody's new address happened to the old one too, which an older backup knows. An erasure is
    not undone by coming back: whatever was held before it stays erased.
    """
    gone: dict[str, Gone] = {}
    before: dict[str, set[str]] = {}
    for one in journal:
        if one.event == "moved":
            before.setdefault(one.other, set()).update({one.hash} | before.get(one.hash, set()))
            continue
        for hash_ in {one.hash} | before.get(one.hash, set()):
            _note(gone.setdefault(hash_, Gone()), one)
    return {hash_: one for hash_, one in gone.items() if one.newsletters or one.suppressed or one.erased}


def _note(gone: Gone, one: Departure) -> None:
    if one.event == "left":
        gone.newsletters.add(one.what)
    elif one.event == "suppressed":
        gone.suppressed = one.what
    elif one.event == "erased":
        gone.erased = True
    elif one.what == ALL:
        gone.suppressed = ""
    else:
        gone.newsletters.discard(one.what)


def append(file: Path, departures: Sequence[Departure]) -> None:
    """Write departures behind what is there, and return when they are on the disk. Raises OSError."""
    new = not file.exists()
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        size = os.fstat(descriptor).st_size
        # A power cut may have left half a line, which must not swallow this one.
        torn = "\n" if size and os.pread(descriptor, 1, size - 1) != b"\n" else ""
        os.write(descriptor, (torn + "".join(f"{written(one)}\n" for one in departures)).encode())
        os.fdatasync(descriptor)
        faults.point("journal.written")
    finally:
        os.close(descriptor)
    if new:
        folder = os.open(file.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _moment(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None
