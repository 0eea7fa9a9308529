"""Feeds over HTTP: the matrix of conditions and codings, then the same over a socket."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import re
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from publisher.config import Config, Site, Web
from publisher.feeds import FORMATS, feeds_of, write
from publisher.feeds.build import rss
from publisher.feeds.documents import documents
from publisher.feeds.routes import Routes, routes_of
from publisher.web.conditions import choose_coding, coding_for, http_date, known_tag
from publisher.web.feeds import FeedsApp
from publisher.web.polls import Clients, Limit, Polls
from publisher.web.representation import (
    ARCHIVE_CACHE_CONTROL,
    CACHE_CONTROL,
    CONTENT_TYPES,
    answer,
    fields_of,
    representation,
    respond,
)

CHANGED = datetime(2026, 11, 23, 7, 0, 0, 500000, tzinfo=UTC)
NOW = CHANGED + timedelta(hours=1)
BODY = b"<?xml version='1.0'?><rss/>" * 20
TAG = write.etag_of(BODY)
LINK = '<https://news.example/feeds/all.rss>; rel="self", <https://hub.example/>; rel="hub"'
FILE = write.FeedBytes(BODY, write.compress(BODY), CHANGED, write.Identity(1, 1, 1))
FEED = representation(FILE, "application/rss+xml; charset=utf-8", LINK)


def date(when: datetime) -> str:
    return format_datetime(when, usegmt=True)


def ask(method: str = "GET", **fields: str) -> tuple[int, dict[str, str], bytes]:
    headers = [(name.replace("_", "-").encode(), value.encode()) for name, value in fields.items()]
    status, answer, body = respond(method, fields_of(headers), FEED, NOW)
    names = [name for name, _ in answer]
    assert len(set(names)) == len(names)
    return status, {name.decode(): value.decode() for name, value in answer}, body


def test_a_feed_is_sent_with_everything_a_reader_needs() -> None:
    """FR-H2, FR-H4, FR-H6, FR-H7, FR-H9, FR-H10, FR-H14: and without a cookie."""
    status, headers, body = ask()
    assert (status, body) == (200, BODY)
    assert headers == {
        "content-type": "application/rss+xml; charset=utf-8",
        "content-length": str(len(BODY)),
        "etag": f'"{TAG}"',
        "last-modified": "Mon, 23 Nov 2026 07:00:00 GMT",
        "cache-control": "public, max-age=900, stale-while-revalidate=3600, stale-if-error=86400",
        "vary": "Accept-Encoding",
        "access-control-allow-origin": "*",
        "x-content-type-options": "nosniff",
        "link": LINK,
    }


def test_every_word_about_the_pace_says_the_same() -> None:
    """FR-H6, FR-R11: readers wait for the longest of them, so ttl, sy:* and max-age must agree."""
    config = Config(site=Site(title="The Ledger", url="https://ledger.example/"))
    channel = etree.fromstring(rss(feeds_of(config)[0], "urn:uuid:1", ()))[0]
    sy = "{http://purl.org/rss/1.0/modules/syndication/}"
    assert channel.findtext(f"{sy}updatePeriod") == "hourly"
    seconds = {
        int(channel.findtext("ttl", "")) * 60,
        3600 // int(channel.findtext(f"{sy}updateFrequency", "")),
        int(CACHE_CONTROL.split(b"max-age=")[1].split(b",")[0]),
    }
    assert seconds == {900}
    assert not {b"no-store", b"private"} & set(CACHE_CONTROL.replace(b",", b"").split())


def test_each_format_has_its_media_type() -> None:
    """FR-H9: the charset is the declared one; JSON has none to declare."""
    assert CONTENT_TYPES == {
        "rss": "application/rss+xml; charset=utf-8",
        "atom": "application/atom+xml; charset=utf-8",
        "json": "application/feed+json",
        "opml": "text/x-opml; charset=utf-8",
    }


@pytest.mark.parametrize("coding", ["identity", "gzip", "br", "zstd"])
def test_head_gets_the_headers_of_get(coding: str) -> None:
    """FR-H1, FR-H8."""
    assert ask("HEAD", accept_encoding=coding)[:2] == ask("GET", accept_encoding=coding)[:2]


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH", "get"])
def test_other_methods_are_refused_with_the_allowed_ones(method: str) -> None:
    """FR-H1, FR-H11."""
    status, headers, body = ask(method)
    assert (status, headers["allow"], headers["content-type"]) == (405, "GET, HEAD", "text/plain; charset=utf-8")
    assert body == b"Feeds can be read with GET or HEAD.\n"


OTHER = "0" * 32
NGINX = f'"{int(CHANGED.timestamp()):x}-{len(BODY):x}"'

CONDITIONS: list[tuple[dict[str, str], int]] = [
    ({}, 200),
    # If-None-Match: one, lists, any, weak, of other codings, decorated, without quotes
    ({"if_none_match": f'"{TAG}"'}, 304),
    ({"if_none_match": f'"{OTHER}"'}, 200),
    ({"if_none_match": f'"{OTHER}", "{TAG}"'}, 304),
    ({"if_none_match": f'"a,b" ,W/"{TAG}",'}, 304),
    ({"if_none_match": NGINX}, 304),  # it had the bytes from nginx
    ({"if_none_match": f"W/{NGINX}"}, 304),
    ({"if_none_match": NGINX.removesuffix('"') + '-gzip"'}, 304),
    ({"if_none_match": NGINX.replace("6", "7", 1)}, 200),
    ({"if_none_match": "*"}, 304),
    ({"if_none_match": '"*"'}, 200),
    ({"if_none_match": f'W/"{TAG}"'}, 304),
    ({"if_none_match": f'"{TAG}-gzip"'}, 304),
    ({"if_none_match": f'"{TAG}-gzip-gzip"'}, 304),
    ({"if_none_match": f'W/"{TAG}-br"'}, 304),
    ({"if_none_match": f'"{TAG};gzip"'}, 304),
    ({"if_none_match": f'"{TAG}--gzip"'}, 304),
    ({"if_none_match": f'"{TAG}-df"'}, 304),
    ({"if_none_match": TAG}, 304),
    ({"if_none_match": f'"{TAG}x"'}, 200),
    ({"if_none_match": f'"x{TAG}"'}, 200),
    ({"if_none_match": ""}, 200),
    ({"if_none_match": '"'}, 200),
    # If-Modified-Since alone
    ({"if_modified_since": date(CHANGED)}, 304),
    ({"if_modified_since": date(CHANGED - timedelta(seconds=1))}, 200),
    ({"if_modified_since": date(NOW + timedelta(hours=1))}, 304),
    ({"if_modified_since": date(NOW + timedelta(days=5000))}, 200),  # FR-H4: the year 2041 of FreshRSS 1020
    ({"if_modified_since": "Monday, 23-Nov-26 07:00:00 GMT"}, 304),
    ({"if_modified_since": "Mon Nov 23 07:00:00 2026"}, 304),
    ({"if_modified_since": "Mon, 23 Nov 2026 07:00:00 GMT; length=540"}, 304),
    ({"if_modified_since": "yesterday"}, 200),
    ({"if_modified_since": "0"}, 200),
    ({"if_modified_since": ""}, 200),
    # together: the tag decides
    ({"if_none_match": f'"{TAG}"', "if_modified_since": date(CHANGED - timedelta(days=1))}, 304),
    ({"if_none_match": f'"{OTHER}"', "if_modified_since": date(NOW)}, 200),
    ({"if_none_match": "", "if_modified_since": date(NOW)}, 200),
]


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize(("fields", "expected"), CONDITIONS)
def test_conditions_are_understood(method: str, fields: dict[str, str], expected: int) -> None:
    """FR-H3, FR-H4."""
    assert ask(method, **fields)[0] == expected


def test_several_lines_of_one_field_are_one_list() -> None:
    """FR-H3."""
    lines = [(b"if-none-match", f'"{OTHER}"'.encode()), (b"if-none-match", f'"{TAG}"'.encode())]
    assert respond("GET", fields_of(lines), FEED, NOW)[0] == 304


def test_not_modified_has_no_body_and_repeats_what_a_cache_needs() -> None:
    """FR-H5, FR-H7."""
    status, headers, body = ask(if_none_match=f'"{TAG}"')
    assert (status, body) == (304, b"")
    assert headers == {
        "etag": f'"{TAG}"',
        "cache-control": CACHE_CONTROL.decode(),
        "vary": "Accept-Encoding",
        "access-control-allow-origin": "*",
    }


@pytest.mark.parametrize(
    ("sent", "accepted", "repeated"),
    [
        (f'"{TAG}"', "gzip", f'"{TAG}"'),  # a cache that holds the plain bytes finds its own tag again
        (f'"{TAG}-br"', "gzip", f'"{TAG}-br"'),
        (f'W/"{TAG}-gzip"', "gzip", f'"{TAG}-gzip"'),
        (f'"{TAG}-gzip-gzip"', "gzip", f'"{TAG}-gzip"'),
        ("*", "br", f'"{TAG}-br"'),
        (f"W/{NGINX}", "br", NGINX),
    ],
)
def test_not_modified_repeats_the_tag_the_client_has(sent: str, accepted: str, repeated: str) -> None:
    """FR-H5: a cache looks for its copy by that tag."""
    assert ask(if_none_match=sent, accept_encoding=accepted)[1]["etag"] == repeated


def test_last_modified_is_never_in_the_future() -> None:
    """FR-H4: a clock that was set back must not hand out a moment that has not come."""
    early = CHANGED - timedelta(minutes=10)
    _, headers, _ = respond("GET", {}, FEED, early)
    assert dict(headers)[b"last-modified"] == date(early).encode()


ACCEPTED: list[tuple[str | None, str | None]] = [
    (None, "identity"),
    ("", "identity"),
    ("identity", "identity"),
    ("gzip", "gzip"),
    ("x-gzip", "gzip"),
    ("GZIP", "gzip"),
    ("gzip, deflate", "gzip"),
    ("gzip, deflate, br", "br"),
    ("gzip, deflate, br, zstd", "br"),
    ("gzip, zstd", "zstd"),
    ("zstd;q=0.5, gzip", "gzip"),
    ("br;q=0.9, gzip;q=1.0", "gzip"),
    ("br;q=0, gzip", "gzip"),
    ("gzip;q=0", "identity"),
    ("deflate", "identity"),
    ("*", "br"),
    ("*;q=0", None),
    ("*;q=0, gzip", "gzip"),
    ("*;q=0, identity", "identity"),
    ("br;q=0, *", "zstd"),
    ("identity, gzip;q=0.5", "identity"),
    ("gzip;q=0.001", "gzip"),
    ("identity;q=0", None),
    ("identity;q=0, gzip;q=0", None),
    ("gzip, identity;q=0", "gzip"),
    ("identity;q=0, *", "br"),
    ("gzip;q=2", "identity"),
    ("gzip;q=nan", "identity"),
    ("gzip ; q = 0.5", "gzip"),
    ("gzip;level=9", "gzip"),
    (",,gzip", "gzip"),
    (";q=1", "identity"),
]


@pytest.mark.parametrize(("accepted", "coding"), ACCEPTED)
def test_the_coding_follows_the_clients_wishes(accepted: str | None, coding: str | None) -> None:
    """FR-H8."""
    assert choose_coding(accepted, FEED.codings) == coding
    assert coding_for(None if accepted is None else accepted.encode(), FEED.codings) == coding


@pytest.mark.parametrize("coding", ["br", "zstd", "gzip"])
def test_each_coding_has_its_body_its_length_and_its_tag(coding: str) -> None:
    """FR-H2, FR-H8: strong tags of different bytes differ."""
    status, headers, body = ask(accept_encoding=coding)
    assert (status, body) == (200, FEED.forms[coding].body)
    assert headers["content-encoding"] == coding
    assert headers["content-length"] == str(len(body))
    assert headers["etag"] == f'"{TAG}-{coding}"'


def test_who_refuses_every_coding_is_told_which_there_are() -> None:
    """FR-H8: `identity;q=0` is honoured (RFC 9110 §15.5.7 wants a 406 that says what there is)."""
    status, headers, body = ask(accept_encoding="identity;q=0")
    assert (status, headers["vary"], body) == (
        406,
        "Accept-Encoding",
        b"This feed comes as br, zstd, gzip, identity.\n",
    )


VALUES = st.one_of(
    st.binary(max_size=120),
    st.text('gzipbr,;q=01.*"W/- ' + TAG[:2], max_size=30).map(str.encode),
    st.sampled_from(["*", "gzip", "br;q=0", "identity;q=0", f'"{TAG}"', f'W/"{TAG}-br;gzip"', date(CHANGED)]).map(
        str.encode
    ),
)


@given(
    st.sampled_from(["GET", "HEAD"]),
    st.lists(
        st.tuples(st.sampled_from([b"accept-encoding", b"if-none-match", b"if-modified-since"]), VALUES), max_size=5
    ),
)
def test_no_header_confuses_it(method: str, headers: list[tuple[bytes, bytes]]) -> None:
    """L9: any bytes give one of the three answers, and the same one when they come again."""
    asked = fields_of(headers)
    status, fields, body = respond(method, asked, FEED, NOW)
    assert status in (200, 304, 406)
    for _ in range(2):
        again, start, sent = (method == "GET" and FEED.remembered(asked)) or answer(method, asked, FEED, NOW)
        assert (again, start["status"], start["headers"]) == (status, status, fields)
        assert sent["body"] == (b"" if method == "HEAD" else body)


def test_memory_of_answers_is_bounded() -> None:
    """H8: whoever invents headers does not fill the memory."""
    feed = representation(FILE, "application/rss+xml; charset=utf-8", LINK)
    for number in range(1000):
        tag = f'W/"{TAG}", "{number}"'.encode()
        for asked in ({b"accept-encoding": b"x%d" % number}, {b"if-none-match": tag}, {b"accept-encoding": b"x" * 999}):
            answer("GET", asked, feed, NOW)
    assert len(feed.whole) <= 32
    assert len(feed.same) <= 32
    assert max(len(key or b"") for key in feed.whole) <= 100


@given(st.text())
def test_no_date_and_no_tag_confuses_it(text: str) -> None:
    found = http_date(text)
    assert found is None or found.tzinfo is UTC
    assert known_tag(text, {OTHER}) is None


def test_a_form_that_does_not_belong_to_the_body_is_not_offered(tmp_path: Path) -> None:
    """J18."""
    write.write(tmp_path / "all.rss", BODY, CHANGED)
    os.utime(tmp_path / "all.rss.br", ns=(1, 1))
    found = write.read(tmp_path / "all.rss")
    assert found is not None
    made = representation(found, "application/rss+xml; charset=utf-8")
    assert list(made.codings) == ["zstd", "gzip", "identity"]
    ours = {f'"{TAG}"'.encode(), f'"{TAG}-gzip"'.encode(), f'"{TAG}-zstd"'.encode()}
    assert ({tag for tag in made.tags if TAG.encode() in tag}, made.modified_at) == (ours, CHANGED)


@pytest.mark.anyio
@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_no_body_follows_a_head(tmp_path: Path, method: str) -> None:
    """FR-H1: under any server; uvicorn would drop it by itself."""
    write.write(tmp_path / "all.rss", BODY, CHANGED)
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": method, "path": "/feeds/all.rss", "headers": [], "client": ("192.0.2.1", 1)}
    await FeedsApp(elsewhere, tmp_path, lambda: NOW)(scope, elsewhere, send)  # type: ignore[arg-type]  # never asked
    assert [sent[0]["status"], sent[1]["body"]] == [200, BODY if method == "GET" else b""]


# Over a socket


async def elsewhere(scope: Any, receive: Any, send: Any) -> None:
    """The application behind: says that it was asked."""
    await send({"type": "http.response.start", "status": 299, "headers": [(b"content-length", b"0")]})
    await send({"type": "http.response.body", "body": b""})


Ask = Callable[..., Awaitable[tuple[bytes, dict[bytes, bytes], bytes]]]


@asynccontextmanager
async def served(folder: Path, **settings: Any) -> AsyncIterator[Ask]:
    """The real server on a free loopback port; yields a function that sends raw bytes and returns the raw answer."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen()  # who connects before the server runs waits in the queue
    app = FeedsApp(elsewhere, folder, lambda: NOW, **{"trusted": 0} | settings)
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="off"))
    running = asyncio.create_task(server.serve([listener]))
    host, port = listener.getsockname()

    async def raw(target: str, *lines: str, method: str = "GET") -> tuple[bytes, dict[bytes, bytes], bytes]:
        reader, writer = await asyncio.open_connection(host, port)
        head = [f"{method} {target} HTTP/1.1", "Host: x", "Connection: close", *lines, "", ""]
        writer.write("\r\n".join(head).encode())
        answer = await reader.read()
        writer.close()
        await writer.wait_closed()
        top, _, body = answer.partition(b"\r\n\r\n")
        status, *fields = top.split(b"\r\n")
        return status, {name.lower(): value.strip() for name, _, value in (f.partition(b":") for f in fields)}, body

    try:
        yield raw
    finally:
        server.should_exit = True
        await running


@pytest.mark.anyio
async def test_over_a_socket_a_feed_is_read_once_and_then_only_confirmed(tmp_path: Path) -> None:
    """FR-H1 to H9: what is on the wire, lengths and dates included."""
    write.write(tmp_path / "all.rss", BODY, CHANGED)
    async with served(tmp_path) as raw:
        status, headers, body = await raw("/feeds/all.rss", "Accept-Encoding: gzip")
        assert status == b"HTTP/1.1 200 OK"
        assert gzip.decompress(body) == BODY
        assert int(headers[b"content-length"]) == len(body)

        again = await raw("/feeds/all.rss", "Accept-Encoding: gzip", f"If-None-Match: {headers[b'etag'].decode()}")
        assert again[0] == b"HTTP/1.1 304 Not Modified"
        assert again[2] == b""
        assert again[1][b"etag"] == headers[b"etag"]
        assert {b"date", b"cache-control", b"vary"} <= again[1].keys()
        assert not {b"content-length", b"content-encoding", b"set-cookie"} & again[1].keys()

        since = await raw("/feeds/all.rss", f"If-Modified-Since: {headers[b'last-modified'].decode()}")
        assert since[0] == b"HTTP/1.1 304 Not Modified"

        head = await raw("/feeds/all.rss", "Accept-Encoding: gzip", method="HEAD")
        assert (head[0], head[2]) == (status, b"")
        assert head[1].items() - {(b"date", head[1][b"date"])} == headers.items() - {(b"date", headers[b"date"])}

        refused = await raw("/feeds/all.rss", method="POST")
        assert (refused[0], refused[1][b"allow"]) == (b"HTTP/1.1 405 Method Not Allowed", b"GET, HEAD")


@pytest.mark.anyio
@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_over_a_socket_header_and_body_name_the_same_self_and_hubs(tmp_path: Path, method: str) -> None:
    """FR-W1, FR-W4: one self, each hub, the identical strings, in RSS, Atom and JSON Feed, to GET and HEAD."""
    hubs = ("https://hub.example/?a=1&b=2", "https://other.example/")
    site = Site(title="The Ledger", url="https://ledger.example/", languages=("en", "ru"))
    config = Config(site=site, web=Web(public_url="https://news.example/x", hubs=hubs))
    specs = feeds_of(config)
    for spec in specs:
        for name, body in documents(spec, "urn:uuid:1", ()).items():
            write.write(tmp_path / name, body, CHANGED)
    routes = routes_of(specs, (), hubs)
    async with served(tmp_path, routes=lambda: routes) as raw:
        for spec in specs:
            for form in FORMATS:
                status, headers, _ = await raw(f"/feeds/{spec.file(form)}", method=method)
                assert status == b"HTTP/1.1 200 OK"
                header = re.findall(r'<([^>]*)>; rel="(self|hub)"', headers[b"link"].decode())
                assert header == [(spec.url(form), "self"), *((hub, "hub") for hub in hubs)]
                assert links_of((tmp_path / spec.file(form)).read_bytes(), form) == header


def links_of(body: bytes, form: str) -> list[tuple[str, str]]:
    """Where a feed says it is, and its hubs."""
    if form == "json":
        document = json.loads(body)
        assert {hub["type"] for hub in document["hubs"]} == {"WebSub"}
        return [(document["feed_url"], "self"), *((hub["url"], "hub") for hub in document["hubs"])]
    links = etree.fromstring(body).iter("{http://www.w3.org/2005/Atom}link")
    return [(link.get("href", ""), rel) for link in links if (rel := link.get("rel", "")) in ("self", "hub")]


@pytest.mark.anyio
@pytest.mark.parametrize("as_xml", [False, True])
async def test_over_a_socket_browsers_are_shown_feeds_where_that_is_wanted(tmp_path: Path, as_xml: bool) -> None:
    """FR-D2, FR-H7: RSS and Atom as XML; JSON Feed and the list stay, and nothing depends on what a client accepts."""
    routes = Routes(as_xml=as_xml)
    async with served(tmp_path, routes=lambda: routes) as raw:
        for form, usual in CONTENT_TYPES.items():
            write.write(tmp_path / f"all.{form}", BODY, CHANGED)
            kind = "application/xml; charset=utf-8" if as_xml and form in ("rss", "atom") else usual
            for accept in ("text/html", "application/atom+xml"):
                _, headers, _ = await raw(f"/feeds/all.{form}", f"Accept: {accept}")
                assert (headers[b"content-type"], headers[b"vary"]) == (kind.encode(), b"Accept-Encoding")


@pytest.mark.anyio
async def test_over_a_socket_new_bytes_are_served_at_once(tmp_path: Path) -> None:
    """FR-H4: another file in its place is another feed; a removed one is gone."""
    path = tmp_path / "all.json"
    write.write(path, b'{"items":[]}', CHANGED)
    async with served(tmp_path) as raw:
        first = await raw("/feeds/all.json")
        write.write(path, b'{"items":[1]}', CHANGED + timedelta(microseconds=1))
        second = await raw("/feeds/all.json", f"If-None-Match: {first[1][b'etag'].decode()}")
        assert (second[0], second[2]) == (b"HTTP/1.1 200 OK", b'{"items":[1]}')
        assert second[1][b"content-type"] == b"application/feed+json"
        assert second[1][b"etag"] != first[1][b"etag"]
        write.remove(path)
        assert (await raw("/feeds/all.json"))[0] == b"HTTP/1.1 404 Not Found"


@pytest.mark.anyio
@pytest.mark.parametrize(("trusted", "second"), [(0, b"2"), (60, b"1")])
async def test_over_a_socket_a_file_is_trusted_for_a_moment(tmp_path: Path, trusted: float, second: bytes) -> None:
    """A hundredth of a second unless told otherwise, in which a busy server answers a hundred times."""
    path = tmp_path / "all.json"
    write.write(path, b"1", CHANGED)
    async with served(tmp_path, trusted=trusted) as raw:
        assert (await raw("/feeds/all.json"))[2] == b"1"
        write.write(path, b"2", CHANGED)
        assert (await raw("/feeds/all.json"))[2] == second


@pytest.mark.anyio
async def test_a_file_is_doubted_when_its_moment_has_passed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was trusted is looked at again, by itself."""
    doubts: list[tuple[float, Callable[[], None]]] = []
    write.write(tmp_path / "all.json", b"1", CHANGED)
    async with served(tmp_path, trusted=0.5) as raw:
        loop = asyncio.get_running_loop()
        real = loop.call_later

        def call_later(delay: float, callback: Any, *args: Any) -> Any:
            if delay == 0.5:
                return doubts.append((delay, callback))
            return real(delay, callback, *args)

        monkeypatch.setattr(loop, "call_later", call_later)
        await raw("/feeds/all.json")
        await raw("/feeds/all.json")
        assert len(doubts) == 1
        write.write(tmp_path / "all.json", b"2", CHANGED)
        doubts[0][1]()
        assert (await raw("/feeds/all.json"))[2] == b"2"
        assert len(doubts) == 2


TARGETS = {
    "/feeds/all.rss": b"200",
    "/feeds/all.rss?utm_source=x": b"200",
    "/feeds/none.rss": b"404",
    "/feeds/ALL.rss": b"404",
    "/feeds/all.rss.gz": b"299",
    "/feeds/.all.rss.tmp": b"299",
    "/feeds/../secret.rss": b"404",
    "/feeds/..%2fsecret.rss": b"404",
    "/feeds/%2e%2e/secret.rss": b"404",
    "/feeds//etc/secret.rss": b"404",
    "/feeds/a%00.rss": b"404",
    "/feeds/a%0a.rss": b"404",
    "/feeds/..%5csecret.rss": b"404",
    "/feeds/sub/all.rss": b"404",
    "/feeds/-.rss": b"404",
    "/feeds/": b"299",
    "/feeds/all": b"299",
    "/": b"299",
}


@pytest.mark.anyio
async def test_over_a_socket_no_path_leads_out_of_the_folder(tmp_path: Path) -> None:
    """FR-H11, D14: unknown names are 404, and what is no feed goes to the application behind."""
    write.write(tmp_path / "feeds" / "all.rss", BODY, CHANGED)
    write.write(tmp_path / "feeds" / "sub" / "all.rss", BODY, CHANGED)
    write.write(tmp_path / "secret.rss", b"secret", CHANGED)
    async with served(tmp_path / "feeds") as raw:
        answers = {target: await raw(target) for target in TARGETS}
    assert {target: status.split()[1] for target, (status, _, _) in answers.items()} == TARGETS
    assert not any(b"secret" in body for _, _, body in answers.values())


# Names that are no more, not yet, elsewhere

ROUTES = Routes(
    topics={"all.rss": "https://news.example/feeds/all.rss", "new.atom": "https://news.example/feeds/new.atom"},
    links={"all.rss": LINK},
    moved={"old": "https://news.example/feeds/all"},
    gone=frozenset({"retired"}),
)

ANSWERS = {
    "/feeds/old.rss": (b"301 Moved Permanently", {b"location": b"https://news.example/feeds/all.rss"}),
    "/feeds/old.json": (b"301 Moved Permanently", {b"location": b"https://news.example/feeds/all.json"}),
    "/feeds/old/2026-10.atom": (
        b"301 Moved Permanently",
        {b"location": b"https://news.example/feeds/all/2026-10.atom"},
    ),
    "/feeds/retired.rss": (b"410 Gone", {b"cache-control": b"public, max-age=3600"}),
    "/feeds/retired/2026-10.rss": (b"410 Gone", {}),
    "/feeds/new.atom": (b"503 Service Unavailable", {b"retry-after": b"30", b"cache-control": b"no-store"}),
    "/feeds/never.rss": (b"404 Not Found", {b"cache-control": b"public, max-age=60"}),
    "/feeds/all/2026-10.rss": (b"404 Not Found", {}),
    "/feeds/all.rss": (b"200 OK", {b"link": LINK.encode(), b"cache-control": CACHE_CONTROL}),
}


@pytest.mark.anyio
@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_a_feed_that_is_not_there_says_why(tmp_path: Path, method: str) -> None:
    """FR-H11, FR-W3: moved in one hop with its ending, gone, not yet, unknown; an error is never 200 and never HTML."""
    write.write(tmp_path / "all.rss", BODY, CHANGED)
    write.write(tmp_path / "retired.rss", BODY, CHANGED)  # its files may be removed a moment later
    async with served(tmp_path, routes=lambda: ROUTES) as raw:
        for target, (status, fields) in ANSWERS.items():
            answer = await raw(target, method=method)
            assert answer[0] == b"HTTP/1.1 " + status, target
            assert {name: answer[1][name] for name in fields} == fields
            assert b"set-cookie" not in answer[1]
            if status != b"200 OK":
                assert answer[1][b"content-type"] == b"text/plain; charset=utf-8"
                assert b"link" not in answer[1]
                assert (answer[2] == b"") is (method == "HEAD")
                assert b"<" not in answer[2]
        assert (await raw("/feeds/old.rss", method="POST"))[0] == b"HTTP/1.1 405 Method Not Allowed"


@pytest.mark.anyio
async def test_a_feed_that_moves_while_it_is_served_redirects_at_once(tmp_path: Path) -> None:
    """FR-H11: new routes mean new answers, whatever is in memory."""
    write.write(tmp_path / "all.rss", BODY, CHANGED)
    routes = [Routes()]
    async with served(tmp_path, routes=lambda: routes[-1]) as raw:
        assert b"link" not in (await raw("/feeds/all.rss"))[1]
        routes.append(ROUTES)
        assert (await raw("/feeds/all.rss"))[1][b"link"] == LINK.encode()
        routes.append(Routes(moved={"all": "https://news.example/feeds/everything"}))
        assert (await raw("/feeds/all.rss"))[1][b"location"] == b"https://news.example/feeds/everything.rss"


@pytest.mark.anyio
async def test_archives_and_lists_of_feeds_are_served_too(tmp_path: Path) -> None:
    """FR-H9, §1.5, §1.7: an archive may be kept long, because it hardly changes."""
    write.write(tmp_path / "all" / "2026-10.atom", BODY, CHANGED)
    write.write(tmp_path / "feeds.opml", BODY, CHANGED)
    async with served(tmp_path) as raw:
        archive = await raw("/feeds/all/2026-10.atom", "Accept-Encoding: zstd")
        opml = await raw("/feeds/feeds.opml")
    assert (archive[0], archive[2]) == (b"HTTP/1.1 200 OK", write.compress(BODY)["zstd"])
    assert archive[1][b"cache-control"] == ARCHIVE_CACHE_CONTROL
    assert archive[1][b"content-type"] == b"application/atom+xml; charset=utf-8"
    assert (opml[0], opml[2]) == (b"HTTP/1.1 200 OK", BODY)
    assert opml[1][b"content-type"] == b"text/x-opml; charset=utf-8"
    assert opml[1][b"cache-control"] == CACHE_CONTROL


MATRIX: list[tuple[tuple[str, ...], bytes, str | None]] = [
    ((), b"200 OK", None),
    (("Accept-Encoding: gzip, deflate, br, zstd",), b"200 OK", "br"),
    (("Accept-Encoding: gzip;q=1.0, br;q=0.5",), b"200 OK", "gzip"),
    (("Accept-Encoding: zstd",), b"200 OK", "zstd"),
    (("Accept-Encoding: identity;q=0",), b"406 Not Acceptable", None),
    ((f'If-None-Match: W/"{TAG}"',), b"304 Not Modified", None),
    ((f'If-None-Match: "x", "{TAG}-gzip;gzip"', "Accept-Encoding: gzip"), b"304 Not Modified", None),
    (('If-None-Match: "x"', f'If-None-Match: "{TAG}"'), b"304 Not Modified", None),
    (("If-None-Match: *",), b"304 Not Modified", None),
    (('If-None-Match: "x"', f"If-Modified-Since: {date(NOW)}"), b"200 OK", None),
    ((f"If-Modified-Since: {date(CHANGED)}",), b"304 Not Modified", None),
    ((f"If-Modified-Since: {date(CHANGED - timedelta(seconds=1))}",), b"200 OK", None),
    (("Range: bytes=0-9",), b"200 OK", None),  # FR-H12: ignored
    (("Range: bytes=0-9", f'If-Range: "{TAG}"'), b"200 OK", None),
    (("A-IM: feed",), b"200 OK", None),  # FR-H13: not offered
    (("Cookie: a=b",), b"200 OK", None),
]


@pytest.mark.anyio
async def test_over_a_socket_every_condition_and_coding_has_its_answer(tmp_path: Path) -> None:
    """FR-H1 to H8, H12, H14: on the wire, GET and HEAD alike."""
    write.write(tmp_path / "all.rss", BODY, CHANGED)
    packed = write.compress(BODY)
    async with served(tmp_path, routes=lambda: ROUTES) as raw:
        for lines, status, coding in MATRIX:
            got = await raw("/feeds/all.rss", *lines)
            head = await raw("/feeds/all.rss", *lines, method="HEAD")
            assert got[0] == head[0] == b"HTTP/1.1 " + status, lines
            assert {**got[1], b"date": b""} == {**head[1], b"date": b""}
            assert head[2] == b""
            assert got[1][b"vary"] == b"Accept-Encoding"
            assert b"set-cookie" not in got[1]
            if status == b"200 OK":
                assert got[2] == (packed[coding] if coding else BODY), lines
                assert got[1].get(b"content-encoding") == (coding.encode() if coding else None)
                assert got[1][b"link"] == LINK.encode()


@pytest.mark.anyio
async def test_memory_holds_what_was_asked_for_last(tmp_path: Path) -> None:
    """An archive of years that somebody walks must not fill the memory."""
    for number in range(10):
        write.write(tmp_path / f"f{number}.json", os.urandom(60_000), CHANGED)  # 290 kB with its packed forms
    app = FeedsApp(elsewhere, tmp_path, lambda: NOW, memory=650_000, trusted=0)

    async def ask_for(name: str) -> None:
        scope: Any = {"type": "http", "method": "GET", "path": f"/feeds/{name}", "headers": [], "client": None}

        async def send(message: Any) -> None:
            assert message.get("status", 200) == 200

        await app(scope, elsewhere, send)  # type: ignore[arg-type]  # never asked

    for name in ("f0", "f1", "f2", "f0", "f3", "f4", "f0"):
        await ask_for(f"{name}.json")
    assert app.memory_used <= 650_000
    assert app.in_memory == ("f4.json", "f0.json")


# Who polls


@pytest.mark.anyio
async def test_a_client_that_downloads_over_and_over_is_told_to_wait(tmp_path: Path) -> None:
    """FR-H11: but not for another feed, and never when it only asks whether there is news."""
    write.write(tmp_path / "all.rss", BODY, CHANGED)
    write.write(tmp_path / "economy.rss", BODY, CHANGED)
    async with served(tmp_path, limit=Limit(3), ticks=lambda: 1.0) as raw:
        assert [(await raw("/feeds/all.rss"))[0] for _ in range(3)] == [b"HTTP/1.1 200 OK"] * 3
        status, headers, body = await raw("/feeds/all.rss")
        assert (status, headers[b"retry-after"]) == (b"HTTP/1.1 429 Too Many Requests", b"1200")
        assert headers[b"cache-control"] == b"no-store"
        assert body.startswith(b"You have this feed already.")
        assert (await raw("/feeds/economy.rss"))[0] == b"HTTP/1.1 200 OK"
        assert (await raw("/feeds/all.rss", f'If-None-Match: "{TAG}"'))[0] == b"HTTP/1.1 304 Not Modified"
        assert (await raw("/feeds/all.rss", method="HEAD"))[0] == b"HTTP/1.1 200 OK"


@pytest.mark.anyio
async def test_clients_behind_a_trusted_proxy_are_told_apart(tmp_path: Path) -> None:
    """FR-H11: one's downloads are not another's."""
    write.write(tmp_path / "all.rss", BODY, CHANGED)
    async with served(tmp_path, limit=Limit(1), clients=Clients(["127.0.0.1"]), ticks=lambda: 1.0) as raw:
        asked = ["192.0.2.1", "192.0.2.2", "192.0.2.1", "203.0.113.9, 192.0.2.2"]
        found = [(await raw("/feeds/all.rss", f"X-Forwarded-For: {address}"))[0][9:12] for address in asked]
        assert found == [b"200", b"200", b"429", b"429"]
        # A proxy that does not say for whom it asks: all of them would pay for one.
        assert [(await raw("/feeds/all.rss"))[0][9:12] for _ in range(3)] == [b"200"] * 3


@pytest.mark.anyio
async def test_readers_behind_pollers_are_counted(tmp_path: Path) -> None:
    """FR-H15: also when nothing changed; not when there is no such feed."""
    write.write(tmp_path / "all.rss", BODY, CHANGED)
    polls = Polls()
    feedly = "User-Agent: Feedly/1.0 (+http://www.feedly.com/fetcher.html; 16 subscribers; like FeedFetcher-Google)"
    async with served(tmp_path, polls=polls) as raw:
        await raw("/feeds/all.rss", feedly.replace("16", "15"))
        await raw("/feeds/all.rss", feedly, "If-None-Match: *")
        await raw("/feeds/none.rss", feedly)
        await raw("/feeds/all.rss", "User-Agent: NetNewsWire (RSS Reader; https://netnewswire.com/)")
    assert [(p.name, p.poller, p.subscribers, p.seen_at) for p in polls.take(NOW)] == [("all.rss", "feedly", 16, NOW)]
    assert polls.take(NOW) == []
