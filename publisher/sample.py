"""The sample publication of `publisher demo`: copied with dates that count from the day of the demo."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from datetime import date, timedelta
from pathlib import Path

from publisher.files import packaged

PUBLICATION = "publication"
"""Folder inside the demo's data directory that holds the copied configuration and articles."""

_TEXTS = {".md", ".html", ".txt", ".toml", ".csv"}
_TOKEN = re.compile(r"\{\{(day|date|value):([^}:]+)(?::(en|ru))?\}\}")
_MONTHS = {
    "en": (
        "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December",
    ),
    "ru": (
        "января", "февраля", "марта", "апреля", "мая", "июня", "июля", "августа", "сентября", "октября", "ноября", "декабря",
    ),
}  # fmt: skip


def fill(text: str, today: date, values: Mapping[str, str]) -> str:
    """Replace `{{day:-3}}` by `2026-11-20`, `{{date:-3:en}}` by `November 20, 2026` and `{{value:NAME}}` by `values[NAME]`.

    Raises KeyError for a name that `values` does not hold.
    """

    def replaced(match: re.Match[str]) -> str:
        kind, what, language = match.groups()
        if kind == "value":
            return values[what]
        day = today + timedelta(days=int(what))
        if kind == "day":
            return day.isoformat()
        month = _MONTHS[language or "en"][day.month - 1]
        return f"{month} {day.day:02}, {day.year}" if language != "ru" else f"{day.day} {month} {day.year}"

    return _TOKEN.sub(replaced, text)


def materialise(target: Path, today: date, values: Mapping[str, str]) -> Path:
    """Copy the sample into `target` unless it is there already, and return its configuration file.

    A second demo in the same folder goes on where the first one stopped, so what you edited in between is kept.
    """
    home = target / PUBLICATION
    configuration = home / "config" / "publisher.toml"
    if not configuration.exists():
        _copy(packaged("config/demo"), home, today, values)
    return configuration


def next_day(home: Path, today: date, values: Mapping[str, str]) -> tuple[str, ...]:
    """Let the editors work: copy the corrected articles over the old ones, delete the withdrawn, and return both lists.

    `later/` holds the corrected files under their paths, and `later/withdrawn.txt` the paths to delete.
    """
    later = home / "later"
    if not later.is_dir():
        return ()
    withdrawn = (later / "withdrawn.txt").read_text(encoding="utf-8").split()
    for name in withdrawn:
        (home / name).unlink(missing_ok=True)
    (later / "withdrawn.txt").unlink()
    corrected = [path for path in sorted(later.rglob("*")) if path.is_file()]
    for path in corrected:
        shutil.copyfile(path, home / path.relative_to(later))
    shutil.rmtree(later)
    return tuple(str(path.relative_to(later)) for path in corrected) + tuple(withdrawn)


def _copy(source: Path, target: Path, today: date, values: Mapping[str, str]) -> None:
    for path in sorted(source.rglob("*")):
        if not path.is_file():
            continue
        copy = target / path.relative_to(source)
        copy.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix in _TEXTS:
            copy.write_text(fill(path.read_text(encoding="utf-8"), today, values), encoding="utf-8")
        else:
            shutil.copyfile(path, copy)
