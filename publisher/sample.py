"""The sample publication of `publisher demo`: copied with dates that count from the day of the demo."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import socket
from collections.abc import Mapping
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from publisher.app import App
from publisher.control import Progress
from publisher.files import packaged

PUBLICATION = "publication"
"""Folder inside the demo's data directory that holds the copied configuration and articles."""

_TEXTS = {".md", ".html", ".txt", ".toml", ".csv"}
_TOKEN = re.compile(r"\{\{(day|date|value):([^}:]+)(?::(en|ru))?\}\}")
_MONTHS = {
    "en": "January February March April May June July August September October November December",
    "ru": "января февраля марта апреля мая июня июля августа сентября октября ноября декабря",
}


def fill(text: str, today: date, values: Mapping[str, str]) -> str:
    """Replace `{{day:-3}}` by `2026-11-20`, `{{date:-3:en}}` by `November 20, 2026`, `{{value:X}}` by `values["X"]`.

    Raises KeyError for a name that `values` does not hold.
    """

    def replaced(match: re.Match[str]) -> str:
        kind, what, language = match.groups()
        if kind == "value":
            return values[what]
        day = today + timedelta(days=int(what))
        if kind == "day":
            return day.isoformat()
        month = _MONTHS[language or "en"].split()[day.month - 1]
        return f"{month} {day.day:02}, {day.year}" if language != "ru" else f"{day.day} {month} {day.year}"

    return _TOKEN.sub(replaced, text)


def materialise(target: Path, today: date, values: Mapping[str, str]) -> Path:
    """Copy the sample into `target` unless it is there already, and return its configuration file.

    A second demo in the same folder goes on where the first one stopped, so what you edited in between is kept.
    """
    home = target / PUBLICATION
    configuration = home / "config" / "publisher.toml"
    if not configuration.exists():
        # Under another name first, so that a copy that was interrupted is not taken for the sample.
        draft = target / f".{PUBLICATION}"
        shutil.rmtree(draft, ignore_errors=True)
        _copy(packaged("config/demo"), draft, today, values)
        if home.exists():  # an older copy that lost its configuration
            shutil.copytree(draft, home, dirs_exist_ok=True)
            shutil.rmtree(draft)
        else:
            draft.rename(home)
    return configuration


def values(directory: Path) -> dict[str, str]:
    """Return what the sample's configuration needs to know: where it lies and where it may listen."""
    public, private = _free_ports(8000, 8001)
    return {
        "data_dir": str(directory),
        "listen": f"127.0.0.1:{public}",
        "admin_listen": f"127.0.0.1:{private}",
        "url": f"http://127.0.0.1:{public}",
    }


async def perform(app: App, home: Path, progress: Progress) -> dict[str, Any]:
    """Do what a week at the publication does: collect, correct, take back, publish feeds, send an issue."""
    # Readers first: what was there before somebody signed up is not news to them.
    with (home / "readers.csv").open(encoding="utf-8", newline="") as file:
        readers = await app.import_subscribers(list(csv.DictReader(file)), progress=progress)
    collected = await app.publishing.collect(progress=progress)
    later = [await app.publishing.collect(progress=progress)] if next_day(home) else []
    dispatched = await app.dispatching.dispatch("weekly", progress=progress)
    sent = await app.sending.send(progress=progress)
    return {
        "collected": collected,
        "later": later,
        "readers": readers,
        "dispatched": dispatched,
        "sent": sent,
    }


def _free_ports(*wanted: int) -> list[int]:
    """Return the ports, each replaced by a free one when somebody listens there already."""
    found = []
    for port in wanted:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                probe.bind(("127.0.0.1", 0))
            found.append(int(probe.getsockname()[1]))
    return found


def next_day(home: Path) -> tuple[str, ...]:
    """Let the editors work: copy the corrected articles over the old ones, delete the withdrawn, and return both lists.

    `later/` holds the corrected files under their paths, and `later/withdrawn.txt` the paths to delete.
    """
    later = home / "later"
    if not later.is_dir():
        return ()
    listed = later / "withdrawn.txt"
    # Not there when a demo was interrupted while it cleared this folder away, which is the last thing it does.
    withdrawn = listed.read_text(encoding="utf-8").split() if listed.exists() else []
    for name in withdrawn:
        (home / name).unlink(missing_ok=True)
    corrected = [path for path in sorted(later.rglob("*")) if path.is_file() and path != listed]
    for path in corrected:
        _settled(shutil.copyfile(path, home / path.relative_to(later)))
    shutil.rmtree(later)
    return tuple(str(path.relative_to(later)) for path in corrected) + tuple(withdrawn)


def _copy(source: Path, target: Path, today: date, values: Mapping[str, str]) -> None:
    for path in sorted(source.rglob("*")):
        if not path.is_file():
            continue
        copy = target / path.relative_to(source)
        copy.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix in _TEXTS:
            # What stands between quotes in TOML is written as in JSON: a folder's name may hold a quote.
            quoted = {name: json.dumps(value, ensure_ascii=False)[1:-1] for name, value in values.items()}
            inside = quoted if path.suffix == ".toml" else values
            copy.write_text(fill(path.read_text(encoding="utf-8"), today, inside), encoding="utf-8")
        else:
            shutil.copyfile(path, copy)
        _settled(copy)


def _settled(path: Path) -> None:
    """Make a whole file look its age: one that was written just now is taken for half written, and waited for (A3)."""
    settled = path.stat().st_mtime - 60
    os.utime(path, (settled, settled))
