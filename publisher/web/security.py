"""Headers that every answer carries, and the refusal of posts from other sites."""

from __future__ import annotations

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

POLICY = (
    "default-src 'none'; img-src https: http: data:; style-src 'self'; form-action 'self'; "
    "frame-src 'self'; base-uri 'none'; frame-ancestors 'none'"
)
"""Content-Security-Policy of our own pages: no script at all, no style but our own sheet."""

MAIL_POLICY = (
    "default-src 'none'; img-src https: http: data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'self'"
)
"""Of a page that shows a mail as it was sent: mail carries its style inline, and may still run nothing."""

LOOPBACK = frozenset({"localhost", "127.0.0.1", "[::1]"})
"""Names by which this machine knows itself."""

_READING = {"GET", "HEAD", "OPTIONS"}
_FOREIGN = "publisher.foreign"


class Guard:
    """ASGI middleware: adds the security headers, and answers 403 to a post that another site started.

    `open_paths` are prefixes where posts from anywhere are right, such as one-click unsubscribing by a mail provider
    (RFC 8058 §3.2: no cookie, no referrer, no context to check); only the address right below one is open, not what
    lies deeper. `landings` are paths that take posts of other sites too, and ask `is_foreign` what they may do then.
    Below `token_paths` every wrong token is the pages' to answer, whatever stands in it. `hosts`, when given, are the
    only names it answers to; then a post must also say where it comes from.
    """

    def __init__(
        self,
        app: ASGIApp,
        open_paths: tuple[str, ...] = (),
        *,
        landings: frozenset[str] = frozenset(),
        token_paths: tuple[str, ...] = (),
        hosts: frozenset[str] | None = None,
    ) -> None:
        self.app = app
        self.hosts = hosts
        self.open_paths = open_paths
        self.landings = landings
        self.token_paths = token_paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.setdefault("Content-Security-Policy", POLICY)
                headers.setdefault("Referrer-Policy", "no-referrer")
                headers.setdefault("X-Content-Type-Options", "nosniff")
                headers.setdefault("Cross-Origin-Opener-Policy", "same-origin")
            await send(message)

        # PostgreSQL refuses to be asked for a NUL; a token that holds one is like any wrong token (F12).
        if ("\0" in scope["path"] and not scope["path"].startswith(self.token_paths)) or not self._is_known(scope):
            await PlainTextResponse("There is no such address here.\n", 400)(scope, receive, guarded)
            return
        if scope["method"] not in _READING and self._is_foreign(scope):
            if scope["path"] in self.landings:
                await self.app({**scope, _FOREIGN: True}, receive, guarded)
                return
            answer = PlainTextResponse("This form was sent from another site, so nothing was changed.\n", 403)
            await answer(scope, receive, guarded)
            return
        await self.app(scope, receive, guarded)

    def _is_open(self, scope: Scope) -> bool:
        path: str = scope["path"]
        return any(path.startswith(prefix) and "/" not in path[len(prefix) :] for prefix in self.open_paths)

    def _is_known(self, scope: Scope) -> bool:
        if self.hosts is None:
            return True
        host = Headers(scope=scope).get("host", "")
        name, colon, port = host.rpartition(":")
        return (name if colon and port.isdigit() else host).lower() in self.hosts

    def _is_foreign(self, scope: Scope) -> bool:
        if self._is_open(scope):
            return False
        headers = Headers(scope=scope)
        # Every browser since 2023 sends Sec-Fetch-Site; older ones send Origin with a post.
        site = headers.get("sec-fetch-site")
        if site is not None:
            return site not in ("same-origin", "none")
        origin = headers.get("origin")
        if origin == "null" and self.hosts is None:
            # What an older browser says of our own forms, because our pages name no referrer (Fetch, "append a request
            # `Origin` header"). What a form of ours does needs its token, which another site cannot know.
            return False
        return origin is not None and origin.partition("://")[2] != headers.get("host", "")


def is_foreign(scope: Scope) -> bool:
    """Whether another site started this post, to a path that takes such."""
    return bool(scope.get(_FOREIGN))
