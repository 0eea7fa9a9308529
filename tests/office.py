"""An office: a database with one issue to send, and what sending it needs."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, TypeVar

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
from tests.smtp_server import Received, SmtpServer

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

    def fill(self, names: Sequence[str] = NAMES) -> None:
        """Freeze an issue for these readers."""
        self.epoch = self.db.write(lambda conn: deliveries.new_epoch(conn, self.clock.now))
        self.db.write(partial(self._freeze, names=names))

    def _freeze(self, conn: Connection, names: Sequence[str]) -> None:
        people: dict[str, int] = {}
        for name in names:
            people[name] = subscribers.add(
                conn,
                address=f"{name}@Example.net",
                address_key=f"{name.casefold()}@example.net",
                name=name.title(),
                languages=["en"],
                timezone="UTC",
                format=Format.HTML,
                now=self.clock.now,
            )
            self.subscription[name] = subscribers.subscribe(
                conn,
                people[name],
                newsletter="weekly",
                frequency="weekly",
                categories=None,
                state=SubscriptionState.CONFIRMED,
                method="command",
                proof="test",
                now=self.clock.now,
            ).id
        headers = SegmentHeaders(
            from_name="Weekly",
            from_address="news@example.org",
            subject="The week",
            language="en",
            list_name="Weekly",
            list_id="weekly.example.org",
        )
        text, html = f"News\n{SLOT_UNSUBSCRIBE}\n", f'<p>News <a href="{SLOT_UNSUBSCRIBE}">Leave</a></p>'
        head, body = encode_segment(headers=headers, text=text, html=html)
        segment = NewSegment(
            key="en",
            language="en",
            format=Format.HTML,
            subject="The week",
            html=html,
            text=text,
            head=head,
            body=body,
        )
        frozen = issues.freeze(
            conn,
            NewIssue(
                ref="0a1b2c3d4e5f",
                newsletter="weekly",
                frequency="weekly",
                slot="2026-11-23T07:00",
                slot_at=NOW,
                to_seq=0,
                settings={"from_address": "news@example.org", "public_url": "https://news.example.org"},
                article_ids=(),
                segments=(segment,),
                deliveries=tuple(
                    NewDelivery(
                        subscription_id=self.subscription[name],
                        subscriber_id=people[name],
                        segment_key="en",
                        to_seq=0,
                        due_at=NOW,
                        expires_at=NOW + timedelta(hours=36),
                        message_id=message_id("0a1b2c3d4e5f", f"{name}xxxxxxxx", "example.org"),
                    )
                    for name in names
                ),
            ),
            self.clock.now,
        )
        assert frozen is not None

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
        return await outbox.run(
            self.db,
            self.transport(server, timeouts),
            composer=Composer(KEYRING),
            epoch=self.epoch,
            connections=connections,
            clock=self.clock,
            dice=lambda: 0.5,
            stop=self.stop,
            progress=lambda *step: self.steps.append(step),
            policy=policy,
            **options,
        )

    def transport(self, server: SmtpServer, timeouts: Timeouts = PATIENT) -> Callable[[], Transport]:
        return lambda: Transport(
            "127.0.0.1", server.port, security="plain", hello_name="mail.example.org", timeouts=timeouts
        )

    def states(self) -> dict[str, DeliveryState]:
        """The state of each reader's delivery."""
        return {row.message_id[14:].partition("xxxxxxxx@")[0]: row.state for row in self.rows()}

    def rows(self) -> list[deliveries.DeliveryRow]:
        return self.db.read(partial(deliveries.listing, limit=10_000))

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


def check_ledgers(office: Office, received: list[Received]) -> None:
    """V1, V2, V4, V5 of delivery §7.1: the server's ledger against ours."""
    rows = office.rows()
    assert len(rows) == len(office.subscription)
    by_id = Counter(message.message_id for message in received)
    assert all(row.message_id in by_id for row in rows if row.state is S.SENT)
    assert all(count <= 2 for count in by_id.values())
    assert len({(m.message_id, m.digest) for m in received}) == len(by_id)
    for message in received:
        name = message.rcpt_to.partition("@")[0]
        token = KEYRING.unsubscribe_token(office.subscription[name])
        assert f"List-Unsubscribe: <https://news.example.org/u/{token}>\r\n".encode() in message.content
        assert f"To: {name.title()} <{message.rcpt_to}>\r\n".encode() in message.content
        assert message.content.count(token.encode()) == 3
        assert message.mail_from == "news@example.org"
