"""What pydantic found, said to a person."""

from __future__ import annotations

import types
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, time
from pathlib import Path
from typing import Annotated, Any, Literal, TypeGuard, Union, get_args, get_origin

from pydantic import BaseModel, SecretStr, ValidationError

from publisher.config import values
from publisher.config.places import Finding
from publisher.toml_lines import KeyPath

Bounds = tuple[object, ...]
"""What pydantic keeps beside a type, for example `Ge(1), Le(65535)`."""


def findings(model: type[BaseModel], error: ValidationError) -> Iterator[Finding]:
    """Yield one finding for each thing wrong with a value of `model`."""
    for detail in error.errors(include_url=False):
        at: KeyPath = tuple(detail["loc"])
        message, hint = _sentence(model, at, detail["type"], detail["input"], detail.get("ctx", {}))
        yield Finding(_path(at, detail["type"]), message, hint)


def shape(model: type[BaseModel], at: KeyPath) -> tuple[object, Bounds]:
    """Return the type at `at` below `model` and its bounds; type None when there is no such place.

    After the index of a table that has a `kind` comes that kind, as pydantic writes it:
    `("sources", 0, "folder", "path")`.
    """
    kind: object = model
    bounds: Bounds = ()
    for part in at:
        kind, bounds = _below(_bare(kind), part)
    return _bare(kind), bounds


def _below(kind: object, part: str | int) -> tuple[object, Bounds]:
    if _is_table(kind):
        found = kind.model_fields.get(str(part))
        return (found.annotation, tuple(found.metadata)) if found else (None, ())
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is tuple and isinstance(part, int):
        return arguments[0], ()
    if origin is dict:
        return arguments[1], ()
    if origin in (Union, types.UnionType):
        tables = [table for table in arguments if _is_table(table)]
        return next((t for t in tables if part in get_args(t.model_fields["kind"].annotation)), None), ()
    return None, ()


def _bare(kind: object) -> object:
    """Return the type without Annotated and without `| None`."""
    while get_origin(kind) is Annotated:
        kind = get_args(kind)[0]
    if get_origin(kind) in (Union, types.UnionType):
        rest = [choice for choice in get_args(kind) if choice is not type(None)]
        if len(rest) == 1:
            return _bare(rest[0])
    return kind


def _is_table(kind: object) -> TypeGuard[type[BaseModel]]:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def _path(at: KeyPath, error: str) -> KeyPath:
    """Return the path as the file has it: without the kind of a source, and without pydantic's mark of a key."""
    if at[:1] == ("sources",) and len(at) > 2:
        at = (*at[:2], *at[3:])
    if error.startswith("union_tag"):
        return (*at, "kind")
    return at[:-1] if at[-1:] == ("[key]",) else at


def _sentence(
    model: type[BaseModel], at: KeyPath, error: str, given: object, context: Mapping[str, Any]
) -> tuple[str, str]:
    if error == "missing":
        return "is missing", ""
    if error == "value_error":
        cause = context["error"]
        return str(cause), getattr(cause, "hint", "")
    if error == "extra_forbidden":
        return "is not a known key", _known(model, at)
    if at[-1:] == ("[key]",):
        choices = get_args(get_args(shape(model, at[:-2])[0])[0])
        return f"must be {_listed(choices)}", values.nearest(str(given), choices)
    if error.startswith("union_tag"):
        kinds = [word.strip("' ") for word in context.get("expected_tags", "'folder', 'pages'").split(",")]
        tag = context.get("tag")
        return ("is missing", f"one of {_listed(kinds)}") if tag is None else _choice(kinds, tag)
    if error in ("too_short", "string_too_short"):
        return "must not be empty", ""
    kind, bounds = shape(model, at)
    if get_origin(kind) is Literal:
        return _choice(get_args(kind), given)
    shown = "" if kind is SecretStr else f", not {_shown(given)}"
    return f"must be {_expected(kind, bounds)}{shown}", _rewritten(kind, given)


def _choice(choices: Sequence[str], given: object) -> tuple[str, str]:
    hint = values.nearest(given, choices) if isinstance(given, str) else ""
    return f"must be {_listed(choices)}, not {_shown(given)}", hint


def _listed(choices: Sequence[str]) -> str:
    *most, last = [f"'{choice}'" for choice in choices]
    return f"{', '.join(most)} or {last}" if most else last


def _known(model: type[BaseModel], at: KeyPath) -> str:
    """Return the nearest known key, else where a key of that name belongs, else all keys of the table."""
    table, _ = shape(model, at[:-1])
    key, keys = str(at[-1]), list(table.model_fields) if _is_table(table) else []
    if near := values.nearest(key, keys):
        return near
    if len(at) > 1 and key in model.model_fields:
        return f"{key} belongs above the first [table] of the file"
    return f"known keys: {', '.join(keys)}"


def _expected(kind: object, bounds: Bounds) -> str:
    if kind is int:
        low = next((bound.ge for bound in bounds if hasattr(bound, "ge")), None)
        high = next((bound.le for bound in bounds if hasattr(bound, "le")), None)
        if low is not None and high is not None:
            return f"a whole number between {low} and {high}"
        return "a whole number" if low is None else f"a whole number, at least {low}"
    if kind is bool:
        return "true or false"
    if kind in (str, Path, SecretStr):
        return "text in quotes"
    origin = get_origin(kind)
    return "a list in square brackets" if origin is tuple else "a table"


def _shown(given: object) -> str:
    if isinstance(given, bool):
        return str(given).lower()
    if isinstance(given, str):
        return repr(given if len(given) <= 80 else given[:79] + "…")
    if isinstance(given, date | time):
        return f"the time {given.isoformat()}"
    if isinstance(given, dict | list):
        return "a table" if isinstance(given, dict) else "a list"
    return str(given)[:80]


def _rewritten(kind: object, given: object) -> str:
    """Return how the value might have been meant, for the slips everybody makes in TOML."""
    if get_origin(kind) is tuple and isinstance(given, str):
        return f'write ["{given}"]' if len(given) <= 40 else ""
    if get_origin(kind) is tuple and isinstance(given, dict):
        return "a table of a list has double brackets, [[…]]"
    if (_is_table(kind) or get_origin(kind) is dict) and isinstance(given, list):
        return "a table that exists once has single brackets, […]"
    return ""
