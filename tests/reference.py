"""Write the reference pages from the code: `uv run python -m tests.reference` (a test compares them with it)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from types import UnionType
from typing import Any, Literal, get_args, get_origin

import typer.main
from pydantic.fields import FieldInfo
from typer.core import TyperArgument

from publisher import errors, metrics
from publisher.cli import cli, later
from publisher.config import Config
from publisher.config.environment import variables
from tests.test_config import TABLES, documented

HOME = Path(__file__).parent.parent / "docs" / "reference"
ORIGIN = "<!-- Written by `uv run python -m tests.reference` from the code; edit that, not this. -->\n"
ABOUT_CONFIGURATION = """\
The same as [`config/publisher.toml`](../../config/publisher.toml), as a table.
How the file is found, read and reloaded is told in [configuration](../configuration.md).

The environment may set every key that holds one value, at the top (`PUBLISHER_DATA_DIR`) or in a table
(`PUBLISHER_SMTP__PASSWORD`), but those marked with \\* and those of `[[tables]]`, of which there may be several.
"""
CODES = (
    (0, "done", None),
    (1, "failed; the message says why and what to do", errors.PublisherError),
    (2, "usage: an unknown option, or a name that does not exist", errors.NotFoundError),
    (3, "the configuration is invalid; every problem is listed with file, line and key", errors.ConfigurationError),
    (4, "refused, because it would break a promise; nothing was changed", errors.RefusedError),
    (75, "try later: somebody else is at work, or a server is out of reach", errors.BusyError),
)
"""Exit codes with their meaning and the error that leads to them."""
LISTS = ("categories", "sources", "feeds", "newsletters", "transports", "providers")
SEVERAL = (*LISTS, "sources.labels", "newsletters.frequencies")
"""Tables of which there may be several."""


def pages() -> dict[str, str]:
    """Every page of the reference by the name of its file."""
    return {"commands.md": commands(), "configuration.md": configuration(), "metrics.md": metrics_page()}


def commands() -> str:
    """Every command with its arguments and options."""
    assert all(kind is None or kind.exit_code == code for code, _, kind in CODES)
    text = [
        ORIGIN,
        "# Commands\n",
        "What each command is for, and how they work together, is told in [commands](../commands.md).\n",
        "```\npublisher [--config FILE] COMMAND …\n```\n",
        *_parameters(typer.main.get_command(cli)),
        "## Exit codes\n",
        _table(("Code", "Meaning"), ((str(code), meaning) for code, meaning, _ in CODES)),
    ]
    for name, command in leaves():
        usage = [_argument(one) for one in command.params if _is_argument(one)]
        text += [
            f"## {name}\n",
            f"```\npublisher {' '.join([name, *usage, '[OPTIONS]' if _options(command) else '']).strip()}\n```\n",
            f"{command.help.strip()}\n",
            *_parameters(command),
        ]
    return "\n".join(text)


def leaves() -> Iterator[tuple[str, Any]]:
    """Every command by its whole name, in the order of the help."""
    for name in later.PLACES:
        yield from _leaves(name, later.loaded(name))


def _leaves(name: str, command: Any) -> Iterator[tuple[str, Any]]:
    if inner := getattr(command, "commands", None):
        for one, child in inner.items():
            yield from _leaves(f"{name} {one}", child)
    else:
        yield name, command


def _is_argument(parameter: Any) -> bool:
    return isinstance(parameter, TyperArgument)


def _options(command: Any) -> list[Any]:
    return [one for one in command.params if not _is_argument(one) and not one.hidden and one.name != "help"]


def _parameters(command: Any) -> list[str]:
    rows = [
        (f"`{_argument(one)}`", _escaped(one.help or "")) for one in command.params if _is_argument(one) and one.help
    ]
    for one in _options(command):
        label = "/".join(one.opts + one.secondary_opts) + ("" if one.is_flag else f" {_metavar(one)}")
        rows.append((f"`{_escaped(label)}`", _escaped(one.help or "") + _default(one, flag=one.is_flag)))
    return [_table(("Option", "Meaning"), rows)] if rows else []


def _argument(argument: Any) -> str:
    if argument.metavar:
        return str(argument.metavar)
    name = argument.name.upper() + ("…" if argument.nargs != 1 or argument.multiple else "")
    return name if argument.required else f"[{name}]"


def _metavar(option: Any) -> str:
    if option.metavar:
        return str(option.metavar)
    kind = option.type_descriptor.annotation
    kind = (
        next((one for one in get_args(kind) if one is not type(None)), kind) if get_origin(kind) is UnionType else kind
    )
    if isinstance(kind, type) and issubclass(kind, Enum):
        return "|".join(kind)
    if get_origin(kind) is Literal:
        return "|".join(get_args(kind))
    return {int: "N", Path: "PATH"}.get(kind, "TEXT")


def _default(option: Any, *, flag: bool) -> str:
    if option.required:
        return " Required."
    value = option.default
    if flag or value in (None, "", ()) or callable(value) or not option.show_default:
        return ""
    return f" Default: `{getattr(value, 'value', value)}`."


def configuration() -> str:
    """Every key of the configuration with its default and its sentence."""
    text = [
        ORIGIN,
        "# Configuration\n",
        ABOUT_CONFIGURATION,
    ]
    known = {path for path, _ in variables(Config).values()}
    rows: dict[str, list[tuple[str, str, str]]] = {table: [] for table in TABLES}
    seen = set()
    for table, key, _, _, comment in documented():
        if comment and (table, key) not in seen:
            seen.add((table, key))
            mark = "" if table in SEVERAL or tuple(filter(None, (table, key))) in known else " \\*"
            rows[table].append((f"`{key}`{mark}", _default_of(table, key), _sentence(comment)))
    for table, lines in rows.items():
        text += [f"## {_heading(table)}\n", _table(("Key", "Default", "Meaning"), lines)]
    return "\n".join(text)


def _heading(table: str) -> str:
    if not table:
        return "At the top"
    name = f"{table}.NAME" if table == "newsletters.frequencies" else table
    return f"[[{name}]]" if table in LISTS else f"[{name}]"


def _default_of(table: str, key: str) -> str:
    field = next(model.model_fields[key] for model in TABLES[table] if key in model.model_fields)
    return "required" if field.is_required() else f"`{_toml(field)}`" if field.default is not None else "not set"


def _toml(field: FieldInfo) -> str:
    value = field.default
    if hasattr(value, "get_secret_value"):
        value = value.get_secret_value()
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return f"[{', '.join(_toml(FieldInfo(default=one)) for one in value)}]"
    return "{}" if value == {} else str(value) if isinstance(value, int) else f'"{value}"'


def _sentence(comment: str) -> str:
    text = re.sub(r" (Required|Not set)\.", "", f" {comment.strip()}")
    text = re.sub(r' Default: (""|\[[^\]]*\]|"[^"]*")\.', "", text)
    return _escaped(text.strip())


def metrics_page() -> str:
    """Every metric with its labels."""
    rows = (
        (f"`{one.name}`", one.kind, ", ".join(f"`{label}`" for label in one.labels), _escaped(one.help))
        for one in metrics.reference()
    )
    return "\n".join(
        [
            ORIGIN,
            "# Metrics\n",
            "`/metrics` on the admin listener tells these to Prometheus. No label names a reader.\n",
            _table(("Metric", "Kind", "Labels", "Meaning"), rows),
        ]
    )


def _escaped(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;").replace("*", "\\*")


def _table(head: tuple[str, ...], rows: Any) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


if __name__ == "__main__":
    HOME.mkdir(exist_ok=True)
    for file, text in pages().items():
        (HOME / file).write_text(text, encoding="utf-8")
