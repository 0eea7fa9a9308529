"""Feeds over HTTP: who has the newest bytes is told so in a few, who has not gets them packed."""

from __future__ import annotations

import os
import re
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import anyio
import anyio.to_thread
from starlette.types import ASGIApp, Receive, Scope, Send

from publisher.feeds import write
from publisher.feeds.routes import NOWHERE, Routes
from publisher.feeds.spec import FORMATS, MEDIA_TYPES, REFRESH
from publisher.web.conditions import coding_for, http_date, same_bytes
from publisher.web.polls import FREE_ANSWER, Clients, Limit, Polls

Headers = list[tuple[bytes, bytes]]
Response = tuple[int, Headers, bytes]
"""Status, headers, body; the body is what GET gets, also in the answer to HEAD the length says so."""

# A feed may be shown for an hour while a fresh one is fetched, and for a day while we are down (RFC 5861): a reader
# that gets an error backs off for longer than that.
CACHE_CONTROL = b"public, max-age=%d, stale-while-revalidate=3600, stale-if-error=86400" % REFRESH.total_seconds()
# A closed month changes only when one of its articles is edited or withdrawn, and after a week everybody should know.
ARCHIVE_CACHE_CONTROL = b"public, max-age=604800, stale-while-revalidate=86400, stale-if-error=604800"

_ANYWHERE: tuple[bytes, bytes] = (b"access-control-allow-origin", b"*")
_VARY: tuple[bytes, bytes] = (b"vary", b"Accept-Encoding")
_NOSNIFF: tuple[bytes, bytes] = (b"x-content-type-options", b"nosniff")

# JSON is UTF-8 by definition; for XML the parameter says the same as the declaration inside (FR-H9).
CONTENT_TYPES: dict[str, str] = {
    form: MEDIA_TYPES[form] if form == "json" else f"{MEDIA_TYPES[form]}; charset=utf-8" for form in FORMATS
} | {"opml": "text/x-opml; charset=utf-8"}

_READING = frozenset({"GET", "HEAD"})
_PREFIX = "/feeds/"
_ENDINGS = tuple(f".{form}" for form in CONTENT_TYPES)
# A slug, the month of an archive, a format: nothing to climb with, nothing a file system reads in its own way.
_NAME = re.compile(
    r"(?P<slug>[a-z0-9]+(?:-[a-z0-9]+)*)(?P<rest>(?P<month>/[0-9]{4}-[0-9]{2})?\.(?P<form>[a-z]+))\Z", re.ASCII
)

# Some readers send a moment decades ahead, given to them once by a broken server, and would get 304 for ever
# (FreshRSS 1020). A day is more than any clock is wrong by honestly.
_PLAUSIBLE_AHEAD = timedelta(days=1)

MEMORY = 32 * 2**20
"""Bytes of feeds kept in memory: some 200 feeds with their packed forms, and the archives that are being walked."""

# Seconds for which a file is taken to be the one just seen: under load the question would be a third of the answer.
_TRUSTED = 0.01

_FIRST_BUILD_SECONDS = 30  # more than building the feeds of any publication took


@dataclass(frozen=True, slots=True)
class Form:
    """A feed file in one coding, with its headers made once."""

    etag: bytes
    headers: Headers
    """Of the whole answer."""
    unchanged: Headers
    """Of a 304."""
    body: bytes


@dataclass(frozen=True, slots=True)
class Representation:
    """A feed file as it is served."""

    etag: str
    """Hash of the plain bytes; each coding adds its name, because strong tags of different bytes must differ."""
    modified_at: datetime
    last_modified: bytes
    forms: dict[str, Form]
    """By content coding, the preferred first, `identity` last."""
    codings: tuple[str, ...]
    tags: dict[bytes, Form]
    """By entity tag with its quotes: what well-behaved clients send back."""
    size: int
    """Bytes of memory, near enough."""


def representation(
    file: write.FeedBytes, content_type: str, link: str = "", cache_control: bytes = CACHE_CONTROL
) -> Representation:
    """Make what is served of what lies on disk."""
    etag = write.etag_of(file.body)
    last_modified = _http_date(file.modified_at)
    bodies = {coding: file.encoded[coding] for coding in write.SUFFIXES if coding in file.encoded}
    forms = {}
    for coding, body in {**bodies, "identity": file.body}.items():
        tag = f'"{etag}"' if coding == "identity" else f'"{etag}-{coding}"'
        common: Headers = [(b"etag", tag.encode()), (b"cache-control", cache_control), _VARY, _ANYWHERE]
        headers: Headers = [
            (b"content-type", content_type.encode()),
            (b"content-length", b"%d" % len(body)),
            (b"last-modified", last_modified),
            *common,
            _NOSNIFF,
        ]
        if coding != "identity":
            headers.append((b"content-encoding", coding.encode()))
        if link:
            headers.append((b"link", link.encode()))
        forms[coding] = Form(tag.encode(), headers, common, body)
    return Representation(
        etag=etag,
        modified_at=file.modified_at,
        last_modified=last_modified,
        forms=forms,
        codings=tuple(forms),
        tags={form.etag: form for form in forms.values()},
        size=sum(len(form.body) for form in forms.values()) + 4096,
    )


def respond(method: str, asked: Mapping[bytes, bytes], found: Representation, now: datetime) -> Response:
    """Decide the answer to a request for a feed (FR-H1 to H10); `asked` are its header fields, see `fields_of`."""
    if method not in _READING:
        return not_allowed()
    coding = coding_for(asked.get(b"accept-encoding"), found.codings)
    if coding is None:
        return _text(406, f"This feed comes as {', '.join(found.codings)}.", _VARY)
    form = found.forms[coding]
    # If-None-Match decides alone when it is there (RFC 9110 §13.1.3).
    none_match = asked.get(b"if-none-match")
    if none_match is not None:
        known = found.tags.get(none_match) or _known(none_match, found, form)
        if known is not None:
            return 304, known.unchanged, b""
    elif (since := asked.get(b"if-modified-since")) is not None and (
        since == found.last_modified or _unchanged_since(since, found, now)
    ):
        return 304, form.unchanged, b""
    if found.modified_at > now:
        # RFC 9110 §8.8.2.1: never later than the answer itself, or clients would hold on to it for ever.
        today = (b"last-modified", _http_date(now))
        return 200, [today if field[0] == b"last-modified" else field for field in form.headers], form.body
    return 200, form.headers, form.body


def fields_of(headers: Sequence[tuple[bytes, bytes]]) -> Mapping[bytes, bytes]:
    """Return header fields by name, in lower case as ASGI has them; several lines are one list (RFC 9110 §5.3)."""
    fields = dict(headers)
    if len(fields) < len(headers):
        fields = {}
        for name, value in headers:
            fields[name] = fields[name] + b", " + value if name in fields else value
    return fields


def not_allowed() -> Response:
    """Answer to another method than GET and HEAD."""
    return _text(405, "Feeds can be read with GET or HEAD.", (b"allow", b"GET, HEAD"))


def unknown() -> Response:
    """Answer for a feed that never was."""
    return _text(404, "There is no such feed here.", (b"cache-control", b"public, max-age=60"))


def elsewhere(url: str) -> Response:
    """Answer for a feed that has another address now: one hop, for good (FR-H11)."""
    moved = (b"location", url.encode()), (b"cache-control", b"public, max-age=86400")
    return _text(301, f"This feed has moved to {url}", *moved)


def gone() -> Response:
    """Answer for a feed that is published no more: readers stop asking (FR-H11)."""
    return _text(410, "This feed is no longer published.", (b"cache-control", b"public, max-age=3600"))


def not_yet() -> Response:
    """Answer while a feed is being made for the first time."""
    return _text(503, "This feed is being made.", *_later(_FIRST_BUILD_SECONDS))


def too_often(seconds: int) -> Response:
    """Answer to a client that downloads a feed over and over (RFC 6585 §4)."""
    advice = "Ask less often, or send If-None-Match: then asking is free."
    return _text(429, f"You have this feed already. {advice}", *_later(seconds))


class FeedsApp:
    """Answers for feeds, archives and lists of feeds below `/feeds/`, and hands everything else on to `app`.

    A file is read when it is first asked for and again when another has taken its place, which one `stat` shows;
    `ticks` are seconds of any clock that only goes forward.
    """

    def __init__(
        self,
        app: ASGIApp,
        folder: Path,
        clock: Callable[[], datetime],
        *,
        routes: Callable[[], Routes] = lambda: NOWHERE,
        polls: Polls | None = None,
        limit: Limit | None = None,
        clients: Clients | None = None,
        memory: int = MEMORY,
        ticks: Callable[[], float] = time.monotonic,
    ) -> None:
        self._app = app
        self._folder = folder
        self._clock = clock
        self._routes = routes
        self._polls = polls or Polls()
        self._limit = limit or Limit(0)
        self._clients = clients or Clients()
        self._ticks = ticks
        self._kept = _Kept(memory)
        self._loading = anyio.Lock()

    @property
    def in_memory(self) -> tuple[str, ...]:
        """Names of the files kept in memory, the one asked for last at the end."""
        return self._kept.names

    @property
    def memory_used(self) -> int:
        """Bytes that these take."""
        return self._kept.size

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http" or not scope["path"].startswith(_PREFIX) or not scope["path"].endswith(_ENDINGS):
            await self._app(scope, receive, send)
            return
        method, name = scope["method"], scope["path"][len(_PREFIX) :]
        found = self._kept.get(name, self._routes(), self._ticks()) or await self._find(name)
        if isinstance(found, Representation):
            now, asked = self._clock(), fields_of(scope["headers"])
            status, headers, body = respond(method, asked, found, now)
            if status < 400:
                if (agent := asked.get(b"user-agent")) is not None:
                    self._polls.count(name, agent, now)
                if status == 200 and method == "GET" and (seconds := self._pause(scope, name, asked, now)):
                    status, headers, body = too_often(seconds)
        else:
            status, headers, body = found if method in _READING else not_allowed()
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if method == "HEAD" else body})

    def _pause(self, scope: Scope, name: str, asked: Mapping[bytes, bytes], now: datetime) -> int:
        """Return for how many seconds the client, which downloaded the feed so often, must wait; 0: not at all."""
        if not scope["client"]:
            return 0
        client = self._clients.address(scope["client"][0], asked.get(b"x-forwarded-for", b""))
        conditional = b"if-none-match" in asked or b"if-modified-since" in asked
        return self._limit.wait(client, name, FREE_ANSWER if conditional else 1.0, now)

    async def _find(self, name: str) -> Representation | Response:
        match = _NAME.match(name)
        if match is None:
            return unknown()
        routes = self._routes()
        if (now_at := routes.moved.get(match["slug"])) is not None:
            return elsewhere(f"{now_at}{match['rest']}")
        if match["slug"] in routes.gone:
            return gone()
        async with self._loading:  # a feed that changed is read once, however many ask for it at that moment
            if (kept := self._kept.get(name, routes, self._ticks())) is not None:
                return kept
            file = await anyio.to_thread.run_sync(write.read, self._folder / name)
            if file is None:
                return not_yet() if name in routes.topics else unknown()
            cache_control = ARCHIVE_CACHE_CONTROL if match["month"] else CACHE_CONTROL
            made = representation(file, CONTENT_TYPES[match["form"]], routes.links.get(name, ""), cache_control)
            if routes is self._routes():  # else its headers may be those of yesterday
                self._kept.put(name, _Held(os.fspath(self._folder / name), file.identity, made, self._ticks()))
            return made


@dataclass(slots=True)
class _Held:
    """A feed in memory, the file it was read from, and when it was last seen to be the same."""

    path: str
    identity: write.Identity
    made: Representation
    seen: float

    def is_there(self) -> bool:
        """Whether the file is still the one that was read."""
        try:
            found = os.stat(self.path)  # noqa: PTH116 - a Path would cost more than the call itself
        except OSError:
            return False
        return write.Identity(found.st_ino, found.st_mtime_ns, found.st_size) == self.identity


class _Kept:
    """Feeds in memory, as many as fit, those asked for last; each as long as its file is the one that was read."""

    def __init__(self, memory: int) -> None:
        self._memory = memory
        self.size = 0
        self._routes = NOWHERE
        self._files: OrderedDict[str, _Held] = OrderedDict()

    def get(self, name: str, routes: Routes, tick: float) -> Representation | None:
        """Return the feed if it is here and its file has not changed; other routes mean other headers."""
        if routes is not self._routes:
            self._files.clear()
            self.size, self._routes = 0, routes
        held = self._files.get(name)
        if held is None:
            return None
        if tick - held.seen > _TRUSTED:
            if not held.is_there():
                self._drop(name)
                return None
            held.seen = tick
            self._files.move_to_end(name)
        return held.made

    @property
    def names(self) -> tuple[str, ...]:
        """What is here, the one asked for last at the end."""
        return tuple(self._files)

    def put(self, name: str, held: _Held) -> None:
        """Keep a feed, and let go of those asked for longest ago when there is no room."""
        self._drop(name)
        self._files[name] = held
        self.size += held.made.size
        while self.size > self._memory:
            self._drop(next(iter(self._files)))

    def _drop(self, name: str) -> None:
        if (held := self._files.pop(name, None)) is not None:
            self.size -= held.made.size


def _known(none_match: bytes, found: Representation, form: Form) -> Form | None:
    """Return the form whose tag a 304 repeats, None when the client has other bytes."""
    opaque = same_bytes(none_match.decode("latin-1"), found.etag)
    if opaque is None:
        return None
    # A cache looks for the tag it stored; it may hold another coding of the same bytes than it would get now.
    return found.tags.get(f'"{opaque}"'.encode(), form)


def _unchanged_since(since: bytes, found: Representation, now: datetime) -> bool:
    when = http_date(since.decode("latin-1"))
    if when is None or when > now + _PLAUSIBLE_AHEAD:
        return False
    return when >= min(found.modified_at, now).replace(microsecond=0)


def _http_date(when: datetime) -> bytes:
    return format_datetime(when.astimezone(UTC), usegmt=True).encode()


def _later(seconds: int) -> tuple[tuple[bytes, bytes], tuple[bytes, bytes]]:
    """Write when to come again; no cache may keep such an answer for others."""
    return (b"retry-after", b"%d" % seconds), (b"cache-control", b"no-store")


def _text(status: int, message: str, *more: tuple[bytes, bytes]) -> Response:
    body = f"{message}\n".encode()
    headers: Headers = [
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"content-length", b"%d" % len(body)),
        _NOSNIFF,
        _ANYWHERE,
        *more,
    ]
    return status, headers, body
