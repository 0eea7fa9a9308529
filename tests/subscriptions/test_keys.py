"""A new key for the links in mail, by command: what was sent works on, whether a service runs or not."""

from __future__ import annotations

import stat
from pathlib import Path

import httpx2
import pytest

from publisher import control
from publisher.app import App, silent
from publisher.errors import PublisherError
from publisher.store import subscribers
from publisher.subscriptions.values import SignUp
from publisher.tokens import Keyring, Purpose
from tests.publications import write_publication
from tests.test_cli import ANNA, Command
from tests.test_control import running

ANNAS = {"email": "anna@reader.example", "consent": "paper form"}


async def subscription_of(app: App, key: str) -> int:
    """The id of a person's only subscription."""
    person = await app.database.aread(lambda conn: subscribers.get(conn, address_key=key))
    assert person is not None
    [mine] = await app.database.aread(lambda conn: subscribers.subscriptions_of(conn, person.id))
    return mine.id


@pytest.mark.anyio
async def test_a_running_service_signs_with_the_new_key_and_reads_the_old(tmp_path: Path) -> None:
    """F13: leaving, confirming and the stamp of an open form go on; the key of new mail is another."""
    async with running(tmp_path) as (app, listening):
        await app.import_subscribers([ANNAS])
        mine = await subscription_of(app, "anna@reader.example")
        ring, desk = app.shared.keyring, app.readers.desk
        before = Keyring.load(tmp_path / "data" / "secret.key")
        stamp, confirm = desk.stamp(), ring.token(Purpose.CONFIRM, 1)
        await desk.sign_up(SignUp(address="bob@reader.example", newsletters=("weekly",)), client=None)

        done = await control.call(app.config.data_dir, "rotate_keys", {}, silent)

        file = tmp_path / "data" / "secret.key"
        assert done == {"file": str(file), "signs": ring.current, "keys": 2}
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert ring.current == Keyring.load(file).current != before.current
        assert ring.unsubscribe_token(mine) != before.unsubscribe_token(mine)
        assert desk.age(stamp) is not None
        async with httpx2.AsyncClient(base_url=listening.public) as client:
            assert (await client.post(f"/c/{confirm}")).status_code == 200
            for token in (before.unsubscribe_token(mine), ring.unsubscribe_token(mine)):
                answer = await client.post(f"/u/{token}", data={"List-Unsubscribe": "One-Click"})
                assert answer.status_code == 200
        record = await app.database.aread(lambda conn: subscribers.consents(conn, 1))
        assert [one.event for one in record] == ["confirmed", "unsubscribed"]
    async with await App.open(app.config) as again:
        assert again.shared.keyring.read_unsubscribe(before.unsubscribe_token(mine)) == mine


@pytest.mark.anyio
async def test_a_key_file_that_cannot_be_read_stays_and_so_does_the_ring(tmp_path: Path) -> None:
    """Better no rotation than a ring without its old keys: the links in all sent mail would be dead (J21)."""
    async with running(tmp_path) as (app, _):
        file = tmp_path / "data" / "secret.key"
        file.write_text("somebody wrote into it\n")
        before = app.shared.keyring.current
        with pytest.raises(PublisherError, match="hexadecimal"):
            await control.call(app.config.data_dir, "rotate_keys", {}, silent)
        assert file.read_text() == "somebody wrote into it\n"
        assert app.shared.keyring.current == before


def test_without_a_service_the_command_does_the_same_and_says_what_it_did(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One older key, then two; the file to keep is named."""
    publisher = Command(write_publication(tmp_path), capsys, monkeypatch)
    publisher(*ANNA)
    first = Keyring.load(tmp_path / "data" / "secret.key")
    code, out, _ = publisher("keys", "rotate")
    assert code == 0
    signs = Keyring.load(tmp_path / "data" / "secret.key").current
    assert out.splitlines() == [
        f"New mail has links signed by a new key, {signs}, from now on.",
        "The key before it still opens the links in mail sent until now.",
        f"Put {tmp_path / 'data' / 'secret.key'} into your backup: without it no link in sent mail works.",
    ]
    assert publisher.json("keys", "rotate")["keys"] == 3
    assert "The 3 keys before it still open the links" in publisher("keys", "rotate")[1]
    assert Keyring.load(tmp_path / "data" / "secret.key").read_unsubscribe(first.unsubscribe_token(7)) == 7
