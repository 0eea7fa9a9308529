"""The life of subscriptions against a simple model: no mail without consent, none after leaving, a complete record."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections import Counter
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from publisher.config import Config
from publisher.model import Attempt, Outcome
from publisher.render import Renderer
from publisher.store import consents, deliveries, erasures, links, sign_ups, subscribers
from publisher.store.database import Connection, Database
from publisher.store.tables import links as link_rows
from publisher.subscriptions import erasure, imports, notices
from publisher.subscriptions.rows import COLUMNS
from publisher.subscriptions.values import AnswerKind, Change, Choice
from publisher.tokens import Keyring, Pepper, Purpose
from tests.store.make import claim, frozen
from tests.subscriptions.town import HOME, KEY, SALT, Town

PEOPLE = ("ada@example.org", "bob@example.org")
NEWSLETTERS = ("weekly", "alerts")
person = st.sampled_from(PEOPLE)
newsletter = st.sampled_from(NEWSLETTERS)


class Door:
    """A server that takes everything."""

    def __init__(self, taken: list[tuple[str, bytes]]) -> None:
        self.taken = taken

    async def send(self, mail_from: str, rcpt_to: str, message: bytes) -> Attempt:
        self.taken.append((rcpt_to, message))
        return Attempt(outcome=Outcome.ACCEPTED, code=250, text="ok", phase="dot")

    async def close(self) -> None:
        """Nothing is open."""


class Life(RuleBasedStateMachine):
    """The model: who has confirmed what, who has left what, who was erased, and when which letter went out."""

    publication: tuple[Config, Renderer]
    template: Path

    def __init__(self) -> None:
        super().__init__()
        self.home = Path(tempfile.mkdtemp(prefix="publisher-life-"))
        shutil.copy(self.template, self.home / "publisher.db")
        self.database = Database.open(data_dir=self.home)
        self.town = self._town()
        self.state: dict[tuple[str, str], str] = {}
        self.asked: dict[tuple[str, str], Any] = {}
        self.erased: set[str] = set()
        self.events: Counter[tuple[str, str, str]] = Counter()
        self.letters: dict[str, list[Any]] = {}
        self.issues = self.imported = 0
        self.epoch = self.database.write(lambda conn: deliveries.new_epoch(conn, self.town.now))

    def _town(self) -> Town:
        config, renderer = self.publication
        return Town(config, self.database, Keyring([KEY]), Pepper(SALT), renderer)

    def do(self, story: Any) -> Any:
        """Run one act of the desk."""
        return asyncio.run(story)

    def teardown(self) -> None:
        self.database.close()
        shutil.rmtree(self.home)

    # What people do

    @rule(who=person, what=newsletter)
    def sign_up(self, who: str, what: str) -> None:
        """Anybody types an address."""
        answer = self.do(self.town.sign_up(who, what, client=None))
        assert answer.kind is AnswerKind.TAKEN
        if self.state.get((who, what)) != "confirmed":
            self.asked[who, what] = self.town.now

    def _links(self, who: str, purpose: Purpose) -> list[str]:
        found = self.town.database.read(lambda conn: subscribers.get(conn, address_key=who))
        rows = [row for row in self.town.rows(link_rows) if found and row["subscriber_id"] == found.id]
        return [self.town.keyring.token(purpose, row["id"]) for row in rows if row["purpose"] == purpose]

    @rule(who=person, which=st.integers(0, 3))
    def press_confirm(self, who: str, which: int) -> None:
        """The owner of the mailbox presses any confirm link that was ever sent, the newest first."""
        tokens = self._links(who, Purpose.CONFIRM)[::-1]
        if len(tokens) <= which:
            return
        number = self.town.keyring.read(Purpose.CONFIRM, tokens[which])
        link = self.database.read(lambda conn: links.get(conn, number or 0, "confirm"))
        assert link is not None
        works = link.used_at is None and self.town.now < link.expires_at
        self.do(self.town.desk.confirm(tokens[which], client=HOME))
        for key in [key for key in self.asked if key[0] == who and works]:
            self.state[key] = "confirmed"
            self.events[who, key[1], "confirmed"] += 1
            del self.asked[key]
            self.erased.discard(who)

    @rule(who=person, what=newsletter, frequency=st.sampled_from(["hourly", "daily", "weekly"]))
    def prefer(self, who: str, what: str, frequency: str) -> None:
        """A fresh link changes a choice, or subscribes at once."""
        if not self._known(who):
            return
        person_id = self.town.person(who)
        until = self.town.now + timedelta(hours=24)
        number = self.database.write(
            lambda conn: links.make(conn, "manage", person_id, expires_at=until, now=self.town.now)
        )
        token = self.town.keyring.token(Purpose.MANAGE, number)
        wish = Change(newsletters={what: Choice(frequency=frequency)})
        outcome = self.do(self.town.desk.change(token, wish, client=HOME))
        if outcome.kind == "done" and self.state.get((who, what)) != "confirmed":
            self.state[who, what] = "confirmed"
            self.events[who, what, "confirmed"] += 1
            self.asked.pop((who, what), None)

    @rule(who=person, what=newsletter, everything=st.booleans())
    def leave(self, who: str, what: str, everything: bool) -> None:
        """The link of any mail ends its newsletter, or all."""
        if (who, what) not in self.state and (who, what) not in self.asked:
            return
        token = self.town.mail_token(who, what)
        assert self.do(self.town.desk.leave(token, everything=everything, client=HOME)) is not None
        for other in NEWSLETTERS if everything else (what,):
            if (who, other) in self.state or (who, other) in self.asked:
                if self.state.get((who, other)) != "left":
                    self.events[who, other, "unsubscribed"] += self.state.get((who, other)) == "confirmed"
                self.state[who, other] = "left"
                self.asked.pop((who, other), None)

    @rule(who=person, what=newsletter)
    def import_reader(self, who: str, what: str) -> None:
        """The operator's file names somebody: who left or was erased stays out."""
        frequency = "hourly" if what == "alerts" else "weekly"
        row = {"email": who, "newsletter": what, "frequency": frequency, "consent": "paper"}
        self.imported += 1
        begun = imports.begin(self.database, digest=str(self.imported), file="file.csv", now=self.town.now)
        imports.take(
            self.database,
            self.town.config,
            import_id=begun["id"],
            rows=[(1, *(row.get(column, "") for column in COLUMNS))],
            upto=1,
            opt_in=False,
            house=self.town.house,
            now=self.town.now,
        )
        if self.state.get((who, what)) is None and who not in self.erased:
            self.state[who, what] = "confirmed"
            self.events[who, what, "confirmed"] += 1
            self.asked.pop((who, what), None)

    @rule(who=person)
    def erase(self, who: str) -> None:
        """Everything of a person goes but the hash."""
        self.do(erasure.erase(self.database, self.town.pepper, who, who, None, self.town.now))
        self.erased.add(who)
        self._forget(who)

    def _forget(self, who: str) -> None:
        for key in [key for key in (*self.state, *self.asked) if key[0] == who]:
            self.state.pop(key, None)
            self.asked.pop(key, None)
        for event in [event for event in self.events if event[0] == who]:
            del self.events[event]

    @rule(hours=st.sampled_from([1, 20, 30, 80, 24 * 8]))
    def time_passes(self, hours: int) -> None:
        """And the sweep forgets what nobody confirmed."""
        self.town.passes(hours=hours)
        self.do(self.town.desk.sweep())
        waits: dict[tuple[str, str], Any] = {}
        for who in PEOPLE:
            found = self.database.read(partial(subscribers.get, address_key=who))
            mine = self.database.read(partial(sign_ups.awaiting, subscriber_id=found.id)) if found else []
            waits |= {(who, item.newsletter): item.requested_at for item in mine}
        assert all(self.town.now - at <= timedelta(days=7) for at in waits.values() if at)
        self.asked = {key: at for key, at in self.asked.items() if key in waits}

    @rule()
    def restart(self) -> None:
        """The process ends and begins again on the same files."""
        now, number = self.town.now, self.town._number
        self.database.close()
        self.database = Database.open(data_dir=self.home)
        self.town = self._town()
        self.town.now, self.town._number = now, number

    # What is sent

    @rule()
    def letters_go_out(self) -> None:
        """V7: to who never confirmed, only the confirmation, once in 24 hours, three times in a week."""
        taken: list[tuple[str, bytes]] = []
        story = notices.send_due(
            self.database,
            self.town.house,
            lambda _: Door(taken),
            signer=None,
            epoch=self.epoch,
            clock=lambda: self.town.now,
            dice=lambda: 0.5,
            stop=asyncio.Event(),
        )
        report = self.do(story)
        assert (report.failed, report.deferred, report.held) == (0, 0, "")
        for who, message in taken:
            confirms = b"/c/" in message
            reads = any(self.state.get((who, what)) == "confirmed" for what in NEWSLETTERS)
            assert confirms or reads
            assert not confirms or any(key[0] == who for key in self.asked)

    @rule(what=newsletter)
    def an_issue_goes_out(self, what: str) -> None:
        """P3, P4: exactly to who has confirmed and not left; deliveries frozen before are looked at again."""
        everybody = self.database.read(lambda conn: subscribers.listing(conn, newsletter=what))
        self.issues += 1
        if not everybody:
            return
        ids = [one.subscription.id for one in everybody]
        name, now = f"r{self.issues}", self.town.now
        late = now + timedelta(hours=30)
        frozen(self.database, ids, ref=name, slot=name, newsletter=what, now=now, due_at=now, expires_at=late)

    @rule()
    def the_outbox_claims(self) -> None:
        """F16: whatever was frozen when, a claim is only for who is confirmed at this moment."""

        def work(conn: Connection) -> list[tuple[str, str]]:
            taken = claim(conn, epoch=self.epoch, limit=50, now=self.town.now)
            by_id = {one.subscription.id: one for one in subscribers.listing(conn)}
            return [
                (by_id[c.subscription_id].subscriber.address, by_id[c.subscription_id].subscription.newsletter)
                for c in taken
            ]

        for who, what in self.database.write(work):
            assert self.state.get((who, what)) == "confirmed"

    @rule(who=person, what=newsletter)
    def join(self, who: str, what: str) -> None:
        """The usual way in, at once."""
        self.sign_up(who, what)
        self.letters_go_out()
        self.press_confirm(who, 0)

    @rule(who=person, what=newsletter)
    def leave_while_an_issue_goes_out(self, who: str, what: str) -> None:
        """F16: frozen before, claimed after."""
        self.an_issue_goes_out(what)
        self.leave(who, what, everything=False)
        self.the_outbox_claims()

    @invariant()
    def the_states_are_the_models(self) -> None:
        """Confirmed is who confirmed; left stays left; pending is nobody's reader."""
        for who in PEOPLE:
            stored = self.town.states(who)
            for what in NEWSLETTERS:
                expected = {"confirmed": "confirmed", "left": "unsubscribed"}.get(self.state.get((who, what), ""))
                if expected is None:
                    expected = "pending" if (who, what) in self.asked else None
                assert stored.get(what) == expected, (who, what)

    @invariant()
    def the_record_is_complete(self) -> None:
        """Every confirmation is there, no more and no less, and every leaving."""
        for who in PEOPLE:
            found = self.database.read(partial(subscribers.get, address_key=who))
            record = self.database.read(partial(consents.of, subscriber_id=found.id)) if found else []
            for what in NEWSLETTERS:
                count = Counter(one.event for one in record if one.newsletter == what)
                assert count["confirmed"] == self.events[who, what, "confirmed"], (who, what)
                assert count["unsubscribed"] >= self.events[who, what, "unsubscribed"]

    @invariant()
    def the_erased_are_known_by_a_hash_alone(self) -> None:
        """Until they come back by themselves."""
        hashes = {who: self.town.pepper.hash(who) for who in PEOPLE}
        found = self.database.read(lambda conn: erasures.erased(conn, list(hashes.values())))
        assert {who for who, digest in hashes.items() if digest in found} == self.erased

    def _known(self, who: str) -> bool:
        return any(key[0] == who for key in (*self.state, *self.asked))


def test_the_life_of_subscriptions_is_as_simple_as_its_model(
    publication: tuple[Config, Renderer], sqlite_template: Path
) -> None:
    """P3, P4, V7: sign up, confirm, prefer, leave, import, erase, come back, restart, in any order."""

    class Told(Life):
        pass

    Told.publication, Told.template = publication, sqlite_template
    run_state_machine_as_test(Told, settings=settings(max_examples=12, stateful_step_count=20, deadline=None))
