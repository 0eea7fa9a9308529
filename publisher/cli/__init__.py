"""The command line: each command is one story call, printed for people or as JSON."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import logging
import os
import re
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypeVar

import structlog
import typer
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from publisher import __version__, config, control, reports, sample, scaffold, slots
from publisher.app import App, check_templates, now, plan_slots, silent
from publisher.cli import keys, show
from publisher.cli.show import err, out
from publisher.config import Config
from publisher.control import Progress as Told
from publisher.errors import BusyError, ConfigurationError, NotFoundError, Problem, PublisherError, RenderError
from publisher.mail.dkim import Kind, Signer
from publisher.service import Listening, Service, signals
from publisher.store.database import Connection, Database
from publisher.store.lock import DirectoryLock

cli = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Feeds and newsletters for a publication that already has articles.",
    epilog="Exit codes: 0 ok, 1 failed, 2 usage, 3 configuration invalid, 4 refused, 75 try later.",
)
subscribers_cli = typer.Typer(no_args_is_help=True, help="Readers and what they chose.")
sources_cli = typer.Typer(no_args_is_help=True, help="Where articles come from.")
articles_cli = typer.Typer(no_args_is_help=True, help="Articles, and the ones held back.")
deliveries_cli = typer.Typer(no_args_is_help=True, help="Mails to readers: what became of each.")
cli.add_typer(deliveries_cli, name="deliveries")
cli.add_typer(subscribers_cli, name="subscribers")
cli.add_typer(sources_cli, name="sources")
cli.add_typer(articles_cli, name="articles")
dkim_cli = typer.Typer(no_args_is_help=True, help="Keys that sign mail.")
cli.add_typer(dkim_cli, name="dkim-key")

T = TypeVar("T")
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@dataclass(slots=True)
class _Options:
    config: Path | None = None


_options = _Options()


def main() -> None:
    """Run the command line; errors become one message and the exit code of their kind."""
    _configure_logs()
    try:
        cli()
    except PublisherError as error:
        err.print(f"[bold red]{_headline(error)}[/]", end="")
        err.print(escape(str(error)), soft_wrap=True)
        sys.exit(error.exit_code)
    except OSError as error:
        # The world around us, not a mistake of ours: a full disk, a folder that may not be written.
        structlog.get_logger().debug("failed", exc_info=True)
        where = f"{error.filename}: " if error.filename else ""
        err.print(f"[bold red]Error: [/]{escape(f'{where}{error.strerror or error}')}", soft_wrap=True)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)  # 128 + SIGINT, as shells count


def _headline(error: PublisherError) -> str:
    if isinstance(error, ConfigurationError):
        number = len(error.problems)
        return f"The configuration has {number} problem{'s' if number != 1 else ''}:\n"
    return "Error: "


def _print_version(wanted: bool) -> None:
    if wanted:
        out.print(__version__)
        raise typer.Exit


@cli.callback()
def _common(
    config_file: Annotated[
        Path | None,
        typer.Option(
            "--config",
            help="Configuration file; else PUBLISHER_CONFIG, else ./config/publisher.toml.",
            show_default=False,
        ),
    ] = None,
    version: Annotated[  # noqa: ARG001 - handled before any command, by its callback
        bool, typer.Option("--version", help="Print the version and stop.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    _options.config = config_file


# Starting


@cli.command()
def init(directory: Annotated[Path, typer.Argument(help="Folder to write the new publication into.")]) -> None:
    """Write a new publication: a commented configuration, a template folder, an example article."""
    for path in scaffold.init(directory):
        out.print(f"wrote {path}", soft_wrap=True)
    out.print(f"\nNext: publisher --config {directory / 'config' / 'publisher.toml'} run", soft_wrap=True)


@cli.command()
def check(as_json: Json = False) -> None:
    """Check the configuration as a whole: problems stop the service, warnings are for you to weigh."""
    path = _find()
    try:
        loaded = config.load(path, os.environ)
        _check_templates(loaded)
        Signer.load(loaded)
    except ConfigurationError as error:
        if as_json:
            show.as_json({"ok": False, "problems": [show.problem_value(p) for p in error.problems], "warnings": []})
            raise typer.Exit(error.exit_code) from None
        raise
    warnings = (*config.check(loaded), *config.sending_problems(loaded))
    if as_json:
        show.as_json({"ok": True, "problems": [], "warnings": [show.problem_value(p) for p in warnings]})
        return
    for warning in warnings:
        err.print(f"warning: {escape(str(warning))}", soft_wrap=True)
    out.print(f"{path}: ok" + (f", {len(warnings)} warnings" if warnings else ""), soft_wrap=True)


def _check_templates(loaded: Config) -> None:
    """Try every template; a mistake in one is a problem of the configuration. Raises ConfigurationError."""
    try:
        check_templates(loaded)
    except RenderError as error:
        placed = re.fullmatch(r"(.+?):(\d+): (.*)", str(error), re.DOTALL)
        file, line, message = placed.groups() if placed else (str(loaded.files[0]), "", str(error))
        problem = Problem(file, int(line) if line else None, "", message)
        raise ConfigurationError((problem,)) from error


@cli.command()
def demo(
    directory: Annotated[Path, typer.Option("--dir", help="Where the demo keeps everything.")] = Path("demo"),
    once: Annotated[bool, typer.Option("--once", help="Do it once and stop, instead of serving.")] = False,
    as_json: Json = False,
) -> None:
    """Show the whole service on a sample publication: collect, build feeds, send an issue, serve pages and inbox."""
    directory = directory.resolve()
    values = sample.values(directory)
    today = now().date()
    loaded = config.load(sample.materialise(directory, today, values), os.environ)

    async def story() -> dict[str, Any]:
        async with await App.open(loaded) as app:
            with _progress() as told:
                done = await sample.perform(app, directory / sample.PUBLICATION, told)
            if as_json:
                show.as_json(done)
            else:
                show.demo(done, directory, loaded)
            if not once:
                await _serve(app)
            return done

    asyncio.run(story())


@cli.command()
def run(
    once: Annotated[bool, typer.Option("--once", help="Do one full round and stop, for cron.")] = False,
    trust_clock: Annotated[
        bool, typer.Option("--trust-clock", help="Believe the clock, although it showed a later time before.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Run the service: collect, publish feeds, send issues when due, serve pages."""
    loaded = _load()
    _check_templates(loaded)

    async def story() -> None:
        async with await App.open(loaded) as app:
            if trust_clock:
                await app.trust_clock()
            if not once:
                await _serve(app)
                return
            async with signals(app):
                with _progress() as told:
                    done = await app.cycle(progress=told)
            if as_json:
                show.as_json(done)
            else:
                show.collected(done["collected"])
                for report in done["dispatched"]:
                    show.dispatched(report)
                show.sent(done["sent"])
            show.fail_on_errors(done["collected"])
            show.fail_on_failed_slots(done["dispatched"])
            show.try_later(done["clock"] or done["sent"]["held"])

    asyncio.run(story())


async def _serve(app: App) -> None:
    def ready(listening: Listening) -> None:
        err.print(f"Pages and feeds: {listening.public}/", soft_wrap=True)
        if app.inbox is not None:
            err.print(f"Inbox:           {listening.admin}/inbox/", soft_wrap=True)
        err.print("Stop with Ctrl-C.")

    async with signals(app):
        await Service(app).run(ready)


# Doing


@cli.command()
def collect(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[SOURCE]...", help="Sources; all when none is named.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Collect articles, decide what is new, and bring the feeds up to date."""
    done = _do("collect", {"names": names or []})
    show.value(done, as_json, show.collected)
    show.fail_on_errors(done)


@cli.command()
def feeds(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[FEED]...", help="Feeds; all when none is named.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Build feeds and write the files that changed."""
    done = _do("feeds", {"names": names or []})
    show.value(done, as_json, show.feeds)
    if done["problems"]:
        raise typer.Exit(1)


@cli.command()
def dispatch(
    newsletter: Annotated[str, typer.Argument(help="Slug of the newsletter.")],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Tell what would happen; change and send nothing.")
    ] = False,
    to: Annotated[str | None, typer.Option("--to", help="Send a marked test to this address only.")] = None,
    as_json: Json = False,
) -> None:
    """Compose an issue now, by hand, and queue a delivery for each of its readers; `publisher send` sends them."""
    if dry_run and to is not None:
        raise typer.BadParameter("--dry-run sends nothing, --to sends a test: choose one")
    done = _do("dispatch", {"newsletter": newsletter, "dry_run": dry_run, "to": to})
    show.value(done, as_json, show.tested if to else show.dispatched)
    if to and done["outcome"] != "accepted":
        raise typer.Exit(1)


@cli.command()
def send(as_json: Json = False) -> None:
    """Send the deliveries that are due."""
    done = _do("send", {})
    show.value(done, as_json, show.sent)
    show.try_later(done["held"])


@cli.command()
def plan(
    newsletter: Annotated[str | None, typer.Argument(help="Slug of the newsletter; all when none is named.")] = None,
    count: Annotated[int, typer.Option("--count", min=1, max=100, help="Slots to show.")] = 5,
    as_json: Json = False,
) -> None:
    """Show the next slots, what the next issue would hold, and why a slot would be skipped."""
    loaded = _load()
    with _reading(loaded) as database:
        show.value(plan_slots(database, loaded, newsletter, count), as_json, show.plan)


@cli.command()
def status(as_json: Json = False) -> None:
    """Show what the service holds and does."""
    loaded = _load()
    done = _read(loaded, lambda conn: reports.status(loaded, conn, now()))
    pid = DirectoryLock.holder_of(loaded.data_dir)
    done["service"] = {"pid": pid, "edited_since": bool(pid) and _edited_since_start(loaded)}
    show.value(done, as_json, show.status)


def _edited_since_start(loaded: Config) -> bool:
    """Whether the configuration was edited since the service began to listen: it read the old one."""
    try:
        started = (loaded.data_dir / control.SOCKET).stat().st_mtime
        return any(file.stat().st_mtime > started for file in loaded.files)
    except OSError:  # it just stopped, or is only starting
        return False


# Sources, articles, readers


@sources_cli.command("list")
def sources_list(as_json: Json = False) -> None:
    """List the sources with every skipped file and its reason."""
    loaded = _load()
    show.value(_read(loaded, lambda conn: reports.source_list(loaded, conn)), as_json, show.sources)


@articles_cli.command("list")
def articles_list(
    state: Annotated[
        list[str] | None, typer.Option("--state", help="published, baseline, quarantined, held, withdrawn.")
    ] = None,
    source: Annotated[str | None, typer.Option("--source")] = None,
    category: Annotated[str | None, typer.Option("--category")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1)] = 50,
    as_json: Json = False,
) -> None:
    """List articles, newest first."""
    loaded = _load()
    found = _read(
        loaded,
        lambda conn: reports.article_list(
            loaded, conn, states=state or (), source=source, category=category, limit=limit
        ),
    )
    show.value(found, as_json, lambda done: show.articles(done, slots.zone_named(loaded.site.timezone)))


@articles_cli.command("release")
def articles_release(
    refs: Annotated[
        list[str] | None, typer.Argument(metavar="[REF]...", help="Refs as `articles list` shows them.")
    ] = None,
    source: Annotated[str | None, typer.Option("--source", help="All quarantined articles of this source.")] = None,
    as_json: Json = False,
) -> None:
    """Release articles from quarantine, or undo a withdrawal."""
    if not refs and source is None:
        raise typer.BadParameter("name articles by their refs, or a source with --source")
    show.value(_do("release", {"refs": refs or [], "source": source}), as_json, lambda d: show.moved("released", d))


@articles_cli.command("withdraw")
def articles_withdraw(
    refs: Annotated[list[str], typer.Argument(metavar="REF...", help="Refs as `articles list` shows them.")],
    reason: Annotated[str, typer.Option("--reason", help="Kept with the article.")] = "",
    as_json: Json = False,
) -> None:
    """Take articles back: out of feeds, pages and coming issues, whatever their source says later."""
    show.value(_do("withdraw", {"refs": refs, "reason": reason}), as_json, lambda d: show.moved("withdrawn", d))


@deliveries_cli.command("list")
def deliveries_list(
    state: Annotated[
        list[str] | None,
        typer.Option("--state", help="queued, sending, sent, deferred, failed, uncertain, suppressed, expired."),
    ] = None,
    issue: Annotated[str | None, typer.Option("--issue", help="Ref of the issue, as `status` shows it.")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1)] = 50,
    as_json: Json = False,
) -> None:
    """List deliveries with the server's words; `--state uncertain` shows what waits for your decision."""
    loaded = _load()
    found = _read(loaded, lambda conn: reports.delivery_list(conn, states=state or (), issue=issue, limit=limit))
    show.value(found, as_json, show.deliveries)


@deliveries_cli.command("resend")
def deliveries_resend(
    ids: Annotated[list[int], typer.Argument(metavar="ID...", help="Numbers as `deliveries list` shows them.")],
    as_json: Json = False,
) -> None:
    """Send uncertain or failed deliveries once more; who got the first copy gets a second."""
    show.value(_do("resend", {"ids": ids}), as_json, show.resent)


@subscribers_cli.command("list")
def subscribers_list(
    newsletter: Annotated[str | None, typer.Option("--newsletter")] = None,
    state: Annotated[str | None, typer.Option("--state", help="pending, confirmed, unsubscribed.")] = None,
    as_json: Json = False,
) -> None:
    """List readers with their choices."""
    loaded = _load()
    found = _read(loaded, lambda conn: reports.subscriber_list(conn, newsletter=newsletter, state=state))
    show.value(found, as_json, show.subscribers)


@subscribers_cli.command("add")
def subscribers_add(
    email: Annotated[str, typer.Argument(help="The reader's address.")],
    consent: Annotated[
        str, typer.Option("--consent", help="How this person agreed, for example 'paper form 2026-05-03'.")
    ],
    newsletter: Annotated[str, typer.Option("--newsletter", help="Needed when there are several.")] = "",
    frequency: Annotated[str, typer.Option("--frequency", help="Default: the newsletter's first.")] = "",
    categories: Annotated[str, typer.Option("--categories", help="Slugs, comma-separated; default: all.")] = "",
    languages: Annotated[str, typer.Option("--languages", help="Best first, comma-separated.")] = "",
    format_: Annotated[str, typer.Option("--format", help="html or text.")] = "",
    timezone: Annotated[str, typer.Option("--timezone")] = "",
    name: Annotated[str, typer.Option("--name")] = "",
    as_json: Json = False,
) -> None:
    """Add one reader who agreed; whoever left before stays out."""
    row = {
        "email": email,
        "name": name,
        "languages": languages,
        "newsletter": newsletter,
        "frequency": frequency,
        "categories": categories,
        "format": format_,
        "timezone": timezone,
        "consent": consent,
    }
    show.value(_do("import_subscribers", {"rows": [row], "method": "command"}), as_json, show.added)


@subscribers_cli.command("import")
def subscribers_import(
    file: Annotated[Path, typer.Argument(help="CSV with a header row; columns as in docs/commands.md.")],
    as_json: Json = False,
) -> None:
    """Add the readers of a CSV file: all of them or, when any row is wrong, none."""
    show.value(_do("import_subscribers", {"rows": read_rows(file)}), as_json, show.added)


@dkim_cli.command("new")
def dkim_key_new(
    selector: Annotated[str, typer.Option("--selector", help="Its name in the DNS; default: after the month.")] = "",
    kind: Annotated[Kind, typer.Option("--type", help="rsa, or ed25519 for a second signature.")] = "rsa",
    out_file: Annotated[
        Path | None, typer.Option("--out", help="File to write; default: in the data directory.", show_default=False)
    ] = None,
    as_json: Json = False,
) -> None:
    """Make a key that signs mail (DKIM), and print the DNS record that lets the world check it."""
    show.value(keys.new(_load(), kind=kind, selector=selector, file=out_file, now=now()), as_json, keys.show)


def read_rows(file: Path) -> list[dict[str, str]]:
    """Return the rows of a CSV file (UTF-8, `,` or `;`) by their header. Raises NotFoundError or PublisherError."""
    try:
        text = file.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise NotFoundError(f"{file}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise PublisherError(f"{file}: not UTF-8 at byte {error.start}; save it as 'CSV UTF-8'") from error
    header = text.partition("\n")[0]
    delimiter = ";" if header.count(";") > header.count(",") else ","
    rows = csv.DictReader(io.StringIO(text), delimiter=delimiter, strict=True)
    found = []
    try:
        for row in rows:
            if None in row or None in row.values():
                raise PublisherError(f"{file}:{rows.line_num}: has not as many cells as the header")
            found.append({name.strip().lower(): cell for name, cell in row.items()})
    except csv.Error as error:
        # The reader counts the lines of whole rows; the row that cannot be read begins after them.
        raise PublisherError(f"{file}:{rows.line_num + 1}: {error}") from error
    return found


# How a command reaches its story


def _find() -> Path:
    return config.find(_options.config, os.environ, Path.cwd())


def _load() -> Config:
    return config.load(_find(), os.environ)


def _do(action: str, arguments: Mapping[str, Any]) -> Any:  # noqa: ANN401 - a JSON value
    """Let the running service tell the story, or take its place for a moment: the same story either way."""
    loaded = _load()

    async def story(told: Told) -> Any:  # noqa: ANN401 - a JSON value
        try:
            app = await App.open(loaded)
        except BusyError:
            return await control.call(loaded.data_dir, action, arguments, told)
        async with app, signals(app):
            # What a service would hand over as JSON is handed over as JSON here too.
            return json.loads(json.dumps(await app.actions[action](**arguments, progress=told)))

    with _progress() as told:
        return asyncio.run(story(told))


@contextmanager
def _reading(loaded: Config) -> Iterator[Database]:
    """Open the database for a command that only looks: it writes nothing, also where nothing exists yet."""
    database = Database.look(loaded.database_url, data_dir=loaded.data_dir)
    if database is not None:
        with database:
            yield database
        return
    with tempfile.TemporaryDirectory() as nowhere, Database.open(data_dir=Path(nowhere), readers=1) as empty:
        yield empty


def _read(loaded: Config, work: Callable[[Connection], T]) -> T:
    with _reading(loaded) as database:
        return database.read(work)


@contextmanager
def _progress() -> Iterator[Told]:
    """Draw a bar on a terminal; say nothing elsewhere."""
    if not err.is_terminal:
        yield silent
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=err, transient=True) as bars:
        task = bars.add_task("", total=None)

        def told(label: str, done: int, total: int | None) -> None:
            bars.update(task, description=escape(label), completed=done, total=total)

        yield told


def _configure_logs() -> None:
    """Log to standard error: for eyes on a terminal, as JSON lines otherwise."""
    terminal = sys.stderr.isatty()
    level = logging.getLevelNamesMapping().get(os.environ.get("PUBLISHER_LOG", "").upper(), logging.WARNING)
    logging.basicConfig(level=logging.WARNING, format="%(name)s: %(message)s")
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.dev.ConsoleRenderer() if terminal else structlog.processors.JSONRenderer(ensure_ascii=False),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
