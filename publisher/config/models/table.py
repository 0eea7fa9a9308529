"""What all tables of the configuration have in common: the kinds of their values, and that unknown keys are refused."""

from __future__ import annotations

import os
from datetime import date
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from publisher.config import values
from publisher.mail import pace

# We use no plug-ins of pydantic, and looking for some reads the metadata of every package there is: 20 ms of a command.
os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")

Line = Annotated[str, AfterValidator(values.line)]
Slug = Annotated[str, AfterValidator(values.slug)]
Texts = Annotated[str | dict[str, str], BeforeValidator(values.texts)]
"""One text for all languages, or one per language: `{ en = "Politics", ru = "Политика" }`."""
Language = Annotated[str, AfterValidator(values.language)]
Zone = Annotated[str, AfterValidator(values.zone)]
Url = Annotated[str, AfterValidator(values.url)]
Address = Annotated[str, AfterValidator(values.address)]
Interval = Annotated[str, AfterValidator(values.interval)]
FilePath = Annotated[Path, BeforeValidator(values.path)]
Blackout = Annotated[tuple[tuple[date, date], ...], BeforeValidator(values.blackout)]
Flag = Annotated[bool, Field(strict=True)]
Rate = Annotated[str, AfterValidator(values.rate)]


class Table(BaseModel):
    """A table of the file: unknown keys are refused."""

    # Built when the first file is read: as a part of the whole, each once.
    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


def rate_of(text: str) -> pace.Rate | None:
    """Return a rate that was given; None: no limit."""
    return pace.Rate.parse(text) if text else None


def in_language(texts: Texts, language: str, default: str) -> str:
    """Return the text for `language`, else its primary subtag's, else the default language's, else any."""
    if isinstance(texts, str):
        return texts
    for choice in (language, language.partition("-")[0], default):
        if choice in texts:
            return texts[choice]
    return next(iter(texts.values()), "")
