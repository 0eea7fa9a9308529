"""Commands that keep a publication safe: a backup, the way back from one, and sending again after it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from publisher import encryption
from publisher.app import App
from publisher.app.safekeeping import packed
from publisher.app.safekeeping import restore as put_back
from publisher.cli import printing
from publisher.cli.console import out
from publisher.cli.reach import Json, do, load, play

cli = typer.Typer()


@cli.command()
def backup(
    target: Annotated[Path, typer.Argument(help="File to write, or a folder to write it into.")],
    recipient: Annotated[
        list[str] | None,
        typer.Option(
            "--recipient",
            help="Encrypt it for this public key of age (age1…) or SSH; may be given several times.",
            show_default=False,
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Write the database, the keys and the journal of who left into one file, while the service runs."""
    whom = encryption.recipients(recipient or [])  # before anything is copied
    printing.value(packed(do("copy", {}), target.absolute(), whom), as_json, _show_backup)


@cli.command()
def restore(
    file: Annotated[Path, typer.Argument(help="A backup.")],
    journal: Annotated[
        Path | None,
        typer.Option(
            "--journal",
            help="The file `departures` of the data directory that is lost: who left since is not mailed.",
            show_default=False,
        ),
    ] = None,
    identity: Annotated[
        Path | None,
        typer.Option("--identity", help="The file with the private key of an encrypted backup.", show_default=False),
    ] = None,
    as_json: Json = False,
) -> None:
    """Put a backup into an empty data directory; nothing is sent from it until `publisher resume`."""
    loaded = load()
    journal, identity = (path.absolute() if path else None for path in (journal, identity))
    contents = put_back(loaded, file.absolute(), journal, identity)

    async def story() -> dict[str, Any]:
        async with await App.open(loaded) as app:
            return app.standing.found

    found = play(story())
    printing.value({"made_at": contents.made_at, "database": contents.database, **found}, as_json, _show_restored)


@cli.command()
def resume(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what was found.")] = False,
    send_open: Annotated[
        bool,
        typer.Option("--send-open", help="Send what was open: this is the only copy, and it was not sent since."),
    ] = False,
    as_json: Json = False,
) -> None:
    """Let a restored or copied instance send again; what was open counts as perhaps sent, so nobody gets it twice."""
    done = do("resume_sending", {"dry_run": dry_run, "send_open": send_open})
    printing.value(done, as_json, _show_resumed)


def _show_backup(done: Mapping[str, Any]) -> None:
    out.print(
        escape(f"wrote {done['file']} ({done['bytes'] / 2**20:,.1f} MiB): {', '.join(done['files'])}"), soft_wrap=True
    )
    if done["database"] != "sqlite":
        out.print("The database is not in it: dump it with pg_dump, right before this command.", soft_wrap=True)
    if done["encrypted"]:
        out.print("It opens with the private key only, which must not be lost with this machine.", soft_wrap=True)
    out.print("Keep a copy of config/ beside it, and both away from this machine.", soft_wrap=True)


def _show_restored(done: Mapping[str, Any]) -> None:
    out.print(escape(f"restored the backup made at {done['made_at']}"), soft_wrap=True)
    out.print(
        f"By the journal since: {done['left']} subscriptions ended, {done['suppressed']} addresses suppressed, "
        f"{done['erased']} persons erased.",
        soft_wrap=True,
    )
    out.print("Nothing is sent until `publisher resume`; start the service and look around first.", soft_wrap=True)


def _show_resumed(done: Mapping[str, Any]) -> None:
    out.print(escape(f"Paused, because {done['reason']}."), soft_wrap=True)
    if not done["resumed"]:
        out.print(f"{done['open']} mails are open; `publisher resume` counts them as perhaps sent.", soft_wrap=True)
    elif done["uncertain"]:
        out.print(
            f"Resumed. {done['uncertain']} deliveries were open and are uncertain now: "
            "`publisher deliveries list --state uncertain`, and `resend` for those that you know were not sent.",
            soft_wrap=True,
        )
    else:
        out.print("Resumed.")
