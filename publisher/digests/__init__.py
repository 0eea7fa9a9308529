"""A due slot becomes a frozen issue: window of articles, one digest per distinct choice, one delivery per reader."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from publisher import faults
from publisher.config import Config, Newsletter
from publisher.digests import notes
from publisher.digests.approval import approval_mail
from publisher.digests.compose import Frame, Skip
from publisher.digests.guard import Facts, hold_reason
from publisher.digests.issue import LONGEST_WAIT, Draft, Ids, draft
from publisher.digests.material import MANUAL, gather, pending
from publisher.digests.trial import TrialMail, check_templates, trial_mail
from publisher.errors import NotFoundError
from publisher.model import SlotOutcome
from publisher.render import Renderer
from publisher.slots import Slot
from publisher.store import deliveries, freezing, issues
from publisher.store.database import Connection, Database

DECIDED = "this slot was already decided"
"""Reason in the report when somebody else was quicker, or the same minute is dispatched twice by hand."""

__all__ = [
    "DECIDED",
    "MANUAL",
    "DispatchReport",
    "TrialMail",
    "approval_mail",
    "blackout",
    "check_templates",
    "dispatch",
    "manual_slot",
    "newsletter_named",
    "pending",
    "trial_mail",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class DispatchReport:
    """What became of a slot; of a dry run, what would."""

    newsletter: str
    frequency: str
    slot: str
    outcome: SlotOutcome
    reason: str = ""
    """Why there was no issue, or why it is held; empty when it is on its way."""
    issue: str | None = None
    """Its ref; None when there is none."""
    deliveries: int = 0
    segments: int = 0
    articles: int = 0
    sizes: Mapping[str, int] = field(default_factory=dict)
    """Octets of each segment's mail, by its key."""
    left_out: Mapping[int, str] = field(default_factory=dict)
    """Ids of articles that no template could show, with the reason."""
    warnings: tuple[str, ...] = ()
    """What readers will miss because their mails would be too large."""
    dry_run: bool = False


def newsletter_named(config: Config, slug: str) -> Newsletter:
    """Return the newsletter, also by a former name. Raises NotFoundError naming those that exist."""
    for newsletter in config.newsletters:
        if slug == newsletter.slug or slug in newsletter.former:
            return newsletter
    known = ", ".join(newsletter.slug for newsletter in config.newsletters) or "none is configured"
    raise NotFoundError(f"there is no newsletter {slug!r}; there are: {known}")


def manual_slot(config: Config, now: datetime) -> Slot:
    """Return the slot of a dispatch by hand: the minute, in the publication's wall time."""
    local = now.astimezone(ZoneInfo(config.site.timezone))
    return Slot(local=local.strftime("%Y-%m-%dT%H:%M"), at=now)


def blackout(newsletter: Newsletter, slot: Slot) -> str:
    """Say that no issue appears on the day of this slot; "" when one may."""
    day = date.fromisoformat(slot.local[:10])
    return f"blackout {day}" if newsletter.blackout_on(day) else ""


def dispatch(
    db: Database,
    config: Config,
    newsletter: Newsletter,
    frequency: str,
    slot: Slot,
    *,
    renderer: Renderer,
    now: datetime,
    ids: Ids,
    dry_run: bool = False,
) -> DispatchReport:
    """Decide the slot: freeze its issue with segments and deliveries, or record why it is skipped.

    By hand (`frequency` = MANUAL) the issue goes to the readers of all frequencies. A dry run writes nothing.
    Raises RenderError when a template fails: then the slot stays undecided.
    """
    material = db.read(lambda conn: gather(conn, newsletter, frequency, now))
    languages = newsletter.languages or config.site.languages
    written = notes.read(newsletter.notes, slot.local, languages)
    frame = Frame(config, newsletter, frequency, ids()[:12], slot.at, renderer, written)
    made = draft(
        material,
        frame,
        slot=slot.local,
        slot_at=slot.at,
        period=_period(config, newsletter, frequency),
        now=now,
        ids=ids,
    )
    faults.point("dispatch.drafted")
    report = _report(frame, slot, made, dry_run=dry_run)
    if dry_run:
        return report if isinstance(made, Skip) else db.read(lambda conn: _guarded(conn, report, made, newsletter))
    if isinstance(made, Skip):
        return db.write(lambda conn: _skip(conn, report, slot, material.to_seq, now))
    report = _freeze(db, report, made, newsletter, now)
    faults.point("dispatch.frozen")
    return report


def _period(config: Config, newsletter: Newsletter, frequency: str) -> timedelta:
    named = newsletter.frequencies.get(frequency)
    schedule = named.schedule(config.site.timezone) if named else None
    # What follows news knows of no next issue that would bring the articles instead.
    return LONGEST_WAIT if schedule is None or schedule.delay else schedule.period


def _report(frame: Frame, slot: Slot, made: Draft | Skip, *, dry_run: bool) -> DispatchReport:
    report = DispatchReport(
        newsletter=frame.newsletter.slug,
        frequency=frame.frequency,
        slot=slot.local,
        outcome=SlotOutcome.SKIPPED,
        dry_run=dry_run,
    )
    if isinstance(made, Skip):
        return replace(report, reason=made.reason)
    return replace(
        report,
        outcome=SlotOutcome.DISPATCHED,
        issue=made.issue.ref,
        deliveries=len(made.issue.deliveries),
        segments=len(made.mailed),
        articles=made.articles,
        sizes=made.sizes,
        left_out=made.left_out,
        warnings=made.warnings,
    )


def _guarded(conn: Connection, report: DispatchReport, made: Draft, newsletter: Newsletter) -> DispatchReport:
    held = hold_reason(_facts(conn, made), approval=newsletter.approval)
    return replace(report, outcome=SlotOutcome.HELD, reason=held) if held else report


def _facts(conn: Connection, made: Draft) -> Facts:
    new = made.issue
    last = issues.last_readers(conn, newsletter=new.newsletter, frequency=new.frequency)
    repeated = issues.announced(conn, made.usual, newsletter=new.newsletter, frequency=new.frequency)
    return Facts(readers=len(new.deliveries), last_readers=last, articles=len(made.usual), repeated=repeated)


def _skip(conn: Connection, report: DispatchReport, slot: Slot, to_seq: int, now: datetime) -> DispatchReport:
    decided = issues.decide_slot(
        conn,
        newsletter=report.newsletter,
        frequency=report.frequency,
        slot=slot.local,
        slot_at=slot.at,
        outcome=SlotOutcome.SKIPPED,
        reason=report.reason,
        now=now,
        to_seq=to_seq,
    )
    return report if decided else replace(report, reason=DECIDED)


def _freeze(db: Database, report: DispatchReport, made: Draft, newsletter: Newsletter, now: datetime) -> DispatchReport:
    packed = freezing.parts(made.issue)

    def begin(conn: Connection) -> tuple[DispatchReport, int | None]:
        guarded = _guarded(conn, report, made, newsletter)
        return guarded, freezing.begin(conn, replace(made.issue, held=guarded.reason), packed, now)

    report, issue_id = db.write(begin)
    if issue_id is None:
        return replace(report, outcome=SlotOutcome.SKIPPED, reason=DECIDED, issue=None, deliveries=0)
    freezing.complete(db, issue_id, now)
    # Readers whose mail is on its way just now, or whose cursor moved meanwhile, were left to the next issue.
    return replace(report, deliveries=sum(db.read(lambda conn: deliveries.counts(conn, issue_id)).values()))
