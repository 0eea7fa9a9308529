"""Commands that do one step of the work."""

from __future__ import annotations

from typing import Annotated

import typer

from publisher.cli import ending, printing, show_articles, show_deliveries, show_issues
from publisher.cli.reach import Json, do

cli = typer.Typer()


@cli.command()
def collect(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[SOURCE]...", help="Sources; all when none is named.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Collect articles, decide what is new, and bring the feeds up to date."""
    done = do("collect", {"names": names or []})
    printing.value(done, as_json, show_articles.collected)
    ending.fail_on_errors(done)


@cli.command()
def feeds(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[FEED]...", help="Feeds; all when none is named.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Build feeds and write the files that changed."""
    done = do("feeds", {"names": names or []})
    printing.value(done, as_json, show_articles.feeds)
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
    done = do("dispatch", {"newsletter": newsletter, "dry_run": dry_run, "to": to})
    printing.value(done, as_json, show_issues.tested if to else show_issues.dispatched)
    if to and done["outcome"] != "accepted":
        raise typer.Exit(1)


@cli.command()
def send(as_json: Json = False) -> None:
    """Send the deliveries that are due."""
    done = do("send", {})
    printing.value(done, as_json, show_deliveries.sent)
    ending.try_later(done["held"])
