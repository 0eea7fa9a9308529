"""A hub on loopback that writes down what it is told and answers as a test wants."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import parse_qs


@dataclass
class Hub:
    """What a hub was told: the form of every post."""

    port: int = 0
    status: bytes = b"204 No Content"
    headers: bytes = b""
    silent: bool = False
    posts: list[dict[str, list[str]]] = field(default_factory=list)
    heads: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}/hub?a=1"

    def topics(self) -> list[str]:
        """Addresses of the feeds it was told of since the last call."""
        told = sorted(post["hub.topic"][0] for post in self.posts)
        self.posts.clear()
        return told

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Read posts until the client goes."""
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                length = next(
                    int(line[15:]) for line in head.split("\r\n") if line.lower().startswith("content-length:")
                )
                self.posts.append(parse_qs((await reader.readexactly(length)).decode()))
                self.heads.append(head)
                if self.silent:
                    await reader.read()
                    return
                length_line = b"" if self.status.startswith(b"204") else b"Content-Length: 0\r\n"
                writer.write(b"HTTP/1.1 " + self.status + b"\r\n" + length_line + self.headers + b"\r\n")
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            writer.close()


@asynccontextmanager
async def running_hub() -> AsyncIterator[Hub]:
    """Run a hub on a free port of loopback."""
    hub = Hub()
    server = await asyncio.start_server(hub.answer, "127.0.0.1", 0)
    hub.port = server.sockets[0].getsockname()[1]
    try:
        yield hub
    finally:
        server.close()
