"""The control socket's side of the service: each story by its name, answered by lines of JSON."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

import structlog
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from publisher.errors import PublisherError

log: structlog.stdlib.BoundLogger = structlog.get_logger()

Action = Callable[..., Awaitable[Any]]
"""A story by name: takes `progress` and JSON values by keyword, returns a JSON value."""


def application(actions: Mapping[str, Action], running: set[asyncio.Task[None]] | None = None) -> Starlette:
    """Build the ASGI app behind the socket: `POST /ACTION` with a JSON object, answered by lines of JSON.

    Each line is `{"progress": [label, done, total]}`, and the last `{"result": …}` or `{"error": {type, message}}`.
    `running` is given the stories that are being told: one outlives the command that asked for it.
    """
    stories = set() if running is None else running

    async def perform(request: Request) -> Response:
        action = actions.get(request.path_params["action"])
        if action is None:
            return JSONResponse(
                {"error": {"type": "NotFoundError", "message": "the service knows no such command"}}, 404
            )
        return StreamingResponse(_lines(action, await request.json(), stories), media_type="application/x-ndjson")

    return Starlette(routes=[Route("/{action}", perform, methods=["POST"])])


async def _lines(
    action: Action, arguments: Mapping[str, Any], stories: set[asyncio.Task[None]]
) -> AsyncIterator[bytes]:
    queue: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue()
    loop = asyncio.get_running_loop()

    def progress(label: str, done: int, total: int | None) -> None:
        # Stories report from their threads too.
        loop.call_soon_threadsafe(queue.put_nowait, {"progress": [label, done, total]})

    async def work() -> None:
        try:
            line = {"result": await action(progress=progress, **arguments)}
        except PublisherError as error:
            line = {"error": {"type": type(error).__name__, "message": str(error)}}
        except Exception as error:  # a mistake of ours: the command must hear of it, and the log tell where it is
            log.exception("command failed")
            message = f"unexpected {type(error).__name__}: {error}; the service's log says where"
            line = {"error": {"type": "PublisherError", "message": message}}
        loop.call_soon(queue.put_nowait, line)
        loop.call_soon(queue.put_nowait, None)

    # A task of its own: a command interrupted at the terminal leaves its story to finish, for half of one helps nobody.
    task = asyncio.create_task(work())
    stories.add(task)
    task.add_done_callback(stories.discard)
    # Broken off, the story must end the stream, not leave the command waiting for ever.
    task.add_done_callback(lambda done: queue.put_nowait(None) if done.cancelled() else None)
    while (line := await queue.get()) is not None:
        yield json.dumps(line, ensure_ascii=False).encode() + b"\n"
