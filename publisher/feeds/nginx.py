"""What nginx must know to serve the feed files without us: Link headers, former names and names that are no more."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from publisher.feeds.routes import Routes

NAME = "feeds.conf"

_HEAD = "# Written by Publisher whenever its feeds change; config/deploy/nginx.conf includes it. Reload nginx then.\n"


def folder(data_dir: Path) -> Path:
    """Return where the file is: beside `site/`, because nobody but nginx reads it."""
    return data_dir / "nginx"


def maps(routes: Routes) -> str:
    """Return three maps from the address asked for: to a Link header, to a new address, to "gone"."""
    moved = {f"~^/feeds/{re.escape(old)}(?<publisher_rest>[./].*)$": url for old, url in sorted(routes.moved.items())}
    gone = {f"~^/feeds/{re.escape(slug)}[./]": "1" for slug in sorted(routes.gone)}
    return "\n".join(
        [
            _HEAD,
            'geo $publisher_dollar { default "$"; }',  # nginx has no other way to write one
            _map("publisher_link", {f"/feeds/{name}": link for name, link in sorted(routes.links.items())}),
            _map("publisher_moved", moved, "${publisher_rest}"),
            _map("publisher_gone", gone),
        ]
    )


def write(data_dir: Path, routes: Routes) -> None:
    """Put the maps where nginx finds them, whole or not at all; nothing happens when they say the same."""
    path = folder(data_dir) / NAME
    text = maps(routes)
    if path.exists() and path.read_text(encoding="utf-8") == text:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{NAME}.tmp")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)


def _map(name: str, values: Mapping[str, str], suffix: str = "") -> str:
    lines = [f'    "{_quoted(key)}" "{_value(value)}{suffix}";' for key, value in values.items()]
    return "\n".join([f"map $uri ${name} {{", '    default "";', *lines, "}", ""])


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')


def _value(text: str) -> str:
    return _quoted(text).replace("$", "${publisher_dollar}")
