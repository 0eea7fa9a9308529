"""Where a key stands: its file, its line and the path by which people call it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from publisher.errors import Problem
from publisher.toml_lines import KeyPath

_BARE = re.compile(r"[A-Za-z0-9_-]+\Z")


@dataclass(frozen=True, slots=True)
class Finding:
    """Something to say about one key; an empty path means the configuration as a whole."""

    path: KeyPath
    message: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Places:
    """What finds the place of a finding. Two of them are equal: moving a line changes no configuration."""

    files: tuple[str, ...] = field(default=(), compare=False)
    """The files in the order they were read, the main one first."""
    lines: Mapping[KeyPath, tuple[str, int | None]] = field(default_factory=dict, compare=False)
    """File and line of each key; for a key from the environment, the variable in words and None."""
    names: Mapping[KeyPath, str] = field(default_factory=dict, compare=False)
    """Slug or name of each table of a list that has one; the values themselves stay out: one is a password."""

    def problem(self, finding: Finding) -> Problem:
        """Return the finding with its place; a key that is missing stands where its table does."""
        file, line = self.place(finding.path)
        return Problem(file, line, self.key(finding.path), finding.message, finding.hint)

    def problems(self, findings: Iterable[Finding]) -> tuple[Problem, ...]:
        """Return each finding once, with its place, in the order of files and lines."""
        return self.in_order(self.problem(finding) for finding in findings)

    def in_order(self, problems: Iterable[Problem]) -> tuple[Problem, ...]:
        """Return each problem once, in the order of files and lines; those of the environment come last."""
        return tuple(sorted(dict.fromkeys(problems), key=self._order))

    def place(self, path: KeyPath) -> tuple[str, int | None]:
        """Return file and line of the key, else of the nearest table around it."""
        for length in range(len(path), 0, -1):
            if found := self.lines.get(path[:length]):
                return found
        return (self.files[0] if self.files else "configuration", None)

    def key(self, path: KeyPath) -> str:
        """Write a path: `newsletters.weekly-digest.frequencies.weekly.at`, by index where a table has no name."""
        text = ""
        for index, part in enumerate(path):
            if isinstance(part, int):
                name = self.names.get(path[: index + 1])
                text += f".{name}" if name else f"[{part}]"
            else:
                text += "." * bool(text) + (part if _BARE.match(part) else f"'{part}'")
        return text

    def _order(self, problem: Problem) -> tuple[int, str, int]:
        file = self.files.index(problem.file) if problem.file in self.files else len(self.files)
        return file, problem.file, problem.line or 0


def names_of(raw: Mapping[str, Any]) -> dict[KeyPath, str]:
    """Return the slug or name of each table of a top-level list, where it may stand in a path."""
    names: dict[KeyPath, str] = {}
    for key, tables in raw.items():
        for index, table in enumerate(tables if isinstance(tables, list) else []):
            given = (table.get(label) for label in ("slug", "name")) if isinstance(table, dict) else ()
            name = next((name for name in given if isinstance(name, str) and _BARE.match(name)), "")
            if name:
                names[(key, index)] = name
    return names
