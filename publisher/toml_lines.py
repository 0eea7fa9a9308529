"""The line on which each key of a TOML text stands, which tomllib does not tell."""

from __future__ import annotations

import re
from bisect import bisect_right

KeyPath = tuple[str | int, ...]
"""Keys and indices from the root: `("newsletters", 0, "frequencies", "weekly", "at")`."""

_BLANK = re.compile(r"[ \t]*")
_GAP = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_BASIC = re.compile(r'"((?:[^"\\\n]|\\.)*)"')
_LITERAL = re.compile(r"'([^'\n]*)'")
# Up to two quotation marks may stand right before the closing three, so five can end a multi-line string.
_LONG_BASIC = re.compile(r'"""(?:[^"\\]|\\.|"{1,2}(?!"))*"{3,5}', re.DOTALL)
_LONG_LITERAL = re.compile(r"'''(?:[^']|'{1,2}(?!'))*'{3,5}")
_SCALAR = re.compile(r"[^,\[\]{}#\n]+")
_ESCAPE = re.compile(r"\\(?:u([0-9A-Fa-f]{4})|U([0-9A-Fa-f]{8})|(.))")
_LETTERS = {"b": "\b", "t": "\t", "n": "\n", "f": "\f", "r": "\r", '"': '"', "\\": "\\"}


def key_lines(text: str) -> dict[KeyPath, int]:
    """Return the 1-based line of every table, key and array element of `text`.

    `text` must be TOML that tomllib accepts; of other text this may raise ValueError or find too little. A table that
    only longer headers imply (`a` of `[a.b]`) stands where it is first implied.
    """
    scanner = _Scanner(text)
    scanner.document()
    return scanner.lines


class _Scanner:
    """One pass over the text; it follows the grammar just far enough to know where keys and elements begin."""

    def __init__(self, text: str) -> None:
        self.lines: dict[KeyPath, int] = {}
        self._text = text
        self._at = 0
        self._breaks = [match.end() for match in re.finditer(r"\n", text)]
        self._counts: dict[KeyPath, int] = {}  # tables so far in each array of tables

    def document(self) -> None:
        table: KeyPath = ()
        self._skip(_GAP)
        while self._at < len(self._text):
            if self._text[self._at] == "[":
                table = self._header()
            else:
                self._pair(table)
            self._skip(_GAP)

    def _header(self) -> KeyPath:
        line = self._line()
        brackets = 2 if self._text.startswith("[[", self._at) else 1
        self._at += brackets
        *parents, last = self._key()
        self._at += brackets
        path: KeyPath = ()
        for part in parents:
            path = (*path, part)
            self.lines.setdefault(path, line)
            if path in self._counts:
                path = (*path, self._counts[path] - 1)
        path = (*path, last)
        if brackets == 1:
            self.lines[path] = line
            return path
        self.lines.setdefault(path, line)
        self._counts[path] = self._counts.get(path, 0) + 1
        path = (*path, self._counts[path] - 1)
        self.lines[path] = line
        return path

    def _pair(self, table: KeyPath) -> None:
        line = self._line()
        path = table
        for part in self._key():
            path = (*path, part)
            self.lines.setdefault(path, line)
        self._expect("=")
        self._skip(_BLANK)
        self._value(path)

    def _key(self) -> list[str]:
        parts = [self._key_part()]
        while self._text.startswith(".", self._at):
            self._at += 1
            parts.append(self._key_part())
        return parts

    def _key_part(self) -> str:
        self._skip(_BLANK)
        if basic := self._skip(_BASIC):
            part = _ESCAPE.sub(_unescape, basic[1])
        elif literal := self._skip(_LITERAL):
            part = literal[1]
        elif bare := self._skip(_BARE_KEY):
            part = bare[0]
        else:
            raise ValueError(f"line {self._line()}: a key is expected")
        self._skip(_BLANK)
        return part

    def _value(self, path: KeyPath) -> None:
        if self._text.startswith("[", self._at):
            self._array(path)
        elif self._text.startswith("{", self._at):
            self._inline_table(path)
        elif not any(self._skip(form) for form in (_LONG_BASIC, _LONG_LITERAL, _BASIC, _LITERAL, _SCALAR)):
            raise ValueError(f"line {self._line()}: a value is expected")

    def _array(self, path: KeyPath) -> None:
        self._expect("[")
        self._skip(_GAP)
        index = 0
        while not self._text.startswith("]", self._at):
            self.lines[(*path, index)] = self._line()
            self._value((*path, index))
            index += 1
            self._separator("]")
        self._expect("]")

    def _inline_table(self, path: KeyPath) -> None:
        self._expect("{")
        self._skip(_GAP)
        while not self._text.startswith("}", self._at):
            self._pair(path)
            self._separator("}")
        self._expect("}")

    def _separator(self, end: str) -> None:
        self._skip(_GAP)
        if not self._text.startswith(end, self._at):
            self._expect(",")
            self._skip(_GAP)

    def _expect(self, character: str) -> None:
        if not self._text.startswith(character, self._at):
            raise ValueError(f"line {self._line()}: {character!r} is expected")
        self._at += 1

    def _skip(self, form: re.Pattern[str]) -> re.Match[str] | None:
        match = form.match(self._text, self._at)
        if match:
            self._at = match.end()
        return match

    def _line(self) -> int:
        return bisect_right(self._breaks, self._at) + 1


def _unescape(match: re.Match[str]) -> str:
    digits = match[1] or match[2]
    return chr(int(digits, 16)) if digits else _LETTERS.get(match[3], match[0])
