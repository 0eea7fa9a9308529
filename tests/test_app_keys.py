"""The keys that all workers of one database share: who holds others does not start, and is told the way out (J21)."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from publisher import config
from publisher.app import App, dispatching
from publisher.app.keys import accept
from publisher.config import Config
from publisher.errors import ConfigurationError, RefusedError
from publisher.store import issues
from publisher.tokens import Keyring, Purpose, rotate
from tests.publications import CONFIGURATION, write_publication
from tests.subscriptions.test_keys import ANNAS
from tests.test_cli import ANNA, Command

pytestmark = pytest.mark.anyio

Machine = Callable[[str], Config]
KEY = bytes(range(32, 64))


@pytest.fixture
def machine(tmp_path: Path, postgresql_url: str) -> Machine:
    """Makes machines that have the same configuration and the same PostgreSQL, and a data directory of their own."""

    def make(name: str) -> Config:
        text = f'database_url = "{postgresql_url}"\n{CONFIGURATION}'
        return config.load(write_publication(tmp_path / name, configuration=text), {})

    return make


def copied(source: Config, target: Config) -> None:
    """Copy the keys from one machine to another."""
    target.data_dir.mkdir(parents=True, exist_ok=True)
    for name in ("secret.key", "erasure.key"):
        shutil.copy(source.data_dir / name, target.data_dir / name)


async def refused(config: Config) -> list[str]:
    """What a worker that does not start says; the directory and the database are free again."""
    with pytest.raises(ConfigurationError) as caught:
        await App.open(config)
    return [str(problem) for problem in caught.value.problems]


async def test_a_worker_with_keys_of_its_own_does_not_start_beside_another(machine: Machine) -> None:
    """Two machines, one database: with the same keys each reads the links of the other, and else none is sent."""
    first, second = machine("one"), machine("two")
    way_out = (
        "(copy secret.key and erasure.key from a worker of this database or from a backup; "
        "if they are lost for good, `publisher keys accept` says what follows)"
    )
    async with await App.open(first) as app:
        links, erasures = app.shared.keyring.current, app.shared.pepper.name
        signed, known = (
            f"the key {links}, by which the links in mail of this database are signed",
            f"the key {erasures}, by which this database knows erased people again",
        )
        assert await refused(second) == [
            f"{second.data_dir / 'secret.key'}: is missing, and with it {signed} {way_out}",
            f"{second.data_dir / 'erasure.key'}: is missing, and with it {known} {way_out}",
        ]
        assert not (second.data_dir / "secret.key").exists()  # a new one would be in the way of the right one
        Keyring.load_or_create(second.data_dir / "secret.key", KEY)
        shutil.copy(first.data_dir / "erasure.key", second.data_dir)
        assert await refused(second) == [f"{second.data_dir / 'secret.key'}: does not hold {signed} {way_out}"]
        copied(first, second)
        async with await App.open(second) as other:
            token = app.shared.keyring.token(Purpose.CONFIRM, 7)
            assert other.shared.keyring.read(Purpose.CONFIRM, token) == 7
            assert other.readers.pepper.hash("a@b.example") == app.readers.pepper.hash("a@b.example")


async def test_a_key_is_not_rotated_beside_a_worker_that_would_not_know_it(machine: Machine, tmp_path: Path) -> None:
    """F13: stop the others, rotate, copy, start them again; by command as by hand."""
    first, second = machine("one"), machine("two")
    async with await App.open(first) as app:
        copied(first, second)
        async with await App.open(second) as other:
            words = "another worker runs on this database and would not know the new key: stop all but one"
            with pytest.raises(RefusedError, match=words):
                await app.readers.rotate_keys()
            third = second.model_copy(update={"data_dir": tmp_path / "third"})
            with pytest.raises(RefusedError, match="2 other workers run on this database"):
                accept(third)
            assert not (tmp_path / "third" / "secret.key").exists()
            assert Keyring.load(first.data_dir / "secret.key").names == other.shared.keyring.names
        done = await app.readers.rotate_keys()
        assert done["keys"] == 2
        [problem] = await refused(second)
        assert f"does not hold the key {done['signs']}" in problem
    copied(first, second)
    rotate(second.data_dir / "secret.key", KEY)  # by hand, or by a command that was broken off
    async with await App.open(second) as other:
        assert len(other.shared.keyring) == 3
        [problem] = await refused(first)
        assert f"does not hold the key {other.shared.keyring.current}" in problem


async def test_a_key_put_on_top_by_hand_waits_until_the_others_have_stopped(machine: Machine) -> None:
    first, second = machine("one"), machine("two")
    async with await App.open(first):
        copied(first, second)
        rotate(second.data_dir / "secret.key", KEY)
        with pytest.raises(RefusedError, match="another worker runs on this database"):
            await App.open(second)
    async with await App.open(second) as other:
        assert len(other.shared.keyring) == 2


async def test_two_instances_decide_a_slot_once(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """K6: both schedulers find it due at the same moment; there is one issue, and one mail for each reader."""
    first, second = machine("one"), machine("two")
    async with await App.open(first) as app:
        copied(first, second)
        async with await App.open(second) as other:
            await app.import_subscribers([ANNAS])
            await app.publishing.collect()
            await app.dispatching.run_due()  # the schedule is first seen now
            slot = first.newsletters[0].frequencies["weekly"].schedule("Europe/Minsk").next(datetime.now(UTC))
            assert slot is not None
            later = slot.at + timedelta(minutes=1)
            monkeypatch.setattr(dispatching, "now", lambda: later)
            await app.dispatching.trust_clock()
            done = await asyncio.gather(app.dispatching.run_due(), other.dispatching.run_due())
            outcomes = [one["outcome"] for mine in done for one in mine]
            assert outcomes.count("dispatched") == 1, outcomes
            listed = await app.database.aread(issues.listing)
            assert [(issue.state, sum(issue.deliveries.values())) for issue in listed] == [("sending", 1)]
            monkeypatch.setattr("publisher.app.sending.now", lambda: later)
            sent = await asyncio.gather(app.sending.send(), other.sending.send())
            assert sum(report["sent"] for report in sent) == 1


def test_who_lost_the_keys_is_told_what_follows_and_then_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """J21: no silent mass-invalidation: the service stays down until somebody has read what is lost."""
    publisher = Command(write_publication(tmp_path), capsys, monkeypatch)
    publisher(*ANNA)
    file, other = tmp_path / "data" / "secret.key", tmp_path / "data" / "erasure.key"
    before = Keyring.load(file).current
    file.unlink()
    code, _, err = publisher("run", "--once")
    assert code == 3
    assert f"{file}: is missing, and with it the key {before}" in err
    assert not file.exists()
    code, _, err = publisher("keys", "accept")
    assert code == 4
    assert "nothing was changed. Without the key of links nobody can leave, confirm or open settings" in err
    assert not file.exists()
    code, out, _ = publisher("keys", "accept", "--yes")
    assert code == 0
    now = Keyring.load(file).current
    assert out.splitlines()[:2] == [
        f"From now on links are signed by {now} (it was {before}), kept in {file}",
        f"From now on erased people are known by {other_name(other)}, kept in {other}",
    ]
    assert publisher("run", "--once")[0] == 0


def other_name(path: Path) -> str:
    """The name of the key in a file of one key."""
    return Keyring.load(path).current
