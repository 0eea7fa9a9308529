"""Commands that take readers from tables, and write tables of them."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Annotated, Any, TextIO

import typer

from publisher.cli import printing, show_readers
from publisher.cli.reach import Json, do, load, play, progress, reading, session
from publisher.config import Config
from publisher.control import Progress as Told
from publisher.errors import NotFoundError
from publisher.model import SubscriptionState
from publisher.store import exports as stored
from publisher.store.database import Connection
from publisher.subscriptions import exports, files
from publisher.subscriptions.columns import Options
from publisher.subscriptions.files import Examined, Note
from publisher.subscriptions.tables import line_of

cli = typer.Typer()

_PER_STEP = 1_000


@cli.command("import")
def subscribers_import(
    file: Annotated[Path, typer.Argument(help="CSV in UTF-8 whose first row names the columns.")],
    consent: Annotated[
        str, typer.Option("--consent", help="How all of them agreed whose row does not say it, in your words.")
    ] = "",
    newsletter: Annotated[str, typer.Option("--newsletter", help="For rows that name none.")] = "",
    frequency: Annotated[str, typer.Option("--frequency", help="For rows that name none.")] = "",
    languages: Annotated[str, typer.Option("--languages", help="For rows that name none; best first.")] = "",
    mapped: Annotated[
        list[str] | None,
        typer.Option("--map", metavar="THEIRS=OURS", help="What a column of theirs is; 'THEIRS=' leaves it out."),
    ] = None,
    ignore_others: Annotated[
        bool, typer.Option("--ignore-others", help="Leave out the columns that nobody knows.")
    ] = False,
    skip_invalid: Annotated[
        bool, typer.Option("--skip-invalid", help="Take the good rows although others are wrong.")
    ] = False,
    opt_in: Annotated[
        bool, typer.Option("--opt-in", help="Ask those whose row says no consent by mail, instead of refusing them.")
    ] = False,
    confirm: Annotated[
        int | None, typer.Option("--confirm", min=0, help="With --opt-in: how many such mails may go out, at most.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Tell what would happen; write nothing.")] = False,
    report: Annotated[
        Path | None, typer.Option("--report", help="Write every row that is not taken, and why, to this CSV file.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Take readers from a CSV file, also as listmonk, Mailchimp or Buttondown export it; see docs/import-export.md.

    The file is looked through first, and refused as a whole when a row is wrong. Whoever left, or may not be mailed,
    stays out. Broken off, the same command goes on where it ended; run twice, it changes nothing.
    """
    said = Options(
        consent=consent.strip(),
        newsletter=newsletter,
        frequency=frequency,
        languages=languages,
        mapped=_pairs(mapped or []),
        ignore_others=ignore_others,
        opt_in=opt_in,
    )
    loaded = load()
    with progress() as told, _noting(report) as note:
        examined = files.examine(loaded, file, said, progress=told, note=note)
        if not skip_invalid:
            files.refuse_problems(file, examined)
        if opt_in and not dry_run:
            expected = play(_import(loaded, file, said, examined, dry_run=True, told=told, note=_unnoted))
            files.refuse_unconfirmed(loaded, file, expected, confirm)
        done = play(_import(loaded, file, said, examined, dry_run=dry_run, told=told, note=note))
    printing.value(done, as_json, show_readers.imported)


def _unnoted(row: int, line: int, column: str, taken: str, message: str) -> None:
    """Note nothing: the same rows are told of again."""


async def _import(
    loaded: Config, file: Path, said: Options, examined: Examined, *, dry_run: bool, told: Told, note: Note
) -> dict[str, Any]:
    async with session(loaded, told) as reached:
        return await files.run(
            loaded,
            file,
            said,
            examined,
            do=reached.do,
            dry_run=dry_run,
            stopped=reached.stopped,
            progress=told,
            note=note,
        )


@cli.command("export")
def subscribers_export(
    newsletter: Annotated[str | None, typer.Option("--newsletter", help="Its readers only.")] = None,
    state: Annotated[str | None, typer.Option("--state", help="pending, confirmed, unsubscribed.")] = None,
    out: Annotated[Path | None, typer.Option("--out", help="File to write; else standard output.")] = None,
) -> None:
    """Write all readers as CSV with the columns of an import; no cell is a formula to a spreadsheet."""
    loaded = load()
    if newsletter is not None and newsletter not in (known := [n.slug for n in loaded.newsletters]):
        raise NotFoundError(f"there is no newsletter {newsletter!r}; there are: {', '.join(known) or 'none'}")
    try:
        chosen = SubscriptionState(state) if state else None
    except ValueError as error:
        raise NotFoundError(f"there is no such state; the states are {', '.join(SubscriptionState)}") from error
    do("export_subscribers", {})  # on record, as everything that takes readers away (L14)
    with reading(loaded) as database, _writing(out) as file, progress() as told:

        def work(conn: Connection) -> None:
            total = stored.count(conn, newsletter=newsletter, state=chosen)
            for line, number in exports.lines(conn, newsletter=newsletter, state=chosen):
                file.write(line)
                if number % _PER_STEP == 0:
                    told("exporting", number, total)

        database.read(work)


def _pairs(mapped: list[str]) -> dict[str, str]:
    pairs = {}
    for pair in mapped:
        theirs, sign, ours = pair.rpartition("=")
        if not sign or not theirs.strip():
            raise typer.BadParameter(f"--map {pair!r}: write 'THEIR COLUMN=ours', for example 'E-Mail=email'")
        pairs[theirs.strip()] = ours.strip()
    return pairs


@contextmanager
def _noting(report: Path | None) -> Iterator[Note]:
    """Write what is noted to a table, or nowhere."""
    with ExitStack() as stack:
        file = None if report is None else stack.enter_context(_writing(report))
        if file is not None:
            file.write(line_of(("row", "line", "column", "taken", "message")))

        def note(row: int, line: int, column: str, taken: str, message: str) -> None:
            if file is not None:
                file.write(line_of((str(row), str(line or ""), column, taken, message)))

        yield note


@contextmanager
def _writing(path: Path | None) -> Iterator[TextIO]:
    """Open a file that its owner alone may read, since it holds addresses; standard output when none is named."""
    if path is None:
        sys.stdout.reconfigure(encoding="utf-8", newline="")  # type: ignore[union-attr]  # a TextIOWrapper, whatever typeshed says
        yield sys.stdout
        sys.stdout.flush()
        return
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8", newline="") as file:
        yield file
