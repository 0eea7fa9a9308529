"""Plain strings: what may stand in XML, on one line, in a subject, in an address, in a text mail."""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import regex

# XML 1.0 §2.2, production 2 "Char": everything outside is a fatal error for a parser.
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

# Never visible and never needed on one line: C0 and C1 controls, zero-width spaces and word joiners, soft hyphens,
# invisible operators, embeddings, overrides and isolates of direction, interlinear notes, blank Hangul fillers.
_HIDDEN = re.compile("[\x00-\x1f\x7f-\x9f\u00ad\u180e\u200b\u202a-\u202e\u2060-\u206f\u3164\ufeff\uffa0\ufff0-\ufffb]")
# A joiner changes what is drawn only between two characters of a script or emoji that joins: all lie above Latin.
_JOINS = "[^\x00-\u024f\u061c\u2000-\u206f\u3000]"
_IDLE_JOINER = re.compile(f"(?<!{_JOINS})[\u200c\u200d]|[\u200c\u200d](?!{_JOINS})")
# Direction marks are honest in mixed text; a run of them is padding.
_MARK_RUN = re.compile("[\u061c\u200e\u200f]+(?=[\u061c\u200e\u200f])")
_ONLY_MARKS = re.compile("[\u061c\u200e\u200f ]*")
# Tag characters spell the flags of England, Scotland and Wales, and hide text anywhere else.
_TAGS = re.compile("(\U0001f3f4[\U000e0020-\U000e007e]{1,8}\U000e007f)|[\U000e0000-\U000e007f]")

# Whatever one of the above may remove: most lines hold none of it.
_SUSPECT = re.compile(
    "[\x00-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164\ud800-\udfff\ufeff\uffa0\ufff0-\uffff"
    "\U000e0000-\U000e007f]"
)

_ADDRESS = re.compile(r"https?://|mailto:|www\.", re.IGNORECASE)
_BULLET = re.compile(r"\s*(?:[-*•>→↑↓]\s+|\d{1,3}[.)]\s+)?")

_SLUG_LENGTH = 80

# Russian and Belarusian as passports write them, without apostrophes; the rest are letters that NFKD leaves whole.
_LATIN = str.maketrans(
    dict(zip("абвгдезийклмнопрстуфыэіўґøđðıł", "abvgdeziyklmnoprstufyeiugoddil", strict=True))
    | {"ё": "yo", "ж": "zh", "х": "kh", "ц": "ts", "ч": "ch", "ш": "sh", "щ": "shch", "ю": "yu", "я": "ya"}
    | {"є": "ye", "ї": "yi", "æ": "ae", "œ": "oe", "þ": "th"}
    | dict.fromkeys("ъь'’ʼ", "")
)

_RTL_SCRIPTS = "adlm arab aran armi hebr mand nkoo phnx rohg samr syrc thaa"
_RTL_LANGUAGES = (
    "ar arc arz azb bal bgn bqi ckb dv fa glk he iw ji khw ks lrc luz mzn nqo pnb prs ps rhg sd sdh skr syr ug ur yi"
)


@cache
def grapheme() -> regex.Pattern[str]:
    """Return the pattern of what a reader takes for one character."""
    import regex  # here: it takes a while to load, and most of what a process does is in ASCII

    return regex.compile(r"\X")


def clean(text: str) -> str:
    """Remove what XML 1.0 forbids, lone surrogates among it (FR-X2); everything else stays as it is."""
    return _NOT_XML.sub("", text)


def one_line(text: str) -> str:
    """Return the text clean, on one line, without invisible characters (H8, A13, B33).

    Joiners stay where they change what is drawn: inside emoji, in Persian and in Indic scripts.
    The result is empty when nothing visible is left.
    """
    text = " ".join(text.split())
    if not _SUSPECT.search(text):
        return text
    text = _HIDDEN.sub("", clean(text))
    text = _TAGS.sub(r"\1", text)
    text = _IDLE_JOINER.sub("", text)
    text = _MARK_RUN.sub("", text)
    text = " ".join(text.split())
    return "" if _ONLY_MARKS.fullmatch(text) else text


def excerpt(text: str, limit: int = 280) -> str:
    """Return the text on one line, cut at a word border: at most `limit` characters, the "…" among them."""
    text = " ".join(text.split())
    if len(text) <= limit:
        return text
    border = text.rfind(" ", 0, limit)
    # A border in the first half means one endless word, or a script without spaces.
    if border < limit // 2:
        return truncate(text, limit)
    cut = text[:border].rstrip(" ,;:-–—([«„“\"'")
    if cut.endswith((".", "!", "?", "…")):
        # After a whole sentence the dots stand apart, where there is room for them.
        return f"{cut}\u00a0…" if len(cut) + 2 <= limit and cut[-1] != "…" else cut
    return cut + "…"


def truncate(text: str, limit: int) -> str:
    """Cut at a grapheme border: at most `limit` characters, the "…" among them."""
    if len(text) <= limit:
        return text
    if limit < 1:
        return ""
    end = 0
    for found in grapheme().finditer(text):
        if found.end() > limit - 1:
            break
        end = found.end()
    # One grapheme may carry thousands of marks; half of it is better than nothing.
    return text[: end or limit - 1].rstrip() + "…"


def slugify(text: str, fallback: str) -> str:
    """Return lower-case ASCII words joined by hyphens, at most 80 characters; `fallback` when nothing is left.

    Russian and Belarusian are transliterated, accents dropped.
    """
    latin = unicodedata.normalize("NFC", text).casefold().translate(_LATIN)
    ascii_only = unicodedata.normalize("NFKD", latin).encode("ascii", "ignore").decode("ascii").lower()
    slug = "-".join(re.findall(r"[a-z0-9]+", ascii_only))
    if len(slug) > _SLUG_LENGTH:
        whole_words = slug[: _SLUG_LENGTH + 1].rpartition("-")[0]
        slug = whole_words or slug[:_SLUG_LENGTH]
    return slug or fallback


def direction(language: str) -> Literal["ltr", "rtl"]:
    """Return the direction of writing for a BCP 47 tag; a script in the tag outranks its language."""
    primary, *others = language.replace("_", "-").lower().split("-")
    script = next((part for part in others if len(part) == 4 and part.isalpha()), None)
    if script is not None:
        return "rtl" if script in _RTL_SCRIPTS.split() else "ltr"
    return "rtl" if primary in _RTL_LANGUAGES.split() else "ltr"


def wrap(text: str, width: int = 76) -> str:
    """Break every line longer than `width` columns; shorter lines stay as they are.

    Addresses stay whole. Wide characters count as two columns, and a grapheme is never divided. What follows a bullet,
    a number or an indent is indented likewise.
    """
    return "\n".join(part for line in text.split("\n") for part in _wrap_line(line, width))


def content_hash(
    *,
    title: str,
    html: str,
    summary: str,
    status: str | None = None,
    image_url: str | None = None,
    credit: str | None = None,
    origin: str = "",
) -> str:
    """Return the sha256 (64 hex digits) of what a reader would notice: not the date, not the path."""
    # JSON keeps the borders between the fields; ASCII escapes keep a lone surrogate from raising.
    noticed = json.dumps(
        [title, html, summary, status, image_url, credit, *([origin] if origin else [])],
        ensure_ascii=True,
        separators=(",", ":"),
    )
    return hashlib.sha256(noticed.encode("ascii")).hexdigest()


def _wrap_line(line: str, width: int) -> Iterator[str]:
    if _columns(line) <= width:
        yield line
        return
    lead = _BULLET.match(line)
    first = lead.group() if lead else ""
    indent = " " * min(_columns(first), width // 2)
    filled, columns, empty = first, _columns(first), True
    for word in _words(line[len(first) :], width - len(indent)):
        needed = _columns(word)
        if not empty and columns + 1 + needed > width:
            yield filled
            filled, columns, empty = indent, len(indent), True
        filled += word if empty else f" {word}"
        columns += needed if empty else needed + 1
        empty = False
    yield filled.rstrip()


def _words(text: str, width: int) -> Iterator[str]:
    """Yield the words of one line, those wider than `width` in pieces unless they are addresses."""
    for word in re.split(r"[ \t]+", text.strip(" \t")):
        if _columns(word) <= width or _ADDRESS.search(word):
            yield word
        else:
            yield from _pieces(word, width)


def _pieces(word: str, width: int) -> Iterator[str]:
    piece, columns = "", 0
    for found in grapheme().findall(word):
        needed = _columns(found)
        if piece and columns + needed > width:
            yield piece
            piece, columns = "", 0
        piece += found
        columns += needed
    if piece:
        yield piece


def _columns(text: str) -> int:
    """Return how many columns a terminal or a mail reader with a fixed-width font gives to the text."""
    if text.isascii():
        return len(text)
    # A grapheme is as wide as its first character: what follows are marks, joiners and selectors.
    return sum(2 if unicodedata.east_asian_width(g[0]) in "WF" else 1 for g in grapheme().findall(text))
