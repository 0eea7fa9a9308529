"""Commands about mails to readers."""

from __future__ import annotations

from typing import Annotated

import typer

from publisher import reports
from publisher.cli import printing, show_deliveries
from publisher.cli.reach import Json, do, load, read

deliveries_cli = typer.Typer(no_args_is_help=True, help="Mails to readers: what became of each.")


@deliveries_cli.command("list")
def deliveries_list(
    state: Annotated[
        list[str] | None,
        typer.Option("--state", help="queued, sending, sent, deferred, failed, uncertain, suppressed, expired."),
    ] = None,
    issue: Annotated[str | None, typer.Option("--issue", help="Ref of the issue, as `status` shows it.")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="How many at most.")] = 50,
    as_json: Json = False,
) -> None:
    """List deliveries with the server's words; `--state uncertain` shows what waits for your decision."""
    loaded = load()
    found = read(loaded, lambda conn: reports.delivery_list(conn, states=state or (), issue=issue, limit=limit))
    printing.value(found, as_json, show_deliveries.deliveries)


@deliveries_cli.command("show")
def deliveries_show(
    number: Annotated[int, typer.Argument(metavar="ID", help="Number as `deliveries list` shows it.")],
    as_json: Json = False,
) -> None:
    """Show one delivery with each attempt, in the server's words."""
    printing.value(read(load(), lambda conn: reports.delivery_show(conn, number)), as_json, show_deliveries.delivery)


@deliveries_cli.command("resend")
def deliveries_resend(
    ids: Annotated[list[int], typer.Argument(metavar="ID...", help="Numbers as `deliveries list` shows them.")],
    as_json: Json = False,
) -> None:
    """Send uncertain or failed deliveries once more; who got the first copy gets a second."""
    printing.value(do("resend", {"ids": ids}), as_json, show_deliveries.resent)


@deliveries_cli.command("mark-sent")
def deliveries_mark_sent(
    ids: Annotated[list[int], typer.Argument(metavar="ID...", help="Numbers as `deliveries list` shows them.")],
    as_json: Json = False,
) -> None:
    """Count uncertain deliveries as sent, because you know that they arrived, or want no second copy."""
    printing.value(do("mark_sent", {"ids": ids}), as_json, show_deliveries.marked)
