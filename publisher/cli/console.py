"""The terminal: one console for what is asked for, one for what is said beside it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import structlog
from rich.console import Console

from publisher.outlet import Outlet

# What programs read goes to standard output alone; what is said to people beside it goes to standard error.
out = Console(highlight=False)
err = Console(stderr=True, highlight=False)


@contextmanager
def unhindered() -> Iterator[None]:
    """Let what is said to people and logged wait for its readers instead of the program (J22)."""
    usual, outlet = sys.stderr, Outlet(sys.stderr)
    factory = structlog.get_config()["logger_factory"]
    sys.stderr = outlet
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(outlet))  # type: ignore[arg-type]  # a TextIO in deed
    try:
        yield
    finally:
        sys.stderr = usual
        structlog.configure(logger_factory=factory)
        outlet.end()
