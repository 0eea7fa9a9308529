"""The doctor's visit at the terminal: a line for each thing, with its remedy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import typer
from rich.markup import escape

from publisher import doctor
from publisher.app.examining import examine, examine_broken
from publisher.cli import printing
from publisher.cli.console import out
from publisher.cli.reach import Json, load, play
from publisher.errors import ConfigurationError

cli = typer.Typer()

_STYLES = {"ok": "green", "warning": "yellow", "problem": "bold red"}


@cli.command("doctor")
def visit(as_json: Json = False) -> None:
    """Look at everything around the service, from the disk to the DNS, and say what is wrong and its remedy."""
    try:
        lines = play(examine(load()))
    except ConfigurationError as error:
        lines = examine_broken(error)
    report = doctor.report(lines)
    printing.value(report, as_json, show)
    if not report["ok"]:
        raise typer.Exit(1)


def show(report: Mapping[str, Any]) -> None:
    """Print a line for each thing, then how many are wrong."""
    for line in report["lines"]:
        level = line["level"]
        out.print(f"[{_STYLES[level]}]{level:<7}[/]  {escape(line['area'])}: {escape(line['text'])}", soft_wrap=True)
        if line["remedy"]:
            out.print(f"         → {escape(line['remedy'])}", soft_wrap=True)
    counts = {level: sum(line["level"] == level for line in report["lines"]) for level in ("problem", "warning")}
    out.print("\n" + ", ".join(printing.count(number, level) for level, number in counts.items()))
