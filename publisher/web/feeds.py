"""Feeds over HTTP: who has the newest bytes is told so in a few, who has not gets them packed."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime, parsedate_to_datetime
from pathlib import Path

import anyio.to_thread
from starlette.types import ASGIApp, Receive, Scope, Send

from publisher.feeds import write
from publisher.feeds.spec import FORMATS, MEDIA_TYPES, REFRESH

Headers = list[tuple[bytes, bytes]]
Response = tuple[int, Headers, bytes]
"""Status, headers, body; the body is what GET gets, also in the answer to HEAD the length says so."""

# A feed may be shown for an hour while a fresh one is fetched, and for a day while we are down (RFC 5861): a reader
# that gets an error backs off for longer than that.
CACHE_CONTROL = b"public, max-age=%d, stale-while-revalidate=3600, stale-if-error=86400" % REFRESH.total_seconds()

_COMMON: Headers = [
    (b"cache-control", CACHE_CONTROL),
    (b"vary", b"Accept-Encoding"),
    (b"access-control-allow-origin", b"*"),
]
_TEXT: Headers = [
    (b"content-type", b"text/plain; charset=utf-8"),
    (b"x-content-type-options", b"nosniff"),
    (b"access-control-allow-origin", b"*"),
]

# JSON is UTF-8 by definition; for XML the parameter says the same as the declaration inside (FR-H9).
CONTENT_TYPES: dict[str, str] = {
    form: MEDIA_TYPES[form] if form == "json" else f"{MEDIA_TYPES[form]}; charset=utf-8" for form in FORMATS
}

_FEED_PATH = re.compile(r"/feeds/(?P<name>.*\.(?:" + "|".join(FORMATS) + r"))\Z", re.DOTALL)
# A slug and a format: no separators, no dots to climb with, nothing a file system reads in its own way.
_NAME = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*\.(?P<form>[a-z]+)\Z")

_TAG = re.compile(r'(?:W/)?"([^"]*)"|([^\s,"]+)')
# What proxies and we ourselves append to a tag for a coding; Apache adds "-gzip" inside the quotes and never takes it
# off again (bz 45023).
_DECORATION = re.compile(r"(?:[-;]+(?:gzip|br|zstd|deflate|df|gz|zst))+\Z")
_QUALITY = re.compile(r"(?:0(?:\.\d{0,3})?|1(?:\.0{0,3})?)\Z")

# Some readers send a moment decades ahead, given to them once by a broken server, and would get 304 for ever
# (FreshRSS 1020). A day is more than any clock is wrong by honestly.
_PLAUSIBLE_AHEAD = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Representation:
    """A feed file as it is served."""

    content_type: str
    etag: str
    """Hash of the plain bytes; each coding adds its name, because strong tags of different bytes must differ."""
    modified_at: datetime
    bodies: Mapping[str, bytes]
    """By content coding, the preferred first, `identity` last."""

    def tag(self, coding: str) -> str:
        """Return the strong entity tag of one coding, with its quotes."""
        return f'"{self.etag}"' if coding == "identity" else f'"{self.etag}-{coding}"'


def representation(file: write.FeedBytes, content_type: str) -> Representation:
    """Make what is served of what lies on disk."""
    bodies = {coding: file.encoded[coding] for coding in write.SUFFIXES if coding in file.encoded}
    return Representation(content_type, write.etag_of(file.body), file.modified_at, bodies | {"identity": file.body})


def respond(
    method: str, headers: Iterable[tuple[bytes, bytes]], found: Representation | None, now: datetime
) -> Response:
    """Decide the answer to a request for a feed (FR-H1 to H10). Header names are in lower case, as ASGI has them."""
    if method not in ("GET", "HEAD"):
        return _text(405, "Feeds can be read with GET or HEAD.", (b"allow", b"GET, HEAD"))
    if found is None:
        return _text(404, "There is no such feed here.", (b"cache-control", b"public, max-age=60"))
    asked = _joined(headers)
    coding = choose_coding(asked.get(b"accept-encoding"), found.bodies)
    if coding is None:
        return _text(406, f"This feed comes as {', '.join(found.bodies)}.", (b"vary", b"Accept-Encoding"))

    # RFC 9110 §8.8.2.1: never later than the answer itself, or clients would hold on to it for ever.
    modified_at = min(found.modified_at, now)
    tag = _known_tag(asked, found, coding, modified_at, now)
    if tag is not None:
        return 304, [(b"etag", tag.encode()), *_COMMON], b""
    body = found.bodies[coding]
    answer = [
        (b"content-type", found.content_type.encode()),
        (b"content-length", b"%d" % len(body)),
        (b"etag", found.tag(coding).encode()),
        (b"last-modified", format_datetime(modified_at.astimezone(UTC), usegmt=True).encode()),
        *_COMMON,
        (b"x-content-type-options", b"nosniff"),
    ]
    if coding != "identity":
        answer.append((b"content-encoding", coding.encode()))
    return 200, answer, body


def choose_coding(accepted: str | None, offered: Iterable[str]) -> str | None:
    """Return which of the offered codings to use, by Accept-Encoding (RFC 9110 §12.5.3); None when none is acceptable.

    Of equally welcome ones the first offered wins. Who says nothing gets `identity`: not every reader unpacks.
    """
    wishes = _wishes(accepted or "")

    def quality(coding: str) -> float:
        if coding in wishes:
            return wishes[coding]
        if coding == "identity":
            # Always acceptable unless excluded, but only when nothing that was asked for is there.
            return wishes["*"] if wishes.get("*") == 0 else 0.0001
        return wishes.get("*", 0.0)

    best = max(offered, key=quality)
    return best if quality(best) > 0 else None


def same_bytes(if_none_match: str, etag: str) -> str | None:
    """Return the tag of a If-None-Match field that names the bytes of `etag`, None when none does.

    Lists, `*`, weak tags, tags decorated by proxies and tags that lost their quotes are understood (FR-H3).
    """
    for match in _TAG.finditer(if_none_match):
        opaque = match[1] if match[1] is not None else match[2]
        if opaque == "*" and match[1] is None:
            return "*"
        if opaque and _DECORATION.sub("", opaque) == etag:
            return str(opaque)
    return None


class FeedsApp:
    """Answers `/feeds/<slug>.<format>` from memory, and hands everything else on to `app`.

    A file is read when it is first asked for and again when another has taken its place, which one `stat` shows.
    """

    def __init__(self, app: ASGIApp, folder: Path, clock: Callable[[], datetime]) -> None:
        self._app = app
        self._folder = folder
        self._clock = clock
        self._loaded: dict[str, tuple[write.Identity, Representation]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        path = _FEED_PATH.match(scope["path"]) if scope["type"] == "http" else None
        if path is None:
            await self._app(scope, receive, send)
            return
        found = await self._find(path["name"])
        status, headers, body = respond(scope["method"], scope["headers"], found, self._clock())
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})

    async def _find(self, name: str) -> Representation | None:
        match = _NAME.match(name)
        if match is None:
            return None
        path = self._folder / name
        now_there = write.identity(path)
        if now_there is None:
            self._loaded.pop(name, None)
            return None
        loaded = self._loaded.get(name)
        if loaded is not None and loaded[0] == now_there:
            return loaded[1]
        file = await anyio.to_thread.run_sync(write.read, path)
        if file is None:
            return None
        made = representation(file, CONTENT_TYPES[match["form"]])
        self._loaded[name] = (file.identity, made)
        return made


def _known_tag(
    asked: Mapping[bytes, str], found: Representation, coding: str, modified_at: datetime, now: datetime
) -> str | None:
    """Return the tag to repeat in a 304, None when the client has other bytes.

    If-None-Match decides alone when it is there (RFC 9110 §13.1.3).
    """
    if b"if-none-match" in asked:
        opaque = same_bytes(asked[b"if-none-match"], found.etag)
        if opaque is None:
            return None
        # A cache looks for the tag it stored; it may hold another coding of the same bytes than it would get now.
        ours = [found.tag(name) for name in found.bodies]
        return f'"{opaque}"' if f'"{opaque}"' in ours else found.tag(coding)
    since = http_date(asked.get(b"if-modified-since", ""))
    if since is None or since > now + _PLAUSIBLE_AHEAD or since < modified_at.replace(microsecond=0):
        return None
    return found.tag(coding)


def http_date(text: str) -> datetime | None:
    """Return the moment of an HTTP date in any of its three forms; None when it is none."""
    try:
        when = parsedate_to_datetime(text.partition(";")[0].strip())  # Netscape appended "; length=…"
        return when.replace(tzinfo=UTC) if when.tzinfo is None else when.astimezone(UTC)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def _wishes(accepted: str) -> dict[str, float]:
    wishes: dict[str, float] = {}
    for part in accepted.lower().split(","):
        coding, *parameters = (piece.strip() for piece in part.split(";"))
        coding = {"x-gzip": "gzip"}.get(coding, coding)
        if coding:
            wishes[coding] = _quality(parameters)
    return wishes


def _quality(parameters: Iterable[str]) -> float:
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            value = value.strip()
            return float(value) if _QUALITY.match(value) else 0.0  # not understood: do not risk it
    return 1.0


def _joined(headers: Iterable[tuple[bytes, bytes]]) -> dict[bytes, str]:
    """Return the fields as text; several lines of one field are one list (RFC 9110 §5.3)."""
    joined: dict[bytes, str] = {}
    for name, value in headers:
        text = value.decode("latin-1")
        joined[name] = f"{joined[name]}, {text}" if name in joined else text
    return joined


def _text(status: int, message: str, *more: tuple[bytes, bytes]) -> Response:
    body = f"{message}\n".encode()
    return status, [*_TEXT, (b"content-length", b"%d" % len(body)), *more], body
