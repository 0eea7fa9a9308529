"""Tests of the choice of articles for a reader."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from publisher.digests.select import Choice, Pick, Rules, language_rank, select
from publisher.model import Article

MakeArticle = Callable[..., Article]

ANY = Rules(default_language="en")
STRICT = Rules(default_language="en", fallback=False)


def english(*categories: str) -> Choice:
    return Choice(languages=("en",), categories=frozenset(categories) or None)


def guids(picks: tuple[Pick, ...]) -> list[str]:
    return [pick.article.guid for pick in picks]


def test_a_story_comes_once_in_the_first_of_the_readers_languages(make_article: MakeArticle) -> None:
    story = [make_article(language, language=language, story="s") for language in ("en", "ru", "be")]
    for languages, chosen in ((("en", "ru"), "en"), (("ru", "en"), "ru"), (("he", "be", "ru"), "be")):
        assert guids(select(story, Choice(languages=languages), ANY)) == [chosen]


def test_a_region_of_a_language_is_that_language() -> None:
    assert language_rank("ru-BY", ("en", "ru")) == 1
    assert language_rank("pt", ("pt-BR",)) == 0
    assert language_rank("fr", ("en", "ru")) is None


def test_a_story_in_none_of_the_readers_languages_falls_back_to_the_publications(make_article: MakeArticle) -> None:
    both = [make_article("ru", language="ru", story="s"), make_article("en", language="en", story="s")]
    reader = Choice(languages=("he",))
    assert guids(select(both, reader, ANY)) == ["en"]
    assert guids(select(both[:1], reader, ANY)) == ["ru"]
    assert guids(select(both, reader, STRICT)) == []


def test_without_the_publications_language_the_first_that_existed_is_sent(make_article: MakeArticle) -> None:
    later, first = (
        make_article("be", language="be", story="s", seq=9),
        make_article("ru", language="ru", story="s", seq=4),
    )
    assert guids(select([later, first], Choice(languages=("he",)), ANY)) == ["ru"]


def test_an_article_stands_in_the_first_of_its_categories_that_the_reader_chose(make_article: MakeArticle) -> None:
    article = make_article(categories=("economy", "society", "culture"))
    assert select([article], english("culture", "society"), ANY) == (Pick(article, "society"),)
    assert select([article], english("sport"), ANY) == ()
    assert select([article], english(), ANY) == (Pick(article, "economy"),)


def test_a_newsletter_of_some_categories_has_no_section_of_another(make_article: MakeArticle) -> None:
    article = make_article(categories=("economy", "society"))
    rules = Rules(default_language="en", categories=("society",))
    assert select([article], english(), rules) == (Pick(article, "society"),)
    assert select([article], english("economy"), rules) == ()


def test_a_translation_that_arrives_later_is_no_news_to_those_who_were_sent_the_story(
    make_article: MakeArticle,
) -> None:
    """DESIGN §4, Languages: a story never twice, whichever language comes first and whatever they want now."""
    both = [make_article("en", story="s", seq=4), make_article("ru", language="ru", story="s", seq=9)]
    for languages in (("en", "ru"), ("ru", "en"), ("he",), ("ru",)):
        for rules in (ANY, STRICT):
            assert select(both, Choice(languages=languages), rules, after=4, already=frozenset({"s"})) == ()


def test_a_translation_that_arrives_later_is_news_where_it_is_the_best_version_of_a_story_never_sent(
    make_article: MakeArticle,
) -> None:
    """What lies at or below the cursor counts as received: who reads English need not read last month in Russian."""
    both = [make_article("en", story="s", seq=4), make_article("ru", language="ru", story="s", seq=9)]
    for languages, news in ((("ru",), ["ru"]), (("ru", "en"), ["ru"]), (("en", "ru"), []), (("en",), [])):
        assert guids(select(both, Choice(languages=languages), STRICT, after=4)) == news


def test_the_newest_comes_first_and_equal_times_are_ordered_by_guid(make_article: MakeArticle) -> None:
    old = make_article("old")
    new = make_article("new", published_at=old.published_at)
    newest = make_article("newest", published_at=old.published_at.replace(year=2027))
    assert guids(select([old, newest, new], english(), ANY)) == ["newest", "new", "old"]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_each_story_reaches_a_reader_at_most_once_over_all_windows(
    make_article: MakeArticle, data: st.DataObject
) -> None:
    """V8: however translations are spread over issues, and whatever the reader wants."""
    languages = st.sampled_from(["en", "ru", "be", "he"])
    categories = st.sampled_from(["economy", "society", "culture"])
    shapes = data.draw(
        st.lists(
            st.tuples(st.sampled_from("abc"), languages, st.lists(categories, min_size=1, max_size=2, unique=True)),
            max_size=12,
        )
    )
    articles = [
        make_article(story=story, language=language, categories=tuple(labels), seq=seq)
        for seq, (story, language, labels) in enumerate(shapes, 1)
    ]
    reader = Choice(
        languages=tuple(data.draw(st.lists(languages, max_size=3, unique=True))),
        categories=data.draw(st.none() | st.frozensets(categories)),
    )
    rules = Rules(default_language="en", fallback=data.draw(st.booleans()))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(articles)), max_size=4)))
    received: list[Pick] = []
    for start, end in zip([0, *cuts], [*cuts, len(articles)], strict=True):
        already = frozenset(pick.article.story for pick in received)
        received += select(articles[:end], reader, rules, after=start, already=already)
    stories = [pick.article.story for pick in received]
    assert sorted(stories) == sorted(set(stories))
    assert set(stories) == {pick.article.story for pick in select(articles, reader, rules)}
    assert all(reader.categories is None or pick.category in reader.categories for pick in received)
