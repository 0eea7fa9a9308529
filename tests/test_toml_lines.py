"""Lines of TOML keys, against what tomllib makes of the same text."""

from __future__ import annotations

import contextlib
import re
import tomllib
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from publisher.toml_lines import KeyPath, key_lines

SCALARS = (
    "1", "-2.5e3", "true", "inf", "1979-05-27 07:32:00", "07:32:00", '""', "''", '"a # [x] = \\" {"', "'lit = { [ \\'",
    '"""one\n[not.a.table]\nkey = 1\n"""', "'''\nkey = 'x'\n'''", '""""quoted""""', '"""""five"""""',
    '"""a \\\n   b\\\\"""',
    '"\\u00e9"', "'''''a'''''",
)  # fmt: skip
GAPS = ("", "\n", "# k = 1 [x]\n", "\r\n", " # '\n\t")


def walk(value: Any, path: KeyPath = ()) -> Iterator[KeyPath]:
    """Every key path and every index of a list, as tomllib sees them."""
    items: Any = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for part, inner in items:
        yield (*path, part)
        yield from walk(inner, (*path, part))


class Writer:
    """Writes a random TOML document whose keys are all different words `k1`, `k2`, …."""

    def __init__(self, draw: st.DrawFn) -> None:
        self.draw = draw
        self.count = 0

    def choose(self, *choices: str) -> str:
        return self.draw(st.sampled_from(choices))

    def times(self, most: int) -> range:
        return range(self.draw(st.integers(0, most)))

    def key(self) -> str:
        self.count += 1
        form = self.choose("{}", '"{}"', "'{}'", '"{} # = ["', "'{}.x'", '"\\u0041 {}\\t"')
        return form.format(f"k{self.count}")

    def dotted(self) -> str:
        return self.choose(".", " . ").join([self.key(), *(self.key() for _ in self.times(2))])

    def value(self, depth: int = 0) -> str:
        kind = self.choose("scalar", "scalar", "array", "inline") if depth < 3 else "scalar"
        if kind == "array":
            items = [self.choose(*GAPS) + self.value(depth + 1) + self.choose(*GAPS) for _ in self.times(3)]
            return "[" + ",".join(items) + self.choose("", ",\n" if items else "") + "]"
        if kind == "inline":
            return "{ " + ", ".join(f"{self.dotted()} = {self.value(depth + 1)}" for _ in self.times(3)) + " }"
        return self.choose(*SCALARS)

    def body(self) -> str:
        return "".join(
            f"{self.choose('', '  ')}{self.dotted()} {self.choose('=', ' = ')} {self.value()} # end\n"
            for _ in self.times(3)
        )

    def tables(self, prefix: str, depth: int) -> str:
        text = ""
        for _ in self.times(2):
            name = f"{prefix}{self.key()}"
            if self.choose("table", "array") == "table":
                if self.draw(st.booleans()) or depth > 1:
                    text += f"[{name}] # header\n{self.body()}"
                text += self.tables(f"{name}.", depth + 1) if depth < 2 else ""
            else:
                for _ in self.times(2):
                    text += f"{self.choose('', chr(10))}[[ {name} ]]\n{self.body()}"
                    text += self.tables(f"{name}.", depth + 1) if depth < 2 else ""
        return text


@st.composite
def documents(draw: st.DrawFn) -> str:
    writer = Writer(draw)
    return draw(st.sampled_from(GAPS)) + writer.body() + writer.tables("", 0)


@given(documents())
def test_every_key_has_a_line_and_the_line_contains_the_key(text: str) -> None:
    raw = tomllib.loads(text)
    lines = key_lines(text)
    assert set(lines) == set(walk(raw))
    rows = text.split("\n")
    for path, line in lines.items():
        if isinstance(path[-1], str):
            word = re.search(r"k\d+", path[-1])
            assert word
            assert re.search(rf"\b{word[0]}\b", rows[line - 1])
        else:
            assert line >= lines[path[:-1]]


@given(st.text(alphabet="ab.\"'[]{}=#\n ,1\\é", max_size=40))
def test_text_that_is_no_toml_gives_lines_or_a_value_error(text: str) -> None:
    try:
        lines = key_lines(text)
    except ValueError:
        lines = {}
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return
    assert set(lines) == set(walk(raw))


def test_tables_arrays_and_inline_tables_have_their_lines() -> None:
    text = """# comment
site.title = { en = "A", ru = "Б" }

[[newsletters]]
slug = "one"
note = \"\"\"
[[newsletters]]
slug = "no"
\"\"\"
[newsletters.frequencies.weekly]
days = [
  "mon",
  # not "tue"
  "wed",
]
[[newsletters]]
slug = "two"
frequencies."every day" = { at = "07:00" }
"""
    assert key_lines(text) == {
        ("site",): 2,
        ("site", "title"): 2,
        ("site", "title", "en"): 2,
        ("site", "title", "ru"): 2,
        ("newsletters",): 4,
        ("newsletters", 0): 4,
        ("newsletters", 0, "slug"): 5,
        ("newsletters", 0, "note"): 6,
        ("newsletters", 0, "frequencies"): 10,
        ("newsletters", 0, "frequencies", "weekly"): 10,
        ("newsletters", 0, "frequencies", "weekly", "days"): 11,
        ("newsletters", 0, "frequencies", "weekly", "days", 0): 12,
        ("newsletters", 0, "frequencies", "weekly", "days", 1): 14,
        ("newsletters", 1): 16,
        ("newsletters", 1, "slug"): 17,
        ("newsletters", 1, "frequencies"): 18,
        ("newsletters", 1, "frequencies", "every day"): 18,
        ("newsletters", 1, "frequencies", "every day", "at"): 18,
    }


@pytest.mark.parametrize("text", ["[", "a", "a = ", "a = [1", "a = {b = 1", "= 1", "[[a]"])
def test_a_cut_off_text_ends_the_search(text: str) -> None:
    """D2: an editor may be in the middle of writing; tomllib says so, and this does not hang."""
    with contextlib.suppress(ValueError):
        assert len(key_lines(text)) <= 2
