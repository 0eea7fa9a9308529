"""What the service tells Prometheus: each metric with its labels and its meaning."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

Kind = Literal["counter", "gauge", "histogram"]


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric: what stands in the reference, and above its numbers."""

    name: str
    kind: Kind
    labels: tuple[str, ...]
    help: str


@dataclass(frozen=True, slots=True)
class Distribution:
    """How often values up to each bound were seen, and their sum; the last number is of those beyond all bounds."""

    numbers: tuple[int, ...]
    sum: float


Values = Mapping[str, Iterable[tuple[Sequence[str], float | Distribution]]]
"""By metric: (values of its labels, number)."""

LAG_BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
"""Seconds: what a request does not notice, up to what stops everything (K14)."""

OURS = (
    Metric("publisher_build_info", "gauge", ("version", "database"), "Always 1; the labels say what runs."),
    Metric("publisher_ready", "gauge", (), "1 when /readyz says ready, 0 when it does not."),
    Metric("publisher_problem", "gauge", ("part",), "1 for each part that /readyz names, with or without being ready."),
    Metric("publisher_paused", "gauge", (), "1 when nothing is sent until `publisher resume`, else 0."),
    Metric("publisher_articles", "gauge", ("state",), "Articles by state."),
    Metric("publisher_source_articles", "gauge", ("source",), "Articles of a source, withdrawn ones too."),
    Metric("publisher_source_skipped", "gauge", ("source",), "Files or items that the last collection could not use."),
    Metric("publisher_source_alarm", "gauge", ("source",), "1 when the last collection failed or was not trusted."),
    Metric(
        "publisher_source_last_success_timestamp_seconds",
        "gauge",
        ("source",),
        "When a source was last collected well; absent before the first time.",
    ),
    Metric("publisher_collections_total", "counter", ("source", "outcome"), "Collections: ok or failed."),
    Metric(
        "publisher_ingested_articles_total",
        "counter",
        ("source", "change"),
        "Articles that collections found new, changed or withdrawn.",
    ),
    Metric("publisher_feed_builds_total", "counter", ("outcome",), "Rounds of building feeds: ok or failed."),
    Metric("publisher_feed_polls_total", "counter", ("feed", "format", "status"), "Requests for feeds by HTTP status."),
    Metric("publisher_hub_topics", "gauge", ("state",), "Feeds that hubs have yet to be told of, or never were."),
    Metric("publisher_subscriptions", "gauge", ("newsletter", "state"), "Subscriptions by state."),
    Metric("publisher_suppressions", "gauge", (), "Addresses that are never mailed."),
    Metric("publisher_slots_total", "counter", ("newsletter", "frequency", "outcome"), "Slots decided."),
    Metric(
        "publisher_slot_next_timestamp_seconds",
        "gauge",
        ("newsletter", "frequency"),
        "When the next slot is due; absent when there is none.",
    ),
    Metric(
        "publisher_slot_last_timestamp_seconds",
        "gauge",
        ("newsletter", "frequency"),
        "The latest slot that was decided, whatever the outcome; absent before the first.",
    ),
    Metric("publisher_issues", "gauge", ("state",), "Issues by state."),
    Metric(
        "publisher_deliveries_total",
        "counter",
        ("outcome", "transport"),
        "Attempts to deliver by what became of the delivery: sent, deferred, failed, suppressed, uncertain, expired, "
        "or fenced (another worker had taken it over).",
    ),
    Metric("publisher_outbox_deliveries", "gauge", ("state",), "Open deliveries: queued, deferred or sending."),
    Metric("publisher_uncertain_deliveries", "gauge", (), "Deliveries perhaps sent, which wait for an operator."),
    Metric("publisher_transport_resting", "gauge", ("transport",), "1 when a transport waits for an operator."),
    Metric(
        "publisher_transport_failures",
        "gauge",
        ("transport",),
        "Runs in a row that a transport stopped; 0 when all is well.",
    ),
    Metric("publisher_notices_total", "counter", ("outcome",), "Confirmations and other notices, as deliveries."),
    Metric("publisher_worker_alive", "gauge", (), "1 while this worker may claim deliveries, else 0."),
    Metric("publisher_config_reloads_total", "counter", ("outcome",), "Reloads of the configuration: ok or failed."),
    Metric("publisher_config_last_reload_success", "gauge", (), "1 when the last reload was taken, else 0."),
    Metric(
        "publisher_config_last_reload_success_timestamp_seconds",
        "gauge",
        (),
        "When a configuration was last taken, at the start or by a reload.",
    ),
    Metric("publisher_event_loop_lag_seconds", "histogram", (), "How late the event loop came to what was due."),
    Metric("publisher_database_bytes", "gauge", (), "Size of the SQLite file and its log; absent on PostgreSQL."),
    Metric("publisher_disk_free_bytes", "gauge", (), "Room left on the disk of the data directory."),
    Metric(
        "publisher_counted_timestamp_seconds",
        "gauge",
        (),
        "When the numbers that the database knows (articles, subscriptions, open deliveries) were last counted.",
    ),
)
"""Every metric of ours, in the order of the reference."""

_PROCESS = (
    Metric("process_virtual_memory_bytes", "gauge", (), "Virtual memory size in bytes."),
    Metric("process_resident_memory_bytes", "gauge", (), "Resident memory size in bytes."),
    Metric("process_start_time_seconds", "gauge", (), "Start time of the process since unix epoch in seconds."),
    Metric("process_cpu_seconds_total", "counter", (), "Total user and system CPU time spent in seconds."),
    Metric("process_open_fds", "gauge", (), "Number of open file descriptors."),
    Metric("process_max_fds", "gauge", (), "Maximum number of open file descriptors."),
)


def reference() -> tuple[Metric, ...]:
    """Return every metric that /metrics shows, ours and those of the process: what a reference page lists."""
    return (*OURS, *_PROCESS)


class Lag:
    """Counts how late the event loop came; seconds."""

    def __init__(self) -> None:
        self._numbers = [0] * (len(LAG_BOUNDS) + 1)
        self._sum = 0.0

    def note(self, seconds: float) -> None:
        """Count one wake-up that came so much later than it was due."""
        late = max(0.0, seconds)
        self._numbers[bisect_left(LAG_BOUNDS, late)] += 1
        self._sum += late

    @property
    def seen(self) -> Distribution:
        """What was counted until now."""
        return Distribution(tuple(self._numbers), self._sum)
