"""The overview: what comes next, what went out, how sources, feeds and the service itself are."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import datetime
from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from publisher import reports
from publisher.config import Config, Newsletter, check
from publisher.errors import Problem
from publisher.model import DeliveryState, SubscriptionState
from publisher.store import feed_files, feed_pollers, issues, meta
from publisher.store.counted import Counted, CountedSource
from publisher.store.database import Connection
from publisher.web.admin.frame import Frame
from publisher.web.admin.lately import Lately
from publisher.web.admin.numbers import Numbers, OfAll
from publisher.web.admin.office import Latest
from publisher.web.admin.values import about_issue, about_tally, ahead, at_clock, sending_plot
from publisher.web.values import Words

SLOTS = 8
FEEDS = 12
ISSUES = 100
"""On the page of all issues."""


class Overview:
    """One method a page."""

    def __init__(self, frame: Frame, numbers: Numbers) -> None:
        self.frame = frame
        self.parts = frame.parts
        self.numbers = numbers
        # It looks at files, and a disk that hangs is not to hold up the page that would say so.
        self.advice = Lately(partial(asyncio.to_thread, check, frame.config), frame.parts.clock)

    async def overview(self, request: Request) -> Response:
        """Show everything at a glance. Nothing here is counted while somebody waits."""
        words, now = self.frame.words(request), self.parts.clock()
        taken, advised = await self.numbers.all.get(), await self.advice.get()
        counted = self.frame.office.counted()
        read = await self.parts.database.aread(lambda conn: _read(conn, now))
        titles = titles_of(words, self.frame.config)
        uncertain = taken.value.uncertain if taken else {}
        return self.frame.show(
            request,
            "web/admin/overview.html.j2",
            "Overview",
            live="/events",
            problems=self._problems(read),
            advice=[_advice(self.frame.config, problem) for problem in (advised.value if advised else ())],
            figures=_figures(counted, taken.value if taken else None),
            slots=_slots(words, self.frame.config, counted, now),
            latest=_latest(words, taken.value, titles, now) if taken else None,
            none_yet=taken is not None and not taken.value.latest,
            uncertain=[{"ref": ref, "number": number, "url": f"/issues/{ref}"} for ref, number in uncertain.items()],
            sources=_sources(words, self.frame.config, counted, now),
            feeds=_feeds(words, read),
            taken=at_clock(words, taken.taken_at) if taken else "",
            counted=at_clock(words, counted.at) if counted else "",
        )

    async def issues(self, request: Request) -> Response:
        """List issues, newest first."""
        words = self.frame.words(request)
        found = await self.parts.database.aread(lambda conn: issues.uncounted(conn, limit=ISSUES))
        titles = titles_of(words, self.frame.config)
        listed = [about_issue(words, issue, titles) for issue in found]
        return self.frame.show(request, "web/admin/issues.html.j2", "Issues", issues=listed, most=ISSUES)

    def _problems(self, read: Mapping[str, Any]) -> list[dict[str, str]]:
        found = {what: str(reason) for what, reason in self.parts.readiness().items()}
        if read["configuration"]:
            found.setdefault("configuration", read["configuration"])
        return [{"what": what, "reason": reason} for what, reason in found.items()]


def _read(conn: Connection, now: datetime) -> dict[str, Any]:
    return {
        "configuration": meta.get(conn, reports.CONFIGURATION) or "",
        "files": feed_files.listing(conn),
        "readers": feed_pollers.readers(conn, now - feed_pollers.KEPT),
    }


def titles_of(words: Words, config: Config) -> dict[str, str]:
    """Return what each newsletter is called, by slug."""
    return {newsletter.slug: words.pick(newsletter.title) for newsletter in config.newsletters}


def place_of(config: Config, newsletter: Newsletter, frequency: str) -> str:
    """Return file and line of a schedule, as people write them; "" when no file says it."""
    index = config.newsletters.index(newsletter)
    return _short(config, *config.places.place(("newsletters", index, "frequencies", frequency)))


def _short(config: Config, file: str, line: int | None) -> str:
    home = f"{config.files[0].parent}/" if config.files else ""
    name = file.removeprefix(home)
    return f"{name}:{line}" if line else name


def _advice(config: Config, problem: Problem) -> dict[str, str]:
    return {
        "place": _short(config, problem.file, problem.line),
        "key": problem.key,
        "message": problem.message,
        "hint": problem.hint,
    }


def _readers(counted: Latest | None, slug: str) -> int | None:
    return counted.numbers.subscriptions.get((slug, str(SubscriptionState.CONFIRMED)), 0) if counted else None


def _figures(counted: Latest | None, found: OfAll | None) -> list[dict[str, str]]:
    numbers: Counted | None = counted.numbers if counted else None

    def told(number: int | None) -> str:
        return "…" if number is None else f"{number:,}"

    confirmed = pending = visible = waits = opened = None
    if numbers is not None:
        states = numbers.subscriptions.items()
        confirmed = sum(n for (_, state), n in states if state == SubscriptionState.CONFIRMED)
        pending = sum(n for (_, state), n in states if state == SubscriptionState.PENDING)
        visible = numbers.articles.get("published", 0) + numbers.articles.get("baseline", 0)
        waits = numbers.articles.get("quarantined", 0)
        opened = sum(numbers.deliveries.values())
    uncertain = sum(found.uncertain.values()) if found else None
    return [
        {"name": "Subscriptions", "number": told(confirmed), "more": f"{told(pending)} not confirmed yet"},
        {"name": "Outbox", "number": told(opened), "more": "deliveries open"},
        {"name": "Uncertain", "number": told(uncertain), "more": "deliveries to decide"},
        {"name": "Articles", "number": told(visible), "more": f"{told(waits)} in quarantine"},
    ]


def _slots(words: Words, config: Config, counted: Latest | None, now: datetime) -> list[dict[str, Any]]:
    found = []
    for newsletter in config.newsletters:
        for name, frequency in newsletter.frequencies.items():
            schedule = frequency.schedule(config.site.timezone)
            slot = schedule.next(now)
            found.append(
                {
                    "at": slot.at if slot else None,
                    "newsletter": words.pick(newsletter.title),
                    "frequency": name,
                    "local": slot.local.replace("T", " ") if slot else "with news" if schedule.delay else "never",
                    "ahead": ahead(slot.at, now) if slot else "",
                    "schedule": schedule.describe(),
                    "readers": _readers(counted, newsletter.slug),
                    "place": place_of(config, newsletter, name),
                    "preview": f"/preview/{newsletter.slug}",
                    "approval": newsletter.approval,
                }
            )
    found.sort(key=lambda one: (one["at"] is None, one["at"] or now))
    return found[:SLOTS]


def _latest(words: Words, found: OfAll, titles: Mapping[str, str], now: datetime) -> list[dict[str, Any]]:
    listed = [about_issue(words, issue, titles) | {"tally": about_tally(tally, now)} for issue, tally in found.latest]
    for one, (_, tally) in zip(listed, found.latest, strict=True):
        if tally.states.get(DeliveryState.SENT):
            one["plot"] = sending_plot(words, tally)  # of the latest that has anything to show
            break
    return listed


def _sources(words: Words, config: Config, counted: Latest | None, now: datetime) -> list[dict[str, Any]]:
    known: Mapping[str, CountedSource] = counted.numbers.sources if counted else {}
    listed = []
    for source in config.sources:
        one = known.get(source.name)
        health, look = _health(one)
        listed.append(
            {
                "name": source.name,
                "kind": source.kind,
                "articles": f"{one.articles:,}" if one else "–",
                "skipped": one.skipped if one else 0,
                "last": ahead(one.last_success_at, now) if one and one.last_success_at else "never",
                "when": words.date(one.last_success_at, "time") if one and one.last_success_at else "",
                "health": health,
                "look": look,
            }
        )
    return listed


def _health(source: CountedSource | None) -> tuple[str, str]:
    if source is None or source.last_success_at is None:
        return "not collected yet", "calm"
    if source.alarm:
        return "alarm: articles are missing", "bad"
    return (f"{source.skipped} skipped", "look") if source.skipped else ("well", "good")


def _feeds(words: Words, read: Mapping[str, Any]) -> dict[str, Any]:
    readers: Mapping[str, int] = read["readers"]
    changed: dict[str, datetime] = {}
    for file in read["files"]:
        if not file.feed:  # the list of feeds itself
            continue
        changed[file.feed] = max(file.modified_at, changed.get(file.feed, file.modified_at))
    order = sorted(changed, key=lambda feed: (-readers.get(feed, 0), feed != "all", feed))
    return {
        "number": len(changed),
        "readers": sum(readers.values()),
        "listed": [
            {"name": feed, "readers": readers.get(feed, 0), "changed": words.date(changed[feed], "time")}
            for feed in order[:FEEDS]
        ],
    }
