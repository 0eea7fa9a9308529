"""Commands about readers."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Annotated

import typer

from publisher import reports
from publisher.cli import show
from publisher.cli.reach import Json, do, load, read
from publisher.errors import NotFoundError, PublisherError

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
    """Add one reader who agreed; whoever left before stays out."""
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


@subscribers_cli.command("import")
def subscribers_import(
    file: Annotated[Path, typer.Argument(help="CSV with a header row; columns as in docs/commands.md.")],
    as_json: Json = False,
) -> None:
    """Add the readers of a CSV file: all of them or, when any row is wrong, none."""
    show.value(do("import_subscribers", {"rows": read_rows(file)}), as_json, show.added)


def read_rows(file: Path) -> list[dict[str, str]]:
    """Return the rows of a CSV file (UTF-8, `,` or `;`) by their header. Raises NotFoundError or PublisherError."""
    try:
        text = file.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise NotFoundError(f"{file}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise PublisherError(f"{file}: not UTF-8 at byte {error.start}; save it as 'CSV UTF-8'") from error
    header = text.partition("\n")[0]
    delimiter = ";" if header.count(";") > header.count(",") else ","
    rows = csv.DictReader(io.StringIO(text), delimiter=delimiter, strict=True)
    found = []
    try:
        for row in rows:
            if None in row or None in row.values():
                raise PublisherError(f"{file}:{rows.line_num}: has not as many cells as the header")
            found.append({name.strip().lower(): cell for name, cell in row.items()})
    except csv.Error as error:
        # The reader counts the lines of whole rows; the row that cannot be read begins after them.
        raise PublisherError(f"{file}:{rows.line_num + 1}: {error}") from error
    return found
