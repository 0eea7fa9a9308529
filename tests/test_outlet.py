"""What nobody reads holds up nothing: words of a service, a full pipe, a full disk (J22)."""

from __future__ import annotations

import asyncio
import io
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import structlog

from publisher import control
from publisher.control import silent
from publisher.outlet import Outlet
from publisher.store.database import Database
from tests.ledgers import assert_invariants
from tests.office import NAMES, Office, S
from tests.publications import write_publication
from tests.smtp_server import smtp_server

pytestmark = pytest.mark.anyio


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """A pipe that is full: the end to read and the end to write."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    with suppress(BlockingIOError):
        while True:
            os.write(writing, b"x" * 4096)
    os.set_blocking(writing, True)
    yield reading, writing
    for one in (reading, writing):
        with suppress(OSError):
            os.close(one)


def test_lines_go_out_in_order_and_whole(tmp_path: Path) -> None:
    with (tmp_path / "log").open("w") as file:
        outlet = Outlet(file)
        print("one", "two", file=outlet, flush=True)
        outlet.write("three\nfour")
        outlet.write(" and a half\n")
        outlet.write("without an end")
        outlet.end()
    assert (tmp_path / "log").read_text() == "one two\nthree\nfour and a half\n"


def test_a_stand_in_without_a_file_does_too() -> None:
    target = io.StringIO()
    outlet = Outlet(target)
    print("häh \ud800", file=outlet)
    outlet.end()
    assert target.getvalue() == "häh \ud800\n"
    assert not outlet.isatty()


def test_what_is_lost_is_told_of_once_it_goes_on(pipe: tuple[int, int]) -> None:
    reading, writing = pipe
    file = os.fdopen(os.dup(writing), "w")
    outlet = Outlet(file, most=3)
    for number in range(50):
        print(f"line {number}", file=outlet)
    said = b""
    while b"line 0\n" not in said:
        said += os.read(reading, 1 << 20)
    while outlet._lines.qsize():
        time.sleep(0.001)
    print("at last", file=outlet)
    outlet.end()
    file.close()
    os.close(writing)
    while more := os.read(reading, 1 << 20):
        said += more
    lines = said.decode().lstrip("x").splitlines()
    notices = [line for line in lines if "lines of the log were lost, because nobody took them" in line]
    assert sum(int(line.split()[0]) for line in notices) + len(lines) - len(notices) == 51
    assert [line for line in lines if line not in notices][:3] == ["line 0", "line 1", "line 2"]
    assert lines[-1] == "at last"


def test_a_full_disk_is_no_error_of_whoever_logs() -> None:
    with Path("/dev/full").open("w") as full:
        outlet = Outlet(full)
        for _ in range(10):
            print("x" * 100_000, file=outlet)
        outlet.end()
        assert outlet._lost >= 10


async def test_sending_goes_on_while_nobody_reads_the_log(sqlite_database: Database, pipe: tuple[int, int]) -> None:
    """J22: nothing waits with a mail on the wire."""
    office = Office(sqlite_database)
    office.fill(NAMES)
    with os.fdopen(os.dup(pipe[1]), "w") as file:
        outlet = Outlet(file)
        before = structlog.get_config()
        structlog.configure(logger_factory=structlog.PrintLoggerFactory(outlet))  # type: ignore[arg-type]  # a TextIO
        try:
            office.tell = lambda *step: structlog.get_logger().warning("sending", step=step, more="x" * 10_000)
            async with smtp_server() as server:
                assert (await office.send(server)).sent == 12
                office.ledger.received = server.received
        finally:
            structlog.configure(**before)
            outlet.end(0.01)
    assert_invariants(office.ledger, office.db, at_risk=0)
    assert set(office.states().values()) == {S.SENT}


def test_a_service_whose_words_nobody_reads_serves_and_stops(tmp_path: Path, pipe: tuple[int, int]) -> None:
    """J22: it is ready, answers and ends in order, though its standard error takes nothing from the start."""
    file = write_publication(tmp_path)
    command = [sys.executable, "-m", "publisher", "--config", str(file), "run"]
    variables = os.environ | {"PUBLISHER_LOG": "DEBUG"}
    with subprocess.Popen(command, env=variables, stdout=pipe[1], stderr=pipe[1]) as process:
        try:
            while not (tmp_path / "data" / "control.sock").exists():
                assert process.poll() is None
                time.sleep(0.02)
            done = asyncio.run(control.call(tmp_path / "data", "collect", {"names": ["articles"]}, silent))
            assert done["sources"][0]["articles"] == 3
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 0
        finally:
            process.kill()
