"""The JSON Schema of the file, with a sentence for each key, for editors."""

from __future__ import annotations

import ast
import inspect
import itertools
from collections.abc import Iterator
from typing import Any

from publisher.config.models import Config
from publisher.config.models.table import Table


def schema() -> dict[str, Any]:
    """Return the JSON Schema of the file."""
    found = Config.model_json_schema()
    known = {table.__name__: table for table in _tables(Table)}
    for name, table in (("Config", found), *found["$defs"].items()):
        sentences = _sentences(known[name])
        for key, value in table.get("properties", {}).items():
            if key in sentences:
                value["description"] = sentences[key]
                table["properties"][key] = dict(sorted(value.items()))
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **found}


def _tables(table: type[Table]) -> Iterator[type[Table]]:
    """Yield every table that is made of this one."""
    for below in table.__subclasses__():
        yield below
        yield from _tables(below)


def _sentences(table: type[Table]) -> dict[str, str]:
    """Return what the source says below each key of a table.

    pydantic can do so too, but only as it makes the classes, at each start: 20 ms for what no start needs.
    """
    found: dict[str, str] = {}
    for model in reversed(table.__mro__):
        if issubclass(model, Table):
            found |= _documented(ast.parse(inspect.getsource(model)).body[0])
    return found


def _documented(node: ast.stmt) -> dict[str, str]:
    body = node.body if isinstance(node, ast.ClassDef) else []
    found = {}
    for key, after in itertools.pairwise(body):
        if isinstance(key, ast.AnnAssign) and isinstance(key.target, ast.Name) and isinstance(after, ast.Expr):
            found[key.target.id] = inspect.cleandoc(ast.literal_eval(after.value))
    return found
