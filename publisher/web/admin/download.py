"""A long table, read as fast as it is taken, in little memory, and ended when nobody takes it any more."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from publisher.store.database import Connection, Database
from publisher.subscriptions import exports

_TOGETHER = 500
"""Lines of a piece."""
_AHEAD = 4
"""Pieces that are read before somebody takes them."""


class _Unwanted(Exception):  # noqa: N818 - not an error: it ends the reading
    """Nobody takes the table any more."""


async def lines_of(database: Database) -> AsyncIterator[str]:
    """Yield all readers as CSV, in pieces; one state of the database throughout."""
    loop = asyncio.get_running_loop()
    pieces: asyncio.Queue[str | None] = asyncio.Queue(_AHEAD)
    unwanted = asyncio.Event()

    async def put(piece: str | None) -> None:
        waiting = asyncio.ensure_future(pieces.put(piece))
        given_up = asyncio.ensure_future(unwanted.wait())
        await asyncio.wait({waiting, given_up}, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        given_up.cancel()

    def hand_over(piece: str | None) -> None:
        asyncio.run_coroutine_threadsafe(put(piece), loop).result()
        if unwanted.is_set():
            raise _Unwanted

    def work(conn: Connection) -> None:
        piece: list[str] = []
        for line, _ in exports.lines(conn):
            piece.append(line)
            if len(piece) == _TOGETHER:
                hand_over("".join(piece))
                piece.clear()
        hand_over("".join(piece))

    async def read() -> None:
        try:
            with contextlib.suppress(_Unwanted):
                await database.aread(work)
        finally:
            await put(None)

    reading = asyncio.create_task(read())
    try:
        while (piece := await pieces.get()) is not None:
            if piece:
                yield piece
        await reading  # what went wrong breaks the answer off, so that half a table is not taken for a whole one
    finally:
        unwanted.set()
