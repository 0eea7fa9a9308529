"""One row of an import, understood: who wants which newsletter how, how we know, and where they stood before."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from operator import itemgetter
from typing import Any, NamedTuple

from publisher import addresses, slots
from publisher.config import Config, Newsletter
from publisher.model import Content, Format, SubscriptionState
from publisher.text import one_line

COLUMNS = (
    "email",
    "name",
    "languages",
    "newsletter",
    "frequency",
    "categories",
    "format",
    "timezone",
    "content",
    "hour",
    "paused_until",
    "consent",
    "state",
    "suppressed",
)
"""What a row may say; `email` it must, the others have defaults. An export has the same, in this order."""

_KNOWN = frozenset(COLUMNS)

REASONS = ("bounced", "complained", "blocked", "erased")
"""Why an address may be suppressed by an import, in the words of `suppressed`; an operator may write others."""

_CONTENTS: dict[str, Content] = {"summary": "summary", "full": "full"}
_SUPPRESSION = re.compile(r"[a-z][a-z0-9 _-]{0,39}\Z")


class CellError(ValueError):
    """A cell says something that cannot be; the text says what would be right."""

    def __init__(self, column: str, message: str) -> None:
        super().__init__(message)
        self.column = column


class Wish(NamedTuple):
    """One row, understood."""

    address: str
    address_key: str
    name: str
    languages: tuple[str, ...]
    timezone: str
    format: Format
    newsletter: str
    frequency: str
    categories: tuple[str, ...] | None
    content: Content | None
    hour: int | None
    paused_until: datetime | None
    consent: str
    """How the person agreed; empty only where `state` is not confirmed."""
    state: SubscriptionState
    """Where the person stands, as the row says: unsubscribed is taken over as having left."""
    suppressed: str
    """Why the address must never be mailed; empty: nothing is against it."""
    stated: frozenset[str]
    """The columns that held something; the others are defaults."""


@dataclass(frozen=True, slots=True)
class _Choice:
    """What most rows of a file say alike."""

    newsletter: str
    frequency: str
    languages: tuple[str, ...]
    categories: tuple[str, ...] | None
    format: Format
    timezone: str
    content: Content | None
    hour: int | None
    paused_until: datetime | None


_CHOICE = (
    "newsletter",
    "frequency",
    "languages",
    "categories",
    "format",
    "timezone",
    "content",
    "hour",
    "paused_until",
)
_chosen = itemgetter(*_CHOICE)
_SILENT = dict.fromkeys(_CHOICE, "")
_plain = lru_cache(maxsize=1 << 11)(one_line)  # all but names and addresses says the same again and again
_REMEMBERED = 4096
"""Different choices whose meaning is kept: a million rows say a few hundred different things."""


class Understanding:
    """What rows mean to one configuration."""

    def __init__(self, config: Config, *, opt_in: bool = False) -> None:
        """`opt_in`: a row without a consent is pending, because it is asked to confirm; else it is wrong."""
        self._config = config
        self._opt_in = opt_in
        self._choices: dict[tuple[str, ...], _Choice] = {}
        self._states: dict[tuple[str, bool, bool], SubscriptionState] = {}

    def wish(self, row: Mapping[str, Any]) -> Wish:
        """Return what a row of COLUMNS asks for. Raises CellError."""
        if not row.keys() <= _KNOWN:
            unknown = next(str(column) for column in row if column not in _KNOWN)
            raise CellError(unknown, f"unknown column {unknown!r}; the columns are {', '.join(COLUMNS)}")
        cells = {column: _plain(str(value)) for column, value in row.items() if value}
        say = cells.get
        address = _address(say("email", ""))
        choice = self._choice(_chosen({**_SILENT, **cells}))
        suppressed = say("suppressed", "")
        if suppressed and not _SUPPRESSION.match(suppressed):
            raise CellError("suppressed", f"{suppressed!r} is no reason; write one word, for example {REASONS[0]!r}")
        consent = say("consent", "")
        return Wish(
            address=address.address,
            address_key=address.key,
            name=say("name", ""),
            languages=choice.languages,
            timezone=choice.timezone,
            format=choice.format,
            newsletter=choice.newsletter,
            frequency=choice.frequency,
            categories=choice.categories,
            content=choice.content,
            hour=choice.hour,
            paused_until=choice.paused_until,
            consent=consent,
            state=self._state(say("state", ""), bool(consent), bool(suppressed)),
            suppressed=suppressed,
            stated=frozenset(cells),
        )

    def _choice(self, cells: tuple[str, ...]) -> _Choice:
        choice = self._choices.get(cells)
        if choice is None:
            choice = _choice(self._config, dict(zip(_CHOICE, cells, strict=True)))
            if len(self._choices) < _REMEMBERED:
                self._choices[cells] = choice
        return choice

    def _state(self, stated: str, consent: bool, suppressed: bool) -> SubscriptionState:
        state = self._states.get((stated, consent, suppressed))
        if state is None:
            state = _state(stated, consent=consent, opt_in=self._opt_in, suppressed=suppressed)
            self._states[stated, consent, suppressed] = state
        return state


def understand(config: Config, row: Mapping[str, Any]) -> Wish:
    """Return what one row asks for. Raises CellError."""
    return Understanding(config).wish(row)


def _choice(config: Config, say: Mapping[str, str]) -> _Choice:
    newsletter = _newsletter(config, say["newsletter"])
    frequency = say["frequency"] or next(iter(newsletter.frequencies))
    _one_of("frequency", frequency, newsletter.frequencies)
    languages = _words(say["languages"]) or (config.site.default_language,)
    for language in languages:
        _one_of("languages", language, config.site.languages)
    categories = _words(say["categories"])
    for category in categories:
        _one_of("categories", category, newsletter.categories or [c.slug for c in config.categories])
    format_ = say["format"] or Format.HTML
    _one_of("format", format_, list(Format))
    if content := say["content"]:
        _one_of("content", content, _CONTENTS)
    if timezone := say["timezone"]:
        _check_zone(timezone)
    return _Choice(
        newsletter=newsletter.slug,
        frequency=frequency,
        languages=languages,
        categories=categories or None,
        format=Format(format_),
        timezone=timezone or config.site.timezone,
        content=_CONTENTS[content] if content else None,
        hour=_hour(say["hour"]),
        paused_until=_moment("paused_until", say["paused_until"]),
    )


def _state(stated: str, *, consent: bool, opt_in: bool, suppressed: bool) -> SubscriptionState:
    state = stated or SubscriptionState.CONFIRMED
    _one_of("state", state, list(SubscriptionState))
    if state == SubscriptionState.CONFIRMED and not consent and not suppressed:
        if opt_in:
            return SubscriptionState.PENDING
        raise CellError("consent", "consent is empty: say how this person agreed, for example 'paper form 2026-05-03'")
    return SubscriptionState(state)


def _address(cell: str) -> addresses.Address:
    try:
        return addresses.parse(cell)
    except ValueError as error:
        raise CellError("email", str(error) if cell else "there is no address") from None


def _newsletter(config: Config, slug: str) -> Newsletter:
    if not slug and len(config.newsletters) == 1:
        return config.newsletters[0]
    for newsletter in config.newsletters:
        if newsletter.slug == slug:
            return newsletter
    known = ", ".join(newsletter.slug for newsletter in config.newsletters) or "none"
    if not slug:
        raise CellError("newsletter", f"no newsletter is named; there are: {known}")
    raise CellError("newsletter", f"there is no newsletter {slug!r}; there are: {known}")


def _one_of(column: str, value: str, known: Iterable[str]) -> None:
    if value not in known:
        what = {"languages": "language", "categories": "category"}.get(column, column)
        raise CellError(column, f"there is no {what} {value!r}; there are: {', '.join(known) or 'none'}")


def _check_zone(name: str) -> None:
    try:
        slots.zone_named(name)
    except ValueError as error:
        raise CellError("timezone", str(error)) from None


def _hour(cell: str) -> int | None:
    if not cell:
        return None
    if cell.isascii() and cell.isdecimal() and len(cell) <= 2 and int(cell) < 24:
        return int(cell)
    raise CellError("hour", f"{cell!r} is no hour; write 0 to 23")


def _moment(column: str, cell: str) -> datetime | None:
    if not cell:
        return None
    try:
        moment = datetime.fromisoformat(cell)
        return moment.replace(tzinfo=moment.tzinfo or UTC).astimezone(UTC)
    except (ValueError, OverflowError):
        raise CellError(column, f"{cell!r} is no date; write for example 2026-12-24T00:00Z") from None


def _words(cell: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(word for word in re.split(r"[\s,;|]+", cell) if word)) if cell else ()
