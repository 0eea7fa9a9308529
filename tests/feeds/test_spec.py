"""Which feeds there are."""

from __future__ import annotations

import pytest

from publisher.config import Category, Config, Feed, Selection, Site, Web
from publisher.feeds.spec import FeedSpec, feed_id, feeds_of


def by_slug(config: Config) -> dict[str, FeedSpec]:
    return {spec.slug: spec for spec in feeds_of(config)}


def test_there_is_a_feed_of_all_of_each_category_of_each_language_and_each_configured_one(config: Config) -> None:
    assert [(spec.slug, spec.kind, spec.title, spec.language) for spec in feeds_of(config)] == [
        ("all", "all", "The Example", "en"),
        ("security", "category", "The Example: Security", "en"),
        ("economy", "category", "The Example: Economy", "en"),
        ("language-en", "language", "The Example: English", "en"),
        ("language-ru", "language", "Пример: русский", "ru"),
        ("language-he", "language", "The Example: עברית", "he"),
        ("brief", "custom", "In brief", "ru"),
    ]


def test_each_feed_takes_what_its_name_says(config: Config) -> None:
    specs = by_slug(config)
    assert specs["all"].selection == Selection()
    assert specs["security"].selection == Selection(categories=("security",))
    assert specs["language-ru"].selection == Selection(languages=("ru",))
    assert specs["brief"].selection == Selection(languages=("ru",))
    assert (specs["brief"].content, specs["brief"].limit) == ("summary", 2)


def test_a_feed_knows_its_addresses_and_its_page(config: Config) -> None:
    """FR-R1, FR-R2: the page is HTML and not the feed."""
    spec = by_slug(config)["economy"]
    assert spec.url("rss") == "https://news.example.org/feeds/economy.rss"
    assert spec.file("json") == "economy.json"
    assert spec.page_url == "https://news.example.org/categories/economy?lang=en"
    assert by_slug(config)["all"].page_url == "https://example.org"


def test_a_feed_always_has_a_description(config: Config) -> None:
    """FR-R1."""
    specs = by_slug(config)
    assert specs["economy"].description == "Money."
    assert specs["security"].description == "News & analysis"
    bare = config.model_copy(update={"site": Site(title="Bare", url="https://example.org")})
    assert by_slug(bare)["security"].description == "Bare: Security"


def test_a_configured_feed_takes_the_place_of_a_built_in_one(config: Config) -> None:
    config = config.model_copy(update={"feeds": (Feed(slug="all", title="Everything", content="summary"),)})
    specs = feeds_of(config)
    assert [spec.slug for spec in specs].count("all") == 1
    assert (by_slug(config)["all"].title, by_slug(config)["all"].kind) == ("Everything", "custom")


def test_a_category_called_all_does_not_hide_the_feed_of_everything(config: Config) -> None:
    config = config.model_copy(update={"categories": (Category(slug="all", title="All"),)})
    assert by_slug(config)["all"].selection == Selection()


def test_a_language_nobody_knows_is_named_by_its_tag(config: Config) -> None:
    site = Site(title="T", url="https://example.org", languages=("qqq", "zh-Hant"))
    specs = by_slug(config.model_copy(update={"site": site}))
    assert specs["language-qqq"].title == "T: qqq"
    assert specs["language-zh-hant"].selection == Selection(languages=("zh-Hant",))


@pytest.mark.parametrize(
    ("url", "same"), [("http://example.org/x", True), ("https://example.org", True), ("https://example.com", False)]
)
def test_a_feed_id_depends_on_the_domain_alone(config: Config, url: str, same: bool) -> None:
    """FR-X6: neither https nor the address of the service changes it."""
    other = config.model_copy(update={"site": Site(title="T", url=url), "web": Web(public_url="http://x.net")})
    assert (feed_id(other, "all") == feed_id(config, "all")) is same
    assert feed_id(config, "all").startswith("urn:uuid:")
    assert feed_id(config, "all") != feed_id(config, "economy")
