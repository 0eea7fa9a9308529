"""Newsletters as the configuration has them: what they hold, when they appear, how people sign up."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from publisher.config import values
from publisher.config.models.feeds import Selection
from publisher.config.models.table import (
    Address,
    Blackout,
    FilePath,
    Flag,
    Line,
    Rate,
    Slug,
    Table,
    Texts,
    Zone,
    rate_of,
)
from publisher.mail.pace import Limit
from publisher.slots import Schedule, parse_duration

_SHORTEST_DAY = timedelta(hours=23)  # the day on which the clock is put forward


class Frequency(Table):
    """When issues of a newsletter appear: `at` with `days` or `day`, or `cron`, or `every`, or `after`."""

    title: Texts = ""
    at: Annotated[str, AfterValidator(values.time_of_day)] = ""
    """Local time `07:00`."""
    days: tuple[Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"], ...] = ()
    day: Annotated[int | Literal["last"] | None, BeforeValidator(values.day_of_month)] = None
    """Day of the month; a day the month does not have means its last."""
    cron: Annotated[str, AfterValidator(values.cron)] = ""
    every: Annotated[str, AfterValidator(values.every)] = ""
    after: Annotated[str, AfterValidator(values.after)] = ""
    """This long after the first article that is news, with all that came meanwhile."""
    timezone: Zone = ""
    """Empty: site.timezone. `every` and `after` go by UTC."""
    max_lateness: Annotated[str, AfterValidator(values.duration)] = ""
    """A slot older than this is missed, not sent; empty: 6 h, or half the period if shorter."""
    catch_up: Literal["latest", "skip"] = "latest"
    deliver_at: Literal["publisher", "reader"] = "publisher"
    """Whether mails go at the slot, or at each reader's own hour, in the reader's zone, within a day after it."""
    former: tuple[Slug, ...] = ()

    @model_validator(mode="after")
    def _consistent(self) -> Frequency:
        schedule = self.schedule("UTC")
        if self.deliver_at == "reader" and (self.every or self.after or schedule.period < _SHORTEST_DAY):
            raise ValueError('deliver_at = "reader" is for issues at most once a day: a mail may wait that long')
        return self

    def schedule(self, site_timezone: str) -> Schedule:
        """Return when issues are planned, in this frequency's own zone or else the publication's."""
        return Schedule.parse(
            at=self.at,
            days=self.days,
            day=self.day,
            cron=self.cron,
            every=self.every,
            after=self.after,
            timezone=self.timezone or site_timezone,
        )

    def lateness(self, site_timezone: str) -> timedelta:
        """Return how old a slot may be and still be sent: `max_lateness`, else 6 h or half the period if shorter."""
        if self.max_lateness:
            return parse_duration(self.max_lateness)
        return self.schedule(site_timezone).default_lateness


class Newsletter(Selection):
    """What people sign up for."""

    slug: Slug
    title: Texts
    description: Texts = ""
    from_name: Line = ""
    """Empty: the title."""
    from_address: Annotated[Address, Field(min_length=1)]
    reply_to: Address = ""
    subject: Texts = "{{ title }}: {{ first_title }}"
    """A Jinja2 template; it knows title, date, count, first_title and sections."""
    frequencies: dict[Slug, Frequency] = Field(min_length=1)
    """By name; the first is the default."""
    skip_if_empty: Flag = True
    min_articles: int = Field(default=1, ge=0, strict=True)
    max_articles: int = Field(default=50, ge=1, le=500, strict=True)
    max_per_section: int = Field(default=12, ge=1, le=200, strict=True)
    max_age: Annotated[str, AfterValidator(values.duration)] = ""
    """An article published longer before the slot is mailed to nobody any more; empty: whatever its age."""
    content: Literal["summary", "full"] = "summary"
    fallback_languages: Flag = True
    """A story that exists in none of a reader's languages comes in the default language, or the first that exists."""
    signup: Flag = True
    """Whether readers may sign up for it; readers added by the operator get it all the same."""
    choices: tuple[Literal["categories", "frequency", "content", "hour", "pause"], ...] = (
        "categories",
        "frequency",
        "content",
        "hour",
        "pause",
    )
    """What readers may choose for themselves."""
    default_categories: tuple[str, ...] = ()
    """Those that a reader gets who chooses none; empty: all."""
    welcome: Literal["none", "mail", "issue"] = "none"
    """What comes right after confirming: nothing, a short mail, or the latest issue for the reader's choices."""
    templates: FilePath | None = None
    notes: FilePath | None = None
    """A folder of editor's notes, Markdown files named after the day of a slot: `2026-11-23.md`, `2026-11-23.ru.md`."""
    blackout: Blackout = ()
    """Days on which no issue of it appears; its articles come with the next."""
    noindex: Flag = False
    """Whether search engines are asked to leave its issues out."""
    approval: Flag = False
    """Whether each issue waits until an operator approves it."""
    editors: tuple[Address, ...] = ()
    """Who is told by mail, with the issue as it would be sent, when one waits for approval."""
    transport: str = ""
    """Name of one of `transports`; empty: `[smtp]`."""
    rate: Rate = ""
    """The most mails of it; empty: no limit."""
    spread: Annotated[str, AfterValidator(values.spread)] = ""
    """Time over which an issue goes out; empty: as fast as it may."""
    former: tuple[Slug, ...] = ()

    def blackout_on(self, day: date) -> bool:
        """Whether this day is one without an issue."""
        return any(first <= day <= last for first, last in self.blackout)

    @property
    def age_limit(self) -> timedelta | None:
        """How long after its date an article is worth mailing; None: however late."""
        return parse_duration(self.max_age) if self.max_age else None

    @property
    def limit(self) -> Limit:
        """What its pace is kept to."""
        return Limit(rate_of(self.rate))

    @property
    def spread_over(self) -> timedelta:
        """Time over which an issue goes out; none: as fast as it may."""
        return parse_duration(self.spread) if self.spread else timedelta()


class SignUp(Table):
    """Signing up: what people agree to, and how often mail may be asked for (spec delivery P4, F3, F4)."""

    consent: Texts = ""
    """The sentence beside the button; empty: the built-in one."""
    consent_version: Line = ""
    """What you call this sentence in the record of consent; empty: the first digits of its hash."""
    client_address: Literal["truncated", "full", "none"] = "truncated"
    """How much of a client's address the record of consent keeps: its network (/24, /48), all, or nothing."""
    requests_per_hour: int = Field(default=20, ge=1, strict=True)
    """Mails that one client address may ask for in an hour."""
    mails_per_hour: int = Field(default=500, ge=1, strict=True)
    """Mails that all together may ask for in an hour; more is no rush but an attack."""
