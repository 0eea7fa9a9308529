"""Where the service listens: two addresses, the control socket, and the server that answers on each."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send

from publisher import control
from publisher.config import split_listen
from publisher.errors import PublisherError


class _Server(uvicorn.Server):
    """uvicorn without its own signal handlers: signals stop the service as a whole, in order."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class Present:
    """The application of this moment: each request is answered by the one that it came to."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand the request on."""
        await self.app(scope, receive, send)


class Later:
    """An application that is made when it is first asked something, so that nobody waits for it before."""

    def __init__(self, make: Callable[[], ASGIApp]) -> None:
        self._make = make
        self._app: ASGIApp | None = None

    def made(self) -> ASGIApp:
        """Return the application, made now if nobody has asked yet."""
        if self._app is None:
            self._app = self._make()
        return self._app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand the request on."""
        await self.made()(scope, receive, send)


def server(app: ASGIApp, *, grace: int) -> uvicorn.Server:
    """Return a server of ours for an application; requests that are open may take `grace` seconds when it stops."""
    settings = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        lifespan="off",
        server_header=False,
        ws="none",
        # Who the client is, a proxy in front may say only where an operator trusts it; nothing here asks yet.
        proxy_headers=False,
        timeout_graceful_shutdown=grace,
    )
    return _Server(settings)


def bound(listen: str, key: str) -> socket.socket:
    """Listen on an address; `key` names it in the configuration. Raises PublisherError when it is taken."""
    host, port = split_listen(listen)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise PublisherError(
            f"{listen} ({key}) cannot be listened on: {error.strerror}; choose another port"
        ) from error
    return listener


def url(listener: socket.socket) -> str:
    """Return where a listener answers."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


@contextlib.contextmanager
def control_socket(data_dir: Path) -> Iterator[socket.socket]:
    """Listen on the control socket; only this user may speak to it."""
    with control.address(data_dir) as path:
        # The lock on the directory is ours, so a socket that lies here is of a process that is gone.
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)  # noqa: PTH108 - a path of 108 bytes at most, perhaps through /proc
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        before = os.umask(0o177)
        try:
            listener.bind(path)
        finally:
            os.umask(before)
        try:
            yield listener
        finally:
            listener.close()
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)  # noqa: PTH108 - as above
