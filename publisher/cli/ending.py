"""Exit codes of a command whose story left something undone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import typer
from rich.markup import escape

from publisher.cli.console import err
from publisher.errors import BusyError


def fail_on_errors(collected: Mapping[str, Any]) -> None:
    """End with exit code 1 when a source could not be collected."""
    if any("error" in source for source in collected["sources"]):
        raise typer.Exit(1)


def fail_on_failed_slots(dispatched: Sequence[Mapping[str, Any]]) -> None:
    """End with exit code 1 when an issue that was due could not be made."""
    if any(report["outcome"] == "failed" for report in dispatched):
        raise typer.Exit(1)


def try_later(reason: str) -> None:
    """End with exit code 75 when there is a reason why not all that is due was done."""
    if reason:
        err.print(f"stopped: {escape(reason)}", soft_wrap=True)
        raise typer.Exit(BusyError.exit_code)
