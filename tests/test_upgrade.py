"""An upgrade while an issue is being sent: the old process stops, the new one starts, no mail is lost or repeated."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from publisher.app import App
from publisher.model import DeliveryState
from publisher.store import deliveries
from tests.smtp_server import SmtpServer, smtp_server
from tests.test_reload import READERS, mailing, slow

pytestmark = pytest.mark.anyio

CONNECTIONS = 2
"""As `mailing` configures them."""


async def started(file: Path) -> asyncio.subprocess.Process:
    """Start the service, as its supervisor does."""
    command = (sys.executable, "-m", "publisher", "--config", str(file), "run")
    return await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL
    )


async def until(happened: Callable[[], bool], process: asyncio.subprocess.Process) -> None:
    """Wait for what a process brings about; its start alone takes long where all cores are busy."""
    while not happened():
        assert process.returncode is None
        await asyncio.sleep(0.02)


async def upgraded(home: Path, server: SmtpServer, number: signal.Signals) -> tuple[App, int]:
    """Stop a service by a signal in the middle of an issue, start another; return what they left, and the exit code."""
    server.script.dot = slow(40).dot
    async with mailing(home, server) as app:
        config = app.config
    old = await started(config.files[0])
    await until(lambda: len(server.received) >= 4, old)
    old.send_signal(number)
    code = await old.wait()
    assert len(server.received) < len(READERS)  # else it was not in the middle
    new = await started(config.files[0])
    everybody = {reader["email"] for reader in READERS}
    await until(lambda: {received.rcpt_to for received in server.received} == everybody, new)
    new.send_signal(signal.SIGTERM)
    assert await new.wait() == 0
    return await App.open(config), code


def copies(server: SmtpServer) -> Counter[str]:
    """How many mails each reader got."""
    return Counter(received.rcpt_to for received in server.received)


async def test_an_upgrade_by_sigterm_repeats_and_loses_nothing(tmp_path: Path) -> None:
    """K15, P2: what is on the wire is finished and written down before the old process ends."""
    async with smtp_server() as server:
        app, code = await upgraded(tmp_path, server, signal.SIGTERM)
        async with app:
            await app.sending.send()
            rows = await app.database.aread(partial(deliveries.listing, limit=1000))
    assert code == 0
    assert copies(server) == Counter({reader["email"]: 1 for reader in READERS})
    assert {(row.state, row.ambiguous) for row in rows} == {(DeliveryState.SENT, 0)}


async def test_an_upgrade_by_sigkill_repeats_one_mail_a_connection_at_most(tmp_path: Path) -> None:
    """K15, J1, P2: the new process sends again only what the old one had on the wire."""
    async with smtp_server() as server:
        app, code = await upgraded(tmp_path, server, signal.SIGKILL)
        async with app:
            await app.sending.send()  # what was on the wire may still wait for its second attempt
            rows = await app.database.aread(partial(deliveries.listing, limit=1000))
    assert code == -signal.SIGKILL
    sent = copies(server)
    assert set(sent) == {reader["email"] for reader in READERS}
    assert max(sent.values()) <= 2
    assert sum(sent.values()) - len(READERS) <= CONNECTIONS
    assert {row.state for row in rows} == {DeliveryState.SENT}
