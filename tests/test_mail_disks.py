"""Disks that are full or fail, and databases that go away in the middle of an issue (catalogue J)."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import pytest

from publisher.app.worker import Worker
from publisher.errors import BusyError, StoreError
from publisher.mail.steps import Step
from publisher.store import engines
from publisher.store.database import Connection, Database
from tests import sender
from tests.conftest import run_postgresql
from tests.crashes import ended
from tests.ledgers import assert_invariants
from tests.office import Office, S, check_ledgers
from tests.smtp_server import Action, Script, SmtpServer, smtp_server

pytestmark = pytest.mark.anyio

T = TypeVar("T")
PEOPLE = [f"person{number:03d}" for number in range(60)]
PIPELINING = ("PIPELINING", "SIZE 1000000")


async def send_all(office: Office, server: SmtpServer, mend: Callable[[], None] | None = None) -> int:
    """Send as the service does, again after each failure of the database; return how many there were."""
    backlog: list[Step] = []
    failures = 0
    office.ledger.received = server.received
    while True:
        try:
            report = await office.send(server, backlog=backlog)
        except (StoreError, BusyError):
            failures += 1
            assert failures < 200
            # What is known is kept, what is not recorded is not gone on with.
            assert Counter(office.states().values())[S.SENT] + len(backlog) >= len(server.received) - 3
            if mend:
                mend()
        else:
            assert (report.waiting, backlog) == (0, [])
            return failures


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A real disk of six megabytes."""
    folder = tmp_path / "small"
    folder.mkdir()
    if os.geteuid() or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=6m", "none", folder]).returncode:
        pytest.skip("mounting a small disk needs root; the injected failures below need nothing")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


async def test_a_full_disk_loses_and_repeats_nothing(small_disk: Path, sqlite_template: Path) -> None:
    """J3, J4: a real one; what is known waits in memory, and goes on when there is room."""
    shutil.copy(sqlite_template, small_disk / "publisher.db")
    ballast = small_disk / "ballast"
    with Database.open(data_dir=small_disk) as database:
        office = Office(database)
        office.fill(PEOPLE)
        with suppress(OSError), ballast.open("wb", buffering=0) as file:
            while True:
                file.write(b"x" * 4096)
        async with smtp_server(Script(extensions=PIPELINING)) as server:
            failures = await send_all(
                office, server, lambda: os.truncate(ballast, max(0, ballast.stat().st_size - 2**17))
            )
        assert failures > 0
        assert_invariants(office.ledger, database, at_risk=0)
        assert set(office.states().values()) == {S.SENT}


@dataclass
class Locking(Script):
    """Somebody locks the database after the first message has come and before it is answered."""

    rival: sqlite3.Connection | None = None

    def next(self, step: str) -> Action:
        """Lock, once."""
        if step == "dot" and self.rival is not None and not self.rival.in_transaction:
            self.rival.execute("BEGIN IMMEDIATE")
        return super().next(step)


async def test_a_database_locked_by_others_while_mail_goes_out_loses_no_outcome(
    tmp_path: Path, sqlite_template: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """J9: a backup tool holds it for longer than we wait; what was answered meanwhile is written afterwards."""
    monkeypatch.setattr(engines, "BUSY_TIMEOUT", 0.05)
    shutil.copy(sqlite_template, tmp_path / "publisher.db")
    backlog: list[Step] = []
    with Database.open(data_dir=tmp_path) as database:
        office = Office(database)
        office.fill()
        rival = sqlite3.connect(tmp_path / "publisher.db", isolation_level=None, timeout=60)
        async with smtp_server(Locking(rival=rival)) as server:
            with pytest.raises(BusyError, match="another process holds the database"):
                await office.send(server, backlog=backlog)
            assert len(server.received) == len(backlog) >= 1
            with pytest.raises(BusyError):  # asked again while it is still held: nothing is sent
                await office.send(server, backlog=backlog)
            assert len(server.received) == len(backlog)
            rival.close()
            server.script = Script()
            await office.send(server, backlog=backlog)
            check_ledgers(office, server.received)
            assert (len(server.received), backlog) == (12, [])
            assert {row.ambiguous for row in office.rows()} == {0}


@pytest.mark.parametrize("commits", [2, 5])
async def test_commits_that_fail_lose_and_repeat_nothing(
    database: Database, monkeypatch: pytest.MonkeyPatch, commits: int
) -> None:
    """J3, J4, J6: each n-th is undone, as by a full or read-only disk, on both databases."""
    office = Office(database)
    office.fill(PEOPLE)
    real, number = Database._once, Counter[str]()

    def fail(db: Database, work: Callable[[Connection], T]) -> T:
        number["commits"] += 1
        if number["commits"] % (commits + 1):
            return real(db, work)

        def undone(conn: Connection) -> T:
            work(conn)
            raise StoreError("the disk is full")

        return real(db, undone)

    monkeypatch.setattr(Database, "_once", fail)
    async with smtp_server(Script(extensions=PIPELINING)) as server:
        assert await send_all(office, server) > 0
    monkeypatch.undo()
    assert_invariants(office.ledger, database, at_risk=0)
    assert set(office.states().values()) == {S.SENT}


@pytest.mark.parametrize("commits", [2, 5])
async def test_commits_that_only_seem_to_fail_are_not_done_twice(
    database: Database, monkeypatch: pytest.MonkeyPatch, commits: int
) -> None:
    """J12, J13: the connection was cut after COMMIT; what became of each row is read again by its key."""
    office = Office(database)
    office.fill(PEOPLE)
    real, number = Database._once, Counter[str]()

    def cut(db: Database, work: Callable[[Connection], T]) -> T:
        done = real(db, work)
        number["commits"] += 1
        if number["commits"] % (commits + 1):
            return done
        raise StoreError("the database is out of reach")

    monkeypatch.setattr(Database, "_once", cut)
    async with smtp_server(Script(extensions=PIPELINING)) as server:
        assert await send_all(office, server) > 0
    monkeypatch.undo()
    assert_invariants(office.ledger, database, at_risk=0)
    assert set(office.states().values()) == {S.SENT}
    assert {row.ambiguous for row in office.rows()} == {0}


def kill_everything(pid: int) -> None:
    """Kill a server and its children, without a chance to say anything."""
    status = re.compile(rb"^PPid:\t(\d+)$", re.MULTILINE)
    pids = [pid]
    for path in Path("/proc").glob("[0-9]*/status"):
        with suppress(OSError):
            if (found := status.search(path.read_bytes())) and int(found[1]) == pid:
                pids.append(int(path.parent.name))
    for one in pids:
        os.kill(one, signal.SIGKILL)
    while any(Path(f"/proc/{one}").exists() for one in pids):  # until nobody holds their memory and their sockets
        time.sleep(0.005)


async def test_a_database_killed_in_the_middle_of_an_issue_repeats_nothing(tmp_path: Path) -> None:
    """J12: kill -9 of every process of PostgreSQL; the worker's life sign and its known outcomes are taken up again."""
    with run_postgresql() as postgresql, Database.open(postgresql.get_uri("publisher"), data_dir=tmp_path) as database:
        office = Office(database)
        office.fill(PEOPLE)
        worker = Worker(database, "retry", clock=office.clock)
        await worker.begin()
        office.epoch = worker.epoch
        killed: list[int] = []

        def kill(label: str, done: int, total: int | None) -> None:
            if done == 20 and not killed:
                pid = postgresql.get_pid()
                assert pid is not None
                killed.append(pid)
                kill_everything(pid)

        backlog: list[Step] = []
        async with smtp_server(Script(extensions=PIPELINING)) as server:
            office.ledger.received = server.received
            office.tell = kill
            with pytest.raises((StoreError, BusyError)):
                await office.send(server, connections=4, backlog=backlog, alive=lambda: worker.alive)
            with pytest.raises((StoreError, BusyError)):
                await worker.look()
            assert not worker.alive
            await asyncio.to_thread(postgresql.start)
            assert await worker.look()
            assert worker.epoch == office.epoch
            report = await office.send(server, connections=4, backlog=backlog, alive=lambda: worker.alive)
            assert (report.waiting, backlog) == (0, [])
        assert_invariants(office.ledger, database, at_risk=0)
        assert set(office.states().values()) == {S.SENT}
        await worker.end()


@pytest.fixture
def strace() -> str:
    """The program that watches and disturbs the calls of another."""
    found = shutil.which("strace")
    if found is None:
        pytest.skip("strace is not installed (apt install strace)")
    return found


async def traced(strace: str, options: list[str], folder: Path, port: int, connections: int) -> int:
    """Run a worker under strace; return how it ended."""
    # Only the calls of interest stop the process.
    command = [
        strace,
        "-f",
        "-qq",
        "--seccomp-bpf",
        *options,
        sys.executable,
        "-m",
        "tests.sender",
        str(folder),
        str(port),
    ]
    process = await asyncio.create_subprocess_exec(*command, str(connections), stderr=asyncio.subprocess.DEVNULL)
    return await process.wait()


@pytest.mark.parametrize("fault", ["fdatasync:error=EIO", "pwrite64:error=ENOSPC", "pwrite64:error=EROFS"])
async def test_a_failing_disk_is_never_taken_for_a_good_one(
    strace: str, sqlite_database: Database, tmp_path: Path, fault: str
) -> None:
    """J3, J5, J6: the system itself says so, from the n-th call on; the next worker recovers."""
    office = Office(sqlite_database)
    office.fill(PEOPLE[:20])
    async with smtp_server(Script(extensions=PIPELINING)) as server:
        office.ledger.received = server.received
        options = ["-o", "/dev/null", "-e", f"trace={fault.partition(':')[0]}", "-e", f"inject={fault}:when=9+"]
        assert await traced(strace, options, tmp_path, server.port, 3) != 0
        assert S.QUEUED in office.states().values()
        assert await ended(sender.start(tmp_path, server.port)) == 0
    assert_invariants(office.ledger, sqlite_database, at_risk=3)
    assert set(office.states().values()) <= {S.SENT, S.UNCERTAIN}


async def test_an_outcome_is_on_the_disk_before_the_next_body_is_written(
    strace: str, sqlite_database: Database, tmp_path: Path
) -> None:
    """J2, §5.2: between the reply to one mail and the body of the next there is a sync, and one before the first."""
    office = Office(sqlite_database)
    office.fill(PEOPLE[:6])
    trace = tmp_path / "trace"
    calls = "trace=fdatasync,fsync,sendto,sendmsg,write,writev,recvfrom,recv,read"
    async with smtp_server(Script()) as server:
        assert await traced(strace, ["-o", str(trace), "-s", "20000", "-e", calls], tmp_path, server.port, 1) == 0
        assert len(server.received) == 6
    seen = ""
    for line in trace.read_text(errors="replace").splitlines():
        if re.search(r" f(data)?sync\(.*= 0|f(data)?sync resumed>.*= 0", line):
            seen += "s"
        elif re.search(r'\\r\\n\.\\r\\n"', line):
            seen += "B"
        elif "recvfrom" in line and "250 2.0.0 queued" in line:
            seen += "R"
    assert re.fullmatch(r"(s+BR){6}s+", seen), seen
