"""The composition root: builds the parts of a publication and tells the stories that commands and schedules ask for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from publisher import subscriptions
from publisher.app.acting import COMMAND, Acting
from publisher.app.dispatching import Dispatching
from publisher.app.entering import Entering
from publisher.app.importing import Importing
from publisher.app.issuing import Issuing
from publisher.app.keeping import Keeping
from publisher.app.keys import open_keys
from publisher.app.looking import check_templates, plan_slots, preview_mail
from publisher.app.measuring import Measuring
from publisher.app.publishing import Publishing
from publisher.app.readers import Readers
from publisher.app.reloading import Reloading
from publisher.app.safekeeping import Safekeeping
from publisher.app.sending import RESENT_FOR, Sending
from publisher.app.shared import Made, Shared, silent
from publisher.app.standing import Standing, check_before
from publisher.clock import hexadecimal, now
from publisher.config import Config
from publisher.control import Progress
from publisher.http import Fetcher
from publisher.store.database import Database
from publisher.store.engines import locate
from publisher.store.lock import DirectoryLock

__all__ = ["RESENT_FOR", "App", "check_templates", "hexadecimal", "now", "plan_slots", "preview_mail", "silent"]


class App:
    """One publication with its data directory held.

    Stories that commands reach take JSON values and return JSON values; `progress` is told of their steps.
    Use as an asynchronous context manager: leaving closes the database and frees the directory.
    """

    def __init__(self, lock: DirectoryLock, shared: Shared) -> None:
        self.lock = lock
        self.shared = shared
        self.publishing = Publishing(shared)
        self.sending = Sending(shared, self.publishing)
        self.dispatching = Dispatching(shared, self.sending)
        self.readers = Readers(shared, self.sending)
        self.safekeeping = Safekeeping(shared)
        self.standing = Standing(shared, self.readers)
        self.issuing = Issuing(shared, self.sending)
        self.importing = Importing(shared, self.readers)
        self.keeping = Keeping(shared)
        self.reloading = Reloading(shared, self._adopt)
        self.measuring = Measuring(
            shared,
            publishing=self.publishing,
            sending=self.sending,
            dispatching=self.dispatching,
            readers=self.readers,
            reloading=self.reloading,
        )
        self.entering = Entering(shared)
        self.acting = Acting(shared.database, self._actions)

    @classmethod
    async def open(cls, config: Config, *, fetcher: Fetcher | None = None, made: Made | None = None) -> App:
        """Hold the data directory, open the database, make the parts; `fetcher` speaks to other servers.

        `made`: what was made of this configuration already.

        Raises BusyError when another process holds the directory, ConfigurationError when its keys are not those of the
        database, StoreError and RenderError as their modules say.
        """
        lock = DirectoryLock(config.data_dir)
        lock.acquire()
        try:
            location = locate(config.database_url, config.data_dir)
            check_before(config.data_dir, location.path if location.dialect == "sqlite" else None)
            database = await asyncio.to_thread(Database.open, config.database_url, data_dir=config.data_dir)
            try:
                keys = await asyncio.to_thread(open_keys, database, config)
                app = cls(lock, Shared(made or Made.of(config), database, fetcher or Fetcher(), keys))
                await app.standing.begin()
                await app.reloading.begin()
                await app.sending.begin()
                await app.shared.announcer.look()
            except BaseException:
                database.close()
                raise
        except BaseException:
            lock.release()
            raise
        return app

    async def __aenter__(self) -> App:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Finish the archives, stop the inbox, end this worker, close the database, free the directory."""
        try:
            await self.publishing.finish()
            await self.shared.announcer.close()
            await self.readers.settle()
            await self.sending.close()
            await self.standing.end()
        finally:
            await asyncio.to_thread(self.shared.database.close)
            self.lock.release()

    @property
    def config(self) -> Config:
        """The configuration that it goes by at this moment."""
        return self.shared.config

    def _adopt(self, before: Made) -> None:
        """Let every part go by what was made of another configuration; nothing in flight is dropped."""
        self.shared.announcer.adopt(self.config)
        self.publishing.adopt()
        self.sending.adopt(before)
        self.readers.adopt()

    @property
    def database(self) -> Database:
        """The open database."""
        return self.shared.database

    @property
    def actions(self) -> Mapping[str, Callable[..., Any]]:
        """The stories that a command may ask of a running service; what changes something goes on record."""
        return self.acting.told_by(COMMAND)

    @property
    def _actions(self) -> Mapping[str, Callable[..., Any]]:
        return {
            "collect": self.publishing.collect,
            "feeds": self.publishing.feeds,
            "release": self.publishing.release,
            "withdraw": self.publishing.withdraw,
            "pin": self.publishing.pin,
            "reload": self.reloading.reload,
            "dispatch": self.dispatching.dispatch,
            "test": self.dispatching.test,
            "approve": self.issuing.approve,
            "pause": self.issuing.pause,
            "resume": self.issuing.resume,
            "copy": self.safekeeping.copy,
            "resume_sending": self.standing.resume,
            "cancel": self.issuing.cancel,
            "send": self.sending.send,
            "resend": self.sending.resend,
            "mark_sent": self.sending.mark_sent,
            **self.readers.actions,
            "add_subscriber": self.add_subscriber,
            "import_subscribers": self.import_subscribers,
            "import_begin": self.importing.begin,
            "import_rows": self.importing.take,
            "import_end": self.importing.finish,
            "invite_account": self.entering.invite,
            "revoke_account": self.entering.revoke,
        }

    async def add_subscriber(self, *, progress: Progress = silent, **row: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON values
        """Add one confirmed reader, whose consent is stated (P4)."""
        return await self.import_subscribers([row], method="command", progress=progress)

    async def import_subscribers(
        self, rows: Sequence[Mapping[str, Any]], *, method: str = "import", progress: Progress = silent
    ) -> dict[str, Any]:
        """Add readers from rows of a table, all of them or, when any row is wrong, none."""
        return await asyncio.to_thread(
            subscriptions.add_readers,
            self.database,
            self.config,
            rows,
            method=method,
            now=now(),
            progress=progress,
            hash_of=self.readers.pepper.hash,
        )

    async def cycle(self, *, progress: Progress = silent) -> dict[str, Any]:
        """Do one full round: collect, build feeds, decide what is due, send, tell the hubs."""
        collected = await self.publishing.collect(progress=progress)
        dispatched = await self.dispatching.run_due()
        await self.issuing.tell_editors()
        notices = await self.readers.notify()
        sent = await self.sending.send(progress=progress)
        await self.readers.sweep()
        await self.keeping.forget()
        await self.shared.announcer.tell()
        return {
            "collected": collected,
            "dispatched": dispatched,
            "notices": notices,
            "sent": sent,
            "clock": self.dispatching.clock_problem,
        }
