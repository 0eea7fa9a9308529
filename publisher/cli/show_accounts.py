"""What people read of the accounts of the admin pages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.markup import escape

from publisher.cli.printing import print_table, say, table_of


def invited(done: Mapping[str, Any]) -> None:
    """Say how somebody logs in."""
    say(f"{done['name']} ({done['role']}) logs in here, once, before {done['expires_at']}:")
    say(done["link"])


def accounts(found: Sequence[Mapping[str, Any]]) -> None:
    """List accounts."""
    if not found:
        say("There is no account yet; `publisher admin invite NAME --role admin` makes one.")
        return
    table = table_of("name", "role", "last login", "sessions", "last seen")
    for one in found:
        seen = one["seen_at"] or "", one["entered_at"] or "never"
        table.add_row(escape(one["name"]), one["role"], seen[1], str(one["sessions"]), seen[0])
    print_table(table)


def revoked(done: Mapping[str, Any]) -> None:
    """Say that an account is gone."""
    say(f"{done['name']} may not log in any more, and is logged out everywhere")
