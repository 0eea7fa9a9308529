"""The whole application in a process of its own, which dies in the middle of a story and is started again."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import os
import re
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import sqlalchemy as sa
import structlog

from publisher import departures, faults
from publisher.app import App, hexadecimal
from publisher.app.keys import key_file
from publisher.app.safekeeping import packed, restore
from publisher.config import Config, load
from publisher.errors import RefusedError, StoreError
from publisher.model import DeliveryState, IssueState, SubscriptionState
from publisher.store import deliveries, freezing, issues, subscribers
from publisher.store.database import Connection, Database
from publisher.store.deliveries import DeliveryRow
from publisher.store.tables import deliveries as delivery_rows
from publisher.store.tables import issues as issue_rows
from publisher.store.tables import notices as notice_rows
from publisher.store.tables import slots as slot_rows
from publisher.subscriptions.values import SignUp
from publisher.tokens import Keyring
from tests import sender
from tests.crashes import POLICIES, Policies, Sweep, ended
from tests.publications import CONFIGURATION, write_article, write_publication
from tests.smtp_server import Received, Script, smtp_server

S = DeliveryState
CONNECTIONS = 2
READERS = [f"reader{number}@reader.example" for number in range(5)]
LEAVER, LATER, REFUSED, NEW = READERS[1], READERS[2], READERS[3], "new@reader.example"
ARTICLE = "---\ntitle: Article-{number}\ndate: 2026-11-20 09:00\ncategory: economy\n---\nSomething has happened.\n"
SIDE = """
[[transports]]
name = "side"
host = "127.0.0.1"
port = {port}
security = "plain"
connections = 1
"""

STORIES = {
    **dict.fromkeys((point for point in faults.POINTS if point.startswith(("dispatch.", "freezing."))), "issue"),
    **dict.fromkeys(("issue.turned", "issue.told"), "turns"),
    "resend.reopened": "resend",
    **dict.fromkeys(("lane.settled", "lane.adopting", "lane.adopted"), "lane"),
    **dict.fromkeys((point for point in faults.POINTS if point.startswith("notice.")), "notices"),
    "journal.written": "leaving",
    "keys.written": "keys",
    **dict.fromkeys((point for point in faults.POINTS if point.startswith(("restore.", "standing."))), "restoring"),
}
"""What must happen so that the application comes by a point."""


def sweeps(*, sqlite: bool = True) -> list[Sweep]:
    """Every point of the application, under both policies; a database that is not a file is restored by others."""
    points = [point for point, story in STORIES.items() if sqlite or story != "restoring"]
    return [Sweep(point, policy) for point, policy in itertools.product(points, POLICIES)]


@dataclass
class House:
    """A publication, as whoever runs it sees it: what he asks for he asks for again until it is done."""

    home: Path
    config: Config
    app: App

    async def begin(self) -> None:
        """See that there are readers and an article."""
        await self.app.import_subscribers([{"email": one, "consent": "paper"} for one in READERS])
        await self.publish(1)

    async def publish(self, number: int) -> None:
        """Publish an article."""
        write_article(self.home, f"{number}.md", ARTICLE.format(number=number))
        await self.app.publishing.collect()

    async def dispatch(self) -> None:
        """Send out what is new, in a minute in which nothing has been yet."""

        def earlier(conn: Connection) -> None:
            slot = f"2026-01-01 {hexadecimal()}"
            for table in (slot_rows, issue_rows):
                mine = (table.c.frequency == "manual", table.c.slot.not_like("2026-01-01 %"))
                conn.execute(sa.update(table).where(*mine).values(slot=slot))

        await self.app.database.awrite(earlier)
        await self.app.sending.complete()
        await self.app.dispatching.dispatch("weekly")
        for one in await self.app.database.aread(partial(issues.listing, states=[IssueState.HELD])):
            await self.app.issuing.approve(one.ref)  # articles that were queued before make the guard ask

    async def send(self) -> None:
        """Send what is due, also what was put off."""

        def passes(conn: Connection) -> None:
            d = delivery_rows.c
            conn.execute(sa.update(delivery_rows).where(d.state == S.DEFERRED).values(next_at=d.due_at))

        await self.app.database.awrite(passes)
        await self.app.sending.send()

    async def leave(self, address: str) -> None:
        """Let somebody leave; no mail to them may begin once this has returned."""

        def work(conn: Connection) -> None:
            person = subscribers.get(conn, address_key=address)
            assert person is not None
            for one in subscribers.subscriptions_of(conn, person.id):
                subscribers.unsubscribe(conn, one.id, method="link", now=person.created_at)

        await self.app.database.awrite(work)
        (self.home / f"left {address}").touch()


async def issue(house: House) -> None:
    """An issue is made and sent, and then another."""
    await house.dispatch()
    await house.send()
    await house.publish(2)
    await house.dispatch()
    await house.send()


async def turns(house: House) -> None:
    """An issue is paused, goes on, is cancelled; the next one brings its articles."""
    await house.dispatch()
    found = await house.app.database.aread(partial(issues.listing, states=[IssueState.SENDING, IssueState.PAUSED]))
    for one in found:
        for turn in (house.app.issuing.pause, house.app.issuing.resume, house.app.issuing.cancel):
            with contextlib.suppress(RefusedError):  # it was done before the crash
                await turn(one.ref)
    await house.publish(2)
    await house.dispatch()
    await house.send()


async def resend(house: House) -> None:
    """A reader's mail is refused, and sent again because somebody wants it."""
    await house.dispatch()
    await house.send()
    failed = await house.app.database.aread(partial(deliveries.listing, states=[S.FAILED]))
    assert {row.address for row in failed} == {REFUSED}
    await house.app.sending.resend([row.id for row in failed])
    await house.send()


async def lane(house: House) -> None:
    """A transport is taken away while an issue is going over it; one mail of it may have arrived."""
    await house.dispatch()
    if "side" in house.app.sending.lanes:
        await house.app.sending.send_over("side")
        _write(house.home, house.config.smtp.port)
        await house.app.reloading.reload()
        while house.app.sending._leaving:  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(0.005)
    await house.send()


async def notices(house: House) -> None:
    """Somebody signs up, and gets the mail to confirm it."""
    known = await house.app.database.aread(lambda conn: subscribers.get(conn, address_key=NEW))
    if known is None:
        await house.app.readers.desk.sign_up(SignUp(address=NEW, newsletters=("weekly",)), client="203.0.113.7")
    while (await house.app.readers.notify())["held"]:
        pass


async def leaving(house: House) -> None:
    """Somebody leaves while a mail to them is queued."""
    await house.dispatch()
    await house.leave(LEAVER)
    await house.send()


async def keys(house: House) -> None:
    """The key of links is changed between two issues."""
    await house.dispatch()
    await house.send()
    await house.app.readers.rotate_keys()
    await house.publish(2)
    await house.dispatch()
    await house.send()


async def restoring(house: House) -> None:
    """A backup is made, somebody leaves after it, everything is lost, and the backup put back."""
    backup, before = house.home / "backup.tar", house.home / "lost"
    if not before.exists():
        await house.dispatch()
        await house.send()
        if not backup.exists():
            await asyncio.to_thread(packed, await house.app.safekeeping.copy(), backup)
        await house.leave(LATER)
        await house.app.close()
        house.config.data_dir.rename(before)
    if not (house.home / "restored").exists():
        if house.config.data_dir.exists():
            with contextlib.suppress(StoreError):  # somebody is impatient
                async with await App.open(house.config) as app:
                    assert app.shared.paused, "a restore that was broken off is taken for a publication"
            house.config.data_dir.rename(house.home / f"broken {hexadecimal()}")
        await asyncio.to_thread(restore, house.config, backup, before / departures.NAME)
        (house.home / "restored").touch()
    async with await App.open(house.config) as app:
        again = House(house.home, house.config, app)
        with contextlib.suppress(RefusedError):  # it goes on already
            await app.standing.resume()
        await again.publish(2)
        await again.dispatch()
        await again.send()


TOLD: dict[str, Callable[[House], Awaitable[None]]] = {
    one.__name__: one for one in (issue, turns, resend, lane, notices, leaving, keys, restoring)
}


def _write(home: Path, port: int, *, side: int = 0, policy: str = "", url: str = "") -> None:
    """Write the configuration; without a `side` transport it is the one that is there, without it."""
    file = home / "config" / "publisher.toml"
    if file.exists() and not side and not policy:
        text = file.read_text(encoding="utf-8")
        text = text[: text.index("[[transports]]")].replace('transport = "side"\n', "")
        draft = file.with_suffix(".draft")
        draft.write_text(text, encoding="utf-8")
        draft.replace(file)
        return
    server = f'host = "127.0.0.1"\nport = {port}\nsecurity = "plain"\nconnections = {CONNECTIONS}\n'
    text = CONFIGURATION.replace("embedded = true", f'{server}on_uncertain = "{policy}"')
    text = text.replace("[site]", '[site]\npostal_address = "1 Street"', 1)
    if url:
        text = f'database_url = "{url}"\n{text}'
    if side:
        text = text.replace('slug = "weekly"\n', 'slug = "weekly"\ntransport = "side"\n') + SIDE.format(port=side)
    write_publication(home, {}, configuration=text)


def _live(home: Path, story: str, fault: str) -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    freezing._TOGETHER = 2  # so that an issue is frozen in several parts
    faults.arm(fault)
    asyncio.run(_tell(home, story))
    os._exit(0)  # as quick as the crash


async def _tell(home: Path, story: str) -> None:
    config = load(home / "config" / "publisher.toml", {})
    if story == "restoring" and (home / "lost").exists():
        await restoring(House(home, config, None))  # type: ignore[arg-type]  # nothing is open at this stage
        return
    app = await App.open(config)
    house = House(home, config, app)
    await house.begin()
    await TOLD[story](house)
    if story != "restoring":  # which loses what is open here
        await app.close()


async def crash_house(home: Path, url: str, sweep: Sweep) -> int:
    """Crash at a point at each passage, ask for the same again until it is done; compare; return the crashes."""
    story = STORIES[sweep.point]
    side_script = Script(dot=["close", *["451 4.3.0 later"] * 99])
    refusing = Script(refused={REFUSED: "552 5.2.2 the mailbox is full"} if story == "resend" else {})
    async with smtp_server(refusing) as server, smtp_server(side_script) as side:
        _write(home, server.port, side=side.port if story == "lane" else 0, policy=sweep.on_uncertain, url=url)
        faults_ = [f"{sweep.point}:{passage}" for passage in sweep.passages]
        codes = [await ended(sender.launch(_live, home, story, fault)) for fault in faults_]
        assert set(codes) <= {0, 137}, codes
        assert 137 in codes, f"{sweep} was not reached"
        assert await ended(sender.launch(_live, home, story, "")) == 0
        _assert_promises(home, story, sweep.on_uncertain, [*server.received, *side.received], codes.count(137))
    return codes.count(137)


def _assert_promises(home: Path, story: str, policy: Policies, received: Sequence[Received], crashes: int) -> None:
    """V1–V8 over the whole application: nobody is forgotten, and nobody gets anything twice that no crash explains."""
    config = load(home / "config" / "publisher.toml", {})
    ring = Keyring.load(key_file(config))
    arrived = [one for one in received if not one.refused]
    with Database.open(config.database_url, data_dir=config.data_dir) as database:
        rows = database.read(partial(deliveries.listing, limit=1000))
        states = {one.id: one.state for one in database.read(issues.listing)}
        people = {one.subscription.id: one for one in database.read(subscribers.listing)}
        asked = database.read(lambda conn: conn.execute(sa.select(notice_rows)).mappings().all())
    notes = {row["message_id"] for row in asked}
    copies = Counter(one.message_id for one in arrived)
    # V1, V2, V3
    ledger = [(row.issue_id, str(row.state), row.reason, row.attempt) for row in rows]
    assert all(row.finished_at is not None and (row.state is S.SENT or row.reason) for row in rows), ledger
    assert set(states.values()) <= {IssueState.SENT, IssueState.CANCELLED}, states
    assert len({(row.issue_id, row.subscription_id) for row in rows}) == len(rows)
    assert all(copies[row.message_id] for row in rows if row.state is S.SENT)
    lost = story == "restoring"  # what was sent after the backup is in no ledger
    assert lost or copies.keys() <= {row.message_id for row in rows} | notes
    assert all(row["finished_at"] is not None for row in asked), asked
    # V4
    doubtful = crashes * CONNECTIONS + int(story == "lane")
    assert max(copies.values(), default=0) <= 2
    assert sum(copies.values()) - len(copies) <= (doubtful if policy == "retry" else 0), copies
    # V5, V7
    assert len({(one.message_id, one.digest) for one in received}) == len({one.message_id for one in received})
    _assert_own(ring, received, {id_: one.subscriber.address for id_, one in people.items()}, notes)
    # V6
    left = {path.name.removeprefix("left ") for path in home.glob("left *")}
    _assert_once_each(rows, arrived, left, story)
    assert {one.subscriber.address for one in people.values() if one.subscription.state is not C} - {NEW} == left
    if story == "notices":
        assert [row["state"] for row in asked] == ["sent"] or policy == "hold"


C = SubscriptionState.CONFIRMED


def _assert_own(ring: Keyring, received: Sequence[Received], owners: dict[int, str], notes: set[str]) -> None:
    """What lies in a mail opens the choices of its recipient and of nobody else, also after a change of keys."""
    for one in received:
        head = one.content.partition(b"\r\n\r\n")[0].decode()
        assert f"To: {one.rcpt_to}\r\n" in head
        if one.message_id in notes:
            assert "List-Unsubscribe" not in head
            assert one.rcpt_to == NEW
            continue
        assert one.rcpt_to != NEW
        [token] = re.findall(r"^List-Unsubscribe: <[^>]+/u/([^>]+)>\r?$", head, re.MULTILINE)
        subscription = ring.read_unsubscribe(token)
        assert subscription is not None
        assert owners[subscription] == one.rcpt_to


def _assert_once_each(rows: Sequence[DeliveryRow], arrived: Sequence[Received], left: set[str], story: str) -> None:
    """V8, and the reverse: each reader has each article in one mail, or we say that it is uncertain or failed."""
    mails: dict[tuple[str, str], set[str]] = defaultdict(set)
    for one in arrived:
        for number in ("Article-1", "Article-2"):
            if number.encode() in one.content:
                mails[one.rcpt_to, number].add(one.message_id)
    assert all(len(ids) == 1 for ids in mails.values()), mails
    told = {row.address for row in rows if row.state in (S.UNCERTAIN, S.FAILED)}
    numbers = ["Article-1", *(["Article-2"] if story in ("issue", "turns", "keys", "restoring") else [])]
    if story != "notices":
        missing = {(one, number) for one in set(READERS) - left - told for number in numbers} - mails.keys()
        assert not missing, missing
    if story == "leaving":
        assert not [one for one in arrived if one.rcpt_to == LEAVER]
    if story == "restoring":
        assert (LATER, "Article-2") not in mails
