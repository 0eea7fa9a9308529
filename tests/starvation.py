"""A process that gets no more threads than it has, or a few more: the limit of a user, a unit or a container (K13)."""

from __future__ import annotations

import ctypes
import os
import resource
from pathlib import Path

import pytest

needs_root = pytest.mark.skipif(
    os.geteuid() != 0, reason="RLIMIT_NPROC counts all processes of a user; only root can become one without others"
)


def become_limited() -> None:
    """Become a user without other processes, since no limit holds for root; to be called before threads start.

    Files stay open to it, because its folders and its Python may be root's alone.
    """
    user = 20_000 + os.getpid() % 40_000  # of those that a container without root has too
    os.setresuid(user, user, 0)
    ctypes.CDLL(None).setfsuid(0)


def allow_threads(more: int) -> None:
    """Let this process have so many more threads, or processes, than it has."""
    limit = len(list(Path("/proc/self/task").iterdir())) + more
    resource.setrlimit(resource.RLIMIT_NPROC, (limit, limit))
