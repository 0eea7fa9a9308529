"""What a collection changes: guards before readers, and for each article one guid and one announcement, for ever."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from publisher.config import Config, FolderSource, Ingest, Site
from publisher.identity import derived_guids
from publisher.ingest import IngestReport, decide, ingest, release_due
from publisher.model import (
    Article,
    ArticleState,
    ChangedArticle,
    Collected,
    Decision,
    Draft,
    Known,
    NewArticle,
    Skipped,
    SourceRecord,
    WithdrawnArticle,
)
from publisher.sources import open_source
from publisher.store import articles
from publisher.store.database import Database

NOW = datetime(2026, 11, 23, 7, 0, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
NEWS = FolderSource(kind="folder", name="news", path=Path("/nowhere"))
MAIL = FolderSource(kind="folder", name="news", path=Path("/nowhere"), first_collection="mail")
PUBLISHED, BASELINE, QUARANTINED, HELD, WITHDRAWN = (
    ArticleState.PUBLISHED,
    ArticleState.BASELINE,
    ArticleState.QUARANTINED,
    ArticleState.HELD,
    ArticleState.WITHDRAWN,
)


def draft(
    key: str,
    content: str = "",
    *,
    date: datetime | None = NOW - HOUR,
    guid: str | None = None,
    updated: datetime | None = None,
) -> Draft:
    return Draft(
        key=key,
        path=key,
        guid=guid,
        title=content or key,
        html="",
        summary="",
        slug="a",
        language="en",
        published_at=date,
        updated_at=updated,
        content_hash=content or key,
    )


def known(number: int, key: str, **changes: Any) -> Known:
    item = Known(
        id=number,
        guid=f"guid-{number}",
        source="news",
        keys=(key,),
        title=key,
        content_hash=key,
        published_at=NOW - DAY,
        updated_at=NOW - DAY,
        state=PUBLISHED,
        state_before=None,
        withdrawn_by=None,
        has_seq=True,
    )
    return replace(item, **changes)


def record(*recent: int, alarm: str | None = None) -> SourceRecord:
    """A source collected before, which brought so many articles at its last collections."""
    return SourceRecord(
        name="news",
        kind="folder",
        state={},
        skipped=(),
        alarm=alarm,
        recent_new=tuple((NOW - DAY, number) for number in recent),
        first_collected_at=NOW - 60 * DAY,
        last_collected_at=NOW - DAY,
        last_success_at=NOW - DAY,
    )


def decided(
    drafts: list[Draft],
    items: list[Known] | None = None,
    *,
    gone: Collection[str] = (),
    present: int | None = None,
    before: SourceRecord | None = None,
    source: FolderSource = NEWS,
    first: bool = False,
    limits: Ingest | None = None,
    now: datetime = NOW,
) -> Decision:
    here = len({*(d.key for d in drafts), *(key for item in items or [] for key in item.keys)} - set(gone))
    return decide(
        Collected(drafts=tuple(drafts), gone=frozenset(gone), present=here if present is None else present),
        items or [],
        settings=source,
        record=None if first else before or record(),
        limits=limits or Ingest(),
        domain="example.org",
        now=now,
    )


def states(decision: Decision) -> dict[str, ArticleState]:
    return {item.draft.key: item.state for item in decision.new}


def many(number: int, *, date: datetime = NOW - HOUR) -> list[Draft]:
    return [draft(f"{index:03}.md", date=date) for index in range(number)]


# New articles.


def test_a_new_article_is_published_under_a_guid_made_from_its_path() -> None:
    new = draft("a.md", updated=NOW - timedelta(minutes=5))
    guid, _ = derived_guids("example.org", "news", new)
    assert decided([new]) == Decision(
        new=(
            NewArticle(
                draft=new,
                guid=guid,
                state=PUBLISHED,
                reason="",
                published_at=NOW - HOUR,
                updated_at=NOW - timedelta(minutes=5),
            ),
        )
    )


def test_a_new_article_keeps_the_guid_it_states() -> None:
    assert [item.guid for item in decided([draft("a.md", guid="tag:1")]).new] == ["tag:1"]


def test_a_path_used_again_gets_a_guid_of_its_own() -> None:
    """DESIGN §4, Guid: the first article began here, moved away and keeps the guid."""
    new = draft("a.md", "another text")
    first, second = derived_guids("example.org", "news", new)
    moved = known(1, "b.md", guid=first)
    assert [item.guid for item in decided([new], [moved]).new] == [second]
    third = decided([new], [moved, known(2, "c.md", guid=second)]).new[0].guid
    assert third.startswith("urn:uuid:")
    assert third not in (first, second)


def test_the_first_collection_is_baseline_and_what_is_to_come_is_held() -> None:
    """P8."""
    drafts = [*many(30), draft("future.md", date=NOW + DAY)]
    assert states(decided(drafts, first=True)) == {d.key: BASELINE for d in many(30)} | {"future.md": HELD}


def test_first_collection_mail_lifts_the_guards_of_number_and_age_once() -> None:
    drafts = [*many(30, date=NOW - 400 * DAY), draft("future.md", date=NOW + DAY)]
    assert states(decided(drafts, first=True, source=MAIL)) == {d.key: PUBLISHED for d in many(30)} | {
        "future.md": HELD
    }
    assert set(states(decided(drafts, source=MAIL)).values()) == {BASELINE, HELD}


def test_a_failed_first_collection_leaves_the_next_one_the_first() -> None:
    failed = replace(record(alarm="not a folder"), first_collected_at=None)
    assert states(decided(many(2), before=failed)) == {"000.md": BASELINE, "001.md": BASELINE}


def test_an_old_article_joins_feeds_but_is_not_mailed() -> None:
    """K5."""
    drafts = [draft("old.md", date=NOW - 14 * DAY - timedelta(seconds=1)), draft("young.md", date=NOW - 14 * DAY)]
    assert states(decided(drafts)) == {"old.md": BASELINE, "young.md": PUBLISHED}


def test_an_article_without_a_date_is_published_when_first_seen() -> None:
    """A7."""
    [item] = decided([draft("a.md", date=None)]).new
    assert (item.state, item.published_at, item.updated_at) == (PUBLISHED, NOW, NOW)


def test_a_future_article_is_held_until_then() -> None:
    """A7, L12."""
    [item] = decided([draft("a.md", date=datetime(2099, 1, 1, tzinfo=UTC), updated=NOW - DAY)]).new
    assert (item.state, item.published_at, item.updated_at) == (
        HELD,
        datetime(2099, 1, 1, tzinfo=UTC),
        datetime(2099, 1, 1, tzinfo=UTC),
    )


def test_more_new_articles_than_allowed_are_quarantined() -> None:
    """B22, P8."""
    assert set(states(decided(many(20))).values()) == {PUBLISHED}
    decision = decided([*many(20), draft("later.md", date=NOW + DAY), draft("old.md", date=NOW - 99 * DAY)])
    assert states(decision) == {d.key: QUARANTINED for d in many(20)} | {"later.md": QUARANTINED, "old.md": BASELINE}
    assert {item.reason for item in decision.new if item.state is QUARANTINED} == {"21 at once are more than 20"}
    assert decision.notes == (
        (
            "21 new articles are quarantined: 21 at once are more than 20; look at them with `publisher articles list` "
            "and let them out with `publisher articles release`"
        ),
    )


def test_old_articles_do_not_count_as_a_flood() -> None:
    decision = decided([*many(200, date=NOW - 99 * DAY), draft("today.md")])
    assert (states(decision)["today.md"], decision.notes) == (PUBLISHED, ())


def test_many_more_than_a_source_usually_brings_are_quarantined() -> None:
    """B22: five times the median of the last thirty days, once there is a habit."""
    assert set(states(decided(many(11), before=record(1, 2, 9))).values()) == {QUARANTINED}
    assert set(states(decided(many(10), before=record(1, 2, 9))).values()) == {PUBLISHED}
    assert set(states(decided(many(11), before=record(1, 2))).values()) == {PUBLISHED}
    long_ago = replace(record(), recent_new=((NOW - 31 * DAY, 1),) * 9)
    assert set(states(decided(many(11), before=long_ago)).values()) == {PUBLISHED}


# Known articles.


def test_an_edited_article_keeps_everything_but_its_update() -> None:
    """L10, FR-X8."""
    edited = draft("a.md", "edited", date=NOW - DAY)
    assert decided([edited], [known(1, "a.md")]) == Decision(
        changed=(
            ChangedArticle(
                id=1,
                draft=edited,
                state=PUBLISHED,
                reason="",
                published_at=NOW - DAY,
                updated_at=NOW,
                change="edited",
            ),
        )
    )


@pytest.mark.parametrize(
    ("content", "stated", "expected"),
    [
        ("a.md", NOW - HOUR, NOW - DAY),  # nothing changed but the statement
        ("edited", NOW - HOUR, NOW - HOUR),
        ("edited", NOW - 2 * DAY, NOW),  # before the stored one
        ("edited", NOW + HOUR, NOW),  # in the future
        ("edited", None, NOW),
    ],
)
def test_updated_moves_only_with_the_content_and_only_forward(
    content: str, stated: datetime | None, expected: datetime
) -> None:
    """FR-X8."""
    [item] = decided([draft("a.md", content, date=NOW - DAY, updated=stated)], [known(1, "a.md")]).changed
    assert item.updated_at == expected


def test_updated_does_not_go_back_when_the_clock_does() -> None:
    """FR-X8, K2."""
    [item] = decided([draft("a.md", "edited", date=NOW - DAY)], [known(1, "a.md")], now=NOW - 2 * DAY).changed
    assert item.updated_at == NOW - DAY


@pytest.mark.parametrize("date", [NOW - 400 * DAY, NOW + DAY, None])
def test_a_published_date_never_changes(date: datetime | None) -> None:
    """FR-X8: also when the file says a date to come, the article stays where readers have seen it."""
    decision = decided([draft("a.md", date=date)], [known(1, "a.md")])
    [item] = decision.changed
    assert (item.state, item.published_at, item.updated_at, item.change) == (PUBLISHED, NOW - DAY, NOW - DAY, "seen")
    assert decision.notes == ((f"a.md says {date:%Y-%m-%d} now; it stays published on 2026-11-22",) if date else ())


@pytest.mark.parametrize(
    ("date", "state"), [(NOW + 9 * DAY, HELD), (NOW - HOUR, PUBLISHED), (NOW - 400 * DAY, BASELINE)]
)
def test_a_held_article_takes_a_new_date(date: datetime, state: ArticleState) -> None:
    item = known(1, "a.md", state=HELD, published_at=NOW + DAY, updated_at=NOW + DAY, has_seq=False)
    [changed] = decided([draft("a.md", date=date)], [item]).changed
    assert (changed.state, changed.published_at, changed.updated_at) == (state, date, date)


def test_a_quarantined_article_stays_so_with_its_reason() -> None:
    item = known(1, "a.md", state=QUARANTINED, state_reason="too many", has_seq=False)
    [changed] = decided([draft("a.md", "edited", date=NOW - HOUR)], [item]).changed
    assert (changed.state, changed.reason, changed.published_at) == (QUARANTINED, "too many", NOW - HOUR)


def test_a_moved_article_says_so() -> None:
    """A9."""
    moved = draft("b.md", "a.md", date=NOW - DAY)
    assert decided([moved], [known(1, "a.md")], gone={"a.md"}) == Decision(
        changed=(
            ChangedArticle(
                id=1,
                draft=moved,
                state=PUBLISHED,
                reason="",
                published_at=NOW - DAY,
                updated_at=NOW - DAY,
                change="moved",
            ),
        )
    )


def test_moved_and_edited_at_once_is_new_and_reported() -> None:
    decision = decided(
        [draft("b/a.md", "edited", date=NOW - HOUR)], [known(1, "a.md"), known(2, "c.md")], gone={"a.md"}
    )
    assert (states(decision), decision.withdrawn, decision.notes) == (
        {"b/a.md": PUBLISHED},
        (WithdrawnArticle(id=1, reason="a.md is gone from the source"),),
        ("b/a.md may be a.md, moved and edited at once: it counts as a new article",),
    )


@pytest.mark.parametrize("before", [PUBLISHED, BASELINE, QUARANTINED])
def test_a_restored_article_returns_to_where_it_stood(before: ArticleState) -> None:
    """A10: no second mail."""
    item = known(1, "a.md", state=WITHDRAWN, state_before=before, withdrawn_by="source", state_reason="gone")
    [changed] = decided([draft("a.md", date=NOW - DAY)], [item]).changed
    assert (changed.state, changed.reason, changed.change) == (before, "", "restored")


def test_what_an_operator_withdrew_no_source_brings_back() -> None:
    """L11."""
    item = known(1, "a.md", state=WITHDRAWN, state_before=PUBLISHED, withdrawn_by="operator", state_reason="wrong")
    [changed] = decided([draft("a.md", "edited", date=NOW - DAY)], [item]).changed
    assert (changed.state, changed.reason) == (WITHDRAWN, "wrong")


# Articles that went away.


def test_a_file_that_is_gone_withdraws_its_article() -> None:
    """L11."""
    items = [known(1, "a.md"), known(2, "b.md")]
    assert decided([], items, gone={"a.md"}) == Decision(
        withdrawn=(WithdrawnArticle(id=1, reason="a.md is gone from the source"),)
    )


@pytest.mark.parametrize(
    ("left", "lost", "believed"),
    [(0, 1, False), (0, 30, False), (1, 4, True), (4, 5, False), (5, 5, True), (100, 100, True), (99, 100, False)],
)
def test_the_going_of_most_articles_is_not_believed(left: int, lost: int, believed: bool) -> None:
    """A12."""
    items = [known(number, f"{number}.md") for number in range(lost)]
    decision = decided([], items, gone={f"{number}.md" for number in range(lost)}, present=left)
    if believed:
        assert (len(decision.withdrawn), decision.alarm) == (lost, None)
    else:
        assert decision == Decision(
            alarm=f"{lost} of {left + lost} articles of 'news' are gone at once: not believed, nothing is withdrawn; "
            "if they are meant to go, use `publisher articles withdraw`"
        )


def test_what_arrives_as_most_others_go_waits_for_an_operator() -> None:
    """A12, P8: a site moved and rewritten is not announced again."""
    items, gone = [known(number, f"{number}.md") for number in range(6)], {f"{number}.md" for number in range(6)}
    assert states(decided(many(3), items, gone=gone, present=3)) == {d.key: QUARANTINED for d in many(3)}
    standing = record(alarm="6 of 6 articles …")
    assert states(decided(many(3), items, gone=gone, present=9, before=standing)) == {d.key: PUBLISHED for d in many(3)}


# Many collections: a model of a folder and of the store.


@dataclass(frozen=True)
class Paper:
    """What a file says: whose text it is, which version, its date, its own guid."""

    origin: int
    version: int = 0
    date: datetime = NOW - DAY
    guid: str | None = None

    def draft(self, path: str) -> Draft:
        return draft(path, f"{self.origin}.{self.version}", date=self.date, guid=self.guid)


@dataclass
class Folder:
    """A source that remembers what it told, as real ones do."""

    files: dict[str, Paper] = field(default_factory=dict)
    told: dict[str, Paper] = field(default_factory=dict)
    away: set[str] = field(default_factory=set)

    def collect(self) -> Collected:
        drafts = [
            paper.draft(path) for path, paper in self.files.items() if self.told.get(path) != paper or path in self.away
        ]
        self.away = (self.away | set(self.told)) - set(self.files)
        self.told = dict(self.files)
        return Collected(drafts=tuple(drafts), gone=frozenset(self.away), present=len(self.files))


@dataclass
class Shelf:
    """The store, in memory; it checks what must never happen."""

    items: dict[int, Known] = field(default_factory=dict)
    announced: list[int] = field(default_factory=list)
    """Origins of the articles that became published with a number."""
    refused: Mapping[str, str] = field(default_factory=dict)
    collections: int = 0

    def take(self, folder: Folder, now: datetime) -> None:
        collected = folder.collect()
        before = replace(record(), first_collected_at=NOW if self.collections else None)
        decision = decide(
            collected,
            self.items.values(),
            settings=NEWS,
            record=before,
            limits=Ingest(),
            domain="example.org",
            now=now,
        )
        self.collections += 1
        guids = {item.id: item.guid for item in self.items.values()}
        for new in decision.new:
            assert new.guid not in guids.values()
            self._put(len(self.items) + 1, new.guid, new)
            guids[len(self.items)] = new.guid
        for changed in decision.changed:
            self._put(changed.id, guids[changed.id], changed)
        for gone in decision.withdrawn:
            item = self.items[gone.id]
            assert item.state is not WITHDRAWN
            self.items[gone.id] = replace(item, state=WITHDRAWN, state_before=item.state, withdrawn_by="source")
        self.refused = {skip.path: skip.reason for skip in decision.refused}
        for path in self.refused:  # what `ask_again` does
            folder.told.pop(path, None)

    def _put(self, number: int, guid: str, item: NewArticle | ChangedArticle) -> None:
        old = self.items.get(number)
        for other in self.items.values():  # a key belongs to one article
            keys = tuple(key for key in other.keys if key != item.draft.key)
            self.items[other.id] = replace(other, keys=keys)
        seen = item.state.visible or bool(old and old.has_seq)
        if item.state is PUBLISHED and not (old and old.has_seq):
            self.announced.append(int(item.draft.content_hash.partition(".")[0]))
        assert not (old and old.has_seq) or item.published_at == old.published_at
        assert item.updated_at >= item.published_at
        self.items[number] = Known(
            id=number,
            guid=guid,
            source="news",
            keys=(item.draft.key,),
            title=item.draft.title,
            content_hash=item.draft.content_hash,
            published_at=item.published_at,
            updated_at=item.updated_at,
            state=item.state,
            state_before=None,
            withdrawn_by=None,
            has_seq=seen,
        )

    def holds(self, path: str) -> Known | None:
        return next((item for item in self.items.values() if path in item.keys and item.state is not WITHDRAWN), None)


class Story:
    """A publication's life: things happen to files, then the folder is collected."""

    def __init__(self, start: int, stated: bool) -> None:
        self.names = iter(f"{number:03}.md" for number in range(10_000))
        self.origins: Iterator[int] = iter(range(10_000))
        self.folder = Folder()
        self.trash: list[tuple[str, Paper]] = []
        self.shelf = Shelf()
        self.stated = stated
        self.touched: set[str] = set()
        for _ in range(start):
            self.write(NOW - DAY)

    def write(self, date: datetime) -> None:
        path, origin = next(self.names), next(self.origins)
        self.folder.files[path] = Paper(origin, 0, date, f"tag:{origin}" if self.stated and origin % 2 else None)
        self.touched.add(path)

    def happen(self, what: str, which: int, now: datetime) -> None:
        """Let one thing happen to a file left alone since the last collection: two at once may mean a new article."""
        free = sorted(self.folder.files.keys() - self.touched)
        if what == "write":
            self.write(now - HOUR)
        elif what == "restore" and self.trash:
            path, paper = self.trash.pop(which % len(self.trash))
            if path not in self.folder.files and path not in self.touched:
                self.folder.files[path] = paper
                self.touched.add(path)
            else:
                self.trash.append((path, paper))
        elif free:
            path = free[which % len(free)]
            self._change(what, path, self.folder.files[path], which, now)

    def _change(self, what: str, path: str, paper: Paper, which: int, now: datetime) -> None:
        files = self.folder.files
        self.touched.add(path)
        if what == "rename":
            moved = next(self.names) if which % 2 else f"moved/{path}"
            if moved not in files:
                files[moved] = files.pop(path)
                self.touched.add(moved)
        elif what == "edit" and not self._has_copies(path, paper):
            files[path] = replace(paper, version=paper.version + 1)
        elif what == "redate" and not self._has_copies(path, paper):
            files[path] = replace(paper, date=now - (which % 40) * DAY)
        elif what == "copy" and (item := self.shelf.holds(path)) and item.published_at == paper.date:
            # The copy of a re-dated file says another day than readers know: a notice repeated, rightly new.
            copied = next(self.names)
            files[copied] = paper
            self.touched.add(copied)
        elif what == "delete":
            self.trash.append((path, files.pop(path)))

    def _has_copies(self, path: str, paper: Paper) -> bool:
        """Whether changing this one alone would rightly make two articles of one origin: that is not told here."""
        everywhere = [*self.folder.files.items(), *self.trash]
        return any(other.origin == paper.origin and name != path for name, other in everywhere)

    def collect(self, now: datetime) -> None:
        self.shelf.take(self.folder, now)
        self.touched.clear()


THINGS = st.tuples(
    st.sampled_from(["write", "rename", "edit", "redate", "copy", "delete", "restore"]), st.integers(0, 1000)
)


@settings(max_examples=100)
@given(start=st.integers(8, 12), stated=st.booleans(), rounds=st.lists(st.lists(THINGS, max_size=3), max_size=12))
def test_an_article_keeps_one_guid_and_is_announced_once_whatever_happens_to_its_file(
    start: int, stated: bool, rounds: list[list[tuple[str, int]]]
) -> None:
    """A9–A11, FR-X8, P8: renamed, moved, restored, re-dated, edited, copied over many collections; nothing is lost."""
    story = Story(start, stated)
    now = NOW
    story.collect(now)
    for things in rounds:
        now += HOUR
        for what, which in things:
            story.happen(what, which, now)
        story.collect(now)
        numbers = [item.guid for item in story.shelf.items.values()]
        assert len(set(numbers)) == len(numbers)
        assert len(set(story.shelf.announced)) == len(story.shelf.announced), "announced twice"
        assert not set(story.shelf.announced) & set(range(start)), "the first collection is not announced"
    now += HOUR
    story.collect(now)
    for path, paper in story.folder.files.items():
        item = story.shelf.holds(path)
        if item is None:
            assert path in story.shelf.refused, f"{path} was lost"
        else:
            assert item.content_hash == f"{paper.origin}.{paper.version}"


def test_a_collection_decided_twice_changes_nothing_the_second_time() -> None:
    story = Story(8, stated=True)
    story.collect(NOW)
    items = dict(story.shelf.items)
    story.collect(NOW + HOUR)
    assert story.shelf.items == items


# The story, with a real folder and a real database.


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "articles").mkdir()
    (tmp_path / "more").mkdir()
    return tmp_path


@pytest.fixture
def db(home: Path) -> Iterator[Database]:
    with Database.open("", data_dir=home / "data") as database:
        yield database


@pytest.fixture
def config(home: Path) -> Config:
    return Config(
        site=Site(title="The Paper", url="https://paper.example/news"),
        data_dir=home / "data",
        sources=(
            FolderSource(kind="folder", name="news", path=home / "articles"),
            FolderSource(kind="folder", name="more", path=home / "more"),
        ),
    )


def write(path: Path, title: str, *, date: str = "2026-11-22 09:00", text: str = "Text.", more: str = "") -> None:
    path.write_text(f"---\ntitle: {title}\ndate: {date}\n{more}---\n{text}\n", encoding="utf-8")


def collect(db: Database, config: Config, *, at: datetime = NOW, source: int = 0) -> IngestReport:
    chosen = config.sources[source]
    before = db.read(lambda conn: articles.record(conn, chosen.name))
    found = open_source(chosen, config).collect(before.state if before else {}, now=at, settle=lambda _: None)
    return ingest(db, chosen, config, found, now=at)


def stored(db: Database) -> dict[str, Article]:
    return {article.title: article for article in db.read(lambda conn: articles.listing(conn))}


def test_a_collection_is_stored_whole(db: Database, config: Config, home: Path) -> None:
    write(home / "articles/one.md", "One")
    (home / "articles/bad.md").write_bytes(b"\xff\xfe\x00")
    report = collect(db, config)
    assert (report.new, report.changed, report.withdrawn, dict(report.states)) == (1, 0, 0, {BASELINE: 1})
    assert [skip.path for skip in report.skipped] == ["bad.md"]
    one = stored(db)["One"]
    assert (one.state, one.seq, one.guid) == (
        BASELINE,
        1,
        next(derived_guids("paper.example", "news", draft("one.md"))),
    )
    again = collect(db, config, at=NOW + HOUR)
    assert (again.new, again.changed, again.withdrawn) == (0, 0, 0)
    assert stored(db)["One"] == one


def test_renamed_edited_deleted_and_restored_it_is_one_article(db: Database, config: Config, home: Path) -> None:
    """A9, A10, L10, FR-X8."""
    for name in ("Other", "Another"):
        write(home / f"articles/{name}.md", name)
    collect(db, config)
    file = home / "articles/one.md"
    write(file, "One")
    assert dict(collect(db, config, at=NOW + HOUR).states) == {PUBLISHED: 1}
    first = stored(db)["One"]

    file.rename(home / "articles/two.md")
    assert dict(collect(db, config, at=NOW + 2 * HOUR).changes) == {"moved": 1}
    assert stored(db)["One"] == replace(first, slug="two")

    write(home / "articles/two.md", "One", text="Edited.")
    assert dict(collect(db, config, at=NOW + 3 * HOUR).changes) == {"edited": 1}
    edited = stored(db)["One"]
    assert (edited.guid, edited.seq, edited.published_at, edited.updated_at) == (
        first.guid,
        first.seq,
        first.published_at,
        NOW + 3 * HOUR,
    )

    (home / "articles/two.md").rename(home / "aside.md")
    assert collect(db, config, at=NOW + 4 * HOUR).withdrawn == 1
    assert (stored(db)["One"].state, stored(db)["One"].state_reason) == (WITHDRAWN, "two.md is gone from the source")
    assert collect(db, config, at=NOW + 5 * HOUR).withdrawn == 0

    (home / "aside.md").rename(home / "articles/one.md")
    assert dict(collect(db, config, at=NOW + 6 * HOUR).changes) == {"restored": 1}
    assert stored(db)["One"] == replace(edited, slug="one")


def test_what_an_operator_withdrew_stays_withdrawn(db: Database, config: Config, home: Path) -> None:
    """L11."""
    write(home / "articles/one.md", "One")
    write(home / "articles/two.md", "Two")
    collect(db, config)
    number = stored(db)["One"].id
    db.write(lambda conn: articles.withdraw(conn, [number], reason="wrong", by="operator", now=NOW))
    write(home / "articles/one.md", "One", text="Edited.")
    collect(db, config, at=NOW + HOUR)
    (home / "articles/one.md").rename(home / "articles/three.md")
    collect(db, config, at=NOW + 2 * HOUR)
    one = stored(db)["One"]
    assert (one.id, one.state, one.state_reason) == (number, WITHDRAWN, "wrong")


def test_an_empty_folder_withdraws_nothing_and_floods_nobody_when_it_is_back(
    db: Database, config: Config, home: Path
) -> None:
    """A12."""
    for number in range(3):
        write(home / f"articles/{number}.md", f"Article {number}")
    collect(db, config)
    before = stored(db)
    (home / "articles").rename(home / "unmounted")
    (home / "articles").mkdir()
    for hours in (1, 2):
        report = collect(db, config, at=NOW + hours * HOUR)
        assert (report.withdrawn, bool(report.alarm)) == (0, True)
    assert stored(db) == before
    (home / "articles").rmdir()
    (home / "unmounted").rename(home / "articles")
    report = collect(db, config, at=NOW + 3 * HOUR)
    assert (report.new, report.withdrawn, report.alarm) == (0, 0, None)
    assert stored(db) == before


def test_a_refused_article_is_told_each_time_and_taken_when_its_way_is_free(
    db: Database, config: Config, home: Path
) -> None:
    """A8: an article moved from one source to another is not lost, whichever is collected first."""
    write(home / "articles/one.md", "One", more="guid: tag:paper,1\n")
    write(home / "articles/two.md", "Two")
    collect(db, config)
    collect(db, config, source=1)
    first = stored(db)["One"]
    (home / "articles/one.md").rename(home / "more/one.md")
    reason = "its guid tag:paper,1 is that of one.md in the source 'news' already; keep one of the two"
    for hours in (1, 2):
        report = collect(db, config, at=NOW + hours * HOUR, source=1)
        assert (report.new, report.skipped) == (0, (Skipped("one.md", reason),))
    assert collect(db, config, at=NOW + 3 * HOUR).withdrawn == 1
    report = collect(db, config, at=NOW + 4 * HOUR, source=1)
    assert (dict(report.changes), report.skipped) == ({"restored": 1}, ())
    assert stored(db)["One"] == replace(first, source="more", state_reason="")


def test_a_copy_is_refused_and_takes_over_when_the_first_file_goes(db: Database, config: Config, home: Path) -> None:
    """A8."""
    write(home / "articles/one.md", "One")
    write(home / "articles/two.md", "Two")
    collect(db, config)
    before = stored(db)
    write(home / "articles/copy.md", "One")
    report = collect(db, config, at=NOW + HOUR)
    assert (report.new, [skip.path for skip in report.skipped]) == (0, ["copy.md"])
    (home / "articles/one.md").unlink()
    assert dict(collect(db, config, at=NOW + 2 * HOUR).changes) == {"moved": 1}
    assert {title: article.guid for title, article in stored(db).items()} == {
        title: article.guid for title, article in before.items()
    }


def test_a_held_article_is_published_when_its_date_comes(db: Database, config: Config, home: Path) -> None:
    """L12."""
    write(home / "articles/one.md", "One")
    collect(db, config)
    write(home / "articles/two.md", "Two", date="2026-11-23 09:00")
    assert dict(collect(db, config, at=NOW + HOUR).states) == {HELD: 1}
    assert release_due(db, Ingest(), now=NOW + HOUR) == []
    two = stored(db)["Two"]
    assert release_due(db, Ingest(), now=NOW + 2 * HOUR) == [two.id]
    assert (stored(db)["Two"].state, stored(db)["Two"].seq) == (PUBLISHED, 2)


def test_a_path_used_again_is_stored_beside_the_article_that_began_there(
    db: Database, config: Config, home: Path
) -> None:
    write(home / "articles/latest.md", "One")
    write(home / "articles/other.md", "Other")
    collect(db, config)
    (home / "articles/latest.md").rename(home / "articles/one.md")
    collect(db, config, at=NOW + HOUR)
    write(home / "articles/latest.md", "Two")
    assert collect(db, config, at=NOW + 2 * HOUR).new == 1
    assert len({article.guid for article in stored(db).values()}) == 3


def test_a_failure_while_storing_leaves_articles_and_state_as_they_were(
    db: Database, config: Config, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(home / "articles/one.md", "One")
    with monkeypatch.context() as patch:

        def fail(*_: object) -> None:
            raise OSError("the disk is full")

        patch.setattr("publisher.store.ingestion._remember", fail)
        with pytest.raises(OSError, match="full"):
            collect(db, config)
    assert (stored(db), db.read(lambda conn: articles.record(conn, "news"))) == ({}, None)
    assert collect(db, config).new == 1


def test_an_article_held_until_a_day_long_past_is_no_news(db: Database, config: Config, home: Path) -> None:
    """K5: nobody looked for a month; it appears in feeds, and is mailed to nobody."""
    write(home / "articles/one.md", "One")
    collect(db, config)
    write(home / "articles/two.md", "Two", date="2026-11-23 09:00")
    collect(db, config, at=NOW + HOUR)
    two = stored(db)["Two"]
    assert release_due(db, Ingest(), now=NOW + timedelta(days=30)) == [two.id]
    late = stored(db)["Two"]
    assert (late.state, late.state_reason, late.seq) == (
        BASELINE,
        "its date was more than 14 days past when it could be published",
        2,
    )
