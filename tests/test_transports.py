"""Several transports in one publication: what each sends, how each stands, and that none holds up another."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from publisher import reports
from publisher.app import App, now
from publisher.app.lanes import Health, paces
from publisher.cli import show_status
from publisher.config import Config, load
from publisher.control import call
from publisher.errors import NotFoundError
from publisher.mail import progress
from publisher.mail.pace import FRESH as NO_PACE
from publisher.mail.pace import Limit, Rate, provider_of, throttled
from publisher.service import Listening, Service
from publisher.store import deliveries, issues
from publisher.store import paces as stored
from publisher.store.paces import key_of_provider
from publisher.store.tables import deliveries as deliveries_table
from tests.publications import CONFIGURATION, write_publication
from tests.smtp_server import Script, SmtpServer, smtp_server

pytestmark = pytest.mark.anyio


def publication(tmp_path: Path, first: int, second: int, **keys: str) -> Config:
    """Two newsletters, the second over a transport of its own."""
    server = f'host = "127.0.0.1"\nport = {first}\nsecurity = "plain"\n{keys.get("smtp", "")}'
    text = CONFIGURATION.replace("embedded = true", server)
    text = text.replace("[site]", '[site]\npostal_address = "1 Street"', 1)
    text += f"""
[[newsletters]]
slug = "bulletin"
title = "Bulletin"
from_address = "bulletin@ledger.example"
transport = "bulk"
[newsletters.frequencies.weekly]
at = "07:00"
[[transports]]
name = "bulk"
host = "127.0.0.1"
port = {second}
security = "plain"
{keys.get("bulk", "")}
"""
    return load(write_publication(tmp_path, configuration=text), {})


@asynccontextmanager
async def two_issues(tmp_path: Path, first: SmtpServer, second: SmtpServer, **keys: str) -> AsyncIterator[App]:
    """An app with an issue of each newsletter dispatched to three readers."""
    async with await App.open(publication(tmp_path, first.port, second.port, **keys)) as app:
        rows = [
            {"email": f"{name}@{newsletter}.example", "newsletter": newsletter, "consent": "paper"}
            for newsletter in ("weekly", "bulletin")
            for name in ("anna", "boris", "clara")
        ]
        await app.import_subscribers(rows)
        await app.publishing.collect()
        for newsletter in ("weekly", "bulletin"):
            assert (await app.dispatching.dispatch(newsletter))["deliveries"] == 3
        yield app


async def status(app: App) -> dict[str, Any]:
    return await app.database.aread(partial(reports.status, app.config, now=now()))


async def test_each_newsletter_goes_over_its_own_transport(tmp_path: Path) -> None:
    """Issue 4, point 2: and the report tells of each."""
    async with smtp_server() as first, smtp_server() as second, two_issues(tmp_path, first, second) as app:
        done = await app.sending.send()
        assert (done["sent"], done["held"]) == (6, "")
        assert {name: report["sent"] for name, report in done["transports"].items()} == {"smtp": 3, "bulk": 3}
    assert {m.rcpt_to.partition("@")[2] for m in first.received} == {"weekly.example"}
    assert {m.rcpt_to.partition("@")[2] for m in second.received} == {"bulletin.example"}


async def test_each_mail_has_an_envelope_sender_of_its_own_that_only_we_can_make(tmp_path: Path) -> None:
    """Issue 4, point 5; spec mail H14: VERP, whichever transport carries it, the same on every attempt."""
    async with (
        smtp_server(Script(dot=["451 4.3.0 later"], extensions=["PIPELINING"])) as first,
        smtp_server() as second,
        two_issues(tmp_path, first, second, smtp='bounce_domain = "bounces.ledger.example"') as app,
    ):
        await app.sending.send()
        due = deliveries_table.update().values(next_at=deliveries_table.c.due_at)
        await app.database.awrite(lambda conn: conn.execute(due.where(deliveries_table.c.state == "deferred")))
        await app.sending.send()
        rows = {row.address: row.id for row in await app.database.aread(deliveries.listing)}
        arrived = [*first.received, *second.received]
        assert sorted(one.rcpt_to for one in arrived if not one.refused) == sorted(str(one) for one in rows)
        for one in arrived:
            local, _, domain = one.mail_from.partition("@")
            assert domain == "bounces.ledger.example"
            assert app.shared.keyring.read_bounce(local.removeprefix("b+")) == rows[one.rcpt_to]
            assert len(local) <= 64
        assert len({one.mail_from for one in arrived}) == len(rows) == len(arrived) - 1


async def test_a_server_that_knew_nobody_for_a_while_is_made_good_for_all_at_once(tmp_path: Path) -> None:
    """H9, undo by batch: whom its replies to one issue suppressed gets it after all; who was for another reason not."""
    gone = {f"{name}@weekly.example": "550 5.1.1 no such user" for name in ("anna", "boris", "clara")}
    async with smtp_server(Script(refused=gone)) as first, smtp_server() as second:
        async with two_issues(tmp_path, first, second) as app:
            assert (await app.sending.send())["suppressed"] == 3
            [ref] = [one.ref for one in await app.database.aread(issues.listing) if one.newsletter == "weekly"]
            await app.readers.unsuppress("clara@weekly.example")
            await app.readers.suppress("clara@weekly.example", reason="asked for it by telephone")
            first.script.refused.clear()
            with pytest.raises(NotFoundError, match="no issue 'nothing'"):
                await app.readers.unsuppress_issue("nothing")
            told = await app.readers.unsuppress_issue(ref, resend=True)
            assert told["addresses"] == ["anna@weekly.example", "boris@weekly.example"]
            assert len(told["waiting"]) == 2
            assert (await app.readers.unsuppress_issue(ref, resend=True))["addresses"] == []
            assert (await app.sending.send())["sent"] == 2
        assert sorted(one.rcpt_to for one in first.received) == ["anna@weekly.example", "boris@weekly.example"]


async def test_an_outage_of_one_transport_never_stops_the_other(tmp_path: Path) -> None:
    """Each has health, back-off and breaker of its own: also one that is silent, and one that rests."""
    async with (
        smtp_server(Script(greeting=["silence"] * 9)) as first,
        smtp_server() as second,
        two_issues(tmp_path, first, second) as app,
    ):
        stuck = asyncio.create_task(app.sending.send_over("smtp"))
        assert (await app.sending.send_over("bulk")).sent == 3
        assert not stuck.done()
        stuck.cancel()
        await asyncio.wait([stuck])
        first.script.greeting[:] = ["554 5.7.1 we do not know you"] * 9
        done = await app.sending.send()
        assert done["held"] == "smtp: connect: 554 5.7.1 we do not know you"
        assert (done["waiting"], done["transports"]["bulk"]["held"]) == (3, "")
        await app.sending.rest(app.sending.lanes["bulk"], "refused as a sender")
        assert (await app.sending.send_over("smtp")).held.startswith("connect: 554")
        told = {one["name"]: one for one in (await status(app))["outbox"]["transports"]}
        assert (told["smtp"]["rests"], told["bulk"]["rests"]) == (None, "refused as a sender")
        assert (told["smtp"]["waiting"], told["bulk"]["waiting"]) == (3, 0)


async def test_the_service_sends_over_both(tmp_path: Path) -> None:
    async with (
        smtp_server(Script(greeting=["554 5.7.1 no"] * 99)) as first,
        smtp_server() as second,
        two_issues(tmp_path, first, second) as app,
    ):
        service, told = Service(app), asyncio.get_running_loop().create_future()
        task: asyncio.Task[None] = asyncio.create_task(service.run(lambda where: told.set_result(where)))
        assert isinstance(await told, Listening)
        async with asyncio.timeout(30):
            while len(second.received) < 3 or "sending" not in service.problems:  # noqa: ASYNC110 - nothing tells
                await asyncio.sleep(0.02)
        assert service.problems["sending"].startswith("connect: 554")
        assert "sending over bulk" not in service.problems
        assert app.sending.lanes["smtp"].health.failures >= 1
        done = await call(app.config.data_dir, "send", {}, lambda *_: None)
        assert done["held"].startswith("smtp: connect: 554")
        app.shared.stop.set()
        await task


async def test_a_transport_taken_from_the_configuration_leaves_its_mail_to_the_default_one(tmp_path: Path) -> None:
    """D7, H28: an unfinished issue is not stranded; what may have been sent is left to the operator."""
    async with smtp_server() as first, smtp_server(Script(dot=["close"])) as second:
        async with two_issues(tmp_path, first, second, bulk="connections = 1") as app:
            done = await app.sending.send()
            assert (done["transports"]["bulk"]["sent"], done["transports"]["bulk"]["deferred"]) == (2, 1)
        file = tmp_path / "config" / "publisher.toml"
        text = file.read_text(encoding="utf-8")
        text = text[: text.index("[[transports]]")].replace('transport = "bulk"\n', "")
        file.write_text(text, encoding="utf-8")
        async with await App.open(load(file, {})) as app:
            await app.sending.send()
            found = await app.database.aread(partial(reports.delivery_list, states=["uncertain"]))
            assert [one["reason"] for one in found] == ["perhaps sent over bulk, which is configured no more"]
            shown = await app.database.aread(partial(reports.delivery_show, id=found[0]["id"]))
            assert [one["outcome"] for one in shown["history"]] == ["ambiguous"]
        assert len(first.received) == 3


async def test_status_tells_rate_and_what_is_slowed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Issue 4, point 7: per issue and per transport; the sums match."""
    async with smtp_server() as first, smtp_server() as second:
        async with two_issues(tmp_path, first, second, bulk='rate = "2/h"') as app:
            await app.sending.send()
            slow = throttled(NO_PACE, per_hour=600, rest=timedelta(hours=1), reason="rcpt: 421 slow", now=now())
            await app.database.awrite(lambda conn: stored.change(conn, key_of_provider("bulk", "google"), slow))
            told = await status(app)
        bulk = told["outbox"]["transports"][1]
        assert (bulk["waiting"], bulk["limit"], bulk["per_second"], bulk["seconds_left"]) == (2, "2/h", 0.0167, 120)
        assert [(one["provider"], one["limit"], one["reason"]) for one in bulk["slow"]] == [
            ("google", "300/h", "rcpt: 421 slow")
        ]
        issue = next(one for one in told["issues"] if one["newsletter"] == "bulletin")
        assert (issue["deliveries"], issue["per_second"]) == ({"queued": 2, "sent": 1}, 0.0167)
        told["service"] = {"pid": None}
        show_status.status(told)
        words = capsys.readouterr().out
        assert "  bulk (127.0.0.1): 2 waiting; 60/h, 2 min left, at most 2/h\n" in words
        assert "    google gets nothing until " in words


def test_what_is_configured_becomes_paces(tmp_path: Path) -> None:
    config = publication(tmp_path, 25, 26, bulk='[[providers]]\nname = "google"\ndomains = ["a.edu"]\nrate = "9/m"')
    found = paces(config)
    assert found.providers == {"google": Limit(Rate.parse("9/m"))}
    names = [provider_of(f"x@{domain}", found.domains).name for domain in ("gmail.com", "a.edu", "b.edu")]
    assert names == ["google", "google", "b.edu"]


def test_a_transport_that_fails_is_asked_more_and_more_seldom() -> None:
    """30 s, doubled up to ten minutes; one that works is well again at once."""
    health, rests = Health(), []
    for _ in range(7):
        health = health.after("connect: refused")
        rests.append(health.rest.total_seconds())
    assert rests == [30, 60, 120, 240, 480, 600, 600]
    assert health.after("") == Health()
    assert Health().rest == timedelta()


@given(
    st.dictionaries(st.sampled_from(["sent", "deferred", "failed", "uncertain"]), st.integers(0, 10**6)),
    st.timedeltas(timedelta(), timedelta(days=2)),
    st.integers(0, 10**6),
)
def test_progress_is_put_into_words_whatever_the_numbers(tally: dict[str, int], spent: timedelta, left: int) -> None:
    words = progress.in_words(Counter(tally), spent=spent, left=left)
    assert all(f"{number} {state}" in words for state, number in tally.items() if number)


def test_progress_tells_counts_rate_and_time_left() -> None:
    """Issue 4, point 7."""
    tally = Counter(sent=590, deferred=8, failed=2)
    assert progress.in_words(tally, spent=timedelta(seconds=24), left=3000) == (
        "590 sent, 8 deferred, 2 failed; 25/s, 2 min left"
    )
    assert progress.in_words(Counter(), spent=timedelta(), left=9) == "sending"
    assert progress.duration_in_words(timedelta(hours=3, minutes=20)) == "3 h 20 min"
    assert [progress.rate_in_words(rate) for rate in (25, 1.5, 0.01)] == ["25/s", "90/min", "36/h"]
