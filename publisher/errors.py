"""Everything that can go wrong on purpose, one sentence a class.

PublisherError
├── ConfigurationError    the configuration cannot be used; carries every problem at once   (exit 3)
├── NotFoundError         a named newsletter, source, article or reader does not exist      (exit 2)
├── RefusedError          doing it would break a promise                                    (exit 4)
├── BusyError             another process holds the data directory, or try again later      (exit 75)
├── SourceError           a source as a whole could not be collected                        (exit 1)
├── RenderError           a template could not be compiled or rendered                      (exit 1)
├── ThreadsError          the system refuses to start a thread                              (exit 1)
└── StoreError            the database is newer than the program, damaged or out of reach   (exit 1)
    └── DamageError       what is in it cannot be read                                      (exit 1)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar


class PublisherError(Exception):
    """A failure whose text tells the operator what happened and the way out."""

    exit_code: ClassVar[int] = 1


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong in one place: file, 1-based line (None: the file as a whole), key path, what, hint."""

    file: str
    line: int | None
    key: str
    message: str
    hint: str = ""

    def __str__(self) -> str:
        """Write the problem as `file:line: key: message (hint)`, the form editors can jump to."""
        where = f"{self.file}:{self.line}" if self.line else self.file
        key = f" {self.key}:" if self.key else ""
        return f"{where}:{key} {self.message}" + (f" ({self.hint})" if self.hint else "")


class ConfigurationError(PublisherError):
    """The configuration cannot be used; `problems` holds all of them, in file order."""

    exit_code = 3

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        self.problems = problems
        super().__init__("\n".join(str(problem) for problem in problems))


class NotFoundError(PublisherError):
    """What the caller named does not exist."""

    exit_code = 2


class RefusedError(PublisherError):
    """Doing it would break a promise, so nothing was changed."""

    exit_code = 4


class BusyError(PublisherError):
    """Somebody else is at work; trying again later is the remedy."""

    exit_code = 75


class SourceError(PublisherError):
    """A source as a whole could not be collected; its articles stay as they were."""


class RenderError(PublisherError):
    """A template could not be compiled or rendered."""


class ThreadsError(PublisherError):
    """The system refuses to start a thread: its user, unit or container has as many as it may."""


class StoreError(PublisherError):
    """The database is newer than this program, damaged or out of reach."""


class DamageError(StoreError):
    """What is in the database cannot be read: nothing that it says may be acted on."""
