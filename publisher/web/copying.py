"""The one script of public pages, which copies the address of a feed: everything works without it."""

from __future__ import annotations

import hashlib

from starlette.requests import Request
from starlette.responses import Response

from publisher.files import packaged
from publisher.web.security import POLICY

PATH = "/copy.js"
_SCRIPT = (packaged("templates") / "web" / "copy.js").read_bytes()

URL = f"{PATH}?v={hashlib.sha256(_SCRIPT).hexdigest()[:12]}"
"""Its address, which changes with its content."""

HEADERS = {"Content-Security-Policy": f"{POLICY}; script-src 'self'"}
"""Of a page that has it: scripts of this server's own, and none inside the page."""


async def script(request: Request) -> Response:
    """Serve it."""
    return Response(_SCRIPT, media_type="text/javascript", headers={"Cache-Control": "public, max-age=86400"})
