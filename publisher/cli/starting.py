"""Commands that begin something: a publication, a demo, the service."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from publisher import config
from publisher.app import App, trials
from publisher.app.signals import Hangups, signals
from publisher.app.supervisor import Supervisor
from publisher.cli import ending, printing, show_articles, show_deliveries, show_issues, show_readers
from publisher.cli.checking import tried
from publisher.cli.console import err, out, unhindered
from publisher.cli.reach import Json, load, play, progress
from publisher.clock import now
from publisher.config import Config

cli = typer.Typer()


@cli.command()
def init(directory: Annotated[Path, typer.Argument(help="Folder to write the new publication into.")]) -> None:
    """Write a new publication: a commented configuration, a template folder, an example article."""
    from publisher import scaffold  # here: the service needs neither this nor the sample

    for path in scaffold.init(directory):
        out.print(f"wrote {path}", soft_wrap=True)
    file = directory / "config" / "publisher.toml"
    for line in (
        f"Next, edit {file}. Then:",
        f'  publisher --config {file} subscribers add YOU@YOUR.DOMAIN --consent "it is me"',
        f"  publisher --config {file} run",
    ):
        out.print(escape(line), soft_wrap=True)


@cli.command()
def demo(
    directory: Annotated[Path, typer.Option("--dir", help="Where the demo keeps everything.")] = Path("demo"),
    once: Annotated[bool, typer.Option("--once", help="Do it once and stop, instead of serving.")] = False,
    as_json: Json = False,
) -> None:
    """Show the whole service on a sample publication: collect, build feeds, send an issue, serve pages and inbox."""
    from publisher import sample  # as above

    directory = directory.resolve()
    values = sample.values(directory)
    today = now().date()
    loaded = config.load(sample.materialise(directory, today, values), os.environ)

    async def story() -> dict[str, Any]:
        async with await App.open(loaded) as app:
            with progress() as told:
                done = await sample.perform(app, directory / sample.PUBLICATION, told)
            if as_json:
                printing.as_json(done)
            else:
                _demonstrated(done, directory, loaded)
            if not once:
                await _serve(app)
            return done

    play(story())


@cli.command()
def run(
    once: Annotated[bool, typer.Option("--once", help="Do one full round and stop, for cron.")] = False,
    trust_clock: Annotated[
        bool, typer.Option("--trust-clock", help="Believe the clock, although it showed a later time before.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Run the service: collect, publish feeds, send issues when due, serve pages."""
    hangups = None if once else Hangups()
    loaded = load()
    made = tried(loaded, known=trials.remembered(loaded.data_dir))

    async def story() -> None:
        async with await App.open(loaded, made=made) as app:
            if trust_clock:
                await app.dispatching.trust_clock()
            if not once:
                await _serve(app, hangups)
                return
            async with signals(app):
                with progress() as told:
                    done = await app.cycle(progress=told)
            if as_json:
                printing.as_json(done)
            else:
                show_articles.collected(done["collected"])
                for report in done["dispatched"]:
                    show_issues.dispatched(report)
                show_deliveries.sent(done["sent"])
            ending.fail_on_errors(done["collected"])
            ending.fail_on_failed_slots(done["dispatched"])
            ending.try_later(done["clock"] or done["sent"]["held"])

    play(story())


async def _serve(app: App, hangups: Hangups | None = None) -> None:
    # Loading servers takes a third of a second, and commands that serve nothing are not to wait for it.
    from publisher.service import Listening, Service

    def ready(listening: Listening) -> None:
        err.print(f"Pages and feeds: {listening.public}/", soft_wrap=True)
        err.print(f"Admin pages:     {listening.admin}/", soft_wrap=True)
        if app.sending.inbox is not None:
            err.print(f"Inbox:           {listening.admin}/inbox/", soft_wrap=True)
        if listening.login:
            err.print(f"Log in, once:    {listening.login}", soft_wrap=True)
        err.print("Stop with Ctrl-C.")
        if hangups is not None:
            hangups.repeat()

    with unhindered():
        async with signals(app, serving=True):
            await Service(app, Supervisor.of(os.environ, os.getpid())).run(ready)


def _demonstrated(done: Mapping[str, Any], directory: Path, loaded: Config) -> None:
    """Say what the demo did and where to look."""
    show_readers.added(done["readers"])
    show_articles.collected(done["collected"])
    for step in done["later"]:
        show_articles.collected(step)
    show_issues.dispatched(done["dispatched"])
    show_deliveries.sent(done["sent"])
    printing.say("")
    printing.say(f"Feeds:         {directory}/site/feeds/")
    printing.say(f"Messages:      {directory}/inbox/")
    printing.say(f"Configuration: {loaded.files[0]}")
