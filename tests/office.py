"""An office: a database with one issue to send, and what sending it needs."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, TypeVar

import sqlalchemy as sa

from publisher.mail import outbox
from publisher.mail.compose import Composer
from publisher.mail.message import SLOT_UNSUBSCRIBE, SegmentHeaders, encode_segment, message_id
from publisher.mail.outbox import OutboxReport
from publisher.mail.smtp import Timeouts, Transport
from publisher.mail.steps import USUAL, Policy
from publisher.model import (
    DeliveryState,
    Format,
    IssueState,
    NewDelivery,
    NewIssue,
    NewSegment,
    SubscriptionState,
)
from publisher.store import deliveries, issues, subscribers
from publisher.store.database import Connection, Database
from publisher.tokens import Keyring
from tests.ledgers import Ledger, Left, assert_invariants
from tests.smtp_server import Received, SmtpServer
from tests.store import make

NOW = datetime(2026, 11, 23, 7, 0, tzinfo=UTC)
KEYRING = Keyring([bytes(range(32))])
NAMES = [f"reader{number:02d}" for number in range(12)]
S = DeliveryState
T = TypeVar("T")
PATIENT = Timeouts()


@dataclass
class Clock:
    """A clock that the test moves."""

    now: datetime = NOW

    def __call__(self) -> datetime:
        """Return the moment."""
        return self.now


@dataclass
class Office:
    """A database with one issue to send, and what sending it needs."""

    db: Database
    clock: Clock = field(default_factory=Clock)
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    steps: list[tuple[str, int, int | None]] = field(default_factory=list)
    epoch: int = 0
    subscription: dict[str, int] = field(default_factory=dict)
    people: dict[str, int] = field(default_factory=dict)
    ledger: Ledger = field(default_factory=lambda: Ledger(KEYRING))
    issues: int = 0
    padding: int = 0
    """Octets that make each mail longer."""
    tell: Callable[[str, int, int | None], None] | None = None
    """Told of each step, beside `steps`."""

    def fill(self, names: Sequence[str] = NAMES) -> None:
        """Start a worker, and freeze an issue for these readers."""
        self.epoch = self.db.write(lambda conn: deliveries.new_epoch(conn, self.clock.now))
        for name in names:
            self.join(name)
        self.freeze()

    def join(
        self, name: str, state: SubscriptionState = SubscriptionState.CONFIRMED, domain: str = "Example.net"
    ) -> None:
        """Let somebody subscribe."""
        self.db.write(partial(self._join, name=name, state=state, domain=domain))

    def _join(self, conn: Connection, name: str, state: SubscriptionState, domain: str) -> None:
        self.people[name] = subscribers.add(
            conn,
            address=f"{name}@{domain}",
            address_key=f"{name}@{domain}".casefold(),
            name=name.title(),
            languages=["en"],
            timezone="UTC",
            format=Format.HTML,
            now=self.clock.now,
        )
        self.subscription[name] = subscribers.subscribe(
            conn,
            self.people[name],
            newsletter="weekly",
            frequency="weekly",
            categories=None,
            state=state,
            method="command",
            proof="test",
            now=self.clock.now,
        ).id

    def leave(self, name: str) -> None:
        """Let somebody unsubscribe, and note whether a mail to them was under way then."""
        id_ = self.subscription[name]

        def work(conn: Connection) -> bool:
            query = "SELECT count(*) FROM deliveries WHERE subscription_id = :id AND state = 'sending'"
            subscribers.unsubscribe(conn, id_, method="link", now=self.clock.now)
            return bool(conn.scalar(sa.text(query), {"id": id_}))

        under_way = self.db.write(work)
        self.ledger.left.setdefault(id_, Left(time.monotonic(), under_way))

    def freeze(self, *, also: Sequence[str] = (), held: str = "") -> int | None:
        """Freeze the next issue, with one article more, for everybody confirmed and for `also`, whatever they are.

        `held`: why it waits for an approval.
        """
        return self.db.write(partial(self._freeze, also=also, held=held))

    def _freeze(self, conn: Connection, also: Sequence[str], held: str) -> int | None:
        ref, slot = f"{0x0A1B2C3D4E5F + self.issues:012x}", self.clock.now + timedelta(minutes=self.issues)
        to_seq = self.issues + 1
        cursors = {id_: wishes.cursor for id_, wishes in make.readers(conn, "weekly", "weekly").items()}
        cursors |= {self.subscription[name]: 0 for name in also}
        names = {id_: name for name, id_ in self.subscription.items()}
        new = NewIssue(
            ref=ref,
            newsletter="weekly",
            frequency="weekly",
            slot=f"{slot:%Y-%m-%dT%H:%M}.{self.issues}",
            slot_at=slot,
            to_seq=to_seq,
            settings={"from_address": "news@example.org", "public_url": "https://news.example.org"},
            article_ids=(),
            held=held,
            segments=tuple(_segment(cursor, to_seq, self.padding) for cursor in sorted(set(cursors.values()))),
            deliveries=tuple(
                NewDelivery(
                    subscription_id=id_,
                    segment_key=f"after {cursor}",
                    to_seq=to_seq,
                    due_at=self.clock.now,
                    expires_at=self.clock.now + timedelta(hours=36),
                    message_id=message_id(ref, f"{names[id_]}xxxxxxxx", "example.org"),
                    cursor=None if names[id_] in also else cursor,
                )
                for id_, cursor in cursors.items()
            ),
        )
        id_ = make.freeze(conn, new, self.clock.now)
        if id_ is not None:
            self.issues += 1
            frozen = deliveries.listing(conn, issue_id=id_, limit=1_000_000)
            self.ledger.selected[id_] = frozenset(row.message_id for row in frozen)
        return id_

    async def send(
        self,
        server: SmtpServer,
        *,
        connections: int = 3,
        policy: Policy = USUAL,
        timeouts: Timeouts = PATIENT,
        **options: Any,
    ) -> OutboxReport:
        """Run the outbox until nothing is due."""
        usual: dict[str, Any] = {"pause": self._wait, "composer": Composer(KEYRING)}
        return await outbox.run(
            self.db,
            self.transport(server, timeouts),
            epoch=self.epoch,
            connections=connections,
            clock=self.clock,
            dice=lambda: 0.5,
            stop=self.stop,
            progress=self._note,
            policy=policy,
            **(usual | options),
        )

    async def _wait(self, seconds: float) -> None:
        """Let the time pass that sending waits for its pace."""
        self.clock.now += timedelta(seconds=seconds)
        await asyncio.sleep(0)

    def _note(self, label: str, done: int, total: int | None) -> None:
        self.steps.append((label, done, total))
        if self.tell:
            self.tell(label, done, total)

    def transport(self, server: SmtpServer, timeouts: Timeouts = PATIENT) -> Callable[[], Transport]:
        return lambda: Transport(
            "127.0.0.1", server.port, security="plain", hello_name="mail.example.org", timeouts=timeouts
        )

    def states(self) -> dict[str, DeliveryState]:
        """The state of each reader's delivery."""
        return {row.message_id[14:].partition("xxxxxxxx@")[0]: row.state for row in self.rows()}

    def rows(self) -> list[deliveries.DeliveryRow]:
        return self.db.read(partial(deliveries.listing, limit=1_000_000))

    def issue_state(self) -> IssueState:
        issue = self.db.read(lambda conn: issues.get(conn, ref="0a1b2c3d4e5f"))
        assert issue is not None
        return issue.state

    def crash(self) -> deliveries.Recovered:
        """Start as a new worker after the death of the old one."""
        dead = self.epoch

        def begin(conn: Connection) -> deliveries.Recovered:
            self.epoch = deliveries.new_epoch(conn, self.clock.now)
            return deliveries.recover(conn, [dead], policy="retry", now=self.clock.now)

        return self.db.write(begin)


def _segment(cursor: int, to_seq: int, padding: int = 0) -> NewSegment:
    """What readers share who have received everything up to `cursor`."""
    headers = SegmentHeaders(
        from_name="Weekly",
        from_address="news@example.org",
        subject="The week",
        language="en",
        list_name="Weekly",
        list_id="weekly.example.org",
    )
    articles = [f"article-{number:04d}" for number in range(cursor + 1, to_seq + 1)]
    text = "\n".join(["News", *articles, *(["x" * padding] if padding else []), f"{SLOT_UNSUBSCRIBE}\n"])
    html = f'<p>News {" ".join(articles)} <a href="{SLOT_UNSUBSCRIBE}">Leave</a></p>'
    head, body = encode_segment(headers=headers, text=text, html=html)
    return NewSegment(
        key=f"after {cursor}",
        language="en",
        format=Format.HTML,
        subject="The week",
        html=html,
        text=text,
        head=head,
        body=body,
    )


def check_ledgers(office: Office, received: Sequence[Received]) -> None:
    """The server's ledger against ours in the middle of things, when deliveries may still be open."""
    office.ledger.received = received
    assert_invariants(office.ledger, office.db, ended=False)
