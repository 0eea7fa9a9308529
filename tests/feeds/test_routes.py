"""Doors know where feeds are, where they went and which are no more."""

from __future__ import annotations

from dataclasses import replace

from publisher.config import Category, Config, Feed, Site, Web
from publisher.feeds import feeds_of
from publisher.feeds.routes import Routes, routes_of

CONFIG = Config(
    site=Site(title="The Ledger", url="https://ledger.example/"),
    categories=(Category(slug="economy", title="Economy", former=("money", "finance")),),
    feeds=(Feed(slug="brief", categories=("economy",), former=("short",)),),
    web=Web(public_url="https://feeds.ledger.example"),
)
HUBS = ("https://hub.example/?a=1", "https://other.example/")


def test_every_former_name_leads_to_the_feed_in_one_hop() -> None:
    """FR-H11: also the name before the last."""
    routes = routes_of(feeds_of(CONFIG), ())
    economy = "https://feeds.ledger.example/feeds/economy"
    assert routes.moved == {
        "money": economy,
        "finance": economy,
        "short": "https://feeds.ledger.example/feeds/brief",
    }


def test_what_was_published_and_is_configured_no_more_is_gone() -> None:
    """FR-H11: but a former name moved, and what never was is unknown."""
    assert routes_of(feeds_of(CONFIG), ("all", "economy", "money", "sport")).gone == {"sport"}


def test_a_name_in_use_again_does_not_redirect() -> None:
    specs = feeds_of(CONFIG)
    again = replace(specs[0], slug="money")
    assert "money" not in routes_of((*specs, again), ()).moved


def test_the_link_header_has_one_self_every_hub_and_the_page_for_people() -> None:
    """FR-W1, FR-D1: the same addresses as in the body."""
    specs = feeds_of(CONFIG)
    routes = routes_of(specs, (), HUBS)
    own = "https://feeds.ledger.example/feeds/all.rss"
    assert routes.topics["all.rss"] == own
    assert routes.links["all.rss"] == (
        f'<{own}>; rel="self", <https://hub.example/?a=1>; rel="hub", <https://other.example/>; rel="hub", '
        f'<{specs[0].base_url}>; rel="alternate"; type="text/html"'
    )
    assert routes.topics.keys() == routes.links.keys()


def test_a_publication_without_feeds_has_no_routes() -> None:
    assert routes_of((), ()) == Routes()


def test_routes_say_whether_browsers_are_to_show_feeds() -> None:
    """FR-D2: another wish makes other routes, so what was kept of answers goes."""
    assert routes_of(feeds_of(CONFIG), (), as_xml=True) != routes_of(feeds_of(CONFIG), ())
