"""Who polls feeds: how many readers a poller says it has, and who comes too often."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Iterable
from datetime import datetime
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network
from math import ceil

from publisher.store.feed_pollers import Poller

# "16 subscribers", "1 subscriber".
_SUBSCRIBERS = re.compile(r"\b(\d{1,8}) subscribers?\b")
COUNTED = b" subscriber"
"""In a User-Agent: who says nothing of the kind need not be counted."""

# One feed may be fetched under two of the poller's own numbers; Google's rule is to add them up.
_FEED_ID = re.compile(r"\bfeed-?id[:=] ?([0-9a-z]{1,40})", re.IGNORECASE)
# Old ones hide behind "Mozilla/5.0 (compatible; inoreader.com; …)".
_NAME = re.compile(r"(?:Mozilla/[\d.]+ \(compatible; ?)?(?:https?://)?([A-Za-z][A-Za-z0-9!.-]*(?: [A-Z][A-Za-z]*)*)")
_LONGEST = 400  # of a User-Agent; the real ones end before 250
_MOST_WAITING = 5_000  # pollers between two savings; more are invented

FREE_ANSWER = 0.1
"""What a condition that no longer holds costs of one download: behind one address there may be an office."""
_HOUR = 3600.0  # seconds: a full bucket; the credit of a client is time, so that it fills by itself
_MOST_CLIENTS = 20_000  # about 5 MB; who is forgotten starts with a full bucket again


def poller_of(user_agent: bytes) -> tuple[str, int] | None:
    """Return the poller and the number of readers it fetches for; None for a User-Agent that states none (FR-H15)."""
    text = user_agent[:_LONGEST].decode("latin-1")
    count = _SUBSCRIBERS.search(text)
    name = _NAME.match(text)
    if count is None or name is None:
        return None
    poller = name[1].removesuffix(".com").removesuffix(".net").lower()[:40]
    feed_id = _FEED_ID.search(text)
    return f"{poller} {feed_id[1]}" if feed_id else poller, int(count[1])


class Polls:
    """Notes in memory who polls; `take` hands over what is new, to be stored."""

    def __init__(self) -> None:
        self._agents: dict[tuple[str, bytes], None] = {}
        self.answers: dict[tuple[str, str], dict[int, int]] = {}
        """How many requests were answered with each status, by feed and format; both empty for what is no feed."""

    def answers_of(self, feed: str = "", form: str = "") -> dict[int, int]:
        """Return where to count the answers for a feed; the same for as long as this object lives."""
        return self.answers.setdefault((feed, form), {})

    def count(self, name: str, user_agent: bytes) -> None:
        """Note a poll of a feed file; what the poller says is read later, not while it waits."""
        if COUNTED in user_agent and len(user_agent) <= _LONGEST and len(self._agents) < _MOST_WAITING:
            self._agents[name, user_agent] = None

    def take(self, now: datetime) -> list[Poller]:
        """Return what pollers said since the last time, each with its last word."""
        agents, self._agents = self._agents, {}
        latest = {(name, found[0]): found[1] for name, agent in agents if (found := poller_of(agent))}
        return [
            Poller(name=name, poller=poller, subscribers=subscribers, seen_at=now)
            for (name, poller), subscribers in latest.items()
        ]


class Limit:
    """A token bucket for each client address and feed: so many downloads at once, and as many more in an hour.

    By feed, so that a poller that serves thousands and asks for every feed from one address is never hit (FR-H11).
    """

    def __init__(self, per_hour: int, most_clients: int = _MOST_CLIENTS) -> None:
        self._price = _HOUR / per_hour if per_hour else 0.0
        self._most = most_clients
        self._buckets: OrderedDict[tuple[str, str], tuple[float, float]] = OrderedDict()

    def wait(self, client: str | None, name: str, cost: float, tick: float) -> int:
        """Take from the client's bucket; 0: it may have the feed; else the seconds after which it may.

        `tick` is the time in seconds by a clock that only goes forward.
        """
        if not self._price or client is None:
            return 0
        key, price, buckets = (client, name), cost * self._price, self._buckets
        found = buckets.get(key)
        credit = _HOUR
        if found is not None:
            buckets.move_to_end(key)
            # Not min(): nearly every download passes here, and the call would be a fifth of it.
            if (filled := found[0] + tick - found[1]) < _HOUR:
                credit = filled
        elif len(buckets) >= self._most:
            buckets.popitem(last=False)
        enough = credit >= price
        buckets[key] = (credit - price if enough else credit), tick
        return 0 if enough else ceil(price - credit)


class Clients:
    """Tells client addresses apart, through proxies that are trusted to name them."""

    def __init__(self, trusted_proxies: Iterable[str] = ()) -> None:
        self._trusted = tuple(ip_network(network) for network in trusted_proxies)
        self.address = lru_cache(maxsize=4096)(self._address)

    def _address(self, peer: str, forwarded_for: bytes) -> str | None:
        """Return the client's address, for IPv6 its network of one customer; None when nobody can tell.

        From the right, each trusted proxy vouches for the address before it; what stands further left anybody may
        have written. Behind a trusted proxy that names no client all would look like one, so none is limited.
        """
        hops = [peer, *reversed(forwarded_for.decode("latin-1").split(","))]
        for hop in hops:
            address = _parsed(hop)
            if address is None:
                return None
            if not any(address in network for network in self._trusted):
                return _customer(address)
        return None


def _parsed(text: str) -> IPv4Address | IPv6Address | None:
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def _customer(address: IPv4Address | IPv6Address) -> str:
    # Providers give each customer a /64 or more, and systems change their address within it every day (RFC 8981).
    return str(address) if address.version == 4 else str(IPv6Network((address, 64), strict=False))
