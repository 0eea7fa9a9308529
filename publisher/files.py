"""Where the files that travel with the program are: templates, the sample publication, what `init` copies."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def packaged(name: str) -> Path:
    """Return the absolute path of `name` ("templates", "config/demo"), `/` between its parts.

    An installed wheel carries the folders `templates` and `config` inside the package (`publisher/_files`); a checkout
    has them at its top. Raises FileNotFoundError when neither has `name`: then the installation is incomplete.
    """
    for home in (_PACKAGE / "_files", _PACKAGE.parent):
        path = home / name
        if path.exists():
            return path
    raise FileNotFoundError(f"{name} is missing from this installation of publisher; install it again")
