"""The composition root: builds the parts of a publication and tells the stories that commands and schedules ask for."""

from __future__ import annotations

import asyncio
import random
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import structlog

from publisher import addresses, digests, feeds, ingest, links, reports, slots, sources, subscriptions
from publisher.config import Config, Newsletter, sending_problems
from publisher.control import Progress
from publisher.errors import ConfigurationError, NotFoundError, RefusedError, SourceError
from publisher.mail import outbox
from publisher.mail.inbox import Inbox
from publisher.mail.smtp import Transport
from publisher.model import ArticleState, SlotOutcome
from publisher.render import Renderer
from publisher.slots import Slot
from publisher.store import articles, deliveries, issues
from publisher.store.database import Connection, Database
from publisher.store.lock import DirectoryLock
from publisher.tokens import Keyring

log: structlog.stdlib.BoundLogger = structlog.get_logger()


def now() -> datetime:
    """Return the current moment in UTC; the one place where the clock is read."""
    return datetime.now(UTC)


def hexadecimal() -> str:
    """Return 32 random hexadecimal digits: a name that nobody may guess."""
    return secrets.token_hex(16)


def silent(label: str, done: int, total: int | None) -> None:
    """Report progress to nobody."""


def check_templates(config: Config) -> None:
    """Compile every template and try each newsletter's on made-up articles. Raises RenderError (E1, E5, E15)."""
    usual = Renderer.for_newsletter(config)
    for newsletter in config.newsletters:
        renderer = Renderer.for_newsletter(config, newsletter) if newsletter.templates else usual
        digests.check_templates(config, newsletter, renderer, now())


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
        # Most newsletters have no templates of their own, and compiling all of them takes a quarter of a second.
        self.renderers = {
            n.slug: Renderer.for_newsletter(config, n) if n.templates else self.renderer for n in config.newsletters
        }
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

        def begin(conn: Connection) -> int:
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

    async def collect(
        self, names: Sequence[str] = (), *, wait: bool = True, progress: Progress = silent
    ) -> dict[str, Any]:
        """Collect the named sources, or all, and bring the feeds up to date.

        `wait`: wait for files that are being written, instead of leaving them to the next collection (A3).
        """
        chosen = _named(self.config.sources, names, "source")
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

    async def release(
        self, refs: Sequence[str], *, source: str | None = None, progress: Progress = silent
    ) -> dict[str, Any]:
        """Release articles from quarantine (of a `source`: all of them), or undo an operator's withdrawal."""
        return await self._move(refs, source, articles.release, progress)

    async def withdraw(self, refs: Sequence[str], *, reason: str = "", progress: Progress = silent) -> dict[str, Any]:
        """Take articles back: out of feeds, pages and coming issues, whatever their source says later (L11)."""
        words = reason or "withdrawn by the operator"
        return await self._move(refs, None, partial(articles.withdraw, reason=words, by="operator"), progress)

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
        built = await self.feeds(progress=progress) if titles else None
        return {"articles": titles, "feeds": built}

    # Issues

    async def dispatch(
        self,
        newsletter: str,
        *,
        dry_run: bool = False,
        to: str | None = None,
        progress: Progress = silent,
    ) -> dict[str, Any]:
        """Compose an issue of a newsletter by hand, for its readers of every frequency; the slot is this minute.

        `dry_run` tells what would happen and writes nothing. `to` sends a marked test to that address alone (K17).
        """
        chosen = digests.newsletter_named(self.config, newsletter)
        if to is not None:
            return await self._send_test(chosen, to)
        moment = now()
        progress(f"composing {chosen.slug}", 0, None)
        async with self._dispatching:
            report = await self._dispatch(
                chosen, digests.MANUAL, digests.manual_slot(self.config, moment), moment, dry_run
            )
        return _dispatch_value(report)

    async def run_due(self) -> list[dict[str, Any]]:
        """Decide every slot that is due, and return what became of those that ran."""
        done = []
        async with self._dispatching:
            for newsletter in self.config.newsletters:
                for name in newsletter.frequencies:
                    moment = now()
                    due = await self.database.awrite(partial(self._due, newsletter, name, moment=moment))
                    if due is not None:
                        report = await self._dispatch(newsletter, name, due, moment, dry_run=False)
                        done.append(_dispatch_value(report))
        return done

    def _due(self, newsletter: Newsletter, name: str, conn: Connection, *, moment: datetime) -> Slot | None:
        """Record the slots that will not run, and return the one that does."""
        site_zone = self.config.site.timezone
        frequency = newsletter.frequencies[name]
        schedule = frequency.schedule(site_zone)
        key = {"newsletter": newsletter.slug, "frequency": name}
        due = slots.due(
            schedule,
            last_decided_at=issues.last_decided(conn, **key),
            since_at=issues.schedule_since(conn, **key, fingerprint=schedule.fingerprint, now=moment),
            now=moment,
            max_lateness=frequency.lateness(site_zone),
            catch_up=frequency.catch_up,
        )
        late = f"more than {frequency.max_lateness or frequency.lateness(site_zone)} late"
        for slot, outcome, reason in (
            *((slot, SlotOutcome.MISSED, late) for slot in due.missed),
            *((slot, SlotOutcome.SKIPPED, f"its articles come with {due.run.local}") for slot in due.folded if due.run),
        ):
            issues.decide_slot(
                conn, **key, slot=slot.local, slot_at=slot.at, outcome=outcome, reason=reason, now=moment
            )
            log.warning("slot not run", **key, slot=slot.local, outcome=outcome, reason=reason)
        return due.run

    async def _dispatch(
        self, newsletter: Newsletter, frequency: str, slot: Slot, moment: datetime, dry_run: bool
    ) -> digests.DispatchReport:
        report = await asyncio.to_thread(
            digests.dispatch,
            self.database,
            self.config,
            newsletter,
            frequency,
            slot,
            renderer=self.renderers[newsletter.slug],
            now=moment,
            ids=hexadecimal,
            dry_run=dry_run,
        )
        if not dry_run:
            log.info(
                "slot decided",
                newsletter=newsletter.slug,
                slot=slot.local,
                outcome=report.outcome,
                reason=report.reason,
            )
            self.woken.set()
        return report

    async def _send_test(self, newsletter: Newsletter, to: str) -> dict[str, Any]:
        try:
            address = addresses.parse(to).address
        except ValueError as error:
            raise RefusedError(f"{to!r}: {error}") from error
        await self.prepare_sending()
        mail = await asyncio.to_thread(
            digests.trial_mail,
            self.database,
            self.config,
            newsletter,
            address,
            renderer=self.renderers[newsletter.slug],
            now=now(),
            ids=hexadecimal,
        )
        transport = self.transport()
        try:
            attempt = await transport.send(newsletter.from_address, address, mail.message)
        finally:
            await transport.close()
        return {"to": address, "subject": mail.segment.subject, "outcome": attempt.outcome, "reply": attempt.text}

    # Sending

    async def prepare_sending(self) -> None:
        """Start the embedded inbox if it is configured. Raises ConfigurationError when mail can go nowhere."""
        if problems := sending_problems(self.config):
            raise ConfigurationError(problems)
        if self.inbox is not None and not self._inbox_port:
            self._inbox_port = await self.inbox.start("127.0.0.1", 0)

    def transport(self) -> Transport:
        """Return a new connection to the configured server, or to the embedded inbox, over SMTP either way."""
        smtp = self.config.smtp
        hello = smtp.hello_name or urlsplit(links.public_url(self.config)).hostname or "localhost"
        if self.inbox is not None:
            smtp = smtp.model_copy(
                update={"host": "127.0.0.1", "port": self._inbox_port, "security": "plain", "username": ""}
            )
        return Transport.from_config(smtp, hello_name=hello)

    async def send(self, *, progress: Progress = silent) -> dict[str, Any]:
        """Send what is due until nothing is, or until told to stop."""
        await self.prepare_sending()
        async with self._sending:
            report = await outbox.run(
                self.database,
                self.transport,
                keyring=self.keyring,
                epoch=self.epoch,
                connections=self.config.smtp.connections,
                clock=now,
                dice=random.random,
                stop=self.stop,
                progress=progress,
            )
        return asdict(report)

    # Readers

    async def add_subscriber(self, *, progress: Progress = silent, **row: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON values
        """Add one confirmed reader, whose consent is stated (P4)."""
        return await self.import_subscribers([row], method="command", progress=progress)

    async def import_subscribers(
        self, rows: Sequence[Mapping[str, Any]], *, method: str = "import", progress: Progress = silent
    ) -> dict[str, Any]:
        """Add readers from rows of a table, all of them or, when any row is wrong, none."""
        return await asyncio.to_thread(
            subscriptions.add_readers, self.database, self.config, rows, method=method, now=now(), progress=progress
        )

    # All of it

    async def cycle(self, *, progress: Progress = silent) -> dict[str, Any]:
        """Do one full round: collect, build feeds, decide what is due, send."""
        collected = await self.collect(progress=progress)
        dispatched = await self.run_due()
        sent = await self.send(progress=progress)
        return {"collected": collected, "dispatched": dispatched, "sent": sent}


def plan_slots(database: Database, config: Config, newsletter: str | None, count: int) -> list[dict[str, Any]]:
    """Return the next slots of one newsletter, or of each, and what the next of each frequency would do. Blocking."""
    chosen = [digests.newsletter_named(config, newsletter)] if newsletter else config.newsletters
    return [
        reports.planned_value(config, planned)
        for one in chosen
        for planned in digests.plan(
            database,
            config,
            one,
            renderer=Renderer.for_newsletter(config, one),
            now=now(),
            ids=hexadecimal,
            count=count,
        )
    ]


def _dispatch_value(report: digests.DispatchReport) -> dict[str, Any]:
    return asdict(report) | {
        "sizes": dict(report.sizes),
        "left_out": {str(number): reason for number, reason in report.left_out.items()},
    }


def _named(things: Sequence[Any], names: Sequence[str], word: str) -> list[Any]:
    """Return the things with these names, all of them when none is named. Raises NotFoundError naming what exists."""
    known = {thing.name: thing for thing in things}
    if unknown := [name for name in names if name not in known]:
        raise NotFoundError(f"there is no {word} {unknown[0]!r}; there are: {', '.join(known) or 'none'}")
    return [known[name] for name in names] if names else list(known.values())


def _keyring(config: Config) -> Keyring:
    return Keyring.load_or_create(config.data_dir / "secret.key", secrets.token_bytes(32))
