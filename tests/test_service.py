"""The service and the app under it when something fails: nothing is lost, nothing is repeated, the rest goes on."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import httpx2
import pytest
import sqlalchemy as sa
import structlog

from publisher import control, digests, reports, sources
from publisher.app import App, now, silent
from publisher.app import dispatching as module
from publisher.config import load
from publisher.errors import PublisherError, StoreError
from publisher.model import Attempt, DeliveryState
from publisher.service import Listening, Service
from publisher.store import deliveries, meta, subscribers
from publisher.store.database import Connection
from publisher.store.tables import deliveries as delivery_rows
from tests.publications import BORDER, CONFIGURATION, load_publication, write_article, write_publication

pytestmark = pytest.mark.anyio

ANNA = {"email": "anna@reader.example", "consent": "paper form"}
DAILY = '\n[newsletters.frequencies.often]\nevery = "1m"\n'


@pytest.fixture
async def app(tmp_path: Path) -> AsyncIterator[App]:
    """A publication with one reader and a dispatched issue."""
    async with await App.open(load_publication(tmp_path)) as app:
        await app.import_subscribers([ANNA])
        await app.publishing.collect()
        await app.dispatching.dispatch("weekly")
        yield app


async def states(app: App) -> list[tuple[DeliveryState, int]]:
    """State and number of unknown outcomes of each delivery."""
    rows = await app.database.aread(deliveries.listing)
    return [(row.state, row.ambiguous) for row in rows]


async def problem_of(service: Service) -> str | None:
    """Why the service does not send."""
    return service.problems.get("sending")


async def until(ask: Callable[[Any], Awaitable[Any]], of: object, wanted: object) -> None:
    """Wait for an answer that another task brings about."""
    for _ in range(1000):
        if await ask(of) == wanted:
            return
        await asyncio.sleep(0.02)
    assert await ask(of) == wanted


class Mute:
    """A transport whose server never says what became of the message."""

    def __init__(self, name: str) -> None:
        """Whatever it is called."""

    async def send(self, *_: Any, **__: Any) -> Attempt:
        """Wait for ever."""
        await asyncio.Event().wait()
        raise AssertionError

    def precede(self, *_: Any) -> None:
        """Say nothing."""

    async def abandon(self) -> None:
        """Take back the next envelope."""

    async def close(self) -> None:
        """Leave."""


async def test_a_delivery_that_may_have_arrived_never_expires(app: App) -> None:
    """P1, P2: too old to be sent again, it counts as received and is shown to the operator."""

    def age(conn: Any) -> None:
        past = now() - timedelta(hours=1)
        values = {"state": "deferred", "ambiguous": 1, "next_at": past, "expires_at": past}
        conn.execute(sa.update(delivery_rows).values(values))

    await app.database.awrite(age)
    await app.sending.send()
    assert await states(app) == [(DeliveryState.UNCERTAIN, 1)]
    assert (await app.dispatching.dispatch("weekly", dry_run=True))["outcome"] == "skipped"


async def test_feeds_are_brought_up_to_date_after_a_crash_between_store_and_files(tmp_path: Path) -> None:
    """L11: what a dead process stored reaches the files with the next collection, though it brings nothing new."""
    config = load_publication(tmp_path)
    feed = tmp_path / "data" / "site" / "feeds" / "all.json"
    async with await App.open(config) as app:
        await app.publishing.collect()
        before = feed.read_bytes()
        write_article(tmp_path, "tax.md", BORDER.replace("The border is quiet", "A new tax"))
        await app.publishing.collect()
    for ending in ("", ".gz", ".br", ".zst"):
        feed.with_name(feed.name + ending).unlink(missing_ok=True)
    feed.write_bytes(before)
    async with await App.open(config) as app:
        assert (await app.publishing.collect())["sources"][0]["new"] == 0
    assert "A new tax" in feed.read_text()


async def test_one_source_that_breaks_us_leaves_the_others_collected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """P9: also what nobody expected stays with its source."""
    more = '\n[[sources]]\nname = "second"\nkind = "folder"\npath = "../second"\nfirst_collection = "mail"\n'
    config = load_publication(tmp_path, more=more)
    (tmp_path / "second").mkdir()
    honest = sources.open_source

    def open_source(settings: Any, config: Any) -> Any:
        if settings.name == "articles":
            raise RecursionError("too deep")
        return honest(settings, config)

    monkeypatch.setattr(sources, "open_source", open_source)
    async with await App.open(config) as app:
        done = (await app.publishing.collect())["sources"]
        listed = await app.database.aread(lambda conn: reports.source_list(config, conn))
    assert [source.get("error", "") for source in done] == [
        "unexpected RecursionError: too deep; the log says where",
        "",
    ]
    assert "too deep" in listed[0]["alarm"]


async def test_one_newsletter_that_cannot_be_made_does_not_hold_up_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    second = '\n[[newsletters]]\nslug = "second"\ntitle = "Second"\nfrom_address = "editors@ledger.example"\n'
    config = load_publication(tmp_path, more=second + DAILY)
    honest = digests.dispatch
    due: list[str] = []

    def dispatch(db: Any, config: Any, newsletter: Any, *rest: Any, **more: Any) -> Any:
        due.append(newsletter.slug)
        if newsletter.slug == "weekly":
            raise ValueError("broken template")
        return honest(db, config, newsletter, *rest, **more)

    monkeypatch.setattr(digests, "dispatch", dispatch)
    async with await App.open(config) as app:
        await app.dispatching.run_due()
        moment = now() + timedelta(days=7, minutes=1)
        monkeypatch.setattr(module, "now", lambda: moment)
        monkeypatch.setattr(type(config.newsletters[0].frequencies["weekly"]), "lateness", lambda *_: timedelta(days=8))
        done = {report["newsletter"]: report for report in await app.dispatching.run_due()}
    assert (done["weekly"]["outcome"], done["weekly"]["reason"]) == ("failed", "ValueError: broken template")
    assert (done["second"]["outcome"], done["second"]["reason"]) == ("skipped", "no readers")


async def test_a_clock_set_back_holds_slots_until_it_is_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """K2, spec delivery §5.4: two minutes are forgiven, more is not, and status says so."""
    config = load_publication(tmp_path, more=DAILY)
    start = now()
    async with await App.open(config) as app:
        for minutes, held in ((0, False), (10, False), (9, False), (5, True), (11, False), (0, True)):
            moment = start + timedelta(minutes=minutes)
            monkeypatch.setattr(module, "now", partial(moment.replace, fold=0))
            await app.dispatching.run_due()
            told = (await app.database.aread(partial(reports.status, config, now=moment)))["clock"]
            assert (bool(app.dispatching.clock_problem), bool(told)) == (held, held), minutes
        await app.dispatching.trust_clock()
        await app.dispatching.run_due()
        assert app.dispatching.clock_problem == ""
        assert await app.database.aread(lambda conn: meta.get(conn, reports.LAST_SEEN)) == start.isoformat()


async def test_mail_under_way_at_a_hard_stop_is_settled_at_once(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    """P1: closing in order must not hide what was broken off from every later recovery."""
    monkeypatch.setattr(app.sending, "transport", Mute)
    sending = asyncio.create_task(app.sending.send())
    await until(states, app, [(DeliveryState.SENDING, 0)])
    sending.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await sending
    monkeypatch.undo()
    assert (await app.sending.send())["sent"] == 1
    assert await states(app) == [(DeliveryState.SENT, 1)]


async def test_a_service_whose_ledger_fails_goes_on_and_sends_later(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    """J1: pages are served, readiness says why, and the next try sends."""
    service = Service(app)
    honest, full = app.database.begin_write, True

    def begin_write(work: Callable[[Connection], Any]) -> asyncio.Future[Any]:
        def fail(conn: Connection) -> None:
            work(conn)
            raise StoreError("the disk is full")

        return honest(fail if full else work)

    async def awrite(work: Callable[[Connection], Any]) -> Any:
        return await honest(work)

    # What the clerk writes fails, and nothing else: it does not use `awrite`, as all others do.
    monkeypatch.setattr(app.database, "begin_write", begin_write)
    monkeypatch.setattr(app.database, "awrite", awrite)
    told: asyncio.Future[Listening] = asyncio.get_running_loop().create_future()
    task = asyncio.create_task(service.run(told.set_result))
    listening = await told
    await until(problem_of, service, "the disk is full")
    assert await states(app) == [(DeliveryState.QUEUED, 0)]
    async with httpx2.AsyncClient() as client:
        assert (await client.get(f"{listening.public}/")).status_code == 200
        answer = await client.get(f"{listening.admin}/readyz")
        assert (answer.status_code, answer.json()["problems"]["sending"]) == (503, "the disk is full")
        full = False
        app.shared.woken.set()
        await until(states, app, [(DeliveryState.SENT, 0)])
        await until(problem_of, service, None)
        assert (await client.get(f"{listening.public}/readyz")).json() == {"ready": True, "problems": []}
    app.shared.stop.set()
    await task
    assert service.problems == {}


async def test_a_mistake_of_ours_reaches_the_command_as_words(tmp_path: Path) -> None:
    async with await App.open(load_publication(tmp_path)) as app:
        told: asyncio.Future[Listening] = asyncio.get_running_loop().create_future()
        task = asyncio.create_task(Service(app).run(told.set_result))
        await told
        with pytest.raises(PublisherError, match=r"unexpected TypeError: .*; the service's log says where"):
            await control.call(app.config.data_dir, "feeds", {"nonsense": 1}, silent)
        app.shared.stop.set()
        await task


async def test_no_address_and_no_link_is_logged(tmp_path: Path) -> None:
    """Spec delivery §8: canary grep over what a whole round logs."""
    with structlog.testing.capture_logs() as logged:
        async with await App.open(load_publication(tmp_path)) as app:
            await app.import_subscribers([ANNA])
            await app.cycle()
            await app.dispatching.dispatch("weekly")
            await app.sending.send()
            reader = await app.database.aread(lambda conn: subscribers.listing(conn)[0])
            token = app.shared.keyring.unsubscribe_token(reader.subscription.id)
    assert logged
    assert [line for line in logged if "anna" in str(line) or token in str(line)] == []


async def test_the_main_job_runs_on_postgresql(tmp_path: Path, postgresql_url: str) -> None:
    """The URL names a socket's folder, as on most machines where PostgreSQL is at home."""
    file = write_publication(tmp_path, configuration=f'database_url = "{postgresql_url}"\n{CONFIGURATION}')
    async with await App.open(load(file, {})) as app:
        await app.import_subscribers([ANNA])
        assert (await app.cycle())["collected"]["sources"][0]["new"] == 3
        assert (await app.dispatching.dispatch("weekly"))["deliveries"] == 1
        assert (await app.sending.send())["sent"] == 1
        assert (await app.cycle())["clock"] == ""
        seen = await app.database.aread(lambda conn: reports.status(app.config, conn, now()))
    assert (seen["issues"][0]["state"], seen["issues"][0]["deliveries"]) == ("sent", {"sent": 1})
    assert not (tmp_path / "data" / "publisher.db").exists()


def test_looking_writes_nothing(tmp_path: Path) -> None:
    """A command that only reads leaves no trace, also where nothing exists yet."""
    file = write_publication(tmp_path)
    for words in (["status"], ["sources", "list"], ["articles", "list"], ["subscribers", "list"], ["plan"]):
        done = run(file, *words)
        assert (done.returncode, done.stderr) == (0, "")
    assert not (tmp_path / "data").exists()


def test_a_data_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    file = write_publication(tmp_path)
    (tmp_path / "data").write_text("a file", encoding="utf-8")
    for words in (["collect"], ["status"], ["run", "--once"]):
        done = run(file, *words)
        assert (done.returncode in (1, 3), "Traceback" in done.stderr) == (True, False)
        assert str(tmp_path / "data") in done.stderr.replace("\n", "")


def run(file: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run one command in a process of its own."""
    command = [sys.executable, "-m", "publisher", "--config", str(file), *words]
    return subprocess.run(command, capture_output=True, text=True, check=False)


async def test_sending_that_would_do_harm_rests_until_an_operator_wants_it(tmp_path: Path) -> None:
    """H9: also after a restart, and status says why."""
    config = load_publication(tmp_path)
    reason = "10 of the last 12 addresses do not exist, says the server: 550 5.1.1 unknown"
    async with await App.open(config) as app:
        await app.sending.rest(app.sending.lanes["smtp"], reason)
    async with await App.open(config) as app:
        told = await app.database.aread(partial(reports.status, config, now=now()))
        assert told["outbox"]["rests"] == reason
        resting = await app.sending.send(by_hand=False)
        assert (resting["held"], resting["lasting"]) == (reason, True)
        assert (await app.sending.send())["held"] == ""
        told = await app.database.aread(partial(reports.status, config, now=now()))
        assert told["outbox"]["rests"] is None
