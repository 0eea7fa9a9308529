"""Tests of the issue before it is frozen."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

import pytest

from publisher.config import Frequency
from publisher.digests.compose import Frame, Skip
from publisher.digests.issue import Draft, draft
from publisher.digests.material import Material
from publisher.model import Article, Format, Wishes
from publisher.render import Renderer
from tests.digests.conftest import together

MakeArticle = Callable[..., Article]
MakeWishes = Callable[..., Wishes]
MakeFrame = Callable[..., Frame]
Ids = Callable[[], str]

WEEK = timedelta(days=7)


@pytest.fixture
def drafted(make_frame: MakeFrame, news: tuple[Article, ...], ids: Ids) -> Callable[..., Draft | Skip]:
    """Draft the issue of these readers; keywords change keys of the newsletter."""

    def make(*readers: Wishes, late: timedelta = timedelta(), period: timedelta = WEEK, **changes: Any) -> Draft | Skip:
        frame = make_frame(**changes)
        material = Material(together(*readers), 15, news)
        now = frame.when + late
        return draft(material, frame, slot="2026-11-23T07:00", slot_at=frame.when, period=period, now=now, ids=ids)

    return make


def test_readers_of_one_choice_share_a_segment_and_differ_in_message_id(
    drafted: Callable[..., Draft | Skip], make_wishes: MakeWishes
) -> None:
    made = drafted(make_wishes(), make_wishes(), make_wishes(languages=("ru",)), make_wishes(format=Format.TEXT))
    assert isinstance(made, Draft)
    assert [delivery.segment_key.rpartition("-")[0] for delivery in made.issue.deliveries] == [
        "en-html",
        "en-html",
        "ru-html",
        "en-text",
    ]
    assert len(made.mailed) == 3
    assert made.articles == len(made.issue.article_ids) == 15
    identities = [delivery.message_id for delivery in made.issue.deliveries]
    assert len(set(identities)) == 4
    assert all(len(f"Message-ID: {identity}") <= 76 and "reader" not in identity for identity in identities)
    # The cursor goes along, so that a reader whose cursor moves before the freeze is left to the next issue.
    assert {(delivery.cursor, delivery.to_seq) for delivery in made.issue.deliveries} == {(0, 15)}


def test_deliveries_are_the_same_whenever_they_are_looked_at_and_no_message_id_can_be_guessed(
    drafted: Callable[..., Draft | Skip], make_wishes: MakeWishes
) -> None:
    """H4: the same subscription has another Message-ID in the next issue."""
    readers = [make_wishes(), make_wishes(languages=("ru",))]
    made, again = (drafted(*readers) for _ in range(2))
    assert isinstance(made, Draft)
    assert isinstance(again, Draft)
    mails = made.issue.deliveries
    assert (list(mails), mails[1], mails[-1:], len(mails)) == ([mails[0], mails[1]], mails[-1], [mails[1]], 2)
    known = {delivery.message_id for delivery in mails}
    assert known.isdisjoint(delivery.message_id for delivery in again.issue.deliveries)


def test_nothing_is_rendered_per_reader(
    drafted: Callable[..., Draft | Skip], make_wishes: MakeWishes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Segments: a hundred times the readers of the same choices are the same work for the templates."""
    rendered: list[str] = []
    render = Renderer.render

    def counted(self: Renderer, name: str, language: str, values: Mapping[str, Any]) -> str:
        rendered.append(name)
        return render(self, name, language, values)

    monkeypatch.setattr(Renderer, "render", counted)
    numbers = []
    for each in (1, 100):
        rendered.clear()
        choices: list[dict[str, Any]] = [{}, {"languages": ("ru",)}, {"format": Format.TEXT}]
        made = drafted(*(make_wishes(**choice) for choice in choices for _ in range(each)))
        assert isinstance(made, Draft)
        assert len(made.issue.deliveries) == 3 * each
        numbers.append(list(rendered))
    assert numbers[0] == numbers[1]


def test_each_language_of_the_issue_has_one_page_for_the_web(
    drafted: Callable[..., Draft | Skip], make_wishes: MakeWishes
) -> None:
    made = drafted(make_wishes(categories=("economy",)), make_wishes(languages=("ru",), categories=("culture",)))
    assert isinstance(made, Draft)
    pages = [segment for segment in made.issue.segments if segment.is_web]
    assert [page.language for page in pages] == ["en", "ru"]
    assert "Ministers agree" in pages[0].html  # all categories, though no reader chose this one


def test_a_reader_without_news_gets_no_delivery(drafted: Callable[..., Draft | Skip], make_wishes: MakeWishes) -> None:
    made = drafted(make_wishes(categories=("sport",)), make_wishes())
    assert isinstance(made, Draft)
    assert [delivery.subscription_id for delivery in made.issue.deliveries] == [2]
    assert list(made.issue.without_news) == [1]


@pytest.mark.parametrize(
    ("readers", "changes", "reason"),
    [
        ([], {}, "no readers"),
        ([{"cursor": 15}], {}, "no new articles"),
        (
            [{"categories": ("economy",)}, {"categories": ("culture",)}],
            {"min_articles": 3},
            "2 articles < min_articles 3",
        ),
    ],
)
def test_an_issue_for_nobody_says_why(
    drafted: Callable[..., Draft | Skip],
    make_wishes: MakeWishes,
    readers: list[dict[str, Any]],
    changes: dict[str, Any],
    reason: str,
) -> None:
    """E13; of several readers, the one with the most articles gives the reason."""
    assert drafted(*(make_wishes(**given) for given in readers), **changes) == Skip(reason)


def test_with_deliver_at_reader_each_mail_is_due_at_its_reader_s_hour_where_the_reader_lives(
    drafted: Callable[..., Draft | Skip], make_wishes: MakeWishes
) -> None:
    """DESIGN §4, Hours: the first occurrence at or after the slot, which is 07:00 in Minsk, 04:00 UTC."""
    weekly = Frequency(at="07:00", days=("mon",), deliver_at="reader")
    readers = (
        make_wishes(),
        make_wishes(timezone="America/New_York"),
        make_wishes(timezone="Pacific/Auckland"),
        make_wishes(hour=7),
        make_wishes(hour=6),
        make_wishes(hour=21, timezone="Asia/Kathmandu"),
    )
    made = drafted(*readers, frequencies={"weekly": weekly})
    assert isinstance(made, Draft)
    assert [(d.due_at.strftime("%d %H:%M"), d.expires_at - d.due_at) for d in made.issue.deliveries] == [
        (due, timedelta(hours=36)) for due in ("23 04:00", "23 12:00", "23 18:00", "23 04:00", "24 03:00", "23 15:15")
    ]
    # An outage of nine hours: who would have had it by now gets it now, the others at their hour.
    late = drafted(*readers, late=timedelta(hours=9), frequencies={"weekly": weekly})
    assert isinstance(late, Draft)
    assert [d.due_at.strftime("%d %H:%M") for d in late.issue.deliveries] == [
        "23 13:00", "23 13:00", "23 18:00", "23 13:00", "24 03:00", "23 15:15",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("late", "period", "due", "expires"),
    [
        (timedelta(0), WEEK, timedelta(0), timedelta(hours=36)),
        (timedelta(0), timedelta(days=1), timedelta(0), timedelta(days=1)),
        (timedelta(hours=5), timedelta(days=1), timedelta(hours=5), timedelta(hours=29)),
    ],
)
def test_a_delivery_expires_after_36_hours_or_the_period(
    drafted: Callable[..., Draft | Skip],
    make_wishes: MakeWishes,
    late: timedelta,
    period: timedelta,
    due: timedelta,
    expires: timedelta,
) -> None:
    """DESIGN §4, Hours: and a late issue's mail has its full time."""
    made = drafted(make_wishes(), late=late, period=period)
    assert isinstance(made, Draft)
    [delivery] = made.issue.deliveries
    assert (delivery.due_at - made.issue.slot_at, delivery.expires_at - made.issue.slot_at) == (due, expires)


def test_an_issue_may_be_spread_over_hours(drafted: Callable[..., Draft | Skip], make_wishes: MakeWishes) -> None:
    """Issue 4, point 4: evenly, each with its full time, in an order that has nothing to do with that of sign-up."""
    readers = [make_wishes() for _ in range(8)]
    made = drafted(*readers, spread="4h", transport="bulk")
    assert isinstance(made, Draft)
    begin = made.issue.slot_at
    assert sorted(one.due_at - begin for one in made.issue.deliveries) == [n * timedelta(minutes=30) for n in range(8)]
    assert {one.expires_at - one.due_at for one in made.issue.deliveries} == {timedelta(hours=36)}
    assert made.issue.transport == "bulk"
    assert made.issue.settings["spread_seconds"] == 4 * 3600
    hourly = drafted(*readers, spread="4h", period=timedelta(hours=1))
    assert isinstance(hourly, Draft)
    assert max(one.due_at - begin for one in hourly.issue.deliveries) < timedelta(hours=1)


def test_the_settings_that_sending_needs_are_frozen_with_the_issue(
    drafted: Callable[..., Draft | Skip], make_wishes: MakeWishes
) -> None:
    """D4: a reload changes nothing in flight."""
    made = drafted(make_wishes())
    assert isinstance(made, Draft)
    assert made.issue.settings == {
        "from_name": "The Week in Review",
        "from_address": "editors@news.example",
        "reply_to": "editors@news.example",
        "list_id": "week.news.example",
        "title": {"en": "The Week in Review", "ru": "Обзор недели", "he": "סיכום השבוע"},
        "site_title": {"en": "Borderland News", "ru": "Новости пограничья", "he": "חדשות הגבול"},
        "public_url": "https://letters.news.example",
        "wait_seconds": 36 * 3600,
        "spread_seconds": 0,
    }
