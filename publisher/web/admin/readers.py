"""Readers: how many come and go, one reader's record, and what an operator may do for one or take away of all."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from datetime import date, datetime, timedelta
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response, StreamingResponse

from publisher.model import Subscriber, SubscriptionState
from publisher.store import people, subscribers
from publisher.store.database import Connection
from publisher.web import plots
from publisher.web.admin.download import lines_of
from publisher.web.admin.frame import Frame
from publisher.web.admin.lately import Lately
from publisher.web.admin.overview import titles_of
from publisher.web.admin.people import People, number
from publisher.web.admin.values import at_clock
from publisher.web.admin.ways import form_of, known_visit
from publisher.web.chrome import PRIVATE
from publisher.web.values import Words

DAYS = 90
FOUND = 50
SHOWN = 50
"""Deliveries and entries of the record that a reader's page shows."""
_LONGEST = 320  # characters of an address (RFC 5321)

Movements = list[tuple[datetime, str, str, int]]


class ReaderPages:
    """One method a page."""

    def __init__(self, frame: Frame, accounts: People) -> None:
        self.frame = frame
        self.database = frame.parts.database
        self.accounts = accounts
        self._moved: Lately[Movements] = Lately(self._movements, frame.parts.clock)

    async def readers(self, request: Request) -> Response:
        """Show how many readers there are, came and left."""
        return await self._readers(request)

    async def search(self, request: Request) -> Response:
        """Find readers by the beginning of their address: by post, so that none stands in an address bar."""
        asked = form_of(request).one("address")[:_LONGEST]
        if not asked:
            return await self._readers(request, asked=asked, found=[])
        key = asked.casefold()
        found = await self.database.aread(lambda conn: people.search(conn, key, limit=FOUND + 1))
        return await self._readers(request, asked=asked, found=found[:FOUND], more=len(found) > FOUND)

    async def _readers(self, request: Request, **more: Any) -> Response:  # noqa: ANN401 - values of the template
        words, visit = self.frame.words(request), known_visit(request)
        titles, now = titles_of(words, self.frame.config), self.frame.parts.clock()
        taken, counted = await self._moved.get(), self.frame.office.counted()
        given: dict[str, Any] = {
            "newsletters": _numbers(titles, counted.numbers.subscriptions if counted else None),
            "suppressed": f"{counted.numbers.suppressions:,}" if counted else "…",
            "plots": _plots(words, titles, taken.value, now) if taken else None,
            "taken": at_clock(words, taken.taken_at) if taken else "",
            "days": DAYS,
            "fresh": visit.session.is_fresh(now),
            "asked": "",
            "found": None,
            "more": False,
        }
        return self.frame.show(request, "web/admin/readers.html.j2", "Readers", **(given | more))

    async def reader(self, request: Request) -> Response:
        """Show one reader's record."""
        words, person = self.frame.words(request), await self._found(request)

        def read(conn: Connection) -> dict[str, Any]:
            return {
                "subscriptions": subscribers.subscriptions_of(conn, person.id),
                "record": subscribers.consents(conn, person.id)[-SHOWN:],
                "deliveries": people.latest_deliveries(conn, person.id, limit=SHOWN),
                "suppression": subscribers.suppression(conn, person.address_key),
            }

        found = await self.database.aread(read)
        titles = titles_of(words, self.frame.config)
        return self.frame.show(
            request,
            "web/admin/reader.html.j2",
            f"Reader {person.id}",
            reader=asdict(person) | {"created": words.date(person.created_at, "time"), "url": f"/readers/{person.id}"},
            suppression=_dated(words, found["suppression"]),
            subscriptions=[
                asdict(one)
                | {
                    "title": titles.get(one.newsletter, one.newsletter),
                    "paused": words.date(one.paused_until) if one.paused_until else "",
                }
                for one in found["subscriptions"]
            ],
            record=[asdict(one) | {"when": words.date(one.recorded_at, "time")} for one in reversed(found["record"])],
            deliveries=[
                asdict(one) | {"finished": words.date(one.finished_at, "time") if one.finished_at else ""}
                for one in found["deliveries"]
            ],
        )

    async def suppress(self, request: Request) -> Response:
        """Never mail this reader again, until somebody takes it back."""
        person = await self._found(request)
        return await self.frame.act(request, "suppress", {"address": person.address}, f"/readers/{person.id}")

    async def unsuppress(self, request: Request) -> Response:
        """Let this reader be mailed again."""
        person = await self._found(request)
        return await self.frame.act(request, "unsuppress", {"address": person.address}, f"/readers/{person.id}")

    async def export(self, request: Request) -> Response:
        """Hand out all readers as a table: after a login of the last minutes, and on record (L14)."""
        if (stale := self.accounts.stale(request)) is not None:
            return stale
        visit = known_visit(request)
        done = await self.frame.office.act(visit.name, "export_subscribers", {}, form=visit.once)
        if done.get("already"):
            return RedirectResponse("/readers/", 303, PRIVATE)
        name = f"readers-{self.frame.parts.clock():%Y-%m-%d}.csv"
        headers = PRIVATE | {"Content-Disposition": f'attachment; filename="{name}"'}
        return StreamingResponse(lines_of(self.database), media_type="text/csv; charset=utf-8", headers=headers)

    async def _movements(self) -> Movements:
        since = self.frame.parts.clock() - timedelta(days=DAYS)
        return await self.database.aread(lambda conn: people.movements(conn, since))

    async def _found(self, request: Request) -> Subscriber:
        id_ = number(request.path_params["id"])
        person = None
        if id_ is not None:
            person = await self.database.aread(lambda conn: subscribers.get(conn, id=id_))
        if person is None:
            raise HTTPException(404)
        return person


def _numbers(titles: Mapping[str, str], counted: Mapping[tuple[str, str], int] | None) -> list[dict[str, Any]]:
    states = [str(state) for state in SubscriptionState]
    return [
        {"title": title} | {state: "…" if counted is None else f"{counted.get((slug, state), 0):,}" for state in states}
        for slug, title in titles.items()
    ]


def _plots(words: Words, titles: Mapping[str, str], moved: Movements, now: datetime) -> list[dict[str, Any]]:
    """Return a plot for all newsletters together and, where there are several, one for each that moved."""
    today = now.astimezone(words.zone).date()
    found = [{"title": "All newsletters", "plot": _plot(words, moved, today)}]
    slugs = sorted({newsletter for _, newsletter, _, _ in moved})
    if len(slugs) > 1:
        for slug in slugs:
            mine = [one for one in moved if one[1] == slug]
            found.append({"title": titles.get(slug, slug), "plot": _plot(words, mine, today)})
    return found


def _plot(words: Words, moved: Iterable[tuple[datetime, str, str, int]], today: date) -> plots.Plot:
    days = [today - timedelta(days=back) for back in reversed(range(DAYS))]
    joined, left = dict.fromkeys(days, 0), dict.fromkeys(days, 0)
    for at, _, event, count in moved:
        day = at.astimezone(words.zone).date()
        if day in joined:
            (joined if event == "confirmed" else left)[day] += count
    points = [(f"{day.day} {day:%b}", joined[day]) for day in days]
    total = f"{sum(joined.values()):,} joined and {sum(left.values()):,} left in {DAYS} days"
    return plots.bars(points, below=[left[day] for day in days], names=("joined", "left"), summary=total)


def _dated(words: Words, suppression: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if suppression is None:
        return None
    return dict(suppression) | {"since": words.date(suppression["created_at"], "time")}
