"""Commands that are imported when they are called: help and a quick look wait for no library that they do not use."""

from __future__ import annotations

import importlib
from typing import Any, NamedTuple

from typer import main
from typer.core import TyperCommand, TyperGroup


class Place(NamedTuple):
    """Where a command lives, and what the list of commands says of it: the first sentence that it says of itself."""

    module: str
    """Below `publisher.cli`."""
    typer: str
    """Name of the `Typer` there: one that holds the command, or that is the group."""
    help: str


PLACES: dict[str, Place] = {
    "init": Place(
        "starting",
        "cli",
        "Write a new publication: a commented configuration, a template folder, an example article.",
    ),
    "check": Place(
        "checking",
        "cli",
        "Check the configuration as a whole: problems stop the service, warnings are for you to weigh.",
    ),
    "demo": Place(
        "starting",
        "cli",
        "Show the whole service on a sample publication: collect, build feeds, send an issue, serve pages and inbox.",
    ),
    "run": Place("starting", "cli", "Run the service: collect, publish feeds, send issues when due, serve pages."),
    "collect": Place("working", "cli", "Collect articles, decide what is new, and bring the feeds up to date."),
    "feeds": Place("working", "cli", "Build feeds and write the files that changed."),
    "dispatch": Place(
        "working",
        "cli",
        "Compose an issue now, by hand, and queue a delivery for each of its readers; `publisher send` sends them.",
    ),
    "send": Place("working", "cli", "Send the deliveries that are due."),
    "plan": Place(
        "planning",
        "cli",
        "Show the next slots, what the next issue would hold, and why a slot would be skipped or held.",
    ),
    "preview": Place(
        "planning",
        "cli",
        "Write the coming mail as files: subject.txt, digest.html, digest.txt, message.eml.",
    ),
    "reload": Place(
        "looking",
        "cli",
        "Let the running service go by the configuration and templates as they are now; it watches them by itself too.",
    ),
    "status": Place("looking", "cli", "Show what the service holds and does."),
    "doctor": Place(
        "doctor",
        "cli",
        "Look at everything around the service, from the disk to the DNS, and say what is wrong and its remedy.",
    ),
    "backup": Place(
        "backing",
        "cli",
        "Write the database, the keys and the journal of who left into one file, while the service runs.",
    ),
    "restore": Place(
        "backing",
        "cli",
        "Put a backup into an empty data directory; nothing is sent from it until `publisher resume`.",
    ),
    "resume": Place(
        "backing",
        "cli",
        "Let a restored or copied instance send again; what was open counts as perhaps sent, so nobody gets it twice.",
    ),
    "approve": Place("issues", "cli", "Send an issue that is held, exactly as it was composed."),
    "issues": Place("issues", "issues_cli", "Issues: composed digests, sent or waiting."),
    "deliveries": Place("deliveries", "deliveries_cli", "Mails to readers: what became of each."),
    "subscribers": Place("subscribers", "subscribers_cli", "Readers and what they chose."),
    "sources": Place("articles", "sources_cli", "Where articles come from."),
    "articles": Place("articles", "articles_cli", "Articles, and the ones held back."),
    "dkim-key": Place("keys", "dkim_cli", "Keys that sign mail."),
    "keys": Place("keys", "keys_cli", "Keys that sign the links in mail."),
    "admin": Place("admin", "admin_cli", "Accounts of the admin pages: who may log in, and as what."),
    "config": Place("configuring", "config_cli", "The configuration: what it comes to, and its schema for editors."),
}
"""Every command, in the order of the help. To add one: its line here, and its module."""


class Later(TyperGroup):
    """The group of all commands; each is known by name and sentence, and imported when it is called."""

    def __init__(self, **given: Any) -> None:  # noqa: ANN401 - what Typer gives a group
        super().__init__(**given)
        for name, place in PLACES.items():
            self.add_command(TyperCommand(name, help=place.help))

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:  # noqa: ANN401 - Typer keeps Click's classes to itself
        """Return the command itself where its name alone was known until now."""
        name, command, rest = super().resolve_command(ctx, args)
        return name, command if name not in PLACES else loaded(name), rest


def loaded(name: str) -> Any:  # noqa: ANN401 - as above
    """Return a command or a group of commands, imported."""
    place = PLACES[name]
    typer = getattr(importlib.import_module(f"publisher.cli.{place.module}"), place.typer)
    group = main.get_group(typer)
    if place.typer == "cli":
        return group.commands[name]
    group.name = name
    return group
