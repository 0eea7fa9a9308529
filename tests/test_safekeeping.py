"""Backups, copies and lost files: no mail comes from the wrong database, or goes to who left after an old one."""

from __future__ import annotations

import asyncio
import io
import json
import os
import shutil
import stat
import subprocess
import sys
import tarfile
from collections.abc import AsyncIterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from publisher import backups, departures, instances, reports
from publisher.app import App, safekeeping
from publisher.app.safekeeping import packed, restore
from publisher.config import Config, load
from publisher.errors import DamageError, RefusedError, StoreError
from publisher.instances import Found, Mark, doubt
from publisher.service import Listening, Service
from publisher.store import deliveries, meta, replaying, subscribers
from publisher.store.database import Database
from publisher.store.tables import issues, slots, subscriptions
from tests.publications import load_publication, write_publication
from tests.smtp_server import SmtpServer, smtp_server
from tests.test_cli import Command
from tests.test_reload import READERS, copies, mailing, running, slow, until

pytestmark = pytest.mark.anyio

LEFT, BOUNCED, ERASED, MOVED = (f"reader{number}@reader.example" for number in (16, 17, 18, 19))


@pytest.fixture
async def server() -> AsyncIterator[SmtpServer]:
    """A mail server that outlives the app."""
    async with smtp_server() as running_server:
        yield running_server


async def states(app: App) -> dict[str, int]:
    """How many deliveries are in each state."""
    rows = await app.database.aread(partial(deliveries.listing, limit=1000))
    return {state: sum(row.state == state for row in rows) for state in sorted({str(row.state) for row in rows})}


async def leave(app: App, address: str) -> None:
    """Let a reader end their subscription."""

    def work(conn: Any) -> None:
        person = subscribers.get(conn, address_key=address)
        assert person is not None
        [held] = subscribers.subscriptions_of(conn, person.id)
        assert subscribers.unsubscribe(conn, held.id, method="link", now=person.created_at)

    await app.database.awrite(work)


def another_minute(conn: Any) -> None:
    """Let what was dispatched by hand just now have been dispatched long ago: there is one issue by hand a minute."""
    conn.execute(sa.update(slots).values(slot="2026-01-01T00:00"))
    conn.execute(sa.update(issues).values(slot="2026-01-01T00:00"))


async def back_up(app: App, target: Path) -> Path:
    """Make a backup as the command does."""
    return Path((await asyncio.to_thread(packed, await app.safekeeping.copy(), target))["file"])


async def status(app: App) -> dict[str, Any]:
    """What `publisher status` says."""
    from publisher.clock import now

    return await app.database.aread(lambda conn: reports.status(app.config, conn, now()))


# From a backup made while sending


async def test_whoever_left_after_the_backup_gets_no_mail_from_it(tmp_path: Path, server: SmtpServer) -> None:
    """J20, K8, P3: made during sending; restored it is paused, has lost nobody's word, and sends nothing twice."""
    server.script.dot = slow(5).dot
    async with mailing(tmp_path, server) as app:
        async with running(app):
            await until(lambda: len(server.received) >= 4)
            backup = await back_up(app, tmp_path)
            await until(lambda: len(server.received) == len(READERS))
            await until(lambda: not app.sending.lanes["smtp"].running.locked())
        await leave(app, LEFT)
        await app.readers.suppress(BOUNCED)
        await app.readers.erase(ERASED)
        config = app.config
    assert len(set(copies(server))) == len(READERS)
    lost = tmp_path / "lost"
    config.data_dir.rename(lost)

    contents = await asyncio.to_thread(restore, config, backup, lost / departures.NAME)
    assert contents.database == "sqlite"
    async with await App.open(config) as app:
        assert app.standing.found == {
            "reason": f"this database is a backup made at {contents.made_at}",
            "left": 1,
            "suppressed": 1,
            "erased": 1,
        }
        assert contents.made_at in (await status(app))["paused"]
        before = len(server.received)
        opened = sum(
            number for state, number in (await states(app)).items() if state in ("queued", "sending", "deferred")
        )
        assert opened > 0
        async with running(app) as (service, _):
            await until(lambda: "sending" in service.problems)
            assert "paused" in service.parts.readiness()
            with pytest.raises(RefusedError, match="nothing is sent until `publisher resume`"):
                await app.dispatching.dispatch("weekly")
            assert (await app.sending.send())["held"].startswith("this database is a backup")
        assert len(server.received) == before

    async with await App.open(config) as app:  # still paused after another start
        assert app.shared.paused
        looked = await app.standing.resume(dry_run=True)
        assert (looked["open"], looked["resumed"], bool(app.shared.paused)) == (opened, False, True)
        assert (await app.standing.resume())["uncertain"] <= opened
        assert not app.shared.paused
        with pytest.raises(RefusedError, match="nothing is paused"):
            await app.standing.resume()
        assert set(await states(app)) <= {"sent", "uncertain", "suppressed"}
        await app.sending.send()
        assert len(server.received) == before
        (tmp_path / "articles" / "new.md").write_text("---\ntitle: New\ndate: 2026-11-21 09:00\n---\nNews.\n")
        os.utime(tmp_path / "articles" / "new.md", (1.6e9, 1.6e9))
        server.script.dot.clear()
        await app.publishing.collect()
        await app.database.awrite(another_minute)
        assert (await app.dispatching.dispatch("weekly"))["outcome"] == "dispatched"
        await app.sending.send()
    told = {received.rcpt_to for received in server.received[before:]}
    assert told == {reader["email"] for reader in READERS} - {LEFT, BOUNCED, ERASED}


async def test_what_was_open_is_sent_when_the_operator_knows_that_it_was_not(
    tmp_path: Path, server: SmtpServer
) -> None:
    """K8: the only copy, moved to another disk: `--send-open` loses no mail."""
    async with mailing(tmp_path, server) as app:
        config = app.config
    moved = tmp_path / "moved"
    shutil.copytree(config.data_dir, moved)
    shutil.rmtree(config.data_dir)
    moved.rename(config.data_dir)
    async with await App.open(config) as app:
        assert app.shared.paused == "the database file was copied or moved here"
        assert (await app.sending.send())["sent"] == 0
        done = await app.standing.resume(send_open=True)
        assert (done["open"], done["uncertain"]) == (len(READERS), 0)
        assert (await app.sending.send())["sent"] == len(READERS)
    async with await App.open(config) as app:  # from now on this is the original
        assert app.shared.paused == ""
    assert copies(server) == sorted(reader["email"] for reader in READERS)


async def test_a_moved_address_is_found_under_its_old_name(tmp_path: Path, server: SmtpServer) -> None:
    """J20: who changed the address and then left is in the backup under the old one, and gets nothing there either."""
    from publisher.store import preferences

    async with mailing(tmp_path, server) as app:
        backup = await back_up(app, tmp_path)

        def move(conn: Any) -> None:
            person = subscribers.get(conn, address_key=MOVED)
            assert person is not None
            preferences.move(conn, person.id, "new@reader.example", "new@reader.example")

        await app.database.awrite(move)
        await leave(app, "new@reader.example")
        config = app.config
    config.data_dir.rename(tmp_path / "lost")
    restore(config, backup, tmp_path / "lost" / departures.NAME)
    async with await App.open(config) as app:
        assert app.standing.found["left"] == 1
        await app.standing.resume(send_open=True)
        await app.sending.send()
    assert set(copies(server)) == {reader["email"] for reader in READERS} - {MOVED}


@pytest.mark.parametrize("url", ["sqlite", "postgresql"])
async def test_the_journal_has_it_before_anybody_is_answered(
    tmp_path: Path, url: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """P6, §5.6: no answer without the journal; when it cannot be written nothing is changed, and the answer is 503."""
    more = f'\ndatabase_url = "{request.getfixturevalue("postgresql_url")}"\n' if url == "postgresql" else ""
    file = write_publication(tmp_path)
    file.write_text(more + file.read_text())
    async with await App.open(load(file, {})) as app:
        await app.import_subscribers([READERS[0], READERS[1]])

        def full(*_: Any) -> None:
            raise OSError(28, "No space left on device")

        with monkeypatch.context() as patched:
            patched.setattr(departures, "append", full)
            with pytest.raises(StoreError, match="journal of departures cannot be written"):
                await leave(app, READERS[0]["email"])
        held = await app.database.aread(lambda conn: conn.scalars(sa.select(subscriptions.c.state)).all())
        assert held == ["confirmed", "confirmed"]
        assert not (app.config.data_dir / departures.NAME).exists()
        await leave(app, READERS[0]["email"])
        journal = (app.config.data_dir / departures.NAME).read_text()
        assert [(one.event, one.what) for one in departures.read(journal)] == [("left", "weekly")]
        assert "reader" not in journal


# Copies and clones


@given(
    st.builds(Mark, st.sampled_from("ab"), st.integers(0, 3)) | st.none(),
    st.builds(
        Found,
        instance=st.sampled_from("ab"),
        turn=st.integers(0, 3),
        backup=st.sampled_from(("", "2026-11-30T07:00:00Z")),
        file=st.sampled_from(("", "1:1", "1:2")),
        file_now=st.sampled_from(("1:1", "1:2")),
    ),
)
def test_only_the_database_that_was_here_may_send(mark: Mark | None, found: Found) -> None:
    """K8, J7: a start without doubt means: no backup, the same file, the same database, not older than it was."""
    certain = doubt(mark, found) == ""
    assert certain == (
        not found.backup
        and found.file in ("", found.file_now)
        and (mark is None or (mark.instance == found.instance and found.turn >= mark.turn))
    )
    if certain and mark is not None:
        assert doubt(mark, replace(found, turn=mark.turn - 1)) != ""


async def test_a_clone_beside_the_original_sends_nothing(tmp_path: Path, server: SmtpServer) -> None:
    """K8: a copied data directory, started next to the running original, is paused; each mail goes out once."""
    async with mailing(tmp_path, server) as app:
        clone_dir = tmp_path / "clone"
        shutil.copytree(app.config.data_dir, clone_dir, ignore=shutil.ignore_patterns("control.sock"))
        clone = app.config.model_copy(update={"data_dir": clone_dir})
        async with await App.open(clone) as other:
            assert other.shared.paused
            assert (await other.sending.send())["sent"] == 0
            assert await other.dispatching.run_due() == []
            assert (await app.sending.send())["sent"] == len(READERS)
            assert (await other.sending.send())["sent"] == 0
    assert copies(server) == sorted(reader["email"] for reader in READERS)


async def test_an_older_copy_put_in_the_place_of_the_database_is_seen(tmp_path: Path, server: SmtpServer) -> None:
    """J7: the same name and even the same inode, by `cp`: the directory knows how far the database had counted."""
    async with mailing(tmp_path, server) as app:
        config = app.config
    file = config.data_dir / "publisher.db"
    older = file.read_bytes()
    async with await App.open(config) as app:
        assert app.shared.paused == ""
        await app.sending.send()
        await leave(app, LEFT)
    with file.open("r+b") as place:  # the inode stays
        place.write(older)
        place.truncate()
    async with await App.open(config) as app:
        assert app.standing.found["reason"] == "an older copy of the database was put in its place"
        assert app.standing.found["left"] == 1
        await app.sending.send()
    assert len(server.received) == len(READERS)


async def test_postgresql_that_went_back_is_seen(tmp_path: Path, postgresql_url: str) -> None:
    """J14, J20: a restored dump is older than what the data directory remembers; then nothing is sent."""
    file = write_publication(tmp_path)
    file.write_text(f'database_url = "{postgresql_url}"\n{file.read_text()}')
    config = load(file, {})
    async with await App.open(config) as app:
        await app.import_subscribers(READERS)
        turn = await app.database.aread(lambda conn: meta.get(conn, "turn"))
    async with await App.open(config) as app:
        assert app.shared.paused == ""
        await leave(app, LEFT)

        def go_back(conn: Any) -> None:
            meta.put(conn, "turn", str(turn))
            conn.execute(sa.update(subscriptions).values(state="confirmed"))

    with Database.open(postgresql_url, data_dir=config.data_dir) as database:
        database.write(go_back)
    async with await App.open(config) as app:
        assert app.standing.found["reason"] == "an older copy of the database was put in its place"
        assert app.standing.found["left"] == 1
    async with await App.open(config) as app:
        assert app.shared.paused  # until somebody says so
        await app.standing.resume()


# While it runs


@pytest.mark.parametrize("how", ["deleted", "replaced"])
async def test_a_database_that_goes_while_the_service_runs_ends_it(tmp_path: Path, how: str) -> None:
    """J7: what would be written is lost, so the service ends within a second and says what happened."""
    async with await App.open(load_publication(tmp_path)) as app:
        file = app.config.data_dir / "publisher.db"
        other = tmp_path / "other.db"
        shutil.copy(file, other)
        ready: asyncio.Future[Listening] = asyncio.get_running_loop().create_future()
        task = asyncio.create_task(Service(app).run(ready.set_result))
        await ready
        if how == "deleted":
            file.unlink()
        else:
            other.replace(file)
        with pytest.raises(StoreError, match=r"publisher\.db was deleted or replaced while the service ran"):
            await task
        config = app.config
    if how == "replaced":
        async with await App.open(config) as app:
            assert app.shared.paused
    else:
        with pytest.raises(StoreError, match="restore the last backup with `publisher restore`"):
            await App.open(config)
        assert not file.exists()


async def test_a_damaged_page_stops_sending(tmp_path: Path, server: SmtpServer) -> None:
    """J8: nothing is sent by a database that cannot be read, whoever met the damage; the words name the way back."""
    async with mailing(tmp_path, server) as app:
        config = app.config
        [root] = await app.database.aread(
            lambda conn: conn.exec_driver_sql("SELECT rootpage FROM sqlite_master WHERE name = 'consents'").scalars()
        )
    with (config.data_dir / "publisher.db").open("r+b") as file:
        file.seek((root - 1) * 4096)
        file.write(b"\xff" * 4096)
    async with await App.open(config) as app:
        with pytest.raises(DamageError):
            await app.database.aread(lambda conn: conn.exec_driver_sql("SELECT * FROM consents").all())
        held = (await app.sending.send())["held"]
        assert "restore the last backup with `publisher restore`" in held
        assert await app.dispatching.run_due() == []
        with pytest.raises(StoreError, match="cannot be copied"):
            await app.safekeeping.copy()
    assert server.received == []


# The file


@pytest.fixture
def publisher(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    """The commands of a small publication."""
    return Command(write_publication(tmp_path), capsys, monkeypatch)


def test_a_backup_by_command_and_the_way_back(publisher: Command, tmp_path: Path) -> None:
    """What an operator types: backup, disaster, restore, resume; the file is its owner's, and overwrites nothing."""
    assert publisher("subscribers", "add", "anna@reader.example", "--consent", "paper form")[0] == 0
    assert publisher("dkim-key", "new")[0] == 0
    target = tmp_path / "backup.tar"
    done = publisher.json("backup", str(target))
    assert done["files"][:2] == ["dkim/" + next((tmp_path / "data" / "dkim").iterdir()).name, "erasure.key"]
    assert done["files"][2:] == ["publisher.db", "secret.key"]
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert not (tmp_path / "data" / "backup.part").exists()
    assert publisher("backup", str(target))[0] == 4
    (folder := tmp_path / "backups").mkdir()
    assert Path(publisher.json("backup", str(folder))["file"]).parent == folder
    assert publisher("subscribers", "suppress", "anna@reader.example")[0] == 0
    code, _, err = publisher("restore", str(target))
    assert code == 4
    assert f"--journal {tmp_path}/data.before/departures" in " ".join(err.split())
    (tmp_path / "data").rename(tmp_path / "data.before")
    before = {name: (tmp_path / "data.before" / name).read_bytes() for name in ("secret.key", "erasure.key")}
    journal = str(tmp_path / "data.before" / "departures")
    code, out, err = publisher("restore", str(target), "--journal", journal, "--json")
    assert code == 0
    assert [json.loads(line)["event"].partition(":")[0] for line in err.splitlines()] == ["paused", "recovered"]
    restored = json.loads(out)
    assert (restored["left"], restored["suppressed"], restored["erased"]) == (0, 1, 0)
    assert {name: (tmp_path / "data" / name).read_bytes() for name in before} == before
    assert all(path.stat().st_mode & 0o077 == 0 for path in (tmp_path / "data").iterdir() if path.is_file())
    assert publisher.json("status")["paused"].startswith("this database is a backup made at ")
    assert "mails are open" in publisher("resume", "--dry-run")[1]
    assert publisher("resume")[1].splitlines()[-1] == "Resumed."
    assert publisher("resume")[0] == 4
    assert publisher.json("status")["paused"] is None
    assert publisher.json("subscribers", "show", "anna@reader.example")["suppression"]["kind"] == "operator"


def damaged(backup: Path, where: str) -> None:
    """Spoil a backup."""
    raw = bytearray(backup.read_bytes())
    if where == "cut off":
        del raw[len(raw) // 2 :]
    elif where == "a flipped bit":
        raw[len(raw) // 2] ^= 1
    elif where == "empty":
        raw.clear()
    else:
        raw[:] = b"PK\x03\x04 this is a zip file" * 100
    backup.write_bytes(raw)


@pytest.mark.parametrize("where", ["cut off", "a flipped bit", "empty", "another format"])
async def test_what_is_no_whole_backup_is_refused_and_leaves_nothing(tmp_path: Path, where: str) -> None:
    """The data directory is as empty afterwards as it was, for the next try."""
    async with await App.open(load_publication(tmp_path)) as app:
        await app.import_subscribers(READERS)
        backup = await back_up(app, tmp_path / "backup.tar")
        config = app.config
    config.data_dir.rename(tmp_path / "lost")
    damaged(backup, where)
    with pytest.raises(RefusedError, match="backup"):
        restore(config, backup, None)
    assert [path.name for path in config.data_dir.iterdir()] == ["lock"]


async def test_a_restore_that_is_broken_off_is_no_publication(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """J20: killed before the database is in its place, nobody begins anew without the readers; asked again, it is."""
    async with await App.open(load_publication(tmp_path)) as app:
        await app.import_subscribers(READERS)
        backup = await back_up(app, tmp_path / "backup.tar")
        config = app.config
    config.data_dir.rename(tmp_path / "lost")

    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("shutil.rmtree", lambda *_, **__: None)  # nobody is left to tidy up
        patched.setattr(safekeeping, "_settle", killed)
        with pytest.raises(KeyboardInterrupt):
            restore(config, backup, None)
    with pytest.raises(StoreError, match="was broken off; run `publisher restore` again"):
        await App.open(config)
    with monkeypatch.context() as patched:
        patched.setattr(backups, "sync", killed)
        with pytest.raises(KeyboardInterrupt):
            restore(config, backup, None)
    with pytest.raises(StoreError, match="is gone, though this data directory has been in use"):
        await App.open(config)
    config.data_dir.rename(tmp_path / "broken")
    restore(config, backup, None)
    async with await App.open(config) as app:
        assert app.shared.paused


async def test_a_first_start_that_is_broken_off_forgets_nobody_who_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """J20, P3: told as a copy and paused, yet killed before the journal was done, the next start does it."""
    async with await App.open(load_publication(tmp_path)) as app:
        await app.import_subscribers(READERS)
        backup = await back_up(app, tmp_path / "backup.tar")
        await leave(app, LEFT)
        config = app.config
    config.data_dir.rename(tmp_path / "lost")
    restore(config, backup, tmp_path / "lost" / departures.NAME)

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(replaying, "replay", killed)
        with pytest.raises(KeyboardInterrupt):
            await App.open(config)
    async with await App.open(config) as app:
        assert (app.standing.found["left"], bool(app.shared.paused)) == (1, True)


@pytest.mark.parametrize("name", ["../evil", "/etc/evil", "a/../../evil", "", ".", "x\0y"])
def test_a_backup_writes_nowhere_else(tmp_path: Path, name: str) -> None:
    """A hostile file cannot leave the data directory, nor bring links or devices."""
    said = {"made_at": "", "version": "", "database": "sqlite", "instance": "", "files": {name: "0" * 64}}
    backup = tmp_path / "backup.tar"
    with tarfile.open(backup, "w") as tar:
        backups._add(tar, backups.CONTENTS, len(text := json.dumps(said).encode()), io.BytesIO(text))
    (tmp_path / "data").mkdir()
    with pytest.raises(RefusedError):
        backups.unpack(backup, tmp_path / "data")
    assert list((tmp_path / "data").iterdir()) == []


@given(st.binary(max_size=3000))
def test_no_rubbish_is_taken_for_a_backup(tmp_path_factory: pytest.TempPathFactory, raw: bytes) -> None:
    folder = tmp_path_factory.mktemp("rubbish")
    (folder / "backup").write_bytes(raw)
    with pytest.raises(RefusedError):
        backups.unpack(folder / "backup", folder)


async def test_a_backup_of_another_kind_of_database_is_refused(tmp_path: Path, postgresql_url: str) -> None:
    """PostgreSQL is dumped by pg_dump; the backup says so, holds the rest, and pauses what it is restored beside."""
    file = write_publication(tmp_path)
    sqlite = load(file, {})
    file.write_text(f'database_url = "{postgresql_url}"\n{file.read_text()}')
    config = load(file, {})
    async with await App.open(config) as app:
        await app.import_subscribers(READERS)
        await leave(app, LEFT)
        copied = await app.safekeeping.copy()
        assert sorted(copied["files"]) == ["departures", "erasure.key", "secret.key"]
        backup = Path(packed(copied, tmp_path / "backup.tar")["file"])
    config.data_dir.rename(tmp_path / "lost")
    with pytest.raises(RefusedError, match="of a postgresql database"):
        restore(sqlite, backup, None)
    contents = restore(config, backup, tmp_path / "lost" / departures.NAME)
    assert contents.database == "postgresql"
    async with await App.open(config) as app:  # the dump has no mark of ours: the directory has
        assert app.standing.found == {
            "reason": f"the keys were restored from a backup made at {contents.made_at}",
            "left": 0,  # has left already in this very database
            "suppressed": 0,
            "erased": 0,
        }
    async with await App.open(config) as app:
        assert app.standing.found == {}
        assert app.shared.paused


def test_a_second_service_is_refused_with_the_pid_of_the_first(publisher: Command, tmp_path: Path) -> None:
    """J10: and a restore too, while somebody holds the directory."""
    command = [sys.executable, "-m", "publisher", "--config", str(publisher.file), "run"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as first:
        assert first.stderr is not None
        first.stderr.readline()
        code, _, err = publisher("run")
        assert code == 75
        assert f"process {first.pid}" in err
        backup = publisher.json("backup", str(tmp_path / "backup.tar"))["file"]
        assert publisher("restore", backup)[0] == 75
        first.terminate()
        assert first.wait(60) == 0


async def test_a_process_that_is_killed_comes_back_without_doubt(tmp_path: Path) -> None:
    """J1: a crash is no copy; whatever was counted last, the same database goes on."""
    async with await App.open(load_publication(tmp_path)) as app:
        config: Config = app.config
        await app.standing.count()
        mark = instances.read(config.data_dir)
    assert mark is not None
    instances.write(config.data_dir, replace(mark, turn=mark.turn - 1))  # killed between the two
    async with await App.open(config) as app:
        assert app.shared.paused == ""
    (config.data_dir / instances.NAME).write_text("")  # a power cut left it empty
    async with await App.open(config) as app:
        assert app.shared.paused == ""
