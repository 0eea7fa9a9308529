"""A storm of edits (D11): a thousand of the file itself, while mail is being sent and the clock crosses a slot."""

from __future__ import annotations

import asyncio
import gc
from collections import Counter
from datetime import timedelta
from email import message_from_bytes, policy
from functools import partial
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from publisher.app import App, now
from publisher.app import dispatching as dispatching_module
from publisher.config import Config
from publisher.model import DeliveryState
from publisher.store import issues
from tests.publications import BORDER, write_article
from tests.smtp_server import Received, smtp_server
from tests.test_reload import READERS, alive, edit, mailing, open_files, running, slow, states, until

pytestmark = pytest.mark.anyio

EDITS = 1000
GUSTS = 10
TITLES = ("A good harvest", "The border is quiet", "A new tax")


def storm(file: Path, whole: str, first: int) -> str:
    """Edit the file again and again, as different editors do; return what it holds at the end."""
    text = whole
    for number in range(first, first + EDITS // GUSTS):
        text = whole.replace("connections = 2", f"connections = {2 + number % 2}").replace("The week", f"Week {number}")
        match number % 3:
            case 0:  # in place: for a moment the file is empty
                file.write_text(text, encoding="utf-8")
            case 1:  # another file takes its place
                other = file.with_name(".publisher.toml.new")
                other.write_text(text, encoding="utf-8")
                other.replace(file)
            case _:  # in two parts: for a moment it ends in the middle
                with file.open("w", encoding="utf-8") as open_file:
                    open_file.write(text[: len(text) // 2])
                    open_file.flush()
                    open_file.write(text[len(text) // 2 :])
    return text


def articles_in(received: Received) -> set[str]:
    """The articles that a mail shows."""
    part = message_from_bytes(received.content, policy=policy.default).get_body(("plain",))
    assert part is not None
    return {title for title in TITLES if title in part.get_content()}


def reloaded(app: App, before: int) -> bool:
    """Whether there was a reload since so many, taken or rejected."""
    return app.reloading.counted.total() > before


async def settled(app: App) -> None:
    """Wait until nothing is left to send: what came along with a newer issue is expired."""
    for _ in range(1500):
        if set(await states(app)) <= {DeliveryState.SENT, DeliveryState.EXPIRED}:
            return
        await asyncio.sleep(0.02)
    assert set(await states(app)) <= {DeliveryState.SENT, DeliveryState.EXPIRED}


async def test_a_thousand_edits_while_sending_and_across_a_slot_lose_repeat_and_leave_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """D2, D6, D11, P1, P7: each reader gets each article once, each slot one issue, and the last edit is in force.

    The edits come in gusts, each of which meets another moment: while an issue is sent, before the slot, as its minute
    comes, while it is dispatched, while its mails are sent.
    """
    async with smtp_server(slow(30)) as server, mailing(tmp_path, server) as app:
        slot = now().astimezone(ZoneInfo("Europe/Minsk")).replace(second=0, microsecond=0)
        edit(app, 'days = ["mon"]\nat = "07:00"', f'at = "{slot:%H:%M}"')
        clock = [slot - timedelta(seconds=20)]
        monkeypatch.setattr(dispatching_module, "now", lambda: clock[0])
        await app.reloading.reload()
        file = app.config.files[0]
        whole = file.read_text(encoding="utf-8")
        async with running(app):
            await until(lambda: len(server.received) >= 2)
            gc.collect()
            tasks, handles, configurations = len(asyncio.all_tasks()), open_files(), alive(Config)
            write_article(tmp_path, "tax.md", BORDER.replace("The border is quiet", "A new tax"))
            await app.publishing.collect()
            taken = app.reloading.counted["ok"]
            for gust in range(GUSTS):
                # At each gust the clock goes on: it reaches the slot with the fifth.
                clock[0] = slot + timedelta(milliseconds=gust - 4)
                before = app.reloading.counted.total()
                text = await asyncio.to_thread(storm, file, whole, gust * EDITS // GUSTS)
                await until(partial(reloaded, app, before))
            last = f"Week {EDITS - 1}"
            await until(lambda: app.config.newsletters[0].title["en"] == last)  # type: ignore[index]  # by language
            await settled(app)
            # A reader whose mail was on the wire as the slot came has the new article coming with the next issue.
            clock[0] += timedelta(minutes=2)
            await app.dispatching.dispatch("weekly")
            await settled(app)
            assert app.reloading.problem == ""
            assert 0 < app.reloading.counted["ok"] - taken < EDITS
            await until(lambda: len(asyncio.all_tasks()) <= tasks)
            gc.collect()
            assert open_files() <= handles + 4
            # Who looks at the files remembers two, and may read them once more at this moment.
            await until(lambda: alive(Config) <= configurations + 2)
        assert file.read_text(encoding="utf-8") == text
        made = await app.database.aread(issues.listing)
        assert [one.slot for one in made if one.frequency == "weekly"] == [f"{slot:%Y-%m-%dT%H:%M}"]
        got = Counter((one.rcpt_to, title) for one in server.received for title in articles_in(one))
        assert got == dict.fromkeys(((reader["email"], title) for reader in READERS for title in TITLES), 1)
