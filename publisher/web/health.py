"""Whether the service lives and does its work, and its numbers: for supervisors and monitoring, without an address."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from publisher.errors import BusyError, StoreError
from publisher.store import meta
from publisher.web import Parts

if TYPE_CHECKING:
    from publisher.web.exposition import Exporter

PATIENCE = 2.0
"""Seconds that the database may take to answer: balancers usually wait five."""
BEARABLE = ("source ", "configuration", "disk")
"""Problems with which the service is ready: a source that fails hurts only itself (P9), of an edit that is rejected the
configuration before stays, and a disk with little room has room."""

_NEVER_STORED = {"Cache-Control": "no-store"}


async def live(request: Request) -> Response:
    """Say that the process answers."""
    return PlainTextResponse("ok\n", headers=_NEVER_STORED)


async def problems(parts: Parts) -> dict[str, Any]:
    """Return what does not work, by part, with the reason; the database is asked now."""
    found = dict(parts.readiness())
    try:
        async with asyncio.timeout(PATIENCE):
            await parts.database.aread(lambda conn: meta.get(conn, "instance"))
    except TimeoutError:
        found["database"] = f"gave no answer within {PATIENCE:.0f} seconds"
    except (StoreError, BusyError) as error:
        found["database"] = str(error)
    return found


def is_ready(found: Mapping[str, Any]) -> bool:
    """Whether the service does its work all the same."""
    return all(name.startswith(BEARABLE) for name in found)


async def readiness(parts: Parts, *, reasons: bool) -> Response:
    """Answer what does not work: names of parts, and the reasons too for eyes that may see paths and servers' words."""
    found = await problems(parts)
    ready = is_ready(found)
    content = {"ready": ready, "problems": found if reasons else sorted(found)}
    return JSONResponse(content, 200 if ready else 503, _NEVER_STORED)


class Metrics:
    """The numbers of a running service; a scrape asks the memory, and no database."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._exporter: Exporter | None = None

    async def answer(self, request: Request) -> Response:
        """Answer in the format that is asked for."""
        if self._exporter is None:
            from publisher.web.exposition import Exporter  # here: who is never scraped loads no client of Prometheus

            self._exporter = Exporter(self._parts.metrics)
        text, content_type = self._exporter.text(request.headers.get("accept", ""))
        return Response(text, headers=_NEVER_STORED | {"Content-Type": content_type})
