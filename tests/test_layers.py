"""The house keeps its order: imports point one way, and each foreign library has one door."""

from __future__ import annotations

import ast
import functools
import graphlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "publisher"

# From the ground up; a module may import from its own floor and the floors below. The longest matching name decides.
FLOORS: tuple[tuple[str, ...], ...] = (
    ("publisher", "publisher.model", "publisher.errors", "publisher.faults"),
    (
        "publisher.text",
        "publisher.colours",
        "publisher.markup",
        "publisher.dates",
        "publisher.cron",
        "publisher.identity",
        "publisher.slots",
        "publisher.files",
        "publisher.toml_lines",
        "publisher.addresses",
        "publisher.config",
        "publisher.scaffold",
        "publisher.licenses",
        "publisher.links",
        "publisher.accounts",
        "publisher.accounts.values",
        "publisher.accounts.tries",
        "publisher.doctor",
        "publisher.logs",
        "publisher.outlet",
        "publisher.threads",
        "publisher.metrics",
        "publisher.departures",
        "publisher.instances",
        "publisher.backups",
        "publisher.encryption",
        "publisher.cron",
        "publisher.identity",
        "publisher.tokens",
        "publisher.render",
        "publisher.mail",
        "publisher.mail.message",
        "publisher.mail.replies",
    ),
    (
        "publisher.http",
        "publisher.dns",
        "publisher.sources",
        "publisher.mail.smtp",
        "publisher.mail.inbox",
        "publisher.feeds.write",
        "publisher.feeds.hub",
        "publisher.store",
    ),
    (
        "publisher.ingest",
        "publisher.feeds",
        "publisher.digests",
        "publisher.subscriptions",
        "publisher.accounts.gate",
        "publisher.mail.outbox",
        "publisher.mail.ahead",
        "publisher.mail.clerk",
        "publisher.mail.pacing",
        "publisher.mail.compose",
        "publisher.inventory",
        "publisher.reports",
        "publisher.transports",
    ),
    ("publisher.web", "publisher.schedule"),
    (
        "publisher.app",
        "publisher.clock",
        "publisher.control",
        "publisher.listeners",
        "publisher.service",
        "publisher.sample",
    ),
    ("publisher.cli", "publisher.__main__"),
)

DOORS: dict[str, tuple[str, ...]] = {
    "feedgen": ("publisher.feeds.build",),
    "jinja2": ("publisher.render",),
    "apscheduler": ("publisher.schedule",),
    "cryptography": ("publisher.mail.dkim", "publisher.mail.private", "publisher.tokens"),
    "pyrage": ("publisher.encryption",),
    "feedparser": ("publisher.sources.feed",),
    "pydantic": ("publisher.config",),
    "pydantic_settings": ("publisher.config",),
    "tomllib": ("publisher.config", "publisher.sources"),
    "aiosmtplib": ("publisher.mail.smtp",),
    "aiosmtpd": ("publisher.mail.inbox",),
    "sqlalchemy": ("publisher.store",),
    "alembic": ("publisher.store",),
    "psycopg": ("publisher.store",),
    "starlette": ("publisher.web", "publisher.listeners", "publisher.service", "publisher.control"),
    "uvicorn": ("publisher.listeners",),
    "httpx2": ("publisher.http", "publisher.control"),
    "dns": ("publisher.dns",),
    "prometheus_client": ("publisher.web",),
    "typer": ("publisher.cli",),
    "rich": ("publisher.cli",),
    "uvloop": ("publisher.cli",),
}

# The machine's clock and dice are handed in by `app`, so that every decision can be repeated in a test.
CLOCKS = {"now", "utcnow", "today", "uuid1", "uuid4", "time", "time_ns", "token_bytes", "token_hex", "token_urlsafe"}
CLOCK_OWNERS = {"datetime", "date", "uuid", "time", "random", "secrets"}


@functools.cache
def modules() -> Mapping[str, ast.Module]:
    """Every module of the package by dotted name, parsed once."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        if "_files" in path.parts or "versions" in path.parts:
            continue
        parts = path.relative_to(ROOT).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        found[name] = ast.parse(path.read_text(encoding="utf-8"), str(path))
    return MappingProxyType(found)


def imports(name: str, tree: ast.Module, known: set[str]) -> Iterator[str]:
    """Every module that this one imports, also inside functions; `from package import module` names the module."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name}:{node.lineno}: relative import; write the whole name"
            assert node.module
            for alias in node.names:
                deeper = f"{node.module}.{alias.name}"
                yield deeper if deeper in known else node.module


def floor_of(name: str) -> int:
    """The floor of a module: that of the longest listed name it equals or lies under."""
    best, level = "", -1
    for index, names in enumerate(FLOORS):
        for listed in names:
            under = name == listed or (listed != "publisher" and name.startswith(listed + "."))
            if under and len(listed) > len(best):
                best, level = listed, index
    assert level >= 0, f"{name} stands on no floor: add it to FLOORS"
    return level


def wrong_directions(trees: Mapping[str, ast.Module]) -> list[str]:
    """Imports that point upwards."""
    known = set(trees)
    return [
        f"{name} imports {target}"
        for name, tree in trees.items()
        for target in imports(name, tree, known)
        if target.partition(".")[0] == "publisher" and floor_of(target) > floor_of(name)
    ]


def wrong_doors(trees: Mapping[str, ast.Module]) -> list[str]:
    """Foreign libraries imported outside their door."""
    known = set(trees)
    return [
        f"{name} imports {target}"
        for name, tree in trees.items()
        for target in imports(name, tree, known)
        if (doors := DOORS.get(target.partition(".")[0]))
        and not any(name == door or name.startswith(door + ".") for door in doors)
    ]


def clocks(trees: Mapping[str, ast.Module]) -> list[str]:
    """Calls of the machine's clock or dice outside `clock`."""
    found = []
    for name, tree in trees.items():
        if name in ("publisher.clock", "publisher.sample"):
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in CLOCKS:
                owner = node.func.value
                label = (
                    owner.id if isinstance(owner, ast.Name) else owner.attr if isinstance(owner, ast.Attribute) else ""
                )
                if label in CLOCK_OWNERS:
                    found.append(f"{name}:{node.lineno}: {label}.{node.func.attr}()")
    return found


def circle(trees: Mapping[str, ast.Module]) -> list[str]:
    """The first circle of imports, empty when there is none."""
    known = set(trees)
    graph = {name: {t for t in imports(name, tree, known) if t in known and t != name} for name, tree in trees.items()}
    # A package and its own modules are one room: `feeds/__init__` tells the story with `feeds.build`.
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        return list(error.args[1])
    return []


def test_imports_point_one_way() -> None:
    assert wrong_directions(modules()) == []


def test_imports_run_in_no_circle() -> None:
    assert circle(modules()) == []


def test_each_foreign_library_has_one_door() -> None:
    assert wrong_doors(modules()) == []


def test_the_clock_is_read_in_app_alone() -> None:
    assert clocks(modules()) == []


def test_every_module_has_a_docstring_of_one_sentence() -> None:
    bad = []
    for name, tree in modules().items():
        doc = ast.get_docstring(tree) or ""
        head = doc.split("\n\n")[0]
        if not head.endswith((".", ":")) and name != "publisher.errors":
            bad.append(f"{name}: {head!r}")
    assert bad == []


@pytest.mark.parametrize(
    ("check", "name", "source"),
    [
        (wrong_directions, "publisher.model", "from publisher.store import tables"),
        (wrong_directions, "publisher.text", "def f() -> None:\n    import publisher.cli"),
        (wrong_doors, "publisher.ingest", "import sqlalchemy as sa"),
        (wrong_doors, "publisher.digests", "from jinja2 import Environment"),
        (clocks, "publisher.ingest", "import datetime\ndatetime.datetime.now()"),
    ],
)
def test_a_wrong_import_is_found(check: object, name: str, source: str) -> None:
    """The checks above can fail."""
    trees = {**modules(), name: ast.parse(source)}
    assert callable(check)
    assert check(trees) != []


def test_a_circle_is_found() -> None:
    trees = {"publisher.a": ast.parse("import publisher.b"), "publisher.b": ast.parse("from publisher import a")}
    assert circle(trees) != []
