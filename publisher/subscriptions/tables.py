"""Tables as spreadsheets and other services save them: bytes become numbered rows, whatever else is in the file."""

from __future__ import annotations

import csv
import hashlib
import re
from collections import deque
from collections.abc import Iterator, Sequence
from typing import BinaryIO, NamedTuple

from publisher.errors import RefusedError

ROW_LIMIT = 256 * 1024
"""Bytes a row may have: a person's row has some hundred, one of a service with many notes some thousand (G4)."""

_DELIMITERS = ",;\t"
_BOM = b"\xef\xbb\xbf"
# What a file begins with tells what it is, whatever its name says (G9).
_FOREIGN = (
    (b"PK\x03\x04", "a ZIP archive or an Excel workbook (.xlsx)"),
    (b"PK\x05\x06", "an empty ZIP archive"),
    (b"\xd0\xcf\x11\xe0", "an old Excel workbook (.xls)"),
    (b"\x1f\x8b", "compressed with gzip"),
    (b"BZh", "compressed with bzip2"),
    (b"7z\xbc\xaf", "a 7-Zip archive"),
    (b"\xfd7zXZ", "compressed with xz"),
    (b"%PDF", "a PDF document"),
    (b"SQLite format 3", "a SQLite database"),
    (b"\xff\xfe", "text in UTF-16"),
    (b"\xfe\xff", "text in UTF-16"),
    (b"{\\rtf", "an RTF document"),
    (b"<!DOC", "a web page"),
    (b"<html", "a web page"),
)
_SAVE_AS = "save it as 'CSV UTF-8', for example from a spreadsheet"

# A spreadsheet takes a cell that begins so for a formula (OWASP, "CSV injection"); the wide forms count in East Asia.
_FORMULA = re.compile("'*[=+\\-@\t\r\n＝＋－＠]")
_QUOTED = re.compile('[",;\t\r\n]|^\\s|\\s$')


class Row(NamedTuple):
    """One row of a table."""

    number: int
    """As a spreadsheet counts: the header is row 1."""
    line: int
    """The line of the file where it begins, from 1."""
    cells: Sequence[str]
    problem: str = ""
    """Why it cannot be read; there are no cells then."""


class _Line(NamedTuple):
    number: int
    data: bytes
    too_long: bool = False


class Table:
    """A table that is being read, once, from a binary file; memory is bounded whatever the file holds.

    Raises RefusedError when the file as a whole is no table in UTF-8.
    """

    def __init__(self, file: BinaryIO, name: str) -> None:
        self.name = name
        self._file = file
        self._digest = hashlib.sha256()
        self._read = 0
        self._held: deque[_Line] = deque()
        self._line = 0
        self.header: list[str] = []
        self._check_kind()
        self.delimiter, self.header = self._header()

    @property
    def digest(self) -> str:
        """SHA-256 of what was read so far: of the whole file when all rows were."""
        return self._digest.hexdigest()

    @property
    def bytes_read(self) -> int:
        """How much of the file was read so far."""
        return self._read

    def rows(self) -> Iterator[Row]:
        """Yield every row but the header and blank ones; a row that cannot be read says why."""
        number = 1
        width = len(self.header)
        while (line := self._next()) is not None:
            number += 1
            row = self._row(number, line)
            if row.problem:
                yield row
                continue
            cells = row.cells
            if len(cells) != width:
                if not any(cells):
                    continue
                if len(cells) < width or any(cells[width:]):
                    problem = f"has {_cells(len(cells))} where the header has {width}"
                    yield Row(number, line.number, (), problem)
                    continue
            elif not any(cells):
                continue
            yield row

    def _check_kind(self) -> None:
        start = self._file.read(4096)
        self._file.seek(0)
        for magic, kind in _FOREIGN:
            if start[: len(magic)].lower() == magic.lower():
                raise RefusedError(f"{self.name}: this is {kind}, not CSV; {_SAVE_AS}")
        if b"\0" in start:
            raise RefusedError(f"{self.name}: holds NUL bytes, so it is not text in UTF-8; {_SAVE_AS}")
        if b"\r" in start and b"\n" not in start:
            raise RefusedError(f"{self.name}: its lines end with CR alone, as long ago on a Macintosh; {_SAVE_AS}")

    def _header(self) -> tuple[str, list[str]]:
        line = self._next()
        if line is not None and line.data.startswith(_BOM):
            line = _Line(line.number, line.data[len(_BOM) :], line.too_long)
        delimiter = ""
        if line is not None and line.data[:4].lower() == b"sep=" and len(line.data.rstrip(b"\r\n")) == 5:
            delimiter = chr(line.data[4])  # a spreadsheet's own hint
            line = self._next()
        if line is None or not line.data.strip():
            raise RefusedError(f"{self.name}: is empty; its first row must name the columns")
        if not delimiter:
            bare = re.sub(rb'"[^"]*"', b"", line.data)
            delimiter = max(_DELIMITERS, key=lambda candidate: bare.count(candidate.encode()))
        self.delimiter = delimiter
        row = self._row(1, line)
        if row.problem:
            raise RefusedError(f"{self.name}: row 1, which must name the columns, {row.problem}")
        header = [cell.strip() for cell in row.cells]
        while header and not header[-1]:
            header.pop()
        return delimiter, header

    def _row(self, number: int, line: _Line) -> Row:
        if line.too_long:
            return Row(number, line.number, (), f"is longer than {ROW_LIMIT // 1024} KiB; is a line break missing?")
        if b'"' in line.data:
            return self._quoted(number, line)
        try:
            return Row(number, line.number, _text(line.data).rstrip("\r\n").split(self.delimiter))
        except ValueError as error:
            return Row(number, line.number, (), str(error))

    def _quoted(self, number: int, first: _Line) -> Row:
        """Read a row with quotes, which may go on over several lines."""
        taken = [first]

        def lines() -> Iterator[str]:
            size = len(first.data)
            yield _text(first.data)
            while size <= ROW_LIMIT and (line := self._next()) is not None:
                taken.append(line)
                size += len(line.data)
                if line.too_long:
                    return
                yield _text(line.data)

        try:
            cells = next(csv.reader(lines(), delimiter=self.delimiter, strict=True))
        except csv.Error as error:
            problem = "has a quote that is not closed" if "unexpected end" in str(error) else f"is wrong: {error}"
        except ValueError as error:
            problem = str(error)
        else:
            if len(taken) == 1 or (len(cells) == len(self.header) and not any(map(self._swallowed, taken[1:]))):
                return Row(number, first.number, cells)
            problem = "has a quote that is not closed where its cell ends"
        # One stray quote must not swallow the rows after it: they are read again, each for itself.
        self._held.extendleft(reversed(taken[1:]))
        return Row(number, first.number, (), problem)

    def _swallowed(self, line: _Line) -> bool:
        """Whether a line inside a quoted cell looks like a row of its own, with an address and all cells."""
        inside = line.data.partition(b'"')[0]
        return b"@" in inside and inside.count(self.delimiter.encode()) == len(self.header) - 1

    def _next(self) -> _Line | None:
        if self._held:
            return self._held.popleft()
        data = self._file.readline(ROW_LIMIT)
        if not data:
            return None
        self._line += 1
        self._note(data)
        if len(data) < ROW_LIMIT or data.endswith(b"\n"):
            return _Line(self._line, data)
        while (more := self._file.readline(ROW_LIMIT)) and not more.endswith(b"\n"):
            self._note(more)
        self._note(more)
        return _Line(self._line, b"", too_long=True)

    def _note(self, data: bytes) -> None:
        self._digest.update(data)
        self._read += len(data)


def neutral(cell: str) -> str:
    """Return a cell that no spreadsheet takes for a formula (G6); `original` undoes it exactly."""
    return f"'{cell}" if _FORMULA.match(cell) else cell


def original(cell: str) -> str:
    """Return what `neutral` was given."""
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell


def line_of(cells: Sequence[str]) -> str:
    """Return the line of a table that holds these cells, neutralised; quoted also where others split at `;` or tab."""
    return ",".join(map(_cell, cells)) + "\r\n"


def _cell(text: str) -> str:
    text = neutral(text)
    return '"' + text.replace('"', '""') + '"' if _QUOTED.search(text) else text


def _text(data: bytes) -> str:
    """Decode a line. Raises ValueError that says what is wrong with it."""
    if b"\0" in data:
        raise ValueError(f"holds a NUL byte (byte {data.index(0) + 1} of its line)")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise ValueError(
            f"is not UTF-8 (byte {error.start + 1} of its line is 0x{data[error.start]:02X}); {_SAVE_AS}"
        ) from None


def _cells(number: int) -> str:
    return f"{number} cell" if number == 1 else f"{number} cells"
