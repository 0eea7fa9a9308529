"""The nouns: frozen values that cross the borders between modules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Literal, NamedTuple

Content = Literal["summary", "full"]
"""How much of each article a mail shows."""

UNCATEGORISED = "uncategorised"
"""Slug of the category of an article that neither names one nor matches a rule."""

UNSPECIFIED_LICENSE = "http://purl.org/atompub/license#unspecified"
"""Stands for a license that is not stated by an address (RFC 4946 §2.1)."""


class Status(StrEnum):
    """Direction of the news of a category, as one article states it."""

    IMPROVED = "improved"
    WORSENED = "worsened"
    UNCHANGED = "unchanged"


class ArticleState(StrEnum):
    """Where an article stands (spec delivery §5.4)."""

    PUBLISHED = "published"  # in feeds and in mail
    BASELINE = "baseline"  # in feeds, never mailed: it was there before we were
    QUARANTINED = "quarantined"  # in neither, until an operator releases it
    HELD = "held"  # in neither, until its date has come
    WITHDRAWN = "withdrawn"  # taken back

    @property
    def visible(self) -> bool:
        """Whether feeds and pages show an article of this state."""
        return self in (ArticleState.PUBLISHED, ArticleState.BASELINE)


class SubscriptionState(StrEnum):
    """A person's standing with a newsletter."""

    PENDING = "pending"
    CONFIRMED = "confirmed"
    UNSUBSCRIBED = "unsubscribed"


class SlotOutcome(StrEnum):
    """What became of a planned moment."""

    DISPATCHED = "dispatched"
    SKIPPED = "skipped"
    MISSED = "missed"
    HELD = "held"


class IssueState(StrEnum):
    """Where one dated composition of a newsletter stands."""

    PLANNED = "planned"
    HELD = "held"
    SENDING = "sending"
    PAUSED = "paused"
    SENT = "sent"
    CANCELLED = "cancelled"


class DeliveryState(StrEnum):
    """Where one mail to one reader stands (spec delivery §5.2)."""

    QUEUED = "queued"
    SENDING = "sending"
    SENT = "sent"
    DEFERRED = "deferred"
    FAILED = "failed"
    UNCERTAIN = "uncertain"
    SUPPRESSED = "suppressed"
    EXPIRED = "expired"


class Outcome(StrEnum):
    """What one attempt to send came to (spec delivery §5.3)."""

    ACCEPTED = "accepted"
    DEFERRED = "deferred"
    REFUSED = "refused"
    AMBIGUOUS = "ambiguous"


class Format(StrEnum):
    """What a reader wants to receive."""

    HTML = "html"  # multipart/alternative, text and HTML
    TEXT = "text"  # plain text alone


@dataclass(frozen=True, slots=True)
class Author:
    """Who wrote an article; `email` is shown only where the operator made it public."""

    name: str
    email: str | None = None
    url: str | None = None


@dataclass(frozen=True, slots=True)
class Image:
    """The picture of an article: absolute URL, alternative text, pixels, photo credit."""

    url: str
    alt: str = ""
    width: int | None = None
    height: int | None = None
    credit: str | None = None


@dataclass(frozen=True, slots=True)
class Enclosure:
    """Attached media: absolute URL, media type, size in bytes (None when unknown)."""

    url: str
    type: str
    length: int | None = None
    title: str | None = None


@dataclass(frozen=True, slots=True)
class Origin:
    """The publication that an article was first published by, when that is not ours."""

    title: str
    url: str
    """Absolute address of its site, or of the article there."""
    feed_url: str | None = None
    """Absolute address of its feed."""
    id: str | None = None
    """The lasting id of its feed, an absolute IRI."""
    updated_at: datetime | None = None
    """When its feed was last updated, aware UTC, as far as it said so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """One article as a source found it: cleaned, absolute, but not yet decided upon.

    Times are aware UTC. `html` is sanitised and every URL in it is absolute. `title`, `summary` are plain text.
    """

    key: str
    """The identity inside its source: the path relative to the root, or the upstream id. Seeds the guid, once."""
    aliases: tuple[str, ...] = ()
    """Other keys of the same article, for example the path of the saved page that holds it."""
    path: str
    """The file (relative to the root) or address it was read from, for messages."""
    guid: str | None = None
    """The article's own `guid`/`id`, when it states one."""
    title: str
    html: str
    summary: str
    slug: str
    language: str
    url: str | None = None
    published_at: datetime | None = None
    """None: the source gives no date at all; the article counts as published when first seen."""
    updated_at: datetime | None = None
    """When the article says it was updated; None when it says nothing."""
    authors: tuple[Author, ...] = ()
    categories: tuple[str, ...] = (UNCATEGORISED,)
    """Configured category slugs, the first one leads; never empty."""
    labels: tuple[str, ...] = ()
    """The article's other tags, as written."""
    status: Status | None = None
    image: Image | None = None
    credit: str | None = None
    """Photo credit, also when there is no image to show."""
    enclosures: tuple[Enclosure, ...] = ()
    translation_of: str | None = None
    """guid, key, path or slug of the article this one translates."""
    origin: Origin | None = None
    """Where it was first published, when that was elsewhere."""
    license: str | None = None
    """Absolute address of its own license; UNSPECIFIED_LICENSE: it states one in words; None: it states none."""
    discussion: str | None = None
    """Absolute address of the page where readers discuss it."""
    related: tuple[str, ...] = ()
    """Keys (of the same source) of articles named as similar."""
    content_hash: str = ""
    """sha256 over what a reader would notice (see `sources.content_hash`); not the date, not the path."""


@dataclass(frozen=True, slots=True)
class Skipped:
    """A file or item that gave no article, and why."""

    path: str
    reason: str
    kind: str = "problem"
    """`problem`, or `draft` for what its author does not want published: not an error."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Collected:
    """What one collection of a source returned."""

    drafts: tuple[Draft, ...]
    """New or changed articles; unchanged files are not read and not here."""
    gone: frozenset[str] = frozenset()
    """Keys this source once returned and does not hold now; reported at each collection while they are away."""
    present: int = 0
    """How many articles the source holds now, changed or not."""
    skipped: tuple[Skipped, ...] = ()
    """Every file now skipped, also those skipped earlier and unchanged since."""
    state: Mapping[str, Any] = field(default_factory=dict)
    """The source's own opaque JSON for the next collection; stored in the transaction that stores the articles."""
    postponed: tuple[str, ...] = ()
    """Files still being written (A3): left to the next collection."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Article:
    """An article as the store keeps it. Times are aware UTC."""

    id: int
    guid: str
    ref: str
    """12 hex digits made from the guid: the stable part of the address of its page here."""
    source: str
    title: str
    html: str
    summary: str
    slug: str
    language: str
    url: str | None
    published_at: datetime
    updated_at: datetime
    """At or after `published_at`; moves only when the content changes."""
    authors: tuple[Author, ...]
    categories: tuple[str, ...]
    labels: tuple[str, ...]
    status: Status | None
    image: Image | None
    credit: str | None
    enclosures: tuple[Enclosure, ...]
    story: str
    """guid of the original that all translations of one story share; its own guid when it is the original."""
    related: tuple[str, ...]
    """guids of articles named as similar, in the order named."""
    state: ArticleState
    state_reason: str
    seq: int | None
    """Number in order of ingestion, given when the article becomes visible; None while held or quarantined."""
    content_hash: str
    origin: Origin | None = None
    """Where it was first published; None: here."""
    license: str | None = None
    """As in Draft."""
    discussion: str | None = None
    """Absolute address of the page where readers discuss it."""
    linked: tuple[str, ...] = ()
    """refs of the articles that feeds link as related: noted once, whatever becomes of them (`store.related`)."""
    pinned: bool = False
    """Whether an operator wants it first in its section, whatever its date."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscriber:
    """A person: the address as typed, and its normalised form that is unique."""

    id: int
    address: str
    address_key: str
    name: str
    languages: tuple[str, ...]
    timezone: str
    format: Format
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscription:
    """A person's choice for one newsletter."""

    id: int
    subscriber_id: int
    newsletter: str
    frequency: str
    state: SubscriptionState
    categories: tuple[str, ...] | None
    """Slugs chosen; None means every category of the newsletter, also future ones."""
    start_seq: int
    """The `seq` at sign-up: only later articles are mailed."""
    content: Content | None = None
    """None: as the newsletter has it."""
    hour: int | None = None
    """0 to 23 in the person's zone; None: when the publisher sends."""
    paused_until: datetime | None = None
    requested_at: datetime | None = None
    """When a confirmation was last asked for that is still open."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What a reader's mail depends on: what person and subscription chose, and how much was received already."""

    languages: tuple[str, ...]
    timezone: str
    format: Format
    categories: tuple[str, ...] | None
    cursor: int
    """Highest `seq` this reader has received (DESIGN §4, Cursor)."""
    content: Content | None = None
    """Summaries or full texts; None: as the newsletter has it."""
    hour: int | None = None
    """Hour of the day, in the person's zone, at which mail is welcome; None: as the newsletter has it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    """One confirmed subscription with its person's name."""

    subscription_id: int
    name: str
    wishes: Wishes


@dataclass(frozen=True, slots=True)
class Readers:
    """Confirmed subscriptions that an issue is composed for, by what they wish: a million of them take 16 MB."""

    wishes: tuple[Wishes, ...]
    """Those that occur, each once, in order of first appearance."""
    ids: Sequence[int]
    """Subscription ids."""
    kinds: Sequence[int]
    """Of each subscription the place of its wishes in `wishes`."""

    def __len__(self) -> int:
        return len(self.ids)


# What ingest decides about a collection (ingest.decide), and what it needs to know for it.


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What the store remembers of an article when a collection is decided upon."""

    id: int
    guid: str
    source: str
    keys: tuple[str, ...]
    """Its keys in its source, the draft's key first."""
    title: str
    content_hash: str
    published_at: datetime
    updated_at: datetime
    state: ArticleState
    state_before: ArticleState | None
    withdrawn_by: str | None
    has_seq: bool
    state_reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewArticle:
    """An article nobody has seen before."""

    draft: Draft
    guid: str
    state: ArticleState
    reason: str
    published_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangedArticle:
    """A known article that was edited, moved, re-dated or restored: same guid, same seq, no second announcement."""

    id: int
    draft: Draft
    state: ArticleState
    reason: str
    published_at: datetime
    updated_at: datetime
    change: str
    """edited | moved | relabelled | restored | seen (only its keys or side data differ)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WithdrawnArticle:
    """An article whose source no longer holds it."""

    id: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What a collection changes."""

    new: tuple[NewArticle, ...] = ()
    changed: tuple[ChangedArticle, ...] = ()
    withdrawn: tuple[WithdrawnArticle, ...] = ()
    refused: tuple[Skipped, ...] = ()
    """Drafts that were not taken, for example two files with one id; shown among the skipped."""
    alarm: str | None = None
    """Why the disappearance of articles was not believed (A12)."""
    notes: tuple[str, ...] = ()
    """What the operator should read: moved and edited at once, quarantined …"""


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceRecord:
    """What the store remembers of a source as a whole; times are aware UTC."""

    name: str
    kind: str
    state: Mapping[str, Any]
    skipped: tuple[Skipped, ...]
    alarm: str | None
    recent_new: tuple[tuple[datetime, int], ...]
    first_collected_at: datetime | None
    last_collected_at: datetime | None
    last_success_at: datetime | None


# What sending passes around (digests → store → mail).


@dataclass(frozen=True, slots=True, kw_only=True)
class NewSegment:
    """The same bytes for every reader of one group, but for their tokens; `key` is unique in its issue."""

    key: str
    language: str
    format: Format
    subject: str
    html: str
    text: str
    head: bytes
    body: bytes
    is_web: bool = False
    article_ids: tuple[int, ...] = ()
    """What its readers have received with it, also behind "n more"."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewDelivery:
    """One reader's mail of an issue about to be frozen."""

    subscription_id: int
    segment_key: str
    to_seq: int
    due_at: datetime
    expires_at: datetime
    message_id: str
    cursor: int | None = None
    """The cursor that this was composed for: a reader who has received more since is left to the next issue."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewIssue:
    """An issue about to be frozen: everything that its transaction writes."""

    ref: str
    newsletter: str
    frequency: str
    slot: str
    slot_at: datetime
    to_seq: int
    settings: Mapping[str, Any]
    article_ids: tuple[int, ...]
    segments: tuple[NewSegment, ...]
    deliveries: Sequence[NewDelivery]
    """In the order of their subscriptions where there are many: then the store need not jump about."""
    transport: str = "smtp"
    """What carries it: `[smtp]`, or one of `[[transports]]` by name."""
    held: str = ""
    """Why nothing of it is sent before an operator approves it; "" when it may be."""
    without_news: Sequence[int] = ()
    """Subscriptions for which nothing in the window is meant: they have received all up to `to_seq`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Issue:
    """A frozen issue with its counts of deliveries by state."""

    id: int
    ref: str
    newsletter: str
    frequency: str
    slot: str
    state: IssueState
    reason: str
    """Why it is held or paused, or was cancelled; "" when it goes its way."""
    to_seq: int
    settings: Mapping[str, Any]
    created_at: datetime
    sent_at: datetime | None
    """When the last of it was sent."""
    deliveries: Mapping[DeliveryState, int]
    published_at: datetime | None = None
    """When it was first sent: what readers are told, whatever is sent again."""
    transport: str = "smtp"
    """What carries it: `[smtp]`, or one of `[[transports]]` by name."""


class Claimed(NamedTuple):
    """A delivery this worker may send now: fenced by `epoch`, its address, name and date frozen by its first claim.

    A tuple, because two are made for every message, and a frozen dataclass takes five times as long.
    """

    id: int
    issue_id: int
    segment_id: int
    subscription_id: int
    epoch: int
    attempt: int
    address: str
    name: str
    date_at: datetime
    message_id: str
    expires_at: datetime
    """Not to be attempted at or after this moment."""
    ambiguous: int
    """Earlier attempts whose outcome nobody knows; two at most in a delivery's life."""
    dkim_keys: str | None = None
    """What signs it on every attempt, "" for nothing; None until its first claim decides."""
    link_key: str | None = None
    """The name of the key that signs its links on every attempt; None until its first claim decides."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """What one attempt to send came to, in the server's words."""

    outcome: Outcome
    code: int | None
    text: str
    phase: str
    """How far it went: connect | tls | auth (no recipient's fault), message (our own check, no envelope), mail | rcpt |
    data | body (certainly unsent), dot (the message had left: without a proper reply nobody knows)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """What the ledger shall say about a delivery after an attempt."""

    delivery_id: int
    epoch: int
    state: DeliveryState
    reason: str
    attempt: Attempt
    next_at: datetime | None = None
    ambiguous: bool = False
