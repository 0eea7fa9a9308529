"""Names, rules and phrases."""

from __future__ import annotations

import pytest

from publisher.config import Category
from publisher.model import Status
from publisher.sources.categories import Categories, Phrases

POLITICS = Category(slug="foreign-policy", title={"en": "Foreign policy", "ru": "Внешняя политика"}, former=("abroad",))
ECONOMY = Category(slug="economy", title="Economy", keywords=("market", "ключевая ставка"), aliases=("Money & banks",))
CULTURE = Category(slug="culture", title="Культура", paths=("arts/**/*.md",), keywords=("theatre",))
ALL = Categories((POLITICS, ECONOMY, CULTURE))


@pytest.mark.parametrize(
    "name",
    [
        "foreign-policy",
        "Foreign Policy",
        "FOREIGN  POLICY",
        "внешняя политика",
        "vneshnyaya-politika",
        "abroad",
        "foreign_policy",
    ],
)
def test_a_category_is_known_by_slug_title_and_former_slug(name: str) -> None:
    assert ALL.named(name) == "foreign-policy"


@pytest.mark.parametrize("name", ["", "policy", "foreign", "иностранная", "🙂"])
def test_other_names_are_not_categories(name: str) -> None:
    assert ALL.named(name) is None


def test_no_alias_takes_the_slug_of_another() -> None:
    thief = Category(slug="thief", title="economy", aliases=("economy",))
    assert Categories((thief, ECONOMY)).named("economy") == "economy"


def test_names_lead_and_the_others_become_labels() -> None:
    assert ALL.of(["2017", "Money & banks", "Минск", "abroad"], path="arts/a.md", title="market") == (
        ("economy", "foreign-policy"),
        ("2017", "Минск"),
    )


@pytest.mark.parametrize(
    ("path", "title", "labels", "found"),
    [
        ("arts/x/a.md", "market", (), "culture"),
        ("arts/a.md", "", (), "culture"),
        ("news/a.md", "The MARKET falls", (), "economy"),
        ("news/a.md", "Ключевая  ставка выросла", (), "economy"),
        ("news/a.md", "", ("market",), "economy"),
        ("news/a.md", "Marketing and supermarkets", (), "uncategorised"),
        ("Foreign Policy/x/a.md", "", (), "foreign-policy"),
        ("economy/culture/a.md", "", (), "culture"),
    ],
)
def test_rules_decide_when_no_name_does(path: str, title: str, labels: tuple[str, ...], found: str) -> None:
    assert ALL.of(labels, path=path, title=title)[0] == (found,)


def test_several_keyword_rules_may_apply_in_configured_order() -> None:
    assert ALL.of((), path="a.md", title="The theatre market")[0] == ("economy", "culture")


def test_the_fallback_may_be_written_like_any_name() -> None:
    assert Categories((POLITICS,), "Foreign policy").of((), path="a.md", title="")[0] == ("foreign-policy",)


@pytest.mark.parametrize(
    ("phrase", "status"),
    [
        ("improved", Status.IMPROVED),
        ("The situation got better", Status.IMPROVED),
        ("The situation has improved.", Status.IMPROVED),
        ("Ситуация улучшилась", Status.IMPROVED),
        ("Сітуацыя палепшылася", Status.IMPROVED),
        ("The situation got worse", Status.WORSENED),
        ("THE SITUATION HAS DETERIORATED", Status.WORSENED),
        ("Ситуация ухудшилась", Status.WORSENED),
        ("Сітуацыя пагоршылася", Status.WORSENED),
        ("The situation did not change", Status.UNCHANGED),
        ("The situation didn’t change", Status.UNCHANGED),
        ("The situation remained the same", Status.UNCHANGED),
        ("The situation has not changed", Status.UNCHANGED),
        ("Ситуация не изменилась", Status.UNCHANGED),
        ("Ситуация осталась без изменений", Status.UNCHANGED),
        ("Сітуацыя не змянілася", Status.UNCHANGED),
        ("без змен", Status.UNCHANGED),
        ("The situation did not get worse", None),
        ("Ситуация не улучшилась", None),
        ("The situation is complicated", None),
        ("The situation", None),
        ("", None),
    ],
)
def test_phrases_state_a_status(phrase: str, status: Status | None) -> None:
    """A phrase that is not known states nothing: a guess could turn a negation into its opposite."""
    assert Phrases().status(phrase) is status


def test_configured_phrases_are_added_and_win() -> None:
    phrases = Phrases({"worsened": ("Rather gloomy", "better"), "unchanged": ("So-so",)})
    assert [phrases.status(text) for text in ("rather gloomy!", "so so", "better", "improved")] == [
        Status.WORSENED,
        Status.UNCHANGED,
        Status.WORSENED,
        Status.IMPROVED,
    ]
