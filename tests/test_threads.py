"""Threads: all there from the beginning, or one clear sentence; what is asked for later may be refused (K13)."""

from __future__ import annotations

import asyncio
import os
import re
import socket
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx2
import pytest
import uvloop

from publisher import cli
from publisher.cli.loop import ASIDE, NAMES, Loop, play
from publisher.errors import ThreadsError
from publisher.store.database import Database
from publisher.threads import InPlace, spare, started
from tests import sender
from tests.publications import write_publication
from tests.starvation import allow_threads, become_limited, needs_root

NEEDED = ASIDE + NAMES + 5 + 1
"""Threads of a service beside its first: the loop's, four that read the database and one that writes, the log's."""

SENTENCE = re.compile(
    r"Error: the system gives this process no more threads \(publisher-[a-z]+: can't start new thread\); "
    r"raise the limit: `ulimit -u` of its user, TasksMax= of a systemd unit, the pids limit of a container\n"
)


@pytest.fixture
def allow(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Let so many more threads start, and refuse the rest as Python does."""
    real = threading.Thread.start

    def allow(number: int) -> None:
        left = [None] * number

        def start(thread: threading.Thread) -> None:
            if not left:
                raise RuntimeError("can't start new thread")
            left.pop()
            real(thread)

        monkeypatch.setattr(threading.Thread, "start", start)

    return allow


def test_a_pool_starts_no_thread_after_the_beginning(allow: Callable[[int], None]) -> None:
    allow(3)
    with started(3, "publisher-test") as pool:
        barrier = threading.Barrier(3)
        together = [pool.submit(barrier.wait) for _ in range(3)]
        assert sorted(each.result(60) for each in together) == [0, 1, 2]
        assert pool.submit(str, 5).result(60) == "5"


@pytest.mark.parametrize("number", [0, 1, 2])
def test_a_pool_that_gets_too_few_threads_leaves_none_behind(allow: Callable[[int], None], number: int) -> None:
    before = threading.active_count()
    allow(number)
    with pytest.raises(ThreadsError, match=r"no more threads \(publisher-test: can't start new thread\); raise the"):
        started(3, "publisher-test")
    assert threading.active_count() == before


def test_work_that_may_wait_is_done_in_place_where_there_is_no_thread(allow: Callable[[int], None]) -> None:
    allow(1)
    pool = spare(2, "publisher-test")
    assert isinstance(pool, InPlace)
    assert pool.submit(threading.get_ident).result(0) == threading.get_ident()
    assert isinstance(pool.submit(int, "x").exception(0), ValueError)


@pytest.mark.parametrize("number", [0, 4])
def test_a_database_without_its_threads_is_not_opened(
    allow: Callable[[int], None], tmp_path: Path, number: int
) -> None:
    """Of five, four that read and one that writes."""
    before = threading.active_count()
    allow(number)
    with pytest.raises(ThreadsError, match="no more threads"):
        Database.open(data_dir=tmp_path)
    assert threading.active_count() == before


def test_the_event_loop_starts_no_thread_after_the_beginning(allow: Callable[[int], None]) -> None:
    """None of Python's, neither for names nor for addresses, nor at its end."""

    async def story() -> tuple[int, str]:
        allow(0)
        return await _connecting()

    assert play(story()) == (5, "MainThread")


@needs_root
def test_what_is_done_aside_may_need_the_loop_to_its_end() -> None:
    """A thread that asks the loop for something while a story ends gets its answer, and the end waits for it."""
    ending, answers = threading.Event(), []

    class Names(ThreadPoolExecutor):
        def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
            ending.set()  # from here on the loop runs for nothing but the end
            super().shutdown(wait, cancel_futures=cancel_futures)

    async def answer() -> str:
        await asyncio.sleep(0)
        return "answered"

    async def story() -> None:
        loop = asyncio.get_running_loop()

        def ask() -> None:
            ending.wait()
            answers.append(asyncio.run_coroutine_threadsafe(answer(), loop).result())

        for _ in range(3 * ASIDE):
            loop.run_in_executor(None, ask)

    uvloop.run(story(), loop_factory=lambda: Loop(started(ASIDE, "aside"), Names(NAMES)))
    assert answers == ["answered"] * 3 * ASIDE


def test_the_event_loop_asks_the_system_for_no_thread_after_the_beginning() -> None:
    """Nor of uvloop's own, which abort the process when they are refused."""
    process = sender.launch(_connect)
    process.join()
    assert process.exitcode == 0


def _connect() -> None:
    async def story() -> tuple[int, str]:
        allow_threads(0)
        return await _connecting()

    become_limited()
    assert play(story()) == (5, "MainThread")


async def _connecting() -> tuple[int, str]:
    """Look up an address and a name, connect to one that answers and one that does not, do something aside."""
    loop = asyncio.get_running_loop()
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket() as plug:
        port = server.getsockname()[1]
        [(*_, where)] = await loop.getaddrinfo("127.0.0.1", port, type=socket.SOCK_STREAM)
        named = await loop.getaddrinfo("localhost", port, type=socket.SOCK_STREAM)
        assert {entry[4][0] for entry in named} & {"127.0.0.1", "::1"}
        plug.setblocking(False)
        await loop.sock_connect(plug, where)
        assert plug.getpeername() == where
    with socket.socket() as deaf, socket.socket() as late:
        deaf.bind(("127.0.0.1", 0))
        late.setblocking(False)
        with pytest.raises(ConnectionRefusedError, match="Connect call failed"):
            await loop.sock_connect(late, deaf.getsockname())
    return await asyncio.to_thread(lambda: 5), threading.current_thread().name


@pytest.mark.parametrize("number", [0, ASIDE, ASIDE + NAMES - 1])
def test_a_story_without_its_threads_does_not_begin(allow: Callable[[int], None], number: int) -> None:
    begun = []

    async def story() -> None:
        begun.append(1)

    allow(number)
    with pytest.raises(ThreadsError):
        play(story())
    assert begun == []


def _command(file: Path, said: Path, more: int, *arguments: str) -> None:
    """Be the program under a limit; what it says goes into a file."""
    os.setsid()
    descriptor = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    become_limited()
    allow_threads(more)
    os.environ["PUBLISHER_CONFIG"] = str(file)
    sys.argv = ["publisher", *arguments]
    cli.program()


@needs_root
@pytest.mark.parametrize("more", [0, ASIDE, ASIDE + NAMES + 2, NEEDED - 1])
def test_a_service_without_its_threads_says_so_and_ends(tmp_path: Path, more: int) -> None:
    file, said = write_publication(tmp_path), tmp_path / "said"
    service = sender.launch(_command, file, said, more, "run")
    service.join()
    assert service.exitcode == 1
    assert SENTENCE.fullmatch(said.read_text()), said.read_text()


@needs_root
def test_a_service_that_gets_no_more_threads_than_it_needs_does_its_work(tmp_path: Path) -> None:
    """It collects, packs feeds in place, answers readers, and ends when it is told to."""
    file, said = write_publication(tmp_path), tmp_path / "said"
    service = sender.launch(_command, file, said, NEEDED, "run")
    feed = tmp_path / "data" / "site" / "feeds" / "all.atom"
    try:
        while service.is_alive() and not feed.exists() and not (said.exists() and "Traceback" in said.read_text()):
            service.join(0.05)
        assert feed.exists(), said.read_text()
        [address] = re.findall("^Pages and feeds: (.*)/$", said.read_text(), re.MULTILINE)
        answer = httpx2.get(f"{address}/feeds/all.atom", headers={"Accept-Encoding": "identity"}, trust_env=False)
        assert (answer.status_code, answer.content) == (200, feed.read_bytes())
        service.terminate()
        service.join()
    finally:
        service.kill()
    assert service.exitcode == 0, said.read_text()
    assert "Traceback" not in said.read_text()


@needs_root
def test_a_full_round_with_no_more_threads_than_it_needs_is_done(tmp_path: Path) -> None:
    """Without the log's thread, which only a service has."""
    file, said = write_publication(tmp_path), tmp_path / "said"
    run = sender.launch(_command, file, said, NEEDED - 1, "run", "--once")
    run.join()
    assert run.exitcode == 0, said.read_text()
    assert "Traceback" not in said.read_text()
