"""The import of a file: looked through as a whole before anything is written, then taken in batches."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import json
import os
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, Protocol

from publisher.config import Config
from publisher.errors import BusyError, NotFoundError, RefusedError
from publisher.model import SubscriptionState
from publisher.subscriptions.columns import Columns, Options
from publisher.subscriptions.imports import Taken
from publisher.subscriptions.rows import COLUMNS, CellError, Understanding, Wish
from publisher.subscriptions.seen import Seen
from publisher.subscriptions.tables import Row, Table

BATCH = 500
"""Rows of one transaction: some ten milliseconds, so that sending goes on beside an import."""
_SHOWN = 20
"""Problems named in a refusal and in a report; the rest are counted."""
_SAMPLE = 20
"""Rows by which a header is judged."""
_PER_STEP = 5_000
"""Rows between two steps of a progress bar while a file is looked through."""

Do = Callable[[str, Mapping[str, Any]], Awaitable[Any]]
"""Tells a story of the app by its name, in this process or in the running service."""


class Progress(Protocol):
    """Told of steps."""

    def __call__(self, label: str, done: int, total: int | None) -> None:
        """Note a step."""


class Note(Protocol):
    """Told of every row that is not taken."""

    def __call__(self, row: int, line: int, column: str, taken: str, message: str) -> None:
        """Note a row; `line` is 0 and `column` empty where they say nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One wrong row."""

    row: int
    line: int
    column: str
    message: str

    def __str__(self) -> str:
        """Write it as `row 7, column email: what is wrong`."""
        return f"row {self.row}{f', column {self.column}' if self.column else ''}: {self.message}"


@dataclass(slots=True, kw_only=True)
class Examined:
    """What a look through the whole file found."""

    digest: str = ""
    rows: int = 0
    last: int = 0
    """Number of the last row."""
    problems: list[Problem] = field(default_factory=list)
    """The first of them."""
    wrong: int = 0
    source: str = ""
    taken: Mapping[str, str] = field(default_factory=dict)
    ignored: Sequence[str] = ()
    unknown_tags: Mapping[str, int] = field(default_factory=dict)


class _Understood(NamedTuple):
    row: Row
    wish: Wish | None
    cells: Mapping[str, str]
    problem: Problem | None


def examine(config: Config, path: Path, options: Options, *, progress: Progress, note: Note) -> Examined:
    """Look through a file without touching the database. Raises RefusedError when it is no table we can understand."""
    found = Examined()
    size = path.stat().st_size if path.exists() else 0
    with _open(path) as file:
        table = Table(file, str(path))
        rows, columns = _begin(config, table, options, path)
        for item in _understood(config, rows, columns, options):
            found.rows += 1
            found.last = item.row.number
            if found.rows % _PER_STEP == 0:
                progress(f"looking through {path.name}", table.bytes_read, size)
            if item.problem is not None:
                found.wrong += 1
                if len(found.problems) < _SHOWN:
                    found.problems.append(item.problem)
                problem = item.problem
                note(problem.row, problem.line, problem.column, Taken.INVALID, problem.message)
        said = json.dumps(asdict(options), sort_keys=True)
        found.digest = hashlib.sha256(f"{table.digest} {said}".encode()).hexdigest()
        found.source, found.taken, found.ignored = columns.source, columns.taken, columns.ignored
        found.unknown_tags = columns.unknown_tags
    return found


def refuse_problems(path: Path, examined: Examined) -> None:
    """Raise RefusedError when there are wrong rows, naming the first ones and the way out."""
    if not examined.wrong:
        return
    out = "Mend them, or say --skip-invalid to take the others."
    if any(problem.column == "consent" for problem in examined.problems):
        out = f"--consent 'HOW THEY AGREED' says it for the whole file. {out}"
    more = f"\n… and {examined.wrong - len(examined.problems)} more" if examined.wrong > len(examined.problems) else ""
    raise RefusedError(
        f"{path}: {_rows(examined.wrong)} wrong, so nothing was imported:\n"
        + "\n".join(str(problem) for problem in examined.problems)
        + f"{more}\n{out}"
    )


def refuse_unconfirmed(config: Config, path: Path, told: Mapping[str, Any], confirmed: int | None) -> None:
    """Raise RefusedError when a dry run `told` of more mails than the operator has `confirmed` (G7)."""
    asked = told[Taken.ASKED]
    if asked > (confirmed or 0):
        rate = config.sign_up.mails_per_hour
        raise RefusedError(
            f"{path}: {asked:,} persons have no consent on record and would get a mail that asks for it, at most "
            f"{rate:,} an hour (sign_up.mails_per_hour), so for {max(1, round(asked / rate)):,} h. Nothing was sent or "
            f"imported. If that is what you want, say --confirm {asked}."
        )


async def run(
    config: Config,
    path: Path,
    options: Options,
    examined: Examined,
    *,
    do: Do,
    dry_run: bool,
    stopped: Callable[[], bool],
    progress: Progress,
    note: Note,
) -> dict[str, Any]:
    """Take the rows of an examined file, or with `dry_run` count what would happen; return the report.

    Broken off at any point, the same call goes on where it ended: each batch is one transaction that also notes how
    far the file is taken. Raises BusyError when told to stop, RefusedError when the file changed since it was examined.
    """
    begun: dict[str, Any] = {"id": None, "done": 0, "counts": {}}
    if not dry_run:
        begun = await do("import_begin", {"digest": examined.digest, "file": path.name})
    counts: Counter[str] = Counter(begun["counts"])
    here: Counter[str] = Counter()
    stayed_out: list[dict[str, Any]] = []
    with _open(path) as file:
        table = Table(file, str(path))
        rows, columns = _begin(config, table, options, path)
        batches = _batches(_understood(config, rows, columns, options), columns, options, here, note)
        coming = next(batches, None)
        while coming is not None:
            upto, batch = coming
            if upto <= begun["done"]:
                coming = next(batches, None)
                continue
            if stopped():
                raise BusyError(f"{path}: stopped before row {upto}; the same command goes on there")
            # The next rows are understood while these are written.
            ahead = asyncio.create_task(asyncio.to_thread(next, batches, None))
            try:
                answer = await do(
                    "import_rows", {"import_id": begun["id"], "rows": batch, "upto": upto, "opt_in": options.opt_in}
                )
            finally:
                coming = await ahead  # also when it is broken off: a thread reads the file
            counts = counts + Counter(answer["counts"]) if dry_run else Counter(answer["counts"])
            for row, taken, reason in answer["listed"]:
                note(row, 0, "", taken, reason)
                if len(stayed_out) < _SHOWN:
                    stayed_out.append({"row": row, "taken": taken, "reason": reason})
            progress(f"importing {path.name}", upto, examined.last)
        said = json.dumps(asdict(options), sort_keys=True)
        if hashlib.sha256(f"{table.digest} {said}".encode()).hexdigest() != examined.digest:
            raise RefusedError(f"{path}: changed while it was imported; run the same command again")
    counts += here
    if not dry_run:
        await do("import_end", {"import_id": begun["id"], "counts": dict(counts)})
    return {
        "file": path.name,
        "dry_run": dry_run,
        "import": begun["id"],
        "resumed_after": begun["done"] or None,
        "source": examined.source,
        "rows": examined.rows,
        **{str(taken): counts[taken] for taken in Taken},
        "stayed_out": stayed_out,
        "problems": [asdict(problem) for problem in examined.problems],
        "columns": dict(examined.taken),
        "ignored_columns": list(examined.ignored),
        "unknown_tags": dict(examined.unknown_tags),
    }


def _begin(config: Config, table: Table, options: Options, path: Path) -> tuple[Iterator[Row], Columns]:
    rows = table.rows()
    sample = list(itertools.islice(rows, _SAMPLE))
    return itertools.chain(sample, rows), Columns(config, table.header, sample, options, name=str(path))


def _understood(config: Config, rows: Iterator[Row], columns: Columns, options: Options) -> Iterator[_Understood]:
    understanding = Understanding(config, opt_in=options.opt_in)
    for row in rows:
        problem, wish, cells = None, None, {}
        if row.problem:
            problem = Problem(row=row.number, line=row.line, column="", message=row.problem)
        else:
            try:
                cells = columns.row(row.cells)
                wish = understanding.wish(cells)
            except ValueError as error:
                column = error.column if isinstance(error, CellError) else ""
                problem = Problem(row=row.number, line=row.line, column=column, message=str(error))
        yield _Understood(row, wish, cells, problem)


def _batches(
    items: Iterator[_Understood], columns: Columns, options: Options, counts: Counter[str], note: Note
) -> Iterator[tuple[int, list[list[Any]]]]:
    """Yield what is to be taken with the number of its last row; count what is not taken at all."""
    seen = Seen()
    batch: list[list[Any]] = []
    upto = 0
    for item in items:
        upto = item.row.number
        wish = item.wish
        if wish is None:
            counts[Taken.INVALID] += 1
            continue
        # A row that says somebody left counts even when an earlier one said they are there.
        leaves = wish.suppressed or wish.state is SubscriptionState.UNSUBSCRIBED
        first = seen.add(f"{wish.address_key} {wish.newsletter}")
        if leaves:
            first = seen.add(f"{wish.address_key} {wish.newsletter} leaves")
        if not first:
            counts[Taken.REPEATED] += 1
            note(upto, item.row.line, "email", Taken.REPEATED, "an earlier row names this person")
        elif columns.service and wish.state is SubscriptionState.PENDING and not options.opt_in:
            counts[Taken.UNCONFIRMED] += 1
            note(upto, item.row.line, "", Taken.UNCONFIRMED, f"never confirmed at {columns.source}; --opt-in asks")
        else:
            batch.append([upto, *(item.cells.get(column, "") for column in COLUMNS)])
        if len(batch) == BATCH:
            yield upto, batch
            batch = []
    if batch:
        yield upto, batch


@contextmanager
def _open(path: Path) -> Iterator[BinaryIO]:
    try:
        with path.open("rb", buffering=1 << 16) as file:
            if not file.seekable():
                raise RefusedError(f"{path}: is not a file that can be read twice; save it to one")
            yield file
    except OSError as error:
        raise NotFoundError(f"{path}: {os.strerror(error.errno) if error.errno else error}") from error


def _rows(number: int) -> str:
    return "1 row is" if number == 1 else f"{number} rows are"
