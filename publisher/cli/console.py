"""The terminal: one console for what is asked for, one for what is said beside it."""

from __future__ import annotations

from rich.console import Console

# What programs read goes to standard output alone; what is said to people beside it goes to standard error.
out = Console(highlight=False)
err = Console(stderr=True, highlight=False)
