"""Which of the publication's languages a request is answered in."""

from __future__ import annotations

from collections.abc import Sequence


def choose(asked: str | None, accept: str, offered: Sequence[str], default: str) -> str:
    """Return one of `offered`: the one asked for, else the best of Accept-Language (RFC 9110 §12.5.4), else `default`.

    A primary subtag matches: `ru-BY` is served `ru`.
    """
    for wanted in ([asked] if asked else []) + ranked(accept):
        for choice in offered:
            if wanted.lower() == choice.lower():
                return choice
        primary = wanted.lower().partition("-")[0]
        for choice in offered:
            if primary == choice.lower().partition("-")[0]:
                return choice
    return default


def ranked(accept: str) -> list[str]:
    """Return the tags of an Accept-Language header, best first; what cannot be read counts as not wanted."""
    wanted = []
    for position, part in enumerate(accept.split(",")[:32]):
        tag, _, parameters = part.strip().partition(";")
        quality = 1.0
        name, _, number = parameters.strip().partition("=")
        if name.strip() == "q":
            try:
                quality = float(number)
            except ValueError:
                quality = 0.0
        if tag and tag != "*" and 0 < quality <= 1:
            wanted.append((-quality, position, tag))
    return [tag for _, _, tag in sorted(wanted)]
