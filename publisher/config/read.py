"""TOML files as they stand: their values, the lines of their keys, their paths made absolute."""

from __future__ import annotations

import os
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from publisher.errors import Problem
from publisher.toml_lines import KeyPath, key_lines

_AT = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)\Z")
_HINTS = {
    "Invalid value": 'text needs quotes, for example key = "text"',
    "Cannot overwrite a value": "the key stands there twice",
    "Expected newline or end of document after a statement": 'one key to a line; a quote inside text is written \\"',
    "Expected '=' after a key in a key/value pair": "a comment begins with #",
}


@dataclass(frozen=True, slots=True)
class Parsed:
    """One file: its values and the line of each key."""

    file: Path
    raw: dict[str, Any]
    lines: dict[KeyPath, int]


def parse(file: Path) -> Parsed | Problem:
    """Read a TOML file, in UTF-8 with or without byte order mark; what prevents it is returned as a problem."""
    try:
        if not file.is_file():
            return Problem(str(file), None, "", "is not a file" if file.exists() else "there is no such file")
        data = file.read_bytes()
    except OSError as error:
        return Problem(str(file), None, "", f"cannot be read: {error.strerror or error}")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        return Problem(str(file), line, "", "is not UTF-8 text", "save it in the encoding UTF-8")
    if not text.strip():
        return Problem(str(file), None, "", "is empty")
    try:
        return Parsed(file, tomllib.loads(text), key_lines(text))
    except tomllib.TOMLDecodeError as error:
        return _syntax(file, text, str(error))
    except RecursionError:
        return Problem(str(file), None, "", "nests lists and tables too deeply")


def resolve(raw: dict[str, Any], base: Path, keys: tuple[str, ...]) -> None:
    """Make the paths under these keys of a table absolute, counted from `base`, without following links."""
    for key in keys:
        value = raw.get(key)
        # An empty path or one with NUL is judged as it stands.
        if isinstance(value, str) and value and "\0" not in value:
            raw[key] = os.path.normpath(base / value)


def _syntax(file: Path, text: str, message: str) -> Problem:
    where = _AT.search(message)
    what = message[: where.start()] if where else message
    hint = _HINTS.get(what, "")
    if where and where[1]:
        line, column = int(where[1]), f", at column {where[2]}"
    else:
        line, column = len(text.splitlines()), ", at the end of the file"
    return Problem(str(file), line, "", f"is not valid TOML{column}: {what[0].lower()}{what[1:]}", hint)
