"""What follows when feeds are live: doors learn the new routes, hubs are told of what changed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta

from publisher.config import Config
from publisher.feeds import hub
from publisher.feeds.authors import all_feeds
from publisher.feeds.routes import NOWHERE, Routes, routes_of
from publisher.http import Fetcher
from publisher.store import feed_files, feed_months, hub_pings
from publisher.store.database import Connection, Database

_LONGEST_WAIT = timedelta(hours=1)


class Announcer:
    """Keeps the routes of the feeds up to date and the hubs informed."""

    def __init__(self, database: Database, config: Config, fetcher: Fetcher, clock: Callable[[], datetime]) -> None:
        self.routes: Routes = NOWHERE
        self.woken = asyncio.Event()
        """Set when there may be something to tell."""
        self._database = database
        self._config = config
        self._fetcher = fetcher
        self._clock = clock
        self._planned: Config | None = None

    def adopt(self, config: Config) -> None:
        """Go by another configuration from now on."""
        self._config = config

    async def look(self) -> None:
        """Learn which feeds there are, were, and are called otherwise now."""
        routes = await self._database.aread(self._routes_now)
        if routes != self.routes:  # else what doors made of them stays good
            self.routes = routes

    def _routes_now(self, conn: Connection) -> Routes:
        specs = all_feeds(conn, self._config)
        web, newest = self._config.web, feed_months.newest(conn)
        return routes_of(specs, feed_files.slugs(conn), web.hubs, newest, as_xml=web.feeds_as_xml)

    async def published(self, changed: Iterable[str]) -> None:
        """Note that these files have new bytes, and that they are live; the first time, look at all of them.

        What each hub was last told is stored, so that a crash between the bytes and this loses nothing.
        """
        await self.look()
        config = self._config
        first = self._planned is not config
        names = self.routes.topics.keys() if first else self.routes.topics.keys() & set(changed)
        if await self._database.awrite(lambda conn: self._plan(conn, config, names, first)):
            self.woken.set()
        self._planned = config

    def _plan(self, conn: Connection, config: Config, names: Iterable[str], first: bool) -> bool:
        if first:
            hub_pings.forget(conn, but=config.web.hubs)
        if not config.web.hubs:
            return False
        topics = {self.routes.topics[name]: etag for name, etag in feed_files.etags(conn, names).items()}
        hub_pings.plan(conn, config.web.hubs, topics, self._clock())
        return bool(topics)

    async def tell(self) -> hub.PingReport:
        """Tell the hubs what is due."""
        return await hub.tell(self._database, self._fetcher, self._clock)

    async def wait(self) -> None:
        """Wait until there may be something to tell."""
        next_at = await self._database.aread(hub_pings.next_at)
        pause = _LONGEST_WAIT if next_at is None else min(_LONGEST_WAIT, next_at - self._clock())
        try:
            await asyncio.wait_for(self.woken.wait(), max(0.5, pause.total_seconds()))
        except TimeoutError:
            return  # the time has come
        finally:
            self.woken.clear()

    async def close(self) -> None:
        """Close the connections to hubs."""
        await self._fetcher.close()
