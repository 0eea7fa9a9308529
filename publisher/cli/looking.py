"""Commands about the service that runs, or does not."""

from __future__ import annotations

import asyncio

import typer

from publisher import control, reports
from publisher.cli import printing, show_status
from publisher.cli.reach import Json, load, progress, read
from publisher.clock import now
from publisher.errors import RefusedError
from publisher.store.lock import DirectoryLock

cli = typer.Typer()


@cli.command()
def reload(as_json: Json = False) -> None:
    """Let the running service go by the configuration and templates as they are now; it watches them by itself too."""
    loaded = load()
    if DirectoryLock.holder_of(loaded.data_dir) is None:
        raise RefusedError("no service runs here; the next start reads the configuration")
    with progress() as told:
        done = asyncio.run(control.call(loaded.data_dir, "reload", {}, told))
    printing.value(done, as_json, show_status.reloaded)


@cli.command()
def status(as_json: Json = False) -> None:
    """Show what the service holds and does."""
    loaded = load()
    done = read(loaded, lambda conn: reports.status(loaded, conn, now()))
    done["service"] = {"pid": DirectoryLock.holder_of(loaded.data_dir)}
    printing.value(done, as_json, show_status.status)
