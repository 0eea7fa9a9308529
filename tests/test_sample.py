"""The sample publication of `publisher demo`: its dates, its edits, and what the sources find in it."""

from __future__ import annotations

import os
import struct
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from publisher import config, dates, sample
from publisher.config import Config
from publisher.files import packaged
from publisher.model import Collected, Draft, Skipped, Status
from publisher.sources import open_source
from publisher.subscriptions.rows import understand
from publisher.subscriptions.tables import Table

TODAY = date(2026, 11, 23)
MINSK = ZoneInfo("Europe/Minsk")
VALUES = {
    "data_dir": "/nowhere",
    "listen": "127.0.0.1:8000",
    "admin_listen": "127.0.0.1:8001",
    "url": "http://127.0.0.1:8000",
}

days = st.dates(date(1971, 1, 1), date(2199, 12, 1))
# The calendar's corners: the leap day and the days around it, and both ends of a year.
corners = [date(2028, 2, 29), date(2028, 3, 1), date(2027, 2, 28), date(2026, 12, 31), date(2027, 1, 1)]


def texts(folder: Path) -> dict[str, str]:
    """The text files of the sample by path."""
    return {
        str(path.relative_to(folder)): path.read_text(encoding="utf-8")
        for path in sorted(folder.rglob("*"))
        if path.suffix in {".md", ".html", ".txt", ".toml", ".csv"}
    }


def files(folder: Path) -> dict[str, bytes]:
    """Every file of a folder by path."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def load(home: Path, today: date = TODAY) -> Config:
    """The configuration of the sample as it is copied on that day, with files that look settled then."""
    configuration = sample.materialise(home, today, VALUES | {"data_dir": str(home)})
    for path in configuration.parent.parent.rglob("*"):
        settle(path, moment(today))
    return config.load(configuration, {})


def settle(path: Path, now: datetime) -> None:
    """Let a file look a minute old: a collection waits for one that was written just now (A3)."""
    os.utime(path, (now.timestamp() - 60,) * 2)


def moment(today: date) -> datetime:
    """The first moment of a day: whatever the sample dates before it lies in the past all day long."""
    return datetime.combine(today, time(), UTC)


def collect(loaded: Config, now: datetime, states: Mapping[str, Mapping[str, object]] | None = None) -> list[Collected]:
    return [
        open_source(source, loaded).collect((states or {}).get(source.name, {}), now=now) for source in loaded.sources
    ]


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Config:
    """The sample's configuration on an ordinary day."""
    return load(tmp_path_factory.mktemp("sample"))


@pytest.fixture(scope="module")
def collected(loaded: Config) -> list[Collected]:
    """What its sources find the first time, in the order of the configuration."""
    return collect(loaded, moment(TODAY))


@pytest.fixture(scope="module")
def drafts(collected: list[Collected]) -> list[Draft]:
    """Its articles."""
    return [draft for source in collected for draft in source.drafts]


# Tokens.


@given(days, st.integers(-366, 366))
@example(date(2028, 3, 1), -1)
@example(date(2027, 3, 1), -1)
@example(date(2028, 2, 29), 366)
@example(date(2026, 12, 31), 1)
@example(date(2027, 1, 1), -1)
def test_a_token_names_the_day_so_far_from_the_day_of_the_demo(today: date, distance: int) -> None:
    meant = today + timedelta(days=distance)
    iso, english, russian = sample.fill(
        f"{{{{day:{distance}}}}}|{{{{date:{distance}:en}}}}|{{{{date:{distance}:ru}}}}", today, {}
    ).split("|")
    assert date.fromisoformat(iso) == meant
    for text in (f"{english} 13:45", f"{russian} 13:45"):
        assert dates.parse(text, MINSK).astimezone(MINSK).date() == meant


def test_tokens_are_written_as_each_language_writes_dates() -> None:
    text = "{{day:-1}} / {{date:0}} / {{date:-1:en}} / {{date:+8:ru}} / {{value:url}}"
    assert sample.fill(text, date(2028, 3, 1), VALUES) == (
        "2028-02-29 / March 01, 2028 / February 29, 2028 / 9 марта 2028 / http://127.0.0.1:8000"
    )


@pytest.mark.parametrize(
    "text", ["", "no token", "{{day}}", "{{page:3}}", "{{ site.url }}", "{day:-1}", "{ {day:1} }", "{{ day:1 }}"]
)
def test_what_is_no_token_stays_as_it_is(text: str) -> None:
    assert sample.fill(text, TODAY, VALUES) == text


def test_an_unknown_value_is_refused() -> None:
    with pytest.raises(KeyError, match="colour"):
        sample.fill("{{value:colour}}", TODAY, VALUES)


@given(days)
@example(corners[0])
@example(corners[1])
@example(corners[2])
@example(corners[3])
@example(corners[4])
def test_no_token_of_the_sample_is_left_on_any_day(today: date) -> None:
    for path, text in texts(packaged("config/demo")).items():
        assert "{{" not in sample.fill(text, today, VALUES), path


def test_the_demo_knows_every_value_that_the_sample_asks_for(tmp_path: Path) -> None:
    values = sample.values(tmp_path)
    assert values.keys() == VALUES.keys()
    assert values["data_dir"] == str(tmp_path)
    assert values["url"] == f"http://{values['listen']}"
    assert values["listen"] != values["admin_listen"]


# Copying.


def test_a_second_demo_keeps_what_was_edited_deleted_and_added(tmp_path: Path) -> None:
    configuration = sample.materialise(tmp_path, TODAY, VALUES)
    home = tmp_path / sample.PUBLICATION
    assert configuration == home / "config" / "publisher.toml"
    (home / "articles" / "census.md").write_text("edited", encoding="utf-8")
    (home / "articles" / "shipyard.md").unlink()
    (home / "articles" / "mine.md").write_text("added", encoding="utf-8")
    configuration.write_text(configuration.read_text(encoding="utf-8") + "\n# edited\n", encoding="utf-8")
    sample.next_day(home)
    before = files(home)
    assert sample.materialise(tmp_path, TODAY + timedelta(days=7), VALUES | {"url": "https://other.example"}) == (
        configuration
    )
    assert files(home) == before


def test_the_copy_holds_every_file_of_the_sample(tmp_path: Path) -> None:
    sample.materialise(tmp_path, TODAY, VALUES)
    assert files(tmp_path / sample.PUBLICATION).keys() == files(packaged("config/demo")).keys()


def test_the_copy_is_not_taken_for_files_being_written(tmp_path: Path) -> None:
    """A3: the first collection of the demo would wait for, or leave out, what was written less than 2 s ago."""
    sample.materialise(tmp_path, TODAY, VALUES)
    (tmp_path / "now").touch()
    border = (tmp_path / "now").stat().st_mtime - 2
    late = [path for path in (tmp_path / sample.PUBLICATION).rglob("*.*") if path.stat().st_mtime > border]
    assert [path.name for path in late if path.is_file()] == []


# What is in it.


def test_the_configuration_has_nothing_to_warn_of(loaded: Config) -> None:
    assert config.check(loaded) == ()


def test_the_sample_shows_many_articles_in_every_category_language_and_status(
    loaded: Config, drafts: list[Draft]
) -> None:
    assert len(drafts) >= 40
    assert len({(draft.key, draft.title) for draft in drafts}) == len(drafts)
    categories = [category.slug for category in loaded.categories]
    assert len(categories) == 5
    assert {slug for draft in drafts for slug in draft.categories} == set(categories)
    assert {draft.language for draft in drafts} == {"en", "ru", "he"}
    assert {draft.status for draft in drafts} == {*Status, None}
    assert len({author.name for draft in drafts for author in draft.authors}) >= 4
    assert [draft.key for draft in drafts if not (draft.summary and draft.html)] == []
    # Every category has something for readers of either language of the site.
    for language in loaded.site.languages:
        assert {slug for draft in drafts if draft.language == language for slug in draft.categories} == set(categories)


def test_only_the_draft_is_skipped(collected: list[Collected]) -> None:
    skipped = [skip for source in collected for skip in source.skipped]
    reason = "its author does not want it published: draft: true"
    assert skipped == [Skipped("draft-constitution.md", reason, "draft")]
    assert [source.postponed for source in collected] == [()] * len(collected)


def test_every_translation_names_an_english_article_that_is_there(collected: list[Collected]) -> None:
    """Folder articles alone: a saved page does not say what it translates."""
    articles = collected[0].drafts
    translations = [draft for draft in articles if draft.language != "en"]
    originals = [_original(draft, articles) for draft in translations]
    assert [draft.key for draft in originals if draft.language != "en"] == []
    counts = Counter(draft.language for draft in translations)
    assert (counts["he"], counts["ru"] >= 10) == (1, True)
    # No story has two translations into one language.
    pairs = Counter((original.key, draft.language) for original, draft in zip(originals, translations, strict=True))
    assert set(pairs.values()) == {1}
    assert pairs["harbour-agreement.md", "he"] == pairs["harbour-agreement.md", "ru"] == 1


def _original(draft: Draft, articles: tuple[Draft, ...]) -> Draft:
    named = [other for other in articles if draft.translation_of in (other.key, other.slug) and other != draft]
    # A file `name.ru.md` shares the slug of its original, which is the English one.
    return next(other for other in named if other.language == "en")


@pytest.mark.parametrize("today", [TODAY, *corners], ids=str)
def test_one_article_alone_waits_for_its_date(tmp_path: Path, today: date) -> None:
    """The demo takes its day from UTC: nothing may lie in the future at the day's first moment, west or east."""
    now = moment(today)
    found = [draft for source in collect(load(tmp_path, today), now) for draft in source.drafts]
    dated = {draft.key: draft.published_at for draft in found if draft.published_at is not None}
    assert len(dated) == len(found)
    assert [key for key, when in dated.items() if when > now] == ["new-year-address.md"]
    # It still waits when the demo's day is over.
    assert dated["new-year-address.md"] > now + timedelta(days=1)
    assert min(dated.values()) > now - timedelta(days=14)
    assert [draft.key for draft in found if draft.updated_at and draft.updated_at > now] == []
    assert [draft.key for draft in found if draft.updated_at and draft.updated_at < dated[draft.key]] == []


def test_every_picture_is_there_described_and_used(loaded: Config, drafts: list[Draft]) -> None:
    media = loaded.web.media
    assert media is not None
    images = [draft.image for draft in drafts if draft.image is not None]
    address = f"{VALUES['url']}/media/"
    assert {image.url.removeprefix(address) for image in images} == {path.name for path in media.iterdir()}
    assert [image for image in images if not (image.url.startswith(address) and image.alt and image.credit)] == []
    for path in media.iterdir():
        data = path.read_bytes()
        # PNG: signature, then the chunk IHDR with width and height (RFC 2083 §4.1.1).
        assert data[:8] == b"\x89PNG\r\n\x1a\n"
        assert struct.unpack(">4sII", data[12:24]) == (b"IHDR", 1200, 800)
        assert len(data) <= 60_000  # seven of them travel in the wheel


def test_the_readers_of_the_sample_can_all_be_added(loaded: Config) -> None:
    with (packaged("config/demo") / "readers.csv").open("rb") as file:
        table = Table(file, "readers.csv")
        wishes = [understand(loaded, dict(zip(table.header, row.cells, strict=True))) for row in table.rows()]
    assert {wish.address.rpartition("@")[2] for wish in wishes} == {"reader.example"}
    assert {wish.languages[0] for wish in wishes} == {"en", "ru"}
    assert {str(wish.format) for wish in wishes} == {"html", "text"}


# The next day.


def test_the_next_day_corrects_and_takes_back_what_it_says(tmp_path: Path) -> None:
    loaded = load(tmp_path)
    home = tmp_path / sample.PUBLICATION
    now = moment(TODAY)
    before = files(home)
    first = collect(loaded, now)
    assert sample.next_day(home) == ("articles/electoral-roll.md", "articles/opera-strike.md")
    after = files(home)
    assert before.keys() - after.keys() == {
        "articles/opera-strike.md",
        "later/articles/electoral-roll.md",
        "later/withdrawn.txt",
    }
    assert after.keys() <= before.keys()
    assert {path for path in after if after[path] != before[path]} == {"articles/electoral-roll.md"}
    assert after["articles/electoral-roll.md"] == before["later/articles/electoral-roll.md"]
    settle(home / "articles" / "electoral-roll.md", now)
    states = {source.name: found.state for source, found in zip(loaded.sources, first, strict=True)}
    articles, *pages = collect(loaded, now, states)
    assert articles.gone == {"opera-strike.md"}
    (corrected,) = articles.drafts
    (original,) = (draft for draft in first[0].drafts if draft.key == corrected.key)
    assert corrected.key == "electoral-roll.md"
    assert (corrected.title, corrected.published_at) == (original.title, original.published_at)
    assert corrected.content_hash != original.content_hash
    assert corrected.updated_at is not None
    assert original.updated_at is not None
    assert original.updated_at < corrected.updated_at <= now
    assert [(page.drafts, page.gone) for page in pages] == [((), frozenset())] * len(pages)


def test_a_day_comes_once(tmp_path: Path) -> None:
    sample.materialise(tmp_path, TODAY, VALUES)
    home = tmp_path / sample.PUBLICATION
    assert sample.next_day(home) != ()
    before = files(home)
    assert sample.next_day(home) == ()
    assert files(home) == before


def test_a_folder_with_a_quote_in_its_name_and_a_copy_that_was_interrupted_are_no_trouble(tmp_path: Path) -> None:
    target = tmp_path / 'a "quoted" \\ folder'
    (target / f".{sample.PUBLICATION}" / "articles").mkdir(parents=True)
    file = sample.materialise(target, date(2026, 11, 23), sample.values(target))
    assert config.load(file, {}).data_dir == target
    later = file.parent.parent / "later"
    (later / "withdrawn.txt").unlink()
    assert len(sample.next_day(file.parent.parent)) > 0
    assert sample.next_day(file.parent.parent) == ()
