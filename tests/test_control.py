"""A command reaches the running service and is answered as if it had told the story itself."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import stat
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest

from publisher import control
from publisher.app import App, silent
from publisher.errors import BusyError, NotFoundError, PublisherError, RefusedError
from publisher.service import Listening, Service
from tests.publications import load_publication

pytestmark = pytest.mark.anyio


@contextlib.asynccontextmanager
async def running(home: Path, more: str = "") -> AsyncIterator[tuple[App, Listening]]:
    """Run a service on a small publication until the block ends, and let it end in order."""
    config = load_publication(home, more=more)
    async with await App.open(config) as app:
        told: asyncio.Future[Listening] = asyncio.get_running_loop().create_future()
        task = asyncio.create_task(Service(app).run(told.set_result))

        # A service that cannot start says so; waiting for its addresses alone would wait for ever.
        def ended(done: asyncio.Task[None]) -> None:
            if not told.done():
                told.set_exception(done.exception() or RuntimeError("the service ended"))

        task.add_done_callback(ended)
        try:
            yield app, await told
        finally:
            app.shared.stop.set()
            await task


async def test_the_service_does_what_a_command_asks(tmp_path: Path) -> None:
    async with running(tmp_path) as (app, _):
        steps: list[tuple[str, int, int | None]] = []
        done = await control.call(
            app.config.data_dir, "collect", {"names": ["articles"]}, lambda *step: steps.append(step)
        )
        assert done["sources"][0]["articles"] == 3
        assert ("collecting articles", 0, 1) in steps
        added = await control.call(
            app.config.data_dir,
            "import_subscribers",
            {"rows": [{"email": "a@b.example", "consent": "form"}]},
            silent,
        )
        assert added["added"] == 1


async def test_an_error_of_the_service_is_the_command_s_error(tmp_path: Path) -> None:
    """The exit code is the same whether a service runs or not."""
    async with running(tmp_path) as (app, _):
        with pytest.raises(NotFoundError, match="there is no source 'x'"):
            await control.call(app.config.data_dir, "collect", {"names": ["x"]}, silent)
        with pytest.raises(RefusedError, match="row 1"):
            await control.call(app.config.data_dir, "import_subscribers", {"rows": [{"email": "?"}]}, silent)
        with pytest.raises(NotFoundError, match="no such command"):
            await control.call(app.config.data_dir, "explode", {}, silent)


async def test_only_the_owner_may_speak_to_the_socket_and_it_goes_with_the_service(tmp_path: Path) -> None:
    async with running(tmp_path) as (app, _):
        path = app.config.data_dir / control.SOCKET
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert not path.exists()
    with pytest.raises(BusyError, match="does not answer"):
        await control.call(app.config.data_dir, "collect", {}, silent)


async def test_a_data_directory_with_a_long_path_has_its_socket(tmp_path: Path) -> None:
    """A socket address holds 108 bytes (unix(7)); directories may be deeper."""
    deep = tmp_path / ("d" * 120)
    async with running(deep) as (app, _):
        assert (await control.call(app.config.data_dir, "feeds", {}, silent))["problems"] == []
    shutil.rmtree(deep)


async def test_a_running_service_collects_publishes_and_answers(tmp_path: Path) -> None:
    async with running(tmp_path) as (_, listening), httpx2.AsyncClient() as client:
        for _ in range(500):
            feed = await client.get(f"{listening.public}/feeds/all.atom")
            if feed.status_code == 200 and b"A good harvest" in feed.content:
                break
            await asyncio.sleep(0.02)
        assert feed.headers["content-type"] == "application/atom+xml; charset=utf-8"
        again = await client.get(f"{listening.public}/feeds/all.atom", headers={"If-None-Match": feed.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
        assert (await client.get(f"{listening.public}/livez")).text == "ok\n"
        assert (await client.get(f"{listening.public}/readyz")).json() == {"ready": True, "problems": []}
        assert (await client.get(f"{listening.public}/")).status_code == 200
        assert (await client.get(f"{listening.admin}/inbox/")).status_code == 401
        assert (await client.post(listening.login)).headers["location"] == "/"
        assert (await client.get(f"{listening.admin}/inbox/")).status_code == 200


async def test_a_source_that_fails_is_named_by_readyz(tmp_path: Path) -> None:
    more = '\n[[sources]]\nname = "elsewhere"\nkind = "folder"\npath = "../nowhere"\n'
    async with running(tmp_path, more) as (_, listening), httpx2.AsyncClient() as client:
        for _ in range(500):
            answer = await client.get(f"{listening.public}/readyz")
            if answer.json()["problems"]:
                break
            await asyncio.sleep(0.02)
        assert (answer.status_code, answer.json()) == (200, {"ready": True, "problems": ["source elsewhere"]})


async def test_an_address_that_is_taken_is_named(tmp_path: Path) -> None:
    async with running(tmp_path / "one") as (_, listening):
        port = listening.public.rpartition(":")[2]
        config = load_publication(tmp_path / "two")
        web = config.web.model_copy(update={"listen": f"127.0.0.1:{port}"})
        async with await App.open(config.model_copy(update={"web": web})) as second:
            with pytest.raises(PublisherError, match=rf"127\.0\.0\.1:{port} \(web\.listen\) cannot be listened on"):
                await Service(second).run(lambda _: None)
