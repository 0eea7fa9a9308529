"""A worker process of the outbox, small enough to be started and killed a thousand times."""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
import signal
import sys
from datetime import timedelta
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from types import ModuleType
from typing import Literal

import structlog

from publisher import faults
from publisher.app.worker import Worker
from publisher.mail import outbox
from publisher.mail.compose import Composer
from publisher.mail.smtp import Transport
from publisher.mail.steps import Policy
from publisher.store.database import Database
from tests.office import KEYRING, NOW

LOOK_EVERY = 0.02
"""Seconds: many looks at each other's life signs in a short life."""

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(["tests.sender", "publisher.store.database", "sqlalchemy.dialects.sqlite"])


def start(
    folder: Path,
    port: int,
    *,
    url: str = "",
    fault: str = "",
    on_uncertain: Literal["retry", "hold"] = "retry",
    connections: int = 3,
) -> ForkServerProcess:
    """Start a worker that recovers what dead ones left and sends until nothing is due."""
    process = _context.Process(target=_work, args=(folder, port, url, fault, on_uncertain, connections))
    # A child would import the main module, which is pytest: eight times the work of sending.
    main, sys.modules["__main__"] = sys.modules["__main__"], ModuleType("__main__")
    try:
        process.start()
    finally:
        sys.modules["__main__"] = main
    return process


def _work(
    folder: Path, port: int, url: str, fault: str, on_uncertain: Literal["retry", "hold"], connections: int
) -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    faults.arm(fault)
    with Database.open(url, data_dir=folder) as db:
        asyncio.run(_serve(db, port, Policy(on_uncertain=on_uncertain), connections))


async def _serve(db: Database, port: int, policy: Policy, connections: int) -> None:
    """Work as the service does: beside others, and under a new epoch whenever others took this worker for dead."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    report = None
    while report is None or (report.held and not stop.is_set()):
        worker = Worker(db, policy.on_uncertain, clock=lambda: NOW, look_every=LOOK_EVERY, patience=timedelta())
        await worker.begin()
        report = await outbox.run(
            db,
            lambda: Transport("127.0.0.1", port, security="plain", hello_name="mail.example.org"),
            composer=Composer(KEYRING),
            epoch=worker.epoch,
            connections=connections,
            clock=lambda: NOW,
            dice=lambda: 0.5,
            stop=stop,
            policy=policy,
            alive=lambda worker=worker: worker.alive,  # type: ignore[misc]  # bound now, for this epoch
        )
        await worker.end()


if __name__ == "__main__":  # as a process of its own, to be traced: FOLDER PORT CONNECTIONS
    _work(Path(sys.argv[1]), int(sys.argv[2]), "", "", "retry", int(sys.argv[3]))
