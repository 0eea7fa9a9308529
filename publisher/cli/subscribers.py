"""Commands about readers."""

from __future__ import annotations

from typing import Annotated

import typer

from publisher import reports
from publisher.cli import show
from publisher.cli.reach import Json, do, load, read

subscribers_cli = typer.Typer(no_args_is_help=True, help="Readers and what they chose.")


@subscribers_cli.command("list")
def subscribers_list(
    newsletter: Annotated[str | None, typer.Option("--newsletter")] = None,
    state: Annotated[str | None, typer.Option("--state", help="pending, confirmed, unsubscribed.")] = None,
    as_json: Json = False,
) -> None:
    """List readers with their choices."""
    loaded = load()
    found = read(loaded, lambda conn: reports.subscriber_list(conn, newsletter=newsletter, state=state))
    show.value(found, as_json, show.subscribers)


@subscribers_cli.command("add")
def subscribers_add(
    email: Annotated[str, typer.Argument(help="The reader's address.")],
    consent: Annotated[
        str, typer.Option("--consent", help="How this person agreed, for example 'paper form 2026-05-03'.")
    ],
    newsletter: Annotated[str, typer.Option("--newsletter", help="Needed when there are several.")] = "",
    frequency: Annotated[str, typer.Option("--frequency", help="Default: the newsletter's first.")] = "",
    categories: Annotated[str, typer.Option("--categories", help="Slugs, comma-separated; default: all.")] = "",
    languages: Annotated[str, typer.Option("--languages", help="Best first, comma-separated.")] = "",
    format_: Annotated[str, typer.Option("--format", help="html or text.")] = "",
    timezone: Annotated[str, typer.Option("--timezone")] = "",
    name: Annotated[str, typer.Option("--name")] = "",
    as_json: Json = False,
) -> None:
    """Add one reader who agreed, or change what you state of one who is there; whoever left before stays out."""
    row = {
        "email": email,
        "name": name,
        "languages": languages,
        "newsletter": newsletter,
        "frequency": frequency,
        "categories": categories,
        "format": format_,
        "timezone": timezone,
        "consent": consent,
    }
    show.value(do("import_subscribers", {"rows": [row], "method": "command"}), as_json, show.added)
