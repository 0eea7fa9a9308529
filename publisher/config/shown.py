"""The effective configuration, a line a key: its value, secrets masked, and where it comes from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from pydantic import BaseModel, SecretStr
from pydantic_core import PydanticUndefined

from publisher.config.models import Config
from publisher.toml_lines import KeyPath

MASKED = "***"
_SECRET = frozenset({"database_url"})  # may hold a password


@dataclass(frozen=True, slots=True)
class Shown:
    """One key with its value as JSON has it."""

    key: str
    value: Any
    origin: str
    """`FILE:LINE`, the environment variable in words, the file of a secret, or `default`."""


def shown(config: Config) -> tuple[Shown, ...]:
    """Return every key in the order of the manual, also those that nobody set."""
    return tuple(_of(config, (), config))


def _of(config: Config, path: KeyPath, table: BaseModel) -> Iterator[Shown]:
    for name in type(table).model_fields:
        yield from _value(config, (*path, name), getattr(table, name), table, name)


def _value(config: Config, path: KeyPath, value: object, table: BaseModel, name: str) -> Iterator[Shown]:
    if isinstance(value, BaseModel):
        yield from _of(config, path, value)
    elif isinstance(value, tuple) and value and all(isinstance(inner, BaseModel) for inner in value):
        for index, inner in enumerate(value):
            yield from _of(config, (*path, index), inner)
    elif isinstance(value, Mapping) and value and all(isinstance(inner, BaseModel) for inner in value.values()):
        for key, inner in value.items():
            yield from _of(config, (*path, key), inner)
    else:
        yield Shown(config.places.key(path), _plain(name, value), _origin(config, path, table, name))


def _origin(config: Config, path: KeyPath, table: BaseModel, name: str) -> str:
    # A value that is a table itself (one text per language) stands where its keys do.
    inside = (place for key, place in config.places.lines.items() if key[: len(path)] == path)
    found = config.places.lines.get(path) or next(inside, None)
    if found is not None:
        file, line = found
        return f"{file}:{line}" if line else file
    value = getattr(table, name)
    if (isinstance(value, SecretStr) and value.get_secret_value()) or (name in _SECRET and value):
        file_key = getattr(table, f"{name}_file", None)
        return str(file_key) if file_key else "credentials directory"
    field = type(table).model_fields[name]
    same = field.default is not PydanticUndefined and value == field.default
    return "default" if same or name == "data_dir" else "default, from another key"


def _plain(name: str, value: object) -> Any:  # noqa: ANN401 - a JSON value
    if isinstance(value, SecretStr):
        return MASKED if value.get_secret_value() else ""
    if name in _SECRET:
        return MASKED if value else ""
    if isinstance(value, Path | date):
        return str(value)
    if isinstance(value, Mapping):
        return {str(key): _plain("", inner) for key, inner in value.items()}
    return [_plain("", inner) for inner in value] if isinstance(value, list | tuple) else value
