"""What people read of a story: lines and tables on standard output."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from publisher.cli.console import err, out
from publisher.config import Config
from publisher.errors import BusyError, Problem
from publisher.mail.progress import duration_in_words, rate_in_words


def value(result: Any, json_wanted: bool, in_words: Callable[[Any], None]) -> None:  # noqa: ANN401 - a JSON value
    """Print a story's result: as JSON, or by the function that puts it into words."""
    if json_wanted:
        as_json(result)
    else:
        in_words(result)


def as_json(value: Any) -> None:  # noqa: ANN401 - a JSON value
    """Print JSON that people can read too."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False, indent=2, default=str) + "\n")


def problem_value(problem: Problem) -> dict[str, Any]:
    """Return a problem of the configuration as JSON has it."""
    return {
        "file": problem.file,
        "line": problem.line,
        "key": problem.key,
        "message": problem.message,
        "hint": problem.hint,
    }


def _line(text: str) -> None:
    out.print(escape(text), soft_wrap=True)


def _wrong(text: str) -> None:
    """Say what went wrong, on standard error: a cron job that throws the rest away mails it all the same."""
    err.print(escape(text), soft_wrap=True)


def fail_on_errors(collected: Mapping[str, Any]) -> None:
    """End with exit code 1 when a source could not be collected."""
    if any("error" in source for source in collected["sources"]):
        raise typer.Exit(1)


def fail_on_failed_slots(dispatched: Sequence[Mapping[str, Any]]) -> None:
    """End with exit code 1 when an issue that was due could not be made."""
    if any(report["outcome"] == "failed" for report in dispatched):
        raise typer.Exit(1)


def try_later(reason: str) -> None:
    """End with exit code 75 when there is a reason why not all that is due was done."""
    if reason:
        err.print(f"stopped: {escape(reason)}", soft_wrap=True)
        raise typer.Exit(BusyError.exit_code)


def collected(done: Mapping[str, Any]) -> None:
    """Say what a collection brought."""
    for source in done["sources"]:
        if "error" in source:
            _wrong(f"{source['name']}: {source['error']}")
            continue
        _line(
            f"{source['name']}: {count(source['articles'], 'article')}; {source['new']} new, "
            f"{source['changed']} changed, {source['withdrawn']} withdrawn, {len(source['skipped'])} skipped"
        )
        for skipped in source["skipped"]:
            _line(f"  skipped {skipped['path']}: {skipped['reason']}")
        for path in source["postponed"]:
            _line(f"  {path} is still being written; next time")
        for note in source["notes"]:
            _line(f"  {note}")
        if source["alarm"]:
            _wrong(f"{source['name']}: ALARM {source['alarm']}")
    if done["feeds"]:
        feeds(done["feeds"])


def feeds(done: Mapping[str, Any]) -> None:
    """Say which feeds changed."""
    _line(f"feeds: {len(done['built'])} built, {len(done['changed'])} files changed, {done['unchanged']} as they were")
    for problem in done["problems"]:
        _wrong(f"{problem['path']}: {problem['reason']}")


def dispatched(done: Mapping[str, Any]) -> None:
    """Say what became of a slot."""
    would = "would be " if done["dry_run"] else ""
    whole = (
        f"{count(done['deliveries'], 'reader')} in {count(done['segments'], 'segment')}, "
        f"{count(done['articles'], 'article')}"
    )
    if done["outcome"] == "dispatched":
        _line(f"{done['newsletter']} {done['slot']}: {would}dispatched to {whole}")
    else:
        say = _wrong if done["outcome"] == "failed" else _line
        say(f"{done['newsletter']} {done['slot']}: {would}{done['outcome']}: {done['reason']}")
    if done["outcome"] == "held" and done["issue"]:
        _line(f"  for {whole}")
        if not done["dry_run"]:
            _line(f"  to send it: publisher approve {done['issue']}")
    _cautions(done)


def tested(done: Mapping[str, Any]) -> None:
    """Say what the server answered to a test mail."""
    _line(f"test to {done['to']}: {done['outcome']}: {done['reply']}\n  {done['subject']}")
    for note in done["notes"]:
        _line(f"  note: {note}")


def previewed(done: Mapping[str, Any]) -> None:
    """Name the files of a preview."""
    _line(f"{done['subject']} ({done['bytes'] / 1000:.0f} kB)")
    for note in done["notes"]:
        _line(f"  note: {note}")
    for path in done["files"]:
        _line(f"wrote {path}")


def sent(done: Mapping[str, Any]) -> None:
    """Say what the outbox did."""
    numbers = {name: count for name, count in done.items() if isinstance(count, int) and not isinstance(count, bool)}
    counts = ", ".join(f"{count} {name}" for name, count in numbers.items() if count)
    _line(f"outbox: {counts or 'nothing due'}")
    if done["held"]:
        _line(f"  stopped: {done['held']}")
    for reason in done["paused"]:
        _line(f"  issue paused: {reason}")
    for reason in done["slowed"]:
        _line(f"  slower: {reason}")
    if done["later_at"]:
        _line(f"  what waits for its pace goes on at {done['later_at']}")


def moved(word: str, done: Mapping[str, Any]) -> None:
    """Say which articles were released or withdrawn."""
    for title in done["articles"]:
        _line(f"{word}: {title}")
    if not done["articles"]:
        _line(f"nothing was {word}: the articles were in that state already")


def added(done: Mapping[str, Any]) -> None:
    """Say what became of readers who were named."""
    words = {
        "added": "added",
        "changed": "subscribed already, now changed",
        "unchanged": "subscribed already",
        "left": "had left, and stay out",
        "suppressed": "may not be mailed",
    }
    _line("readers: " + "; ".join(f"{done[key]} {text}" for key, text in words.items() if done[key] or key == "added"))


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
    _line(f"{done['file']}{whose}: {count(done['rows'], 'row')} {would}")
    if done["resumed_after"]:
        _line(f"  went on after row {done['resumed_after']}, where the last run ended; the numbers are of both")
    for key, words in _IMPORTED.items():
        if done[key] or key == "added":
            _line(f"  {done[key]:>9,} {words}")
    for row in done["stayed_out"]:
        reason = f": {row['reason']}" if row["reason"] else ""
        _line(f"  row {row['row']} stays out: {row['taken']}{reason}")
    for problem in done["problems"]:
        column = f", column {problem['column']}" if problem["column"] else ""
        _line(f"  row {problem['row']}{column}: {problem['message']}")
    more = sum(done[key] for key in ("left", "suppressed", "invalid")) - len(done["stayed_out"]) - len(done["problems"])
    if more > 0:
        _line(f"  … and {count(more, 'more row')}; --report FILE writes them all")
    if done["ignored_columns"]:
        _line(f"  columns not taken: {', '.join(done['ignored_columns'])}")
    if done["unknown_tags"]:
        tags = ", ".join(f"{tag} ({number})" for tag, number in done["unknown_tags"].items())
        _line(f"  words that name no category here: {tags}")


def count(number: int, word: str) -> str:
    """Return a number with its word: 1 reader, 2 readers."""
    return f"{number:,} {word}" if number == 1 else f"{number:,} {word}s"


def plan(done: Sequence[Mapping[str, Any]]) -> None:
    """List the coming slots: one line when, one what."""
    for slot in done:
        when = (
            f"{slot['slot'].replace('T', ' ')} {slot['timezone']} ({slot['at']})" if slot["slot"] else slot["schedule"]
        )
        _line(f"{slot['newsletter']} {slot['frequency']}: {when}, {count(slot['readers'], 'reader')}")
        if slot["late"]:
            _line(f"  {slot['late']}")
        if slot["skipped"]:
            _line(f"  would be skipped now: {slot['skipped']}")
            continue
        if slot["held"]:
            _line(f"  would be held now: {slot['held']}")
        if slot["articles"] is not None:
            size = f"at most {slot['bytes'] / 1000:.0f} kB"
            held = f"{count(slot['articles'], 'article')} in {count(slot['segments'], 'segment')}"
            _line(f"  would hold now: {held}, {size}")
        _cautions(slot)


def _cautions(done: Mapping[str, Any]) -> None:
    for warning in done["warnings"]:
        _line(f"  note: {warning}")
    for number, reason in done["left_out"].items():
        _line(f"  article {number} left out: {reason}")


def issues(done: Sequence[Mapping[str, Any]]) -> None:
    """List issues, a line each."""
    for entry in done:
        _issue(entry)
    if not done:
        _line("no issues yet")


def _issue(entry: Mapping[str, Any]) -> None:
    counts = ", ".join(f"{count} {state}" for state, count in entry["deliveries"].items())
    _line(f"issue {entry['ref']} {entry['newsletter']} {entry['slot']}: {entry['state']}; {counts or 'no deliveries'}")
    if _speed(entry):
        _line(f"  {_speed(entry).removeprefix('; ')}")
    if entry["reason"]:
        _line(f"  {entry['reason']}")
    if entry["state"] == "held":
        _line(f"  publisher approve {entry['ref']}")


def issue(done: Mapping[str, Any]) -> None:
    """Show one issue with what it holds."""
    _issue(done)
    _line(f"composed {done['created_at']}" + (f", sent {done['sent_at']}" if done["sent_at"] else ""))
    later = {"planned", "held"}, {"cancelled"}
    when = " (once it is sent)" if done["state"] in later[0] else " (gone)" if done["state"] in later[1] else ""
    _line(f"page: {done['page']}{when}")
    for segment in done["segments"]:
        readers = count(segment["readers"], "reader")
        _line(f"segment {segment['language']} {segment['format']}, {readers}: {segment['subject']}")
    for article in done["articles"]:
        _line(f"article {article['ref']} {article['title']}" + ("" if article["state"] == "published" else " (gone)"))


def turned(done: Mapping[str, Any]) -> None:
    """Say how an issue stands now."""
    counts = ", ".join(f"{count} {state}" for state, count in done["deliveries"].items())
    _line(f"issue {done['ref']} of {done['newsletter']} is {done['state']}: {counts or 'no deliveries'}")


def explained(done: Sequence[Mapping[str, Any]]) -> None:
    """Tell what became of a slot."""
    for record in done:
        _line(f"{record['newsletter']} {record['frequency']} {record['slot']} ({record['at']}): {record['outcome']}")
        _line(f"  {record['reason']} (decided {record['decided_at']})")
        if record["issue"]:
            issue(record["issue"])


def reloaded(done: Mapping[str, Any]) -> None:
    """Say what a reload changed."""
    for change in done["changes"]:
        _line(change)
    if done["templates"]:
        _line("templates: changed")
    if not done["changes"] and not done["templates"]:
        _line("nothing changed")
    if done["needs_restart"]:
        _line(f"needs a restart: {', '.join(done['needs_restart'])}")


def _service(pid: int | None, problem: str | None) -> None:
    _line(f"service: {f'running, pid {pid}' if pid else 'not running'}")
    if pid and problem:
        _line("  ALARM an edit of the configuration has no effect yet:")
        for line in problem.splitlines():
            _line(f"    {line}")


def status(done: Mapping[str, Any]) -> None:
    """Say how the service stands."""
    _service(done["service"]["pid"], done["configuration"])
    counts = ", ".join(f"{count} {state}" for state, count in done["articles"].items() if count)
    _line(f"articles: {counts or 'none yet'}")
    for source in done["sources"]:
        _line("  " + _source(source))
        if source["alarm"]:
            _line(f"    ALARM {source['alarm']}")
    _line(f"feeds: {done['feeds']['files']} files, last changed {done['feeds']['changed_at'] or 'never'}")
    for slug, readers in done["feeds"]["readers"].items():
        _line(f"  {slug}: {count(readers, 'reader')} behind services that poll for them")
    for hub in done["feeds"]["hubs"]:
        again = f"again at {hub['next_at']}" if hub["next_at"] else "given up"
        counts = f"{hub['waiting']} feeds wait, {hub['given_up']} given up"
        _line(f"  HUB {hub['hub']}: {counts}; {again}: {hub['reason']}")
    for newsletter in done["newsletters"]:
        _line(f"{newsletter['slug']}: {count(newsletter['readers'], 'reader')}")
        for slot in newsletter["next"]:
            when = f"next {slot['slot'].replace('T', ' ')} ({slot['schedule']})" if slot["slot"] else slot["schedule"]
            _line(f"  {slot['frequency']}: {when}")
    for entry in done["issues"]:
        _issue(entry)
    _line(f"outbox: {done['outbox']['waiting']} waiting")
    for transport in done["outbox"]["transports"]:
        _transport(transport)
    for entry in done["outbox"]["reasons"]:
        _line(f"  {entry['deliveries']} wait after {entry['reason']}")
    if done["clock"]:
        _line(f"CLOCK: {done['clock']}")
    if done["paused"]:
        _line(f"PAUSED: {done['paused']}; nothing is sent until `publisher resume`")


def _transport(done: Mapping[str, Any]) -> None:
    limit = f", at most {done['limit']}" if done["limit"] else ""
    _line(f"  {done['name']} ({done['host'] or 'no server yet'}): {done['waiting']} waiting{_speed(done)}{limit}")
    if done["rests"]:
        _line(f"    SENDING RESTS until you say `publisher send`: {done['rests']}")
    for slow in done["slow"]:
        until = f"nothing until {slow['rests_until']}, then " if slow["rests_until"] else ""
        _line(f"    {slow['provider']} gets {until}at most {slow['limit']}: {slow['reason']}")


def _speed(done: Mapping[str, Any]) -> str:
    """Return how fast something goes and how long it takes, where it moves."""
    if not done.get("per_second"):
        return ""
    left = f", {duration_in_words(timedelta(seconds=done['seconds_left']))} left" if done["seconds_left"] else ""
    return f"; {rate_in_words(done['per_second'])}{left}"


def sources(done: Sequence[Mapping[str, Any]]) -> None:
    """List the sources with what each skipped."""
    for source in done:
        _line(_source(source))
        if source["alarm"]:
            _line(f"  ALARM {source['alarm']}")
        for problem in source["problems"]:
            _line(f"  {problem['path']}: {problem['reason']}")


def articles(done: Sequence[Mapping[str, Any]], zone: ZoneInfo) -> None:
    """List articles, by the publication's own calendar."""
    table = _table("Ref", "Published", "State", "Lang", "Category", "Title")
    for article in done:
        table.add_row(
            article["ref"],
            f"{datetime.fromisoformat(article['published_at']).astimezone(zone):%Y-%m-%d}",
            article["state"],
            article["language"],
            article["categories"][0],
            escape(article["title"]),
        )
    _print_table(table)


def deliveries(done: Sequence[Mapping[str, Any]]) -> None:
    """List deliveries; the server's words are shown as they are, never as markup."""
    table = _table("Id", "Issue", "Address", "State", "Attempts", "Reason")
    for row in done:
        cells = (str(row["id"]), row["issue"], row["address"] or "", row["state"], str(row["attempts"]), row["reason"])
        table.add_row(*(escape(cell) for cell in cells))
    _print_table(table)


def delivery(done: Mapping[str, Any]) -> None:
    """Tell the history of a delivery."""
    reader = done["address"] or "an address not yet fixed"
    _line(f"delivery {done['id']} to {reader}: {done['state']}{': ' if done['reason'] else ''}{done['reason']}")
    _line(f"  {done['newsletter']} {done['slot'].replace('T', ' ')}, issue {done['issue']}, over {done['transport']}")
    _line(f"  due {done['due_at']}, expires {done['expires_at']}, {done['message_id']}")
    for one in done["history"]:
        code = f"{one['reply_code']} " if one["reply_code"] is not None else ""
        _line(f"  {one['ended_at']} attempt {one['attempt']}: {one['outcome']} at {one['phase']}: {code}{one['reply']}")
    if done["next_at"]:
        _line(f"  tried again at {done['next_at']}")


def resent(done: Mapping[str, Any]) -> None:
    """Say which deliveries wait again."""
    if done["waiting"]:
        _line(f"to be sent again: {', '.join(str(number) for number in done['waiting'])}")
    if done["refused"]:
        numbers = ", ".join(str(number) for number in done["refused"])
        _line(f"left as they are, being neither uncertain nor failed: {numbers}")


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
    table = _table("Newsletter", "Frequency", "State", "Categories", "Paused until")
    for row in done["subscriptions"]:
        categories = "all" if row["categories"] is None else ", ".join(row["categories"])
        table.add_row(row["newsletter"], row["frequency"], row["state"], categories, row["paused_until"] or "")
    _print_table(table)
    record = _table("When", "Newsletter", "What", "How", "Words")
    for row in done["consents"]:
        how = " ".join(word for word in (row["method"], row["form"], row["client"]) if word)
        record.add_row(row["recorded_at"][:16], row["newsletter"], row["event"], escape(how), escape(row["proof"]))
    _print_table(record)


def held(done: Mapping[str, Any]) -> None:
    """List what is held about people."""
    _line(f"in {done['database']}")
    table = _table("Held", "What", "Until")
    for row in done["held"]:
        table.add_row(f"{row['number']:,}", row["what"], row["until"])
    _print_table(table)
    _line("Beside it lie keys, hashes of who left (the journal of departures), and what the embedded inbox holds.")
    _line("Not seen from here: backups, logs and queue of the mail server, files of exports.")


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
        _line(address)
    number = len(done["addresses"])
    _line(f"{number} {'address' if number == 1 else 'addresses'} may be mailed again.")
    if done["waiting"]:
        _line(f"to be sent again: {', '.join(str(number) for number in done['waiting'])}")


def subscribers(done: Sequence[Mapping[str, Any]]) -> None:
    """List readers."""
    table = _table("Address", "Newsletter", "Frequency", "State", "Languages", "Categories")
    for row in done:
        table.add_row(
            escape(row["address"]),
            row["newsletter"],
            row["frequency"],
            f"suppressed: {row['suppressed']}" if row["suppressed"] else row["state"],
            ", ".join(row["languages"]),
            "all" if row["categories"] is None else ", ".join(row["categories"]),
        )
    _print_table(table)


def demo(done: Mapping[str, Any], directory: Path, loaded: Config) -> None:
    """Say what the demo did and where to look."""
    added(done["readers"])
    collected(done["collected"])
    for step in done["later"]:
        collected(step)
    dispatched(done["dispatched"])
    sent(done["sent"])
    _line("")
    _line(f"Feeds:         {directory}/site/feeds/")
    _line(f"Messages:      {directory}/inbox/")
    _line(f"Configuration: {loaded.files[0]}")


def marked(done: Mapping[str, Any]) -> None:
    """Say which deliveries count as sent now."""
    if done["sent"]:
        _line(f"marked as sent: {', '.join(str(number) for number in done['sent'])}")
    if done["refused"]:
        _line(f"left as they are, not being uncertain: {', '.join(str(number) for number in done['refused'])}")


def invited(done: Mapping[str, Any]) -> None:
    """Say how somebody logs in."""
    _line(f"{done['name']} ({done['role']}) logs in here, once, before {done['expires_at']}:")
    _line(done["link"])


def accounts(found: Sequence[Mapping[str, Any]]) -> None:
    """List accounts."""
    if not found:
        _line("There is no account yet; `publisher admin invite NAME --role admin` makes one.")
        return
    table = _table("name", "role", "last login", "sessions", "last seen")
    for one in found:
        seen = one["seen_at"] or "", one["entered_at"] or "never"
        table.add_row(escape(one["name"]), one["role"], seen[1], str(one["sessions"]), seen[0])
    _print_table(table)


def revoked(done: Mapping[str, Any]) -> None:
    """Say that an account is gone."""
    _line(f"{done['name']} may not log in any more, and is logged out everywhere")


def _table(*names: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in names:
        table.add_column(name, overflow="fold")
    return table


def _print_table(table: Table) -> None:
    """Print a table: as wide as the terminal, and in a pipe or a file with every row on a line of its own."""
    (out if out.is_terminal else Console(highlight=False, width=10_000)).print(table)


def _source(source: Mapping[str, Any]) -> str:
    last = source["last_success_at"] or "never"
    counts = f"{count(source['articles'], 'article')}, {source['skipped']} skipped, {source['drafts']} drafts"
    return f"{source['name']} ({source['kind']}): {counts}, last collected {last}"
