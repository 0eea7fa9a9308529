"""Commands about the configuration itself: its schema for editors, and what it comes to."""

from __future__ import annotations

import json
import os
from typing import Annotated

import typer
from rich.markup import escape

from publisher.cli import printing
from publisher.cli.console import out
from publisher.cli.reach import Json, load
from publisher.config import schema as schemas
from publisher.config.shown import shown

config_cli = typer.Typer(no_args_is_help=True, help="The configuration: what it comes to, and its schema for editors.")


@config_cli.command("schema")
def schema() -> None:
    """Print the JSON Schema of publisher.toml, by which editors complete and check it."""
    printing.as_json(schemas.schema())


@config_cli.command("show")
def show_(
    changed: Annotated[bool, typer.Option("--set", help="Only what is set, without the defaults.")] = False,
    as_json: Json = False,
) -> None:
    """Show every key with its value and where that comes from; passwords are masked."""
    rows = [row for row in shown(load()) if not (changed and row.origin.startswith("default"))]
    if as_json:
        printing.as_json([{"key": row.key, "value": row.value, "origin": row.origin} for row in rows])
        return
    here = f"{os.getcwd()}/"  # noqa: PTH109 - a prefix to take away, not a path to use
    for row in rows:
        value = json.dumps(row.value, ensure_ascii=False)
        out.print(f"{escape(f'{row.key} = {value}')}  [dim]{escape(row.origin.removeprefix(here))}[/]", soft_wrap=True)
