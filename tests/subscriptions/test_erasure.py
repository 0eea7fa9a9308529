"""Forgetting: nothing of an address is left in the data directory, and whoever was erased stays out of imports."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import sys
from functools import partial
from pathlib import Path

import httpx2
import pytest
import structlog
from sqlalchemy import Executable

from publisher import control
from publisher.app import silent
from publisher.config import Config
from publisher.mail.inbox import Inbox
from publisher.model import Attempt, DeliveryState, Outcome, Recorded, SubscriptionState
from publisher.render import Renderer
from publisher.store import attempts, deliveries, erasures, meta, subscribers
from publisher.store.database import Connection, Database
from publisher.store.tables import consents, suppressions
from publisher.store.tables import links as link_rows
from publisher.subscriptions import erasure
from publisher.subscriptions.rows import COLUMNS
from publisher.subscriptions.values import AnswerKind, SignUp
from publisher.tokens import Keyring, Pepper, Purpose
from tests.store.make import claim, frozen
from tests.subscriptions.town import HOME, KEY, SALT, Town
from tests.test_control import running

pytestmark = pytest.mark.anyio

CANARY = "Canary.Bird@erased.example"
CANARY_KEY = "canary.bird@erased.example"


@pytest.fixture
def town(publication: tuple[Config, Renderer], sqlite_database: Database) -> Town:
    """On SQLite, whose files can be searched."""
    config, renderer = publication
    return Town(config, sqlite_database, Keyring([KEY]), Pepper(SALT), renderer)


def found_in(folder: Path) -> list[str]:
    """Files that hold the canary, in any case."""
    wanted = (b"canary", b"erased.example")
    return [
        path.name
        for path in sorted(folder.rglob("*"))
        if path.is_file() and any(word in path.read_bytes().lower() for word in wanted)
    ]


def run(statement: Executable, conn: Connection) -> None:
    """Run one statement."""
    conn.execute(statement)


async def test_after_an_erasure_a_search_of_the_data_directory_finds_nothing(town: Town, tmp_path: Path) -> None:
    """P10, §8: database, its log, the inbox, what servers said; among many other readers, whose data stays."""
    await asyncio.gather(*(town.sign_up(f"reader{number}@x.example", client=None) for number in range(150)))
    await town.sign_up(CANARY, "weekly", "alerts")
    await town.desk.confirm(town.token(Purpose.CONFIRM), client=HOME)
    await asyncio.gather(*(town.sign_up(f"later{number}@x.example", client=None) for number in range(150)))
    person = town.person(CANARY_KEY)
    mine = town.database.read(lambda conn: subscribers.subscriptions_of(conn, person))
    frozen(town.database, [item.id for item in mine[:1]])

    def refuse(conn: Connection) -> None:
        epoch = deliveries.new_epoch(conn, town.now)
        [taken] = claim(conn, epoch=epoch, limit=9, now=town.now)
        said = Attempt(outcome=Outcome.REFUSED, code=550, text=f"5.1.1 <{CANARY}> unknown", phase="rcpt")
        done = Recorded(
            delivery_id=taken.id, epoch=epoch, state=DeliveryState.FAILED, reason=f"<{CANARY}> unknown", attempt=said
        )
        attempts.note(conn, [done], town.now)
        deliveries.record(conn, [done], town.now)
        subscribers.suppress(conn, CANARY_KEY, reason=f"<{CANARY}> unknown", now=town.now)
        meta.put(conn, "resting", f"the server said: no <{CANARY}>")

    town.database.write(refuse)
    for name in ("tmp", "new", "cur"):
        (tmp_path / "inbox" / name).mkdir(parents=True)
    inbox = Inbox(tmp_path / "inbox")
    await inbox.keep(f"To: {CANARY}\r\nSubject: x\r\n\r\nHello\r\n".encode())
    await inbox.keep(b"To: other@x.example\r\nSubject: x\r\n\r\nHello\r\n")
    assert found_in(tmp_path) != []

    assert await erasure.erase(town.database, town.pepper, CANARY, CANARY_KEY, inbox, town.now)
    assert found_in(tmp_path) == []
    assert len(inbox.messages()) == 1
    assert town.states("reader7@x.example") == {"weekly": "pending"}
    [row] = town.database.read(lambda conn: deliveries.listing(conn))
    assert (row.state, row.reason, row.address) == (DeliveryState.FAILED, "erased", None)


async def test_an_erased_suppressed_address_gets_no_mail_even_when_it_is_signed_up(town: Town) -> None:
    """The hash remembers that it must not be mailed; the answer tells nobody."""
    await town.reader(CANARY)
    town.database.write(lambda conn: subscribers.suppress(conn, CANARY_KEY, reason="x", kind="complaint", now=town.now))
    await erasure.erase(town.database, town.pepper, CANARY, CANARY_KEY, None, town.now)
    town.passes(days=8)
    assert (await town.sign_up(CANARY)).kind is AnswerKind.TAKEN
    assert town.notices() == [("sign-up", "suppressed")]


async def test_an_erased_person_stays_out_of_imports_and_may_come_back_alone(town: Town) -> None:
    """F11: the old links are like links that never were; a new confirmation forgets the erasure."""
    await town.reader(CANARY)
    old, fresh = town.mail_token(CANARY_KEY), await town.fresh(CANARY)
    assert await town.desk.erase(fresh)
    digest = town.pepper.hash(CANARY_KEY)
    assert town.database.read(lambda conn: erasures.erased(conn, [digest, "0" * 64])) == {digest: None}
    assert await town.desk.preferences(old) is None
    assert await town.desk.erase(fresh) is None
    town.passes(days=8)
    await town.reader(CANARY)
    assert town.database.read(lambda conn: erasures.erased(conn, [digest])) == {}
    # Ids are never given twice, so an old mail opens nothing of the new person.
    assert await town.desk.leave(old) is None
    assert town.states(CANARY_KEY) == {"weekly": "confirmed"}


async def test_my_data_is_everything_held(town: Town) -> None:
    """Art. 15 and 20: person, choices, record with the very words, mails; as JSON."""
    await town.reader(CANARY, "weekly")
    data = await town.desk.my_data(await town.fresh(CANARY))
    assert data is not None
    assert json.loads(json.dumps(data)) == data
    assert data["person"]["address"] == CANARY
    assert [item["newsletter"] for item in data["subscriptions"]] == ["weekly"]
    assert [(one["event"], one["client"]) for one in data["consents"]] == [
        ("requested", "203.0.113.0/24"),
        ("confirmed", "203.0.113.0/24"),
    ]
    asked, confirmed = data["consents"]
    assert asked["text"].startswith("Yes, send me the newsletters")
    assert asked["wording"] == hashlib.sha256(asked["text"].encode()).hexdigest()
    assert asked["version"] == asked["wording"][:12]
    assert (confirmed["text"], confirmed["version"]) == (None, None)
    assert [one["kind"] for one in data["notices"]] == ["sign-up", "link"]
    assert await town.desk.my_data(town.mail_token(CANARY_KEY)) is None


async def test_the_record_of_consent_is_only_ever_added_to(town: Town) -> None:
    """Append-only: what was written down stays, with its time, through every later act."""
    await town.reader()
    before = town.rows(consents)
    await town.desk.leave(town.mail_token())
    town.passes(days=2)
    await town.reader()
    after = town.rows(consents)
    assert after[: len(before)] == before
    assert [row["event"] for row in after] == ["requested", "confirmed", "unsubscribed", "requested", "confirmed"]


async def test_an_operators_suppression_is_not_the_readers_to_lift(town: Town) -> None:
    """F20: after a complaint an explicit "mail me again" is needed, and it is on record; an operator's word stands."""
    await town.sign_up()
    token = town.token(Purpose.CONFIRM)
    for kind, states in (("operator", ["blocked", "blocked"]), ("complaint", ["suppressed", "done"])):
        row = {"address_key": "ada@example.org", "kind": kind, "reason": "x", "created_at": town.now}
        change = suppressions.update().values(row) if kind == "complaint" else suppressions.insert().values(row)
        town.database.write(partial(run, change))
        shown = [await town.desk.confirm(token, client=HOME, again=again) for again in (False, True)]
        assert [one.state if one else None for one in shown] == states
    assert town.events()[-2:] == [("", "suppression-lifted"), ("weekly", "confirmed")]
    assert town.states() == {"weekly": SubscriptionState.CONFIRMED}


async def test_a_person_erased_by_their_own_page_is_nowhere_while_the_service_runs_and_after(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """P10, §8: real mails in the inbox, a digest sent, the database open and its log in use; no line tells of them."""
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    try:
        async with running(tmp_path) as (app, listening), httpx2.AsyncClient(base_url=listening.public) as client:
            desk, ring, data = app.readers.desk, app.shared.keyring, app.config.data_dir
            for name in (CANARY, "other@x.example"):
                await desk.sign_up(SignUp(address=name, newsletters=("weekly",), language="en"), client=HOME)
            await app.readers.notify()
            for number in (1, 2):
                assert (await client.post(f"/c/{ring.token(Purpose.CONFIRM, number)}")).status_code == 200
            (tmp_path / "articles" / "storm.md").write_text("---\ntitle: A storm\ncategory: economy\n---\nIt came.\n")
            os.utime(tmp_path / "articles" / "storm.md", (1e9, 1e9))
            await app.publishing.collect()
            await app.dispatching.dispatch("weekly")
            await app.sending.send()
            await desk.send_link(CANARY, client=HOME)
            await app.readers.notify()
            [fresh] = await app.database.aread(
                lambda conn: [row.id for row in conn.execute(link_rows.select()) if row.purpose == "manage"]
            )
            held = found_in(data)
            assert "publisher.db-wal" in held
            assert len([name for name in held if not name.startswith("publisher.db")]) == 3  # confirmation, issue, link

            page = f"/m/{ring.token(Purpose.MANAGE, fresh)}"
            answer = await client.post(f"{page}/erase?lang=en", data={"sure": "1"})
            assert "You are forgotten" in answer.text

            assert found_in(data) == []
            assert (await client.get(page)).status_code == 404
            assert await app.database.aread(lambda conn: len(subscribers.listing(conn))) == 1
        assert found_in(tmp_path) == []
        told = "".join(capfd.readouterr()).lower()
        assert "listening" in told
        assert [word for word in ("canary", "erased.example") if word in told] == []
    finally:
        structlog.reset_defaults()


async def test_an_erased_person_stays_out_of_an_import_by_the_command_of_a_running_service(tmp_path: Path) -> None:
    """§8: erased by the operator, then on an old list in other letters: left out, and found nowhere after it."""
    async with running(tmp_path) as (app, _):
        data = app.config.data_dir
        row = {"email": CANARY, "consent": "paper form"}
        await control.call(data, "import_subscribers", {"rows": [row]}, silent)
        assert await control.call(data, "erase_subscriber", {"address": CANARY}, silent) == {
            "address": CANARY,
            "erased": True,
        }
        assert found_in(data) == []
        begun = await control.call(data, "import_begin", {"digest": "d", "file": "old.csv"}, silent)
        rows = [[2, CANARY.upper(), *("form" if column == "consent" else "" for column in COLUMNS[1:])]]
        done = await control.call(data, "import_rows", {"import_id": begun["id"], "rows": rows, "upto": 2}, silent)
        assert done == {"counts": {"suppressed": 1}, "listed": [[2, "suppressed", "erased"]]}
        assert found_in(data) == []
