"""Crashing workers and comparing the ledgers: what the suite does a little of, and a command a lot."""

from __future__ import annotations

import asyncio
import itertools
import os
import random
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Literal

from publisher import faults
from publisher.model import IssueState, SubscriptionState
from publisher.store import issue_turns, issues, subscribers, workers
from publisher.store.database import Connection
from tests import sender
from tests.ledgers import assert_invariants
from tests.office import Office, S
from tests.smtp_server import Script, SmtpServer, smtp_server

CONNECTIONS = 3
PIPELINING = ("PIPELINING", "SIZE 1000000")
PASSAGES = (1, 2, 3)
READERS = [f"reader{number:02d}" for number in range(16)]
LATER = timedelta(hours=4)
"""When everything that was put off is due, and every complaint forgotten."""

Policies = Literal["retry", "hold"]
POLICIES: tuple[Policies, ...] = ("retry", "hold")


@dataclass(frozen=True, slots=True)
class Sweep:
    """One way of crashing: where, in which story, under which policy, how many workers at once, at which passages."""

    point: str
    on_uncertain: Policies
    workers: int = 1
    story: str = ""
    """"": the one that leads there."""
    passages: Sequence[int] = PASSAGES

    def __str__(self) -> str:
        """Name it as a test is named."""
        parts = (self.point, self.story, self.on_uncertain, "two" if self.workers > 1 else "")
        return "-".join(part for part in parts if part)


STORIES = {
    "smtp.refused": "rough",
    "smtp.dropped": "rough",
    "outbox.heeded": "rough",
    "clerk.noted": "rough",
    "pace.complained": "rough",
    "outbox.alarmed": "unwelcome",
    "smtp.block": "long",
    "outbox.stopping": "stopped",
    **dict.fromkeys(
        ("worker.registered", "worker.declared", "worker.settled", "worker.recovered", "worker.ended"), "recovery"
    ),
    **dict.fromkeys(("outbox.flushed", "outbox.given-back"), "recovery"),
}
"""What must happen so that a worker comes by a point; elsewhere it is enough that it sends."""

SELDOM = (
    *("ahead.segment", "outbox.emptied", "outbox.finishing", "outbox.alarmed", "smtp.dropped", "smtp.leaving"),
    "pace.complained",
    *STORIES,
)
"""Points that a worker may come by a single time: it dies at the first passage, always."""

PLAIN = ("smtp.asked", "smtp.mail", "smtp.rcpt", "smtp.data")
"""Points that lie elsewhere where each command waits for its answer."""

ELSEWHERE = ("dispatch", "freezing", "issue", "resend", "lane", "notice", "journal", "keys", "restore", "standing")
"""Points of the whole application; see `tests.houses`."""


def sweeps(*, workers: int = 1) -> list[Sweep]:
    """Every point that a worker comes by, under both policies."""
    points = [(point, "") for point in faults.POINTS if point.partition(".")[0] not in ELSEWHERE]
    points += [(point, "rough") for point in PLAIN]
    return [Sweep(point, policy, workers, story) for (point, story), policy in itertools.product(points, POLICIES)]


async def ended(process: ForkServerProcess) -> int:
    """Wait for a worker and return its exit code."""
    await asyncio.to_thread(process.join)
    assert process.exitcode is not None
    return process.exitcode


async def vanished(office: Office) -> None:
    """Wait until the database knows that all workers have ended; on PostgreSQL its processes learn it one by one."""
    if office.db.dialect == "sqlite":
        return

    def signs(conn: Connection) -> int:
        query = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND classid = %s"
        return int(conn.exec_driver_sql(query, (workers.LIFE_SIGN,)).scalar_one())

    while office.db.read(signs):  # noqa: ASYNC110 - the server tells nobody
        await asyncio.sleep(0.005)


@dataclass
class Crashing:
    """A sweep under way: the office, its server, and what it takes to start workers on them."""

    office: Office
    folder: Path
    url: str
    sweep: Sweep
    server: SmtpServer
    deaths: int = 0
    reached: int = 0

    @property
    def story(self) -> str:
        """What happens beside the crash."""
        return self.sweep.story or STORIES.get(self.sweep.point, "")

    def start(self, fault: str = "", *, later: timedelta = timedelta()) -> ForkServerProcess:
        """Start a worker that dies at `fault`."""
        return sender.start(
            self.folder,
            self.server.port,
            url=self.url,
            fault=fault,
            on_uncertain=self.sweep.on_uncertain,
            connections=CONNECTIONS,
            later=later,
        )

    async def crash(self, passage: int) -> None:
        """Let workers come by the point, each at another passage, until all have ended or died."""
        if self.story == "recovery":
            # Somebody has to be dead for the next to take over from.
            assert await ended(self.start(f"smtp.after-dot:{passage}")) in (0, 137)
            self.deaths += 1
            await vanished(self.office)
        seldom = self.sweep.point in SELDOM
        turns = [1 if seldom else passage + number for number in range(self.sweep.workers)]
        before = len(self.server.received)
        together = [self.start(f"{self.sweep.point}:{turn}") for turn in turns]
        if self.story == "stopped":
            await arrived(self.server, before + 1, *together)
            for worker in together:
                worker.terminate()
        codes = [await ended(worker) for worker in together]
        assert set(codes) <= {0, 137, -signal.SIGTERM}, codes
        died = len(codes) - codes.count(0)
        self.deaths, self.reached = self.deaths + died, self.reached + codes.count(137)
        await vanished(self.office)


def _script(story: str) -> Script:
    """Return how the server behaves."""
    if story == "stopped":
        return Script(extensions=PIPELINING, dot=["silence"] * 99)  # so that nobody is done before the signal comes
    if story in ("rough", "unwelcome"):
        script = Script(extensions=["SIZE 1000000"] if story == "rough" else PIPELINING)
        if story == "unwelcome":
            script.dot += ["554 5.6.0 we do not like this"] * 3
            return script
        script.refused = {
            "reader03@Example.net": "550 5.1.1 no such user",
            "reader05@Example.net": "450 4.2.1 come again",
            "hasty@Outlook.com": "421 4.7.28 too fast",  # Microsoft rests for an hour, which no worker waits for
            "reader09@Example.net": "552 5.2.2 the mailbox is full",
        }
        return script
    return Script(extensions=PIPELINING)


class NotReachedError(AssertionError):
    """No worker came by the point: of two, the other may have done all the work."""


async def crash_at(office: Office, folder: Path, url: str, sweep: Sweep) -> int:
    """Crash at a point at each passage, then let a worker finish; compare; return the crashes.

    After each crash somebody leaves; after the first there is a second issue. One reader has not confirmed, and one is
    suppressed, though the issue was made for them.
    """
    async with smtp_server() as server:
        crashing = Crashing(office, folder, url, sweep, server)
        story = crashing.story
        server.script = _script(story)
        office.ledger.received = server.received
        office.padding = 100_000 if story == "long" else 0
        if story == "unwelcome":
            for number, name in enumerate(READERS):
                office.join(name, domain=f"Domain{number}.example")
        else:
            office.fill(READERS)
        office.join("hasty", domain="Outlook.com")
        office.join("pending", SubscriptionState.PENDING)
        office.join("suppressed")
        office.freeze(also=["pending", "suppressed"])
        office.db.write(
            lambda conn: subscribers.suppress(conn, "suppressed@example.net", reason="x", now=office.clock.now)
        )
        for passage in sweep.passages:
            await crashing.crash(passage)
            queued = [row for row in office.rows() if row.state is S.QUEUED]
            if queued:
                office.leave(queued[-1].message_id[14:].partition("xxxxxxxx@")[0])
            if passage == sweep.passages[0]:
                office.freeze()
            _go_on(office)
        server.script.refused.clear()
        server.script.dot.clear()
        assert await ended(crashing.start()) == 0
        if story == "rough":
            assert await ended(crashing.start(later=LATER)) == 0
    if not crashing.reached:
        raise NotReachedError(f"{sweep} was not reached")
    hold = sweep.on_uncertain == "hold"
    assert_invariants(office.ledger, office.db, at_risk=crashing.deaths * CONNECTIONS, hold=hold)
    return crashing.deaths


def _go_on(office: Office) -> None:
    """Let issues go on that the breaker has paused."""

    def work(conn: Connection) -> None:
        for issue in issues.listing(conn, states=[IssueState.PAUSED]):
            issue_turns.resume(conn, issue.id)

    office.db.write(work)


async def arrived(server: SmtpServer, target: int, *senders: ForkServerProcess) -> None:
    """Wait until the server has so many messages, or the workers have ended."""
    while len(server.received) < target and any(one.is_alive() for one in senders):  # noqa: ASYNC110 - processes have no event
        await asyncio.sleep(0.001)


async def kill_at_random(
    office: Office,
    folder: Path,
    server: SmtpServer,
    *,
    kills: int,
    dice: random.Random,
    connections: int,
    url: str = "",
    together: int = 1,
    signed: bool = False,
) -> int:
    """Kill workers at random moments until so many died or everything is sent; return how many were killed.

    `together`: so many work at once, and one of them is killed while the others go on. `signed`: scribes sign.
    """
    office.ledger.received = server.received
    done = 0
    running: list[ForkServerProcess] = []
    while done < kills:
        running += [
            sender.start(folder, server.port, url=url, connections=connections, signed=signed)
            for _ in range(together - len(running))
        ]
        await arrived(server, len(server.received) + dice.randint(1, 2 * connections), *running)
        await asyncio.sleep(dice.random() * 0.004)
        victim = running.pop(dice.randrange(len(running)))
        if victim.is_alive() and victim.pid:
            os.kill(victim.pid, signal.SIGKILL)
        if await ended(victim) == 0:
            break
        done += 1
    for one in running:
        assert await ended(one) == 0
    await vanished(office)
    assert await ended(sender.start(folder, server.port, url=url, connections=connections, signed=signed)) == 0
    assert_invariants(office.ledger, office.db, at_risk=done * connections)
    assert all(message.content.startswith(b"DKIM-Signature: ") == signed for message in server.received)
    return done
