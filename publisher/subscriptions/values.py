"""What sign-up, confirming, preferences and leaving pass to and fro: frozen values, ready for any page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from publisher.model import Content, Format, SubscriptionState

CHOICES = ("categories", "frequency", "content", "hour", "pause")
"""What a newsletter may let its readers choose; languages, format and time zone belong to the person."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What somebody wants of one newsletter; None is the newsletter's own default."""

    frequency: str | None = None
    categories: tuple[str, ...] | None = None
    """None: all, also future ones."""
    content: Content | None = None
    hour: int | None = None
    """0 to 23 in the person's time zone; None: when the publisher sends."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """A newsletter as somebody may choose it, in the words of one language."""

    newsletter: str
    title: str
    description: str
    frequencies: tuple[tuple[str, str], ...]
    """(name, title) of each; the first is the default. The title may be the name where nobody wrote one."""
    categories: tuple[tuple[str, str], ...]
    """(slug, title) of each."""
    contents: tuple[Content, ...]
    choices: tuple[str, ...]
    """Which of CHOICES are open; a value given for another is ignored."""
    default: Choice
    """What nothing chosen comes to: no None in frequency and content."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SignUp:
    """A sign-up form as it came in: nothing in it is believed yet."""

    address: str
    newsletters: tuple[str, ...]
    choices: Mapping[str, Choice] = field(default_factory=dict)
    """By newsletter; what is missing takes the defaults."""
    language: str = ""
    """Of the page: the mail is in it. Empty: the publication's."""
    languages: tuple[str, ...] = ()
    """That the person reads, best first; empty: `language`."""
    timezone: str = ""
    format: Format = Format.HTML
    form: str = "page"
    """Which form: `page`, `embed`, …; letters, digits and `-./:`, cut after 100 characters."""
    wording: str = ""
    """Hash of the consent text that the form showed; unknown or empty: the current text of `language`."""


class AnswerKind(StrEnum):
    """What a person who asks for a mail is told."""

    TAKEN = "taken"  # look into your mailbox: the same for every address there is (F6)
    INVALID = "invalid"  # the form itself says something impossible
    LATER = "later"  # too much is asked just now, by this client or by all; says nothing of the address


@dataclass(frozen=True, slots=True)
class FieldProblem:
    """What is wrong with one field of a form; pages have the words for the code."""

    field: str
    code: str
    """invalid | missing | unknown | not-offered | too-long | past | too-far | fresh-link."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The answer to somebody who asked for a mail."""

    kind: AnswerKind
    problems: tuple[FieldProblem, ...] = ()
    retry_after: int = 0
    """Seconds, when `kind` is LATER."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wording:
    """The text to which people agree."""

    hash: str
    """sha256 of the text, in hexadecimal; 64 digits."""
    version: str
    """What the operator calls it; the first digits of the hash where nobody did."""
    language: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """A subscription as its person sees it."""

    newsletter: str
    title: str
    state: SubscriptionState
    choice: Choice
    """As stored, with the newsletter's defaults filled in where nothing was chosen (but for categories and hour)."""
    paused_until: datetime | None
    offer: Offer | None
    """None: the newsletter is not published any more; one can only leave."""


class LinkState(StrEnum):
    """Where a link that acts once stands."""

    OPEN = "open"
    DONE = "done"
    EXPIRED = "expired"
    LEFT = "left"  # the person has unsubscribed since
    SUPPRESSED = "suppressed"  # confirmed only with an explicit "mail me again" (F20)
    BLOCKED = "blocked"  # the operator keeps this address out; asking again changes nothing
    IN_USE = "in-use"  # of an address change: somebody is subscribed with the new one already


@dataclass(frozen=True, slots=True, kw_only=True)
class Confirming:
    """What a confirm link stands for."""

    state: LinkState
    address: str
    """Masked."""
    language: str
    subscriptions: tuple[Held, ...]
    """OPEN and SUPPRESSED: what the button will confirm. DONE: what is confirmed."""
    wording: str = ""
    """The text to agree to where the person has seen none yet, because an import brought them."""


class Rights(StrEnum):
    """What a link allows (F18): mails are forwarded, so a link that lies in one allows less than a fresh one."""

    LESS = "less"  # leave, pause, fewer categories, less often, summaries
    ALL = "all"


@dataclass(frozen=True, slots=True, kw_only=True)
class Preferences:
    """What a link shows of a person's choices."""

    rights: Rights
    address: str
    """Masked unless `rights` is ALL."""
    language: str
    languages: tuple[str, ...]
    timezone: str
    format: Format
    held: tuple[Held, ...]
    """LESS: only the newsletter of the mail."""
    offers: tuple[Offer, ...]
    """Newsletters that could be added; none unless `rights` is ALL."""
    expires_at: datetime | None = None
    """Until when this link works; None: always."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What a person wants changed; None leaves as it is. A newsletter not held yet is subscribed (ALL only)."""

    newsletters: Mapping[str, Choice] = field(default_factory=dict)
    """The whole choice of each newsletter named here: None inside a Choice returns to the newsletter's default."""
    languages: tuple[str, ...] | None = None
    timezone: str | None = None
    format: Format | None = None


class OutcomeKind(StrEnum):
    """What came of a wish."""

    DONE = "done"
    UNCHANGED = "unchanged"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of a change; when it is REFUSED nothing at all was changed."""

    kind: OutcomeKind
    problems: tuple[FieldProblem, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Left:
    """What somebody does not receive any more; the same when they had left before."""

    newsletters: tuple[str, ...]
    everything: bool
    """Whether nothing else is left."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AddressChange:
    """What a link that lies in the mail to a new address stands for."""

    state: LinkState
    """OPEN | DONE | EXPIRED | IN_USE | BLOCKED"""
    old: str
    """Masked."""
    new: str
    """Masked."""
    language: str
