"""Scribes: processes that sign, of which nothing that happens to them loses or changes a signature."""

from __future__ import annotations

import asyncio
import hashlib
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

import anyio
import pytest

from publisher.mail import ahead, outbox, signing
from publisher.mail.compose import Composer
from publisher.mail.dkim import Key, Signer, Unsigned
from publisher.mail.outbox import OutboxReport
from publisher.mail.signing import Signing
from publisher.mail.smtp import Envelope, Transport
from publisher.model import DeliveryState
from publisher.store.database import Database
from tests.office import KEYRING, NAMES, Office, check_ledgers
from tests.smtp_server import Script, smtp_server
from tests.test_mail_dkim import keys, verifies, zone

pytestmark = pytest.mark.anyio

DEADLINE = 60.0
"""Seconds that a machine under load may take to start a process."""


@cache
def both() -> Sequence[Key]:
    """An RSA and an Ed25519 key."""
    return keys("r1", "e1")


def wanted(number: int) -> list[Unsigned]:
    """Something to be signed with both keys."""
    return [Unsigned(key, b"X: %d;" % number, hashlib.sha256(b"%d" % number).digest()) for key in both()]


def here(number: int) -> list[bytes]:
    """The same, signed here and now."""
    return [each.signature() for each in wanted(number)]


async def started(signs: Signing) -> signing._Scribe:
    """Wait until the first scribe may be asked."""
    await until(lambda: bool(signs._scribes) and signs._scribes[0].ready)
    return signs._scribes[0]


async def until(holds: Callable[[], bool]) -> None:
    """Wait until something that nobody tells has happened."""
    with anyio.fail_after(DEADLINE):
        while not holds():  # noqa: ASYNC110 - as the docstring says
            await asyncio.sleep(0.01)


async def test_a_scribe_makes_the_signatures_that_threads_make() -> None:
    """DESIGN §5: byte-identical on every attempt, whoever signs; many ask at once."""
    async with Signing(2) as signs:
        assert await signs.sign(wanted(0)) == here(0)  # by threads or not, as it comes
        await started(signs)
        before = signs.by_scribes
        found = await asyncio.gather(*(signs.sign(wanted(number)) for number in range(60)))
        assert found == [here(number) for number in range(60)]
        assert signs.by_scribes == before + 120
    assert all(scribe._process.returncode == 0 for scribe in signs._scribes)


async def test_without_scribes_threads_sign() -> None:
    """A short run starts no process."""
    async with Signing() as signs:
        assert await signs.sign(wanted(1)) == here(1)
        assert (signs.by_scribes, signs._scribes) == (0, [])


async def test_what_a_scribe_took_with_it_is_signed_by_threads() -> None:
    """K10: killed for its memory, in the middle of its work."""
    async with Signing(1) as signs:
        scribe = await started(signs)
        asked = [asyncio.create_task(signs.sign(wanted(number))) for number in range(60)]
        await asyncio.sleep(0)
        scribe._process.kill()
        assert await asyncio.gather(*asked) == [here(number) for number in range(60)]
        assert not scribe.ready
        before = signs.by_scribes
        assert await signs.sign(wanted(61)) == here(61)
        assert signs.by_scribes == before


async def test_a_scribe_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sending goes on, and so does the end of the run."""
    monkeypatch.setattr(signing, "PATIENCE", 0.1)
    monkeypatch.setattr(signing, "GOODBYE", 0.1)
    async with Signing(1) as signs:
        scribe = await started(signs)
        scribe._process.send_signal(signal.SIGSTOP)
        assert await signs.sign(wanted(2)) == here(2)
        assert not scribe.ready
    assert scribe._process.returncode == -signal.SIGKILL


async def test_signals_that_stop_the_service_leave_its_scribes_to_finish() -> None:
    """A terminal and systemd send them to every process; messages under way are still to be signed (F6)."""
    async with Signing(1) as signs:
        scribe = await started(signs)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            scribe._process.send_signal(number)
        before = signs.by_scribes
        assert await signs.sign(wanted(3)) == here(3)
        assert signs.by_scribes == before + 2


async def test_where_no_process_can_be_started_threads_sign(monkeypatch: pytest.MonkeyPatch) -> None:
    """A locked-down machine sends all the same."""
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    async with Signing(1) as signs:
        assert signs._starting is not None
        await asyncio.wait([signs._starting])
        assert await signs.sign(wanted(4)) == here(4)
        assert signs.by_scribes == 0


async def test_a_program_that_is_no_scribe_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """What ends at once, or says something else, signs nothing."""
    monkeypatch.setattr(sys, "executable", "/bin/true")
    async with Signing(1) as signs:
        await until(lambda: bool(signs._scribes) and signs._scribes[0]._lost)
        assert await signs.sign(wanted(5)) == here(5)
        assert signs.by_scribes == 0


PROGRAM = """
import asyncio
from publisher.mail.signing import Signing

async def main():
    async with Signing(1) as signs:
        while not (signs._scribes and signs._scribes[0].ready):
            await asyncio.sleep(0.01)
        print(signs._scribes[0]._process.pid, flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


async def test_a_scribe_ends_with_the_process_that_started_it() -> None:
    """However that ends: `kill -9` leaves nothing behind."""
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", PROGRAM, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    number = int(await process.stdout.readline())
    assert runs(number)
    process.kill()
    await process.wait()
    await until(lambda: not runs(number))


def runs(number: int) -> bool:
    """Whether a process runs; where nobody buries the dead, one that does not may still be listed."""
    status = Path(f"/proc/{number}/status")
    return status.exists() and "zombie" not in status.read_text()


async def test_what_scribes_sign_arrives_and_verifies(sqlite_database: Database) -> None:
    """The whole way through the outbox."""
    office = Office(sqlite_database)
    office.fill([f"reader{number:03d}" for number in range(200)])
    composer = Composer(KEYRING, signer=Signer(both()))
    async with smtp_server() as server:
        assert await office.send(server, composer=composer, scribes=1) == OutboxReport(sent=200)
        check_ledgers(office, server.received)
        assert all(verifies(message.content, zone("r1", "e1"), 2) for message in server.received)


async def test_scribes_are_started_for_much_that_is_signed(
    sqlite_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A start costs as much as some hundred signatures by threads."""
    asked = []

    class Counting(Signing):
        def __init__(self, scribes: int) -> None:
            asked.append(scribes)
            super().__init__()

    monkeypatch.setattr(outbox, "Signing", Counting)
    monkeypatch.setattr(outbox, "WORTH", 5)
    monkeypatch.setattr(outbox, "usual_scribes", lambda: 2)
    office = Office(sqlite_database)
    signed, unsigned = Composer(KEYRING, signer=Signer(both())), Composer(KEYRING)
    office.fill([f"reader{number}" for number in range(4)])
    async with smtp_server() as server:
        assert await office.send(server, composer=signed) == OutboxReport(sent=4)
        office.join("fifth")
        for composer in (signed, unsigned):
            office.freeze()
            assert await office.send(server, composer=composer) == OutboxReport(sent=5)
    assert asked == [0, 2, 0]


async def test_a_mail_that_is_signed_late_has_its_envelope_said_before_its_claim(
    sqlite_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Delivery §5.2: a connection that waited for its mail loses no round trip; the body waits for the claim."""
    office = Office(sqlite_database)
    office.fill()
    sent, preceded = asyncio.Semaphore(1), []
    office.tell = lambda *_: sent.release()

    class Late(Signing):
        async def sign(self, wanted: Sequence[Unsigned]) -> list[bytes]:
            await sent.acquire()
            return await super().sign(wanted)

    class Watched(Transport):
        def precede(self, envelope: Envelope) -> None:
            super().precede(envelope)
            if self._ahead == envelope:
                name = envelope.rcpt_to.partition("@")[0]
                preceded.append((name, office.states()[name]))

    monkeypatch.setattr(outbox, "Signing", Late)
    monkeypatch.setattr(ahead, "CHUNK", 1)
    async with smtp_server(Script(extensions=("PIPELINING",))) as server:
        monkeypatch.setattr(
            office,
            "transport",
            lambda *_: lambda: Watched("127.0.0.1", server.port, security="plain", hello_name="mail.example.org"),
        )
        composer = Composer(KEYRING, signer=Signer(both()))
        assert await office.send(server, connections=1, composer=composer) == OutboxReport(sent=len(NAMES))
        check_ledgers(office, server.received)
        # The first needs a connection first, which `send` makes.
        assert preceded == [(name, DeliveryState.QUEUED) for name in NAMES[1:]]
        assert (server.connections, sum(said.startswith("MAIL") for said in server.commands)) == (1, len(NAMES))


@pytest.mark.parametrize(("processors", "scribes"), [(1, 0), (2, 2), (64, 2)])
def test_two_sign_unless_there_is_one_processor(monkeypatch: pytest.MonkeyPatch, processors: int, scribes: int) -> None:
    """With two processors already; where this process may use but one, threads sign."""
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(processors)))
    assert signing.usual_scribes() == scribes


async def test_a_run_that_is_broken_off_while_scribes_start_leaves_none_behind() -> None:
    """Nobody would know of such a process."""
    signs = Signing(1)
    with pytest.raises(KeyError):
        async with signs:
            raise KeyError
    [scribe] = signs._scribes
    assert scribe._process.returncode is not None


def test_a_scribe_has_little_to_load() -> None:
    """It starts in a tenth of a second, and takes no memory for what it does not do."""
    program = "import sys, publisher.mail.scribe; print(*sorted(m for m in sys.modules if m.startswith('publisher')))"
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    assert found == ["publisher", "publisher.mail", "publisher.mail.private", "publisher.mail.scribe"]
