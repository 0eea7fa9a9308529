"""Colours as people see them: contrast as WCAG 2 measures it, and a shade that stands out from a ground."""

from __future__ import annotations

CARD_BY_NIGHT = "#19212b"
"""The ground of a mail's text in dark mode, as templates/mail/keep.css.j2 has it."""

SEEN = 3.0
"""Contrast of what is no text, WCAG 2 §1.4.11."""


def contrast(one: str, other: str) -> float:
    """Return the contrast ratio (1 to 21) of two colours `#rrggbb`, WCAG 2 §1.4.3."""
    darker, lighter = sorted((_luminance(one), _luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def lightened(colour: str, ground: str = CARD_BY_NIGHT, ratio: float = SEEN) -> str:
    """Return the colour mixed with as little white as it takes to stand out from a dark ground by `ratio`."""
    channels = _channels(colour)
    mixed = colour
    for percent in range(0, 101, 5):
        mixed = "#" + "".join(f"{round(part + (255 - part) * percent / 100):02x}" for part in channels)
        if contrast(mixed, ground) >= ratio:
            break
    return mixed


def _channels(colour: str) -> tuple[int, int, int]:
    red, green, blue = (int(colour[at : at + 2], 16) for at in (1, 3, 5))
    return red, green, blue


def _luminance(colour: str) -> float:
    parts = (channel / 255 for channel in _channels(colour))
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
