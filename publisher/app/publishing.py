"""From sources to feeds: collecting, releasing and withdrawing articles, and building what readers poll."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any

import structlog

from publisher import feeds, ingest, sources
from publisher.app.shared import Shared, Stories, named, silent
from publisher.clock import now
from publisher.config import Config
from publisher.control import Progress
from publisher.errors import BusyError, NotFoundError, SourceError, StoreError
from publisher.model import ArticleState
from publisher.store import articles
from publisher.store.database import Connection

if TYPE_CHECKING:
    from publisher.feeds.archives import ArchivesReport
    from publisher.feeds.run import FeedsReport
    from publisher.feeds.shelf import Shelf

log: structlog.stdlib.BoundLogger = structlog.get_logger()


class Publishing(Stories):
    """The stories of articles and feeds."""

    def __init__(self, shared: Shared) -> None:
        super().__init__(shared)
        self.collections: Counter[tuple[str, str]] = Counter()
        """How many collections this process made, by source and outcome (ok, failed)."""
        self.ingested: Counter[tuple[str, str]] = Counter()
        """How many articles they brought, by source and change (new, changed, withdrawn)."""
        self.builds: Counter[str] = Counter()
        """How often feeds were built, by outcome (ok, failed)."""
        self._collecting = asyncio.Lock()
        self._building = asyncio.Lock()
        # What the last process stored may not have reached the files, and the configuration may be another one.
        self._feeds_due = True
        self._archiving: asyncio.Task[None] | None = None
        # Files may have been lost while nobody looked.
        self._archives_doubted = True
        self._shelf: Shelf | None = None

    def adopt(self) -> None:
        """Go by the new configuration: its feeds are built with the next look."""
        self._feeds_due = self._archives_doubted = True

    async def collect(
        self, names: Sequence[str] = (), *, wait: bool = True, progress: Progress = silent
    ) -> dict[str, Any]:
        """Collect the named sources, or all, and bring the feeds up to date.

        `wait`: wait for files that are being written, instead of leaving them to the next collection (A3).
        """
        chosen = named(self.config.sources, names, "source")
        async with self._collecting:
            reports = []
            for index, settings in enumerate(chosen):
                if self.shared.stop.is_set():
                    break
                progress(f"collecting {settings.name}", index, len(chosen))
                reports.append(await self._collect_apart(settings, wait=wait))
                self._count(reports[-1])
            released = await self.release_due()
            built = await self.refresh_feeds(progress=progress)
            progress("collected", len(chosen), len(chosen))
        return {"sources": reports, "released": released, "feeds": built}

    def _count(self, report: Mapping[str, Any]) -> None:
        name = report["name"]
        self.collections[name, "failed" if "error" in report else "ok"] += 1
        for change in ("new", "changed", "withdrawn"):
            self.ingested[name, change] += report.get(change, 0)

    async def _collect_apart(self, settings: Any, *, wait: bool) -> dict[str, Any]:  # noqa: ANN401 - one of config.Source
        """Collect one source; whatever its files do to us, the other sources are collected (P9)."""
        try:
            return await self._collect_one(settings, wait=wait)
        except (StoreError, BusyError):
            raise
        except Exception as error:  # a mistake of ours, found by somebody's file
            log.exception("collection failed", source=settings.name)
            reason = f"unexpected {type(error).__name__}: {error}; the log says where"
            moment = now()
            await self.database.awrite(lambda conn: articles.failed(conn, settings.name, settings.kind, reason, moment))
            return {"name": settings.name, "error": reason}

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
        self._feeds_due = self._feeds_due or bool(report.new or report.changed or report.withdrawn)
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

    async def _failed(self, settings: Any, reason: str, moment: datetime) -> dict[str, Any]:  # noqa: ANN401 - as above
        await self.database.awrite(lambda conn: articles.failed(conn, settings.name, settings.kind, reason, moment))
        return {"name": settings.name, "error": reason}

    def _feeds_exist(self) -> bool:
        home = feeds.folder(self.config)
        # Those of authors are there or not as their articles are; the next build knows.
        return all((home / spec.file("atom")).exists() for spec in feeds.feeds_of(self.config))

    async def release_due(self) -> int:
        """Publish held articles whose date has come; return how many."""
        released = await asyncio.to_thread(ingest.release_due, self.database, self.config.ingest, now=now())
        self._feeds_due = self._feeds_due or bool(released)
        return len(released)

    async def refresh_feeds(self, *, progress: Progress = silent) -> dict[str, Any] | None:
        """Build all feeds if articles changed since they were last built well, or a file is missing; else None."""
        if self._feeds_due or not self._feeds_exist():
            return await self.feeds(progress=progress)
        return None

    async def feeds(self, names: Sequence[str] = (), *, progress: Progress = silent) -> dict[str, Any]:
        """Build the named feeds, or all, and write the files that changed."""
        progress("building feeds", 0, None)
        # One at a time, or an older state of the articles could be written over a newer one.
        async with self._building:
            due, self._feeds_due = self._feeds_due, False
            try:
                report = await asyncio.to_thread(self._publish, self.config, names)
                await self.shared.announcer.published(report.changed)
            except BaseException:
                self._feeds_due = due
                self.builds["failed"] += 1
                raise
            self.builds["failed" if report.failed else "ok"] += 1
            self._feeds_due = self._feeds_due or (due and bool(names)) or bool(report.failed)
        for failure in (*report.failed, *report.left_out):
            log.error("feed problem", feed=failure.path, reason=failure.reason)
        # What is touched in the archives follows at once; the rest of a large one while nobody waits for it.
        if await self._archive() and (self._archiving is None or self._archiving.done()):
            self._archiving = asyncio.create_task(self._keep_archiving())
        return {
            "built": list(report.built),
            "changed": list(report.changed),
            "unchanged": len(report.unchanged),
            "removed": list(report.removed),
            "problems": [{"path": s.path, "reason": s.reason} for s in (*report.failed, *report.left_out)],
        }

    def _publish(self, config: Config, names: Sequence[str]) -> FeedsReport:
        # Here, because loading what builds feeds takes a tenth of a second, which no start is to wait for.
        from publisher.feeds import publishing
        from publisher.feeds.shelf import Shelf

        if self._shelf is None or self._shelf.config is not config:
            self._shelf = Shelf(self.database, config)
        return publishing.publish(self.database, config, now(), only=names or None, shelf=self._shelf)

    def _archive_some(self, *, thorough: bool) -> ArchivesReport:
        from publisher.feeds import publishing  # as above

        return publishing.archive(self.database, self.config, now(), thorough=thorough, stopped=self.shared.stop.is_set)

    async def _archive(self) -> bool:
        """Build a part of the archives; return whether there is more to do."""
        async with self._building:
            thorough, self._archives_doubted = self._archives_doubted, False
            report = await asyncio.to_thread(self._archive_some, thorough=thorough)
        for failure in (*report.failed, *report.left_out):
            log.error("archive problem", feed=failure.path, reason=failure.reason)
        if report.changed:
            await self.shared.announcer.look()
        return report.pending

    async def _keep_archiving(self) -> None:
        """Build the rest of the archives, a part at a time: what is new is built in between."""
        try:
            while not self.shared.stop.is_set() and await self._archive():
                pass
        except (StoreError, BusyError, OSError) as error:  # what is left is stored, and the next build goes on with it
            log.warning("archives are not finished", reason=str(error))

    async def finish(self) -> None:
        """Wait until the archives are as they should be, or the publication is told to stop."""
        if self._archiving is not None:
            await self._archiving

    async def release(
        self, refs: Sequence[str], *, source: str | None = None, progress: Progress = silent
    ) -> dict[str, Any]:
        """Release articles from quarantine (of a `source`: all of them), or undo an operator's withdrawal."""
        return await self._move(refs, source, articles.release, progress)

    async def withdraw(self, refs: Sequence[str], *, reason: str = "", progress: Progress = silent) -> dict[str, Any]:
        """Take articles back: out of feeds, pages and coming issues, whatever their source says later (L11)."""
        words = reason or "withdrawn by the operator"
        return await self._move(refs, None, partial(articles.withdraw, reason=words, by="operator"), progress)

    async def pin(self, refs: Sequence[str], *, pinned: bool = True, progress: Progress = silent) -> dict[str, Any]:
        """Let articles stand first in their sections of the digests they will come in, or no more."""
        return await self._move(refs, None, partial(articles.pin, pinned=pinned), progress)

    async def _move(
        self, refs: Sequence[str], source: str | None, change: Callable[..., list[int]], progress: Progress
    ) -> dict[str, Any]:
        moment = now()

        def work(conn: Connection) -> list[str]:
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
        self._feeds_due = self._feeds_due or bool(titles)
        built = await self.feeds(progress=progress) if titles else None
        return {"articles": titles, "feeds": built}
