"""Commands that show what will be sent, and when."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from publisher import digests, reports
from publisher.app import plan_slots, preview_mail
from publisher.cli import printing, show_issues
from publisher.cli.reach import Json, do, load, read, reading
from publisher.model import Format

cli = typer.Typer()


@cli.command()
def plan(
    newsletter: Annotated[str | None, typer.Argument(help="Slug of the newsletter; all when none is named.")] = None,
    count: Annotated[int, typer.Option("--count", min=1, max=100, help="Slots to show.")] = 5,
    explain: Annotated[
        str | None,
        typer.Option("--explain", metavar="SLOT", help="Tell what became of a past slot (2026-11-23T07:00) or day."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Show the next slots, what the next issue would hold, and why a slot would be skipped or held."""
    loaded = load()
    if explain is not None:
        slugs = [newsletter] if newsletter else [one.slug for one in loaded.newsletters]
        if len(slugs) != 1:
            raise typer.BadParameter("name the newsletter whose slot it is")
        chosen = digests.newsletter_named(loaded, slugs[0]).slug
        told = read(loaded, lambda conn: reports.slot_explained(loaded, conn, chosen, explain))
        printing.value(told, as_json, show_issues.explained)
        return
    with reading(loaded) as database:
        printing.value(plan_slots(database, loaded, newsletter, count), as_json, show_issues.plan)


@cli.command()
def preview(
    newsletter: Annotated[str, typer.Argument(help="Slug of the newsletter.")],
    as_address: Annotated[
        str,
        typer.Option("--as", metavar="ADDRESS", help="As this reader would get it; default: a reader of everything."),
    ] = "",
    at: Annotated[
        str, typer.Option("--at", metavar="TIME", help="Local time, 2026-12-01T09:00; default: the next slot.")
    ] = "",
    language: Annotated[str, typer.Option("--language", help="For a reader of everything.")] = "",
    format_: Annotated[Format, typer.Option("--format", help="For a reader of everything.")] = Format.HTML,
    out_dir: Annotated[Path, typer.Option("--out", help="Folder to write the files into.")] = Path("preview"),
    to: Annotated[
        str, typer.Option("--to", metavar="ADDRESS", help="Send it there instead, marked; it counts for nothing.")
    ] = "",
    as_json: Json = False,
) -> None:
    """Write the coming mail as files: subject.txt, digest.html, digest.txt, message.eml. Nothing is sent or changed."""
    if to:
        given = {"newsletter": newsletter, "to": to, "as_address": as_address, "at": at}
        done = do("test", given)
        printing.value(done, as_json, show_issues.tested)
        if done["outcome"] != "accepted":
            raise typer.Exit(1)
        return
    loaded = load()
    with reading(loaded) as database:
        made = preview_mail(
            database, loaded, newsletter, as_address=as_address, at=at, language=language, format_=format_
        )
    printing.value(_written(out_dir, made), as_json, show_issues.previewed)


def _written(folder: Path, made: Mapping[str, Any]) -> dict[str, Any]:
    """Write the files of a preview; a mail without an HTML part has no digest.html."""
    folder.mkdir(parents=True, exist_ok=True)
    files = {
        "subject.txt": made["subject"] + "\n",
        "digest.html": made["html"],
        "digest.txt": made["text"],
        "message.eml": made["message"],
    }
    (folder / "digest.html").unlink(missing_ok=True)
    for name, content in files.items():
        if content:
            (folder / name).write_text(content, encoding="utf-8", newline="")
    return {
        "newsletter": made["newsletter"],
        "subject": made["subject"],
        "bytes": made["bytes"],
        "notes": made["notes"],
        "files": [str(folder / name) for name, content in files.items() if content],
    }
