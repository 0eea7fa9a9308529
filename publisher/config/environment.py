"""Values from the environment: `PUBLISHER_SMTP__PASSWORD` stands for `password` of `[smtp]`."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Literal, get_args, get_origin

from pydantic import BaseModel, SecretStr

from publisher.config.sentences import shape
from publisher.errors import Problem
from publisher.toml_lines import KeyPath

PREFIX = "PUBLISHER_"
_WORDS = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}


@dataclass(frozen=True, slots=True)
class Override:
    """A value that a variable sets."""

    variable: str
    path: KeyPath
    value: str | int | bool


def overrides(model: type[BaseModel], environ: Mapping[str, str]) -> Iterator[Override | Problem]:
    """Yield what the variables set, in the order of their names.

    Every key that holds one value can be set, at the top (`PUBLISHER_DATA_DIR`) or in a table
    (`PUBLISHER_WEB__LISTEN`); lists and the tables of lists cannot. A variable with two underscores that means nothing
    is a problem; others with our prefix are let be, because container platforms set `PUBLISHER_PORT` and the like for a
    service of that name. Relative paths count from the current directory.
    """
    known = variables(model)
    for name in sorted(environ):
        if name in known:
            path, kind = known[name]
            if environ[name]:
                yield Override(name, path, _value(environ[name], kind))
            else:
                yield _problem(name, "is set but empty; unset it or give it a value")
        elif name.startswith(PREFIX) and "__" in name:
            yield _unknown(name, known)


def variables(model: type[BaseModel]) -> dict[str, tuple[KeyPath, object]]:
    """Return path and type of each key that the environment can set, by the name of the variable."""
    found: dict[str, tuple[KeyPath, object]] = {}
    for key in model.model_fields:
        kind, _ = shape(model, (key,))
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            for inner in kind.model_fields:
                found[f"{PREFIX}{key}__{inner}".upper()] = ((key, inner), shape(kind, (inner,))[0])
        else:
            found[f"{PREFIX}{key}".upper()] = ((key,), kind)
    return {name: (path, kind) for name, (path, kind) in found.items() if _holds_one_value(kind)}


def _unknown(name: str, known: Iterable[str]) -> Problem:
    close = get_close_matches(name, list(known), n=1, cutoff=0.8)  # all names begin alike, so ask for more likeness
    return _problem(name, "means no key that the environment can set", f"did you mean {close[0]}?" if close else "")


def place(variable: str) -> str:
    """Return how problems call the place of a value from the environment."""
    return f"environment variable {variable}"


def _holds_one_value(kind: object) -> bool:
    return kind in (str, int, bool, Path, SecretStr) or get_origin(kind) is Literal or str in get_args(kind)


def _value(text: str, kind: object) -> str | int | bool:
    if kind is bool:
        return _WORDS.get(text.lower(), text)
    if kind is int and re.fullmatch(r"-?[0-9]{1,18}", text):
        return int(text)
    return os.path.abspath(text) if kind is Path else text  # noqa: PTH100 - the text may hold what Path refuses


def _problem(variable: str, message: str, hint: str = "") -> Problem:
    return Problem(place(variable), None, "", message, hint)
