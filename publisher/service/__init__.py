"""The service: listeners, timer, outbox and control socket around one App, until told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import structlog
from starlette.types import ASGIApp, Receive, Scope, Send

from publisher import listeners
from publisher.app import App, hexadecimal, now
from publisher.app.shared import paused_because
from publisher.app.supervisor import LONGEST_SILENCE, Pulses, Supervisor
from publisher.errors import BusyError, RenderError, StoreError
from publisher.metrics import Values
from publisher.service.loops import Loops
from publisher.service.problems import Problems
from publisher.service.waking import TICK, Waking
from publisher.web import Parts, routing
from publisher.web import control as web_control
from publisher.web.admin.office import Latest, Office
from publisher.web.health import is_ready
from publisher.web.polls import Polls

log: structlog.stdlib.BoundLogger = structlog.get_logger()

GRACE = 30
"""Seconds that open requests and open mails may take after the service was told to stop (spec delivery §5.2)."""


@dataclass(frozen=True, slots=True)
class Listening:
    """Where a running service answers, as URLs."""

    public: str
    admin: str
    login: str = ""
    """A link to log in to the admin pages while nobody ever did; good once, for an hour."""


class Service:
    """Everything that runs while `publisher run` runs."""

    def __init__(self, app: App, supervisor: Supervisor | None = None) -> None:
        self.app = app
        self.supervisor = supervisor or Supervisor()
        self.pulses = Pulses()
        self.problems = Problems()
        self.polls = Polls()
        self.waking = Waking(app, self.problems, self.polls)
        self.loops = Loops(app, self.problems)
        self.office = Office(
            gate=app.entering.gate,
            act=app.acting.perform,
            dice=hexadecimal,
            stop=app.shared.stop,
            counted=lambda: Latest(*last) if (last := app.measuring.last) else None,
        )
        self._public, self._admin = listeners.Present(self._none), listeners.Present(self._none)
        self._show()
        app.reloading.adopted.append(self._adopt)
        app.reloading.begun, app.reloading.ended = self.supervisor.reloading, self.supervisor.reloaded
        self._stories: set[asyncio.Task[None]] = set()
        self._control = web_control.application(app.actions, self._stories)

    def _show(self) -> None:
        """Build pages and feeds of the present configuration; requests that are open end by the one before."""
        app = self.app
        self.parts = Parts(
            config=app.config,
            database=app.database,
            renderer=app.shared.renderer,
            keyring=app.shared.keyring,
            desk=app.readers.desk,
            data_dir=app.config.data_dir,
            inbox=app.sending.inbox,
            clock=now,
            readiness=self._readiness,
            metrics=self._metrics,
            routes=lambda: app.shared.announcer.routes,
            polls=self.polls,
        )
        self._public.app = routing.application(self.parts)
        self._admin.app = self._backroom = listeners.Later(partial(self._open_backroom, self.parts))

    def _open_backroom(self, parts: Parts) -> ASGIApp:
        from publisher.web.admin.application import application  # here: readers need no page of it

        return application(parts, self.office)

    def _adopt(self) -> None:
        """Go by the configuration that the app took up just now."""
        self._show()
        self.loops.lanes_changed.set()
        self.app.readers.noticed.set()
        self.problems.forget_gone(self.app.config)
        if self.waking.timer is not None:
            self.waking.adopt(self.waking.timer)
            self._compile()

    @staticmethod
    async def _none(scope: Scope, receive: Receive, send: Send) -> None:
        """Answer nothing: nobody listens yet."""

    async def run(self, ready: Callable[[Listening], None]) -> None:
        """Serve until the app is told to stop, then finish what is open. `ready` is told the addresses once all listen.

        Raises PublisherError when an address is taken, ConfigurationError when mail could go nowhere.
        """
        web = self.app.config.web
        await self.app.sending.prepare()
        with contextlib.ExitStack() as stack:
            public = stack.enter_context(contextlib.closing(listeners.bound(web.listen, "web.listen")))
            private = stack.enter_context(contextlib.closing(listeners.bound(web.admin_listen, "web.admin_listen")))
            local = stack.enter_context(listeners.control_socket(self.app.config.data_dir))
            servers = [listeners.server(app, grace=GRACE) for app in (self._public, self._admin, self._control)]
            serving = [
                asyncio.create_task(server.serve(sockets=[sock]))
                for server, sock in zip(servers, (public, private, local), strict=True)
            ]
            sending = asyncio.create_task(self.loops.keep_sending())
            telling = asyncio.create_task(self.loops.keep_telling())
            noticing = asyncio.create_task(self.loops.keep_noticing())
            watching = asyncio.create_task(self.app.reloading.watch())
            checking = asyncio.create_task(self.loops.keep_checking())
            looking = asyncio.create_task(self.app.measuring.keep_looking_at_the_loop())
            stopping = asyncio.create_task(self.app.shared.stop.wait())
            supervised: asyncio.Task[None] | None = None
            counting: asyncio.Task[None] | None = None
            try:
                # uvicorn has a flag and no event; a server that fails to start ends its task instead.
                while not all(server.started for server in servers) and not any(task.done() for task in serving):  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
                self.app.entering.address = listeners.url(private)
                login = await self._first_login()
                self.supervisor.ready()
                ready(Listening(listeners.url(public), listeners.url(private), login))
                supervised = asyncio.create_task(self._keep_supervised())
                await asyncio.to_thread(_load_the_rest)
                # Only now, so that nobody waits for a large publication to be counted and swept.
                self._backroom.made()
                self.waking.start()
                self._compile()
                counting = asyncio.create_task(self.app.measuring.keep_counting())
                log.info("listening", public=listeners.url(public), admin=listeners.url(private))
                await asyncio.wait(
                    {stopping, sending, telling, noticing, watching, checking, counting, looking, *serving},
                    return_when=asyncio.FIRST_COMPLETED,
                )
            finally:
                self.supervisor.stopping()
                self.app.shared.stop.set()
                self.app.shared.woken.set()
                self.app.shared.announcer.woken.set()
                self.app.readers.noticed.set()
                for server in servers:
                    server.should_exit = True
                stopping.cancel()
                later = [counting] if counting is not None else []
                results = await self._ended(sending, telling, noticing, watching, checking, looking, *later, *serving)
                await self.waking.save_polls()
                if supervised is not None:
                    supervised.cancel()
            for result in results:
                if isinstance(result, Exception):
                    raise result

    async def _first_login(self) -> str:
        """Return a link for the first account; "" when there is one, or the database cannot be written just now."""
        try:
            return await self.app.entering.first()
        except (StoreError, BusyError) as error:
            log.warning("nobody can be invited now; `publisher admin invite` does it later", reason=str(error))
            return ""

    def _compile(self) -> None:
        """Compile every template aside: no reader is to wait for it, or to see that of a package upgraded later."""

        async def compile_all() -> None:
            try:
                await asyncio.to_thread(self.app.shared.made.compile_all)
                self.problems.note("templates", None)
            except RenderError as error:
                self.problems.note("templates", str(error))

        task = asyncio.create_task(compile_all())
        self._stories.add(task)
        task.add_done_callback(self._stories.discard)

    async def _ended(self, *tasks: asyncio.Task[None]) -> list[BaseException | None]:
        """Wait until what is open has ended, but not for ever: what takes longer is broken off as by a crash."""
        ending = [*tasks, asyncio.create_task(self.waking.stop()), *self._stories]
        _, late = await asyncio.wait(ending, timeout=GRACE)
        for task in late:
            log.warning("broken off, because it did not end in time", seconds=GRACE)
            task.cancel()
        return await asyncio.gather(*ending, return_exceptions=True)

    async def _keep_supervised(self) -> None:
        """Feed the watchdog at half of its time, only while the work gets on, and tell in words what is going on."""
        loop = asyncio.get_running_loop()
        every = min(TICK, self.supervisor.watchdog / 2) if self.supervisor.watchdog else TICK
        while True:
            stalled = self.pulses.stalled(self._marks(), loop.time())
            if stalled:
                log.critical("the work does not get on; the watchdog is not fed", parts=stalled)
            elif self.supervisor.watchdog:
                self.supervisor.alive()
            self.supervisor.status(self._words())
            await asyncio.sleep(every.total_seconds())

    def _marks(self) -> dict[str, tuple[object, float]]:
        """Return what changes as the scheduler and each run of the outbox get on, and how long each may take."""
        marks: dict[str, tuple[object, float]] = {"scheduler": self.waking.mark}
        for lane in self.app.sending.lanes.values():
            if lane.running.locked():
                marks[f"sending over {lane.name}"] = ((id(lane.halt), lane.tally.total()), LONGEST_SILENCE)
        return marks

    def _words(self) -> str:
        counted = self.app.measuring.deliveries_open
        waiting = f"{counted:,} deliveries open" if counted else "no deliveries open"
        if self.app.shared.stop.is_set():
            return f"Stopping; {waiting}"
        problems = sorted(self._readiness())
        return f"Problems: {', '.join(problems)}; {waiting}" if problems else f"All is well; {waiting}"

    def _readiness(self) -> Mapping[str, Any]:
        from publisher.doctor import LITTLE_DISK  # here: what judges a whole installation is not to delay a start

        found = dict(self.problems)
        if rejected := self.app.reloading.problem:
            found["configuration"] = rejected
        if self.app.shared.paused:
            found["paused"] = paused_because(self.app.shared.paused)
        free = shutil.disk_usage(self.app.config.data_dir).free
        if free < LITTLE_DISK:
            found["disk"] = f"{free / 2**20:,.0f} MiB free; make room now: sending stops when the disk is full"
        if late := self.waking.overdue:
            found["scheduler"] = late
        return found

    def _metrics(self) -> Values:
        found = self._readiness()
        return self.app.measuring.values(found, ready=is_ready(found), polls=self.polls.answers)


def _load_the_rest() -> None:
    """Load what the first moments do, aside: on the event loop it would hold up whoever asks for a page."""
    for name in ("schedule", "doctor", "web.admin.application", "sources.folder", "sources.pages", "feeds.publishing"):
        importlib.import_module(f"publisher.{name}")
