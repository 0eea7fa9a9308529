"""Server-sent events: a page is told that it is out of date, and fetches itself anew."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

from starlette.requests import Request
from starlette.responses import FileResponse, Response, StreamingResponse

from publisher.errors import BusyError, StoreError
from publisher.web.admin.frame import ROOM, Frame
from publisher.web.admin.lately import Lately
from publisher.web.admin.numbers import Numbers
from publisher.web.admin.ways import known_visit
from publisher.web.chrome import PRIVATE

EVERY = 1.0
"""Seconds between two looks."""
ANYHOW = 60
"""Looks after which a page is told to fetch itself though no number changed: ages and `in 5 min` do."""
MOST = 100
"""Pages that are told at a time."""
SCRIPT = ROOM / "live.js"


class Events:
    """One method a stream."""

    def __init__(self, frame: Frame, numbers: Numbers) -> None:
        self.frame = frame
        self.office = frame.office
        self.numbers = numbers

    async def overview(self, request: Request) -> Response:
        """Tell when the overview is out of date."""
        return self._stream(request, self.numbers.all)

    async def issue(self, request: Request) -> Response:
        """Tell when the page of an issue is out of date."""
        return self._stream(request, self.numbers.of(request.path_params["ref"]))

    async def script(self, request: Request) -> Response:
        """Serve the script that listens."""
        return FileResponse(SCRIPT, media_type="text/javascript", headers={"Cache-Control": "no-cache"})

    def _stream(self, request: Request, lately: Lately[Any]) -> Response:
        if len(self.office.streams) >= MOST:
            text = "Too many pages are open at once. This one works all the same: reload it by hand."
            return self.frame.notice_page(request, "Please wait", text, status=429, headers={"Retry-After": "60"})
        return StreamingResponse(self._lines(request, lately), media_type="text/event-stream", headers=PRIVATE)

    async def _lines(self, request: Request, lately: Lately[Any]) -> AsyncIterator[str]:
        visit, me = known_visit(request), object()
        self.office.streams.add(me)
        try:
            yield "retry: 5000\n\n"
            seen = self._state(lately)
            looks = 0
            while not await _set_within(self.office.stop, EVERY):
                looks += 1
                with contextlib.suppress(StoreError, BusyError):
                    # Whoever was logged out is told no more; the page that asks then says so.
                    if await self.office.gate.session(visit.secret) is None:
                        yield "data: over\n\n"
                        return
                    await lately.get(0)
                if (state := self._state(lately)) != seen or looks % ANYHOW == 0:
                    seen = state
                    yield f"data: {looks}\n\n"
                elif looks % 15 == 0:
                    yield ": still here\n\n"  # a proxy between must not take it for dead
        finally:
            self.office.streams.discard(me)

    def _state(self, lately: Lately[Any]) -> tuple[object, ...]:
        counted = self.office.counted()
        problems = tuple(sorted(map(str, self.frame.parts.readiness().items())))
        return lately.version, counted.numbers if counted else None, problems


async def _set_within(event: asyncio.Event, seconds: float) -> bool:
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(event.wait(), seconds)
    return event.is_set()
