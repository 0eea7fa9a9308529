"""Another configuration while the service runs: tried as a whole first, then taken in one step, or not at all."""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Callable
from typing import Any

import structlog

from publisher import config as configuration
from publisher import reports
from publisher.app import trials
from publisher.app.looking import check_made
from publisher.app.prints import Prints, configuration_files, prints_of, template_folders
from publisher.app.shared import Made, Shared, Stories, silent
from publisher.clock import now
from publisher.config import Config
from publisher.config.changes import differences, within_a_run
from publisher.config.names import keeps_names, renamed, stranded
from publisher.control import Progress
from publisher.errors import BusyError, ConfigurationError, PublisherError, RefusedError, StoreError
from publisher.store import meta, names
from publisher.store.database import Connection

log: structlog.stdlib.BoundLogger = structlog.get_logger()

LOOK_EVERY = 0.1
"""Seconds between two looks at the files; a change is taken when two looks see the same."""
MOST_LOOKS = 10
"""Files that never rest are read all the same after so many looks."""


def _nothing() -> None:
    """Tell nobody."""


class Reloading(Stories):
    """The story of a reload. `adopt` is told what was before, once, when everything new is there."""

    def __init__(self, shared: Shared, adopt: Callable[[Made], None]) -> None:
        super().__init__(shared)
        self._adopt = adopt
        self._wanted = shared.config
        """As the files have it, also what waits for a restart."""
        self._running = asyncio.Lock()
        self._next: asyncio.Task[dict[str, Any]] | None = None
        self.problem = ""
        """Why the files are not what the service goes by; "" when they are."""
        self.counted: Counter[str] = Counter()
        """How many reloads this process made, by outcome (ok, failed)."""
        self.taken_at = now()
        """When a configuration was last taken."""
        self.last_taken = True
        """Whether the last reload was."""
        self.adopted: list[Callable[[], None]] = []
        """Told after each change, for what stands on the app."""
        self.begun: Callable[[], None] = _nothing
        self.ended: Callable[[], None] = _nothing
        """Told around each reload, whether it is taken or rejected."""
        self._seen = self._look()

    async def reload(self, *, progress: Progress = silent) -> dict[str, Any]:
        """Go by the files as they are now. What is asked while one goes on is answered by the next, all together.

        Raises ConfigurationError and RefusedError; then everything stays as it was.
        """
        progress("reloading", 0, None)
        if self._next is None:
            self._next = asyncio.create_task(self._reload_next())
        return await asyncio.shield(self._next)

    async def _reload_next(self) -> dict[str, Any]:
        async with self._running:
            self._next = None
            self.begun()
            try:
                done = await self._reload()
            except (PublisherError, OSError) as error:
                if self.shared.stop.is_set():
                    raise
                self.last_taken = False
                self.counted["failed"] += 1
                await self._note(str(error))
                reason = str(error)
                log.error("the configuration is rejected, the one before stays", reason=reason)  # noqa: TRY400 - a typing error needs no traceback
                raise
            finally:
                self.ended()
        return done

    async def _reload(self) -> dict[str, Any]:
        if not self.config.files:
            raise RefusedError("this service was started without a configuration file, so that there is none to reload")
        before = self.shared.made
        wanted, made, kept = await asyncio.to_thread(self._make, before)
        await self._keep_readers(before.config, made.config)
        if self.shared.stop.is_set():
            raise RefusedError("the service is about to stop; the next start reads the configuration")
        changes = differences(before.config, made.config, now())
        templates = before.templates != made.templates
        # From here on nothing waits: whoever looks sees all of the old one or all of the new one.
        self._wanted = wanted
        if changes or templates or before.keys != made.keys:
            self.shared.made = made
            self._adopt(before)
            for told in self.adopted:
                told()
        self.last_taken, self.taken_at = True, now()
        self.counted["ok"] += 1
        restart = f"needs a restart: {', '.join(kept)}" if kept else ""
        await self._note(restart)
        for line in changes:
            log.info("configuration changed", change=line)
        if kept:
            log.warning("what changed needs a restart", keys=list(kept))
        if changes or templates:
            log.info("configuration reloaded", changes=len(changes), templates=templates)
        await self._remember()
        return {"changes": list(changes), "templates": templates, "needs_restart": list(kept)}

    def _make(self, before: Made) -> tuple[Config, Made, tuple[str, ...]]:
        wanted = configuration.load(before.config.files[0], os.environ)
        config, kept = within_a_run(before.config, wanted)
        if problems := configuration.sending_problems(config):
            raise ConfigurationError(problems)
        made = Made.of(config, before)
        if made.config != before.config or made.templates != before.templates:
            made = check_made(made)
        return wanted, made, kept

    async def _keep_readers(self, before: Config, after: Config) -> None:
        """Let readers follow what was renamed. Raises ConfigurationError when a name is gone that some hold."""
        changes = renamed(after)
        if keeps_names(before, after) and changes == renamed(before):
            return  # most edits: a million readers need not be asked, nor writers wait for it

        def work(conn: Connection) -> int:
            held = names.held(conn)
            lost = stranded(before, after, held.frequencies, held.categories)
            if lost:
                raise ConfigurationError(after.places.problems(lost))
            return names.rename(conn, changes)

        if moved := await self.database.awrite(work):
            log.info("readers follow what was renamed", subscriptions=moved)

    async def _note(self, problem: str) -> None:
        """Remember why the files are not what the service goes by; `status` asks the database."""
        if problem != self.problem:
            self.problem = problem
            try:
                await self.database.awrite(lambda conn: meta.put(conn, reports.CONFIGURATION, problem))
            except (StoreError, BusyError) as error:
                log.warning("the state of the configuration is not stored", reason=str(error))

    async def _remember(self) -> None:
        """Let the next start know which templates it need not try."""
        if tried := self.shared.made.tried:
            await asyncio.to_thread(trials.remember, self.config.data_dir, tried)

    async def begin(self) -> None:
        """Forget what the last process noted, and let readers follow what was renamed while nothing ran."""
        await self._remember()
        changes = renamed(self.config)

        def work(conn: Connection) -> int:
            meta.put(conn, reports.CONFIGURATION, "")
            return names.rename(conn, changes)

        if moved := await self.database.awrite(work):
            log.info("readers follow what was renamed", subscriptions=moved)

    async def watch(self) -> None:
        """Reload whenever the files changed and rest again, until the service stops."""
        if not self.config.files:
            await self.shared.stop.wait()
        last, looks = self._seen, 0
        while not self.shared.stop.is_set():
            prints = await asyncio.to_thread(self._look)
            looks = looks + 1 if prints != last else 0
            rests = prints == last or looks > MOST_LOOKS
            if prints != self._seen and rests:
                self._seen, looks, before = prints, 0, self._wanted
                try:
                    await self.reload()
                except (PublisherError, OSError):
                    log.debug("waiting for the next edit")  # what is wrong was told where it was found
                if self._wanted is not before:  # it may name other files, which are watched from here on
                    found = await asyncio.to_thread(self._look)
                    self._seen = prints = {path: prints.get(path, print_) for path, print_ in found.items()}
            last = prints
            try:
                await asyncio.wait_for(self.shared.stop.wait(), LOOK_EVERY)
            except TimeoutError:
                continue

    def _look(self) -> Prints:
        return prints_of((*configuration_files(self._wanted), *template_folders(self._wanted)))
