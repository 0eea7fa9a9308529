"""What people read of sources, articles and feeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from rich.markup import escape

from publisher.cli.printing import count, print_table, say, say_wrong, table_of


def collected(done: Mapping[str, Any]) -> None:
    """Say what a collection brought."""
    for source in done["sources"]:
        if "error" in source:
            say_wrong(f"{source['name']}: {source['error']}")
            continue
        say(
            f"{source['name']}: {count(source['articles'], 'article')}; {source['new']} new, "
            f"{source['changed']} changed, {source['withdrawn']} withdrawn, {len(source['skipped'])} skipped"
        )
        for skipped in source["skipped"]:
            say(f"  skipped {skipped['path']}: {skipped['reason']}")
        for path in source["postponed"]:
            say(f"  {path} is still being written; next time")
        for note in source["notes"]:
            say(f"  {note}")
        if source["alarm"]:
            say_wrong(f"{source['name']}: ALARM {source['alarm']}")
    if done["feeds"]:
        feeds(done["feeds"])


def feeds(done: Mapping[str, Any]) -> None:
    """Say which feeds changed."""
    say(f"feeds: {len(done['built'])} built, {len(done['changed'])} files changed, {done['unchanged']} as they were")
    for problem in done["problems"]:
        say_wrong(f"{problem['path']}: {problem['reason']}")


def sources(done: Sequence[Mapping[str, Any]]) -> None:
    """List the sources with what each skipped."""
    for source in done:
        say(source_line(source))
        if source["alarm"]:
            say(f"  ALARM {source['alarm']}")
        for problem in source["problems"]:
            say(f"  {problem['path']}: {problem['reason']}")


def source_line(source: Mapping[str, Any]) -> str:
    """Return how a source stands, as a line."""
    last = source["last_success_at"] or "never"
    counts = f"{count(source['articles'], 'article')}, {source['skipped']} skipped, {source['drafts']} drafts"
    return f"{source['name']} ({source['kind']}): {counts}, last collected {last}"


def articles(done: Sequence[Mapping[str, Any]], zone: ZoneInfo) -> None:
    """List articles, by the publication's own calendar."""
    table = table_of("Ref", "Published", "State", "Lang", "Category", "Title")
    for article in done:
        table.add_row(
            article["ref"],
            f"{datetime.fromisoformat(article['published_at']).astimezone(zone):%Y-%m-%d}",
            article["state"],
            article["language"],
            article["categories"][0],
            escape(article["title"]),
        )
    print_table(table)


def moved(word: str, done: Mapping[str, Any]) -> None:
    """Say which articles were released or withdrawn."""
    for title in done["articles"]:
        say(f"{word}: {title}")
    if not done["articles"]:
        say(f"nothing was {word}: the articles were in that state already")
