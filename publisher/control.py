"""The control socket: a command reaches the running service and tells the same story there."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

import httpx2
import structlog
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from publisher import errors
from publisher.errors import BusyError, PublisherError

log: structlog.stdlib.BoundLogger = structlog.get_logger()

SOCKET = "control.sock"

# A path in a socket address holds 108 bytes on Linux, the closing NUL included (unix(7)).
_LONGEST_PATH = 107


class Progress(Protocol):
    """Told of steps while a story runs: what is being done, how many are done, of how many (None: unknown)."""

    def __call__(self, label: str, done: int, total: int | None) -> None:
        """Note a step."""


Action = Callable[..., Awaitable[Any]]
"""A story by name: takes `progress` and JSON values by keyword, returns a JSON value."""


@contextlib.contextmanager
def address(data_dir: Path) -> Iterator[str]:
    """Yield a path of the socket that fits a socket address however deep the data directory lies."""
    path = str(data_dir / SOCKET)
    if len(os.fsencode(path)) <= _LONGEST_PATH:
        yield path
        return
    handle = os.open(data_dir, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{handle}/{SOCKET}"
    finally:
        os.close(handle)


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


async def call(data_dir: Path, action: str, arguments: Mapping[str, Any], progress: Progress) -> Any:  # noqa: ANN401 - a JSON value
    """Let the running service do it. Errors of the story are raised here as they were raised there.

    Raises BusyError when nobody answers at the socket.
    """
    with address(data_dir) as path:
        transport = httpx2.AsyncHTTPTransport(uds=path)
        # A story takes as long as it takes; only reaching the service is bounded.
        timeout = httpx2.Timeout(None, connect=5.0)
        try:
            async with (
                httpx2.AsyncClient(transport=transport, timeout=timeout) as client,
                client.stream("POST", f"http://control/{action}", json=dict(arguments)) as response,
            ):
                async for text in response.aiter_lines():
                    line = json.loads(text)
                    if "progress" in line:
                        progress(*line["progress"])
                    elif "error" in line:
                        raise _rebuilt(line["error"])
                    else:
                        return line["result"]
        except httpx2.ConnectError as error:
            raise BusyError(
                f"another process holds {data_dir} but does not answer at {SOCKET}; try again when it has finished"
            ) from error
        except httpx2.TransportError as error:
            raise PublisherError(f"the service broke off while doing {action!r}; its log says why") from error
    raise PublisherError(f"the service gave no answer to {action!r}; its log says why")


def _rebuilt(error: Mapping[str, str]) -> PublisherError:
    kind = getattr(errors, error["type"], PublisherError)
    if not issubclass(kind, PublisherError) or kind is errors.ConfigurationError:
        kind = PublisherError
    rebuilt: PublisherError = kind(error["message"])
    return rebuilt
