"""Importing readers from tables: batch by batch, so that a file of any size passes through a running service."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from publisher.app.readers import Readers
from publisher.app.shared import Shared, Stories, silent
from publisher.clock import now
from publisher.control import Progress
from publisher.subscriptions import imports


class Importing(Stories):
    """The three steps of an import; `subscriptions.files.run` takes them."""

    def __init__(self, shared: Shared, readers: Readers) -> None:
        super().__init__(shared)
        self._readers = readers

    async def begin(self, digest: str, file: str, *, progress: Progress = silent) -> dict[str, Any]:  # noqa: ARG002 - every action has it
        """Begin an import, or go on with the one of this digest that was broken off."""
        return await asyncio.to_thread(imports.begin, self.database, digest=digest, file=file, now=now())

    async def take(
        self,
        import_id: int | None,
        rows: Sequence[Sequence[Any]],
        upto: int,
        *,
        opt_in: bool = False,
        progress: Progress = silent,  # noqa: ARG002 - every action has it
    ) -> dict[str, Any]:
        """Take one batch of rows, or without `import_id` count what would happen."""
        done = await asyncio.to_thread(
            imports.take,
            self.database,
            self.config,
            import_id=import_id,
            rows=rows,
            upto=upto,
            opt_in=opt_in,
            house=self._readers.house,
            now=now(),
        )
        if opt_in and import_id is not None:
            self._readers.noticed.set()
        return done

    async def finish(
        self,
        import_id: int,
        counts: Mapping[str, int],
        *,
        progress: Progress = silent,  # noqa: ARG002 - every action has it
    ) -> None:
        """End an import."""
        await asyncio.to_thread(imports.finish, self.database, import_id=import_id, counts=counts, now=now())
