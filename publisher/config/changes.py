"""What another configuration changes: what it may not change while the service runs, and the difference in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from pydantic import SecretStr

from publisher.config.models import Config
from publisher.config.models.newsletters import Newsletter
from publisher.slots import zone_named

_LONGEST = 60  # characters of a value in a line of the difference
_LABELS = ("slug", "name")
_SECRET = frozenset({"password", "database_url"})


def within_a_run(running: Config, wanted: Config) -> tuple[Config, tuple[str, ...]]:
    """Return what of `wanted` may take effect now, and the keys that keep their running value until a restart."""
    kept: list[str] = []
    update: dict[str, Any] = {}
    for key in ("data_dir", "database_url"):
        if getattr(running, key) != getattr(wanted, key):
            kept.append(key)
            update[key] = getattr(running, key)
    listeners = [key for key in ("listen", "admin_listen") if getattr(running.web, key) != getattr(wanted.web, key)]
    if listeners:
        kept += [f"web.{key}" for key in listeners]
        update["web"] = wanted.web.model_copy(update={key: getattr(running.web, key) for key in listeners})
    if running.smtp.embedded != wanted.smtp.embedded:
        # The rest of the table means another server, so that it waits together with the switch.
        kept.append("smtp.embedded")
        update["smtp"] = running.smtp
    return (wanted.model_copy(update=update) if update else wanted), tuple(kept)


def differences(before: Config, after: Config, now: datetime) -> tuple[str, ...]:
    """Return what is different, a line each: schedules by their next slot, everything else by its key."""
    return (*_schedules(before, after, now), *_ids(before, after), *_values("", _plain(before), _plain(after)))


def _ids(before: Config, after: Config) -> Iterator[str]:
    """Say what a move of the publication does to ids, which carry its domain (D8)."""
    old, new = (urlsplit(config.site.url).hostname for config in (before, after))
    if old != new:
        yield f"ids of articles: all stay as they are with {old}; those of new articles carry {new}"


def _schedules(before: Config, after: Config, now: datetime) -> Iterator[str]:
    old = {newsletter.slug: newsletter for newsletter in before.newsletters}
    for newsletter in after.newsletters:
        known = old.get(newsletter.slug)
        for name, frequency in newsletter.frequencies.items():
            past = known.frequencies.get(name) if known else None
            schedule = frequency.schedule(after.site.timezone)
            if past is None or past.schedule(before.site.timezone).fingerprint == schedule.fingerprint:
                continue
            label = newsletter.slug if name == newsletter.slug else f"{newsletter.slug} {name}"
            zone = frequency.timezone or after.site.timezone
            was, will = _next(before, known, name, now), _next(after, newsletter, name, now)
            yield f"{label}: next slot {was} → {will} {zone}"


def _next(config: Config, newsletter: Newsletter | None, name: str, now: datetime) -> str:
    if newsletter is None:
        return "none"
    frequency = newsletter.frequencies[name]
    schedule = frequency.schedule(config.site.timezone)
    slot = schedule.next(now)
    if slot is None:
        return schedule.describe() if schedule.delay else "none"
    zone: ZoneInfo = zone_named(frequency.timezone or config.site.timezone)
    at = slot.at.astimezone(zone)
    return f"{at:%a %H:%M}" if (at - now.astimezone(zone)).days < 7 else f"{at:%a %Y-%m-%d %H:%M}"


def _plain(config: Config) -> dict[str, Any]:
    return {key: getattr(config, key) for key in type(config).model_fields}


def _values(path: str, before: Any, after: Any) -> Iterator[str]:  # noqa: ANN401 - any value of the configuration
    if before == after:
        return
    old, new = _children(before), _children(after)
    if old is None or new is None:
        yield f"{path}: {_word(path, before)} → {_word(path, after)}"
        return
    for name in dict.fromkeys((*old, *new)):
        inner = f"{path}.{name}" if path else name
        if name not in new:
            yield f"{inner}: removed"
        elif name not in old:
            yield f"{inner}: new"
        else:
            yield from _values(inner, old[name], new[name])


def _children(value: object) -> Mapping[str, Any] | None:
    """Return what a table holds by key, and a list of tables by slug or name; None for a single value."""
    if isinstance(value, Mapping):
        return {str(key): inner for key, inner in value.items()}
    if fields := getattr(type(value), "model_fields", None):
        return {key: getattr(value, key) for key in fields}
    if isinstance(value, tuple) and all(hasattr(type(inner), "model_fields") for inner in value):
        return {_label(inner): inner for inner in value}
    return None


def _label(table: object) -> str:
    return next(str(getattr(table, label)) for label in _LABELS if hasattr(table, label))


def _word(path: str, value: object) -> str:
    if isinstance(value, SecretStr) or path.rpartition(".")[2] in _SECRET:
        return "***"
    text = '""' if value == "" else "none" if value in (None, ()) else str(value)
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
