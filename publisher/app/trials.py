"""What was tried once is not tried again at the next start, when nothing that decides the outcome is another."""

from __future__ import annotations

import contextlib
import hashlib
import os
import sys
from importlib.metadata import version
from pathlib import Path

import publisher
from publisher import __version__
from publisher.app.prints import Prints, prints_of
from publisher.config import Config
from publisher.files import packaged

NAME = "templates.tried"
"""The file in the data directory."""

_CODE = Path(publisher.__file__).parent

_LIBRARIES = ("jinja2", "css-inline", "babel", "nh3")
"""What makes mails of templates, beside ourselves."""


def state_of(config: Config, templates: Prints) -> str:
    """Return a hash of what decides a trial: program, libraries, templates, configuration. Blocking."""
    # Our code by its files too: a checkout that is updated keeps its version.
    ours = prints_of([packaged("templates"), _CODE])
    mine = sorted((path, print_) for path, print_ in ours.items() if "__pycache__" not in path)
    libraries = [version(name) for name in _LIBRARIES]
    parts = (__version__, sys.version, libraries, mine, sorted(templates.items()))
    return hashlib.sha256(f"{parts!r}\n{config.model_dump_json()}".encode()).hexdigest()


def remembered(data_dir: Path) -> str:
    """Return the state that was last tried with success; "" when none is known. Blocking."""
    with contextlib.suppress(OSError, ValueError):
        return (data_dir / NAME).read_text(encoding="ascii").strip()
    return ""


def remember(data_dir: Path, state: str) -> None:
    """Keep the state for the next start; where that fails, it tries again, and nothing else. Blocking.

    Only for the process that holds the data directory.
    """
    fresh = data_dir / f".{NAME}"
    with contextlib.suppress(OSError):
        fresh.write_text(f"{state}\n", encoding="ascii")
        os.replace(fresh, data_dir / NAME)  # noqa: PTH105 - in one step
