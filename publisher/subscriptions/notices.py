"""Sending notices: each is decided upon when its turn comes, claimed, written and recorded, beside all digests (F4)."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Protocol

import structlog

from publisher import faults, links
from publisher.config import DEFAULT_TRANSPORT, in_language
from publisher.digests.welcome import latest_issue
from publisher.errors import RenderError
from publisher.mail.dkim import Signer
from publisher.mail.message import SegmentHeaders, encode_segment, own_lines, personalise
from publisher.mail.pacing import NO_LIMITS, Pacer, Paces
from publisher.mail.steps import GIVEN_UP, USUAL, Policy, Step, next_step
from publisher.model import Attempt, Claimed, DeliveryState, Format, SubscriptionState, Wishes
from publisher.store import links as link_rows
from publisher.store import notices, sign_ups, subscribers, workers
from publisher.store.database import Connection, Database
from publisher.store.notices import Notice, NoticeKind
from publisher.subscriptions.choices import newsletter_of
from publisher.subscriptions.house import FRESH_FOR, House
from publisher.subscriptions.letters import letter, rendered
from publisher.tokens import Purpose, unsubscribe_url

log: structlog.stdlib.BoundLogger = structlog.get_logger()

BATCH = 100
"""Notices looked for at a time."""
FAULT_PAUSE = timedelta(minutes=10)
"""After a template failed: somebody must mend it first."""


class Transport(Protocol):
    """A connection to the next hop."""

    async def send(self, mail_from: str, rcpt_to: str, message: bytes) -> Attempt:
        """Send one message and say what came of it; never raises for what a server does."""

    async def close(self) -> None:
        """Leave."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What one run came to."""

    sent: int = 0
    deferred: int = 0
    failed: int = 0
    suppressed: int = 0
    expired: int = 0
    uncertain: int = 0
    held: str = ""
    """Why sending stopped before everything due was tried; "" when it was."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a notice is not sent, and what becomes of it."""

    state: DeliveryState
    reason: str


def kind_of(notice: Notice, now: datetime) -> str | Refusal:
    """Decide which letter a notice is by now, or why none: whoever left, confirmed or was suppressed meanwhile."""
    if notice.expires_at <= now:
        late = DeliveryState.UNCERTAIN if notice.ambiguous else DeliveryState.EXPIRED
        return Refusal(late, "not sent in time")
    if notice.suppressed is not None:
        return Refusal(DeliveryState.SUPPRESSED, notice.suppressed)
    if notice.link_used:
        return Refusal(DeliveryState.SUPPRESSED, "its link has been used meanwhile")
    reads = any(item.state is SubscriptionState.CONFIRMED for item in notice.subscriptions)
    if notice.kind in (NoticeKind.SIGN_UP, NoticeKind.OPT_IN):
        signed_up = notice.kind is NoticeKind.SIGN_UP
        if any(sign_ups.awaits(item) for item in notice.subscriptions):
            return "confirm" if signed_up else "opt-in"
        return "known" if reads and signed_up else Refusal(DeliveryState.SUPPRESSED, "nothing waits for a confirmation")
    if notice.kind is NoticeKind.LINK:
        # A stranger may ask for it with any address; P4 allows only a confirmation to one that never confirmed.
        known = any(item.state is not SubscriptionState.PENDING for item in notice.subscriptions)
        return "link" if known else Refusal(DeliveryState.SUPPRESSED, "nothing was ever confirmed")
    if notice.kind is NoticeKind.ADDRESS:
        return "address"
    if notice.kind is NoticeKind.WELCOME:
        mine = [item.state for item in notice.subscriptions if item.newsletter == notice.newsletter]
        if mine != [SubscriptionState.CONFIRMED]:
            return Refusal(DeliveryState.SUPPRESSED, mine[0] if mine else "erased")
        return "welcome"
    return "address-changed"


@dataclass(frozen=True, slots=True)
class Unwritten:
    """What came of a notice, as long as it could not be written."""

    notice: Notice
    step: Step


@dataclass(frozen=True, slots=True)
class _Taken:
    """A claimed notice, what it is, and the transport that carries it."""

    notice: Notice
    kind: str
    carrier: str


async def send_due(
    db: Database,
    house: House,
    transport: Callable[[str], Transport],
    *,
    signer: Signer | None,
    epoch: int,
    clock: Callable[[], datetime],
    dice: Callable[[], float],
    stop: asyncio.Event,
    policy: Policy = USUAL,
    limits: Paces = NO_LIMITS,
    backlog: list[Unwritten] | None = None,
) -> Report:
    """Send what is due, one after another, until nothing is; a transport that proves unfit gets no more.

    Each goes over the transport of its newsletter (`transport` opens one by name) and counts against the same
    `limits`. Somebody waits for it, so it goes before all digests: it waits for no pace, but for the rest of a provider
    that said "too fast".

    Each is tried until it is accepted, refused or too old, always with its one Message-ID; one whose outcome nobody
    knows is tried once more. Raises StoreError or BusyError; outcomes that could not be written stay in `backlog`, with
    which the next run begins.
    """
    kept = [] if backlog is None else backlog
    await settle(db, kept, epoch=epoch, clock=clock)
    run = _Run(db, house, transport, signer, epoch, clock, dice, policy, limits, kept)
    try:
        while not stop.is_set():
            left = len(run.left)
            due = await db.aread(lambda conn: notices.due(conn, clock(), limit=BATCH + left))  # noqa: B023 - run at once
            fresh = [number for number in due if number not in run.left]
            for number in fresh:
                if stop.is_set():
                    break
                await run.send(number)
            if not fresh:
                break  # nothing is due, or what is due is not ours to send
    finally:
        await run.close()
    return Report(**run.counts, held="; ".join(run.held.values()))


async def settle(db: Database, backlog: list[Unwritten], *, epoch: int, clock: Callable[[], datetime]) -> None:
    """Write what an earlier run could not, and let go what it claimed and did not send. Raises as `send_due` does."""
    now, kept = clock(), list(backlog)

    def work(conn: Connection) -> None:
        for one in kept:
            _record(conn, one, epoch, now)
        notices.give_back(conn, epoch, now)

    await db.awrite(work)
    del backlog[: len(kept)]


def _record(conn: Connection, one: Unwritten, epoch: int, now: datetime) -> None:
    done = one.step.record
    written = notices.settle(
        conn,
        one.notice.id,
        done.state,
        done.reason,
        now,
        epoch=epoch,
        next_at=done.next_at,
        ambiguous=done.ambiguous,
    )
    if one.step.suppress and written and one.notice.address_key:
        subscribers.suppress(conn, one.notice.address_key, reason=one.step.suppress, now=now)


class _Run:
    def __init__(
        self,
        db: Database,
        house: House,
        transport: Callable[[str], Transport],
        signer: Signer | None,
        epoch: int,
        clock: Callable[[], datetime],
        dice: Callable[[], float],
        policy: Policy,
        limits: Paces,
        backlog: list[Unwritten],
    ) -> None:
        self._backlog = backlog
        self._db, self._house, self._signer, self._epoch = db, house, signer, epoch
        self._clock, self._dice, self._policy = clock, dice, policy
        self._transport, self._limits = transport, limits
        self._doors: dict[str, Transport] = {}
        self._pacers: dict[str, Pacer] = {}
        self.counts: Counter[str] = Counter()
        self.held: dict[str, str] = {}
        """Why a transport gets no more in this run, by its name."""
        self.left: set[int] = set()
        """Notices that were due and cannot go in this run."""

    async def send(self, number: int) -> None:
        """Send one notice, if it is still to be sent."""
        now = self._clock()
        taken = await self._db.awrite(lambda conn: self._claim(conn, number, now))
        if taken is None:
            self.left.add(number)
            return
        if isinstance(taken, Refusal):
            self.counts[taken.state] += 1
            return
        faults.point("notice.claimed")
        try:
            sender, message = await asyncio.to_thread(self._compose, taken)
        except (RenderError, ValueError) as error:
            log.exception("notice not written", kind=taken.kind, reason=str(error))
            await self._defer(taken.notice, str(error))
            return
        faults.point("notice.composed")
        claimed = self._claimed(taken.notice)
        try:
            attempt = await self._door(taken.carrier).send(sender, taken.notice.address, message)
        except asyncio.CancelledError:
            self._keep(taken.notice, self._step(claimed, GIVEN_UP))
            raise
        faults.point("notice.attempted")
        later, step = self._clock(), self._step(claimed, attempt)
        if step.hold:
            self.held[taken.carrier] = step.hold
        # Kept until it is written: what has happened outside must not be forgotten with a full disk.
        unwritten = self._keep(taken.notice, step)
        await self._db.awrite(lambda conn: _record(conn, unwritten, self._epoch, later))
        self._backlog.remove(unwritten)
        faults.point("notice.recorded")
        self.counts[step.record.state] += 1
        if step.slow:
            await self._pacers[taken.carrier].complained(self._db, claimed, step.slow, later)

    async def close(self) -> None:
        """Leave all servers."""
        for door in self._doors.values():
            await door.close()

    def _door(self, carrier: str) -> Transport:
        if carrier not in self._doors:
            self._doors[carrier] = self._transport(carrier)
        return self._doors[carrier]

    def _pacer(self, conn: Connection, carrier: str, now: datetime) -> Pacer:
        if carrier not in self._pacers:
            self._pacers[carrier] = Pacer(carrier, self._limits)
            self._pacers[carrier].load(conn, now)
        return self._pacers[carrier]

    def _carrier(self, notice: Notice) -> str:
        """Return the transport of the newsletter whose From address a notice bears, as `compose` chooses it."""
        config = self._house.config
        newsletter = newsletter_of(config, notice.newsletter or "") or next(iter(config.newsletters), None)
        return (newsletter.transport if newsletter else "") or DEFAULT_TRANSPORT

    def _claim(self, conn: Connection, number: int, now: datetime) -> _Taken | Refusal | None:
        """Decide about one notice while nobody can change what decides; None when it is not ours to send."""
        if not workers.stands(conn, self._epoch):
            return None
        notice = notices.look(conn, number, now)
        if notice is None:
            return None
        kind = kind_of(notice, now)
        if isinstance(kind, Refusal):
            notices.settle(conn, notice.id, kind.state, kind.reason, now)
            return kind
        carrier = self._carrier(notice)
        if carrier in self.held:
            return None
        if until := self._pacer(conn, carrier, now).hurry(conn, self._claimed(notice), now):
            notices.postpone(conn, notice.id, until)
            return None
        if kind == "known" and notice.link_id is not None:
            # The address is proven long since, so what lies in the mail opens everything, but not for long.
            link_rows.turn(conn, notice.link_id, "manage", now + FRESH_FOR)
        signs = notice.dkim_keys if notice.dkim_keys is not None else self._signer.keys if self._signer else ""
        notice = replace(notice, dkim_keys=signs, link_key=notice.link_key or self._house.keyring.current)
        notices.claim(conn, notice, self._epoch)
        return _Taken(notice, kind, carrier)

    def _step(self, claimed: Claimed, attempt: Attempt) -> Step:
        return next_step(attempt, claimed, now=self._clock(), policy=self._policy, chance=self._dice())

    def _keep(self, notice: Notice, step: Step) -> Unwritten:
        unwritten = Unwritten(notice, step)
        self._backlog.append(unwritten)
        return unwritten

    async def _defer(self, notice: Notice, reason: str) -> None:
        now = self._clock()
        self.counts[DeliveryState.DEFERRED] += 1
        await self._db.awrite(
            lambda conn: notices.settle(
                conn,
                notice.id,
                DeliveryState.DEFERRED,
                reason,
                now,
                epoch=self._epoch,
                next_at=now + FAULT_PAUSE,
            )
        )

    def _claimed(self, notice: Notice) -> Claimed:
        return Claimed(
            id=notice.id,
            issue_id=0,
            segment_id=0,
            subscription_id=0,
            epoch=self._epoch,
            attempt=notice.attempt,
            address=notice.address,
            name=notice.name,
            date_at=notice.date_at,
            message_id=notice.message_id,
            expires_at=notice.expires_at,
            ambiguous=notice.ambiguous,
        )

    def _compose(self, taken: _Taken) -> tuple[str, bytes]:
        """Return envelope sender and message; the same on every attempt while words and keys are the same."""
        found = latest(self._db, self._house, taken.notice) if taken.kind == "welcome" else None
        sender, message = found or compose(self._house, taken.notice, taken.kind)
        if self._signer is not None:
            signs = taken.notice.dkim_keys
            message = self._signer.signed(message, from_address=sender, date=taken.notice.date_at, keys=signs)
        return sender, message


def latest(db: Database, house: House, notice: Notice) -> tuple[str, bytes] | None:
    """Return sender and message of a welcome that is the latest issue; None when it is to be a letter."""
    newsletter = newsletter_of(house.config, notice.newsletter or "")
    mine = [item for item in notice.subscriptions if item.newsletter == notice.newsletter]
    if newsletter is None or notice.to_seq is None or not mine:
        return None
    wishes = Wishes(
        languages=notice.languages,
        timezone=notice.timezone,
        format=notice.format,
        categories=mine[0].categories,
        cursor=notice.to_seq,
        content=mine[0].content,
    )
    segment = latest_issue(db, house.config, newsletter, wishes, renderer=house.renderer)
    if segment is None:
        return None
    message = personalise(
        segment.head,
        segment.body,
        address=notice.address,
        name=notice.name,
        date=notice.date_at,
        message_id=notice.message_id,
        unsubscribe_url=unsubscribe_url(
            links.public_url(house.config), house.keyring.unsubscribe_token(mine[0].id, notice.link_key or "")
        ),
    )
    return newsletter.from_address, message


def compose(house: House, notice: Notice, kind: str) -> tuple[str, bytes]:
    """Return the sender's address and the unsigned message of a notice. Raises RenderError."""
    config = house.config
    newsletter = newsletter_of(config, notice.newsletter or "") or config.newsletters[0]
    chosen = [item for item in notice.subscriptions if _concerns(item.state, awaiting=sign_ups.awaits(item), kind=kind)]
    if kind == "welcome":
        chosen = [item for item in notice.subscriptions if item.newsletter == notice.newsletter]
    leave = ""
    if kind == "welcome":
        token = house.keyring.unsubscribe_token(chosen[0].id, notice.link_key or "")
        leave = unsubscribe_url(links.public_url(config), token)
    one = letter(
        config,
        house.renderer,
        kind,
        notice.language,
        chosen,
        url=_target(house, notice, kind, leave),
        unsubscribe=leave,
        new_address=notice.new_address,
    )
    text, html = rendered(house.renderer, one, html=notice.format is Format.HTML)
    title = newsletter.from_name or in_language(newsletter.title, notice.language, config.site.default_language)
    listed = {}
    if leave:
        domain = newsletter.from_address.rpartition("@")[2].lower()
        listed = {"list_name": title, "list_id": f"{newsletter.slug}.{domain}"}
    headers = SegmentHeaders(
        from_name=title,
        from_address=newsletter.from_address,
        reply_to=newsletter.reply_to,
        subject=one.subject,
        language=notice.language,
        **listed,
    )
    head, body = encode_segment(headers=headers, text=text, html=html)
    own = own_lines(
        address=notice.address,
        name=notice.name,
        date=notice.date_at,
        message_id=notice.message_id,
        unsubscribe_url=leave,
    )
    return newsletter.from_address, b"".join((own, head, b"\r\n", body))


def _concerns(state: SubscriptionState, *, awaiting: bool, kind: str) -> bool:
    return awaiting if kind in ("confirm", "opt-in") else kind == "known" and state is SubscriptionState.CONFIRMED


def _target(house: House, notice: Notice, kind: str, leave: str) -> str:
    """Return what the button of a letter opens."""
    config, keyring, key = house.config, house.keyring, notice.link_key or ""
    if kind == "welcome":
        return f"{leave}/preferences"
    if notice.link_id is None:
        return ""
    if kind in ("confirm", "opt-in"):
        return links.confirm(config, keyring.token(Purpose.CONFIRM, notice.link_id, key))
    if kind == "address":
        return links.new_address(config, keyring.token(Purpose.ADDRESS, notice.link_id, key))
    return links.manage(config, keyring.token(Purpose.MANAGE, notice.link_id, key))
