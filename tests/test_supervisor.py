"""sd_notify: a real service tells a real socket when it is ready, reloads, stops and gets on."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from publisher.app import App
from publisher.app.supervisor import Pulses, Supervisor
from publisher.service import Listening, Service, waking
from tests.publications import CONFIGURATION, load_publication, write_publication
from tests.test_reload import until

TALKATIVE = ("WATCHDOG=1", "STATUS=")


class Ears:
    """The socket that a supervisor listens on."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(f"\0{name[1:]}" if name.startswith("@") else name)
        self._socket.settimeout(60)

    def hear(self) -> str:
        """Wait for the next message, whatever it is."""
        return self._socket.recv(4096).decode()

    def next(self) -> str:
        """Wait for the next message that is no routine."""
        while (said := self.hear()).startswith(TALKATIVE):
            pass
        return said

    def rest(self) -> list[str]:
        """Return what is there and no routine, without waiting."""
        self._socket.setblocking(False)
        found = []
        with contextlib.suppress(BlockingIOError):
            while True:
                found.append(self.hear())
        return [said for said in found if not said.startswith(TALKATIVE)]

    def close(self) -> None:
        """Listen no more."""
        self._socket.close()


@pytest.fixture(params=["path", "abstract"])
def ears(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Ears]:
    """A supervisor's ears, at both kinds of address that systemd uses."""
    heard = Ears(str(tmp_path / "notify") if request.param == "path" else f"@publisher-test-{os.getpid()}")
    yield heard
    heard.close()


@contextlib.contextmanager
def serving(file: Path, ears: Ears, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run the service as its supervisor would."""
    command = [sys.executable, "-m", "publisher", "--config", str(file), "run"]
    variables = os.environ | {"NOTIFY_SOCKET": ears.name} | environment
    process = subprocess.Popen(command, env=variables, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        assert process.stderr is not None
        process.stderr.close()


def test_a_service_says_when_it_is_ready_reloads_and_stops(ears: Ears, tmp_path: Path) -> None:
    """K9, systemd.service(5) notify-reload: READY; RELOADING with the moment in one message, READY again; STOPPING."""
    file = write_publication(tmp_path)
    with serving(file, ears) as process:
        assert ears.next() == "READY=1"
        for text in (file.read_text(), file.read_text().replace("timezone", "timzone")):
            file.write_text(text)  # the second one is rejected: the reload is over all the same
            before = time.monotonic_ns() // 1000
            process.send_signal(signal.SIGHUP)
            reloading, moment = ears.next().split("\n")
            assert reloading == "RELOADING=1"
            assert before <= int(moment.removeprefix("MONOTONIC_USEC=")) <= time.monotonic_ns() // 1000
            assert ears.next() == "READY=1"
        process.send_signal(signal.SIGTERM)
        said = ears.next()
        while said != "STOPPING=1":  # the watch over the files may have reloaded once more
            assert said.startswith(("RELOADING=1", "READY=1"))
            said = ears.next()
        assert process.wait(60) == 0
        assert ears.rest() == []


def test_the_watchdog_is_fed_while_the_work_gets_on(ears: Ears, tmp_path: Path) -> None:
    """K14: at half of the time that the watchdog gives, from the event loop itself; and the state is told in words."""
    with serving(write_publication(tmp_path), ears, WATCHDOG_USEC="400000") as process:
        said = [ears.hear() for _ in range(8)]
        assert said.count("WATCHDOG=1") >= 4
        assert "STATUS=All is well; no deliveries open" in said
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0


def test_a_watchdog_of_another_process_is_not_fed() -> None:
    """sd_watchdog_enabled(3): WATCHDOG_PID says whose it is, and nonsense is no time."""
    assert Supervisor.of({"WATCHDOG_USEC": "60000000", "WATCHDOG_PID": "7"}, 7).watchdog == timedelta(minutes=1)
    assert Supervisor.of({"WATCHDOG_USEC": "60000000"}, 7).watchdog == timedelta(minutes=1)
    for variables in (
        {"WATCHDOG_USEC": "60000000", "WATCHDOG_PID": "8"},
        {"WATCHDOG_USEC": "x"},
        {"WATCHDOG_USEC": "0"},
    ):
        assert Supervisor.of(variables, 7).watchdog is None


def test_a_hangup_during_the_start_ends_nothing_and_is_answered(ears: Ears, tmp_path: Path) -> None:
    """K9: SIGHUP comes while the database keeps the service waiting; it starts, and then reloads."""
    file = write_publication(tmp_path)
    data = tmp_path / "data"
    done = subprocess.run([sys.executable, "-m", "publisher", "--config", str(file), "run", "--once"], check=False)
    assert done.returncode == 0
    holder = sqlite3.connect(data / "publisher.db", isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    with serving(file, ears) as process:
        while not (data / "lock").read_text().strip():
            time.sleep(0.01)
        process.send_signal(signal.SIGHUP)
        time.sleep(0.05)
        assert process.poll() is None
        holder.execute("ROLLBACK")
        holder.close()
        said = [ears.next() for _ in range(3)]
        assert [line.partition("\n")[0] for line in said] == ["READY=1", "RELOADING=1", "READY=1"]
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0


def test_a_second_signal_ends_a_service_that_waits_for_a_mail_server(ears: Ears, tmp_path: Path) -> None:
    """K9: the first SIGTERM lets the mail server answer, which it never does; the second ends the process at once."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        text = CONFIGURATION.replace("embedded = true", f'host = "127.0.0.1"\nport = {port}\nsecurity = "plain"')
        text = text.replace("timezone", 'postal_address = "A street"\ntimezone')
        file = write_publication(tmp_path, configuration=text)
        publisher = [sys.executable, "-m", "publisher", "--config", str(file)]
        added = [*publisher, "subscribers", "add", "anna@reader.example", "--consent", "paper form"]
        for command in (added, [*publisher, "collect"], [*publisher, "dispatch", "weekly"]):
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        with serving(file, ears) as process:
            assert ears.next() == "READY=1"
            silent.settimeout(60)
            connection, _ = silent.accept()
            with connection:
                process.send_signal(signal.SIGTERM)
                assert ears.next() == "STOPPING=1"
                assert process.poll() is None
                process.send_signal(signal.SIGTERM)
                assert process.wait(20) == 128 + signal.SIGTERM  # its grace would have been 30 seconds


@pytest.mark.anyio
async def test_a_service_that_does_not_get_on_is_not_kept_alive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The event loop turns, but no slot has been looked for: the watchdog goes hungry, and the log says why."""
    monkeypatch.setattr(waking, "LONGEST_LOOK", -1.0)
    heard = Ears(str(tmp_path / "notify"))
    async with await App.open(load_publication(tmp_path)) as app:
        ready: asyncio.Future[Listening] = asyncio.get_running_loop().create_future()
        with structlog.testing.capture_logs() as logs:
            service = Service(app, Supervisor(heard.name, timedelta(seconds=0.1)))
            task = asyncio.create_task(service.run(ready.set_result))
            await ready
            await until(lambda: sum(line["log_level"] == "critical" for line in logs) >= 3)
            app.shared.stop.set()
            await task
    told = [heard.hear() for _ in range(3)]
    heard.close()
    assert "WATCHDOG=1" not in told
    assert next(line["parts"] for line in logs if line["log_level"] == "critical") == ["scheduler"]


@given(
    st.lists(st.tuples(st.floats(0, 100), st.integers(0, 3)), min_size=1, max_size=20),
    st.floats(min_value=1, max_value=50),
)
def test_a_part_is_stalled_only_when_it_stood_still_for_too_long(steps: list[tuple[float, int]], bound: float) -> None:
    """Whatever is looked at and when: it is stalled when all looks within the bound showed the same mark."""
    pulses, tick, since, last = Pulses(), 0.0, 0.0, None
    for pause, mark in steps:
        tick += pause
        if mark != last:
            since, last = tick, mark
        assert pulses.stalled({"part": (mark, bound)}, tick) == (["part"] if tick - since > bound else [])


def test_a_part_that_rests_begins_anew() -> None:
    """A run of the outbox that ended an hour ago says nothing about the one that begins now."""
    pulses = Pulses()
    assert pulses.stalled({"sending": (1, 10.0)}, 0.0) == []
    assert pulses.stalled({}, 3000.0) == []
    assert pulses.stalled({"sending": (1, 10.0)}, 3600.0) == []


def test_a_supervisor_that_is_gone_harms_nothing(tmp_path: Path) -> None:
    """It is told in the log once, and the service goes on."""
    supervisor = Supervisor(str(tmp_path / "nobody"))
    with structlog.testing.capture_logs() as logs:
        supervisor.ready()
        supervisor.alive()
        Supervisor().ready()
    assert [line["reason"] for line in logs] == ["No such file or directory"]


def test_a_state_of_several_lines_is_told_in_one(ears: Ears) -> None:
    """What a server said may hold line breaks; they would begin another variable."""
    supervisor = Supervisor(ears.name)
    supervisor.status("Problems:\nREADY=1")
    supervisor.status("Problems: READY=1")
    supervisor.stopping()
    supervisor.reloading()
    supervisor.reloaded()
    assert [ears.hear(), ears.hear()] == ["STATUS=Problems: READY=1", "STOPPING=1"]
    assert ears.rest() == []
