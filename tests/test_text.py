"""Plain strings: the table of what strangers write, and what holds for any Unicode."""

from __future__ import annotations

import re
import unicodedata

import pytest
import regex
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from publisher.model import Status
from publisher.text import clean, content_hash, direction, excerpt, one_line, slugify, truncate, wrap

# Every code point, lone surrogates among them, with the ones that do harm made frequent.
anything = st.text(
    st.one_of(
        st.characters(codec=None),
        st.sampled_from(
            "\x00\x0b\r\n\t \x85\u2028\u200b\u200c\u200d\u200e\u200f\u202e\u2066\ufeff\ufffe\ud800\udfff"
            "\U0001f468\U0001f3f4\U000e0067\U000e007f\ufe0f\u0301می\u0915\u094dабв&<>]"
        ),
    )
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a\x00b\x0bc\ufffed\uffff", "abcd"),
        ("\ud800x\udfff", "x"),
        ("tab\tline\nreturn\r", "tab\tline\nreturn\r"),
        ("]]> & < \U0001f600 Минск שלום العربية", "]]> & < \U0001f600 Минск שלום العربية"),
        ("\x85\u2028\u200d\u202e", "\x85\u2028\u200d\u202e"),
    ],
)
def test_clean_removes_what_xml_forbids_and_nothing_else(text: str, expected: str) -> None:
    """FR-X2."""
    assert clean(text) == expected


@given(anything)
def test_any_text_can_stand_in_xml_once_it_is_clean(text: str) -> None:
    """FR-X2: lxml raises on what XML forbids, and the parser gives back what was written."""
    element = etree.Element("title")
    element.text = clean(text)
    parsed = etree.fromstring(etree.tostring(element, encoding="utf-8"))
    assert (parsed.text or "") == clean(text)
    assert clean(clean(text)) == clean(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a\r\nBcc: x@example.org", "a Bcc: x@example.org"),
        ("a\x00b", "ab"),
        ("a\x0bb\u2028c\u00a0d", "a b c d"),
        ("  two\t words \n", "two words"),
        ("pay\u202etxt.exe\u202c", "paytxt.exe"),
        ("\u2066isolated\u2069", "isolated"),
        ("in\u200bvis\u200bi\u2060ble\ufeff", "invisible"),
        ("lat\u200din", "latin"),
        ("soft\u00adhyphen", "softhyphen"),
        ("👨‍👩‍👧 family", "👨‍👩‍👧 family"),
        ("می‌خواهم", "می‌خواهم"),
        ("क्‍ष", "क्‍ष"),
        ("emoji\u200d\u200d\u200d👨", "emoji👨"),
        ("🏴󠁧󠁢󠁥󠁮󠁧󠁿 England", "🏴󠁧󠁢󠁥󠁮󠁧󠁿 England"),
        ("hidden\U000e0041\U000e0042", "hidden"),
        ("עברית\u200f!", "עברית\u200f!"),
        ("a\u200f\u200f\u200fb", "a\u200fb"),
        ("\u200f \u200e", ""),
        (" \t\u200b\n", ""),
        ("", ""),
    ],
)
def test_one_line_holds_no_line_end_and_nothing_invisible(text: str, expected: str) -> None:
    """H8, A13, B33."""
    assert one_line(text) == expected


@given(anything)
def test_one_line_of_any_text_is_one_clean_line(text: str) -> None:
    """H8: no control, no override of direction, no run of invisible characters, and doing it twice changes nothing."""
    line = one_line(text)
    assert line == " ".join(line.split()) == one_line(line) == clean(line)
    assert not any(unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") for character in line)
    assert not re.search("[\u200b\u202a-\u202e\u2066-\u2069\ufeff]|[\u200c-\u200f]{2}", line)


@pytest.mark.parametrize(
    ("text", "limit", "expected"),
    [
        ("short", 5, "short"),
        ("longer", 5, "long…"),
        ("e\u0301" * 4, 4, "e\u0301…"),
        ("ab👨‍👩‍👧c", 5, "ab…"),
        ("🇧🇾🇧🇾🇧🇾", 4, "🇧🇾…"),
        ("ends with  space", 11, "ends with…"),
        ("x" + "\u0301" * 50, 10, "x" + "\u0301" * 8 + "…"),
        ("anything", 0, ""),
        ("anything", 1, "…"),
    ],
)
def test_truncate_never_divides_what_is_seen_as_one_character(text: str, limit: int, expected: str) -> None:
    """A13: a title of 10,000 characters is cut at a grapheme border in the subject."""
    assert truncate(text, limit) == expected


@given(anything, st.integers(0, 40))
def test_truncate_keeps_the_limit_and_a_border_of_graphemes(text: str, limit: int) -> None:
    """A13."""
    cut = truncate(text, limit)
    assert len(cut) <= limit or cut == text
    assert cut == text or text.startswith(cut.removesuffix("…"))
    graphemes = regex.findall(r"\X", text)
    borders = {"".join(graphemes[:count]).rstrip() for count in range(len(graphemes) + 1)}
    first_fits = bool(graphemes) and len(graphemes[0]) < limit
    assert cut == text or not first_fits or cut.removesuffix("…") in borders


@pytest.mark.parametrize(
    ("text", "limit", "expected"),
    [
        ("One paragraph.\n\nAnother one.", 280, "One paragraph. Another one."),
        ("The quick brown fox", 12, "The quick…"),
        ("The quick, brown fox", 13, "The quick…"),
        ("Слово «кавычки»", 8, "Слово…"),
        ("a " + "x" * 50, 20, "a " + "x" * 17 + "…"),
        ("これは長い文章です。空白はありません。", 10, "これは長い文章です…"),
        ("", 10, ""),
    ],
)
def test_excerpt_ends_at_a_word(text: str, limit: int, expected: str) -> None:
    assert excerpt(text, limit) == expected


@given(anything, st.integers(1, 60))
def test_excerpt_keeps_the_limit(text: str, limit: int) -> None:
    assert len(excerpt(text, limit)) <= limit


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Jekyll 3.4.1 Released!", "jekyll-3-4-1-released"),
        ("Минск ищет гарантии безопасности", "minsk-ishchet-garantii-bezopasnosti"),
        ("Эйфория у подъёма", "eyforiya-u-podyoma"),
        ("Беларускі шлях і ўрад, аб'ява", "belaruski-shlyakh-i-urad-abyava"),
        ("и\u0306од", "yod"),
        ("Straße Łódź Ærø", "strasse-lodz-aero"),
        ("日本語", "fallback"),
        ("…", "fallback"),
        ("word " * 40, "-".join(["word"] * 16)),
        ("x" * 100, "x" * 80),
    ],
)
def test_slugs_are_ascii_words(text: str, expected: str) -> None:
    assert slugify(text, "fallback") == expected


@given(anything)
def test_any_slug_fits_an_address(text: str) -> None:
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", slugify(text, "x"))
    assert len(slugify(text, "x")) <= 80


@pytest.mark.parametrize(
    ("language", "expected"),
    [
        ("en", "ltr"),
        ("ru", "ltr"),
        ("he", "rtl"),
        ("ar-EG", "rtl"),
        ("fa_IR", "rtl"),
        ("az-Arab", "rtl"),
        ("ks-Deva", "ltr"),
        ("", "ltr"),
    ],
)
def test_direction_follows_the_script_then_the_language(language: str, expected: str) -> None:
    """FR-X14."""
    assert direction(language) == expected


def test_wrap_breaks_long_lines_and_leaves_the_others() -> None:
    """M5."""
    text = "Short line, twice  spaced\n\n- " + "word " * 12 + "\n10. " + "слово " * 8 + "\n-- "
    assert wrap(text, 30) == (
        "Short line, twice  spaced\n\n"
        "- word word word word word\n  word word word word word\n  word word\n"
        "10. слово слово слово слово\n    слово слово слово слово\n-- "
    )


def test_wrap_never_breaks_an_address() -> None:
    """M5: a broken address is a dead link."""
    address = "https://example.org/" + "very-long-path/" * 8
    assert wrap(f"Read it here: {address} and answer", 40) == f"Read it here:\n{address}\nand answer"


def test_wrap_counts_wide_characters_as_two_and_keeps_graphemes_whole() -> None:
    family = "👨‍👩‍👧"
    assert wrap("漢字" * 6, 10) == "漢字漢字漢\n字漢字漢字\n漢字"
    assert wrap(family * 5, 4) == f"{family * 2}\n{family * 2}\n{family}"
    assert wrap("e\u0301" * 12, 10) == "e\u0301" * 10 + "\n" + "e\u0301" * 2


@given(st.text(st.sampled_from("ab я漢\u0301👨\u200d\t\n-1.) /:h"), max_size=200), st.integers(2, 30))
def test_wrapping_loses_nothing_but_spaces(text: str, width: int) -> None:
    wrapped = wrap(text, width)
    assert re.sub(r"[ \t\n]", "", wrapped) == re.sub(r"[ \t\n]", "", text)


def test_the_content_hash_tells_what_a_reader_would_notice() -> None:
    """DESIGN §4: a hash that is too shy announces edits twice, one that is too bold hides them."""
    base = content_hash(title="T", html="<p>x</p>", summary="x")
    others = {
        content_hash(title="U", html="<p>x</p>", summary="x"),
        content_hash(title="T", html="<p>y</p>", summary="x"),
        content_hash(title="T", html="<p>x</p>", summary="y"),
        content_hash(title="T", html="<p>x</p>", summary="x", status=Status.IMPROVED),
        content_hash(title="T", html="<p>x</p>", summary="x", image_url="https://example.org/a.png"),
        content_hash(title="T", html="<p>x</p>", summary="x", credit="https://example.org/a.png"),
        content_hash(title="T<p>", html="x</p>", summary="x"),
    }
    assert len(others | {base}) == 8
    # Stored with every article: another value would make a whole archive look edited.
    assert base == "cc9c975b49645ac5e191539ce718b8e980706c2949ee8f29983d5e4fb5c83d40"
