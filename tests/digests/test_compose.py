"""Tests of the composition of one digest."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from publisher.digests.compose import Digest, Frame, Limits, Skip, compose
from publisher.digests.select import Choice, Pick, Rules, select
from publisher.errors import RenderError
from publisher.model import Article, Status

MakeArticle = Callable[..., Article]
MakeFrame = Callable[..., Frame]


def made(frame: Frame, articles: list[Article] | tuple[Article, ...], language: str = "en", **limits: Any) -> Digest:
    """Compose for a reader of everything, and expect a digest."""
    given: dict[str, Any] = {"per_section": 12, "total": 50, "content": "summary"} | limits
    picks = select(articles, Choice(languages=(language,)), Rules(default_language="en"))
    digest = compose(picks, language, frame, Limits(**given))
    assert isinstance(digest, Digest)
    return digest


def test_sections_follow_the_configured_order_and_uncategorised_comes_last(
    make_frame: MakeFrame, news: tuple[Article, ...]
) -> None:
    digest = made(make_frame(), news)
    assert [(section.slug, section.title) for section in digest.sections] == [
        ("foreign-policy", "Foreign policy"),
        ("security", "Security"),
        ("economy", "Economy"),
        ("society", "Society"),
        ("culture", "Culture"),
        ("uncategorised", "Other news"),
    ]
    assert [item.title for item in digest.sections[2].items] == [
        "The budget gap widens to 3.1 % of output",
        "Late harvest, early frost: what farmers expect from the market",
    ]


def test_order_in_the_configuration_beats_the_place_in_the_file(
    make_frame: MakeFrame, make_article: MakeArticle
) -> None:
    frame = make_frame()
    categories = tuple(
        category.model_copy(update={"order": -1}) if category.slug == "culture" else category
        for category in frame.config.categories
    )
    frame = replace(frame, config=frame.config.model_copy(update={"categories": categories}))
    slugs = ("economy", "unknown-one", "culture", "uncategorised")
    digest = made(frame, [make_article(categories=(slug,)) for slug in slugs])
    assert [section.slug for section in digest.sections] == ["culture", "economy", "unknown-one", "uncategorised"]


def test_the_status_of_a_section_is_that_of_its_newest_article_that_states_one(
    make_frame: MakeFrame, make_article: MakeArticle
) -> None:
    """DESIGN §4: also when that article is behind "n more"; without any statement there is none."""
    articles = [
        make_article(),
        make_article(status=Status.WORSENED),
        make_article(status=Status.IMPROVED),
        make_article(categories=("economy",)),
    ]
    digest = made(make_frame(), articles, per_section=1)
    assert [section.status for section in digest.sections] == [Status.WORSENED, None]


def test_what_is_over_the_limits_is_counted_as_more(make_frame: MakeFrame, make_article: MakeArticle) -> None:
    articles = [make_article(categories=(slug,)) for slug in ("economy", "economy", "economy", "society", "society")]
    digest = made(make_frame(), articles, per_section=2, total=3)
    assert [(s.slug, len(s.items), s.more, s.count) for s in digest.sections] == [
        ("economy", 2, 1, 3),
        ("society", 1, 1, 2),
    ]
    assert (digest.count, digest.shown, digest.more) == (5, 3, 2)
    assert digest.sections[0].more_url == "https://letters.news.example/categories/economy?lang=en"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(
    shape=st.lists(
        st.tuples(st.sampled_from(["economy", "society", "x", "uncategorised"]), st.integers(0, 99)), min_size=1
    ),
    per_section=st.integers(1, 5),
    total=st.integers(1, 9),
)
def test_sums_always_match_and_no_article_comes_twice(
    make_frame: MakeFrame, make_article: MakeArticle, shape: list[tuple[str, int]], per_section: int, total: int
) -> None:
    frame = make_frame()
    articles = [make_article(categories=(slug,), published_at=frame.when - timedelta(hours=age)) for slug, age in shape]
    digest = made(frame, articles, per_section=per_section, total=total)
    assert digest.count == len(articles) == digest.shown + digest.more
    assert len(set(digest.article_ids)) == len(digest.article_ids) == digest.shown <= total
    for section in digest.sections:
        assert section.count == len(section.items) + section.more
        assert len(section.items) <= per_section


@pytest.mark.parametrize(
    ("changes", "articles", "reason"),
    [
        ({}, 0, "no new articles"),
        ({"min_articles": 3}, 0, "no new articles"),
        ({"min_articles": 3}, 2, "2 articles < min_articles 3"),
        ({"min_articles": 2}, 1, "1 article < min_articles 2"),
        ({"min_articles": 2, "skip_if_empty": False}, 0, "no new articles"),
    ],
)
def test_too_few_articles_make_no_digest_and_say_so(
    make_frame: MakeFrame, make_article: MakeArticle, changes: dict[str, Any], articles: int, reason: str
) -> None:
    """M6, E13."""
    picks = select([make_article() for _ in range(articles)], Choice(languages=("en",)), Rules(default_language="en"))
    assert compose(picks, "en", make_frame(**changes)) == Skip(reason)


def test_an_empty_digest_is_made_where_the_newsletter_wants_it(make_frame: MakeFrame) -> None:
    digest = compose((), "ru", make_frame(skip_if_empty=False))
    assert isinstance(digest, Digest)
    assert (digest.sections, digest.intro) == ((), "На этот раз новых статей нет")
    assert digest.subject == "Обзор недели"


def test_the_subject_is_a_template_with_title_date_count_first_title_and_sections(
    make_frame: MakeFrame, news: tuple[Article, ...]
) -> None:
    subject = "{{ title }} {{ date }} {{ count }} {{ first_title }} {{ sections|join('+') }}"
    digest = made(make_frame(subject=subject), news[:1])
    assert digest.subject == (
        "The Week in Review Monday, 23 November 2026 1 Ministers agree on a timetable for border talks Foreign policy"
    )


def test_a_title_can_neither_break_the_subject_line_nor_run_on_for_ever(
    make_frame: MakeFrame, make_article: MakeArticle
) -> None:
    """H8, A13: one line, at most 150 characters, no header injected."""
    digest = made(make_frame(), [make_article(title="a\r\nBcc: x@y " + "é" * 10_000)])
    assert "\n" not in digest.subject
    assert "\r" not in digest.subject
    assert len(digest.subject) == 150
    assert digest.subject.endswith("…")
    assert len(digest.sections[0].items[0].title) <= 250


@pytest.mark.parametrize("subject", ["{{ nothing }}", "{{ title.__class__ }}", "{{ ''.join(open('/etc/passwd')) }}"])
def test_a_subject_template_is_as_strict_and_sandboxed_as_any(
    make_frame: MakeFrame, news: tuple[Article, ...], subject: str
) -> None:
    """E1, E5."""
    with pytest.raises(RenderError):
        made(make_frame(subject=subject), news)


def test_everything_around_the_articles_is_in_the_readers_language(
    make_frame: MakeFrame, news: tuple[Article, ...]
) -> None:
    digest = made(make_frame(), news, "ru")
    assert (digest.title, digest.site_title, digest.frequency) == (
        "Обзор недели",
        "Новости пограничья",
        "по понедельникам",
    )
    assert digest.date.startswith("понедельник, 23 ноября 2026")
    assert (
        digest.intro == "11 новых статей: Внешняя политика, Безопасность, Экономика, Общество, Культура, Другие новости"
    )
    assert digest.sections[0].items[0].date.startswith("22 ноября 2026")
    assert digest.web_url == "https://letters.news.example/issues/0123456789ab?lang=ru"


def test_an_article_of_another_language_keeps_its_language_and_direction(
    make_frame: MakeFrame, news: tuple[Article, ...]
) -> None:
    rain = made(make_frame(), news).sections[3].items[0]
    assert (rain.language, rain.direction, rain.credit) == ("he", "rtl", "רשות המים")


def test_an_article_without_address_is_read_on_its_page_here(make_frame: MakeFrame, make_article: MakeArticle) -> None:
    article = make_article(url=None, slug="żółw")
    assert made(make_frame(), [article]).sections[0].items[0].url == (
        f"https://letters.news.example/articles/{article.ref}/%C5%BC%C3%B3%C5%82w"
    )


def test_full_texts_bring_their_links_to_the_text_part(make_frame: MakeFrame, make_article: MakeArticle) -> None:
    html = '<p>One <a href="https://a.example/">a</a>, <a href="https://b.example/?x=1&amp;y=2">b</a>.</p><p>Two</p>'
    item = made(make_frame(), [make_article(html=html)], content="full").sections[0].items[0]
    assert (item.html, item.links) == (html, ("https://a.example/", "https://b.example/?x=1&y=2"))
    assert item.text == "One a, b.\n\nTwo"


def test_a_pinned_article_stands_first_and_is_shown_whatever_the_limits(
    make_frame: MakeFrame, make_article: MakeArticle
) -> None:
    """Issue 6, 3: pinned by an operator; the section's status stays that of its newest article (DESIGN §4)."""
    found = [make_article(status=Status.WORSENED if number == 0 else Status.IMPROVED) for number in range(5)]
    found[4] = replace(found[4], pinned=True)
    picks = [Pick(article, "foreign-policy") for article in found]
    digest = compose(picks, "en", make_frame(max_per_section=2, max_articles=2))
    assert isinstance(digest, Digest)
    [section] = digest.sections
    assert ([item.id for item in section.items], section.more, section.status) == (
        [found[4].id, found[0].id],
        3,
        Status.WORSENED,
    )
