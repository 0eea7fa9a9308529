"""The command that tries the configuration."""

from __future__ import annotations

import os
import re
from typing import Any

import typer
from rich.markup import escape

from publisher import config
from publisher.app import check_templates
from publisher.app.shared import Made
from publisher.cli import printing
from publisher.cli.console import err, out
from publisher.cli.reach import Json, find
from publisher.config import Config
from publisher.errors import ConfigurationError, Problem, RenderError
from publisher.mail.dkim import Signer

cli = typer.Typer()


@cli.command()
def check(as_json: Json = False) -> None:
    """Check the configuration as a whole: problems stop the service, warnings are for you to weigh."""
    path = find()
    try:
        loaded = config.load(path, os.environ)
        tried(loaded)
        Signer.load(loaded)
    except ConfigurationError as error:
        if as_json:
            printing.as_json({"ok": False, "problems": [_value_of(p) for p in error.problems], "warnings": []})
            raise typer.Exit(error.exit_code) from None
        raise
    warnings = (*config.check(loaded), *config.sending_problems(loaded))
    if as_json:
        printing.as_json({"ok": True, "problems": [], "warnings": [_value_of(p) for p in warnings]})
        return
    for warning in warnings:
        err.print(f"warning: {escape(str(warning))}", soft_wrap=True)
    out.print(f"{path}: ok" + (f", {printing.count(len(warnings), 'warning')}" if warnings else ""), soft_wrap=True)


def tried(loaded: Config, *, known: str = "") -> Made:
    """Try every template, and return what was made of them; a mistake in one is a problem of the configuration.

    `known`: a state that passed its trial before. Raises ConfigurationError.
    """
    try:
        return check_templates(loaded, known=known)
    except RenderError as error:
        placed = re.fullmatch(r"(.+?):(\d+): (.*)", str(error), re.DOTALL)
        file, line, message = placed.groups() if placed else (str(loaded.files[0]), "", str(error))
        problem = Problem(file, int(line) if line else None, "", message)
        raise ConfigurationError((problem,)) from error


def _value_of(problem: Problem) -> dict[str, Any]:
    """Return a problem of the configuration as JSON has it."""
    return {
        "file": problem.file,
        "line": problem.line,
        "key": problem.key,
        "message": problem.message,
        "hint": problem.hint,
    }
