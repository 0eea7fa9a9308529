"""How a command prints: a result as JSON or in words, lines, tables."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from publisher.cli.console import err, out


def value(result: Any, json_wanted: bool, in_words: Callable[[Any], None]) -> None:  # noqa: ANN401 - a JSON value
    """Print a story's result: as JSON, or by the function that puts it into words."""
    if json_wanted:
        as_json(result)
    else:
        in_words(result)


def as_json(value: Any) -> None:  # noqa: ANN401 - a JSON value
    """Print JSON that people can read too."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False, indent=2, default=str) + "\n")


def say(text: str) -> None:
    """Print a line as it is, never as markup."""
    out.print(escape(text), soft_wrap=True)


def say_wrong(text: str) -> None:
    """Say what went wrong, on standard error: a cron job that throws the rest away mails it all the same."""
    err.print(escape(text), soft_wrap=True)


def count(number: int, word: str) -> str:
    """Return a number with its word: 1 reader, 2 readers."""
    return f"{number:,} {word}" if number == 1 else f"{number:,} {word}s"


def table_of(*names: str) -> Table:
    """Return a table with these columns and no rows yet."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in names:
        table.add_column(name, overflow="fold")
    return table


def print_table(table: Table) -> None:
    """Print a table: as wide as the terminal, and in a pipe or a file with every row on a line of its own."""
    (out if out.is_terminal else Console(highlight=False, width=10_000)).print(table)
