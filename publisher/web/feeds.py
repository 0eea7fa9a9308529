"""Feeds over HTTP: a raw ASGI application ahead of the pages, kept short because feeds are polled all day."""

from __future__ import annotations

import asyncio
import os
import re
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import anyio.to_thread
from starlette.types import ASGIApp, Receive, Scope, Send

from publisher.feeds import write
from publisher.feeds.routes import NOWHERE, Routes
from publisher.web.polls import FREE_ANSWER, Clients, Limit, Polls
from publisher.web.representation import (
    ARCHIVE_CACHE_CONTROL,
    CACHE_CONTROL,
    CONTENT_TYPES,
    READING,
    Representation,
    Response,
    answer,
    content_type,
    elsewhere,
    fields_of,
    gone,
    not_allowed,
    not_yet,
    ready_of,
    representation,
    too_often,
    unknown,
)

_PREFIX = "/feeds/"
_ENDINGS = tuple(f".{form}" for form in CONTENT_TYPES)
# A slug, the month of an archive, a format: nothing to climb with, nothing a file system reads in its own way.
_NAME = re.compile(
    r"(?P<slug>[a-z0-9]+(?:-[a-z0-9]+)*)(?P<rest>(?P<month>/[0-9]{4}-[0-9]{2})?\.(?P<form>[a-z]+))\Z", re.ASCII
)

MEMORY = 32 * 2**20
"""Bytes of feeds kept in memory: some 200 feeds with their packed forms, and the archives that are being walked."""
TRUSTED = 0.01
"""Seconds for which a file is taken to be the one just seen."""
_COUNTED_FOR = 30.0  # seconds for which a User-Agent is not counted again
_MOST_AGENTS = 256  # of one feed; more are counted each time


class FeedsApp:
    """Answers for feeds, archives and lists of feeds below `/feeds/`, and hands everything else on to `app`.

    A file is read when it is first asked for and again when another has taken its place, which one `stat` shows;
    `ticks` are seconds of any clock that only goes forward, `trusted` is for how many a file is not looked at again.
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
        trusted: float = TRUSTED,
    ) -> None:
        self._app = app
        self._folder = folder
        self._clock = clock
        self._routes = routes
        self._polls = polls or Polls()
        self._limit = limit or Limit(0)
        self._clients = clients or Clients()
        self._ticks = ticks
        self._trusted = trusted
        self._kept = _Kept(memory)
        self._loading = asyncio.Lock()

    @property
    def in_memory(self) -> tuple[str, ...]:
        """Names of the files kept in memory, the one asked for last at the end."""
        return tuple(held.name for held in self._kept.held.values())

    @property
    def memory_used(self) -> int:
        """Bytes that these take."""
        return self._kept.size

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        held = self._kept.held.get(scope.get("path", ""))
        # Nearly every request is for a feed in memory, and asked as others asked before: this is all that it costs.
        if held is not None and scope.get("method") == "GET" and (held.fresh or self._is_same(held, scope["path"])):
            headers = scope["headers"]
            asked = dict(headers)
            ready = held.made.remembered(asked) if len(asked) == len(headers) else None
            if ready is not None:
                status, start, body = ready
                if asked.get(b"user-agent") not in held.agents:
                    self._note(held, asked)
                # What is remembered with 200 was asked for without a condition.
                if status == 200 and (seconds := self._pause(scope["client"], held, asked, 1.0)):
                    status, start, body = ready_of("GET", too_often(seconds))
                held.answers[status] = held.answers.get(status, 0) + 1
                await send(start)
                await send(body)
                return
        await self._answer(scope, receive, send)

    def _is_same(self, held: _Held, path: str) -> bool:
        """Look at the file again; False when there is another now, or none."""
        same = self._kept.get(path, self._routes()) is held
        if same:
            self._seen(held)
        return same

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request that needs thought."""
        if scope["type"] != "http" or not (scope["path"].startswith(_PREFIX) and scope["path"].endswith(_ENDINGS)):
            await self._app(scope, receive, send)
            return
        method = scope["method"]
        found = await self._find(scope["path"])
        if isinstance(found, _Held):
            asked = fields_of(scope["headers"])
            ready = answer(method, asked, found.made, self._clock())
            if ready[0] < 400:
                self._note(found, asked)
            if ready[0] == 200 and method == "GET":
                conditional = b"if-none-match" in asked or b"if-modified-since" in asked
                if seconds := self._pause(scope["client"], found, asked, FREE_ANSWER if conditional else 1.0):
                    ready = ready_of(method, too_often(seconds))
            answers = found.answers
        else:
            ready = ready_of(method, found if method in READING else not_allowed())
            # Names of feeds that are not there come from whoever asks: as labels they would grow without end.
            answers = self._polls.answers_of()
        status, start, body = ready
        answers[status] = answers.get(status, 0) + 1
        await send(start)
        await send(body)

    def _note(self, held: _Held, asked: Mapping[bytes, bytes]) -> None:
        """Count who polls; who was counted a moment ago need not be again."""
        agent = asked.get(b"user-agent")
        if agent is not None:
            self._polls.count(held.name, agent)
        if len(held.agents) < _MOST_AGENTS:
            held.agents.add(agent)

    def _pause(self, peer: tuple[str, int] | None, held: _Held, asked: Mapping[bytes, bytes], cost: float) -> int:
        """Return for how many seconds the client, which downloaded the feed so often, must wait; 0: not at all."""
        if peer is None:
            return 0
        client = self._clients.address(peer[0], asked.get(b"x-forwarded-for", b""))
        return self._limit.wait(client, held.name, cost, held.seen)

    async def _find(self, path: str) -> _Held | Response:
        name = path[len(_PREFIX) :]
        match = _NAME.match(name)
        if match is None:
            return unknown()
        routes = self._routes()
        if (held := self._kept.get(path, routes)) is not None:
            return self._seen(held)
        if (now_at := routes.moved.get(match["slug"])) is not None:
            return elsewhere(f"{now_at}{match['rest']}")
        if match["slug"] in routes.gone:
            return gone()
        async with self._loading:  # a feed that changed is read once, however many ask for it at that moment
            if (held := self._kept.get(path, routes)) is not None:
                return self._seen(held)
            try:
                file = await anyio.to_thread.run_sync(write.read, self._folder / name)
            except RuntimeError:  # no thread is to be had: a moment on the event loop is better than no answer (K13)
                file = write.read(self._folder / name)
            if file is None:
                return not_yet() if name in routes.topics else unknown()
            closed = match["month"] and name not in routes.unfinished
            cache_control = ARCHIVE_CACHE_CONTROL if closed else CACHE_CONTROL
            made = representation(
                file, content_type(match["form"], as_xml=routes.as_xml), routes.links.get(name, ""), cache_control
            )
            answers = self._polls.answers_of(match["slug"], match["form"])
            held = _Held(name, os.fspath(self._folder / name), file.identity, made, answers)
            if routes is self._routes():  # else its headers may be those of yesterday
                self._kept.put(path, held)
            return self._seen(held)

    def _seen(self, held: _Held) -> _Held:
        """Take the file for unchanged for a moment: under load, looking at it would be half of the answer."""
        held.seen = self._ticks()
        if held.seen - held.counted_since > _COUNTED_FOR:
            held.agents.clear()
            held.counted_since = held.seen
        if self._trusted and not held.fresh:
            held.fresh = True
            asyncio.get_running_loop().call_later(self._trusted, held.doubt)
        return held


@dataclass(slots=True)
class _Held:
    """A feed in memory, the file it was read from, and when it was last seen to be the same."""

    name: str
    file: str
    identity: write.Identity
    made: Representation
    answers: dict[int, int]
    """How often it was answered, by status."""
    seen: float = 0.0
    """When the file was last looked at, in ticks."""
    fresh: bool = False
    """Whether that was a moment ago."""
    agents: set[bytes | None] = field(default_factory=set)
    """User-Agents counted since `counted_since`."""
    counted_since: float = 0.0

    def doubt(self) -> None:
        """Look at the file again at the next request."""
        self.fresh = False

    def is_there(self) -> bool:
        """Whether the file is still the one that was read."""
        try:
            found = os.stat(self.file)  # noqa: PTH116 - a Path would cost more than the call itself
        except OSError:
            return False
        return write.Identity(found.st_ino, found.st_mtime_ns, found.st_size) == self.identity


class _Kept:
    """Feeds in memory, as many as fit, those asked for last; each as long as its file is the one that was read."""

    def __init__(self, memory: int) -> None:
        self.held: OrderedDict[str, _Held] = OrderedDict()
        """By path; what was asked for last is at the end."""
        self.size = 0
        self._memory = memory
        self._routes = NOWHERE

    def get(self, path: str, routes: Routes) -> _Held | None:
        """Return the feed if it is here and its file has not changed; other routes mean other headers."""
        if routes is not self._routes:
            self.held.clear()
            self.size, self._routes = 0, routes
        held = self.held.get(path)
        if held is None:
            return None
        if not held.is_there():
            self._drop(path)
            return None
        self.held.move_to_end(path)
        return held

    def put(self, path: str, held: _Held) -> None:
        """Keep a feed, and let go of those asked for longest ago when there is no room."""
        self._drop(path)
        self.held[path] = held
        self.size += held.made.size
        while self.size > self._memory:
            self._drop(next(iter(self.held)))

    def _drop(self, path: str) -> None:
        if (held := self.held.pop(path, None)) is not None:
            self.size -= held.made.size
