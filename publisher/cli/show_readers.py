"""What people read of readers: who they are, what is held of them, who came in and who is not mailed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.markup import escape

from publisher.cli.console import out
from publisher.cli.printing import count, print_table, say, table_of


def subscribers(done: Sequence[Mapping[str, Any]]) -> None:
    """List readers."""
    table = table_of("Address", "Newsletter", "Frequency", "State", "Languages", "Categories")
    for row in done:
        table.add_row(
            escape(row["address"]),
            row["newsletter"],
            row["frequency"],
            f"suppressed: {row['suppressed']}" if row["suppressed"] else row["state"],
            ", ".join(row["languages"]),
            "all" if row["categories"] is None else ", ".join(row["categories"]),
        )
    print_table(table)


def person(done: Mapping[str, Any]) -> None:
    """Show one reader: what they receive, and the record of how that came about."""
    who = done["person"]
    if who is None:
        out.print("Nobody; the address is " + ("suppressed." if done["suppression"] else "erased."))
        return
    suppression = done["suppression"]
    out.print(escape(f"{who['address']}  {', '.join(who['languages'])}  {who['timezone']}  {who['format']}"))
    if suppression:
        out.print(escape(f"suppressed ({suppression['kind']}): {suppression['reason']}"))
    table = table_of("Newsletter", "Frequency", "State", "Categories", "Paused until")
    for row in done["subscriptions"]:
        categories = "all" if row["categories"] is None else ", ".join(row["categories"])
        table.add_row(row["newsletter"], row["frequency"], row["state"], categories, row["paused_until"] or "")
    print_table(table)
    record = table_of("When", "Newsletter", "What", "How", "Words")
    for row in done["consents"]:
        how = " ".join(word for word in (row["method"], row["form"], row["client"]) if word)
        record.add_row(row["recorded_at"][:16], row["newsletter"], row["event"], escape(how), escape(row["proof"]))
    print_table(record)


def held(done: Mapping[str, Any]) -> None:
    """List what is held about people."""
    say(f"in {done['database']}")
    table = table_of("Held", "What", "Until")
    for row in done["held"]:
        table.add_row(f"{row['number']:,}", row["what"], row["until"])
    print_table(table)
    say("Beside it lie keys, hashes of who left (the journal of departures), and what the embedded inbox holds.")
    say("Not seen from here: backups, logs and queue of the mail server, files of exports.")


def added(done: Mapping[str, Any]) -> None:
    """Say what became of readers who were named."""
    words = {
        "added": "added",
        "changed": "subscribed already, now changed",
        "unchanged": "subscribed already",
        "left": "had left, and stay out",
        "suppressed": "may not be mailed",
    }
    say("readers: " + "; ".join(f"{done[key]} {text}" for key, text in words.items() if done[key] or key == "added"))


_IMPORTED = {
    "added": "added",
    "asked": "asked to confirm by mail",
    "pending": "kept as unconfirmed, not mailed",
    "unchanged": "subscribed already",
    "unsubscribed": "taken over as having left",
    "barred": "taken over as never to be mailed",
    "left": "had left here, and stay out",
    "suppressed": "may not be mailed, and stay out",
    "unconfirmed": "never confirmed there, and stay out",
    "repeated": "name a person again",
    "invalid": "are wrong, and were left out",
}


def imported(done: Mapping[str, Any]) -> None:
    """Say what became of the rows of a file."""
    would = "would be imported (nothing was written)" if done["dry_run"] else "imported"
    whose = "" if done["source"] == "publisher" else f" as {done['source']} exports it"
    say(f"{done['file']}{whose}: {count(done['rows'], 'row')} {would}")
    if done["resumed_after"]:
        say(f"  went on after row {done['resumed_after']}, where the last run ended; the numbers are of both")
    for key, words in _IMPORTED.items():
        if done[key] or key == "added":
            say(f"  {done[key]:>9,} {words}")
    for row in done["stayed_out"]:
        reason = f": {row['reason']}" if row["reason"] else ""
        say(f"  row {row['row']} stays out: {row['taken']}{reason}")
    for problem in done["problems"]:
        column = f", column {problem['column']}" if problem["column"] else ""
        say(f"  row {problem['row']}{column}: {problem['message']}")
    more = sum(done[key] for key in ("left", "suppressed", "invalid")) - len(done["stayed_out"]) - len(done["problems"])
    if more > 0:
        say(f"  … and {count(more, 'more row')}; --report FILE writes them all")
    if done["ignored_columns"]:
        say(f"  columns not taken: {', '.join(done['ignored_columns'])}")
    if done["unknown_tags"]:
        tags = ", ".join(f"{tag} ({number})" for tag, number in done["unknown_tags"].items())
        say(f"  words that name no category here: {tags}")


def erased(done: Mapping[str, Any]) -> None:
    """Say that a person was forgotten."""
    out.print(escape(f"{done['address']} is forgotten here. Backups that you made still hold it."))


def suppressed(done: Mapping[str, Any]) -> None:
    """Say whether an address is mailed."""
    words = "is not mailed any more" if done["suppressed"] else "may be mailed again"
    out.print(escape(f"{done['address']} {words}."))


def lifted(done: Mapping[str, Any]) -> None:
    """Say who may be mailed again, and how many get the issue once more."""
    for address in done["addresses"]:
        say(address)
    number = len(done["addresses"])
    say(f"{number} {'address' if number == 1 else 'addresses'} may be mailed again.")
    if done["waiting"]:
        say(f"to be sent again: {', '.join(str(number) for number in done['waiting'])}")
