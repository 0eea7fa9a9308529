"""The server's own ledger against ours: the invariants V1–V10 that no fault may break (delivery §7.1)."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

from publisher.model import DeliveryState, SubscriptionState
from publisher.store import deliveries, subscribers
from publisher.store.database import Database
from publisher.store.deliveries import DeliveryRow
from publisher.store.issues import OPEN
from publisher.tokens import Keyring
from tests.smtp_server import Received

S = DeliveryState
ARTICLE = re.compile(rb"article-[0-9]{4}")
_TOKEN = re.compile(rb"^List-Unsubscribe: <https://news\.example\.org/u/([^>]+)>\r$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Left:
    """Somebody's unsubscribing, as its answer goes out."""

    at: float
    """On this machine's monotonic clock."""
    under_way: bool
    """A mail to them was being sent when it was committed; that one may arrive, and may be the only one (P3)."""


@dataclass
class Ledger:
    """What the world outside has seen, kept apart from the database."""

    keyring: Keyring
    received: Sequence[Received] = ()
    """The server's: one line for each final dot, written before the reply to it."""
    selected: dict[int, frozenset[str]] = field(default_factory=dict)
    """Message-IDs of the deliveries that each issue was frozen with."""
    left: dict[int, Left] = field(default_factory=dict)
    """By subscription."""
    resent: int = 0
    """Copies that an operator asked for."""


def assert_invariants(
    ledger: Ledger, database: Database, *, at_risk: int | None = None, hold: bool = False, ended: bool = True
) -> None:
    """Compare after a scenario. `at_risk`: connections open at each fault, added up; `ended`: nothing is to be open."""
    rows = database.read(partial(deliveries.listing, limit=1_000_000))
    copies = Counter(message.message_id for message in ledger.received if not message.refused)
    _assert_conserved(ledger, rows, ended)
    _assert_honest(rows, copies)
    _assert_few_repeats(ledger, rows, copies, at_risk, hold)
    _assert_own_bytes(ledger, database, rows)
    _assert_consent(ledger, database, rows)
    _assert_articles_once(ledger)
    if database.dialect == "sqlite":  # V10
        assert database.read(lambda conn: conn.exec_driver_sql("PRAGMA integrity_check").scalar()) == "ok"


def _assert_conserved(ledger: Ledger, rows: Sequence[DeliveryRow], ended: bool) -> None:
    """V1: everybody selected is in the ledger in exactly one state, and none is open for ever."""
    by_issue = defaultdict(list)
    for row in rows:
        by_issue[row.issue_id].append(row.message_id)
    assert {id_: Counter(found) for id_, found in by_issue.items()} == {
        id_: Counter(chosen) for id_, chosen in ledger.selected.items()
    }
    states = Counter(row.state for row in rows)
    assert not ended or not states.keys() & set(OPEN), states


def _assert_honest(rows: Sequence[DeliveryRow], copies: Counter[str]) -> None:
    """V2: what is sent arrived. V3: what did not arrive says why."""
    for row in rows:
        assert row.state is not S.SENT or copies[row.message_id] >= 1, row
        assert row.state in (S.SENT, S.QUEUED, S.SENDING) or row.reason, row
        assert (row.state in OPEN) == (row.finished_at is None), row
    assert copies.keys() <= {row.message_id for row in rows}


def _assert_few_repeats(
    ledger: Ledger, rows: Sequence[DeliveryRow], copies: Counter[str], at_risk: int | None, hold: bool
) -> None:
    """V4: nobody has three copies, and faults repeat no more mails than there were connections; `hold` repeats none."""
    extra = sum(copies.values()) - len(copies) - ledger.resent
    assert ledger.resent or max(copies.values(), default=0) <= 2, copies.most_common(3)
    assert all(row.ambiguous <= 2 + ledger.resent for row in rows)
    assert not hold or extra <= 0, copies.most_common(3)
    if at_risk is not None:
        assert extra <= at_risk, (extra, at_risk)
        assert sum(row.state is S.UNCERTAIN for row in rows) <= at_risk


def _assert_own_bytes(ledger: Ledger, database: Database, rows: Sequence[DeliveryRow]) -> None:
    """V5: equal Message-ID, equal bytes; the recipient owns the token inside, and nobody else's is there."""
    by_id = {row.message_id: row for row in rows}
    people = {one.subscription.id: one.subscriber for one in database.read(subscribers.listing)}
    assert len({(m.message_id, m.digest) for m in ledger.received}) == len({m.message_id for m in ledger.received})
    for message in ledger.received:
        row = by_id[message.message_id]
        assert message.rcpt_to == row.address
        assert message.mail_from == "news@example.org"
        if row.subscription_id in people:
            owner = people[row.subscription_id]
            token = ledger.keyring.unsubscribe_token(row.subscription_id).encode()
            assert _TOKEN.findall(message.content) == [token]
            assert message.content.count(token) == 3
            assert owner.address_key == message.rcpt_to.casefold()
            assert f"To: {owner.name} <{message.rcpt_to}>\r\n".encode() in message.content


def _assert_consent(ledger: Ledger, database: Database, rows: Sequence[DeliveryRow]) -> None:
    """V6: no body begins after the reader's leave was answered. V7: who has not confirmed gets nothing."""
    by_id = {row.message_id: row for row in rows}
    after: Counter[int] = Counter()
    for message in ledger.received:
        subscription = by_id[message.message_id].subscription_id
        if subscription is not None and (left := ledger.left.get(subscription)) and message.began_at > left.at:
            after[subscription] += 1
    for subscription, number in after.items():
        assert number <= int(ledger.left[subscription].under_way), (subscription, number)
    never = {
        listed.subscriber.address.casefold()
        for listed in database.read(subscribers.listing)
        if listed.subscription.state is SubscriptionState.PENDING
    }
    assert not never & {message.rcpt_to.casefold() for message in ledger.received}


def _assert_articles_once(ledger: Ledger) -> None:
    """V8: over all issues an article reaches a reader in one mail (repeats of that very mail are V4's)."""
    mails: dict[tuple[str, bytes], set[str]] = defaultdict(set)
    for message in ledger.received:
        for article in set(ARTICLE.findall(message.content)) if not message.refused else ():
            mails[message.rcpt_to, article].add(message.message_id)
    assert {key: ids for key, ids in mails.items() if len(ids) > 1} == {}
