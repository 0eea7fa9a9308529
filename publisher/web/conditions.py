"""What a request for a feed asks: is it changed, and in which coding (RFC 9110 §12.5.3 and §13)."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache

_TAG = re.compile(r'(?:W/)?"([^"]*)"|([^\s,"]+)')
# What proxies and we ourselves append to a tag for a coding; Apache adds "-gzip" inside the quotes and never takes it
# off again (bz 45023).
_DECORATION = re.compile(r"[-;]+(?:gzip|br|zstd|deflate|df|gz|zst)\Z")
_QUALITY = re.compile(r"(?:0(?:\.\d{0,3})?|1(?:\.0{0,3})?)\Z")
_USUAL = 200  # bytes of an Accept-Encoding; only shorter ones are remembered, so nobody can fill the memory


def coding_for(accepted: bytes | None, offered: tuple[str, ...]) -> str | None:
    """Do as `choose_coding`, fast for what clients usually send."""
    if accepted is not None and len(accepted) > _USUAL:
        return choose_coding(accepted.decode("latin-1"), offered)
    return _remembered(accepted, offered)


@lru_cache(maxsize=1024)
def _remembered(accepted: bytes | None, offered: tuple[str, ...]) -> str | None:
    return choose_coding(None if accepted is None else accepted.decode("latin-1"), offered)


def choose_coding(accepted: str | None, offered: Iterable[str]) -> str | None:
    """Return which of the offered codings to use, by Accept-Encoding (RFC 9110 §12.5.3); None when none is acceptable.

    Of equally welcome ones the first offered wins. Who says nothing gets `identity`: not every reader unpacks.
    """
    wishes = _wishes(accepted or "")

    def quality(coding: str) -> float:
        if coding in wishes:
            return wishes[coding]
        if coding == "identity":
            # Always acceptable unless excluded, but only when nothing that was asked for is there.
            return wishes["*"] if wishes.get("*") == 0 else 0.0001
        return wishes.get("*", 0.0)

    best = max(offered, key=quality)
    return best if quality(best) > 0 else None


def known_tag(if_none_match: str, ours: Collection[str]) -> str | None:
    """Return which of our entity tags (without quotes) an If-None-Match field names; None when it names none.

    Lists, weak tags, tags decorated by proxies and tags that lost their quotes are understood (FR-H3); `*` is no tag.
    """
    for match in _TAG.finditer(if_none_match):
        opaque = match[1] if match[1] is not None else match[2]
        while opaque not in ours:
            plain = _DECORATION.sub("", opaque)
            if plain == opaque:
                break
            opaque = plain
        else:
            return str(opaque)
    return None


def http_date(text: str) -> datetime | None:
    """Return the moment of an HTTP date in any of its three forms; None when it is none."""
    try:
        when = parsedate_to_datetime(text.partition(";")[0].strip())  # Netscape appended "; length=…"
        return when.replace(tzinfo=UTC) if when.tzinfo is None else when.astimezone(UTC)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def _wishes(accepted: str) -> dict[str, float]:
    wishes: dict[str, float] = {}
    for part in accepted.lower().split(","):
        coding, *parameters = (piece.strip() for piece in part.split(";"))
        coding = {"x-gzip": "gzip"}.get(coding, coding)
        if coding:
            wishes[coding] = _quality(parameters)
    return wishes


def _quality(parameters: Iterable[str]) -> float:
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            value = value.strip()
            return float(value) if _QUALITY.match(value) else 0.0  # not understood: do not risk it
    return 1.0
