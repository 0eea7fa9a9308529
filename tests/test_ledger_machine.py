"""The delivery ledger as a machine: whatever happens in whatever order, no promise breaks (delivery §5.2, V1–V8)."""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from itertools import pairwise
from pathlib import Path
from types import MappingProxyType
from typing import Literal, TypeVar

from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from publisher import addresses
from publisher.mail.steps import Policy, Step, next_step
from publisher.model import Attempt, Claimed, DeliveryState, IssueState, Outcome, SubscriptionState
from publisher.store import claims, deliveries, issue_turns, issues, sign_ups, subscribers, workers
from publisher.store.consents import Evidence
from publisher.store.database import Connection, Database
from publisher.store.deliveries import DeliveryRow
from publisher.store.issues import WAITING
from tests.office import Office

S = DeliveryState
T = TypeVar("T")

LEGAL = {
    S.QUEUED: {S.SENDING, S.SUPPRESSED, S.EXPIRED},
    S.DEFERRED: {S.SENDING, S.SUPPRESSED, S.EXPIRED, S.UNCERTAIN},
    S.SENDING: {S.SENT, S.DEFERRED, S.FAILED, S.UNCERTAIN, S.EXPIRED, S.SUPPRESSED},
}
"""What may follow without an operator's wish; nothing follows the other states."""

RESENT = {S.FAILED: {S.DEFERRED}, S.UNCERTAIN: {S.DEFERRED}}

ATTEMPTS = {
    "accepted": Attempt(outcome=Outcome.ACCEPTED, code=250, text="2.0.0 ok", phase="dot"),
    "greylisted": Attempt(outcome=Outcome.DEFERRED, code=450, text="4.2.0 later", phase="rcpt"),
    "unreachable": Attempt(outcome=Outcome.DEFERRED, code=None, text="refused", phase="connect"),
    "unknown": Attempt(outcome=Outcome.REFUSED, code=550, text="5.1.1 no such user", phase="rcpt"),
    "spam": Attempt(outcome=Outcome.REFUSED, code=554, text="5.7.1 spam", phase="dot"),
    "silence": Attempt(outcome=Outcome.AMBIGUOUS, code=None, text="no reply within 600 s", phase="dot"),
}
PAUSES = [timedelta(minutes=m) for m in (6, 70)]
JUMPS = [timedelta(hours=h) for h in (-26, -2, 40)]


@dataclass(eq=False)
class Flight:
    """A mail under way: claimed, and perhaps with its reader already."""

    claimed: Claimed
    counted: bool = False
    """It may have arrived, and the reader's copy has been counted."""


@dataclass(eq=False)
class Machine:
    """A worker as it sees itself."""

    epoch: int
    flights: list[Flight] = field(default_factory=list)
    read: tuple[Claimed, ...] = ()
    """What it has read ahead."""
    declared_dead: bool = False


class LedgerMachine(RuleBasedStateMachine):
    """A real database, and beside it what the world has seen."""

    template: Path

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory(prefix="publisher-machine-")
        shutil.copy(self.template, Path(self.folder.name) / "publisher.db")
        self.office = Office(Database.open(data_dir=Path(self.folder.name), readers=1))
        self.machines: list[Machine] = []
        self.dead: list[Machine] = []
        self.copies: Counter[str] = Counter()
        self.resent: Counter[str] = Counter()
        self.before: dict[int, DeliveryRow] = {}
        self.spans: dict[int, tuple[int, int]] = {}
        """The articles in each mail: behind the first, up to the second."""
        self.cursors: dict[int, int] = {}
        self.rare = Counter[str]()
        """Events after which little can happen any more, so that each run has few of them."""

    @property
    def db(self) -> Database:
        return self.office.db

    def do(self, work: Callable[[Connection], T], *, also: Mapping[S, set[S]] = MappingProxyType({})) -> T:
        """Run a transaction and look whether every row took a legal step."""
        result = self.db.write(work)
        self.look(also)
        return result

    def look(self, also: Mapping[S, set[S]]) -> None:
        rows, self.issue_states, cursors = self.db.read(_snapshot)
        for id_, row in rows.items():
            was = self.before.get(id_)
            if was is None:
                continue
            legal = {row.state, was.state} if row.state is was.state else LEGAL.get(was.state, set())
            assert row.state in legal | also.get(was.state, set()), (was, row)
            assert row.ambiguous >= was.ambiguous
            assert was.address in (None, row.address), "the first claim's address stays"
        assert rows.keys() >= self.before.keys(), "a delivery disappeared"
        assert all(cursors[id_] >= cursor for id_, cursor in self.cursors.items()), "a cursor went back"
        self.before, self.cursors = rows, cursors

    def freeze(self, *, held: str = "") -> None:
        # Whoever has not confirmed is in it too, as if they had been when it was composed: the claim finds them.
        issue_id = self.office.freeze(also=self.pending(), held=held)
        assert issue_id is not None
        query = (
            "SELECT d.id, s.key, d.to_seq FROM deliveries d JOIN segments s ON s.id = d.segment_id WHERE d.issue_id = ?"
        )
        for id_, key, to_seq in self.db.read(lambda conn: conn.exec_driver_sql(query, (issue_id,)).all()):
            self.spans[id_] = (int(key.removeprefix("after ")), to_seq)
        self.look(LEGAL)

    @initialize(policy=st.sampled_from(["retry", "hold"]), readers=st.integers(1, 3))
    def begin(self, policy: Literal["retry", "hold"], readers: int) -> None:
        self.policy: Literal["retry", "hold"] = policy
        self.steps = Policy(on_uncertain=policy)
        for number in range(readers):
            self.office.join(f"reader{number}")
        self.freeze()
        self.start()

    # The publication

    @precondition(lambda self: len(self.office.subscription) < 4)
    @rule()
    def somebody_subscribes(self) -> None:
        self.office.join(f"reader{len(self.office.subscription)}")

    @precondition(lambda self: len(self.office.subscription) < 4)
    @rule()
    def somebody_asks_for_the_newsletter(self) -> None:
        self.office.join(f"reader{len(self.office.subscription)}", SubscriptionState.PENDING)

    @precondition(lambda self: self.pending())
    @rule(data=st.data())
    def somebody_confirms(self, data: st.DataObject) -> None:
        person = self.office.people[data.draw(st.sampled_from(self.pending()))]
        now, evidence = self.office.clock.now, Evidence(method="link", proof="test")
        self.do(lambda conn: sign_ups.confirm(conn, person, ["weekly"], evidence, now))

    @precondition(lambda self: self.rare["leave"] < 1)
    @rule(data=st.data())
    def somebody_leaves(self, data: st.DataObject) -> None:
        self.rare["leave"] += 1
        self.office.leave(data.draw(st.sampled_from(sorted(self.office.subscription))))

    @precondition(lambda self: self.rare["complaint"] < 1)
    @rule(data=st.data())
    def somebody_complains(self, data: st.DataObject) -> None:
        self.rare["complaint"] += 1
        key = f"{data.draw(st.sampled_from(sorted(self.office.subscription)))}@example.net"
        self.do(lambda conn: subscribers.suppress(conn, key, reason="complaint", now=self.office.clock.now))

    @precondition(lambda self: self.office.issues < 4)
    @rule()
    def an_issue_is_frozen(self) -> None:
        self.freeze()

    @precondition(lambda self: self.office.issues < 4 and self.rare["hold"] < 2)
    @rule()
    def an_issue_is_held(self) -> None:
        self.rare["hold"] += 1
        self.freeze(held="look at it")

    @precondition(lambda self: self.held())
    @rule(data=st.data(), spread=st.sampled_from([timedelta(), timedelta(hours=2)]))
    def an_editor_approves_an_issue(self, data: st.DataObject, spread: timedelta) -> None:
        self.approve(data.draw(st.sampled_from(self.held())), spread)

    def approve(self, issue: int, spread: timedelta) -> None:
        found, now = self.db.read(partial(issues.get, id=issue)), self.office.clock.now
        assert found is not None
        self.do(lambda conn: issue_turns.approve(conn, found, wait=timedelta(hours=36), spread=spread, now=now))

    @precondition(lambda self: self.rare["reload"] < 2)
    @rule()
    def a_reload_takes_the_transport_away(self) -> None:
        """H28: another one carries on; what may have been sent over the old one is not sent over the new."""
        self.rare["reload"] += 1
        other = "bulk" if self.rare["reload"] % 2 else "smtp"
        self.do(lambda conn: issues.adopt(conn, [other], other, self.office.clock.now))

    @rule(data=st.data())
    def an_operator_pauses_or_resumes_an_issue(self, data: st.DataObject) -> None:
        issue = data.draw(st.sampled_from(sorted(self.issue_states)))
        change = issue_turns.resume if self.issue_states[issue] == IssueState.PAUSED else issue_turns.pause
        self.do(lambda conn: change(conn, issue))

    @precondition(lambda self: self.rare["cancel"] < 2)
    @rule(data=st.data())
    def an_operator_cancels_an_issue(self, data: st.DataObject) -> None:
        self.rare["cancel"] += 1
        issue = data.draw(st.sampled_from(sorted(self.issue_states)))
        found = self.db.read(partial(issues.get, id=issue))
        assert found is not None
        self.do(lambda conn: issue_turns.cancel(conn, found, self.office.clock.now))

    @precondition(lambda self: any(row.state in RESENT for row in self.before.values()) and self.rare["resend"] < 2)
    @rule(data=st.data())
    def an_operator_sends_again(self, data: st.DataObject) -> None:
        self.rare["resend"] += 1
        if rows := [row for row in self.before.values() if row.state in RESENT]:
            row = data.draw(st.sampled_from(rows))
            now = self.office.clock.now
            work = partial(deliveries.resend, ids=[row.id], now=now, until=now + timedelta(days=1))
            for _ in self.do(work, also=RESENT):
                self.resent[row.message_id] += 1

    @rule(jump=st.sampled_from(PAUSES))
    def the_clock_goes_on(self, jump: timedelta) -> None:
        self.office.clock.now += jump

    @precondition(lambda self: self.rare["jump"] < 1)
    @rule(jump=st.sampled_from(JUMPS))
    def the_clock_jumps(self, jump: timedelta) -> None:
        self.rare["jump"] += 1
        self.office.clock.now += jump

    # The workers

    @precondition(lambda self: len(self.machines) < 2)
    @rule()
    def start(self) -> None:
        self.machines.append(Machine(self.do(lambda conn: deliveries.new_epoch(conn, self.office.clock.now))))

    @precondition(lambda self: self.machines)
    @rule(data=st.data(), outcome=st.sampled_from(["accepted", "greylisted"]))
    def a_worker_goes_on(self, data: st.DataObject, outcome: str) -> None:
        """What happens most: all that are under way have their answer, and the next are read and claimed."""
        worker = data.draw(st.sampled_from(self.machines))
        self.read_ahead(worker)
        self.turn(worker, list(worker.flights), outcome)

    @precondition(lambda self: self.machines)
    @rule(data=st.data(), outcome=st.sampled_from(sorted(ATTEMPTS)), reads=st.booleans())
    def a_worker_records_and_claims(self, data: st.DataObject, outcome: str, reads: bool) -> None:
        """What the clerk does in one transaction: outcomes first, then what was read, now or some time ago."""
        worker = data.draw(st.sampled_from(self.machines))
        if reads:
            self.read_ahead(worker)
        done = data.draw(st.lists(st.sampled_from(worker.flights), unique=True)) if worker.flights else []
        self.turn(worker, done, outcome)

    def read_ahead(self, worker: Machine) -> None:
        upcoming = partial(claims.upcoming, epoch=worker.epoch, now=self.office.clock.now, limit=3)
        worker.read = self.db.read(upcoming).candidates

    def turn(self, worker: Machine, done: list[Flight], outcome: str) -> None:
        following = worker.read
        steps = [self.answer(flight, outcome) for flight in done]
        before = self.before

        def work(conn: Connection) -> tuple[set[int], set[int]]:
            written = self.record(conn, steps)
            stands = not following or workers.stands(conn, worker.epoch)
            return written, claims.take(conn, following, self.office.clock.now) if stands else set()

        written, taken = self.do(work)
        worker.flights = [flight for flight in worker.flights if flight not in done]
        worker.flights += [Flight(claimed) for claimed in following if claimed.id in taken]
        if worker.declared_dead:
            assert (written, taken) == (set(), set())
            assert self.before == before, "a fenced worker changed something"
        else:
            assert written == {flight.claimed.id for flight in done}
        for id_ in taken:
            self.assert_may_be_mailed(id_)

    @precondition(lambda self: self.machines)
    @rule(data=st.data())
    def a_worker_is_killed_and_started_again(self, data: st.DataObject) -> None:
        """The usual crash: the next worker recovers at its start."""
        self.a_worker_dies(data)
        self.the_dead_are_recovered()
        self.start()

    @precondition(lambda self: any(not worker.flights for worker in self.machines))
    @rule(data=st.data())
    def a_commit_seems_to_fail(self, data: st.DataObject) -> None:
        """J13: the claim was committed and the worker does not know; no body was written."""
        worker = data.draw(st.sampled_from([worker for worker in self.machines if not worker.flights]))
        now, following = self.office.clock.now, worker.read
        self.do(lambda conn: claims.take(conn, following, now) if workers.stands(conn, worker.epoch) else set())
        self.do(lambda conn: deliveries.give_back(conn, worker.epoch, now))

    @precondition(lambda self: self.machines)
    @rule(data=st.data())
    def a_worker_dies(self, data: st.DataObject) -> None:
        worker = data.draw(st.sampled_from(self.machines))
        self.machines.remove(worker)
        self.may_have_arrived(worker.flights)
        if not worker.declared_dead:
            self.dead.append(worker)

    @precondition(lambda self: self.dead)
    @rule()
    def the_dead_are_recovered(self) -> None:
        self.recover(self.dead)
        self.dead = []

    @precondition(lambda self: any(not worker.declared_dead for worker in self.machines))
    @rule(data=st.data())
    def a_living_worker_is_taken_for_dead(self, data: st.DataObject) -> None:
        """K7: cut off from its database, or asleep; it goes on and does not know."""
        worker = data.draw(st.sampled_from([worker for worker in self.machines if not worker.declared_dead]))
        self.may_have_arrived(worker.flights)
        self.recover([worker])
        worker.declared_dead = True

    @rule()
    def issues_are_closed(self) -> None:
        self.do(lambda conn: issues.finish(conn, self.office.clock.now))

    # What they are made of

    def answer(self, flight: Flight, outcome: str) -> Step:
        attempt = ATTEMPTS[outcome]
        if attempt.outcome in (Outcome.ACCEPTED, Outcome.AMBIGUOUS):
            self.may_have_arrived([flight])
        now = self.office.clock.now
        return next_step(attempt, flight.claimed, now=now, policy=self.steps, chance=0.5)

    def record(self, conn: Connection, steps: list[Step]) -> set[int]:
        now = self.office.clock.now
        written = deliveries.record(conn, [step.record for step in steps], now)
        for step in steps:
            if step.suppress and step.record.delivery_id in written:
                key = addresses.parse(step.address).key
                subscribers.suppress(conn, key, reason=step.suppress, now=now)
        return written

    def recover(self, dead: Iterable[Machine]) -> None:
        epochs, now = [worker.epoch for worker in dead], self.office.clock.now
        self.do(lambda conn: deliveries.recover(conn, epochs, policy=self.policy, now=now))

    def may_have_arrived(self, flights: Iterable[Flight]) -> None:
        """Count the copy of the worst case, once for each time a mail was sent."""
        for flight in flights:
            self.copies[flight.claimed.message_id] += not flight.counted
            flight.counted = True

    def assert_may_be_mailed(self, id_: int) -> None:
        """V6, V7: who is claimed is confirmed, not suppressed, and the issue is being sent."""
        row = self.before[id_]
        listed = self.listed()[row.subscription_id or 0]
        assert (listed.subscription.state, listed.suppressed) == (SubscriptionState.CONFIRMED, None)
        assert self.issue_states[row.issue_id] == IssueState.SENDING
        assert row.expires_at > self.office.clock.now

    def pending(self) -> list[str]:
        states = {id_: listed.subscription.state for id_, listed in self.listed().items()}
        asked = self.office.subscription.items()
        return sorted(name for name, id_ in asked if states[id_] is SubscriptionState.PENDING)

    def held(self) -> list[int]:
        return sorted(issue for issue, state in self.issue_states.items() if state == IssueState.HELD)

    def listed(self) -> dict[int, subscribers.Listed]:
        return {listed.subscription.id: listed for listed in self.db.read(subscribers.listing)}

    # What must hold after every step

    @invariant()
    def everybody_selected_is_in_one_state(self) -> None:
        """V1, and what is open is in an issue that still goes on: nothing waits for ever."""
        found = defaultdict(set)
        for row in self.before.values():
            found[row.issue_id].add(row.message_id)
        assert found == {id_: set(chosen) for id_, chosen in self.office.ledger.selected.items() if chosen}
        going_on = (IssueState.SENDING, IssueState.PAUSED, IssueState.HELD)
        for row in self.before.values():
            assert row.state not in WAITING or self.issue_states[row.issue_id] in going_on, row

    @invariant()
    def what_is_on_the_wire_belongs_to_somebody(self) -> None:
        """Every row being sent has a worker that lives, or is going to be recovered."""
        own = {flight.claimed.id for worker in [*self.machines, *self.dead] for flight in worker.flights}
        assert {row.id for row in self.before.values() if row.state is S.SENDING} <= own

    @invariant()
    def nobody_gets_a_third_copy(self) -> None:
        """V4, P2; with `hold` nobody a second."""
        most = 2 if getattr(self, "policy", "retry") == "retry" else 1
        for row in self.before.values():
            assert self.copies[row.message_id] <= most + self.resent[row.message_id], row
            assert row.ambiguous <= 2 + self.resent[row.message_id], row
            assert row.state is not S.SENT or self.copies[row.message_id], row  # V2
            assert row.state not in (S.FAILED, S.UNCERTAIN, S.SUPPRESSED, S.EXPIRED, S.DEFERRED) or row.reason  # V3

    @invariant()
    def no_article_comes_twice(self) -> None:
        """V8: the issues that may have reached a reader do not overlap, unless an operator sent one again."""
        reached: dict[int | None, list[DeliveryRow]] = defaultdict(list)
        for row in sorted(self.before.values(), key=lambda row: row.id):
            if self.copies[row.message_id] and row.subscription_id is not None:
                reached[row.subscription_id].append(row)
        for rows in reached.values():
            if any(self.resent[row.message_id] for row in rows):
                continue
            spans = [self.spans[row.id] for row in rows]
            assert all(one[1] <= other[0] for one, other in pairwise(spans)), spans

    @invariant()
    def cursors_say_what_was_received(self) -> None:
        """DESIGN §4: at least the highest to_seq of what is sent or uncertain."""
        for row in self.before.values():
            if row.state in (S.SENT, S.UNCERTAIN) and row.subscription_id is not None:
                assert self.cursors[row.subscription_id] >= row.to_seq, row

    def teardown(self) -> None:
        """Everything comes to an end: nobody who still wants the newsletter misses an article."""
        try:
            if hasattr(self, "policy"):
                self.come_to_an_end()
        finally:
            self.db.close()
            self.folder.cleanup()

    def come_to_an_end(self) -> None:
        self.recover([*self.machines, *self.dead])
        for id_ in self.held():
            self.approve(id_, timedelta())
        for id_ in self.office.ledger.selected:
            self.do(partial(issue_turns.resume, id=id_))
        for _ in range(2):  # what may have been sent keeps a reader out of the next issue, but not of the one after
            self.send_all()
            self.freeze()
        self.send_all()
        self.do(lambda conn: issues.finish(conn, self.office.clock.now))
        assert set(self.issue_states.values()) <= {IssueState.SENT, IssueState.CANCELLED}
        for id_, listed in self.listed().items():
            if listed.subscription.state is SubscriptionState.CONFIRMED and listed.suppressed is None:
                assert self.cursors[id_] == self.office.issues, "an article was lost"

    def send_all(self) -> None:
        """A server that takes everything, and a worker with time, also when the clock had jumped back."""
        waiting = [row.next_at for row in self.before.values() if row.state in WAITING]
        self.office.clock.now = max([self.office.clock.now, *waiting]) + timedelta(hours=2)
        epoch = self.do(lambda conn: deliveries.new_epoch(conn, self.office.clock.now))
        now = self.office.clock.now
        while found := self.db.read(partial(claims.upcoming, epoch=epoch, now=now, limit=100)).candidates:
            taken = self.do(lambda conn: claims.take(conn, found, now))
            steps = [self.answer(Flight(one), "accepted") for one in found if one.id in taken]
            self.do(lambda conn: self.record(conn, steps))  # noqa: B023 - run at once


def _snapshot(conn: Connection) -> tuple[dict[int, DeliveryRow], dict[int, str], dict[int, int]]:
    """Read what is looked at after every step."""
    return (
        {row.id: row for row in deliveries.listing(conn, limit=1000)},
        dict(conn.exec_driver_sql("SELECT id, state FROM issues").all()),
        dict(conn.exec_driver_sql("SELECT id, cursor FROM subscriptions").all()),
    )


def test_no_order_of_events_breaks_a_promise(sqlite_template: Path) -> None:
    """§5.2, §7.2, V1–V8: claims, outcomes of each kind, crashes, recovery, fencing, and what people do to them.

    People ask, confirm, leave, complain; operators hold, approve, pause, cancel, resend, reload; clocks jump.
    With `--hypothesis-profile=long` thousands of orders.
    """
    LedgerMachine.template = sqlite_template
    run = LedgerMachine.TestCase
    suite = settings.default or settings()
    run.settings = settings(
        max_examples=suite.max_examples // 2,
        stateful_step_count=40,
        phases=[Phase.reuse, Phase.generate, Phase.shrink],  # to explain takes longer than to understand
    )
    run().runTest()
