"""The tables of the configuration: their keys, defaults and what each value must look like."""

from __future__ import annotations

import os
from datetime import date, timedelta
from pathlib import Path
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    SecretStr,
    model_validator,
)

from publisher.config import values
from publisher.config.places import Places
from publisher.mail import pace
from publisher.mail.pace import Limit, WarmUp
from publisher.slots import Schedule, parse_duration

# We use no plug-ins of pydantic, and looking for some reads the metadata of every package there is: 20 ms of a command.
os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")

Line = Annotated[str, AfterValidator(values.line)]
Slug = Annotated[str, AfterValidator(values.slug)]
Texts = Annotated[str | dict[str, str], BeforeValidator(values.texts)]
"""One text for all languages, or one per language: `{ en = "Politics", ru = "Политика" }`."""
Language = Annotated[str, AfterValidator(values.language)]
Zone = Annotated[str, AfterValidator(values.zone)]
Url = Annotated[str, AfterValidator(values.url)]
Address = Annotated[str, AfterValidator(values.address)]
Interval = Annotated[str, AfterValidator(values.interval)]
FilePath = Annotated[Path, BeforeValidator(values.path)]
Blackout = Annotated[tuple[tuple[date, date], ...], BeforeValidator(values.blackout)]
Flag = Annotated[bool, Field(strict=True)]
Rate = Annotated[str, AfterValidator(values.rate)]


DEFAULT_TRANSPORT = "smtp"
"""What carries the mail of newsletters that name no transport: the table `[smtp]`."""


_SHORTEST_DAY = timedelta(hours=23)  # the day on which the clock is put forward


class Table(BaseModel):
    """A table of the file: unknown keys are refused."""

    # Built when the first file is read: as a part of the whole, each once.
    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


class Site(Table):
    """The publication itself."""

    title: Texts
    url: Annotated[Url, Field(min_length=1)]
    """Address of the publication (not of this service): feeds and mails link to it, guids carry its domain."""
    description: Texts = ""
    languages: tuple[Language, ...] = Field(default=("en",), min_length=1)
    default_language: Language = "en"
    """Language of articles and pages that state none; not given: the first of `languages`."""
    timezone: Annotated[Zone, Field(min_length=1)] = "UTC"
    postal_address: Annotated[str, AfterValidator(values.lines)] = ""
    """Shown in every mail, as the law of most countries asks; required unless smtp.embedded."""
    logo: Url = ""
    icon: Url = ""
    rights: Texts = ""
    license: Url = ""
    """Address of the license of all articles that state none and are not taken from elsewhere."""

    @model_validator(mode="before")
    @classmethod
    def _first_language(cls, given: object) -> object:
        """Without `default_language`, take the first of `languages`."""
        if isinstance(given, dict) and isinstance(given.get("languages"), list | tuple) and given["languages"]:
            return {"default_language": given["languages"][0], **given}
        return given


class Category(Table):
    """A category of articles; the order in the file is the order in digests unless `order` says otherwise."""

    slug: Slug
    title: Texts
    order: int | None = Field(default=None, strict=True)
    colour: Annotated[str, AfterValidator(values.colour)] = "#475569"
    description: Texts = ""
    paths: tuple[str, ...] = ()
    """Glob patterns of source paths whose articles, naming no category, belong here."""
    keywords: tuple[str, ...] = ()
    """Words which, in title or labels of an article that names no category, put it here."""
    aliases: tuple[str, ...] = ()
    """Other names by which articles call it; slug and titles count without saying."""
    former: tuple[Slug, ...] = ()


class PageLabels(Table):
    """Words around the text of a saved page; these are added to the built-in English, Russian and Belarusian ones."""

    status: tuple[str, ...] = ()
    credit: tuple[str, ...] = ()
    similar: tuple[str, ...] = ()
    end: tuple[str, ...] = ()


class _Source(Table):
    name: Slug
    path: FilePath
    timezone: Zone = ""
    """Zone of dates that state none; empty: site.timezone."""
    language: Annotated[str, AfterValidator(values.language_or_none)] = ""
    """Language of articles that state none; empty: site.default_language."""
    category: str = ""
    """Category of articles that name none and match no rule; empty: uncategorised."""
    every: Interval = "5m"
    first_collection: Literal["baseline", "mail"] = "baseline"
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    url: Annotated[str, AfterValidator(values.url_pattern)] = ""
    """Address of an article that states none, a pattern: `https://example.org/{year}/{month}/{day}/{slug}/`."""
    statuses: dict[Literal["improved", "worsened", "unchanged"], tuple[str, ...]] = {}
    """More phrases that state a status, added to the built-in ones."""

    @property
    def interval(self) -> timedelta:
        """Time between two collections."""
        return parse_duration(self.every)


class FolderSource(_Source):
    """Markdown or HTML files with YAML, TOML or no front matter."""

    kind: Literal["folder"]


class PagesSource(_Source):
    """Saved text of article pages; `path` is a file or a folder of `.txt` files."""

    kind: Literal["pages"]
    labels: PageLabels = PageLabels()


Source = Annotated[FolderSource | PagesSource, Field(discriminator="kind")]


class Selection(Table):
    """Which articles a feed or newsletter takes; nothing named means all."""

    categories: tuple[str, ...] = ()
    languages: tuple[Language, ...] = ()
    authors: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()


class Feed(Selection):
    """A feed beside the built-in ones (all, one per category, one per language)."""

    slug: Slug
    title: Texts = ""
    description: Texts = ""
    content: Literal["full", "summary"] = "full"
    limit: int = Field(default=50, ge=1, le=500, strict=True)
    window_days: int = Field(default=7, ge=0, le=366, strict=True)
    """Everything this young is in it, even beyond `limit`; counted back from its newest change."""
    max_kilobytes: int = Field(default=512, ge=16, le=5000, strict=True)
    """No document of it is larger: the oldest articles then give their summary, or are left to the archive."""
    former: tuple[Slug, ...] = ()


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
        return Limit(_rate(self.rate))

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


class Server(Table):
    """A server that takes our mail, and how fast it may come."""

    host: Annotated[str, AfterValidator(values.host)] = ""
    port: int = Field(default=587, ge=1, le=65535, strict=True)
    security: Literal["starttls", "tls", "plain"] = "starttls"
    username: Line = ""
    password: Annotated[SecretStr, AfterValidator(values.secret)] = SecretStr("")
    password_file: FilePath | None = None
    hello_name: Annotated[str, AfterValidator(values.hello_name)] = ""
    """Name given in EHLO; empty: the host of web.public_url."""
    connections: int = Field(default=4, ge=1, le=64, strict=True)
    rate: Rate = ""
    """The most mails over it, `10/s`, `600/m`, `5000/h`, `50000/d`; empty: no limit."""
    warm_up: Annotated[str, AfterValidator(values.warm_up)] = ""
    """Mails on the first day, on the last, and how many days, `200 to 50000 in 30d`; empty: none."""

    @property
    def limit(self) -> Limit:
        """What its pace is kept to."""
        return Limit(_rate(self.rate), WarmUp.parse(self.warm_up) if self.warm_up else None)


class Smtp(Server):
    """Where mail goes out unless a newsletter says otherwise."""

    embedded: Flag = False
    """Deliver into the embedded inbox instead of the world; for trying out."""
    on_uncertain: Literal["retry", "hold"] = "retry"
    """Where a crash or broken connection left open whether a mail arrived: send it once more, or leave it to you."""
    bounce_domain: Annotated[str, AfterValidator(values.domain)] = ""
    """Domain of envelope senders, one address per delivery; empty: the newsletter's `from_address`."""


class Transport(Server):
    """Another server, for the newsletters that name it."""

    name: Slug
    host: Annotated[str, Field(min_length=1), AfterValidator(values.host)]


class Provider(Table):
    """Receivers of mail behind several domains, who judge us as one."""

    name: Slug
    domains: tuple[Annotated[str, Field(min_length=1), AfterValidator(values.domain)], ...] = ()
    """Added to those that the program knows of a provider of this name."""
    rate: Rate = ""
    """The most mails to it over each transport; empty: no limit until it asks for one."""
    rest: Annotated[str, AfterValidator(values.duration)] = ""
    """How long it gets nothing after it said "too fast"; empty: what the program knows of it, or a minute."""


class Dkim(Table):
    """Signatures that prove mail to be ours; without a key it goes out unsigned."""

    domain: Annotated[str, AfterValidator(values.domain)] = ""
    """Domain that vouches; empty: that of each newsletter's `from_address`."""
    selector: Annotated[str, AfterValidator(values.selector)] = ""
    """Where the public key stands: `SELECTOR._domainkey.DOMAIN`."""
    key_file: FilePath | None = None
    """RSA, 2048 bits or more, in PEM."""
    former_selector: Annotated[str, AfterValidator(values.selector)] = ""
    """The key before this one: it signs further attempts of what it signed first, nothing new."""
    former_key_file: FilePath | None = None
    ed25519_selector: Annotated[str, AfterValidator(values.selector)] = ""
    """A second signature (RFC 8463), for verifiers that know it."""
    ed25519_key_file: FilePath | None = None


class Web(Table):
    """Where the service listens and how the world reaches it."""

    listen: Annotated[str, AfterValidator(values.listen)] = "127.0.0.1:8000"
    admin_listen: Annotated[str, AfterValidator(values.listen)] = "127.0.0.1:8001"
    public_url: Url = ""
    """Address under which readers reach web.listen; links in mail point there. Empty: http:// + web.listen."""
    admin_url: Url = ""
    """Address under which you reach web.admin_listen; links to log in point there. Empty: http:// + it."""
    media: FilePath | None = None
    """A folder whose files are served under /media/, for pictures that articles have nowhere else."""
    hubs: tuple[Annotated[Url, Field(min_length=1)], ...] = ()
    """WebSub hubs that feeds name and that are told when a feed changed."""
    author_feeds: bool = Field(default=True, strict=True)
    """Whether each author of a visible article has a feed."""
    author_archives: bool = Field(default=False, strict=True)
    """Whether these feeds have archives too."""
    feeds_as_xml: bool = Field(default=False, strict=True)
    """Whether RSS and Atom are sent as application/xml, which browsers show with a style sheet."""
    feed_polls_per_hour: int = Field(default=60, ge=0, strict=True)
    """Downloads of one feed by one client address in an hour before it is told to wait; 0: no limit."""
    trusted_proxies: tuple[Annotated[str, AfterValidator(values.network)], ...] = ("127.0.0.1", "::1")
    """Addresses or networks of proxies whose X-Forwarded-For is believed."""


class Ingest(Table):
    """Guards between a source and readers (spec delivery §5.4)."""

    max_age_days: int = Field(default=14, ge=1, strict=True)
    """An article published longer ago joins feeds but is not mailed."""
    max_new: int = Field(default=20, ge=1, strict=True)
    """More new articles than this in one collection are quarantined until released."""


class Keeping(Table):
    """What is kept of mails that went out, and for how long (spec delivery §8)."""

    words: Annotated[str, AfterValidator(values.keep_words)] = "30d"
    """How long what servers said of a mail is kept."""
    readers: Annotated[str, AfterValidator(values.keep_readers)] = "90d"
    """How long a delivery says whose it was; afterwards it is a number in the sums of its issue."""

    @property
    def words_for(self) -> timedelta:
        """`words` as a time."""
        return parse_duration(self.words)

    @property
    def readers_for(self) -> timedelta:
        """`readers` as a time."""
        return parse_duration(self.readers)


class Config(Table):
    """The whole configuration. Paths are absolute once loaded."""

    site: Site
    data_dir: FilePath = Path("../data")
    database_url: Annotated[str, AfterValidator(values.database_url)] = Field(default="", repr=False)
    """`postgresql://user@host/name` (needs the extra `postgres`); empty: SQLite in the data directory."""
    database_url_file: FilePath | None = None
    """A file that holds it, for an address with a password."""
    templates: FilePath | None = None
    """A folder whose files replace the built-in templates of the same name."""
    categories: tuple[Category, ...] = ()
    sources: tuple[Source, ...] = ()
    feeds: tuple[Feed, ...] = ()
    newsletters: tuple[Newsletter, ...] = ()
    sign_up: SignUp = SignUp()
    smtp: Smtp = Smtp()
    transports: tuple[Transport, ...] = ()
    providers: tuple[Provider, ...] = ()
    dkim: Dkim = Dkim()
    web: Web = Web()
    ingest: Ingest = Ingest()
    keeping: Keeping = Keeping()

    _places: Places = PrivateAttr(default_factory=Places)

    @property
    def servers(self) -> dict[str, Server]:
        """Every transport by name; the one that newsletters use unless they say otherwise first."""
        return {DEFAULT_TRANSPORT: self.smtp, **{transport.name: transport for transport in self.transports}}

    @property
    def files(self) -> tuple[Path, ...]:
        """The files it was read from, `publisher.toml` first; none when it was made by hand."""
        return tuple(Path(file) for file in self._places.files)

    @property
    def places(self) -> Places:
        """Where in the files its keys stand, for warnings."""
        return self._places


def _rate(text: str) -> pace.Rate | None:
    return pace.Rate.parse(text) if text else None


def in_language(texts: Texts, language: str, default: str) -> str:
    """Return the text for `language`, else its primary subtag's, else the default language's, else any."""
    if isinstance(texts, str):
        return texts
    for choice in (language, language.partition("-")[0], default):
        if choice in texts:
            return texts[choice]
    return next(iter(texts.values()), "")
