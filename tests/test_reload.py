"""Hot reload (D1 to D14): a change takes effect as a whole or not at all; nothing in flight is dropped or repeated."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import gc
import json
import os
import signal
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import structlog

from publisher import control, reports
from publisher.app import App, now, silent
from publisher.app import dispatching as dispatching_module
from publisher.app.signals import signals
from publisher.config import Config, Newsletter, load
from publisher.errors import ConfigurationError, PublisherError, RefusedError
from publisher.model import DeliveryState
from publisher.render import Renderer
from publisher.service import Listening, Service
from publisher.store import deliveries, issues, subscribers
from tests.publications import BORDER, CONFIGURATION, load_publication, write_article, write_publication
from tests.smtp_server import Action, Script, SmtpServer, smtp_server

pytestmark = pytest.mark.anyio

ANNA = {"email": "anna@reader.example", "consent": "paper form"}
READERS = [{"email": f"reader{number}@reader.example", "consent": "paper form"} for number in range(20)]


def edit(app: App, old: str, new: str) -> None:
    """Change the configuration file as editors do: a new file takes the place of the old one."""
    file = app.config.files[0]
    text = file.read_text(encoding="utf-8")
    assert old in text
    other = file.with_name(".publisher.toml.new")
    other.write_text(text.replace(old, new), encoding="utf-8")
    other.replace(file)


@pytest.fixture
async def app(tmp_path: Path) -> AsyncIterator[App]:
    """A publication with one reader."""
    async with await App.open(load_publication(tmp_path)) as app:
        await app.import_subscribers([ANNA])
        yield app


@contextlib.asynccontextmanager
async def running(app: App) -> AsyncIterator[tuple[Service, Listening]]:
    """Let the service run around the app."""
    told: asyncio.Future[Listening] = asyncio.get_running_loop().create_future()
    service = Service(app)
    task = asyncio.create_task(service.run(told.set_result))
    waiting: set[asyncio.Future[Any]] = {told, task}
    await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    try:
        yield service, await told
    finally:
        app.shared.stop.set()
        await task


async def until(happened: Callable[[], Any]) -> None:
    """Wait for what another task brings about."""
    for _ in range(1500):
        if happened():
            return
        await asyncio.sleep(0.02)
    assert happened()


async def states(app: App) -> list[DeliveryState]:
    """The state of every delivery."""
    return [row.state for row in await app.database.aread(partial(deliveries.listing, limit=1000))]


# D1 to D3: what cannot be used


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("[site]", "[site", "publisher.toml:3: is not valid TOML"),
        ("timezone =", "timzone =", "publisher.toml:7: site.timzone: "),
        ('at = "07:00"', "at = 7", "newsletters.weekly.frequencies.weekly.at: "),
        ('timezone = "Europe/Minsk"', 'timezone = "Europe/Minks"', "did you mean 'Europe/Minsk'?"),
        ('at = "07:00"', 'every = "0m"', "frequencies.weekly.every: "),
        ('title = { en = "The week", ru = "Неделя" }', 'title = "a\\r\\nBcc: x"', "newsletters.weekly.title: "),
        ('slug = "security"', 'slug = "economy"', "'economy' is already"),
        ('slug = "security"', 'slug = "../../x"', "categories"),
    ],
    ids=["D1-syntax", "D1-key", "D1-type", "D13", "D12", "D9", "D14-twice", "D14-path"],
)
async def test_what_is_wrong_changes_nothing_and_is_shown(app: App, old: str, new: str, told: str) -> None:
    """D1, D9, D12, D13, D14: the old one stays, and status and readiness say where the mistake is."""
    service, before = Service(app), app.shared.made
    whole = app.config.files[0].read_text(encoding="utf-8")
    edit(app, old, new)
    with pytest.raises(ConfigurationError) as refused:
        await app.reloading.reload()
    assert told in str(refused.value)
    assert app.shared.made is before
    status = await app.database.aread(lambda conn: reports.status(app.config, conn, now()))
    assert told in status["configuration"]
    assert told in service.parts.readiness()["configuration"]
    app.config.files[0].write_text(whole, encoding="utf-8")
    await app.reloading.reload()
    assert service.parts.readiness() == {}
    assert (await app.database.aread(lambda conn: reports.status(app.config, conn, now())))["configuration"] is None


async def test_a_file_that_is_cut_or_gone_changes_nothing(app: App) -> None:
    """D2, D3: empty, cut, deleted, a folder in its place; and back again."""
    file, before = app.config.files[0], app.shared.made
    whole = file.read_bytes()
    for text in (b"", whole[: len(whole) // 2]):
        file.write_bytes(text)
        with pytest.raises(ConfigurationError):
            await app.reloading.reload()
    file.unlink()
    with pytest.raises(ConfigurationError, match="there is no such file"):
        await app.reloading.reload()
    file.mkdir()
    with pytest.raises(ConfigurationError, match="is not a file"):
        await app.reloading.reload()
    file.rmdir()
    file.write_bytes(whole)
    assert (await app.reloading.reload())["changes"] == []
    assert app.shared.made is before
    assert app.reloading.problem == ""


async def test_a_file_that_may_not_be_read_any_more_changes_nothing(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    """D3: the owner or the rights of the file changed; said here by the file system, since root may read everything."""
    service, file, before, read = Service(app), app.config.files[0], app.shared.made, Path.read_bytes

    def refused(path: Path) -> bytes:
        if path == file:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", refused)
    with pytest.raises(ConfigurationError, match=r"publisher\.toml: cannot be read: Permission denied"):
        await app.reloading.reload()
    assert app.shared.made is before
    assert "cannot be read: Permission denied" in service.parts.readiness()["configuration"]
    monkeypatch.undo()
    assert (await app.reloading.reload())["changes"] == []
    assert service.parts.readiness() == {}


async def test_a_broken_template_changes_nothing(app: App, tmp_path: Path) -> None:
    """E1: every template is tried before anything is taken up."""
    folder = tmp_path / "templates" / "mail"
    folder.mkdir(parents=True)
    template = folder / "digest.html.j2"
    edit(app, 'data_dir = "../data"', 'data_dir = "../data"\ntemplates = "../templates"')
    for text in ("{% if %}", "{{ nothing_of_this_name }}"):
        template.write_text(text, encoding="utf-8")
        with pytest.raises(PublisherError, match=r"digest\.html\.j2"):
            await app.reloading.reload()
    assert app.config.templates is None
    template.write_text("mine {{ unsubscribe_url }}", encoding="utf-8")
    template.unlink()
    assert (await app.reloading.reload())["templates"] is False
    assert app.config.templates == tmp_path / "templates"


# What changes


async def test_a_reload_says_what_changed(app: App) -> None:
    """D6: the next slot by its local time, everything else by its key."""
    edit(app, 'at = "07:00"', 'at = "08:30"')
    edit(app, 'from_address = "editors@ledger.example"', 'from_address = "desk@ledger.example"')
    with structlog.testing.capture_logs() as logged:
        done = await app.reloading.reload()
    assert done["changes"] == [
        "weekly: next slot Mon 07:00 → Mon 08:30 Europe/Minsk",
        "newsletters.weekly.from_address: editors@ledger.example → desk@ledger.example",
        "newsletters.weekly.frequencies.weekly.at: 07:00 → 08:30",
    ]
    assert [line["change"] for line in logged if "change" in line] == done["changes"]


async def test_a_schedule_moved_to_earlier_today_counts_from_now(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    """D6: from 10:00 to 09:00 at 09:30 sends nothing today, and the next slot is the next day's."""
    edit(app, 'days = ["mon"]\nat = "07:00"', 'at = "10:00"')
    await app.reloading.reload()
    await app.publishing.collect()
    day = now().replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=2)  # Minsk is UTC+3
    clock = [day]
    monkeypatch.setattr(dispatching_module, "now", lambda: clock[0])
    told = []
    for hour, minute, at in ((5, 0, ""), (6, 30, "09:00"), (6, 31, ""), (7, 5, ""), (24 + 6, 1, "")):
        if at:
            edit(app, 'at = "10:00"', f'at = "{at}"')
            await app.reloading.reload()
        clock[0] = day + timedelta(hours=hour, minutes=minute)
        told += [(hour, done["outcome"]) for done in await app.dispatching.run_due()]
    assert told == [(30, "dispatched")]


async def test_an_edit_takes_effect_by_itself_on_pages_too(app: App) -> None:
    """Also of a newsletter that has a file of its own, which an editor writes by renaming."""
    import httpx2

    async with running(app) as (_, listening), httpx2.AsyncClient(base_url=listening.public) as client:
        assert "The Ledger" in (await client.get("/")).text
        edit(app, 'title = { en = "The Ledger", ru = "Книга" }', 'title = "The Daily Ledger"')
        await until(lambda: app.config.site.title == "The Daily Ledger")
        assert "The Daily Ledger" in (await client.get("/")).text
        folder = app.config.files[0].parent / "newsletters"
        folder.mkdir()
        (folder / "~x").write_text('slug = "x"', encoding="utf-8")
        (folder / "~x").rename(folder / "second.toml")
        await until(lambda: "from_address" in app.reloading.problem)
        more = '\ntitle = "Second"\nfrom_address = "e@ledger.example"\n[frequencies.daily]\nat = "06:00"\n'
        (folder / "second.toml").write_text('slug = "second"' + more, encoding="utf-8")
        await until(lambda: len(app.config.newsletters) == 2)
        assert (await client.get("/newsletters/second")).status_code == 200
        assert (await client.get("/readyz")).json() == {"ready": True, "problems": []}


async def test_what_needs_a_restart_says_so_and_keeps_running(app: App) -> None:
    before = app.config
    edit(app, 'listen = "127.0.0.1:0"\nadmin', 'listen = "127.0.0.1:9"\nadmin')
    edit(app, 'data_dir = "../data"', 'data_dir = "../elsewhere"')
    edit(app, "embedded = true", 'embedded = false\nhost = "mail.example"')
    edit(app, 'url = "https://ledger.example"', 'url = "https://ledger.example"\npostal_address = "A street"')
    done = await app.reloading.reload()
    assert done["needs_restart"] == ["data_dir", "web.listen", "smtp.embedded"]
    assert (app.config.data_dir, app.config.web, app.config.smtp) == (before.data_dir, before.web, before.smtp)
    assert app.config.site.postal_address == "A street"
    assert app.reloading.problem == "needs a restart: data_dir, web.listen, smtp.embedded"


# Readers and names


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ('slug = "weekly"', 'slug = "digest"', "newsletters: the newsletter 'weekly' is gone, and it has 1 reader"),
        ("frequencies.weekly]", "frequencies.mondays]", "'weekly' is gone, and 1 reader chose it"),
        ('slug = "security"', 'slug = "safety"', "categories: the category 'security' is gone, and 1 reader chose it"),
    ],
    ids=["newsletter", "frequency", "category"],
)
async def test_a_reload_that_would_strand_readers_is_refused_with_their_number(
    app: App, old: str, new: str, told: str
) -> None:
    """D4, D5: `former` lets them follow, and they receive what they would have received."""
    await app.import_subscribers([{**ANNA, "email": "bob@reader.example", "categories": "security"}])
    if "category" not in told:
        told = told.replace("1 reader", "2 readers")
    edit(app, old, new)
    with pytest.raises(ConfigurationError) as refused:
        await app.reloading.reload()
    assert told in str(refused.value)
    assert app.config.newsletters[0].slug == "weekly"
    name = old.split('"')[1] if '"' in old else "weekly"
    edit(app, new, f'{new}\nformer = ["{name}"]')
    await app.reloading.reload()
    await app.publishing.collect()
    newsletter = app.config.newsletters[0].slug
    done = await app.dispatching.dispatch(newsletter)
    assert (done["outcome"], done["deliveries"]) == ("dispatched", 2)


async def test_a_renamed_category_mails_nothing_again(app: App) -> None:
    """D5: articles are known by their ids, whatever their category is called."""
    await app.publishing.collect()
    await app.dispatching.dispatch("weekly")
    await app.sending.send()
    edit(app, 'slug = "security"', 'slug = "safety"\nformer = ["security"]')
    await app.reloading.reload()
    collected = await app.publishing.collect()
    assert collected["sources"][0]["new"] == 0
    assert (await app.dispatching.dispatch("weekly", dry_run=True))["outcome"] == "skipped"


async def test_links_of_mails_work_after_a_change_of_the_public_address(app: App) -> None:
    """D8: tokens hang on the key alone."""
    reader = (await app.database.aread(subscribers.listing))[0]
    token = app.shared.keyring.unsubscribe_token(reader.subscription.id)
    edit(app, "https://mail.ledger.example", "https://post.ledger.example")
    await app.reloading.reload()
    assert app.config.web.public_url == "https://post.ledger.example"
    assert await app.readers.desk.leaving(token) is not None


async def test_ids_of_articles_stay_when_the_publication_moves(app: App) -> None:
    """D8: a feed reader meets no article again, and the log says what new ids will carry."""
    await app.publishing.collect()
    before = await ids(app)
    edit(app, 'url = "https://ledger.example"', 'url = "https://books.example"')
    done = await app.reloading.reload()
    assert done["changes"] == [
        "ids of articles: all stay as they are with ledger.example; those of new articles carry books.example",
        "site.url: https://ledger.example → https://books.example",
    ]
    await app.publishing.collect()
    assert await ids(app) == before


async def ids(app: App) -> list[str]:
    """The id of every article in the feed of everything."""
    await app.publishing.feeds()
    feed = json.loads((app.config.data_dir / "site" / "feeds" / "all.json").read_text(encoding="utf-8"))
    return [item["id"] for item in feed["items"]]


async def test_a_missing_secret_is_refused(app: App) -> None:
    """D10: a reference to a variable is no password, and a file that everybody reads is none either."""
    edit(app, "embedded = true", 'embedded = true\nusername = "me"\npassword = "${SMTP_PASSWORD}"')
    with pytest.raises(ConfigurationError, match="is a reference to a variable"):
        await app.reloading.reload()


# In flight


OUTSIDE = CONFIGURATION.replace("embedded = true", 'host = "127.0.0.1"\nport = {{port}}\nsecurity = "plain"').replace(
    "timezone", 'postal_address = "A street"\ntimezone'
)


@contextlib.asynccontextmanager
async def mailing(tmp_path: Path, server: SmtpServer) -> AsyncIterator[App]:
    """A publication that mails over a server, with twenty readers and an issue for them."""
    text = OUTSIDE.replace("{{port}}", f"{server.port}\nconnections = 2")
    async with await App.open(load(write_publication(tmp_path, configuration=text), {})) as app:
        await app.import_subscribers(READERS)
        await app.publishing.collect()
        await app.dispatching.dispatch("weekly")
        yield app


def slow(length: int) -> Script:
    """A server that takes its time over each answer, so that a change comes in the middle."""
    answers: list[Action] = ["slowly 250 2.0.0 queued " + "x" * length] * len(READERS)
    return Script(dot=answers)


def copies(*servers: SmtpServer) -> list[str]:
    """Who received a mail, once for each copy."""
    return sorted(received.rcpt_to for server in servers for received in server.received)


ALL = sorted(reader["email"] for reader in READERS)


async def test_a_server_changed_in_the_middle_of_an_issue_takes_the_rest_of_it(tmp_path: Path) -> None:
    """D7: what is on the wire ends where it began; nobody is left out, nobody gets two."""
    async with smtp_server(slow(30)) as first, smtp_server() as second, mailing(tmp_path, first) as app:
        async with running(app):
            await until(lambda: len(first.received) >= 3)
            edit(app, f"port = {first.port}", f"port = {second.port}")
            await until(lambda: len(first.received) + len(second.received) == len(ALL))
            await until_sent(app)
        assert copies(first, second) == ALL
        assert len(first.received) < len(ALL)


async def test_a_newsletter_that_goes_while_its_issue_is_sent_is_sent_to_the_end(tmp_path: Path) -> None:
    """D4: the issue keeps the settings that it was frozen with; readers follow the new name."""
    async with smtp_server(slow(30)) as server, mailing(tmp_path, server) as app:
        async with running(app):
            await until(lambda: len(server.received) >= 3)
            edit(app, 'slug = "weekly"', 'slug = "digest"\nformer = ["weekly"]')
            edit(app, 'from_address = "editors', 'from_address = "desk')
            await until(lambda: app.config.newsletters[0].slug == "digest")
            await until_sent(app)
        assert copies(server) == ALL
        assert {received.mail_from for received in server.received} == {"editors@ledger.example"}
        assert (await app.dispatching.dispatch("digest", dry_run=True))["outcome"] == "skipped"
        assert [issue.newsletter for issue in await app.database.aread(issues.listing)] == ["digest"]


async def test_a_template_changed_in_the_middle_of_an_issue_changes_none_of_its_mails(tmp_path: Path) -> None:
    """E14: the frozen copy: the last recipient gets the words of the first, the next issue has the new ones."""
    own = tmp_path / "config" / "templates" / "mail"
    async with smtp_server(slow(30)) as server, mailing(tmp_path, server) as app:
        async with running(app):
            await until(lambda: len(server.received) >= 3)
            own.mkdir(parents=True)
            block = "{% block overview %}<p>OTHER WORDS</p>{% endblock %}"
            (own / "digest.html.j2").write_text('{% extends "builtin/mail/digest.html.j2" %}' + block, "utf-8")
            edit(app, "[site]", 'templates = "templates"\n[site]')
            await until(lambda: app.config.templates is not None)
            assert len(server.received) < len(ALL)
            await until_sent(app)
        assert copies(server) == ALL
        assert [mail for mail in server.received if b"OTHER WORDS" in mail.content] == []
        [trial] = [await app.dispatching.test("weekly", "ada@reader.example")]
        assert trial["outcome"] == "accepted"
        assert b"OTHER WORDS" in server.received[-1].content


async def test_a_transport_that_goes_leaves_its_issue_to_the_usual_one(tmp_path: Path) -> None:
    """D7, H28: its run ends in order first."""
    async with smtp_server(slow(30)) as first, smtp_server() as usual:
        other = f'\n[[transports]]\nname = "other"\nhost = "127.0.0.1"\nport = {first.port}\nsecurity = "plain"\n'
        text = OUTSIDE.replace("{{port}}", str(usual.port)).replace(
            'slug = "weekly"', 'slug = "weekly"\ntransport = "other"'
        )
        file = write_publication(tmp_path, configuration=text, more=other)
        async with await App.open(load(file, {})) as app:
            await app.import_subscribers(READERS)
            await app.publishing.collect()
            await app.dispatching.dispatch("weekly")
            async with running(app):
                await until(lambda: len(first.received) >= 3)
                file.write_text(
                    file.read_text(encoding="utf-8").replace(other, "").replace('\ntransport = "other"', ""),
                    encoding="utf-8",
                )
                await until(lambda: len(first.received) + len(usual.received) == len(ALL))
                await until_sent(app)
            assert copies(first, usual) == ALL
            assert (len(usual.received) > 0, list(app.sending.lanes)) == (True, ["smtp"])


def open_files() -> int:
    """How many files and sockets this process holds."""
    return len(list(Path("/proc/self/fd").iterdir()))


async def until_sent(app: App) -> None:
    """Wait until every delivery is sent."""
    for _ in range(1500):
        if set(await states(app)) == {DeliveryState.SENT}:
            return
        await asyncio.sleep(0.02)
    assert set(await states(app)) == {DeliveryState.SENT}


def alive(kind: type) -> int:
    """Count the objects of a class that something still holds."""
    gc.collect()
    return sum(isinstance(thing, kind) for thing in gc.get_objects())


async def test_a_thousand_reloads_while_sending_lose_and_repeat_nothing_and_leave_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """D11: they are coalesced, and no task, file or renderer stays."""
    async with smtp_server() as server, mailing(tmp_path, server) as app:
        made: list[Config] = []
        honest = Renderer.for_newsletter

        def compiled(config: Config, newsletter: Newsletter | None = None) -> Renderer:
            made.append(config)
            return honest(config, newsletter)

        monkeypatch.setattr(Renderer, "for_newsletter", compiled)
        async with running(app):
            await until_sent(app)
            gc.collect()
            tasks, handles, configurations = len(asyncio.all_tasks()), open_files(), alive(Config)
            write_article(tmp_path, "tax.md", BORDER.replace("The border is quiet", "A new tax"))
            await app.publishing.collect()
            # By hand there is one issue a minute.
            monkeypatch.setattr(dispatching_module, "now", lambda: now() - timedelta(minutes=2))
            await app.dispatching.dispatch("weekly")
            asked = [asyncio.create_task(app.reloading.reload()) for _ in range(500)]
            for round_ in range(5):
                edit(app, "connections = " + "23232"[round_], "connections = " + "32323"[round_])
                asked += [asyncio.create_task(app.reloading.reload()) for _ in range(100)]
                await asyncio.sleep(0)
                assert await asyncio.gather(*asked)
            await until_sent(app)
            await until(lambda: len(asyncio.all_tasks()) <= tasks)
            gc.collect()
            assert open_files() <= handles + 4
            # Of five: who looks at the files remembers two, and may read them once more at this moment.
            await until(lambda: alive(Config) <= configurations + 2)
            assert made == []
        assert copies(server) == sorted(ALL * 2)


async def test_a_slot_that_comes_during_reloads_is_dispatched_once(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    """P7, D6, D11: whatever the order of the clock, the look and the reload."""
    await app.publishing.collect()
    day = now().replace(hour=4, minute=0, second=0, microsecond=0)
    start = day + timedelta(days=7 - day.weekday())
    clock = [start - timedelta(minutes=1)]
    monkeypatch.setattr(dispatching_module, "now", lambda: clock[0])
    await app.dispatching.run_due()
    looks: list[asyncio.Task[Any]] = []
    for step in range(12):
        clock[0] = start + timedelta(milliseconds=step - 6)
        edit(app, 'title = { en = "The week', 'title = { en = "The week!')
        looks.append(asyncio.create_task(app.dispatching.run_due()))
        await app.reloading.reload()
        looks.append(asyncio.create_task(app.dispatching.run_due()))
    done = [report["outcome"] for look in looks for report in await look]
    assert done == ["dispatched"]
    assert len(await states(app)) == 1


async def test_sighup_reloads_and_stops_nothing(app: App) -> None:
    """K9: also many at once, and while the service starts."""
    async with signals(app, serving=True):
        os.kill(os.getpid(), signal.SIGHUP)
        async with running(app):
            edit(app, 'at = "07:00"', 'at = "08:30"')
            for _ in range(50):
                os.kill(os.getpid(), signal.SIGHUP)
            await until(lambda: app.config.newsletters[0].frequencies["weekly"].at == "08:30")
            assert not app.shared.stop.is_set()
        os.kill(os.getpid(), signal.SIGHUP)


async def test_a_command_reloads_the_running_service(app: App) -> None:
    async with running(app):
        assert (await control.call(app.config.data_dir, "reload", {}, silent))["changes"] == []
        edit(app, 'at = "07:00"', "at = 7")
        with pytest.raises(PublisherError, match=r"frequencies\.weekly\.at"):
            await control.call(app.config.data_dir, "reload", {}, silent)


async def test_a_reload_while_the_service_stops_is_refused(app: App) -> None:
    """D11."""
    app.shared.stop.set()
    edit(app, 'at = "07:00"', 'at = "08:30"')
    with pytest.raises(RefusedError, match="about to stop"):
        await app.reloading.reload()
    assert app.config.newsletters[0].frequencies["weekly"].at == "07:00"
