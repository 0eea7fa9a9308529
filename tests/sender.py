"""A worker process of the outbox, small enough to be started and killed a thousand times."""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
import os
import resource
import signal
import sys
from collections.abc import Callable, Coroutine
from datetime import datetime, timedelta
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import structlog
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from publisher import faults
from publisher.app.worker import Worker
from publisher.cli.loop import play
from publisher.mail import outbox
from publisher.mail.compose import Composer
from publisher.mail.dkim import Key, Signer
from publisher.mail.smtp import Envelope, Transport
from publisher.mail.steps import Policy
from publisher.model import Attempt
from publisher.store.database import Database
from tests.office import KEYRING, NOW
from tests.starvation import allow_threads, become_limited

LOOK_EVERY = 0.02
"""Seconds: many looks at each other's life signs in a short life."""

KEY = Path(__file__).parent / "data" / "dkim" / "rsa.pem"

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(
    ["tests.sender", "tests.houses", "publisher.store.database", "sqlalchemy.dialects.sqlite"]
)


def start(
    folder: Path,
    port: int,
    *,
    url: str = "",
    fault: str = "",
    on_uncertain: Literal["retry", "hold"] = "retry",
    connections: int = 3,
    poison: str = "",
    files: int = 0,
    threads: int | None = None,
    later: timedelta = timedelta(),
    signed: bool = False,
) -> ForkServerProcess:
    """Start a worker that recovers what dead ones left and sends until nothing is due.

    `poison`: it dies when it sends to this recipient. `files`: so many may be open at most. `threads`: so many more
    than it has when it is ready, None: as many as it likes. `later`: so long after the issue was frozen.
    """
    args = (folder, port, url, fault, on_uncertain, connections, poison, files, threads, later, signed)
    return launch(_work, *args)


def launch(work: Callable[..., None], *args: object) -> ForkServerProcess:
    """Start a process that does this, of a server that has imported everything already."""
    process = _context.Process(target=work, args=args)
    # A child would import the main module, which is pytest: eight times the work of sending.
    main, sys.modules["__main__"] = sys.modules["__main__"], ModuleType("__main__")
    try:
        process.start()
    finally:
        sys.modules["__main__"] = main
    return process


class Poisoned(Transport):
    """Dies as a mail to one recipient goes out: of memory, or of what a library makes of it."""

    poison = ""

    async def send(
        self,
        mail_from: str,
        rcpt_to: str,
        message: bytes | tuple[bytes, ...],
        *,
        dotless: bool = False,
        behind: Envelope | None = None,
    ) -> Attempt:
        """Send as usual, or die."""
        if self.poison and rcpt_to == self.poison:
            os._exit(137)
        return await super().send(mail_from, rcpt_to, message, dotless=dotless, behind=behind)


def _work(
    folder: Path,
    port: int,
    url: str,
    fault: str,
    on_uncertain: Literal["retry", "hold"],
    connections: int,
    poison: str = "",
    files: int = 0,
    threads: int | None = None,
    later: timedelta = timedelta(),
    signed: bool = False,
) -> None:
    Poisoned.poison = poison
    if threads is not None:
        become_limited()
    if files:
        resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    faults.arm(fault)
    with Database.open(url, data_dir=folder) as db:
        policy = Policy(on_uncertain=on_uncertain)
        story = _serve(db, port, policy, connections, NOW + later, signed=signed)
        if threads is None:
            asyncio.run(story)
        else:
            play(_starving(threads, story))


async def _starving(threads: int, story: Coroutine[Any, Any, None]) -> None:
    allow_threads(threads)
    await story


def _signer() -> Signer:
    private = serialization.load_pem_private_key(KEY.read_bytes(), None)
    assert isinstance(private, rsa.RSAPrivateKey)
    return Signer([Key.of("r1", private)])


async def _serve(db: Database, port: int, policy: Policy, connections: int, now: datetime, *, signed: bool) -> None:
    """Work as the service does: beside others, and under a new epoch whenever others took this worker for dead."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    report = None
    while report is None or (report.held and not stop.is_set()):
        worker = Worker(db, policy.on_uncertain, clock=lambda: now, look_every=LOOK_EVERY, patience=timedelta())
        await worker.begin()
        report = await outbox.run(
            db,
            lambda: Poisoned("127.0.0.1", port, security="plain", hello_name="mail.example.org"),
            composer=Composer(KEYRING, signer=_signer() if signed else None),
            scribes=1 if signed else 0,
            epoch=worker.epoch,
            connections=connections,
            clock=lambda: now,
            dice=lambda: 0.5,
            stop=stop,
            policy=policy,
            alive=lambda worker=worker: worker.alive,  # type: ignore[misc]  # bound now, for this epoch
        )
        await worker.end()


if __name__ == "__main__":  # as a process of its own, to be traced: FOLDER PORT CONNECTIONS
    _work(Path(sys.argv[1]), int(sys.argv[2]), "", "", "retry", int(sys.argv[3]))
