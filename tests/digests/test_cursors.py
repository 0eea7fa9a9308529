"""Cursors as a machine: whatever readers, articles, mails and issues do, each matching article comes exactly once."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import count
from pathlib import Path

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from publisher.config import Category, Config, Frequency, Newsletter, Site, Web
from publisher.digests import MANUAL, DispatchReport, dispatch, manual_slot
from publisher.model import (
    Attempt,
    Claimed,
    DeliveryState,
    Format,
    IssueState,
    Outcome,
    Recorded,
    SlotOutcome,
    SubscriptionState,
)
from publisher.render import Renderer
from publisher.store import claims, deliveries, issue_turns, issues, preferences, subscribers
from publisher.store.database import Connection, Database
from tests.store import make

S = DeliveryState
LANGUAGES = ("en", "ru")
CATEGORIES = ("economy", "society")
CHOICES = st.none() | st.lists(st.sampled_from(CATEGORIES), min_size=1, unique=True)
READS = st.lists(st.sampled_from(LANGUAGES), max_size=2, unique=True)
ZONES = st.sampled_from(["Europe/Minsk", "Pacific/Kiritimati", "America/Los_Angeles"])
REACHED = (S.SENT, S.UNCERTAIN)
HOUR = timedelta(hours=1)
# Nobody looks at these mails, so they are short: what is tested is which articles they are made of.
TEMPLATES = {
    "digest.html.j2": "{{ unsubscribe }}",
    "digest.txt.j2": "{{ unsubscribe }}",
    "article.html.j2": "{{ item.title }}",
    "article.txt.j2": "{{ item.title }}",
}


@dataclass(frozen=True)
class Told:
    """An article, as the model knows it: its place in the order of arrival is its number."""

    id: int
    number: int
    guid: str
    story: str
    language: str
    category: str
    published_at: datetime


@dataclass
class Mail:
    """What a delivery holds, and up to which article."""

    articles: list[Told]
    up_to: int


@dataclass
class Person:
    """A reader, and what the model says that they have."""

    subscriber: int
    languages: tuple[str, ...]
    categories: list[str] | None
    frequency: str
    start: int
    steady: bool = True
    paused_until: datetime | None = None
    has_up_to: int = 0
    stories: list[str] = field(default_factory=list)


class CursorMachine(RuleBasedStateMachine):
    """The real store and stories, and beside them a model that knows nothing of cursors in a database."""

    template: Path
    renderer: Renderer

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory(prefix="publisher-cursors-")
        shutil.copy(self.template, Path(self.folder.name) / "publisher.db")
        self.db = Database.open(data_dir=Path(self.folder.name), readers=1)
        self.now = datetime(2026, 10, 23, 4, 0, tzinfo=UTC)
        self.told: list[Told] = []
        self.people: dict[int, Person] = {}
        self.mails: dict[int, Mail] = {}
        self.counted: set[int] = set()
        self.flights: list[Claimed] = []
        self.numbers = count(1)
        self.epoch = self.db.write(lambda conn: deliveries.new_epoch(conn, self.now))

    @initialize(fallback=st.booleans(), limit=st.sampled_from(["", "1w"]))
    def begin(self, fallback: bool, limit: str) -> None:
        frequencies = {
            "daily": Frequency(at="07:00"),
            "weekly": Frequency(at="07:00", days=("mon",), deliver_at="reader"),
        }
        self.newsletter = Newsletter(
            slug="week",
            title={"en": "Week"},
            from_address="a@news.example",
            frequencies=frequencies,
            fallback_languages=fallback,
            max_articles=2,
            max_per_section=1,
            max_age=limit,
        )
        self.config = Config(
            site=Site(title="News", url="https://news.example/", languages=LANGUAGES, postal_address="4 Mill Lane"),
            categories=tuple(Category(slug=slug, title=slug) for slug in CATEGORIES),
            newsletters=(self.newsletter,),
            web=Web(public_url="https://letters.news.example"),
        )
        for language in LANGUAGES:
            self.somebody_subscribes([language], None, "daily")
        for category in CATEGORIES:
            self.an_article_arrives("en", category, 0)

    # The world

    @rule(language=st.sampled_from(LANGUAGES), category=st.sampled_from(CATEGORIES), age=st.integers(-1, 300))
    def an_article_arrives(self, language: str, category: str, age: int) -> None:
        """New, late or back-dated: its date says nothing about who has it."""
        self.tell(language, category, self.now - age * HOUR, None)

    @precondition(lambda self: self.told)
    @rule(language=st.sampled_from(LANGUAGES), category=st.sampled_from(CATEGORIES), data=st.data())
    def a_translation_arrives(self, language: str, category: str, data: st.DataObject) -> None:
        original = data.draw(st.sampled_from([one for one in self.told if one.guid == one.story]))
        self.tell(language, category, self.now, original)

    def tell(self, language: str, category: str, published_at: datetime, original: Told | None) -> None:
        name = f"a{next(self.numbers)}"
        draft = make.draft(
            name, language=language, categories=(category,), translation_of=original.guid if original else None
        )
        article = make.new(draft, guid=name, published_at=published_at)
        [id_] = make.stored(self.db, article, now=self.now)
        story = original.story if original else name
        self.told.append(Told(id_, len(self.told) + 1, name, story, language, category, published_at))

    @precondition(lambda self: len(self.people) < 4)
    @rule(languages=READS, categories=CHOICES, frequency=st.sampled_from(["daily", "weekly"]))
    def somebody_subscribes(self, languages: list[str], categories: list[str] | None, frequency: str) -> None:
        address = f"reader{len(self.people)}@example.net"

        def work(conn: Connection) -> tuple[int, int]:
            person = subscribers.add(
                conn,
                address=address,
                address_key=address,
                name="",
                languages=languages,
                timezone="Europe/Minsk",
                format=Format.HTML,
                now=self.now,
            )
            confirmed = subscribers.subscribe(
                conn,
                person,
                newsletter="week",
                frequency=frequency,
                categories=categories,
                state=SubscriptionState.CONFIRMED,
                method="command",
                proof="test",
                now=self.now,
            )
            return confirmed.id, person

        id_, person = self.db.write(work)
        start = len(self.told)
        self.people[id_] = Person(person, tuple(languages), categories, frequency, start, has_up_to=start)

    @precondition(lambda self: self.people)
    @rule(data=st.data(), categories=CHOICES, frequency=st.sampled_from(["daily", "weekly"]))
    def somebody_chooses_anew(self, data: st.DataObject, categories: list[str] | None, frequency: str) -> None:
        id_ = data.draw(st.sampled_from(sorted(self.people)))
        person = self.people[id_]
        person.steady = person.steady and person.categories == categories
        person.categories, person.frequency = categories, frequency
        choose = partial(preferences.choose, content=None, hour=None)
        self.db.write(lambda conn: choose(conn, id_, frequency=frequency, categories=categories))

    @precondition(lambda self: self.people)
    @rule(data=st.data(), languages=READS, zone=ZONES)
    def somebody_moves(self, data: st.DataObject, languages: list[str], zone: str) -> None:
        person = data.draw(st.sampled_from(list(self.people.values())))
        person.steady = person.steady and person.languages == tuple(languages)
        person.languages = tuple(languages)
        describe = partial(preferences.describe, format=Format.HTML)
        self.db.write(lambda conn: describe(conn, person.subscriber, languages=languages, timezone=zone))

    @precondition(lambda self: self.people)
    @rule(data=st.data(), hours=st.sampled_from([None, 30, 90]))
    def somebody_pauses_or_goes_on(self, data: st.DataObject, hours: int | None) -> None:
        id_ = data.draw(st.sampled_from(sorted(self.people)))
        until = self.now + hours * HOUR if hours else None
        self.people[id_].paused_until = until
        self.db.write(lambda conn: preferences.pause(conn, id_, until))

    @rule(hours=st.sampled_from([1, 25, 100]))
    def time_goes_by(self, hours: int) -> None:
        """Up to an outage of four days: nothing was claimed, whatever waited is too old."""
        self.now += hours * HOUR

    # Issues

    @precondition(lambda self: self.people)
    @rule(frequency=st.sampled_from(["daily", "weekly", MANUAL]), approval=st.booleans())
    def a_slot_comes(self, frequency: str, approval: bool) -> None:
        self.now += timedelta(minutes=1)
        due = {
            id_: person
            for id_, person in self.people.items()
            if frequency in (MANUAL, person.frequency)
            and (person.paused_until is None or person.paused_until <= self.now)
        }
        rows = self.rows()
        busy = {row[1] for row in rows if row[2] == S.SENDING or (row[2] in (S.QUEUED, S.DEFERRED) and row[3])}
        waiting = {row[1] for row in rows if row[2] in (S.QUEUED, S.DEFERRED, S.SENDING)}
        news = {id_: self.news(person) for id_, person in due.items()}
        report = self.dispatch(frequency, approval=approval)
        made = {row[1]: row[0] for row in self.rows() if row[0] not in self.mails}
        if not any(news.values()):
            assert (report.outcome, made) == (SlotOutcome.SKIPPED, {})
            return
        assert report.outcome is (SlotOutcome.HELD if report.reason else SlotOutcome.DISPATCHED)
        assert made.keys() == {id_ for id_, articles in news.items() if articles and id_ not in busy}
        for id_, delivery in made.items():
            self.mails[delivery] = Mail(news[id_], len(self.told))
        for id_ in due:
            if not news[id_] and id_ not in waiting:
                self.people[id_].has_up_to = len(self.told)
        self.look()

    def news(self, person: Person) -> list[Told]:
        """Return what this reader should get now: of each story never sent the best version, if that is new."""
        best: dict[str, Told] = {}
        for one in self.told:
            if person.categories is not None and one.category not in person.categories:
                continue
            if one.story not in best or self.rank(person, one) < self.rank(person, best[one.story]):
                best[one.story] = one
        return [
            one
            for one in best.values()
            if one.number > person.has_up_to
            and one.story not in person.stories
            and (self.newsletter.fallback_languages or one.language in person.languages)
            and not self.old(one)
        ]

    def old(self, one: Told) -> bool:
        """Whether the newsletter's age limit keeps an article from an issue of now."""
        return bool(self.newsletter.max_age) and one.published_at < self.now - timedelta(weeks=1)

    def rank(self, person: Person, one: Told) -> int:
        order = [*person.languages, *(x for x in ("en",) if x not in person.languages)]
        return order.index(one.language) if one.language in order else 9

    def dispatch(self, frequency: str, *, approval: bool) -> DispatchReport:
        return dispatch(
            self.db,
            self.config,
            self.newsletter.model_copy(update={"approval": approval}),
            frequency,
            manual_slot(self.config, self.now),
            renderer=self.renderer,
            now=self.now,
            ids=lambda: f"{next(self.numbers):08x}" * 4,
        )

    @rule(data=st.data(), turn=st.sampled_from(["approve", "pause", "resume", "cancel"]))
    def an_operator_turns_an_issue(self, data: st.DataObject, turn: str) -> None:
        if found := self.db.read(issues.listing):
            self.turn(data.draw(st.sampled_from([issue.id for issue in found])), turn)
            self.look()

    def turn(self, id_: int, turn: str) -> None:
        def work(conn: Connection) -> None:
            issue = issues.get(conn, id=id_)
            assert issue is not None
            if turn == "approve":
                issue_turns.approve(conn, issue, wait=24 * HOUR, now=self.now)
            elif turn == "cancel":
                issue_turns.cancel(conn, issue, self.now)
            else:
                {"pause": issue_turns.pause, "resume": issue_turns.resume}[turn](conn, id_)

        self.db.write(work)

    # Mails

    @rule(limit=st.integers(1, 3))
    def mails_go_out(self, limit: int) -> None:
        found = self.db.read(partial(claims.upcoming, epoch=self.epoch, now=self.now, limit=limit)).candidates
        taken = self.db.write(lambda conn: claims.take(conn, found, self.now))
        self.flights += [one for one in found if one.id in taken]
        self.look()

    @precondition(lambda self: self.flights)
    @rule(data=st.data(), state=st.sampled_from([S.SENT, S.SENT, S.DEFERRED, S.FAILED, S.UNCERTAIN]))
    def a_mail_ends(self, data: st.DataObject, state: DeliveryState) -> None:
        flight = self.flights.pop(data.draw(st.integers(0, len(self.flights) - 1)))
        self.end(flight, state, ambiguous=state is S.DEFERRED and data.draw(st.booleans()))

    def end(self, flight: Claimed, state: DeliveryState, *, ambiguous: bool = False) -> None:
        outcome = Recorded(
            delivery_id=flight.id,
            epoch=flight.epoch,
            state=state,
            reason="",
            attempt=Attempt(outcome=Outcome.ACCEPTED, code=250, text="ok", phase="dot"),
            next_at=self.now + HOUR,
            ambiguous=ambiguous,
        )
        self.db.write(lambda conn: deliveries.record(conn, [outcome], self.now))
        self.look()

    # What must hold

    def rows(self) -> list[tuple[int, int, str, int, str]]:
        query = (
            "SELECT d.id, d.subscription_id, d.state, d.ambiguous, s.article_ids "
            "FROM deliveries d JOIN segments s ON s.id = d.segment_id ORDER BY d.id"
        )
        return [tuple(row) for row in self.db.read(lambda conn: conn.exec_driver_sql(query).all())]

    def look(self) -> None:
        """Each mail holds what the model says, and what reached its reader was never there before."""
        for id_, subscription, state, _, article_ids in self.rows():
            mail = self.mails[id_]
            assert sorted(json.loads(article_ids)) == sorted(one.id for one in mail.articles)
            if state in REACHED and id_ not in self.counted:
                self.counted.add(id_)
                person = self.people[subscription]
                stories = [one.story for one in mail.articles]
                assert not set(stories) & set(person.stories), "a story came twice"
                person.stories += stories
                person.has_up_to = max(person.has_up_to, mail.up_to)

    def teardown(self) -> None:
        try:
            if self.people:
                self.everything_ends_well()
        finally:
            self.db.close()
            self.folder.cleanup()

    def everything_ends_well(self) -> None:
        """When at last all goes well, nobody misses anything."""
        for flight in self.flights:
            self.end(flight, S.SENT)
        for id_ in self.people:
            self.people[id_].paused_until = None
            self.db.write(lambda conn: preferences.pause(conn, id_, None))  # noqa: B023 - run at once
        for approved in (False, True):
            for issue in self.db.read(issues.listing):
                self.turn(issue.id, "approve" if approved else "resume")
        self.send_all()
        self.a_slot_comes(MANUAL, approval=False)
        for issue in self.db.read(partial(issues.listing, states=[IssueState.HELD])):  # by the guard
            self.turn(issue.id, "approve")
        self.send_all()
        for person in self.people.values():
            assert self.news(person) == []
            if person.steady and not self.newsletter.max_age:
                assert self.whole_stories(person) <= set(person.stories)

    def send_all(self) -> None:
        self.now += 2 * HOUR
        for _ in range(10):  # an issue deferred comes an hour later, one at the reader's hour within a day
            found = self.db.read(partial(claims.upcoming, epoch=self.epoch, now=self.now, limit=100)).candidates
            taken = self.db.write(lambda conn: claims.take(conn, found, self.now))  # noqa: B023 - run at once
            for one in found:
                if one.id in taken:
                    self.end(one, S.SENT)
            self.look()
            self.now += 5 * HOUR

    def whole_stories(self, person: Person) -> set[str]:
        """Return what somebody who never changed a choice must have: stories that began after they came."""
        first: dict[str, int] = {}
        for one in self.told:
            first.setdefault(one.story, one.number)
        return {
            one.story
            for one in self.told
            if first[one.story] > person.start
            and (person.categories is None or one.category in person.categories)
            and (self.newsletter.fallback_languages or one.language in person.languages)
        }


@pytest.fixture(scope="module")
def short_templates(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Renderer]:
    folder = tmp_path_factory.mktemp("templates")
    (folder / "mail").mkdir()
    for name, text in TEMPLATES.items():
        (folder / "mail" / name).write_text(text, "utf-8")
    return lambda: Renderer([folder])


def test_each_matching_article_reaches_each_reader_exactly_once(
    sqlite_template: Path, short_templates: Callable[[], Renderer]
) -> None:
    """V8, DESIGN §4, Cursor: over late articles, translations, changed choices, pauses, outages and every outcome."""
    CursorMachine.template, CursorMachine.renderer = sqlite_template, short_templates()
    run = CursorMachine.TestCase
    suite = settings.default or settings()
    run.settings = settings(
        max_examples=suite.max_examples // 3,
        stateful_step_count=40,
        phases=[Phase.reuse, Phase.generate, Phase.shrink],  # to explain takes longer than to understand
    )
    run().runTest()
