"""How a command reaches its story: by the running service, or by taking its place for a moment."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
from rich.markup import escape

from publisher import config, control
from publisher.cli.console import err
from publisher.cli.options import options
from publisher.config import Config
from publisher.control import Progress as Told
from publisher.errors import BusyError
from publisher.store.database import Connection, Database

T = TypeVar("T")
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def find() -> Path:
    """Return the configuration file that is meant. Raises NotFoundError when there is none."""
    return config.find(options.config, os.environ, Path.cwd())


def load() -> Config:
    """Return the configuration. Raises ConfigurationError with all its problems."""
    return config.load(find(), os.environ)


@dataclass(frozen=True, slots=True)
class Session:
    """How a story of many steps reaches the app, wherever it runs."""

    do: Callable[[str, Mapping[str, Any]], Awaitable[Any]]
    stopped: Callable[[], bool]
    """Whether the operator wants this process to stop."""


def do(action: str, arguments: Mapping[str, Any]) -> Any:  # noqa: ANN401 - a JSON value
    """Let the running service tell the story, or take its place for a moment: the same story either way."""
    from publisher.app import App  # most commands only look, and wait for nothing that acts
    from publisher.app.signals import signals

    loaded = load()

    async def story(told: Told) -> Any:  # noqa: ANN401 - a JSON value
        try:
            app = await App.open(loaded)
        except BusyError:
            return await control.call(loaded.data_dir, action, arguments, told)
        async with app, signals(app):
            # What a service would hand over as JSON is handed over as JSON here too.
            return json.loads(json.dumps(await app.actions[action](**arguments, progress=told)))

    with progress() as told:
        return play(story(told))


def play(story: Coroutine[Any, Any, T]) -> T:
    """Run a story that may send or serve; a turn of uvloop's event loop costs half of what asyncio's own costs."""
    from publisher.cli import loop  # as above

    return loop.play(story)


@asynccontextmanager
async def session(loaded: Config, told: Told) -> AsyncIterator[Session]:
    """Reach the running service, or take its place, for a story that asks for many steps."""
    from publisher.app import App  # as above
    from publisher.app.signals import signals

    try:
        app = await App.open(loaded)
    except BusyError:

        async def ask(action: str, arguments: Mapping[str, Any]) -> Any:  # noqa: ANN401 - a JSON value
            return await control.call(loaded.data_dir, action, arguments, told)

        yield Session(ask, lambda: False)
        return
    async with app, signals(app):

        async def tell(action: str, arguments: Mapping[str, Any]) -> Any:  # noqa: ANN401 - a JSON value
            return await app.actions[action](**arguments, progress=told)

        yield Session(tell, app.shared.stop.is_set)


@contextmanager
def reading(loaded: Config) -> Iterator[Database]:
    """Open the database for a command that only looks: it writes nothing, also where nothing exists yet."""
    database = Database.look(loaded.database_url, data_dir=loaded.data_dir)
    if database is not None:
        with database:
            yield database
        return
    with tempfile.TemporaryDirectory() as nowhere, Database.open(data_dir=Path(nowhere), readers=1) as empty:
        yield empty


def read(loaded: Config, work: Callable[[Connection], T]) -> T:
    """Return what `work` reads from the database."""
    with reading(loaded) as database:
        return database.read(work)


@contextmanager
def progress() -> Iterator[Told]:
    """Draw a bar on a terminal; say nothing elsewhere."""
    if not err.is_terminal:
        yield control.silent
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn  # here: scripts see none of it

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=err, transient=True) as bars:
        task = bars.add_task("", total=None)

        def told(label: str, done: int, total: int | None) -> None:
            bars.update(task, description=escape(label), completed=done, total=total)

        yield told
