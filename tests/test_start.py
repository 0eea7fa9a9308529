"""A command starts quickly: it imports what it uses, and the list of commands imports none of them."""

from __future__ import annotations

import importlib
import json
import pkgutil
import subprocess
import sys

import pytest
import typer
import typer.main

from publisher import cli
from publisher.cli import later
from tests.publications import write_publication

SERVING = {"uvicorn", "starlette", "apscheduler", "httpx2", "uvloop"}
# `markdown_it` is not among them: rich writes the help with it.
ACTING = {
    "aiosmtplib",
    "aiosmtpd",
    "feedgen",
    "lxml",
    "alembic",
    "cryptography",
    "jinja2",
    "dns",
    "babel",
}
STORING = {"sqlalchemy", "pydantic"}


def imported(*arguments: str) -> set[str]:
    """Return the foreign libraries that a command has imported at its end."""
    code = (
        "import json, sys\n"
        "from publisher.cli import cli\n"
        "try: cli(sys.argv[1:])\n"
        "except SystemExit as end:\n"
        "    print(json.dumps([end.code, *{name.partition('.')[0] for name in sys.modules}]), file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True)
    status, *names = json.loads(done.stderr.splitlines()[-1])
    assert not status, done.stderr
    return set(names)


@pytest.fixture(scope="module")
def configuration(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A publication that was collected once."""
    file = write_publication(tmp_path_factory.mktemp("start"))
    subprocess.run([sys.executable, "-m", "publisher", "--config", str(file), "collect"], check=True)
    return str(file)


def test_help_imports_no_command_and_no_heavy_library() -> None:
    assert imported("--help") & (SERVING | ACTING | STORING) == set()


@pytest.mark.parametrize("command", ["status", "sources list", "articles list", "issues list", "deliveries list"])
def test_a_command_that_looks_imports_the_store_and_nothing_that_acts(configuration: str, command: str) -> None:
    assert imported("--config", configuration, *command.split()) & (SERVING | ACTING) == set()


@pytest.mark.parametrize("command", ["check", "plan", "config show"])
def test_a_command_that_serves_nothing_imports_no_server(configuration: str, command: str) -> None:
    assert imported("--config", configuration, *command.split()) & (SERVING - {"httpx2"}) == set()


def test_a_full_round_by_cron_imports_no_server(configuration: str) -> None:
    assert imported("--config", configuration, "run", "--once") & (SERVING - {"httpx2", "uvloop"}) == set()


def test_a_service_is_ready_before_it_loads_what_its_first_moments_do_not_need(configuration: str) -> None:
    """Issue 7: start to ready within a second. Collecting, building feeds and the admin pages load what they need."""
    code = (
        "import asyncio, json, os, sys\n"
        "from pathlib import Path\n"
        "from publisher import config\n"
        "from publisher.app import App\n"
        "from publisher.cli import starting\n"
        "from publisher.service import Service\n"
        "async def story(loaded):\n"
        "    async with await App.open(loaded) as app:\n"
        "        def ready(listening):\n"
        "            print(json.dumps(sorted(sys.modules)))\n"
        "            app.shared.stop.set()\n"
        "        await Service(app).run(ready)\n"
        "asyncio.run(story(config.load(Path(sys.argv[1]), os.environ)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code, configuration], capture_output=True, text=True, check=True)
    loaded = set(json.loads(done.stdout.splitlines()[0]))
    later = {
        *("apscheduler", "feedgen", "httpx2", "lxml", "markdown_it", "prometheus_client", "yaml", "statistics"),
        *("brotli", "zstandard", "nh3", "regex", "babel.messages", "rich.progress", "anyio._backends._asyncio"),
        *("sqlalchemy.dialects.postgresql", "publisher.sources.folder", "publisher.feeds.build"),
        *("publisher.web.admin.application", "publisher.doctor", "publisher.sample"),
    }
    assert loaded & later == set()
    assert {"publisher.web.routing", "publisher.mail.smtp", "aiosmtplib", "uvicorn"} <= loaded


@pytest.mark.parametrize("name", later.PLACES)
def test_the_list_of_commands_says_what_each_says_of_itself(name: str) -> None:
    """The list is written down apart from the commands, so that none is imported for it."""
    place, command = later.PLACES[name], later.loaded(name)
    assert command.name == name
    assert command.help.partition("\n")[0].startswith(place.help)


def test_every_command_is_in_the_list() -> None:
    listed = {(place.module, place.typer, name) for name, place in later.PLACES.items()}
    for found in pkgutil.iter_modules(cli.__path__):
        module = importlib.import_module(f"publisher.cli.{found.name}")
        for attribute, value in vars(module).items():
            if not isinstance(value, typer.Typer) or found.name == "tables":  # whose commands are of `subscribers`
                continue
            if attribute == "cli":
                missing = {(found.name, "cli", name) for name in typer.main.get_group(value).commands} - listed
                assert missing == set()
            else:
                assert (found.name, attribute) in {one[:2] for one in listed}
