"""Pollers say how many readers they have, and nobody who polls for many is taken for a nuisance."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from publisher.web.polls import FREE_ANSWER, Clients, Limit, Polls, poller_of

NOW = datetime(2026, 11, 23, 7, tzinfo=UTC)

AGENTS: dict[str, tuple[str, int] | None] = {
    "Feedly/1.0 (+http://www.feedly.com/fetcher.html; 16 subscribers; like FeedFetcher-Google)": ("feedly", 16),
    "Feedbin feed-id:1373711 - 142 subscribers": ("feedbin 1373711", 142),
    "NewsBlur Feed Fetcher - 54 subscribers - http://www.newsblur.com/site/1234/ledger "
    "(Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15)": ("newsblur feed fetcher", 54),
    "Mozilla/5.0 (compatible; inoreader.com; 24 subscribers)": ("inoreader", 24),
    "Inoreader/1.0 (+http://www.inoreader.com/feed-fetcher; 21 subscribers; )": ("inoreader", 21),
    "Mozilla/5.0 (compatible; theoldreader.com; 5 subscribers; feed-id=5a1f0c9e)": ("theoldreader 5a1f0c9e", 5),
    "Mozilla/5.0 (compatible; BazQux/2.4; +https://bazqux.com/fetcher; 33 subscribers)": ("bazqux", 33),
    "Feedfetcher-Google; (+http://www.google.com/feedfetcher.html; 4 subscribers; feed-id=123)": (
        "feedfetcher-google 123",
        4,
    ),
    "FeedHQ/1.1 (https://github.com/feedhq/feedhq; 1 subscriber; https://github.com/feedhq)": ("feedhq", 1),
    "Feed Wrangler/1.0 (12 subscribers; feed-id=40)": ("feed wrangler 40", 12),
    "NetNewsWire (RSS Reader; https://netnewswire.com/)": None,
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:140.0) Gecko/20100101 Firefox/140.0": None,
    "Miniflux/2.2.9": None,
    "many subscribers": None,
    "x 99999999999999 subscribers": None,
    "": None,
}


@pytest.mark.parametrize(("agent", "found"), AGENTS.items())
def test_real_pollers_are_understood(agent: str, found: tuple[str, int] | None) -> None:
    """FR-H15: strings as these services send them."""
    assert poller_of(agent.encode()) == found


@given(st.binary(max_size=600))
def test_no_user_agent_confuses_it(agent: bytes) -> None:
    polls = Polls()
    polls.count("all.rss", agent)
    polls.count("all.rss", agent + b" 7 subscribers")
    for poller in polls.take(NOW):
        assert 0 <= poller.subscribers < 10**8
        assert len(poller.poller) <= 81


def test_invented_pollers_do_not_fill_the_memory() -> None:
    polls = Polls()
    for number in range(6_000):
        polls.count("all.rss", b"x feed-id=%d 1 subscribers" % number)
    assert len(polls.take(NOW)) == 5_000


def test_the_last_word_of_a_poller_counts() -> None:
    polls = Polls()
    for number in (15, 16):
        polls.count("all.rss", b"Feedly/1.0 (%d subscribers)" % number)
    assert [(p.poller, p.subscribers, p.seen_at) for p in polls.take(NOW)] == [("feedly", 16, NOW)]
    assert polls.take(NOW) == []


def test_the_bucket_fills_again_with_time() -> None:
    """FR-H11."""
    limit = Limit(60)
    assert [limit.wait("a", "all.rss", 1, 0) for _ in range(61)] == [0] * 60 + [60]
    assert limit.wait("a", "all.rss", 1, 59) == 1
    assert limit.wait("a", "all.rss", 1, 60) == 0
    assert limit.wait("a", "all.rss", 1, 60) == 60


def test_an_office_of_readers_that_ask_for_news_is_not_one_nuisance() -> None:
    """FR-H11: a condition that no longer holds costs a tenth."""
    limit = Limit(60)
    assert sum(limit.wait("a", "all.rss", FREE_ANSWER, 0) == 0 for _ in range(700)) in (599, 600)


def test_a_poller_of_every_feed_is_not_hit() -> None:
    """FR-H11: Feedly, Feedbin and the like ask for hundreds of feeds from one address (feedbin#649)."""
    limit = Limit(2)
    assert [limit.wait("a", f"f{n}.rss", 1, 0) for n in range(500)] == [0] * 500


def test_clients_without_an_address_and_without_a_limit_are_not_counted() -> None:
    assert [Limit(1).wait(None, "all.rss", 1, 0) for _ in range(3)] == [0] * 3
    limit = Limit(0)
    assert [limit.wait("a", "all.rss", 1, 0) for _ in range(3)] == [0] * 3


def test_only_so_many_clients_are_remembered() -> None:
    limit = Limit(1, most_clients=2)
    assert [limit.wait(client, "all.rss", 1, 0) for client in "abcb"] == [0, 0, 0, 3600]
    assert limit.wait("a", "all.rss", 1, 0) == 0  # the oldest was forgotten


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("192.0.2.1", "", "192.0.2.1"),
        ("192.0.2.1", "203.0.113.9", "192.0.2.1"),  # anybody may write the header
        ("127.0.0.1", "203.0.113.9", "203.0.113.9"),
        ("127.0.0.1", "198.51.100.7, 203.0.113.9", "203.0.113.9"),  # the left one is the client's own claim
        ("127.0.0.1", "203.0.113.9, 10.1.2.3", "203.0.113.9"),  # two proxies in a row
        ("127.0.0.1", "203.0.113.9:4711", "203.0.113.9"),
        ("127.0.0.1", "", None),
        ("127.0.0.1", "unknown", None),
        ("127.0.0.1", "203.0.113.9, nonsense", None),
        ("::1", "2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("::1", "[2001:db8:1:2:3:4:5:6]:443", "2001:db8:1:2::/64"),
        ("::ffff:192.0.2.1", "", "192.0.2.1"),
    ],
)
def test_the_client_is_whom_trusted_proxies_name(peer: str, forwarded: str, client: str | None) -> None:
    """F4, F5: anybody may forge X-Forwarded-For; only what a trusted proxy added counts, IPv6 by its /64."""
    clients = Clients(["127.0.0.1", "::1", "10.0.0.0/8"])
    assert clients.address(peer, forwarded.encode()) == client
