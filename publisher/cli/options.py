"""What stands before the command's name."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(slots=True)
class Options:
    """The options of every command."""

    config: Path | None = None


options = Options()
