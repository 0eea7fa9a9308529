"""The journal of who left: what is written is read again, what is torn says nothing, and nobody gone is forgotten."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from publisher import departures
from publisher.departures import Departure, Event, Gone, append, load, outcome, read, written

AT = datetime(2026, 11, 30, 7, 0, 0, 250000, tzinfo=UTC)
ANNA, BORIS, CLARA = "a" * 64, "b" * 64, "c" * 64

events: st.SearchStrategy[Event] = st.sampled_from(("left", "suppressed", "erased", "back"))
hashes = st.text("0123456789abcdef", min_size=64, max_size=64)
lines = st.builds(
    Departure, st.datetimes(timezones=st.just(UTC)), events, st.text("abc-", min_size=1), hashes, st.just("")
)
moves = st.builds(Departure, st.just(AT), st.just("moved"), st.just("*"), hashes, hashes)


def line(event: Event, hash_: str = ANNA, what: str = "weekly", other: str = "") -> Departure:
    """A departure at a moment that does not matter."""
    return Departure(AT, event, what, hash_, other)


@given(st.lists(lines | moves))
def test_what_is_written_is_read_again(journal: list[Departure]) -> None:
    assert read("".join(f"{written(one)}\n" for one in journal)) == journal


@given(st.text() | st.binary().map(lambda raw: raw.decode("utf-8", "replace")), st.lists(lines, max_size=3))
def test_rubbish_harms_no_line_beside_it(rubbish: str, journal: list[Departure]) -> None:
    """A disk that was full, a power cut, an editor: what can be read is heeded, and nothing raises."""
    text = "".join(f"{written(one)}\n" for one in journal)
    found = read(f"{text}{rubbish}\n{text}")
    assert [one for one in found if one in journal] == [*journal, *journal]


def test_a_torn_line_does_not_swallow_the_next(tmp_path: Path) -> None:
    """After a power cut the journal ends in half a line; what is appended stands on a line of its own, on the disk."""
    file = tmp_path / departures.NAME
    append(file, [line("left")])
    with file.open("ab") as torn:
        torn.write(written(line("left", BORIS)).encode()[:50])
    append(file, [line("erased", CLARA)])
    assert load(file) == [line("left"), line("erased", CLARA)]
    assert file.stat().st_mode & 0o777 == 0o600


def test_a_journal_that_does_not_exist_is_empty_and_one_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    assert load(tmp_path / "none") == []
    with pytest.raises(OSError, match="Is a directory"):
        append(tmp_path, [line("left")])


@pytest.mark.parametrize(
    ("journal", "gone"),
    [
        ([line("left")], {ANNA: Gone({"weekly"})}),
        ([line("left"), line("back")], {}),
        ([line("left"), line("back"), line("left")], {ANNA: Gone({"weekly"})}),
        ([line("left"), line("left", what="daily"), line("back")], {ANNA: Gone({"daily"})}),
        ([line("suppressed", what="bounce")], {ANNA: Gone(set(), "bounce")}),
        ([line("suppressed", what="bounce"), line("back", what="*")], {}),
        ([line("erased", what="*"), line("back", what="*")], {ANNA: Gone(set(), "", erased=True)}),
        (
            [line("moved", ANNA, "*", BORIS), line("moved", BORIS, "*", CLARA), line("left", CLARA)],
            {one: Gone({"weekly"}) for one in (ANNA, BORIS, CLARA)},
        ),
        ([line("left"), line("moved", ANNA, "*", BORIS), line("back", BORIS)], {}),
    ],
    ids=[
        "left",
        "back",
        "left again",
        "one of two",
        "bounced",
        "mailed again",
        "erased for good",
        "moved",
        "moved back",
    ],
)
def test_the_last_word_counts(journal: list[Departure], gone: dict[str, Gone]) -> None:
    """P3: only the person comes back; an erasure is for good; what a new address did the old one did too."""
    assert outcome(journal) == gone


def test_an_append_is_on_the_disk_when_it_returns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """P6: the file is synced each time, the folder when the file is new."""
    synced: list[str] = []
    for name in ("fsync", "fdatasync"):
        monkeypatch.setattr(os, name, lambda _, name=name: synced.append(name))
    append(tmp_path / departures.NAME, [line("left")])
    append(tmp_path / departures.NAME, [line("left", BORIS)])
    assert synced == ["fdatasync", "fsync", "fdatasync"]
