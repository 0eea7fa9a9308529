"""Commands about readers."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from publisher import addresses, inventory, reports
from publisher.app.readers import pepper_of
from publisher.cli import printing, show_readers, tables
from publisher.cli.reach import Json, do, load, read
from publisher.errors import NotFoundError, RefusedError
from publisher.subscriptions import erasure

subscribers_cli = typer.Typer(no_args_is_help=True, help="Readers and what they chose.")
subscribers_cli.add_typer(tables.cli)  # import and export


@subscribers_cli.command("list")
def subscribers_list(
    newsletter: Annotated[str | None, typer.Option("--newsletter", help="Its readers only.")] = None,
    state: Annotated[str | None, typer.Option("--state", help="pending, confirmed, unsubscribed.")] = None,
    as_json: Json = False,
) -> None:
    """List readers with their choices."""
    loaded = load()
    found = read(loaded, lambda conn: reports.subscriber_list(conn, newsletter=newsletter, state=state))
    printing.value(found, as_json, show_readers.subscribers)


@subscribers_cli.command("show")
def subscribers_show(
    address: Annotated[str, typer.Argument(help="The reader's address.")],
    as_json: Json = False,
) -> None:
    """Show what one reader receives, and how it came to that."""
    printing.value(_about(address), as_json, show_readers.person)


@subscribers_cli.command("export-data")
def subscribers_export_data(address: Annotated[str, typer.Argument(help="The reader's address.")]) -> None:
    """Print everything that is held about one person as JSON, for them to have."""
    printing.value(_about(address), True, show_readers.person)


@subscribers_cli.command("held")
def subscribers_held(as_json: Json = False) -> None:
    """Tell what is held about people: how much of what, where, and until when."""
    loaded = load()
    printing.value(read(loaded, lambda conn: inventory.held(loaded, conn)), as_json, show_readers.held)


@subscribers_cli.command("erase")
def subscribers_erase(
    address: Annotated[str, typer.Argument(help="The address to forget.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: Json = False,
) -> None:
    """Forget a person; only a keyed hash stays, which keeps the address out of later imports."""
    if not yes:
        typer.confirm(f"Forget everything about {address}? This cannot be undone", abort=True, err=True)
    printing.value(do("erase_subscriber", {"address": address}), as_json, show_readers.erased)


@subscribers_cli.command("suppress")
def subscribers_suppress(
    address: Annotated[str, typer.Argument(help="The address never to be mailed.")],
    reason: Annotated[str, typer.Option("--reason", help="Why, for you.")] = "",
    as_json: Json = False,
) -> None:
    """Never mail an address again, whoever asks for it, until you unsuppress it."""
    printing.value(do("suppress", {"address": address, "reason": reason}), as_json, show_readers.suppressed)


@subscribers_cli.command("unsuppress")
def subscribers_unsuppress(
    address: Annotated[str, typer.Argument(help="The address that may be mailed again.", show_default=False)] = "",
    issue: Annotated[
        str, typer.Option("--issue", help="Instead: all that the replies to this issue suppressed, by its ref.")
    ] = "",
    resend: Annotated[bool, typer.Option("--resend", help="And send them that issue once more.")] = False,
    as_json: Json = False,
) -> None:
    """Let an address be mailed again, or all that a server refused by mistake; whoever has left stays away."""
    if bool(address) == bool(issue) or (resend and not issue):
        raise typer.BadParameter("name an address, or an issue by --issue, which --resend belongs to")
    if issue:
        printing.value(do("unsuppress_issue", {"ref": issue, "resend": resend}), as_json, show_readers.lifted)
    else:
        printing.value(do("unsuppress", {"address": address}), as_json, show_readers.suppressed)


def _about(address: str) -> dict[str, Any]:
    loaded = load()
    try:
        key = addresses.parse(address).key
    except ValueError as error:
        raise RefusedError(f"{address!r}: {error}") from error
    found = read(loaded, lambda conn: erasure.everything(conn, key, pepper_of(loaded).hash(key)))
    if found is None:
        raise NotFoundError(f"nothing is known of {address}")
    return found


@subscribers_cli.command("add")
def subscribers_add(
    email: Annotated[str, typer.Argument(metavar="ADDRESS", help="The reader's address.")],
    consent: Annotated[
        str, typer.Option("--consent", help="How this person agreed, for example 'paper form 2026-05-03'.")
    ],
    newsletter: Annotated[str, typer.Option("--newsletter", help="Needed when there are several.")] = "",
    frequency: Annotated[str, typer.Option("--frequency", help="Default: the newsletter's first.")] = "",
    categories: Annotated[str, typer.Option("--categories", help="Slugs, comma-separated; default: all.")] = "",
    languages: Annotated[str, typer.Option("--languages", help="Best first, comma-separated.")] = "",
    format_: Annotated[str, typer.Option("--format", help="html or text.")] = "",
    timezone: Annotated[str, typer.Option("--timezone", help="Where the reader lives: Europe/Minsk.")] = "",
    name: Annotated[str, typer.Option("--name", help="What the reader is called.")] = "",
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
    printing.value(do("import_subscribers", {"rows": [row], "method": "command"}), as_json, show_readers.added)
