"""Tables of any make become numbered rows; whatever else a file holds is refused or named by its row."""

from __future__ import annotations

import csv
import io
import tracemalloc
import zipfile
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from publisher.errors import RefusedError
from publisher.subscriptions.seen import Seen
from publisher.subscriptions.tables import ROW_LIMIT, Row, Table, line_of, neutral, original


def read(data: bytes) -> tuple[list[str], list[Row]]:
    """The header and the rows of a file."""
    table = Table(io.BytesIO(data), "readers.csv")
    return table.header, list(table.rows())


def cells(data: bytes) -> list[list[str]]:
    """The rows of a file without fault."""
    rows = read(data)[1]
    assert [row.problem for row in rows] == [""] * len(rows)
    return [list(row.cells) for row in rows]


@pytest.mark.parametrize("bom", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("ends", [b"\n", b"\r\n"])
@pytest.mark.parametrize("delimiter", [b",", b";", b"\t"])
def test_every_usual_spelling_of_a_table_is_read(bom: bytes, ends: bytes, delimiter: bytes) -> None:
    """G4: BOM, `;`, `,` and tab, either line end, quoted cells with all of these inside."""
    lines = [b"email|name", b'a@b.example|"Ana ""A"", x; y\tz\nB"', b"", b"c@d.example|", b"|", b'"e@f.example"|E']
    data = bom + ends.join(line.replace(b"|", delimiter) for line in lines)
    header, rows = read(data)
    assert header == ["email", "name"]
    assert [(row.number, list(row.cells)) for row in rows] == [
        (2, ["a@b.example", 'Ana "A", x; y\tz\nB']),
        (4, ["c@d.example", ""]),
        (6, ["e@f.example", "E"]),
    ]


def test_a_spreadsheets_hint_names_the_delimiter() -> None:
    assert read(b"sep=;\r\nemail;name\r\na@b.example;x,y\r\n")[0] == ["email", "name"]


def test_wrong_rows_are_named_and_the_others_are_read() -> None:
    """G4: a stray quote, a long line, NUL, another encoding, missing and superfluous cells."""
    data = (
        b"email,name\n"
        b'one@b.example,"open\n'
        b"two@b.example,Two\n"
        b"three@b.example," + b"x" * (2 * ROW_LIMIT) + b"\n"
        b"four@b.example,Jos\xe9\n"
        b"five@b.example,\0\n"
        b"six@b.example\n"
        b"seven@b.example,7,8\n"
        b"eight@b.example,8,,\n"
        b'nine@b.example,"9"9\n'
        b"ten@b.example,Ten\n"
    )
    assert [(row.number, row.line, row.cells[0] if row.cells else row.problem) for row in read(data)[1]] == [
        (2, 2, "has a quote that is not closed"),
        (3, 3, "two@b.example"),
        (4, 4, "is longer than 256 KiB; is a line break missing?"),
        (
            5,
            5,
            "is not UTF-8 (byte 19 of its line is 0xE9); save it as 'CSV UTF-8', for example from a spreadsheet",
        ),
        (6, 6, "holds a NUL byte (byte 16 of its line)"),
        (7, 7, "has 1 cell where the header has 2"),
        (8, 8, "has 3 cells where the header has 2"),
        (9, 9, "eight@b.example"),
        (10, 10, "is wrong: ',' expected after '\"'"),
        (11, 11, "ten@b.example"),
    ]


def test_a_quote_left_open_swallows_no_row_after_it() -> None:
    """G4: two stray quotes far apart are two wrong rows, not one long cell."""
    good = b"".join(b"r%d@b.example,%d\n" % (n, n) for n in range(50))
    for end in (b"y", b'y"', b'"y'):
        rows = read(b'email,name\na@b.example,"x\n' + good + b"b@b.example," + end + b"\n" + good)[1]
        assert len(rows) == 102
        assert [row.number for row in rows if row.problem] == ([2, 53] if end == b'"y' else [2])


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Excel workbook"),
        (b"\x1f\x8b\x08\0", "compressed with gzip"),
        (b"%PDF-1.7", "a PDF document"),
        ("email;name\n".encode("utf-16"), "text in UTF-16"),
        ("email;name\n".encode("utf-16-le"), "holds NUL bytes"),
        (b"<!doctype html><title>Log in</title>", "a web page"),
        (b"email,name\ra@b.example,x\r", "lines end with CR alone"),
        (b"", "is empty"),
        (b"\n\n", "is empty"),
        (b"email\xff,name\n", "row 1, which must name the columns, is not UTF-8"),
        (b'"email,name\na,b\n', "row 1, which must name the columns, has a quote that is not closed"),
    ],
)
def test_what_is_no_table_is_refused_by_its_first_bytes(data: bytes, kind: str) -> None:
    """G9, G4."""
    with pytest.raises(RefusedError, match=kind):
        read(data)


def test_a_workbook_called_csv_is_refused() -> None:
    """G9."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("xl/workbook.xml", "<workbook/>")
    with pytest.raises(RefusedError, match="a ZIP archive or an Excel workbook"):
        read(file.getvalue())


class Endless(io.RawIOBase):
    """A file that makes its bytes up while it is read."""

    def __init__(self, start: bytes, length: int) -> None:
        self.start, self.left, self.place = start, length, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        assert (offset, whence) == (0, 0)
        self.left += max(0, self.place - len(self.start))
        self.place = 0
        return 0

    def readinto(self, buffer: bytearray) -> int:  # type: ignore[override]  # typeshed's name for the same buffer
        if self.place < len(self.start):
            data = self.start[self.place : self.place + len(buffer)]
        else:
            data = b"x" * min(len(buffer), self.left)
            self.left -= len(data)
        buffer[: len(data)] = data
        self.place += len(data)
        return len(data)


@pytest.mark.parametrize("start", [b"email,name\na@b.example,", b'email,name\na@b.example,"'])
def test_a_line_of_a_hundred_megabytes_needs_no_memory(start: bytes) -> None:
    """G4."""
    file: Any = Endless(start, 100_000_000)  # typeshed asks a raw file for more than the library does
    table = Table(io.BufferedReader(file), "long.csv")
    tracemalloc.start()
    try:
        rows = list(table.rows())
        assert tracemalloc.get_traced_memory()[1] < 8 * ROW_LIMIT
    finally:
        tracemalloc.stop()
    assert [(row.number, bool(row.problem)) for row in rows] == [(2, True)]
    assert table.bytes_read == len(start) + 100_000_000


@given(st.binary(max_size=300), st.sampled_from([b"", b"email,name\n", b'email;name\n"', b"a\tb\n"]))
def test_any_bytes_are_rows_or_a_refusal(data: bytes, start: bytes) -> None:
    """G4: nothing else is ever raised, and every row has cells for the header or a problem."""
    try:
        header, rows = read(start + data)
    except RefusedError:
        return
    assert all(row.problem or len(row.cells) >= len(header) for row in rows)
    numbers = [row.number for row in rows]
    assert numbers == sorted(set(numbers))


words = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20)
risky = st.builds(str.__add__, st.sampled_from(["'", "''", "=", "+", "-", "@", "\t", "\r", "\n", "'=", "＝"]), words)


@given(st.lists(st.one_of(words, risky), min_size=2, max_size=5).filter(any))
def test_what_is_written_is_read_back_exactly_and_is_no_formula(row: list[str]) -> None:
    """G6: the round trip is exact, here and through any other reader of CSV."""
    data = (",".join(f"c{n}" for n in range(len(row))) + "\r\n" + line_of(row)).encode()
    (found,) = read(data)[1]
    assert [original(cell) for cell in found.cells] == row
    (_, elsewhere) = csv.reader(io.StringIO(data.decode(), newline=""))
    assert elsewhere == list(found.cells)
    assert not any(cell[:1] in set("=+-@\t\r\n＝＋－＠") for cell in elsewhere if cell)


@pytest.mark.parametrize("cell", ["=cmd|' /C calc'!A0", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1"])
def test_a_formula_is_neutralised_with_an_apostrophe(cell: str) -> None:
    """G6."""
    assert neutral(cell) == f"'{cell}"
    assert original(f"'{cell}") == cell
    assert (neutral("O'Neil"), original("'tis")) == ("O'Neil", "'tis")


@given(st.lists(st.text(max_size=4), max_size=200))
def test_a_row_is_new_once(texts: list[str]) -> None:
    seen, known = Seen(), set[str]()
    for text in texts:
        assert seen.add(text) is (text not in known)
        known.add(text)


def test_a_set_of_many_grows() -> None:
    seen = Seen()
    assert all(seen.add(str(number)) for number in range(10_000))
    assert not any(seen.add(str(number)) for number in range(10_000))
