"""Quoted-printable and encoded-words: seven-bit lines of at most 76 that no server on the way has reason to touch."""

from __future__ import annotations

import base64
import functools
import re
from collections.abc import Iterator

from publisher.text import grapheme

LINE = 76
"""Octets of a line at most: of quoted-printable (RFC 2045 §6.7), and of a header with encoded-words (RFC 2047 §2)."""
SOFT_BREAK = b"=\r\n"

_BODY = {code: f"={code:02X}" for code in (*range(32), *range(127, 256), ord("="))}
_WORD_SAFE = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!*+-/")
_WORD = {code: chr(code) if code in _WORD_SAFE else f"={code:02X}" for code in range(256)} | {ord(" "): "_"}


def encode_body(text: str, slots: tuple[str, ...] = ()) -> bytes:
    r"""Return text as quoted-printable that ends with CRLF.

    Nothing on the way has a reason to touch it: no line starts with a dot or "From " (M3), none ends with a space, and
    no two spaces meet, so it is already what DKIM's relaxed form makes of it. Each slot stands alone on a line of its
    own, so that a value of any length fits in its place.
    """
    lines = _newlines(text).removesuffix("\n").split("\n")
    encoded = [_known_line(line, slots) if len(line) < _REMEMBERED else _encode_line(line, slots) for line in lines]
    return ("\r\n".join(encoded) + "\r\n").encode("ascii")


def _encode_line(line: str, slots: tuple[str, ...]) -> str:
    # Latin-1 is one character an octet, which lets `translate` work on octets at the speed of C.
    quoted = line.encode("utf-8", "replace").decode("latin-1").translate(_BODY).replace("  ", " =20")
    parts = [part for part in _splitter(slots).split(quoted) if part] if slots else [quoted]
    pieces = [piece for part in parts for piece in ([part] if part in slots else _pieces(part))]
    if pieces and pieces[-1].endswith(" "):
        pieces[-1:] = _pieces(pieces[-1][:-1] + "=20")
    return "=\r\n".join(pieces)


_REMEMBERED = 1_000
"""Characters of a line that is worth remembering: longer ones would fill the memory, and hardly come again."""

# The segments of an issue have most of their lines in common: the same articles in other company.
_known_line = functools.lru_cache(maxsize=8_192)(_encode_line)


@functools.lru_cache(maxsize=4)
def _splitter(slots: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("(" + "|".join(map(re.escape, slots)) + ")")


def encode_value(value: str) -> bytes:
    """Return what replaces a slot in an encoded body: one line of text, broken softly where it is long."""
    if "\n" in value or "\r" in value:
        raise ValueError(f"the value of a slot is one line, not {value!r}")
    return SOFT_BREAK.join(
        piece.encode("ascii")
        for piece in _pieces(value.encode().decode("latin-1").translate(_BODY).replace(" ", "=20"))
    )


def encode_base64(text: str) -> bytes:
    """Return text in base64, in lines of 76 that end with CRLF: shorter than quoted-printable for most alphabets."""
    raw = base64.b64encode(
        _newlines(text).removesuffix("\n").replace("\n", "\r\n").encode("utf-8", "replace") + b"\r\n"
    )
    return b"".join(raw[start : start + LINE] + b"\r\n" for start in range(0, len(raw), LINE))


def encoded_words(text: str, room: int) -> list[str]:
    """Return RFC 2047 encoded-words that decode to `text`, in whichever of B and Q needs fewer characters.

    The first is at most `room` characters, the others at most 75; they part at grapheme borders (at character borders
    where one grapheme is longer than a word).
    """
    return min((_words(text, room, scheme) for scheme in "QB"), key=lambda words: sum(map(len, words)))


def _words(text: str, room: int, scheme: str) -> list[str]:
    frame = len(f"=?utf-8?{scheme}??=")
    words: list[str] = []
    current = ""
    for unit in _units(text, scheme, LINE - 2 - frame):
        limit = (room if not words else LINE - 1) - frame
        if current and _length(current + unit, scheme) > limit:
            words.append(current)
            current = ""
        current += unit
    words.append(current)
    return [f"=?utf-8?{scheme}?{_payload(word, scheme)}?=" for word in words]


def _units(text: str, scheme: str, limit: int) -> Iterator[str]:
    for unit in grapheme().findall(text):
        if _length(unit, scheme) <= limit:
            yield unit
        else:
            yield from unit


def _length(text: str, scheme: str) -> int:
    octets = text.encode()
    if scheme == "B":
        return 4 * ((len(octets) + 2) // 3)
    return sum(len(_WORD[octet]) for octet in octets)


def _payload(text: str, scheme: str) -> str:
    octets = text.encode()
    return base64.b64encode(octets).decode("ascii") if scheme == "B" else "".join(_WORD[octet] for octet in octets)


def _newlines(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _pieces(line: str) -> list[str]:
    """Cut one quoted line (without slots) where soft breaks go; each piece but the last leaves room for its "="."""
    pieces: list[str] = []
    while True:
        line = _guard(line)
        if len(line) <= LINE - 1:  # one less than a line holds: a slot may follow, and with it a soft break
            pieces.append(line)
            return pieces
        cut = LINE - 1
        # Never inside "=XX".
        if line[cut - 1] == "=":
            cut -= 1
        elif line[cut - 2] == "=":
            cut -= 2
        pieces.append(line[:cut])
        line = line[cut:]


def _guard(line: str) -> str:
    """Hide a first dot from SMTP's dot-stuffing and a first "From " from mailbox files."""
    if line.startswith("."):
        return "=2E" + line[1:]
    if line.startswith("From "):
        return "=46" + line[1:]
    return line
