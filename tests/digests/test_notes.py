"""An editor's note stands above the articles of its issue, and no issue goes out without the note it has."""

from __future__ import annotations

from pathlib import Path

import pytest

from publisher.digests import notes
from publisher.digests.notes import LONGEST, Note
from publisher.errors import RenderError

SLOT = "2026-11-23T07:00"


def test_a_note_is_found_by_the_day_the_slot_and_the_language(tmp_path: Path) -> None:
    (tmp_path / "2026-11-23.md").write_text("For *all*: [a poll](https://news.example/poll/)\n", "utf-8")
    (tmp_path / "2026-11-23.ru.md").write_text("\ufeffДля всех", "utf-8")
    (tmp_path / "2026-11-23T12-00.md").write_text("At noon", "utf-8")
    found = notes.read(tmp_path, SLOT, ["en", "ru"])
    assert found == {
        "": Note(
            html='<p>For <em>all</em>: <a href="https://news.example/poll/">a poll</a></p>',
            text="For all: a poll",
            links=("https://news.example/poll/",),
        ),
        "ru": Note(html="<p>Для всех</p>", text="Для всех", links=()),
    }
    assert notes.read(tmp_path, "2026-11-23T12:00", ["en"])[""].text == "At noon"
    assert notes.read(tmp_path, "2026-11-24T07:00", ["en"]) == {}
    assert notes.read(None, SLOT, ["en"]) == {}
    assert notes.read(tmp_path / "nowhere", SLOT, ["en"]) == {}


def test_a_note_runs_nothing_and_shows_no_foreign_style(tmp_path: Path) -> None:
    """E4, B24: it is cleaned as an article is."""
    (tmp_path / "2026-11-23.md").write_text(
        '<script>alert(1)</script><p onclick="x()" style="color:red">Hi</p>', "utf-8"
    )
    assert notes.read(tmp_path, SLOT, [])[""].html == "<p>Hi</p>"


@pytest.mark.parametrize(
    ("content", "reason"),
    [(b"caf\xe9", "not UTF-8 at byte 3"), (b"x" * (LONGEST + 1), f"{LONGEST + 1} bytes, more than {LONGEST}")],
)
def test_a_note_that_cannot_be_used_stops_the_issue_and_says_where_it_is(
    tmp_path: Path, content: bytes, reason: str
) -> None:
    path = tmp_path / "2026-11-23.md"
    path.write_bytes(content)
    with pytest.raises(RenderError) as refusal:
        notes.read(tmp_path, SLOT, [])
    assert str(refusal.value).startswith(f"{path}: {reason}")
