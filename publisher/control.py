"""The way from a command to the running service, which tells the same story there."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

from publisher import errors
from publisher.errors import BusyError, PublisherError

SOCKET = "control.sock"

# A path in a socket address holds 108 bytes on Linux, the closing NUL included (unix(7)).
_LONGEST_PATH = 107


class Progress(Protocol):
    """Told of steps while a story runs: what is being done, how many are done, of how many (None: unknown)."""

    def __call__(self, label: str, done: int, total: int | None) -> None:
        """Note a step."""


def silent(label: str, done: int, total: int | None) -> None:
    """Report progress to nobody."""


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


async def call(data_dir: Path, action: str, arguments: Mapping[str, Any], progress: Progress) -> Any:  # noqa: ANN401 - a JSON value
    """Let the running service do it. Errors of the story are raised here as they were raised there.

    Raises BusyError when nobody answers at the socket.
    """
    import httpx2

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
