"""Commands about issues: what each holds, and whether it goes on."""

from __future__ import annotations

from typing import Annotated

import typer

from publisher import reports
from publisher.cli import printing, show_issues
from publisher.cli.reach import Json, do, load, read

cli = typer.Typer()
issues_cli = typer.Typer(no_args_is_help=True, help="Issues: composed digests, sent or waiting.")

Ref = Annotated[str, typer.Argument(metavar="ISSUE", help="Its ref, as `issues list` shows it.")]


@issues_cli.command("list")
def issues_list(
    newsletter: Annotated[str | None, typer.Option("--newsletter", help="Of this newsletter only.")] = None,
    state: Annotated[
        list[str] | None, typer.Option("--state", help="planned, held, sending, paused, sent, cancelled.")
    ] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="How many at most.")] = 20,
    as_json: Json = False,
) -> None:
    """List issues, newest first, with their deliveries."""
    loaded = load()
    found = read(loaded, lambda conn: reports.issue_list(conn, newsletter=newsletter, states=state or (), limit=limit))
    printing.value(found, as_json, show_issues.issues)


@issues_cli.command("show")
def issues_show(ref: Ref, as_json: Json = False) -> None:
    """Show one issue: its segments, its articles, what became of its deliveries."""
    loaded = load()
    printing.value(read(loaded, lambda conn: reports.issue_show(loaded, conn, ref)), as_json, show_issues.issue)


@cli.command()
def approve(ref: Ref, as_json: Json = False) -> None:
    """Send an issue that is held, exactly as it was composed."""
    printing.value(do("approve", {"ref": ref}), as_json, show_issues.turned)


@issues_cli.command("pause")
def issues_pause(ref: Ref, as_json: Json = False) -> None:
    """Stop sending an issue; what is on the wire ends by itself."""
    printing.value(do("pause", {"ref": ref}), as_json, show_issues.turned)


@issues_cli.command("resume")
def issues_resume(ref: Ref, as_json: Json = False) -> None:
    """Go on with a paused issue."""
    printing.value(do("resume", {"ref": ref}), as_json, show_issues.turned)


@issues_cli.command("cancel")
def issues_cancel(ref: Ref, as_json: Json = False) -> None:
    """End an issue for good: who has it keeps it, nobody else gets it."""
    printing.value(do("cancel", {"ref": ref}), as_json, show_issues.turned)
