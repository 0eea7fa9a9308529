"""What serving feeds costs: answers per second of the feed server as a share of a bare ASGI app with the same bytes.

`uv run python -m tests.bench.feed_server [--seconds N] [--rounds N]`: prints medians and ratios for 200 (plain and
packed) and 304. Both run on the same uvicorn settings, each in a process of its own, asked in short turns by the same
client, so that what else the machine does meets both.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import multiprocessing
import os
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import uvicorn

from publisher.feeds import write
from publisher.feeds.routes import Routes
from publisher.web.feeds import FeedsApp
from publisher.web.polls import Clients, Limit, Polls

PATH = "/feeds/all.atom"
ROUTES = Routes(
    topics={"all.atom": "https://news.example/feeds/all.atom"},
    links={
        "all.atom": '<https://news.example/feeds/all.atom>; rel="self", <https://hub.example/>; rel="hub", '
        '<https://news.example/feeds/all>; rel="alternate"; type="text/html"'
    },
)
USUAL = (
    "User-Agent: Feedly/1.0 (+http://www.feedly.com/fetcher.html; 16 subscribers; like FeedFetcher-Google)",
    "Accept: application/atom+xml, application/rss+xml, */*;q=0.5",
    "Connection: keep-alive",
)


def now() -> datetime:
    """Return the current moment."""
    return datetime.now(UTC)


async def nothing(scope: Any, receive: Any, send: Any) -> None:
    """The application behind, never asked."""
    raise AssertionError(scope["path"])


def feeds(folder: Path) -> Any:
    """The feed server as the service runs it, but for the limit: the client asks far too often."""
    return FeedsApp(
        nothing,
        folder,
        now,
        routes=lambda: ROUTES,
        polls=Polls(),
        limit=Limit(10**9),
        clients=Clients(["192.0.2.0/24"]),
    )


def bare(status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> Any:
    """An app that answers with these bytes whatever is asked."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    return app


def serve(app: Any, listener: socket.socket) -> None:
    """Run a server until the process ends, on a processor of its own where there are two."""
    pin(0)
    settings = uvicorn.Config(app, log_config=None, access_log=False, lifespan="off", server_header=False)
    settings.proxy_headers = False
    uvicorn.Server(settings).run(sockets=[listener])


def pin(number: int) -> None:
    """Stay on one processor, so that client and server do not push each other about."""
    if hasattr(os, "sched_setaffinity") and len(processors := sorted(os.sched_getaffinity(0))) > 1:
        os.sched_setaffinity(0, {processors[number]})


@contextlib.contextmanager
def running(app: Any) -> Iterator[int]:
    """Run an app in another process; yields its port."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(512)
        process = multiprocessing.get_context("fork").Process(target=serve, args=(app, listener), daemon=True)
        process.start()
        try:
            yield listener.getsockname()[1]
        finally:
            process.kill()
            process.join()


class Client(asyncio.Protocol):
    """One kept connection that asks again as soon as it was answered; every answer has the same length."""

    def __init__(self, request: bytes, length: int, count: list[int]) -> None:
        self.request, self.length, self.count = request, length, count
        self.missing = length

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.write(self.request)

    def data_received(self, data: bytes) -> None:
        self.missing -= len(data)
        if self.missing == 0:
            self.missing = self.length
            self.count[0] += 1
            self.transport.write(self.request)
        assert self.missing > 0, "an answer of another length"


async def rate(port: int, request: bytes, length: int, seconds: float, connections: int) -> float:
    """Return answers per second."""
    loop, count = asyncio.get_running_loop(), [0]
    made = [
        await loop.create_connection(lambda: Client(request, length, count), "127.0.0.1", port)
        for _ in range(connections)
    ]
    await asyncio.sleep(0.05)
    begun, started = count[0], time.perf_counter()
    await asyncio.sleep(seconds)
    done = (count[0] - begun) / (time.perf_counter() - started)
    for transport, _ in made:
        transport.close()
    return done


def ask(port: int, request: bytes) -> tuple[bytes, bytes]:
    """Return head and body of one answer."""
    with socket.create_connection(("127.0.0.1", port)) as link:
        link.sendall(request)
        got = b""
        while b"\r\n\r\n" not in got:
            got += link.recv(65536)
        head, _, body = got.partition(b"\r\n\r\n")
        length = next((int(f[15:]) for f in head.lower().split(b"\r\n") if f.startswith(b"content-length:")), 0)
        while len(body) < length:
            body += link.recv(65536)
    return head, body


def parts(head: bytes) -> tuple[int, list[tuple[bytes, bytes]]]:
    """Return status and headers of an answer, without the date, which the server writes."""
    first, *lines = head.split(b"\r\n")
    fields = [(name, value.strip()) for name, _, value in (line.partition(b":") for line in lines)]
    return int(first.split()[1]), [field for field in fields if field[0] != b"date"]


def measure(name: str, lines: tuple[str, ...], folder: Path, options: argparse.Namespace) -> float:
    """Measure one kind of request on both; print and return the median of the ratios."""
    request = "\r\n".join([f"GET {PATH} HTTP/1.1", "Host: news.example", *USUAL, *lines, "", ""]).encode()
    with running(feeds(folder)) as ours:
        head, body = ask(ours, request)
        length = len(head) + 4 + len(body)
        with running(bare(*parts(head), body)) as theirs:
            assert len(ask(theirs, request)[0]) == len(head)
            rates: dict[int, list[float]] = {ours: [], theirs: []}
            for number in range(options.rounds):
                for port in (ours, theirs) if number % 2 else (theirs, ours):
                    run = rate(port, request, length, options.seconds, options.connections)
                    rates[port].append(asyncio.run(run))
    ratio = statistics.median(mine / its for mine, its in zip(rates[ours], rates[theirs], strict=True))
    mine, its = statistics.median(rates[ours]), statistics.median(rates[theirs])
    print(f"{name:28} {mine:8.0f}/s  bare {its:8.0f}/s  ratio {ratio:.2f}  ({len(body)} bytes)", flush=True)
    return ratio


def main() -> None:
    """Print answers per second and the share of the bare app's."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=0.3)
    parser.add_argument("--rounds", type=int, default=31)
    parser.add_argument("--connections", type=int, default=16)
    options = parser.parse_args()
    pin(-1)
    text = Path(__file__).with_name("feed_server.py").read_bytes() + Path(write.__file__).read_bytes()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        write.write(folder / "all.atom", text * 10, datetime(2026, 11, 23, 7, tzinfo=UTC))
        tag = write.etag_of(text * 10)
        kinds = {
            "200 br": ("Accept-Encoding: gzip, deflate, br",),
            "200 plain": (),
            "304 by tag": ("Accept-Encoding: gzip, deflate, br", f'If-None-Match: "{tag}-br"'),
            "304 by a decorated tag": ("Accept-Encoding: gzip", f'If-None-Match: W/"{tag}-gzip;gzip"'),
            "304 by date": ("Accept-Encoding: gzip", "If-Modified-Since: Mon, 23 Nov 2026 07:00:00 GMT"),
        }
        worst = min(measure(name, lines, folder, options) for name, lines in kinds.items())
    print(f"worst ratio {worst:.2f}")
    sys.exit(worst < 0.8)


if __name__ == "__main__":
    main()
