"""What is answered to a request for a feed: who has the newest bytes is told so, who has not gets them packed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

from publisher.feeds import write
from publisher.feeds.spec import FORMATS, MEDIA_TYPES, REFRESH
from publisher.web.conditions import coding_for, http_date, known_tag

Headers = list[tuple[bytes, bytes]]
Response = tuple[int, Headers, bytes]
"""Status, headers, body; the body is what GET gets, also in the answer to HEAD the length says so."""
Ready = tuple[int, dict[str, Any], dict[str, Any]]
"""Status and the two messages of ASGI; they may be sent again and again."""

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

_AS_XML = dict.fromkeys(("rss", "atom"), "application/xml; charset=utf-8")

READING = frozenset({"GET", "HEAD"})

# Some readers send a moment decades ahead, given to them once by a broken server, and would get 304 for ever
# (FreshRSS 1020). A day is more than any clock is wrong by honestly.
_PLAUSIBLE_AHEAD = timedelta(days=1)

_MEMO_ANSWERS = 32  # kept of each kind for each feed; real readers know a dozen ways to ask
_MEMO_KEY = 100  # bytes; what is longer nobody else asks
_MEMO_BYTES = 3 * _MEMO_ANSWERS * 5 * _MEMO_KEY

_FIRST_BUILD_SECONDS = 30  # more than building the feeds of any publication took


@dataclass(frozen=True, slots=True)
class Form:
    """A feed file in one coding, with its headers made once."""

    etag: bytes
    """With its quotes; each coding has its own, because strong tags of different bytes must differ (FR-H2)."""
    headers: Headers
    """Of the whole answer."""
    unchanged: Headers
    """Of a 304."""
    body: bytes


@dataclass(frozen=True, slots=True)
class Representation:
    """A feed file as it is served."""

    modified_at: datetime
    last_modified: bytes
    forms: dict[str, Form]
    """By content coding, the preferred first, `identity` last."""
    codings: tuple[str, ...]
    names: frozenset[str]
    """The entity tags without their quotes."""
    tags: dict[bytes, Form]
    """By entity tag with its quotes: what well-behaved clients send back; also by those that nginx gives the files."""
    size: int
    """Bytes of memory, near enough."""
    # Answers that were given already, since most readers ask the same:
    whole: dict[bytes | None, Ready] = field(default_factory=dict)
    """Of 200 without a condition, by Accept-Encoding."""
    same: dict[bytes, Ready] = field(default_factory=dict)
    """Of 304, by If-None-Match."""
    since: dict[bytes | None, Ready] = field(default_factory=dict)
    """Of 304 to our own Last-Modified, by Accept-Encoding."""

    def remembered(self, asked: Mapping[bytes, bytes]) -> Ready | None:
        """Return the answer to a GET with these fields, if it was given before."""
        none_match = asked.get(b"if-none-match")
        if none_match is not None:
            return self.same.get(none_match)
        since = asked.get(b"if-modified-since")
        if since is None:
            return self.whole.get(asked.get(b"accept-encoding"))
        return self.since.get(asked.get(b"accept-encoding")) if since == self.last_modified else None


def content_type(form: str, *, as_xml: bool) -> str:
    """Return the Content-Type of a format: browsers show what they take for XML, with its style sheet (FR-D2)."""
    return _AS_XML.get(form, CONTENT_TYPES[form]) if as_xml else CONTENT_TYPES[form]


def representation(
    file: write.FeedBytes, content_type: str, link: str = "", cache_control: bytes = CACHE_CONTROL
) -> Representation:
    """Make what is served of what lies on disk."""
    etag = write.etag_of(file.body)
    last_modified = _http_date(file.modified_at)
    bodies = {coding: file.encoded[coding] for coding in write.SUFFIXES if coding in file.encoded}
    forms: dict[str, Form] = {}
    tags: dict[bytes, Form] = {}
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
        forms[coding] = form = Form(tag.encode(), headers, common, body)
        # A reader may have the file from a web server in front of us, and its tag with it.
        theirs = _nginx_tag(file.modified_at, len(body))
        tags |= {form.etag: form, theirs: replace(form, etag=theirs, unchanged=[(b"etag", theirs), *common[1:]])}
    return Representation(
        modified_at=file.modified_at,
        last_modified=last_modified,
        forms=forms,
        codings=tuple(forms),
        names=frozenset(tag.decode().strip('"') for tag in tags),
        tags=tags,
        size=sum(len(form.body) for form in forms.values()) + _MEMO_BYTES,
    )


def respond(method: str, asked: Mapping[bytes, bytes], found: Representation, now: datetime) -> Response:
    """Decide the answer to a request for a feed (FR-H1 to H10); `asked` are its header fields, see `fields_of`."""
    if method not in READING:
        return not_allowed()
    # If-None-Match decides alone when it is there (RFC 9110 §13.1.3).
    none_match = asked.get(b"if-none-match")
    if none_match is not None and (known := _known(none_match, found)) is not None:
        return 304, known.unchanged, b""
    coding = coding_for(asked.get(b"accept-encoding"), found.codings)
    if coding is None:
        return _text(406, f"This feed comes as {', '.join(found.codings)}.", _VARY)
    form = found.forms[coding]
    since = asked.get(b"if-modified-since") if none_match is None else None
    if none_match == b"*" or (since is not None and _unchanged_since(since, found, now)):
        return 304, form.unchanged, b""
    if found.modified_at > now:
        # RFC 9110 §8.8.2.1: never later than the answer itself, or clients would hold on to it for ever.
        today = (b"last-modified", _http_date(now))
        return 200, [today if field[0] == b"last-modified" else field for field in form.headers], form.body
    return 200, form.headers, form.body


def answer(method: str, asked: Mapping[bytes, bytes], found: Representation, now: datetime) -> Ready:
    """Return the answer as it is sent, and let `found` remember it for those who ask the same."""
    ready = ready_of(method, respond(method, asked, found, now))
    if method == "GET" and found.modified_at <= now:
        accepted, since = asked.get(b"accept-encoding"), asked.get(b"if-modified-since")
        none_match = asked.get(b"if-none-match")
        # Kept is what holds at any time of day. A tag answers for itself, whatever coding is asked for; `*` does not.
        if none_match is not None:
            if ready[0] == 304 and none_match != b"*":
                _keep(found.same, none_match, ready)
        elif since is None:
            _keep(found.whole, accepted, ready)
        elif since == found.last_modified:
            _keep(found.since, accepted, ready)
    return ready


def _keep(memo: dict[Any, Ready], key: bytes | None, ready: Ready) -> None:
    if key is None or len(key) <= _MEMO_KEY:
        if len(memo) >= _MEMO_ANSWERS:
            memo.clear()
        memo[key] = ready


def ready_of(method: str, response: Response) -> Ready:
    """Return a response as it is sent; HEAD gets no body."""
    status, headers, body = response
    start = {"type": "http.response.start", "status": status, "headers": headers}
    return status, start, {"type": "http.response.body", "body": b"" if method == "HEAD" else body}


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


def _known(none_match: bytes, found: Representation) -> Form | None:
    """Return the form whose tag is in the list, None when the client has other bytes.

    A 304 repeats that tag, since a cache looks for the one it stored: perhaps another coding than it would get now.
    """
    if (form := found.tags.get(none_match)) is not None:
        return form
    tag = known_tag(none_match.decode("latin-1"), found.names)
    return found.tags[f'"{tag}"'.encode()] if tag else None


def _unchanged_since(since: bytes, found: Representation, now: datetime) -> bool:
    if since == found.last_modified:
        return True
    when = http_date(since.decode("latin-1"))
    if when is None or when > now + _PLAUSIBLE_AHEAD:
        return False
    return when >= min(found.modified_at, now).replace(microsecond=0)


def _http_date(when: datetime) -> bytes:
    return format_datetime(when.astimezone(UTC), usegmt=True).encode()


def _nginx_tag(modified_at: datetime, size: int) -> bytes:
    """Return the tag by which nginx names a file: whole seconds and size, hexadecimal."""
    return b'"%x-%x"' % (int(modified_at.timestamp()), size)


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
