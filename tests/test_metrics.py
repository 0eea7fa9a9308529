"""Metrics: Prometheus' own parsers read them, and their numbers are those of the ledger."""

from __future__ import annotations

import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import httpx2
import pytest
import sqlalchemy as sa
import structlog
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_open_metrics
from prometheus_client.parser import text_string_to_metric_families as read_text

from publisher.app import App, measuring
from publisher.config import load
from publisher.errors import ConfigurationError
from publisher.metrics import LAG_BOUNDS, OURS, Lag, reference
from publisher.model import ArticleState, DeliveryState
from publisher.service import Service
from publisher.store import counted, deliveries, tables
from publisher.store.database import Connection, Database
from publisher.web.exposition import Exporter
from tests.publications import CONFIGURATION, load_publication, write_publication
from tests.smtp_server import Script, SmtpServer, smtp_server
from tests.test_reload import edit, running, until

pytestmark = pytest.mark.anyio

READERS = [{"email": f"reader{number}@reader.example", "consent": "paper form"} for number in range(3)]
OUTSIDE = CONFIGURATION.replace("embedded = true", 'host = "127.0.0.1"\nport = {{port}}\nsecurity = "plain"').replace(
    "timezone", 'postal_address = "A street"\ntimezone'
)

Numbers = dict[str, dict[tuple[str, ...], float]]


@asynccontextmanager
async def mailing(home: Path, server: SmtpServer, *, more: str = "") -> AsyncIterator[App]:
    """A publication with three readers that mails over a server."""
    text = OUTSIDE.replace("{{port}}", str(server.port))
    async with await App.open(load(write_publication(home, configuration=text, more=more), {})) as app:
        await app.import_subscribers(READERS)
        await app.publishing.collect()
        yield app


async def scraped(admin: str) -> Numbers:
    """Every number of ours and of the process, by sample and values of its labels."""
    async with httpx2.AsyncClient() as client:
        answer = await client.get(f"{admin}/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    found: Numbers = {}
    order = {metric.name: metric.labels for metric in reference()}
    for family in read_text(answer.text):
        for sample in family.samples:
            labels = order.get(sample.name, tuple(sample.labels))
            found.setdefault(sample.name, {})[tuple(sample.labels[label] for label in labels)] = sample.value
    return found


async def test_an_issue_that_was_sent_is_in_the_numbers(tmp_path: Path) -> None:
    """Issue 7, observability: what Prometheus reads after an issue is what the ledger holds."""
    script = Script(refused={"reader2@reader.example": "550 5.1.1 no such user"})
    before = time.time()
    async with smtp_server(script) as server, mailing(tmp_path, server) as app:
        async with running(app) as (_, listening):
            await app.dispatching.dispatch("weekly")
            await until(lambda: app.sending.counted.total() == 3)
            async with httpx2.AsyncClient() as client:
                for _ in range(2):
                    assert (await client.get(f"{listening.public}/feeds/all.atom")).status_code == 200
                assert (await client.get(f"{listening.public}/feeds/nobody-knows.atom")).status_code == 404
            await app.measuring.count()
            found = await scraped(listening.admin)
        rows = await app.database.aread(deliveries.listing)
    assert found["publisher_deliveries_total"] == {("sent", "smtp"): 2, ("suppressed", "smtp"): 1}
    assert sorted(row.state for row in rows) == ["failed", "sent", "sent"]
    assert found["publisher_outbox_deliveries"] == {("deferred",): 0, ("queued",): 0, ("sending",): 0}
    assert found["publisher_uncertain_deliveries"] == {(): 0}
    assert found["publisher_issues"] == {("sent",): 1}
    assert found["publisher_articles"] == {(state,): 3 if state == "published" else 0 for state in ArticleState}
    assert found["publisher_source_articles"] == {("articles",): 3}
    assert found["publisher_source_skipped"] == {("articles",): 0}
    assert found["publisher_source_alarm"] == {("articles",): 0}
    assert found["publisher_subscriptions"] == {("weekly", "confirmed"): 3}
    assert found["publisher_suppressions"] == {(): 1}
    assert found["publisher_slots_total"] == {("weekly", "manual", "dispatched"): 1}
    assert found["publisher_feed_polls_total"] == {("", "", "404"): 1, ("all", "atom", "200"): 2}
    assert found["publisher_ingested_articles_total"][("articles", "new")] == 3
    assert found["publisher_transport_failures"] == {("smtp",): 0}
    assert found["publisher_worker_alive"] == {(): 1}
    assert found["publisher_ready"] == {(): 1}
    assert "publisher_problem" not in found
    succeeded = found["publisher_source_last_success_timestamp_seconds"][("articles",)]
    assert before <= succeeded <= time.time()
    assert found["publisher_slot_next_timestamp_seconds"][("weekly", "weekly")] > time.time()
    assert found["process_resident_memory_bytes"][()] > 0


async def test_deliveries_in_doubt_are_in_the_numbers_until_somebody_decides(tmp_path: Path) -> None:
    """P1: uncertain and shown to the operator; the counter of attempts forgets them with the process."""
    async with smtp_server() as server, mailing(tmp_path, server) as app, running(app) as (_, listening):
        await app.dispatching.dispatch("weekly")
        await until(lambda: app.sending.counted.total() == 3)
        rows = await app.database.aread(deliveries.listing)
        doubt = sa.update(tables.deliveries).values(state=DeliveryState.UNCERTAIN)
        await app.database.awrite(lambda conn: conn.execute(doubt))
        await app.measuring.count()
        assert (await scraped(listening.admin))["publisher_uncertain_deliveries"] == {(): 3}
        await app.sending.mark_sent([rows[0].id])
        await app.measuring.count()
        assert (await scraped(listening.admin))["publisher_uncertain_deliveries"] == {(): 2}


async def test_both_formats_are_valid_and_hold_what_the_reference_names(tmp_path: Path) -> None:
    """The strict parser of OpenMetrics reads them; each metric has the type, labels and help of the reference."""
    async with await App.open(load_publication(tmp_path)) as app:
        await app.import_subscribers(READERS)
        await app.publishing.collect()
        async with running(app) as (_, listening), httpx2.AsyncClient() as client:
            await app.dispatching.dispatch("weekly")
            await app.reloading.reload()
            await app.measuring.count()
            (tmp_path / "articles" / "broken.md").write_text("---\ntitle: [\n---\n")
            asked = {"Accept": "application/openmetrics-text;version=1.0.0"}
            answer = await client.get(f"{listening.admin}/metrics", headers=asked)
            assert answer.headers["content-type"].startswith("application/openmetrics-text")
            plain = await client.get(f"{listening.admin}/metrics")
    named = {metric.name: metric for metric in reference()}
    assert len(named) == len(reference())
    families = list(read_open_metrics(answer.text))  # type: ignore[no-untyped-call]  # the library types its plain one
    assert len(families) == len(list(read_text(plain.text)))
    for family in families:
        metric = named[f"{family.name}_total" if family.type == "counter" else family.name]
        assert family.type == metric.kind
        assert family.documentation == metric.help
        for sample in family.samples:
            assert set(sample.labels) - {"le"} == set(metric.labels), sample


async def test_metrics_are_for_the_admin_listener_and_name_nobody(tmp_path: Path) -> None:
    """L13: not on the public listener; no address, no token, no secret in what monitoring reads."""
    script = Script(greeting=["554 5.7.1 reader0@reader.example may not come in"] * 9)
    async with smtp_server(script) as server, mailing(tmp_path, server) as app:
        await app.dispatching.dispatch("weekly")
        async with running(app) as (service, listening), httpx2.AsyncClient() as client:
            await until(lambda: "sending" in service.problems)
            answers = [await client.get(f"{listening.admin}{path}") for path in ("/metrics", "/livez", "/readyz")]
            public = [await client.get(f"{listening.public}{path}") for path in ("/metrics", "/readyz")]
        secret = (app.config.data_dir / "secret.key").read_text().splitlines()[-1]
    assert [answer.status_code for answer in answers] == [200, 200, 503]
    assert [answer.status_code for answer in public] == [404, 503]
    assert public[1].json() == {"ready": False, "problems": ["sending"]}
    assert 'publisher_problem{part="sending"} 1.0' in answers[0].text
    for answer in (*answers[:2], *public):
        for hidden in ("reader.example", "@", secret):
            assert hidden not in answer.text, (answer.url, hidden)


async def test_a_rejected_reload_is_in_the_numbers(tmp_path: Path) -> None:
    """D1, DESIGN §6: the old configuration stays and the metric says so, until a reload is taken."""
    async with await App.open(load_publication(tmp_path)) as app, running(app) as (_, listening):
        at_start = (await scraped(listening.admin))["publisher_config_last_reload_success_timestamp_seconds"][()]
        edit(app, "timezone =", "timzone =")
        with pytest.raises(ConfigurationError):
            await app.reloading.reload()
        rejected = await scraped(listening.admin)
        edit(app, "timzone =", "timezone =")
        await app.reloading.reload()
        taken = await scraped(listening.admin)
    assert rejected["publisher_config_last_reload_success"] == {(): 0}
    assert rejected["publisher_config_last_reload_success_timestamp_seconds"] == {(): at_start}
    assert rejected["publisher_problem"] == {("configuration",): 1}
    assert rejected["publisher_config_reloads_total"][("failed",)] >= 1
    assert taken["publisher_config_last_reload_success"] == {(): 1}
    assert taken["publisher_config_last_reload_success_timestamp_seconds"][()] > at_start


async def test_a_scrape_asks_no_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many deliveries there are, a scrape costs the same: the numbers are in memory."""
    async with await App.open(load_publication(tmp_path)) as app:
        service = Service(app)
        await app.publishing.collect()
        await app.measuring.count()

        def refused(*_: object) -> None:
            raise AssertionError("a scrape asked the database")

        for name in ("read", "write", "aread", "awrite"):
            monkeypatch.setattr(Database, name, refused)
        text, _ = Exporter(service.parts.metrics).text("")
        monkeypatch.undo()
    assert b'publisher_articles{state="published"} 3.0' in text


def test_counting_reads_indexes_and_no_rows(sqlite_database: Database) -> None:
    """A million deliveries, subscriptions and articles are counted without reading them."""

    def plan(conn: Connection) -> list[str]:
        said: list[str] = []

        @sa.event.listens_for(conn, "before_cursor_execute")
        def explain(connection: sa.Connection, cursor: object, statement: str, parameters: Any, *_: object) -> None:
            if not statement.startswith("EXPLAIN") and any(
                name in statement for name in ("FROM deliveries", "FROM subscriptions", "FROM articles")
            ):
                rows = connection.connection.cursor().execute(f"EXPLAIN QUERY PLAN {statement}", parameters)
                said.extend(row[3] for row in rows.fetchall() if row[3].startswith(("SCAN", "SEARCH")))

        counted.everything(conn, [("weekly", "weekly")])
        return said

    steps = sqlite_database.read(plan)
    assert len(steps) == 4
    # Those in doubt are read, which are few.
    others = [step for step in steps if "COVERING INDEX" not in step]
    assert others == ["SCAN deliveries USING INDEX ix_deliveries_uncertain"]


def test_counts_are_those_of_the_rows(database: Database) -> None:
    """On both databases an empty publication has nothing of everything."""
    found = database.read(partial(counted.everything, frequencies=[("weekly", "weekly")]))
    assert found.articles == dict.fromkeys(ArticleState, 0)
    assert found.deliveries == {"queued": 0, "deferred": 0, "sending": 0}
    assert (found.sources, found.subscriptions, found.issues, found.slots) == ({}, {}, {}, {})


@given(st.lists(st.floats(min_value=0, max_value=20)))
def test_each_lateness_is_counted_once(late: list[float]) -> None:
    """K14: the buckets of the histogram add up, and each holds what is not later than its bound."""
    lag = Lag()
    for seconds in late:
        lag.note(seconds)
    text, _ = Exporter(lambda: {"publisher_event_loop_lag_seconds": [((), lag.seen)]}).text("")
    samples = {
        s.labels.get("le", s.name): s.value for f in read_text(text.decode()) for s in f.samples if "lag" in s.name
    }
    for bound in LAG_BOUNDS:
        assert samples[str(bound)] == sum(seconds <= bound for seconds in late)
    assert samples["+Inf"] == len(late) == samples["publisher_event_loop_lag_seconds_count"]
    assert samples["publisher_event_loop_lag_seconds_sum"] == pytest.approx(sum(late))


async def test_a_blocked_event_loop_is_counted_and_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """K14: whoever holds up everybody is seen in the numbers, and beyond a second in the log."""
    monkeypatch.setattr(measuring, "BLOCKED", 0.3)
    with structlog.testing.capture_logs() as logs:
        async with await App.open(load_publication(tmp_path)) as app, running(app) as (_, listening):
            await until(lambda: sum(app.measuring.lag.seen.numbers) > 0)
            time.sleep(0.5)  # noqa: ASYNC251 - this is what must not happen
            await until(lambda: any(line["event"] == "the event loop was blocked" for line in logs))
            found = await scraped(listening.admin)
    buckets = found["publisher_event_loop_lag_seconds_bucket"]
    assert buckets[("+Inf",)] - buckets[("0.25",)] >= 1
    assert found["publisher_event_loop_lag_seconds_count"][()] == buckets[("+Inf",)]


def test_the_docs_name_metrics_that_exist() -> None:
    """An alert on a metric that does not exist never fires."""
    text = (Path(__file__).parents[1] / "docs" / "operating.md").read_text(encoding="utf-8")
    named = {name.removesuffix("_bucket") for name in re.findall(r"\bpublisher_[a-z_]+", text)}
    assert len(named) > 8
    assert named - {metric.name for metric in reference()} == set()


def test_names_are_as_prometheus_wants_them() -> None:
    """Counters end in _total, nothing else does; units are base units; help is a sentence."""
    for metric in OURS:
        assert metric.name.startswith("publisher_")
        assert metric.name.endswith("_total") == (metric.kind == "counter"), metric.name
        assert not metric.name.endswith(("_ms", "_milliseconds", "_kb", "_minutes")), metric.name
        assert metric.help.endswith("."), metric.name
