"""What people read of issues: those to come, those composed, what became of a slot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from publisher.cli.printing import count, say, say_wrong
from publisher.mail.progress import duration_in_words, rate_in_words


def plan(done: Sequence[Mapping[str, Any]]) -> None:
    """List the coming slots: one line when, one what."""
    for slot in done:
        when = (
            f"{slot['slot'].replace('T', ' ')} {slot['timezone']} ({slot['at']})" if slot["slot"] else slot["schedule"]
        )
        say(f"{slot['newsletter']} {slot['frequency']}: {when}, {count(slot['readers'], 'reader')}")
        if slot["late"]:
            say(f"  {slot['late']}")
        if slot["skipped"]:
            say(f"  would be skipped now: {slot['skipped']}")
            continue
        if slot["held"]:
            say(f"  would be held now: {slot['held']}")
        if slot["articles"] is not None:
            size = f"at most {slot['bytes'] / 1000:.0f} kB"
            held = f"{count(slot['articles'], 'article')} in {count(slot['segments'], 'segment')}"
            say(f"  would hold now: {held}, {size}")
        _cautions(slot)


def dispatched(done: Mapping[str, Any]) -> None:
    """Say what became of a slot."""
    would = "would be " if done["dry_run"] else ""
    whole = (
        f"{count(done['deliveries'], 'reader')} in {count(done['segments'], 'segment')}, "
        f"{count(done['articles'], 'article')}"
    )
    if done["outcome"] == "dispatched":
        say(f"{done['newsletter']} {done['slot']}: {would}dispatched to {whole}")
    else:
        tell = say_wrong if done["outcome"] == "failed" else say
        tell(f"{done['newsletter']} {done['slot']}: {would}{done['outcome']}: {done['reason']}")
    if done["outcome"] == "held" and done["issue"]:
        say(f"  for {whole}")
        if not done["dry_run"]:
            say(f"  to send it: publisher approve {done['issue']}")
    _cautions(done)


def _cautions(done: Mapping[str, Any]) -> None:
    for warning in done["warnings"]:
        say(f"  note: {warning}")
    for number, reason in done["left_out"].items():
        say(f"  article {number} left out: {reason}")


def tested(done: Mapping[str, Any]) -> None:
    """Say what the server answered to a test mail."""
    say(f"test to {done['to']}: {done['outcome']}: {done['reply']}\n  {done['subject']}")
    for note in done["notes"]:
        say(f"  note: {note}")


def previewed(done: Mapping[str, Any]) -> None:
    """Name the files of a preview."""
    say(f"{done['subject']} ({done['bytes'] / 1000:.0f} kB)")
    for note in done["notes"]:
        say(f"  note: {note}")
    for path in done["files"]:
        say(f"wrote {path}")


def issues(done: Sequence[Mapping[str, Any]]) -> None:
    """List issues, a line each."""
    for entry in done:
        brief(entry)
    if not done:
        say("no issues yet")


def issue(done: Mapping[str, Any]) -> None:
    """Show one issue with what it holds."""
    brief(done)
    say(f"composed {done['created_at']}" + (f", sent {done['sent_at']}" if done["sent_at"] else ""))
    later = {"planned", "held"}, {"cancelled"}
    when = " (once it is sent)" if done["state"] in later[0] else " (gone)" if done["state"] in later[1] else ""
    say(f"page: {done['page']}{when}")
    for segment in done["segments"]:
        readers = count(segment["readers"], "reader")
        say(f"segment {segment['language']} {segment['format']}, {readers}: {segment['subject']}")
    for article in done["articles"]:
        say(f"article {article['ref']} {article['title']}" + ("" if article["state"] == "published" else " (gone)"))


def brief(entry: Mapping[str, Any]) -> None:
    """Say how an issue stands and how fast it goes out."""
    counts = ", ".join(f"{count} {state}" for state, count in entry["deliveries"].items())
    say(f"issue {entry['ref']} {entry['newsletter']} {entry['slot']}: {entry['state']}; {counts or 'no deliveries'}")
    if speed(entry):
        say(f"  {speed(entry).removeprefix('; ')}")
    if entry["reason"]:
        say(f"  {entry['reason']}")
    if entry["state"] == "held":
        say(f"  publisher approve {entry['ref']}")


def speed(done: Mapping[str, Any]) -> str:
    """Return how fast something goes and how long it takes, where it moves."""
    if not done.get("per_second"):
        return ""
    left = f", {duration_in_words(timedelta(seconds=done['seconds_left']))} left" if done["seconds_left"] else ""
    return f"; {rate_in_words(done['per_second'])}{left}"


def turned(done: Mapping[str, Any]) -> None:
    """Say how an issue stands now."""
    counts = ", ".join(f"{count} {state}" for state, count in done["deliveries"].items())
    say(f"issue {done['ref']} of {done['newsletter']} is {done['state']}: {counts or 'no deliveries'}")


def explained(done: Sequence[Mapping[str, Any]]) -> None:
    """Tell what became of a slot."""
    for record in done:
        say(f"{record['newsletter']} {record['frequency']} {record['slot']} ({record['at']}): {record['outcome']}")
        say(f"  {record['reason']} (decided {record['decided_at']})")
        if record["issue"]:
            issue(record["issue"])
