"""The service: listeners, timer, outbox and control socket around one App, until told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

import structlog
from starlette.types import ASGIApp, Receive, Scope, Send

from publisher import listeners
from publisher.app import App, hexadecimal, now
from publisher.app.lanes import LONGEST_REST, Lane
from publisher.app.shared import paused_because
from publisher.app.supervisor import LONGEST_SILENCE, Pulses, Supervisor
from publisher.config import DEFAULT_TRANSPORT, Source
from publisher.errors import BusyError, RenderError, StoreError
from publisher.metrics import Values
from publisher.store import deliveries, feed_pollers, notices
from publisher.web import Parts, routing
from publisher.web import control as web_control
from publisher.web.admin.office import Latest, Office
from publisher.web.health import is_ready
from publisher.web.polls import Polls

if TYPE_CHECKING:
    from publisher.schedule import Timer, Wake

log: structlog.stdlib.BoundLogger = structlog.get_logger()

TICK = timedelta(seconds=30)
"""How often the database is asked what is due, whatever the timer says (DESIGN §6)."""

SHORTEST_PAUSE = timedelta(seconds=0.5)
"""Between two looks at the outbox, whatever is due."""

SAVING = timedelta(minutes=1)
"""How often the numbers of readers behind pollers are stored; what a crash takes they say again at the next poll."""

SWEEPING = timedelta(hours=1)
"""How often sign-ups are looked for that nobody confirmed in time."""

CHECKING = 1.0
"""Seconds between two looks at whether the database's file is still there."""

LONGEST_LOOK = 900.0
"""Seconds that may pass between two looks at what is due: an issue for a million readers takes minutes to compose."""

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
        self.problems: dict[str, str] = {}
        self.timer: Timer | None = None
        """Wakes for what is due; None before it serves."""
        self.polls = Polls()
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
        self._wakes: dict[str, Wake] = {}
        self._sources: dict[str, Source] = {}
        self._looked_at: float | None = None
        """When the last look at what is due was over, by the loop's clock; None before it serves."""
        self._lanes_changed = asyncio.Event()
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
        self._lanes_changed.set()
        self.app.readers.noticed.set()
        for what in [what for what in self.problems if self._is_gone(what)]:
            self._note(what, None)
        if self.timer is not None:
            self._set_wakes(self.timer)
            self.timer.wake("look", at=now())
            self._compile()

    def _is_gone(self, what: str) -> bool:
        """Whether a problem is one of a part that the configuration has no more."""
        config = self.app.config
        kind, _, name = what.partition(" ")
        return (
            (kind == "source" and name not in [source.name for source in config.sources])
            or (kind == "newsletter" and name.partition(" ")[0] not in [one.slug for one in config.newsletters])
            or (kind == "sending" and name != "" and name.removeprefix("over ") not in config.servers)
        )

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
            sending = asyncio.create_task(self._keep_sending())
            telling = asyncio.create_task(self._keep_telling())
            noticing = asyncio.create_task(self._keep_noticing())
            watching = asyncio.create_task(self.app.reloading.watch())
            checking = asyncio.create_task(self._keep_checking())
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
                self._set_timer()
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
                await self._save_polls()
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
                self._note("templates", None)
            except RenderError as error:
                self._note("templates", str(error))

        task = asyncio.create_task(compile_all())
        self._stories.add(task)
        task.add_done_callback(self._stories.discard)

    async def _ended(self, *tasks: asyncio.Task[None]) -> list[BaseException | None]:
        """Wait until what is open has ended, but not for ever: what takes longer is broken off as by a crash."""
        stopped = [asyncio.create_task(self.timer.stop())] if self.timer is not None else []
        ending = [*tasks, *stopped, *self._stories]
        _, late = await asyncio.wait(ending, timeout=GRACE)
        for task in late:
            log.warning("broken off, because it did not end in time", seconds=GRACE)
            task.cancel()
        return await asyncio.gather(*ending, return_exceptions=True)

    def _set_timer(self) -> None:
        from publisher.schedule import Timer  # here: nobody who waits for an answer is to wait for a scheduler to load

        self._looked_at = asyncio.get_running_loop().time()
        self.timer = Timer(self._wake)
        self.timer.start()
        self._set_wakes(self.timer)

    def _set_wakes(self, timer: Timer) -> None:
        """Wake for what there is now; what stays as it was keeps its turn, a source that changed is collected."""
        from publisher.schedule import Wake  # as above

        moment = now()
        wakes: dict[str, Wake] = {
            "tick": Wake(at=moment, every=TICK),
            "polls": Wake(every=SAVING),
            "sweep": Wake(at=moment, every=SWEEPING),
        }
        sources = {f"collect {source.name}": source for source in self.app.config.sources}
        for name, source in sources.items():
            wakes[name] = Wake(at=moment, every=source.interval)
        for name, wake in self._wakes.items():
            if name in wakes and wake.every == wakes[name].every and self._sources.get(name) == sources.get(name):
                wakes[name] = wake
        self._wakes, self._sources = wakes, sources
        timer.set(wakes)
        self._wake_at_next_slots(timer)

    def _wake_at_next_slots(self, timer: Timer) -> None:
        moment = now()
        zone = self.app.config.site.timezone
        for newsletter in self.app.config.newsletters:
            for name, frequency in newsletter.frequencies.items():
                if slot := frequency.schedule(zone).next(moment):
                    timer.wake(f"slot {newsletter.slug} {name}", at=slot.at)

    async def _wake(self, name: str) -> None:
        kind, _, what = name.partition(" ")
        try:
            if kind == "collect":
                await self._collect(what)
            elif kind == "sweep":
                await self.app.readers.sweep()
                await self.app.keeping.forget()
            elif kind == "polls":
                await self._save_polls()
            else:
                await self._look()
        except (StoreError, BusyError) as error:
            # The database is out of reach or its disk is full: pages go on, and the next wake-up tries again.
            log.warning("wake-up failed", name=name, reason=str(error))
            self._note("database", str(error))
        else:
            self._note("database", None)
        finally:
            if kind == "slot" and self.timer is not None:
                self._wake_at_next_slots(self.timer)

    async def _collect(self, name: str) -> None:
        if name not in [source.name for source in self.app.config.sources]:
            return  # a reload took it away as its turn came
        done = await self.app.publishing.collect([name], wait=False)
        for source in done["sources"]:
            self._note(f"source {source['name']}", source.get("error") or source.get("alarm"))
        self._note_feeds(done["feeds"])

    async def _look(self) -> None:
        """Do what is due by the clock."""
        await self.app.standing.count()
        await self.app.publishing.release_due()
        self._note_feeds(await self.app.publishing.refresh_feeds())
        for done in await self.app.dispatching.run_due():
            failed = done["outcome"] == "failed"
            self._note(f"newsletter {done['newsletter']} {done['frequency']}", done["reason"] if failed else None)
        self._note("clock", self.app.dispatching.clock_problem)
        self._note("editors", "; ".join(await self.app.issuing.tell_editors()))
        self._looked_at = asyncio.get_running_loop().time()

    async def _keep_sending(self) -> None:
        """Empty the outbox over each transport; one that is out of reach holds up no other."""
        tasks: dict[Lane, asyncio.Task[None]] = {}
        changed = asyncio.create_task(self._lanes_changed.wait())
        try:
            while not self.app.shared.stop.is_set():
                for lane in self.app.sending.lanes.values():
                    if lane not in tasks:
                        tasks[lane] = asyncio.create_task(self._keep_sending_over(lane))
                await asyncio.wait({changed, *tasks.values()}, return_when=asyncio.FIRST_COMPLETED)
                for lane in [lane for lane, task in tasks.items() if task.done()]:
                    await tasks.pop(lane)
                if changed.done():
                    self._lanes_changed.clear()
                    changed = asyncio.create_task(self._lanes_changed.wait())
            await asyncio.gather(*tasks.values())
        finally:
            changed.cancel()
            for task in tasks.values():
                task.cancel()

    async def _keep_sending_over(self, lane: Lane) -> None:
        """Send whenever something may be due: after a dispatch, at a retry's time, at each tick.

        A server that is out of reach is asked again after 30 s, then after twice as long each time.
        """
        what = "sending" if lane.name == DEFAULT_TRANSPORT else f"sending over {lane.name}"
        while not self.app.shared.stop.is_set() and self.app.sending.lanes.get(lane.name) is lane:
            self.app.shared.woken.clear()
            pause = TICK
            try:
                report = await self.app.sending.send_over(lane.name)
                lane.health = lane.health.after(report.held)
                waiting = await self.app.database.aread(partial(deliveries.waiting, transport=lane.name))
                # What waits for its pace is due already, and would have us ask again and again.
                next_at = report.later_at or waiting.next_at
                if next_at is not None:
                    pause = min(pause, max(SHORTEST_PAUSE, next_at - now()))
            except (StoreError, BusyError) as error:
                lane.health = lane.health.after(str(error))
            self._note(what, lane.health.problem)
            if lane.health.problem:
                pause = lane.health.rest
                log.error("sending stopped", transport=lane.name, again_in=pause.total_seconds())
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.app.shared.woken.wait(), pause.total_seconds())

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
        marks: dict[str, tuple[object, float]] = {"scheduler": (self._looked_at, LONGEST_LOOK)}
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

    async def _keep_checking(self) -> None:
        """End the service when its database's file is gone or another: what is written there now is lost (J7)."""
        while not self.app.shared.stop.is_set():
            self.app.standing.check()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.app.shared.stop.wait(), CHECKING)

    async def _keep_noticing(self) -> None:
        """Send confirmations and links when they are asked for, however long an issue is being sent (F4)."""
        failures = 0
        while not self.app.shared.stop.is_set():
            self.app.readers.noticed.clear()
            pause = TICK.total_seconds()
            try:
                problem = (await self.app.readers.notify())["held"]
                waits = await self.app.database.aread(notices.next_at)
                if waits is not None:
                    pause = min(pause, max(0.5, (waits - now()).total_seconds()))
            except (StoreError, BusyError) as error:
                problem = str(error)
            self._note("notices", problem)
            failures = failures + 1 if problem else 0
            if problem:
                pause = min(LONGEST_REST, TICK * 2 ** min(failures - 1, 8)).total_seconds()
                log.error("notices stopped", again_in=pause)
            # While the server is out of reach, one more notice is no reason to ask it again.
            woken = self.app.shared.stop if problem else self.app.readers.noticed
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(woken.wait(), pause)

    async def _keep_telling(self) -> None:
        """Tell hubs of changed feeds when they change and when a hub is to be tried again, beside everything else."""
        while not self.app.shared.stop.is_set():
            try:
                report = await self.app.shared.announcer.tell()
                if report.failed:
                    log.warning("hubs not told", failed=report.failed, given_up=report.given_up)
                await self.app.shared.announcer.wait()
            except (StoreError, BusyError) as error:
                log.warning("hubs not told", reason=str(error))
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self.app.shared.stop.wait(), TICK.total_seconds())

    async def _save_polls(self) -> None:
        """Store what pollers said of their readers since the last time."""
        moment = now()
        pollers = self.polls.take(moment)
        if pollers:
            try:
                await self.app.database.awrite(lambda conn: feed_pollers.put(conn, pollers, moment))
            except (StoreError, BusyError) as error:
                log.warning("polls not counted", reason=str(error))

    def _note_feeds(self, built: Mapping[str, Any] | None) -> None:
        if built is not None:  # else they are as they were, with the problem they had
            self._note("feeds", _first_reason(built))

    def _note(self, what: str, problem: str | None) -> None:
        if problem:
            self.problems[what] = problem
        else:
            self.problems.pop(what, None)

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
        if self._looked_at is not None and asyncio.get_running_loop().time() - self._looked_at > LONGEST_LOOK:
            found["scheduler"] = f"no slot was looked for during the last {LONGEST_LOOK / 60:.0f} minutes"
        return found

    def _metrics(self) -> Values:
        found = self._readiness()
        return self.app.measuring.values(found, ready=is_ready(found), polls=self.polls.answers)


def _load_the_rest() -> None:
    """Load what the first moments do, aside: on the event loop it would hold up whoever asks for a page."""
    for name in ("schedule", "doctor", "web.admin.application", "sources.folder", "sources.pages", "feeds.publishing"):
        importlib.import_module(f"publisher.{name}")


def _first_reason(built: Mapping[str, Any] | None) -> str | None:
    problems = built["problems"] if built else []
    return f"{problems[0]['path']}: {problems[0]['reason']}" if problems else None
