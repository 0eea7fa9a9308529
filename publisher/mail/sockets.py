"""Connecting to a host: its address is looked up each time, and one that does not answer delays the next but little."""

from __future__ import annotations

import asyncio
import itertools
import socket
from collections import defaultdict, deque
from collections.abc import Iterable
from typing import Any

HEAD_START = 0.25
"""Seconds that an address has before the next is tried beside it (RFC 8305 §5)."""

Address = tuple[socket.AddressFamily, socket.SocketKind, int, str, Any]
"""As `getaddrinfo` gives it."""


class UnreachableError(Exception):
    """No address of the host answered, or it has none; the text names host and reason."""


async def connect(host: str, port: int, timeout: float) -> socket.socket:  # noqa: ASYNC109 - of two parts, told apart
    """Return a socket connected to the first of the host's addresses that answers.

    `timeout` in seconds is for the look-up and for all addresses together. Raises UnreachableError.
    """
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(timeout):
            found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise UnreachableError(f"{host}: {str(error) or 'no answer about its address'}") from error
    try:
        async with asyncio.timeout(timeout):
            return await _first(deque(alternating(found)))
    except OSError as error:  # TimeoutError is one
        reason = str(error) or f"no answer within {timeout:g} s"
        raise UnreachableError(f"cannot connect to {host} port {port}: {reason}") from error


def alternating(addresses: Iterable[Address]) -> list[Address]:
    """Return addresses so that each family has its turn, the first family first (RFC 8305 §4)."""
    families: dict[int, list[Address]] = defaultdict(list)
    for address in addresses:
        families[address[0]].append(address)
    return [one for turn in itertools.zip_longest(*families.values()) for one in turn if one is not None]


async def _first(waiting: deque[Address]) -> socket.socket:
    """Try the addresses, each a head start after the one before or at its failure. Raises the last one's OSError."""
    trying: set[asyncio.Task[socket.socket]] = set()
    last: BaseException = OSError("it has no address")
    try:
        while waiting or trying:
            if waiting:
                trying.add(asyncio.create_task(_connected(waiting.popleft())))
            done, trying = await asyncio.wait(
                trying, timeout=HEAD_START if waiting else None, return_when=asyncio.FIRST_COMPLETED
            )
            for task in done:
                if (error := task.exception()) is None:
                    trying |= done - {task}  # whoever comes second is let go below
                    return task.result()
                last = error
        raise last
    finally:
        for task in trying:
            task.cancel()
        for late in await asyncio.gather(*trying, return_exceptions=True):
            if isinstance(late, socket.socket):
                late.close()


async def _connected(address: Address) -> socket.socket:
    family, kind, number, _, where = address
    plug = socket.socket(family, kind, number)
    try:
        plug.setblocking(False)
        plug.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await asyncio.get_running_loop().sock_connect(plug, where)
    except BaseException:
        plug.close()
        raise
    return plug
