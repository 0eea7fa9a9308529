"""Signals: the first stops in order, the second at once."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

PROGRAM = """
import asyncio, types
from publisher.app.signals import signals

async def main():
    shared = types.SimpleNamespace(stop=asyncio.Event(), woken=asyncio.Event())
    async with signals(types.SimpleNamespace(shared=shared)):
        print("running", flush=True)
        await shared.stop.wait()
        print("stopping", shared.woken.is_set(), flush=True)
        await asyncio.Event().wait()  # a mail server that does not answer

asyncio.run(main())
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def test_a_second_signal_ends_at_once_what_the_first_asked_to_stop(number: signal.Signals) -> None:
    """K9: the first lets open mails finish; who cannot wait says it again, and loses nothing that a crash would not."""
    with subprocess.Popen([sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "running\n"
        process.send_signal(number)
        assert process.stdout.readline() == "stopping True\n"
        assert process.poll() is None
        process.send_signal(number)
        assert process.wait(30) == 128 + number
