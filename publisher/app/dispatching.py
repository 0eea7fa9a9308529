"""From articles to issues: deciding slots, composing by hand, and marked tests."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import asdict
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import structlog

from publisher import addresses, digests, reports, slots
from publisher.app.looking import planned_moment
from publisher.app.sending import Sending
from publisher.app.shared import Made, Shared, Stories, paused_because, silent
from publisher.clock import hexadecimal, now
from publisher.config import Config, Newsletter
from publisher.control import Progress
from publisher.errors import BusyError, RefusedError, StoreError
from publisher.model import SlotOutcome
from publisher.slots import Slot
from publisher.store import issues, meta
from publisher.store.database import Connection

log: structlog.stdlib.BoundLogger = structlog.get_logger()

_SEEN_EVERY = timedelta(seconds=60)  # spec delivery §5.4


class Dispatching(Stories):
    """The stories of slots and issues."""

    def __init__(self, shared: Shared, sending: Sending) -> None:
        super().__init__(shared)
        self.sending = sending
        self._dispatching = asyncio.Lock()
        self.counted: Counter[tuple[str, str, str]] = Counter()
        """How many slots this process decided, by newsletter, frequency and outcome."""
        self.clock_problem = ""
        """Why no slot is decided at present; "" when they are."""

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
        if to is not None:
            return await self.test(newsletter, to)
        made = self.shared.made
        chosen = digests.newsletter_named(made.config, newsletter)
        if self.shared.paused and not dry_run:
            raise RefusedError(paused_because(self.shared.paused))
        moment = now()
        progress(f"composing {chosen.slug}", 0, None)
        async with self._dispatching:
            if not dry_run:
                await self.sending.complete()
            report = await self._dispatch(
                made, chosen, digests.MANUAL, digests.manual_slot(made.config, moment), moment, dry_run
            )
        return _dispatch_value(report)

    async def run_due(self) -> list[dict[str, Any]]:
        """Decide every slot that is due, and return what became of those that ran.

        A slot whose issue cannot be made is reported as `failed`, stays undecided and holds up no other. None is
        decided while the clock cannot be believed (`clock_problem`).
        """
        done: list[dict[str, Any]] = []
        async with self._dispatching:
            moment = now()
            self.clock_problem = await self.database.awrite(partial(_look_at_clock, now=moment))
            if self.shared.paused or self.database.damage:
                return done
            if self.clock_problem:
                log.error("scheduling is held", reason=self.clock_problem)
                return []
            await self.sending.complete()
            made = self.shared.made
            for newsletter in made.config.newsletters:
                for name in newsletter.frequencies:
                    if self.shared.made is not made:
                        return done  # what was loaded meanwhile may have other schedules; it looks for itself
                    moment = now()
                    due, decided = await self.database.awrite(
                        partial(self._due, made.config, newsletter, name, moment=moment)
                    )
                    self.counted.update((newsletter.slug, name, str(outcome)) for outcome in decided)
                    if due is not None:
                        done.append(await self._dispatch_due(made, newsletter, name, due, moment))
        return done

    async def _dispatch_due(
        self, made: Made, newsletter: Newsletter, name: str, slot: Slot, moment: datetime
    ) -> dict[str, Any]:
        try:
            return _dispatch_value(await self._dispatch(made, newsletter, name, slot, moment, dry_run=False))
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

    def _due(
        self, config: Config, newsletter: Newsletter, name: str, conn: Connection, *, moment: datetime
    ) -> tuple[Slot | None, list[SlotOutcome]]:
        """Record the slots that will not run; return the one that does, and what became of the others."""
        site_zone = config.site.timezone
        frequency = newsletter.frequencies[name]
        schedule = frequency.schedule(site_zone)
        key = {"newsletter": newsletter.slug, "frequency": name}
        due = slots.due(
            schedule,
            last_decided_at=issues.last_decided(conn, **key),
            since_at=issues.schedule_since(conn, **key, fingerprint=schedule.fingerprint, now=moment),
            pending=digests.pending(conn, newsletter, name, schedule),
            now=moment,
            max_lateness=frequency.lateness(site_zone),
            catch_up=frequency.catch_up,
        )
        late = f"more than {frequency.max_lateness or frequency.lateness(site_zone)} late"
        decided = [(slot, SlotOutcome.MISSED, late) for slot in due.missed]
        if due.run is not None:
            decided += [(slot, SlotOutcome.SKIPPED, f"its articles come with {due.run.local}") for slot in due.folded]
            if reason := digests.blackout(newsletter, due.run):
                decided.append((due.run, SlotOutcome.SKIPPED, reason))
        for slot, outcome, reason in decided:
            issues.decide_slot(
                conn,
                newsletter=newsletter.slug,
                frequency=name,
                slot=slot.local,
                slot_at=slot.at,
                outcome=outcome,
                reason=reason,
                now=moment,
            )
            log.warning("slot not run", **key, slot=slot.local, outcome=outcome, reason=reason)
        run = due.run if due.run not in [slot for slot, _, _ in decided] else None
        return run, [outcome for _, outcome, _ in decided]

    async def _dispatch(
        self, made: Made, newsletter: Newsletter, frequency: str, slot: Slot, moment: datetime, dry_run: bool
    ) -> digests.DispatchReport:
        report = await asyncio.to_thread(
            digests.dispatch,
            self.database,
            made.config,
            newsletter,
            frequency,
            slot,
            renderer=made.renderers[newsletter.slug],
            now=moment,
            ids=hexadecimal,
            dry_run=dry_run,
        )
        if not dry_run:
            self.counted[newsletter.slug, frequency, str(report.outcome)] += 1
            log.info(
                "slot decided",
                newsletter=newsletter.slug,
                slot=slot.local,
                outcome=report.outcome,
                reason=report.reason,
            )
            for warning in report.warnings:
                log.warning("mails are large", newsletter=newsletter.slug, slot=slot.local, reason=warning)
            self.shared.woken.set()
        return report

    async def test(
        self, newsletter: str, to: str, *, as_address: str = "", at: str = "", progress: Progress = silent
    ) -> dict[str, Any]:
        """Send one marked mail that counts for nothing to `to`: what `as_address` would get at a local time (K17)."""
        made = self.shared.made
        chosen = digests.newsletter_named(made.config, newsletter)
        try:
            address = addresses.parse(to).address
        except ValueError as error:
            raise RefusedError(f"{to!r}: {error}") from error
        moment = now()
        when = planned_moment(made.config, chosen, at, moment) if at else moment
        progress(f"composing {chosen.slug}", 0, None)
        await self.sending.prepare()
        mail = await asyncio.to_thread(
            digests.trial_mail,
            self.database,
            made.config,
            chosen,
            address,
            renderer=made.renderers[chosen.slug],
            now=moment,
            ids=hexadecimal,
            as_address=as_address,
            at=when,
        )
        message, sender = mail.message, chosen.from_address
        if made.signer is not None:
            message = await asyncio.to_thread(made.signer.signed, message, from_address=sender, date=moment)
        transport = self.sending.transport(chosen.transport)
        try:
            attempt = await transport.send(sender, address, message)
        finally:
            await transport.close()
        return {"to": address, "subject": mail.segment.subject, "outcome": attempt.outcome, "reply": attempt.text} | {
            "notes": list(mail.notes)
        }


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
