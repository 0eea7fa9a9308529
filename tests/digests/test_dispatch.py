"""Tests of the story: a slot becomes a frozen issue in a real database, or is skipped with its reason."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import date, datetime, timedelta
from functools import partial
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest

from publisher.config import Config, Frequency, Newsletter
from publisher.digests import (
    DECIDED,
    MANUAL,
    DispatchReport,
    check_templates,
    dispatch,
    manual_slot,
    newsletter_named,
    trial_mail,
)
from publisher.digests.planning import plan
from publisher.errors import NotFoundError, RenderError
from publisher.mail.message import SLOT_UNSUBSCRIBE
from publisher.model import (
    Article,
    ArticleState,
    Attempt,
    Collected,
    Decision,
    DeliveryState,
    Draft,
    Format,
    NewArticle,
    Outcome,
    Recorded,
    SlotOutcome,
    SubscriptionState,
)
from publisher.render import Renderer
from publisher.slots import Slot
from publisher.store import articles, deliveries, issues, preferences, subscribers
from publisher.store.database import Connection, Database
from tests.store import make
from tests.store.make import HOUR

Ids = Callable[[], str]
Dispatch = Callable[..., DispatchReport]


@pytest.fixture
def slot(now: datetime) -> Slot:
    return Slot(local="2026-11-23T07:00", at=now)


def publish(db: Database, found: Sequence[Article], now: datetime) -> None:
    """Store these articles as a collection would."""

    def draft_of(article: Article) -> Draft:
        return Draft(
            key=article.guid,
            path=article.guid,
            title=article.title,
            html=article.html,
            summary=article.summary,
            slug=article.slug,
            language=article.language,
            url=article.url,
            published_at=article.published_at,
            authors=article.authors,
            categories=article.categories,
            status=article.status,
            image=article.image,
            translation_of=None if article.story == article.guid else article.story,
            content_hash=article.guid,
        )

    def new(article: Article) -> NewArticle:
        return NewArticle(
            draft=draft_of(article),
            guid=article.guid,
            state=ArticleState.PUBLISHED,
            reason="",
            published_at=article.published_at,
            updated_at=article.updated_at,
        )

    collected = Collected(drafts=tuple(draft_of(article) for article in found), present=len(found))
    decision = Decision(new=tuple(new(article) for article in found))
    db.write(lambda conn: articles.apply(conn, "news", "folder", collected, decision, now))


def subscribe(db: Database, address: str, now: datetime, **given: Any) -> int:
    """Store a confirmed reader; returns the id of the subscription."""

    def work(conn: Connection) -> int:
        subscriber = subscribers.add(
            conn,
            address=address,
            address_key=address,
            name="",
            languages=given.get("languages", ("en",)),
            timezone="Europe/Minsk",
            format=given.get("format", Format.HTML),
            now=now,
        )
        return subscribers.subscribe(
            conn,
            subscriber,
            newsletter="week",
            frequency=given.get("frequency", "weekly"),
            categories=given.get("categories"),
            state=given.get("state", SubscriptionState.CONFIRMED),
            method="command",
            proof="test",
            now=now,
        ).id

    return db.write(work)


@pytest.fixture
def go(config: Config, newsletter: Newsletter, renderer: Renderer, slot: Slot, ids: Ids, now: datetime) -> Dispatch:
    """Dispatch the weekly slot; everything may be given."""

    def run(db: Database, **given: Any) -> DispatchReport:
        values: dict[str, Any] = {"frequency": "weekly", "slot": slot, "newsletter": newsletter, "renderer": renderer}
        values |= {"now": now, "ids": ids} | given
        return dispatch(db, config, **values)

    return run


def sent(db: Database, now: datetime) -> None:
    """Let every waiting delivery be sent, so that cursors move."""

    def work(conn: Connection) -> None:
        epoch = deliveries.new_epoch(conn, now)
        claimed = make.claim(conn, epoch=epoch, limit=1000, now=now)
        attempt = Attempt(outcome=Outcome.ACCEPTED, code=250, text="ok", phase="dot")
        outcomes = [
            Recorded(delivery_id=c.id, epoch=epoch, state=DeliveryState.SENT, reason="", attempt=attempt)
            for c in claimed
        ]
        deliveries.record(conn, outcomes, now)
        issues.finish(conn, now)

    db.write(work)


def test_a_due_slot_becomes_a_frozen_issue(
    database: Database, go: Dispatch, news: tuple[Article, ...], now: datetime
) -> None:
    """On SQLite and PostgreSQL."""
    subscribe(database, "english@example.net", now)
    subscribe(database, "russian@example.net", now, languages=("ru",))
    subscribe(database, "text@example.net", now, format=Format.TEXT)
    subscribe(database, "economy@example.net", now, categories=["economy"])
    subscribe(database, "pending@example.net", now, state=SubscriptionState.PENDING)
    publish(database, news, now)
    report = go(database)
    assert (report.outcome, report.reason, report.deliveries, report.segments) == (SlotOutcome.DISPATCHED, "", 4, 4)
    assert report.articles == 15
    issue = database.read(lambda conn: issues.get(conn, ref=report.issue or ""))
    assert issue is not None
    assert issue.deliveries == {DeliveryState.QUEUED: 4}
    assert database.read(lambda conn: issues.article_ids(conn, issue.id)) == list(range(1, 16))
    page = database.read(lambda conn: issues.web_segment(conn, issue.id, "ru"))
    assert page is not None
    assert "Министры согласовали" in page.html
    assert SLOT_UNSUBSCRIBE not in page.html


def test_a_slot_is_dispatched_once(
    sqlite_database: Database, go: Dispatch, news: tuple[Article, ...], now: datetime
) -> None:
    """P7, K16."""
    subscribe(sqlite_database, "a@example.net", now)
    publish(sqlite_database, news, now)
    assert go(sqlite_database).outcome is SlotOutcome.DISPATCHED
    again = go(sqlite_database)
    assert (again.outcome, again.reason, again.issue) == (SlotOutcome.SKIPPED, DECIDED, None)
    assert len(sqlite_database.read(lambda conn: issues.listing(conn))) == 1


def test_two_instances_make_one_issue_of_a_slot(
    postgresql_database: Database,
    postgresql_url: str,
    tmp_path: Path,
    go: Dispatch,
    news: tuple[Article, ...],
    now: datetime,
) -> None:
    """K6, P7: both compose it, and one freezes it, whichever is quicker."""
    for number in range(50):
        subscribe(postgresql_database, f"reader{number}@example.net", now, languages=(("en",), ("ru",))[number % 2])
    publish(postgresql_database, news, now)
    (tmp_path / "other").mkdir()
    with Database.open(postgresql_url, data_dir=tmp_path / "other") as other, ThreadPoolExecutor() as threads:
        for week in range(5):
            slot = Slot(local=f"2026-11-23T0{week}:00", at=now)
            ready = Barrier(2)

            def both(db: Database, slot: Slot = slot, ready: Barrier = ready) -> DispatchReport:
                ready.wait()
                return go(db, slot=slot)

            reports = list(threads.map(both, (postgresql_database, other)))
            assert sorted(report.reason == DECIDED for report in reports) == [False, True]
            assert sorted(report.deliveries for report in reports) == [0, 50]
    frozen = postgresql_database.read(lambda conn: deliveries.listing(conn, limit=1000))
    assert Counter(row.state for row in frozen) == {DeliveryState.QUEUED: 50, DeliveryState.EXPIRED: 200}


@pytest.mark.parametrize(("min_articles", "reason"), [(1, "no new articles"), (99, "11 articles < min_articles 99")])
def test_a_skipped_slot_keeps_its_reason(
    sqlite_database: Database,
    go: Dispatch,
    newsletter: Newsletter,
    news: tuple[Article, ...],
    now: datetime,
    min_articles: int,
    reason: str,
) -> None:
    """M6, E13: nothing is sent, and the slot is done."""
    subscribe(sqlite_database, "a@example.net", now)
    if min_articles > 1:
        publish(sqlite_database, news, now)
    report = go(sqlite_database, newsletter=newsletter.model_copy(update={"min_articles": min_articles}))
    assert (report.outcome, report.reason) == (SlotOutcome.SKIPPED, reason)
    [record] = sqlite_database.read(lambda conn: issues.slots(conn))
    assert (record.slot, record.outcome, record.reason) == ("2026-11-23T07:00", SlotOutcome.SKIPPED, reason)


def test_a_dry_run_writes_nothing(
    sqlite_database: Database, go: Dispatch, news: tuple[Article, ...], now: datetime
) -> None:
    subscribe(sqlite_database, "a@example.net", now)
    publish(sqlite_database, news, now)
    report = go(sqlite_database, dry_run=True)
    assert (report.outcome, report.deliveries, report.dry_run) == (SlotOutcome.DISPATCHED, 1, True)
    assert sqlite_database.read(lambda conn: (issues.slots(conn), issues.listing(conn))) == ([], [])


def test_by_hand_readers_of_all_frequencies_are_served(
    sqlite_database: Database,
    config: Config,
    go: Dispatch,
    newsletter: Newsletter,
    news: tuple[Article, ...],
    now: datetime,
) -> None:
    weekly = newsletter.frequencies["weekly"]
    both = newsletter.model_copy(update={"frequencies": {"weekly": weekly, "daily": weekly}})
    subscribe(sqlite_database, "a@example.net", now)
    subscribe(sqlite_database, "b@example.net", now, frequency="daily")
    publish(sqlite_database, news, now)
    by_hand = manual_slot(config, now)
    assert by_hand.local == "2026-11-23T07:00"  # Minsk
    assert go(sqlite_database, newsletter=both, frequency=MANUAL, slot=by_hand).deliveries == 2


def test_no_article_comes_twice_and_none_is_lost_from_issue_to_issue(
    sqlite_database: Database, go: Dispatch, news: tuple[Article, ...], now: datetime
) -> None:
    """V8, DESIGN §4 Cursor: also when the translation of a story arrives in a later window."""
    subscribe(sqlite_database, "en@example.net", now)
    subscribe(sqlite_database, "ru@example.net", now, languages=("ru",))
    publish(sqlite_database, [a for a in news if a.guid in ("talks", "court-ru", "chess")], now)
    first = go(sqlite_database)
    sent(sqlite_database, now)
    publish(sqlite_database, [a for a in news if a.guid in ("talks-ru", "court", "cyber")], now)
    second = go(sqlite_database, slot=Slot(local="2026-11-30T07:00", at=now + timedelta(days=7)))
    assert (first.articles, second.articles, second.deliveries) == (3, 1, 2)
    third = go(sqlite_database, slot=Slot(local="2026-12-07T07:00", at=now + timedelta(days=14)))
    assert third.deliveries == 2  # the second was not sent yet: its article comes along in the third


def test_who_was_sent_a_story_and_then_reads_another_language_is_not_sent_its_translation(
    sqlite_database: Database, go: Dispatch, newsletter: Newsletter, make_article: Callable[..., Article], now: datetime
) -> None:
    """V8, DESIGN §4, Languages: never twice, whatever was chosen then and is chosen now; another reader gets it."""
    db = sqlite_database
    strict = newsletter.model_copy(update={"fallback_languages": False, "max_articles": 1})
    moves, russian = (subscribe(db, f"{name}@example.net", now, languages=(name,)) for name in ("en", "ru"))
    english = [make_article(f"story-{number}", story=f"story-{number}") for number in range(3)]
    publish(db, english, now)
    assert go(db, newsletter=strict).deliveries == 1
    sent(db, now)
    [person] = [one.subscriber.id for one in db.read(subscribers.listing) if one.subscription.id == moves]
    describe = partial(preferences.describe, timezone="Europe/Minsk", format=Format.HTML)
    db.write(lambda conn: describe(conn, person, languages=("ru",)))
    # Two were behind "n more", which counts as received.
    publish(db, [make_article(f"{one.guid}-ru", language="ru", story=one.story) for one in english], now)
    later = Slot(local="2026-11-30T07:00", at=now + timedelta(days=7))
    report = go(db, newsletter=strict, slot=later, now=later.at)
    assert (report.deliveries, report.articles) == (1, 3)
    rows = db.read(lambda conn: deliveries.listing(conn))
    assert [row.subscription_id for row in rows] == [moves, russian]


def test_a_category_chosen_later_begins_with_the_next_article(
    sqlite_database: Database,
    go: Dispatch,
    news: tuple[Article, ...],
    make_article: Callable[..., Article],
    now: datetime,
) -> None:
    """DESIGN §4, Cursor: what came before counts as received, also for a reader who was never sent anything."""
    db = sqlite_database
    rare = subscribe(db, "rare@example.net", now, categories=("sport",))
    subscribe(db, "all@example.net", now)
    publish(db, news[:5], now)
    assert go(db).deliveries == 1
    sent(db, now)
    choose = partial(preferences.choose, frequency="weekly", content=None, hour=None)
    db.write(lambda conn: choose(conn, rare, categories=None))
    publish(db, [make_article("another")], now)
    later = Slot(local="2026-11-30T07:00", at=now + timedelta(days=7))
    assert (report := go(db, slot=later, now=later.at)).deliveries == 2
    assert (report.segments, report.articles) == (1, 1)


def test_who_pauses_gets_nothing_and_misses_nothing(
    sqlite_database: Database, go: Dispatch, news: tuple[Article, ...], now: datetime
) -> None:
    """DESIGN §4 Cursor: what came out during the pause is in the first issue after it."""
    paused = subscribe(sqlite_database, "paused@example.net", now)
    subscribe(sqlite_database, "other@example.net", now)
    sqlite_database.write(lambda conn: preferences.pause(conn, paused, now + timedelta(days=7)))
    publish(sqlite_database, [a for a in news if a.guid in ("talks", "chess")], now)
    assert go(sqlite_database).deliveries == 1
    sent(sqlite_database, now)
    publish(sqlite_database, [a for a in news if a.guid == "cyber"], now)
    later = now + timedelta(days=7)
    second = go(sqlite_database, now=later, slot=Slot(local="2026-11-30T07:00", at=later))
    assert (second.deliveries, second.segments, second.articles) == (2, 2, 3)


def test_a_template_error_leaves_the_slot_undecided(
    sqlite_database: Database, go: Dispatch, news: tuple[Article, ...], tmp_path: Path, now: datetime
) -> None:
    """E1: mended, the slot can still be dispatched."""
    subscribe(sqlite_database, "a@example.net", now)
    publish(sqlite_database, news, now)
    (tmp_path / "mail").mkdir()
    (tmp_path / "mail" / "digest.html.j2").write_text("{{ unsubscribe }} {{ typo }}", "utf-8")
    with pytest.raises(RenderError, match="'typo' is undefined"):
        go(sqlite_database, renderer=Renderer([tmp_path]))
    assert sqlite_database.read(lambda conn: issues.slots(conn)) == []
    assert go(sqlite_database).outcome is SlotOutcome.DISPATCHED


def test_a_plan_tells_the_next_slots_and_what_the_first_would_hold(
    sqlite_database: Database,
    config: Config,
    newsletter: Newsletter,
    renderer: Renderer,
    news: tuple[Article, ...],
    ids: Ids,
    now: datetime,
) -> None:
    subscribe(sqlite_database, "a@example.net", now)
    publish(sqlite_database, news, now)
    planned = plan(sqlite_database, config, newsletter, renderer=renderer, now=now, ids=ids, count=2)
    assert [(p.slot and p.slot.local, p.readers, p.report and p.report.articles) for p in planned] == [
        ("2026-11-30T07:00", 1, 11),
        ("2026-12-07T07:00", 1, None),
    ]
    assert sqlite_database.read(lambda conn: issues.slots(conn)) == []


def test_a_plan_tells_what_is_late_and_what_becomes_of_it(
    sqlite_database: Database,
    config: Config,
    newsletter: Newsletter,
    renderer: Renderer,
    news: tuple[Article, ...],
    ids: Ids,
    now: datetime,
) -> None:
    """Issue 6, 7: while the service stands still, slots pass; a schedule that it never loaded is late for nobody."""
    monday = newsletter.frequencies["weekly"]
    often = newsletter.model_copy(update={"frequencies": {"weekly": monday, "daily": Frequency(at="07:00")}})
    subscribe(sqlite_database, "a@example.net", now - timedelta(days=9))
    publish(sqlite_database, news, now)

    def planned(count: int = 1) -> list[tuple[str, str | None, str, bool]]:
        found = plan(sqlite_database, config, often, renderer=renderer, now=now + HOUR, ids=ids, count=count)
        return [(p.frequency, p.slot.local if p.slot else None, p.late, p.report is not None) for p in found]

    assert planned() == [("daily", "2026-11-24T07:00", "", True), ("weekly", "2026-11-30T07:00", "", True)]
    for name, frequency in often.frequencies.items():
        loaded = partial(
            issues.schedule_since,
            newsletter="week",
            frequency=name,
            fingerprint=frequency.schedule("Europe/Minsk").fingerprint,
            now=now - timedelta(days=2),
        )
        sqlite_database.write(loaded)
    late = "1 h late: it goes out when the service runs"
    missed = "more than 6 h: it will be missed"
    assert planned(2) == [
        ("daily", "2026-11-22T07:00", f"1 d 1 h late, {missed}", False),
        ("daily", "2026-11-23T07:00", late, True),
        ("weekly", "2026-11-23T07:00", late, True),
        ("daily", "2026-11-24T07:00", "", False),
        ("daily", "2026-11-25T07:00", "", False),
        ("weekly", "2026-11-30T07:00", "", False),
    ]
    assert sqlite_database.read(lambda conn: issues.slots(conn)) == []


def test_a_plan_shows_the_next_slot_of_each_frequency_also_a_blackout_far_away(
    sqlite_database: Database, config: Config, newsletter: Newsletter, renderer: Renderer, ids: Ids, now: datetime
) -> None:
    dark = (date(2026, 11, 30), date(2026, 11, 30))
    frequencies = {"daily": Frequency(at="07:00"), "weekly": newsletter.frequencies["weekly"]}
    often = newsletter.model_copy(update={"frequencies": frequencies, "blackout": (dark,)})
    found = plan(sqlite_database, config, often, renderer=renderer, now=now, ids=ids, count=2)
    assert [(p.frequency, p.slot and p.slot.local, p.skipped) for p in found] == [
        ("daily", "2026-11-24T07:00", ""),
        ("daily", "2026-11-25T07:00", ""),
        ("weekly", "2026-11-30T07:00", "blackout 2026-11-30"),
    ]


def test_who_comes_back_after_months_gets_no_older_news_than_the_newsletter_mails(
    sqlite_database: Database, config: Config, newsletter: Newsletter, go: Dispatch, now: datetime
) -> None:
    """Issue 6, 1; K5: what is older than `max_age` at the slot counts as received, and never comes."""
    recent = newsletter.model_copy(update={"max_age": "30d"})
    subscription = subscribe(sqlite_database, "a@example.net", now)
    sqlite_database.write(lambda conn: preferences.pause(conn, subscription, now + timedelta(days=60)))
    for days in (0, 29, 31, 60):
        make.stored(
            sqlite_database,
            make.new(make.draft(f"{days}.md", categories=("economy",)), published_at=now + timedelta(days=days)),
            now=now,
        )
    back = now + timedelta(days=60)
    report = go(sqlite_database, newsletter=recent, slot=Slot(local="2027-01-22T07:00", at=back), now=back)
    assert (report.deliveries, report.articles) == (1, 2)
    sent(sqlite_database, back)
    week = back + timedelta(days=7)
    later = go(sqlite_database, slot=Slot(local="2027-01-29T07:00", at=week), now=week)
    assert (later.outcome, later.reason) == (SlotOutcome.SKIPPED, "no new articles")


def test_when_all_news_is_too_old_the_slot_is_skipped(
    sqlite_database: Database, newsletter: Newsletter, go: Dispatch, news: tuple[Article, ...], now: datetime
) -> None:
    subscribe(sqlite_database, "a@example.net", now)
    publish(sqlite_database, news, now)
    later = now + timedelta(days=60)
    aged = newsletter.model_copy(update={"max_age": "30d"})
    slot = Slot(local="2027-01-22T07:00", at=later)
    report = go(sqlite_database, newsletter=aged, slot=slot, now=later)
    assert (report.outcome, report.reason) == (SlotOutcome.SKIPPED, "no new articles")


def test_a_plan_shows_every_frequency_however_many_slots_of_others_come_first(
    sqlite_database: Database, config: Config, newsletter: Newsletter, renderer: Renderer, ids: Ids, now: datetime
) -> None:
    """Who reads weekly is not hidden behind five days that nobody reads."""
    daily = {"daily": Frequency(at="08:00"), "weekly": Frequency(at="07:00", days=("sun",))}
    both = newsletter.model_copy(update={"frequencies": daily})
    planned = plan(sqlite_database, config, both, renderer=renderer, now=now, ids=ids, count=2)
    assert [(p.frequency, p.slot and p.slot.local, p.report is not None) for p in planned] == [
        ("daily", "2026-11-23T08:00", True),
        ("daily", "2026-11-24T08:00", False),
        ("weekly", "2026-11-29T07:00", True),
    ]


def test_a_trial_goes_to_one_address_marked_and_counts_for_nothing(
    sqlite_database: Database,
    config: Config,
    newsletter: Newsletter,
    renderer: Renderer,
    news: tuple[Article, ...],
    ids: Ids,
    now: datetime,
) -> None:
    """K17."""
    subscribe(sqlite_database, "reader@example.net", now, languages=("ru",), categories=["economy"])
    publish(sqlite_database, news, now)
    before = sqlite_database.read(lambda conn: make.readers(conn, "week", "weekly"))

    def trial(address: str, **given: Any) -> tuple[str, bytes]:
        mail = trial_mail(sqlite_database, config, newsletter, address, renderer=renderer, now=now, ids=ids, **given)
        return mail.segment.subject, mail.message

    own, message = trial("Reader@example.net")
    assert own == "[Проверка] Обзор недели: Дефицит бюджета вырос до 3,1 % ВВП"
    assert b"To: Reader@example.net\r\n" in message
    assert SLOT_UNSUBSCRIBE.encode() not in message
    assert trial("editor@news.example")[0] == (
        "[Test] The Week in Review: Ministers agree on a timetable for border talks"
    )
    text = trial("editor@news.example", language="he", format_=Format.TEXT)[1]
    assert b"Content-Type: text/plain" in text
    assert sqlite_database.read(lambda conn: (issues.slots(conn), issues.listing(conn))) == ([], [])
    assert sqlite_database.read(lambda conn: make.readers(conn, "week", "weekly")) == before


def test_a_trial_without_news_shows_the_newest_articles_and_without_any_says_so(
    sqlite_database: Database,
    config: Config,
    newsletter: Newsletter,
    renderer: Renderer,
    news: tuple[Article, ...],
    ids: Ids,
    now: datetime,
) -> None:
    def trial() -> str:
        return trial_mail(
            sqlite_database, config, newsletter, "a@example.net", renderer=renderer, now=now, ids=ids
        ).segment.subject

    with pytest.raises(NotFoundError, match="week has nothing to show: no new articles"):
        trial()
    publish(sqlite_database, news, now)  # nobody is subscribed: for nobody is anything new
    assert trial().startswith("[Test] The Week in Review: Ministers agree")


def test_packaged_templates_pass_their_check(
    config: Config, newsletter: Newsletter, renderer: Renderer, now: datetime
) -> None:
    check_templates(config, newsletter, renderer, now)
    check_templates(config, newsletter.model_copy(update={"content": "full", "categories": ("x",)}), renderer, now)


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("mail/digest.html.j2", "{{ digest.titel }}{{ unsubscribe }}"),
        ("mail/digest.txt.j2", "no way out"),
        ("mail/article.txt.j2", "{% if item.image %}{{ item.nothing }}{% endif %}"),
        ("mail/article.html.j2", "{% if style == 'lead' %}{{ item.nothing }}{% endif %}"),
        ("blocks/status.html.j2", "{% if status == 'worsened' %}{{ nothing }}{% endif %}"),
    ],
)
def test_a_bad_template_is_found_at_load_in_whatever_branch(
    config: Config, newsletter: Newsletter, tmp_path: Path, now: datetime, name: str, source: str
) -> None:
    """E1, E15."""
    path = tmp_path / name
    path.parent.mkdir()
    path.write_text(source, "utf-8")
    with pytest.raises(RenderError, match=name):
        check_templates(config, newsletter, Renderer([tmp_path]), now)


def test_a_bad_subject_is_found_at_load(
    config: Config, newsletter: Newsletter, renderer: Renderer, now: datetime
) -> None:
    subject = {"en": "{{ title }}", "ru": "{{ titel }}"}
    with pytest.raises(RenderError, match="'titel' is undefined"):
        check_templates(config, newsletter.model_copy(update={"subject": subject}), renderer, now)


def test_a_newsletter_is_found_by_its_name_and_its_former_ones(config: Config, newsletter: Newsletter) -> None:
    renamed = config.model_copy(update={"newsletters": (newsletter.model_copy(update={"former": ("weekly-news",)}),)})
    assert newsletter_named(renamed, "weekly-news").slug == "week"
    with pytest.raises(NotFoundError, match="no newsletter 'weak'; there are: week"):
        newsletter_named(renamed, "weak")
