"""What both listeners answer alike: the frame of their routes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from urllib.parse import quote

import structlog
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Match, Route
from starlette.types import Scope

from publisher.errors import BusyError, StoreError

log: structlog.stdlib.BoundLogger = structlog.get_logger()

RETRY_AFTER = 30
"""Seconds after which to come again when the database cannot be used; nothing of a request is done then (F15)."""


def application_of(
    routes: Sequence[BaseRoute], missing: Callable[[Request, Exception], Awaitable[Response]]
) -> Starlette:
    """Build an app of routes, with one page for what is not there."""

    async def refused(request: Request, error: Exception) -> Response:
        answer = await missing(request, error)
        answer.headers["Allow"] = ", ".join(sorted(_allowed(routes, request.scope)))
        return answer

    async def later(request: Request, error: Exception) -> Response:
        log.warning("answered that the database cannot be used", error=str(error))
        return await missing(request, HTTPException(503, headers={"Retry-After": str(RETRY_AFTER)}))

    pages = {400: missing, 404: missing, 405: refused, 413: missing, StoreError: later, BusyError: later}
    app = Starlette(routes=routes, exception_handlers=pages)
    # Its redirect to the address with or without a last slash would name the host that the visitor named (L7).
    app.router.redirect_slashes = False
    return app


def _allowed(routes: Sequence[BaseRoute], scope: Scope) -> set[str]:
    """Return the methods of every route with the address asked for: Starlette names those of the first alone."""
    found: set[str] = set()
    for route in routes:
        if isinstance(route, Route) and route.matches(scope)[0] is not Match.NONE:
            found |= route.methods or set()
    return found


async def slashed(request: Request) -> Response:
    """Lead to the same address with a slash at its end."""
    return RedirectResponse(f"{path_of(request)}/", 308, {"Cache-Control": "public, max-age=3600"})


def path_of(request: Request) -> str:
    """Return the path of a request as a link may hold it: on this host, whatever stands in it (L7)."""
    return quote("/" + request.url.path.lstrip("/\\"))
