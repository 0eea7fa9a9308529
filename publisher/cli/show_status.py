"""What people read of the service as a whole, and of what a reload changed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from publisher.cli.printing import count, say
from publisher.cli.show_articles import source_line
from publisher.cli.show_issues import brief, speed


def status(done: Mapping[str, Any]) -> None:
    """Say how the service stands."""
    _service(done["service"]["pid"], done["configuration"])
    counts = ", ".join(f"{count} {state}" for state, count in done["articles"].items() if count)
    say(f"articles: {counts or 'none yet'}")
    for source in done["sources"]:
        say("  " + source_line(source))
        if source["alarm"]:
            say(f"    ALARM {source['alarm']}")
    say(f"feeds: {done['feeds']['files']} files, last changed {done['feeds']['changed_at'] or 'never'}")
    for slug, readers in done["feeds"]["readers"].items():
        say(f"  {slug}: {count(readers, 'reader')} behind services that poll for them")
    for hub in done["feeds"]["hubs"]:
        again = f"again at {hub['next_at']}" if hub["next_at"] else "given up"
        counts = f"{hub['waiting']} feeds wait, {hub['given_up']} given up"
        say(f"  HUB {hub['hub']}: {counts}; {again}: {hub['reason']}")
    for newsletter in done["newsletters"]:
        say(f"{newsletter['slug']}: {count(newsletter['readers'], 'reader')}")
        for slot in newsletter["next"]:
            when = f"next {slot['slot'].replace('T', ' ')} ({slot['schedule']})" if slot["slot"] else slot["schedule"]
            say(f"  {slot['frequency']}: {when}")
    for entry in done["issues"]:
        brief(entry)
    say(f"outbox: {done['outbox']['waiting']} waiting")
    for transport in done["outbox"]["transports"]:
        _transport(transport)
    for entry in done["outbox"]["reasons"]:
        say(f"  {entry['deliveries']} wait after {entry['reason']}")
    if done["clock"]:
        say(f"CLOCK: {done['clock']}")
    if done["paused"]:
        say(f"PAUSED: {done['paused']}; nothing is sent until `publisher resume`")


def _service(pid: int | None, problem: str | None) -> None:
    say(f"service: {f'running, pid {pid}' if pid else 'not running'}")
    if pid and problem:
        say("  ALARM an edit of the configuration has no effect yet:")
        for one in problem.splitlines():
            say(f"    {one}")


def _transport(done: Mapping[str, Any]) -> None:
    limit = f", at most {done['limit']}" if done["limit"] else ""
    say(f"  {done['name']} ({done['host'] or 'no server yet'}): {done['waiting']} waiting{speed(done)}{limit}")
    if done["rests"]:
        say(f"    SENDING RESTS until you say `publisher send`: {done['rests']}")
    for slow in done["slow"]:
        until = f"nothing until {slow['rests_until']}, then " if slow["rests_until"] else ""
        say(f"    {slow['provider']} gets {until}at most {slow['limit']}: {slow['reason']}")


def reloaded(done: Mapping[str, Any]) -> None:
    """Say what a reload changed."""
    for change in done["changes"]:
        say(change)
    if done["templates"]:
        say("templates: changed")
    if not done["changes"] and not done["templates"]:
        say("nothing changed")
    if done["needs_restart"]:
        say(f"needs a restart: {', '.join(done['needs_restart'])}")
