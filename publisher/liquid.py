"""The few Liquid tags of a Jekyll archive, reduced to plain Markdown."""

from __future__ import annotations

from collections.abc import Callable, Mapping


def has_liquid(text: str) -> bool:
    """Whether there is anything for `liquid` to do."""
    raise NotImplementedError


def liquid(text: str, *, site: Mapping[str, str], link: Callable[[str], str | None] | None = None) -> str:
    """Return the text without Liquid."""
    raise NotImplementedError
