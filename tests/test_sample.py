"""The sample publication: dates that fit any day, everything in it collected, edits kept."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from publisher import config, dates, sample, sources, subscriptions
from publisher.cli import read_rows
from publisher.files import packaged
from publisher.model import UNCATEGORISED, Collected, Draft

VALUES = {
    "data_dir": "/nowhere",
    "listen": "127.0.0.1:8000",
    "admin_listen": "127.0.0.1:8001",
    "url": "http://127.0.0.1:8000",
}
DAY = date(2026, 11, 23)


@given(st.dates(min_value=date(1971, 1, 1), max_value=date(2190, 1, 1)), st.integers(-400, 400))
@example(date(2028, 2, 29), 0)
@example(date(2027, 1, 1), -1)
def test_a_token_becomes_a_date_that_readers_of_dates_understand(today: date, days: int) -> None:
    """In English, Russian and ISO: the same day, whatever the day of the demo."""
    wanted = datetime.combine(today + timedelta(days=days), time(), UTC)
    for form in ("{{day:%d}}", "{{date:%d:en}}", "{{date:%d:ru}}"):
        assert dates.parse(sample.fill(form % days, today, {}), ZoneInfo("UTC")) == wanted


def test_what_is_no_token_stays_as_it_is() -> None:
    text = "{{ site.url }} {{day}} {day:-1} {{value:a}}"
    assert sample.fill(text, DAY, {"a": "b"}) == "{{ site.url }} {{day}} {day:-1} b"
    with pytest.raises(KeyError):
        sample.fill("{{value:unknown}}", DAY, {})


def collected(home: Path, now: datetime) -> dict[str, Collected]:
    loaded = config.load(home / "config" / "publisher.toml", {})
    return {s.name: sources.open_source(s, loaded).collect({}, now=now, settle=lambda _: None) for s in loaded.sources}


@pytest.mark.parametrize("today", [DAY, date(2028, 3, 1), date(2027, 1, 2)])
def test_the_sample_is_what_a_publication_holds(tmp_path: Path, today: date) -> None:
    """Five categories, two languages and one from right to left, statuses, authors, a draft and a date to come."""
    sample.materialise(tmp_path, today, VALUES)
    now = datetime.combine(today, time(6), UTC)
    found = collected(tmp_path / sample.PUBLICATION, now)
    drafts: list[Draft] = [draft for source in found.values() for draft in source.drafts]
    skipped = [skip for source in found.values() for skip in source.skipped]
    assert [(skip.path, skip.kind) for skip in skipped] == [("draft-constitution.md", "draft")]
    assert len(drafts) >= 40
    assert {draft.categories[0] for draft in drafts} == {
        "foreign-policy",
        "security",
        "domestic-policy",
        "economy",
        "society",
    }
    assert UNCATEGORISED not in {name for draft in drafts for name in draft.categories}
    assert {draft.language for draft in drafts} == {"en", "ru", "he"}
    assert {draft.status for draft in drafts} >= {"improved", "worsened", "unchanged"}
    assert len({author.name for draft in drafts for author in draft.authors}) >= 4
    assert sum(draft.translation_of is not None for draft in drafts) >= 9
    assert [d.slug for d in drafts if d.published_at and d.published_at > now] == ["new-year-address"]
    assert all(draft.published_at is not None and draft.summary and draft.html for draft in drafts)
    media = {path.name for path in (tmp_path / sample.PUBLICATION / "media").iterdir()}
    assert {draft.image.url.rpartition("/")[2] for draft in drafts if draft.image} == media
    assert all(draft.image.alt for draft in drafts if draft.image)


def test_no_token_is_left_in_any_file(tmp_path: Path) -> None:
    home = sample.materialise(tmp_path, DAY, VALUES).parent.parent
    texts = [path for path in home.rglob("*") if path.suffix in {".md", ".txt", ".toml", ".csv"}]
    assert len(texts) == len(
        [p for p in packaged("config/demo").rglob("*") if p.suffix in {".md", ".txt", ".toml", ".csv"}]
    )
    assert [path.name for path in texts if re.search(r"\{\{(day|date|value):", path.read_text(encoding="utf-8"))] == []


def test_a_second_demo_keeps_what_you_edited(tmp_path: Path) -> None:
    file = sample.materialise(tmp_path, DAY, VALUES)
    file.write_text("mine", encoding="utf-8")
    assert sample.materialise(tmp_path, DAY + timedelta(days=9), VALUES) == file
    assert file.read_text(encoding="utf-8") == "mine"


def test_the_next_day_corrects_one_article_and_takes_one_back_once(tmp_path: Path) -> None:
    home = sample.materialise(tmp_path, DAY, VALUES).parent.parent
    corrected, withdrawn = home / "articles" / "electoral-roll.md", home / "articles" / "opera-strike.md"
    before = corrected.read_text(encoding="utf-8")
    assert withdrawn.exists()
    assert sample.next_day(home) == ("articles/electoral-roll.md", "articles/opera-strike.md")
    assert corrected.read_text(encoding="utf-8") != before
    assert not withdrawn.exists()
    assert sample.next_day(home) == ()


def test_the_readers_of_the_sample_can_all_be_added(tmp_path: Path) -> None:
    home = sample.materialise(tmp_path, DAY, VALUES).parent.parent
    loaded = config.load(home / "config" / "publisher.toml", {})
    wishes = [subscriptions.understand(loaded, row) for row in read_rows(home / "readers.csv")]
    assert {wish.address.rpartition("@")[2] for wish in wishes} == {"reader.example"}
    assert {wish.languages[0] for wish in wishes} == {"en", "ru"}
    assert {str(wish.format) for wish in wishes} == {"html", "text"}
