"""Commands about sources and articles."""

from __future__ import annotations

from typing import Annotated

import typer

from publisher import reports, slots
from publisher.cli import printing, show_articles
from publisher.cli.reach import Json, do, load, read

sources_cli = typer.Typer(no_args_is_help=True, help="Where articles come from.")
articles_cli = typer.Typer(no_args_is_help=True, help="Articles, and the ones held back.")


@sources_cli.command("list")
def sources_list(as_json: Json = False) -> None:
    """List the sources with every skipped file and its reason."""
    loaded = load()
    printing.value(read(loaded, lambda conn: reports.source_list(loaded, conn)), as_json, show_articles.sources)


@articles_cli.command("list")
def articles_list(
    state: Annotated[
        list[str] | None, typer.Option("--state", help="published, baseline, quarantined, held, withdrawn.")
    ] = None,
    source: Annotated[str | None, typer.Option("--source", help="Of this source only.")] = None,
    category: Annotated[str | None, typer.Option("--category", help="Of this category only, by its slug.")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="How many at most.")] = 50,
    as_json: Json = False,
) -> None:
    """List articles, newest first."""
    loaded = load()
    found = read(
        loaded,
        lambda conn: reports.article_list(
            loaded, conn, states=state or (), source=source, category=category, limit=limit
        ),
    )
    printing.value(found, as_json, lambda done: show_articles.articles(done, slots.zone_named(loaded.site.timezone)))


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
    printing.value(
        do("release", {"refs": refs or [], "source": source}), as_json, lambda d: show_articles.moved("released", d)
    )


@articles_cli.command("pin")
def articles_pin(
    refs: Annotated[list[str], typer.Argument(metavar="REF...", help="Refs as `articles list` shows them.")],
    off: Annotated[bool, typer.Option("--off", help="Pin them no more.")] = False,
    as_json: Json = False,
) -> None:
    """Let articles stand first in their sections of the digests they will come in, whatever their dates."""
    word = "unpinned" if off else "pinned"
    printing.value(do("pin", {"refs": refs, "pinned": not off}), as_json, lambda d: show_articles.moved(word, d))


@articles_cli.command("withdraw")
def articles_withdraw(
    refs: Annotated[list[str], typer.Argument(metavar="REF...", help="Refs as `articles list` shows them.")],
    reason: Annotated[str, typer.Option("--reason", help="Kept with the article.")] = "",
    as_json: Json = False,
) -> None:
    """Take articles back: out of feeds, pages and coming issues, whatever their source says later."""
    printing.value(
        do("withdraw", {"refs": refs, "reason": reason}), as_json, lambda d: show_articles.moved("withdrawn", d)
    )
