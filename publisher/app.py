"""The composition root: builds the parts of one publication and tells the stories that commands and schedules ask for."""

from __future__ import annotations

import asyncio
import random
import secrets
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any

import structlog

from publisher import addresses, digests, feeds, ingest, sources
from publisher.config import Config, Newsletter, sending_problems
from publisher.control import Progress
from publisher.errors import ConfigurationError, NotFoundError, RefusedError, SourceError
from publisher.mail import outbox
from publisher.mail.inbox import Inbox
from publisher.mail.smtp import Transport
from publisher.model import ArticleState, Format, SubscriptionState
from publisher.render import Renderer
from publisher.store import articles, deliveries, subscribers
from publisher.store.database import Database
from publisher.store.lock import DirectoryLock
from publisher.tokens import Keyring

log: structlog.stdlib.BoundLogger = structlog.get_logger()


def now() -> datetime:
    """Return the current moment in UTC; the one place where the clock is read."""
    return datetime.now(UTC)


def token(length: int = 20) -> str:
    """Return `length` random characters of a-z and 2-7: at 20 characters, 100 bits."""
    return "".join(secrets.choice("abcdefghijklmnopqrstuvwxyz234567") for _ in range(length))


def silent(label: str, done: int, total: int | None) -> None:
    """Report progress to nobody."""


class App:
    """One publication with its data directory held: every story as a method.

    Stories that commands reach take JSON values and return JSON values; `progress` is told of their steps.
    Use as an asynchronous context manager: leaving closes the database and frees the directory.
    """

    def __init__(self, config: Config, lock: DirectoryLock, database: Database) -> None:
        self.config = config
        self.lock = lock
        self.database = database
        self.renderer = Renderer.for_newsletter(config)
        self.renderers = {n.slug: Renderer.for_newsletter(config, n) for n in config.newsletters}
        self.keyring = _keyring(config)
        self.inbox = Inbox(config.data_dir / "inbox") if config.smtp.embedded else None
        self.epoch = 0
        self.stop = asyncio.Event()
        self.woken = asyncio.Event()
        """Set when there may be deliveries to send."""
        self._collecting = asyncio.Lock()
        self._dispatching = asyncio.Lock()
        self._sending = asyncio.Lock()
        self._inbox_port = 0

    @classmethod
    async def open(cls, config: Config) -> App:
        """Hold the data directory, open the database, compile the templates.

        Raises BusyError when another process holds the directory, StoreError and RenderError as their modules say.
        """
        config.data_dir.mkdir(parents=True, exist_ok=True)
        lock = DirectoryLock(config.data_dir)
        lock.acquire()
        try:
            database = await asyncio.to_thread(Database.open, config.database_url, data_dir=config.data_dir)
            try:
                app = cls(config, lock, database)
                await app._begin()
            except BaseException:
                database.close()
                raise
        except BaseException:
            lock.release()
            raise
        return app

    async def __aenter__(self) -> App:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Stop the inbox, note that this worker ended in order, close the database, free the directory."""
        if self.inbox is not None and self._inbox_port:
            await self.inbox.stop()
        await self.database.awrite(lambda conn: deliveries.stop_epoch(conn, self.epoch, now()))
        await asyncio.to_thread(self.database.close)
        self.lock.release()

    async def _begin(self) -> None:
        """Take a new epoch. The lock proves every earlier worker on this directory dead, so their open rows recover."""
        moment = now()

        def begin(conn: Any) -> int:  # noqa: ANN401 - the store's connection
            dead = deliveries.running_epochs(conn)
            if dead:
                recovered = deliveries.recover(conn, dead, policy="retry", now=moment)
                log.warning("recovered", deferred=recovered.deferred, uncertain=recovered.uncertain)
                for epoch in dead:
                    deliveries.stop_epoch(conn, epoch, moment)
            return deliveries.new_epoch(conn, moment)

        self.epoch = await self.database.awrite(begin)

    @property
    def actions(self) -> Mapping[str, Callable[..., Any]]:
        """The stories that a command may ask of a running service."""
        return {
            "collect": self.collect,
            "feeds": self.feeds,
            "dispatch": self.dispatch,
            "send": self.send,
            "release": self.release,
            "withdraw": self.withdraw,
            "add_subscriber": self.add_subscriber,
            "import_subscribers": self.import_subscribers,
        }

    # Articles

    async def collect(self, names: Sequence[str] = (), *, wait: bool = True, progress: Progress = silent) -> dict[str, Any]:
        """Collect the named sources, or all, and bring the feeds up to date.

        `wait`: wait for files that are being written, instead of leaving them to the next collection (A3).
        """
        chosen = _named(self.config.sources, names, "source", lambda s: s.name)
        async with self._collecting:
            reports = []
            for index, settings in enumerate(chosen):
                progress(f"collecting {settings.name}", index, len(chosen))
                reports.append(await self._collect_one(settings, wait=wait))
            released = await self.release_due()
            touched = released or any(r.get("new") or r.get("changed") or r.get("withdrawn") for r in reports)
            built = await self.feeds(progress=progress) if touched or not self._feeds_exist() else None
            progress("collected", len(chosen), len(chosen))
        return {"sources": reports, "released": released, "feeds": built}

    async def _collect_one(self, settings: Any, *, wait: bool) -> dict[str, Any]:  # noqa: ANN401 - one of config.Source
        started = time.perf_counter()
        moment = now()
        source = sources.open_source(settings, self.config)
        record = await self.database.aread(lambda conn: articles.record(conn, settings.name))
        try:
            collected = await asyncio.to_thread(
                source.collect, record.state if record else {}, now=moment, settle=time.sleep if wait else None
            )
        except SourceError as error:
            reason = str(error)
            await self.database.awrite(lambda conn: articles.failed(conn, settings.name, settings.kind, reason, moment))
            log.warning("collection failed", source=settings.name, reason=reason)
            return {"name": settings.name, "error": reason}
        report = await asyncio.to_thread(ingest.ingest, self.database, settings, self.config, collected, now=moment)
        log.info("collected", source=settings.name, new=report.new, changed=report.changed, withdrawn=report.withdrawn)
        return {
            "name": settings.name,
            "articles": collected.present,
            "new": report.new,
            "changed": report.changed,
            "withdrawn": report.withdrawn,
            "states": {str(state): count for state, count in report.states.items()},
            "skipped": [{"path": s.path, "reason": s.reason} for s in report.skipped if s.kind == "problem"],
            "drafts": sum(s.kind == "draft" for s in report.skipped),
            "postponed": list(collected.postponed),
            "alarm": report.alarm,
            "notes": list(report.notes),
            "seconds": round(time.perf_counter() - started, 3),
        }

    def _feeds_exist(self) -> bool:
        home = feeds.folder(self.config)
        return all((home / spec.file("atom")).exists() for spec in feeds.feeds_of(self.config))

    async def release_due(self) -> int:
        """Publish held articles whose date has come; return how many."""
        moment = now()
        return len(await self.database.awrite(lambda conn: articles.release_due(conn, moment)))

    async def feeds(self, names: Sequence[str] = (), *, progress: Progress = silent) -> dict[str, Any]:
        """Build the named feeds, or all, and write the files that changed."""
        progress("building feeds", 0, None)
        report = await asyncio.to_thread(feeds.publish, self.database, self.config, now(), only=names or None)
        for failure in (*report.failed, *report.left_out):
            log.error("feed problem", feed=failure.path, reason=failure.reason)
        return {
            "built": list(report.built),
            "changed": list(report.changed),
            "unchanged": len(report.unchanged),
            "removed": list(report.removed),
            "problems": [{"path": s.path, "reason": s.reason} for s in (*report.failed, *report.left_out)],
        }

    async def release(self, refs: Sequence[str], *, source: str | None = None, progress: Progress = silent) -> dict[str, Any]:
        """Release articles from quarantine, or undo an operator's withdrawal; `source` means all its quarantined ones."""
        return await self._move(refs, source, articles.release, progress)

    async def withdraw(self, refs: Sequence[str], *, reason: str = "", progress: Progress = silent) -> dict[str, Any]:
        """Take articles back: out of feeds, pages and coming issues, whatever their source says later (L11)."""
        words = reason or "withdrawn by the operator"
        return await self._move(refs, None, partial(articles.withdraw, reason=words, by="operator"), progress)

    async def _move(self, refs: Sequence[str], source: str | None, change: Callable[..., list[int]], progress: Progress) -> dict[str, Any]:
        moment = now()

        def work(conn: Any) -> list[str]:  # noqa: ANN401 - the store's connection
            ids = []
            for ref in refs:
                article = articles.get(conn, ref=ref)
                if article is None:
                    raise NotFoundError(f"there is no article {ref!r}; `publisher articles list` shows their refs")
                ids.append(article.id)
            if source is not None:
                held = articles.listing(conn, states=[ArticleState.QUARANTINED], source=source, limit=1_000_000)
                ids += [article.id for article in held]
            changed = change(conn, ids, now=moment)
            return [a.title for number in changed if (a := articles.get(conn, id=number))]

        titles = await self.database.awrite(work)
        built = await self.feeds(progress=progress) if titles else None
        return {"articles": titles, "feeds": built}

    # Issues

    async def dispatch(
        self,
        newsletter: str,
        *,
        frequency: str | None = None,
        dry_run: bool = False,
        to: str | None = None,
        progress: Progress = silent,
    ) -> dict[str, Any]:
        """Compose an issue of a newsletter by hand and queue its deliveries; the slot is this minute.

        `dry_run` tells what would happen and writes nothing. `to` sends a marked test to that address alone (K17).
        """
        chosen = self._newsletter(newsletter)
        moment = now()
        async with self._dispatching:
            progress(f"composing {newsletter}", 0, None)
            report = await asyncio.to_thread(
                digests.dispatch_by_hand,
                self.database,
                self.config,
                chosen,
                renderer=self.renderers[chosen.slug],
                now=moment,
                token=token,
                dry_run=dry_run or to is not None,
                to=addresses.parse(to).address if to else None,
            )
        if to is not None and report.test is not None:
            attempt = await self._send_test(report.test, to)
            return report.value | {"test": attempt}
        self.woken.set()
        return report.value

    def _newsletter(self, slug: str) -> Newsletter:
        return _named(self.config.newsletters, [slug], "newsletter", lambda n: n.slug)[0]
