"""What people read of the outbox and its deliveries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.markup import escape

from publisher.cli.printing import print_table, say, table_of


def sent(done: Mapping[str, Any]) -> None:
    """Say what the outbox did."""
    numbers = {name: count for name, count in done.items() if isinstance(count, int) and not isinstance(count, bool)}
    counts = ", ".join(f"{count} {name}" for name, count in numbers.items() if count)
    say(f"outbox: {counts or 'nothing due'}")
    if done["held"]:
        say(f"  stopped: {done['held']}")
    for reason in done["paused"]:
        say(f"  issue paused: {reason}")
    for reason in done["slowed"]:
        say(f"  slower: {reason}")
    if done["later_at"]:
        say(f"  what waits for its pace goes on at {done['later_at']}")


def deliveries(done: Sequence[Mapping[str, Any]]) -> None:
    """List deliveries; the server's words are shown as they are, never as markup."""
    table = table_of("Id", "Issue", "Address", "State", "Attempts", "Reason")
    for row in done:
        cells = (str(row["id"]), row["issue"], row["address"] or "", row["state"], str(row["attempts"]), row["reason"])
        table.add_row(*(escape(cell) for cell in cells))
    print_table(table)


def delivery(done: Mapping[str, Any]) -> None:
    """Tell the history of a delivery."""
    reader = done["address"] or "an address not yet fixed"
    say(f"delivery {done['id']} to {reader}: {done['state']}{': ' if done['reason'] else ''}{done['reason']}")
    say(f"  {done['newsletter']} {done['slot'].replace('T', ' ')}, issue {done['issue']}, over {done['transport']}")
    say(f"  due {done['due_at']}, expires {done['expires_at']}, {done['message_id']}")
    for one in done["history"]:
        code = f"{one['reply_code']} " if one["reply_code"] is not None else ""
        say(f"  {one['ended_at']} attempt {one['attempt']}: {one['outcome']} at {one['phase']}: {code}{one['reply']}")
    if done["next_at"]:
        say(f"  tried again at {done['next_at']}")


def resent(done: Mapping[str, Any]) -> None:
    """Say which deliveries wait again."""
    if done["waiting"]:
        say(f"to be sent again: {', '.join(str(number) for number in done['waiting'])}")
    if done["refused"]:
        numbers = ", ".join(str(number) for number in done["refused"])
        say(f"left as they are, being neither uncertain nor failed: {numbers}")


def marked(done: Mapping[str, Any]) -> None:
    """Say which deliveries count as sent now."""
    if done["sent"]:
        say(f"marked as sent: {', '.join(str(number) for number in done['sent'])}")
    if done["refused"]:
        say(f"left as they are, not being uncertain: {', '.join(str(number) for number in done['refused'])}")
