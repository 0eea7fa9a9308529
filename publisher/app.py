"""The composition root: builds the parts of a publication and tells the stories that commands and schedules ask for."""

from __future__ import annotations

import asyncio
import random
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import structlog

from publisher import addresses, digests, feeds, ingest, links, reports, slots, sources, subscriptions
from publisher.config import Config, Newsletter, sending_problems
from publisher.control import Progress
from publisher.errors import BusyError, ConfigurationError, NotFoundError, RefusedError, SourceError, StoreError
from publisher.feeds.announce import Announcer
from publisher.feeds.spec import NEWSLETTER_PREFIX
from publisher.http import Fetcher
from publisher.mail import outbox
from publisher.mail.breaker import Breaker
from publisher.mail.compose import Composer
from publisher.mail.dkim import Signer
from publisher.mail.inbox import Inbox
from publisher.mail.outbox import OutboxReport
from publisher.mail.smtp import Transport
from publisher.mail.steps import Policy, Step
from publisher.model import ArticleState, SlotOutcome
from publisher.render import Renderer
from publisher.slots import Slot
from publisher.store import articles, deliveries, issues, meta
from publisher.store.database import Connection, Database
from publisher.store.lock import DirectoryLock
from publisher.tokens import Keyring

log: structlog.stdlib.BoundLogger = structlog.get_logger()

_SEEN_EVERY = timedelta(seconds=60)  # spec delivery §5.4


RESENT_FOR = timedelta(days=1)
"""How long a delivery that an operator sends again may be tried."""


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

    def __init__(
        self, config: Config, lock: DirectoryLock, database: Database, *, fetcher: Fetcher | None = None
    ) -> None:
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
        self.announcer = Announcer(database, config, fetcher or Fetcher(), now)
        self.signer = Signer.load(config)
        self.epoch = 0
        self.backlog: list[Step] = []
        """What became of deliveries, as far as it could not be written yet (J4)."""
        self.breaker = Breaker(config.smtp.connections)
        self.resting = ""
        """Why nothing is sent until an operator says `publisher send`; "" when it is."""
        self.stop = asyncio.Event()
        self.woken = asyncio.Event()
        """Set when there may be deliveries to send."""
        self._collecting = asyncio.Lock()
        self._dispatching = asyncio.Lock()
        self._sending = asyncio.Lock()
        self._building = asyncio.Lock()
        # What the last process stored may not have reached the files, and the configuration may be another one.
        self._feeds_due = True
        self._inbox_port = 0
        self._broken_off = False
        self.clock_problem = ""
        """Why no slot is decided at present; "" when they are."""

    @classmethod
    async def open(cls, config: Config, *, fetcher: Fetcher | None = None) -> App:
        """Hold the data directory, open the database, compile the templates; `fetcher` speaks to other servers.

        Raises BusyError when another process holds the directory, StoreError and RenderError as their modules say.
        """
        lock = DirectoryLock(config.data_dir)
        lock.acquire()
        try:
            database = await asyncio.to_thread(Database.open, config.database_url, data_dir=config.data_dir)
            try:
                app = cls(config, lock, database, fetcher=fetcher)
                await app._begin()
                await app.announcer.look()
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
        """Stop the inbox, end this worker, close the database, free the directory."""
        try:
            if self.inbox is not None and self._inbox_port:
                await self.inbox.stop()
            await self.announcer.close()
            await self._end_epoch()
        finally:
            await asyncio.to_thread(self.database.close)
            self.lock.release()

    async def _begin(self) -> None:
        """Take a new epoch. The lock proves every earlier worker on this directory dead, so their open rows recover."""
        moment = now()

        def begin(conn: Connection) -> int:
            dead = deliveries.running_epochs(conn)
            if dead:
                recovered = deliveries.recover(conn, dead, policy=self.config.smtp.on_uncertain, now=moment)
                log.warning("recovered", deferred=recovered.deferred, uncertain=recovered.uncertain)
                for epoch in dead:
                    deliveries.stop_epoch(conn, epoch, moment)
            self.resting = meta.get(conn, reports.SENDING_RESTS) or ""
            return deliveries.new_epoch(conn, moment)

        self.epoch = await self.database.awrite(begin)

    async def _end_epoch(self) -> None:
        """Settle what sending left on the wire when it was broken off, and note that this worker has ended."""
        await outbox.settle(self.database, self.backlog, clock=now)
        moment, policy = now(), self.config.smtp.on_uncertain
        left = await self.database.awrite(
            lambda conn: deliveries.recover(conn, [self.epoch], policy=policy, now=moment)
        )
        if left.deferred or left.uncertain:
            log.warning("sending was broken off", deferred=left.deferred, uncertain=left.uncertain)

    @property
    def actions(self) -> Mapping[str, Callable[..., Any]]:
        """The stories that a command may ask of a running service."""
        return {
            "collect": self.collect,
            "feeds": self.feeds,
            "dispatch": self.dispatch,
            "send": self.send,
            "resend": self.resend,
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
                if self.stop.is_set():
                    break
                progress(f"collecting {settings.name}", index, len(chosen))
                reports.append(await self._collect_apart(settings, wait=wait))
            released = await self.release_due()
            built = await self.refresh_feeds(progress=progress)
            progress("collected", len(chosen), len(chosen))
        return {"sources": reports, "released": released, "feeds": built}

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

    def _feeds_exist(self) -> bool:
        home = feeds.folder(self.config)
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
                report = await asyncio.to_thread(feeds.publish, self.database, self.config, now(), only=names or None)
                await self.announcer.published(report.changed)
            except BaseException:
                self._feeds_due = due
                raise
            self._feeds_due = self._feeds_due or (due and bool(names)) or bool(report.failed)
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
        self._feeds_due = self._feeds_due or bool(titles)
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
        """Decide every slot that is due, and return what became of those that ran.

        A slot whose issue cannot be made is reported as `failed`, stays undecided and holds up no other. None is
        decided while the clock cannot be believed (`clock_problem`).
        """
        done = []
        async with self._dispatching:
            moment = now()
            self.clock_problem = await self.database.awrite(partial(_look_at_clock, now=moment))
            if self.clock_problem:
                log.error("scheduling is held", reason=self.clock_problem)
                return []
            for newsletter in self.config.newsletters:
                for name in newsletter.frequencies:
                    moment = now()
                    due = await self.database.awrite(partial(self._due, newsletter, name, moment=moment))
                    if due is not None:
                        done.append(await self._dispatch_due(newsletter, name, due, moment))
        return done

    async def _dispatch_due(self, newsletter: Newsletter, name: str, slot: Slot, moment: datetime) -> dict[str, Any]:
        try:
            return _dispatch_value(await self._dispatch(newsletter, name, slot, moment, dry_run=False))
        except (StoreError, BusyError):
            raise
        except Exception as error:  # whatever one newsletter's templates or articles do, the others go out
            log.exception("slot failed", newsletter=newsletter.slug, frequency=name, slot=slot.local)
            failed = digests.DispatchReport(
                newsletter=newsletter.slug, frequency=name, slot=slot.local, outcome=SlotOutcome.HELD
            )
            return _dispatch_value(failed) | {"outcome": "failed", "reason": f"{type(error).__name__}: {error}"}

    async def trust_clock(self) -> None:
        """Believe the clock as it is now, although it once showed a later time."""
        moment = now()
        await self.database.awrite(lambda conn: meta.put(conn, reports.LAST_SEEN, moment.isoformat()))

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
        moment = now()
        mail = await asyncio.to_thread(
            digests.trial_mail,
            self.database,
            self.config,
            newsletter,
            address,
            renderer=self.renderers[newsletter.slug],
            now=moment,
            ids=hexadecimal,
        )
        message, sender = mail.message, newsletter.from_address
        if self.signer is not None:
            message = await asyncio.to_thread(self.signer.signed, message, from_address=sender, date=moment)
        transport = self.transport()
        try:
            attempt = await transport.send(sender, address, message)
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

    async def send(self, *, by_hand: bool = True, progress: Progress = silent) -> dict[str, Any]:
        """Send what is due until nothing is, or until told to stop.

        `by_hand`: an operator wants it, whatever made sending rest.
        """
        await self.prepare_sending()
        async with self._sending:
            if by_hand:
                await self._rest("")
            elif self.resting:
                waiting = await self.database.aread(deliveries.waiting)
                return asdict(OutboxReport(waiting=waiting.open, held=self.resting, lasting=True))
            if self._broken_off:
                # Nothing of ours is on the wire any more, so what stood there is settled as after a crash.
                await self._end_epoch()
                await self._begin()
                self._broken_off = False
            try:
                report = await outbox.run(
                    self.database,
                    self.transport,
                    composer=Composer(self.keyring, signer=self.signer, bounce_domain=self.config.smtp.bounce_domain),
                    epoch=self.epoch,
                    connections=self.config.smtp.connections,
                    clock=now,
                    dice=random.random,
                    stop=self.stop,
                    progress=progress,
                    policy=Policy(on_uncertain=self.config.smtp.on_uncertain),
                    backlog=self.backlog,
                    breaker=self.breaker,
                )
            except (StoreError, BusyError):
                raise  # nothing is in doubt: what is known waits in the backlog, and the next run begins with it
            except BaseException:
                self._broken_off = True
                raise
            if report.lasting:
                await self._rest(report.held)
        for reason in report.paused:
            log.error("issue paused", reason=reason)
        if report.sent or report.failed or report.uncertain or report.expired:
            # An issue may just have become sent, and so an entry of its newsletter's feed.
            await self.feeds([f"{NEWSLETTER_PREFIX}{newsletter.slug}" for newsletter in self.config.newsletters])
        return asdict(report)

    async def _rest(self, reason: str) -> None:
        """Note why nothing is to be sent until an operator wants it, also after a restart; "" that it may be."""
        if reason != self.resting:
            if not reason:
                self.breaker = Breaker(self.config.smtp.connections)
            await self.database.awrite(lambda conn: meta.put(conn, reports.SENDING_RESTS, reason))
            self.resting = reason

    async def resend(self, ids: Sequence[int], *, progress: Progress = silent) -> dict[str, Any]:
        """Let uncertain or failed deliveries be sent once more: whoever got the first copy gets a second."""
        progress("looking", 0, len(ids))
        moment = now()
        again = await self.database.awrite(
            lambda conn: deliveries.resend(conn, ids, now=moment, until=moment + RESENT_FOR)
        )
        if again:
            self.woken.set()
        return {"waiting": again, "refused": sorted(set(ids) - set(again))}

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
        """Do one full round: collect, build feeds, decide what is due, send, tell the hubs."""
        collected = await self.collect(progress=progress)
        dispatched = await self.run_due()
        sent = await self.send(progress=progress)
        await self.announcer.tell()
        return {"collected": collected, "dispatched": dispatched, "sent": sent, "clock": self.clock_problem}


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


def _look_at_clock(conn: Connection, *, now: datetime) -> str:
    """Note that we are alive, once a minute, and return why the clock cannot be believed ("" when it can)."""
    seen = reports.last_seen(conn)
    if seen is None or now >= seen + _SEEN_EVERY:
        meta.put(conn, reports.LAST_SEEN, now.isoformat())
    return slots.clock_problem(seen, now)


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
