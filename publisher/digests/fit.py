"""How a mail comes to fit: what Gmail would cut says less, and the editor is told."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

from publisher.digests.compose import Limits
from publisher.errors import RenderError

HTML_LIMIT = 100 * 1024
"""Octets of the HTML part (M4): Gmail cuts what is longer than about 102 KB, and the unsubscribe link with it."""

HTML_WARNING = 90 * 1024
"""From here on the editor is told: there is no room for much more (M4)."""


class Fit(NamedTuple):
    """How one segment's mail came to fit."""

    size: int
    """Octets of its HTML part."""
    shortened: bool
    """Whether it has summaries in the place of full texts."""
    behind: int
    """How many articles more it would show without the limit."""


def smaller(limits: Limits, shown: int, size: int) -> Limits:
    """Say less: summaries for full texts, then fewer articles, the rest on the web (M4).

    `shown` articles took `size` octets. Raises RenderError when one article alone is too much.
    """
    if limits.content == "full":
        return replace(limits, content="summary")
    if shown <= 1:
        raise RenderError(f"a mail with one article is {size} bytes, more than {HTML_LIMIT}: make the template smaller")
    return replace(limits, total=max(1, min(shown - 1, shown * HTML_LIMIT // size)))


def warnings(fits: Sequence[Fit]) -> Iterator[str]:
    """Yield in sentences what mails lack because they would be too large, and how near the limit the largest is."""
    limit = f"{HTML_LIMIT // 1024} KB, where Gmail cuts"
    if number := sum(fit.shortened for fit in fits):
        yield f"{_segments(number)} summaries instead of full texts, to stay below {limit}"
    if number := sum(fit.behind > 0 for fit in fits):
        behind = max(fit.behind for fit in fits)
        yield f"{_segments(number)} up to {behind} articles only on the web, to stay below {limit}"
    if number := sum(fit.size > HTML_WARNING for fit in fits):
        largest = max(fit.size for fit in fits) // 1024
        yield f"{_segments(number)} over {HTML_WARNING // 1024} KB of HTML, at most {largest} KB; the limit is {limit}"


def _segments(number: int) -> str:
    return "1 segment has" if number == 1 else f"{number} segments have"
