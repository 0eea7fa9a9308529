"""nginx in front, with the configuration that operators are given: the same answers as from the service itself."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from publisher.config import Category, Config, Feed, Site, Web
from publisher.feeds import feeds_of, write
from publisher.feeds.routes import routes_of
from publisher.web.feeds import FeedsApp
from publisher.web.polls import Clients, Polls

NGINX = shutil.which("nginx", path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/usr/local/sbin") or ""
GIVEN = Path(__file__).parents[1] / "config" / "deploy" / "nginx.conf"
DEPLOYING = Path(__file__).parents[1] / "docs" / "deploy.md"

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(not NGINX and not os.environ.get("CI"), reason="nginx is not installed (Debian: nginx-light)"),
]

HUB = "https://hub.example/"
CONFIG = Config(
    site=Site(title="The Ledger", url="https://ledger.example/"),
    categories=(Category(slug="economy", title="Economy", former=("money",)),),
    feeds=(Feed(slug="new"),),
    web=Web(public_url="https://news.example", hubs=(HUB,)),
)
ROUTES = routes_of(feeds_of(CONFIG), ("all", "economy", "sport"), CONFIG.web.hubs)
CHANGED = datetime(2026, 11, 23, 7, 0, 0, 500000, tzinfo=UTC)
NOW = CHANGED + timedelta(hours=1)
BODY = b"<?xml version='1.0'?><rss/>" * 40
SAME_FOR_ALL = (
    b"content-type",
    b"content-encoding",
    b"content-length",
    b"cache-control",
    b"link",
    b"vary",
    b"access-control-allow-origin",
    b"x-content-type-options",
    b"location",
    b"retry-after",
    b"allow",
    b"set-cookie",
    b"accept-ranges",
)


@dataclass(frozen=True)
class Answer:
    """What came over the socket."""

    status: bytes
    headers: dict[bytes, bytes]
    body: bytes

    @property
    def compared(self) -> tuple[bytes, dict[bytes, bytes], bytes]:
        """What must not depend on who answers."""
        return self.status, {name: self.headers[name] for name in SAME_FOR_ALL if name in self.headers}, self.body


@dataclass
class Beside:
    """nginx and the service behind it, over the same files."""

    nginx: int
    """Port."""
    service: int
    polls: Polls = field(default_factory=Polls)
    reached: list[str] = field(default_factory=list)
    """Paths that the service was asked for."""
    stop_service: Callable[[], Awaitable[None]] | None = None

    async def both(self, target: str, *lines: str, method: str = "GET") -> tuple[Answer, Answer]:
        """Ask the service and nginx the same."""
        return await ask(self.service, target, *lines, method=method), await self.through(target, *lines, method=method)

    async def through(self, target: str, *lines: str, method: str = "GET") -> Answer:
        """Ask nginx, and note anew what reaches the service."""
        self.reached.clear()
        return await ask(self.nginx, target, *lines, method=method)


async def ask(port: int, target: str, *lines: str, method: str = "GET") -> Answer:
    """Send a request as raw bytes and return the raw answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = [f"{method} {target} HTTP/1.1", "Host: news.example", "Connection: close", *lines, "", ""]
    writer.write("\r\n".join(head).encode())
    got = await reader.read()
    writer.close()
    await writer.wait_closed()
    top, _, body = got.partition(b"\r\n\r\n")
    status, *fields = top.split(b"\r\n")
    names = [field.partition(b":")[0].lower() for field in fields]
    assert len(names) == len(set(names)), fields
    return Answer(
        status.split(b" ")[1],
        {name.lower(): value.strip() for name, _, value in (field.partition(b":") for field in fields)},
        body,
    )


@asynccontextmanager
async def beside(place: Path) -> AsyncIterator[Beside]:
    """Run the service and nginx on free ports of loopback."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    ports = free_ports(2)
    found = Beside(nginx=ports[0], service=listener.getsockname()[1])

    async def page(scope: Any, receive: Any, send: Any) -> None:
        address = dict(scope["headers"]).get(b"x-forwarded-for", b"")
        await send({"type": "http.response.start", "status": 200, "headers": [(b"x-page", address)]})
        await send({"type": "http.response.body", "body": b"a page"})

    feeds = FeedsApp(
        page,
        place / "site" / "feeds",
        lambda: NOW,
        routes=lambda: ROUTES,
        polls=found.polls,
        clients=Clients(["127.0.0.1"]),
        trusted=0,
    )

    async def noting(scope: Any, receive: Any, send: Any) -> None:
        found.reached.append(scope["path"])
        await feeds(scope, receive, send)

    server = uvicorn.Server(uvicorn.Config(noting, log_config=None, lifespan="off", proxy_headers=False))
    serving = asyncio.create_task(server.serve([listener]))

    async def stop_service() -> None:
        server.should_exit = True
        await serving

    found.stop_service = stop_service
    (place / "nginx.conf").write_text(configuration(place, found, ports[1]), encoding="utf-8")
    command = (NGINX, "-p", str(place), "-c", str(place / "nginx.conf"), "-g", "daemon off;")
    nginx = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.PIPE)
    try:
        await answering(found.nginx, nginx)
        yield found
    finally:
        if nginx.returncode is None:
            nginx.terminate()
        await nginx.wait()
        await stop_service()
    log = (place / "error.log").read_text(encoding="utf-8")
    assert not [line for line in log.splitlines() if "connect() failed" not in line]


def configuration(place: Path, found: Beside, again: int) -> str:
    """Return the given configuration with the places marked CHANGE changed, inside the frame that Debian has."""
    site = GIVEN.read_text(encoding="utf-8")
    for old, new in {
        "server 127.0.0.1:8000;  # CHANGE": f"server 127.0.0.1:{found.service};  #",
        'default "";  # CHANGE, if there are web.hubs': f"""default ', <{HUB}>; rel="hub"';  #""",
        "server 127.0.0.1:8079;": f"server 127.0.0.1:{again};",
        "listen 127.0.0.1:8079;": f"listen 127.0.0.1:{again};",
        "listen 80;": f"listen 127.0.0.1:{found.nginx};",
        "    listen [::]:80;\n": "",
        "root /var/lib/publisher/site;": f"root {place}/site;",
    }.items():
        assert site.count(old) == 1, old
        site = site.replace(old, new)
    temporary = "\n".join(
        f"    {kind}_temp_path {place}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    user = "user root;" if os.getuid() == 0 else ""
    # As /etc/nginx/nginx.conf of Debian: types by ending, and packing of what is not packed.
    return f"""
{user}
pid {place}/nginx.pid;
error_log {place}/error.log warn;
events {{}}
http {{
    types {{ application/json json; text/html html; }}
    default_type application/octet-stream;
    sendfile on;
    gzip on;
    gzip_min_length 1;
    gzip_types *;
    access_log off;
{temporary}
{site}
}}
"""


def free_ports(count: int) -> list[int]:
    """Return ports that nobody listens on just now."""
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


async def answering(port: int, nginx: asyncio.subprocess.Process) -> None:
    """Wait until nginx accepts connections."""
    while nginx.returncode is None:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.01)
        else:
            writer.close()
            return
    pytest.fail((await nginx.communicate())[1].decode())


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Beside]:
    """Four feeds, an archive and the list of feeds, served by both."""
    feeds = tmp_path / "site" / "feeds"
    for name in ("all.rss", "all.atom", "all.json", "economy.rss", "feeds.opml", "all/2026-10.atom"):
        write.write(feeds / name, BODY + name.encode(), CHANGED)
    async with beside(tmp_path) as found:
        yield found


def date(when: datetime) -> str:
    return format_datetime(when, usegmt=True)


ENCODINGS = (
    None,
    "",
    "identity",
    "gzip",
    "x-gzip",
    "GZIP",
    "gzip, deflate",
    "gzip, deflate, br",
    "gzip, deflate, br, zstd",
    "gzip,zstd",
    "br",
    "deflate",
    "abr, gzipped",
    "identity, gzip",
    "gzip;q=1.0,deflate;q=0.6,identity;q=0.3",
    "zstd;q=0.5, gzip",
    "br;q=0.9, gzip;q=1.0",
    "br;q=0, gzip",
    "*",
    "*;q=0, gzip",
    "gzip, identity;q=0",
    "identity;q=0",
    "br;level=9",
)


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("name", ["all.rss", "all.atom", "all.json", "feeds.opml", "all/2026-10.atom"])
async def test_every_feed_has_the_same_headers_in_every_coding(site: Beside, method: str, name: str) -> None:
    """FR-H1, H6 to H10, FR-W1, FR-W4: byte for byte."""
    for accepted in ENCODINGS:
        lines = [] if accepted is None else [f"Accept-Encoding: {accepted}"]
        service, nginx = await site.both(f"/feeds/{name}", *lines, method=method)
        assert service.compared == nginx.compared, accepted
        assert service.headers.get(b"last-modified") == nginx.headers.get(b"last-modified")


CONDITIONS: list[tuple[str, ...]] = [
    ("If-None-Match: {tag}",),
    ("If-None-Match: W/{tag}",),
    ('If-None-Match: "0-0"',),
    ('If-None-Match: "0-0", {tag}',),
    ("If-None-Match: *",),
    ("If-None-Match: {decorated}",),
    ("If-None-Match: {bare}",),
    ("If-None-Match: ",),
    ("If-None-Match: nonsense",),
    (f"If-Modified-Since: {date(CHANGED)}",),
    (f"If-Modified-Since: {date(CHANGED - timedelta(seconds=1))}",),
    (f"If-Modified-Since: {date(NOW)}",),
    (f"If-Modified-Since: {date(NOW + timedelta(days=5000))}",),
    ("If-Modified-Since: Monday, 23-Nov-26 07:00:00 GMT",),
    ("If-Modified-Since: yesterday",),
    # Both: the tag decides.
    ("If-None-Match: {tag}", f"If-Modified-Since: {date(CHANGED)}"),
    ("If-None-Match: {tag}", f"If-Modified-Since: {date(CHANGED - timedelta(days=1))}"),
    ("If-None-Match: {tag}", "If-Modified-Since: yesterday"),
    ('If-None-Match: "0-0"', f"If-Modified-Since: {date(NOW)}"),
    ("If-None-Match: ", f"If-Modified-Since: {date(NOW)}"),
    ("If-None-Match: {decorated}", f"If-Modified-Since: {date(CHANGED)}"),
    ("Range: bytes=0-9",),
    ("Range: bytes=0-9", "If-Range: {tag}"),
    ('If-Match: "0-0"',),
    (f"If-Unmodified-Since: {date(CHANGED - timedelta(days=1))}",),
    ("A-IM: feed",),
    ("Cookie: a=b",),
]


@pytest.mark.parametrize("accepted", ["identity", "gzip", "br", "zstd;q=0.5"])
async def test_every_condition_has_the_same_answer(site: Beside, accepted: str) -> None:
    """FR-H3 to H5, H12: whoever's tag it is, on a 304 too, and a 304 repeats it."""
    plain = f"Accept-Encoding: {accepted}"
    service, nginx = await site.both("/feeds/all.rss", plain)
    tags = service.headers[b"etag"].decode(), nginx.headers[b"etag"].decode()
    for condition in CONDITIONS:
        answers = []
        for port, tag in zip((site.service, site.nginx), tags, strict=True):
            words = {"tag": tag, "decorated": tag[:-1] + '-gzip"', "bare": tag.strip('"')}
            for method in ("GET", "HEAD"):
                lines = [line.format(**words) for line in condition]
                answers.append(await ask(port, "/feeds/all.rss", plain, *lines, method=method))
                if answers[-1].status == b"304":
                    assert b"date" in answers[-1].headers
                    assert answers[-1].headers[b"etag"].decode().startswith(tag[:-1]) or "{" not in condition[0]
        assert answers[0].compared == answers[2].compared, condition
        assert answers[1].compared == answers[3].compared, condition


async def test_a_tag_of_one_is_known_to_the_other(site: Beside) -> None:
    """FR-H3: whoever asks nginx today may be answered by the service tomorrow, and the other way round."""
    for accepted in ("identity", "gzip", "br", "zstd"):
        plain = f"Accept-Encoding: {accepted}"
        service, nginx = await site.both("/feeds/all.rss", plain)
        for port in (site.nginx, site.service):
            for tag in (service.headers[b"etag"], nginx.headers[b"etag"]):
                again = await ask(port, "/feeds/all.rss", plain, f"If-None-Match: {tag.decode()}")
                assert (again.status, again.headers[b"etag"]) == (b"304", tag)


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "OPTIONS", "DELETE"])
async def test_what_is_no_feed_has_the_same_answer(site: Beside, method: str) -> None:
    """FR-H1, FR-H11: moved 301, gone 410, being made 503, unknown 404, other methods 405 with Allow; pages as ever."""
    seen = {}
    for target in (
        "/feeds/all.rss?utm_source=x",
        "/feeds/money.rss",
        "/feeds/money/2026-10.atom",
        "/feeds/sport.json",
        "/feeds/new.atom",
        "/feeds/never.rss",
        "/feeds/all/2026-09.atom",
        "/feeds/ALL.rss",
        "/feeds/all.rss.gz",
        "/feeds/..%2fsite.rss",
        "/feeds//all.rss",
        "/feeds/",
        "/",
    ):
        service, nginx = await site.both(target, method=method)
        assert service.compared == nginx.compared, target
        seen[target] = nginx.status
    if method == "GET":
        assert list(seen.values()) == [
            *(b"200", b"301", b"301", b"410", b"503", b"404", b"404", b"404", b"200", b"404", b"404", b"200", b"200")
        ]


async def test_nginx_answers_alone_what_is_asked_plainly(site: Beside) -> None:
    """The service is not asked, whatever the coding, with a tag, and with a tag and a date as most readers send."""
    for accepted in ("gzip", "gzip, deflate, br", "identity", "zstd", "gzip;q=1.0,deflate;q=0.6,identity;q=0.3"):
        first = await site.through("/feeds/all.atom", f"Accept-Encoding: {accepted}")
        assert (first.status, site.reached) == (b"200", [])
        tag = f"If-None-Match: {first.headers[b'etag'].decode()}"
        since = f"If-Modified-Since: {first.headers[b'last-modified'].decode()}"
        for condition in ((tag,), (tag, since)):
            again = await site.through("/feeds/all.atom", f"Accept-Encoding: {accepted}", *condition)
            assert (again.status, site.reached) == (b"304", [])


async def test_the_tag_stays_while_the_bytes_do_and_changes_with_them(site: Beside, tmp_path: Path) -> None:
    """FR-H2, FR-H4: also with as many bytes, a second later, which is what the service sees to."""
    path = tmp_path / "site" / "feeds" / "all.rss"
    tags = {}
    for accepted in ("identity", "gzip", "br", "zstd"):
        answers = [await site.through("/feeds/all.rss", f"Accept-Encoding: {accepted}") for _ in range(2)]
        tags[accepted], again = (answer.headers[b"etag"] for answer in answers)
        assert tags[accepted] == again
    assert len(set(tags.values())) == len(tags)
    write.write(path, path.read_bytes()[::-1], CHANGED + timedelta(seconds=1))
    for accepted, tag in tags.items():
        changed = await site.through("/feeds/all.rss", f"Accept-Encoding: {accepted}", f"If-None-Match: {tag.decode()}")
        assert (changed.status, changed.headers[b"etag"] in tags.values()) == (b"200", False)


async def test_pollers_that_fetch_for_many_are_counted_and_everybody_is_told_apart(site: Beside) -> None:
    """FR-H11, FR-H15: the service sees who says "N subscribers", and every reader's own address."""
    feedly = "User-Agent: Feedly/1.0 (+http://www.feedly.com/fetcher.html; 16 subscribers; like FeedFetcher-Google)"
    assert (await site.through("/feeds/all.rss", feedly)).status == b"200"
    assert [(poller.poller, poller.subscribers) for poller in site.polls.take(NOW)] == [("feedly", 16)]
    page = await site.through("/", "X-Forwarded-For: 192.0.2.7")
    assert page.headers[b"x-page"] == b"192.0.2.7, 127.0.0.1"


async def test_feeds_are_served_while_the_service_is_down(site: Beside) -> None:
    """FR-H11: whoever asks however; for the rest 503 and when to come again, never HTML with 200."""
    service, _ = await site.both("/feeds/all.rss")
    archive, _ = await site.both("/feeds/all/2026-10.atom")
    tag = service.headers[b"etag"].decode()
    assert site.stop_service is not None
    await site.stop_service()
    for lines in ((), ("Accept-Encoding: br;q=0.5, gzip;q=1.0",), (f"If-None-Match: {tag}",)):
        answer = await site.through("/feeds/all.rss", *lines)
        assert answer.compared == service.compared, lines
    assert (await site.through("/feeds/all.rss", "Accept-Encoding: br")).headers[b"content-encoding"] == b"br"
    again = await site.through("/feeds/all/2026-10.atom")
    assert (again.status, again.headers[b"content-type"], again.body) == (
        b"200",
        archive.headers[b"content-type"],
        archive.body,
    )
    for target in ("/", "/feeds/money.rss", "/feeds/never.json"):
        answer = await site.through(target)
        assert (answer.status, answer.headers[b"retry-after"], answer.headers[b"cache-control"]) == (
            b"503",
            b"60",
            b"no-store",
        )
        assert answer.headers[b"content-type"] == b"text/plain; charset=utf-8"


def test_the_configuration_fits_a_service_that_was_told_nothing_else() -> None:
    """What is not to be changed is right already, and what is has its words in the instructions."""
    given, told = GIVEN.read_text(encoding="utf-8"), DEPLOYING.read_text(encoding="utf-8")
    assert f"server {Web().listen};  # CHANGE" in given
    assert "127.0.0.1" in Web().trusted_proxies
    changes = [line.strip() for line in given.splitlines() if "# CHANGE" in line]
    assert len(changes) == 6
    for key in ("web.listen", "web.public_url", "web.hubs", "web.feeds_as_xml"):
        assert f"`{key}`" in told
        assert any(key in line for line in changes)
    for name in ("server_name", "root"):
        assert f"`{name}`" in told
        assert any(line.startswith(f"{name} ") for line in changes)
