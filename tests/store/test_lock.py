"""The data directory has one owner at a time, and the second is told who."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from publisher.errors import BusyError, StoreError
from publisher.store.lock import DirectoryLock

HOLD = (
    "import sys, pathlib; from publisher.store.lock import DirectoryLock;"
    "DirectoryLock(pathlib.Path(sys.argv[1])).acquire(); print('held', flush=True); sys.stdin.read()"
)


def test_a_second_process_is_refused_with_the_pid_of_the_first(tmp_path: Path) -> None:
    """J10; and when the first is killed, however hard, the lock is free again."""
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as first:
        assert first.stdout
        assert first.stdout.readline() == "held\n"
        assert DirectoryLock.holder_of(tmp_path) == first.pid
        with pytest.raises(BusyError, match=f"process {first.pid};") as caught:
            DirectoryLock(tmp_path).acquire()
        assert caught.value.exit_code == 75
        first.send_signal(signal.SIGKILL)
    assert DirectoryLock.holder_of(tmp_path) is None
    with DirectoryLock(tmp_path):
        assert DirectoryLock.holder_of(tmp_path) == os.getpid()


def test_the_lock_is_given_back(tmp_path: Path) -> None:
    """Also after an error inside; releasing twice is nothing."""
    lock = DirectoryLock(tmp_path / "new")
    with pytest.raises(KeyError), lock:
        raise KeyError
    lock.release()
    lock.acquire()
    with pytest.raises(RuntimeError, match="already held"):
        lock.acquire()
    with pytest.raises(BusyError, match=str(os.getpid())):
        DirectoryLock(tmp_path / "new").acquire()
    lock.release()
    assert DirectoryLock.holder_of(tmp_path / "new") is None
    assert (tmp_path / "new" / "lock").read_text() == ""


def test_looking_takes_nothing_and_makes_nothing(tmp_path: Path) -> None:
    """A directory without a lock has no holder and keeps its shape."""
    assert DirectoryLock.holder_of(tmp_path) is None
    assert DirectoryLock.holder_of(tmp_path / "none") is None
    assert list(tmp_path.iterdir()) == []


def test_children_do_not_inherit_the_lock(tmp_path: Path) -> None:
    """A child that outlives us must not keep the directory."""
    lock = DirectoryLock(tmp_path)
    lock.acquire()
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, close_fds=False) as child:
        lock.release()
        assert DirectoryLock.holder_of(tmp_path) is None
        with DirectoryLock(tmp_path):
            child.communicate(b"\n")


def test_a_place_that_cannot_be_locked_is_named(tmp_path: Path) -> None:
    """A file where the directory should be."""
    (tmp_path / "file").write_text("x")
    with pytest.raises(StoreError, match="file/lock: cannot be opened"):
        DirectoryLock(tmp_path / "file").acquire()
