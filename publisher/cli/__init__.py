"""The command line: each command is one story call, printed for people or as JSON."""

from __future__ import annotations

import faulthandler
import gc
import logging
import os
import sys
import threading
from pathlib import Path
from typing import Annotated

import structlog
import typer
from rich.markup import escape
from structlog.typing import Processor

from publisher import __version__
from publisher.cli.console import err, out
from publisher.cli.later import Later
from publisher.cli.options import options
from publisher.clock import key
from publisher.errors import ConfigurationError, PublisherError
from publisher.logs import Mask

cli = typer.Typer(
    cls=Later,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Feeds and newsletters for a publication that already has articles.",
    epilog="Exit codes: 0 ok, 1 failed, 2 usage, 3 configuration invalid, 4 refused, 75 try later.",
)

GARBAGE = (20_000, 20, 20)
"""When to look for garbage that refers to itself. Loading makes many objects that stay; to look among them for every
700 new ones costs a tenth of a start, and some of sending."""


def program() -> None:
    """Be the program `publisher`: the command line, in a process of its own."""
    # A supervisor that loses patience sends SIGABRT: say where each thread stood, in names of files and functions.
    faulthandler.enable()
    gc.set_threshold(*GARBAGE)
    speak_for_python()
    main()


def main() -> None:
    """Run the command line; errors become one message and the exit code of their kind."""
    configure_logs()
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
    options.config = config_file


def configure_logs() -> None:
    """Log to standard error: for eyes on a terminal, as JSON lines otherwise; nobody's address, no token (spec §8)."""
    level = logging.getLevelNamesMapping().get(os.environ.get("PUBLISHER_LOG", "").upper(), logging.WARNING)
    steps: list[Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        Mask(key()),
    ]
    terminal = sys.stderr.isatty()
    last: Processor = (
        structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
        if terminal
        else structlog.processors.JSONRenderer(ensure_ascii=False)
    )
    structlog.configure(
        processors=[*steps, last],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    # Other libraries' words go the same way.
    remove = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    formatter = structlog.stdlib.ProcessorFormatter(processors=[remove, last], foreign_pre_chain=steps)
    handler = _StandardError()
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers = [other for other in root.handlers if not isinstance(other, _StandardError)] + [handler]


def speak_for_python() -> None:
    """Log what Python would write to standard error as it is, with whatever address stands in it."""
    logging.captureWarnings(capture=True)

    def failed(event: str, error: BaseException | None) -> None:
        structlog.get_logger().error(event, exc_info=error)

    sys.excepthook = lambda _, error, __: failed("unexpected", error)
    threading.excepthook = lambda args: failed("thread failed", args.exc_value)
    sys.unraisablehook = lambda args: failed("failed unseen", args.exc_value)


class _StandardError(logging.Handler):
    """Writes to what is standard error at the moment."""

    def emit(self, record: logging.LogRecord) -> None:
        sys.stderr.write(self.format(record) + "\n")
