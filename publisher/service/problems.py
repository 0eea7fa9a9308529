"""What does not work at the moment, by part, with the reason."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from publisher.config import Config


class Problems(dict[str, str]):
    """What each part met last; a part that works again has no entry."""

    def note(self, what: str, problem: str | None) -> None:
        """Put down why a part does not work; None or "" when it does."""
        if problem:
            self[what] = problem
        else:
            self.pop(what, None)

    def note_feeds(self, built: Mapping[str, Any] | None) -> None:
        """Put down the first problem of feeds that were built, or that there is none."""
        if built is not None:  # else they are as they were, with the problem they had
            self.note("feeds", _first_reason(built))

    def forget_gone(self, config: Config) -> None:
        """Drop the problems of parts that the configuration has no more."""
        for what in [what for what in self if _is_gone(what, config)]:
            del self[what]


def _is_gone(what: str, config: Config) -> bool:
    """Whether a problem is one of a part that the configuration has no more."""
    kind, _, name = what.partition(" ")
    return (
        (kind == "source" and name not in [source.name for source in config.sources])
        or (kind == "newsletter" and name.partition(" ")[0] not in [one.slug for one in config.newsletters])
        or (kind == "sending" and name != "" and name.removeprefix("over ") not in config.servers)
    )


def _first_reason(built: Mapping[str, Any] | None) -> str | None:
    problems = built["problems"] if built else []
    return f"{problems[0]['path']}: {problems[0]['reason']}" if problems else None
