"""The tables: one word per idea, times in UTC in columns that end in `_at`, uniqueness where a promise needs it."""

from __future__ import annotations

import functools
import json
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeEngine


@functools.lru_cache(maxsize=64)  # neighbours have most of their moments in common
def as_text(moment: datetime) -> str:
    """Return a moment as SQLite keeps it. Raises ValueError for one without a zone."""
    if moment.tzinfo is None:
        raise ValueError(f"naive datetime {moment!r}")
    # strftime("%Y") does not pad years below 1000 on every platform; isoformat does, so text sorts as time does.
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def as_moment(value: str | datetime) -> datetime:
    """Return what a driver gives for a moment, aware and in UTC."""
    return _read(value) if isinstance(value, str) else value.astimezone(UTC)


_read = functools.lru_cache(maxsize=256)(datetime.fromisoformat)  # rows that belong together share their moments


class Instant(sa.types.TypeDecorator[datetime]):
    """An aware UTC moment: `timestamptz` on PostgreSQL, sortable text on SQLite (whose STRICT tables know no dates)."""

    impl = sa.Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Choose the column type."""
        if dialect.name == "postgresql":
            from sqlalchemy.dialects.postgresql import TIMESTAMP  # here: SQLite is not to wait for it to load

            return dialect.type_descriptor(TIMESTAMP(timezone=True))
        return dialect.type_descriptor(sa.Text())

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any:  # noqa: ANN401 - the driver's type
        """Refuse naive times: a zone forgotten here is an issue sent at the wrong hour."""
        if value is None:
            return None
        if dialect.name == "postgresql" and value.tzinfo is not None:
            return value.astimezone(UTC)
        return as_text(value)

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:  # noqa: ANN401, ARG002 - driver type
        """Return aware UTC."""
        if value is None:
            return None
        return as_moment(value)


_encode = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode


class Json(sa.types.TypeDecorator[Any]):
    """JSON with sorted keys and letters as they are: `jsonb` on PostgreSQL, text on SQLite."""

    impl = sa.Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Choose the column type."""
        if dialect.name == "postgresql":
            from sqlalchemy.dialects.postgresql import JSONB  # as above

            return dialect.type_descriptor(JSONB(none_as_null=True))
        return dialect.type_descriptor(sa.Text())

    def process_bind_param(self, value: Any, dialect: Dialect) -> Any:  # noqa: ANN401 - any JSON value
        """Encode on SQLite; psycopg does it on PostgreSQL."""
        if value is None or dialect.name == "postgresql":
            return value
        return _encode(value)

    def process_result_value(self, value: Any, dialect: Dialect) -> Any:  # noqa: ANN401 - any JSON value
        """Decode on SQLite."""
        return json.loads(value) if isinstance(value, str) and dialect.name != "postgresql" else value


class Opaque(sa.types.TypeDecorator[Any]):
    """JSON that we only keep for somebody: ASCII text on both, because jsonb refuses half a surrogate pair.

    Python reads a file name that is not UTF-8 as such halves, and the memory of a source holds file names (A5).
    """

    impl = sa.Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:  # noqa: ANN401, ARG002 - any JSON value
        """Encode."""
        return None if value is None else json.dumps(value, sort_keys=True, separators=(",", ":"))

    def process_result_value(self, value: str | None, dialect: Dialect) -> Any:  # noqa: ANN401, ARG002 - any JSON value
        """Decode."""
        return None if value is None else json.loads(value)


# SQLite numbers rows only in a column called exactly INTEGER; PostgreSQL needs 64 bits for a ledger.
Id = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
# Byte order on PostgreSQL as on SQLite: the same articles in the same order, and no index that a new libc breaks.
Words = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
Flag = sa.Boolean(create_constraint=False).with_variant(sa.Integer(), "sqlite")

metadata = sa.MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def _table(name: str, *parts: Any, numbered: bool = False) -> sa.Table:  # noqa: ANN401 - columns and constraints
    """Make a table. `numbered`: no id is ever given twice, even when its row is gone, because links in mail name it."""
    return sa.Table(name, metadata, *parts, sqlite_strict=True, sqlite_autoincrement=numbered)


def _partial(name: str, *columns: Any, where: sa.TextClause) -> sa.Index:  # noqa: ANN401 - names or columns
    """Declare an index of the rows that meet a condition, on both databases."""
    return sa.Index(name, *columns, sqlite_where=where, info={"where": where})


@sa.event.listens_for(metadata, "before_create")
def _tell_postgresql(_: sa.MetaData, connection: sa.Connection, **__: object) -> None:
    # Not above: SQLAlchemy loads the whole dialect for one keyword of it, for 20 ms of each start on SQLite.
    if connection.dialect.name == "postgresql":
        for table in metadata.tables.values():
            for index in [one for one in table.indexes if "where" in one.info]:
                index.dialect_options["postgresql"]["where"] = index.info["where"]


def _id() -> sa.Column[int]:
    return sa.Column("id", Id, primary_key=True)


def _text(name: str, **options: Any) -> sa.Column[str]:  # noqa: ANN401 - Column options
    return sa.Column(name, Words, nullable=options.pop("nullable", False), **options)


meta = _table("meta", _text("key", primary_key=True), _text("value"))
"""Single values: `seq` (the last number given), `changed` (likewise, of changes), `instance` (random id) …"""

sources = _table(
    "sources",
    _text("name", primary_key=True),
    _text("kind"),
    sa.Column("state", Opaque, nullable=False),  # the source's own
    sa.Column("skipped", Opaque, nullable=False),  # [{path, reason, kind}]
    _text("alarm", nullable=True),  # why the last collection was not trusted, None when all is well
    sa.Column("recent_new", Json, nullable=False),  # [[iso time, number]] of the last 30 days
    sa.Column("first_collected_at", Instant),
    sa.Column("last_collected_at", Instant),
    sa.Column("last_success_at", Instant),
)

articles = _table(
    "articles",
    _id(),
    _text("guid", unique=True),
    _text("ref", unique=True),
    _text("source"),
    _text("title"),
    _text("summary"),
    _text("slug"),
    _text("language"),
    _text("url", nullable=True),
    sa.Column("published_at", Instant, nullable=False),
    sa.Column("updated_at", Instant, nullable=False),
    sa.Column("first_seen_at", Instant, nullable=False),
    sa.Column("authors", Json, nullable=False),  # [{name, email, url}]
    sa.Column("labels", Json, nullable=False),
    _text("status", nullable=True),
    sa.Column("image", Json),
    _text("credit", nullable=True),
    sa.Column("enclosures", Json, nullable=False),
    sa.Column("origin", Json),  # {title, url, feed_url, id, updated_at}, when first published elsewhere
    _text("license", nullable=True),  # address of its own
    _text("discussion", nullable=True),  # address of the page where readers discuss it
    _text("translation_of", nullable=True),  # as the article states it
    _text("story"),  # guid shared by all translations
    sa.Column("pinned", Flag, nullable=False, default=False),  # by an operator: stands first in its section
    _text("content_hash"),
    _text("state"),
    _text("state_reason"),
    _text("state_before", nullable=True),  # of a withdrawn article: what it returns to
    _text("withdrawn_by", nullable=True),  # source | operator; a source never undoes an operator
    sa.Column("withdrawn_at", Instant),
    sa.Column("seq", Id, unique=True),
    sa.Column("numbered_at", Instant),  # when it got its `seq`: from then on it is news
    sa.Column("changed", Id, nullable=False, default=0, index=True),  # number of its last change that a feed may show
    _text("html"),  # last, because SQLite walks through a long value to reach what comes after it
    sa.Index(None, "content_hash"),
    sa.Index(None, "story"),
    sa.Index(None, "source", "state"),  # with the state, so that counting reads no row
    sa.Index(None, "slug"),
    sa.Index(None, "translation_of"),
)

_HELD = sa.text("state = 'held'")
_WITHDRAWN = sa.text("state = 'withdrawn'")
_VISIBLE = sa.text("state IN ('published', 'baseline')")

# Partial, and no index begins with the state: given one, SQLite sorts all that is visible to find the newest fifty.
_partial("ix_articles_held", articles.c.published_at, where=_HELD)
_partial("ix_articles_withdrawn", articles.c.withdrawn_at, where=_WITHDRAWN)
# The order of feeds and pages.
_partial("ix_articles_visible", articles.c.published_at.desc(), articles.c.guid, where=_VISIBLE)

article_authors = _table(
    "article_authors",
    sa.Column("article_id", Id, sa.ForeignKey("articles.id", ondelete="CASCADE"), primary_key=True),
    _text("author_key", primary_key=True),  # the name casefolded by Python: SQLite's lower() knows ASCII only
    sa.Index(None, "author_key", "article_id"),
)

article_keys = _table(
    "article_keys",
    _text("source", primary_key=True),
    _text("key", primary_key=True),
    sa.Column("article_id", Id, sa.ForeignKey("articles.id", ondelete="CASCADE"), nullable=False, index=True),
    sa.Column("position", sa.Integer, nullable=False),  # 0 is the draft's key, the rest are aliases
)

article_categories = _table(
    "article_categories",
    sa.Column("article_id", Id, sa.ForeignKey("articles.id", ondelete="CASCADE"), primary_key=True),
    _text("category", primary_key=True),
    sa.Column("position", sa.Integer, nullable=False),
    sa.Index(None, "category", "article_id"),
)

article_related = _table(
    "article_related",
    sa.Column("article_id", Id, sa.ForeignKey("articles.id", ondelete="CASCADE"), primary_key=True),
    _text("key", primary_key=True),  # key of the same source; joined through article_keys, so the other may come later
    sa.Column("position", sa.Integer, nullable=False),
    _text("ref", nullable=True),  # of the article that feeds link for it: noted once (store.related)
    sa.Index(None, "key"),
)

feed_files = _table(
    "feed_files",
    _text("name", primary_key=True),  # all.rss
    _text("feed"),  # all
    _text("feed_id"),  # the lasting Atom id of the feed (FR-X6), the same in its three formats
    _text("etag"),
    sa.Column("modified_at", Instant, nullable=False),  # when the bytes last changed
)

feed_states = _table(
    "feed_states",
    _text("feed", primary_key=True),  # all
    _text("fingerprint"),  # of all that decides its bytes beside the articles
    sa.Column("changed", Id, nullable=False),  # every change of an article up to this number is in its files
    sa.Column("next_at", Instant),  # when it shows something else though nothing changed; NULL: never
    sa.Column("oldest_at", Instant),  # of the oldest article it shows; NULL: it shows none
)

article_traces = _table(
    "article_traces",
    _id(),
    sa.Column("changed", Id, nullable=False, index=True),  # number of the change by which an article was here no more
    _text("source"),
    _text("language"),
    _text("month"),  # 2026-10, UTC
    sa.Column("categories", Json, nullable=False),
    sa.Column("authors", Json, nullable=False),  # names, casefolded
)
"""Where articles stood before they changed, until every feed has followed: nothing else says what they left."""

feed_archives = _table(
    "feed_archives",
    _text("feed", primary_key=True),  # all
    _text("fingerprint"),  # of all that decides the bytes of its documents beside the articles
    sa.Column("changed", Id, nullable=False),  # every change up to this number is in its documents, or they are stale
    sa.Column("until_at", Instant),  # how far the document of the open month goes
)

feed_months = _table(
    "feed_months",
    _text("feed", primary_key=True),  # all
    _text("month", primary_key=True),  # 2026-10: a month stays in the chain, even when all its articles are taken back
    _text("etag"),  # of the bytes of all formats; empty: never written
    sa.Column("modified_at", Instant),  # when the bytes last changed
    sa.Column("stale", sa.Integer, nullable=False),  # 1: to be built again
)

_STALE = sa.text("stale = 1")
_partial("ix_feed_months_stale", feed_months.c.month.desc(), where=_STALE)

feed_authors = _table(
    "feed_authors",
    _text("author_key", primary_key=True),  # the name, casefolded
    _text("slug", unique=True),  # author-jane-doe: given once, for good
    _text("name"),  # as the newest article wrote it when the slug was given
    sa.Column("has_articles", sa.Integer, nullable=False),  # 1: at least one is visible; 0: the feed is gone for now
)

feed_pollers = _table(
    "feed_pollers",
    _text("name", primary_key=True),  # all.rss
    _text("poller", primary_key=True),  # who asks for many readers: feedly
    sa.Column("subscribers", sa.Integer, nullable=False),  # as it said last
    sa.Column("seen_at", Instant, nullable=False),
)

hub_pings = _table(
    "hub_pings",
    _text("hub", primary_key=True),
    _text("topic", primary_key=True),  # address of the feed
    _text("etag"),  # of the bytes that the hub is told of
    sa.Column("attempts", sa.Integer, nullable=False),  # that failed since one did not
    sa.Column("changed_at", Instant, nullable=False),
    sa.Column("next_at", Instant, index=True),  # NULL: told, or given up
    _text("problem"),  # of the last attempt; empty: none
)

subscribers = _table(
    "subscribers",
    _id(),
    _text("address"),
    _text("address_key", unique=True),
    _text("name"),
    sa.Column("languages", Json, nullable=False),
    _text("timezone"),
    _text("format"),
    sa.Column("created_at", Instant, nullable=False),
    numbered=True,
)

_PENDING = sa.text("state = 'pending'")

subscriptions = _table(
    "subscriptions",
    _id(),
    sa.Column("subscriber_id", Id, sa.ForeignKey("subscribers.id", ondelete="CASCADE"), nullable=False),
    _text("newsletter"),
    _text("frequency"),
    _text("state"),
    sa.Column("categories", Json),  # NULL: all
    _text("content", nullable=True),  # summary | full; NULL: as the newsletter has it
    sa.Column("hour", sa.Integer),  # 0 to 23 in the person's zone; NULL: when the publisher sends
    sa.Column("paused_until", Instant),
    sa.Column("start_seq", Id, nullable=False),
    sa.Column("cursor", Id, nullable=False),  # highest to_seq of sent or uncertain deliveries; moves with the outcome
    sa.Column("created_at", Instant, nullable=False),
    sa.Column("requested_at", Instant),  # when a confirmation was last asked for; NULL: nobody asked for one
    sa.Column("confirmed_at", Instant),
    sa.Column("unsubscribed_at", Instant),
    sa.UniqueConstraint("subscriber_id", "newsletter"),
    sa.Index(None, "newsletter", "frequency", "state"),
    _partial("ix_subscriptions_pending", "requested_at", where=_PENDING),
    numbered=True,
)

consents = _table(
    "consents",
    _id(),
    sa.Column("subscriber_id", Id, sa.ForeignKey("subscribers.id", ondelete="CASCADE"), nullable=False, index=True),
    _text("newsletter"),
    _text("event"),  # requested | confirmed | unsubscribed | changed | paused | …
    _text("method"),  # import | command | link | one-click
    _text("proof"),
    _text("form"),  # which form or page; empty: none
    _text("wording", nullable=True),  # hash of the text agreed to, in `wordings`
    _text("client"),  # network of the client, as far as it is kept
    sa.Column("recorded_at", Instant, nullable=False),
)
"""Append-only: rows are never changed."""

wordings = _table(
    "wordings",
    _text("hash", primary_key=True),  # sha256 of the text
    _text("version"),
    _text("language"),
    _text("text"),
    sa.Column("first_used_at", Instant, nullable=False),
)

links = _table(
    "links",
    _id(),
    _text("purpose"),  # confirm | manage | address
    sa.Column("subscriber_id", Id, sa.ForeignKey("subscribers.id", ondelete="CASCADE"), nullable=False, index=True),
    _text("address", nullable=True),  # the new one, for `address`
    _text("address_key", nullable=True),
    sa.Column("created_at", Instant, nullable=False),
    sa.Column("expires_at", Instant, nullable=False, index=True),
    sa.Column("used_at", Instant),
    numbered=True,
)
"""Links with an end. Their tokens are signed and name the row; what lies here opens nothing."""

_NOTICE_WAITS = sa.text("state IN ('queued', 'deferred')")
_NOTICE_LEAVES = sa.text("state = 'sending'")

notices = _table(
    "notices",
    _id(),
    _text("kind"),  # sign-up | opt-in | link | address | address-changed | welcome
    sa.Column("subscriber_id", Id, sa.ForeignKey("subscribers.id", ondelete="CASCADE"), nullable=False, index=True),
    sa.Column("link_id", Id, sa.ForeignKey("links.id", ondelete="CASCADE"), index=True),
    _text("newsletter", nullable=True),
    _text("language"),
    _text("address", nullable=True),  # where it goes when that is not where the person is
    sa.Column("to_seq", Id),  # of a welcome: nothing newer is in it, however late it goes out
    _text("message_id"),
    _text("state"),
    _text("reason"),
    sa.Column("attempt", sa.Integer, nullable=False),
    sa.Column("ambiguous", sa.Integer, nullable=False),
    sa.Column("epoch", Id),
    sa.Column("created_at", Instant, nullable=False),
    sa.Column("date_at", Instant),  # Date header, set by the first claim and kept
    _text("dkim_keys", nullable=True),  # likewise: what signs it; empty: nothing
    _text("link_key", nullable=True),  # likewise: the name of the key that signs its links
    sa.Column("next_at", Instant, nullable=False),
    sa.Column("expires_at", Instant, nullable=False),
    sa.Column("finished_at", Instant, index=True),
    _partial("ix_notices_waiting", "next_at", "id", where=_NOTICE_WAITS),
    _partial("ix_notices_sending", "epoch", where=_NOTICE_LEAVES),
)
"""Mails about a subscription itself: confirmations, links, welcomes. They have a queue of their own (F4)."""

requests = _table(
    "requests",
    _id(),
    _text("bucket"),  # address:HASH | client:HASH | all
    sa.Column("asked_at", Instant, nullable=False, index=True),
    sa.Index(None, "bucket", "asked_at"),
)
"""What the limits count: mails asked for, by keyed hashes that outlive an erasure and tell nobody whose they are."""

erasures = _table(
    "erasures",
    _text("address_hash", primary_key=True),
    _text("suppressed", nullable=True),  # kind of the suppression that the address had; NULL: none
    sa.Column("erased_at", Instant, nullable=False),
)
"""Who was erased, as keyed hashes: they stay out of imports, and nobody can read who they were."""

suppressions = _table(
    "suppressions",
    _text("address_key", primary_key=True),
    _text("kind"),  # bounce | complaint | operator
    _text("reason"),
    sa.Column("created_at", Instant, nullable=False),
)

imports = _table(
    "imports",
    _id(),
    _text("digest"),  # SHA-256 of the file and of what was said about it: the same command again goes on
    _text("file"),  # its name, without folders
    sa.Column("done", Id, nullable=False),  # the last row that was taken; moves in the transaction that takes it
    sa.Column("counts", Json, nullable=False),  # rows by what became of them
    sa.Column("started_at", Instant, nullable=False),
    sa.Column("finished_at", Instant),
    sa.Index(None, "digest"),
)

schedules = _table(
    "schedules",
    _text("newsletter", primary_key=True),
    _text("frequency", primary_key=True),
    _text("fingerprint"),  # of the schedule's settings
    sa.Column("since_at", Instant, nullable=False),  # first loaded or last changed: earlier slots are never due
    sa.Column("to_seq", Id, nullable=False),  # the last article of then: it is no news any more
)

slots = _table(
    "slots",
    _text("newsletter", primary_key=True),
    _text("frequency", primary_key=True),
    _text("slot", primary_key=True),  # local wall time, 2026-11-23T07:00
    sa.Column("slot_at", Instant, nullable=False),
    _text("outcome"),
    _text("reason"),
    sa.Column("to_seq", Id, nullable=False),  # the last article that was there when it was decided
    sa.Column("decided_at", Instant, nullable=False),
)

issues = _table(
    "issues",
    _id(),
    _text("ref", unique=True),  # random: the address of its page tells nothing
    _text("newsletter"),
    _text("frequency"),
    _text("slot"),
    _text("state"),
    sa.Column("to_seq", Id, nullable=False),
    _text("transport"),  # that carries all of it; a newsletter that names another one changes nothing in flight
    sa.Column("settings", Json, nullable=False),  # sender, titles …, as they were: a reload changes nothing in flight
    _text("reason", default=""),  # why it is held or paused, or was cancelled
    sa.Column("created_at", Instant, nullable=False),
    sa.Column("sent_at", Instant),
    sa.Column("published_at", Instant),  # when it was first sent: what its feed says, whatever is sent again
    sa.Column("changed", Id),  # number of that change among all that feeds may show
    sa.Column("told_at", Instant),  # when editors were told that it is held
    sa.Column("forgotten", sa.Integer),  # 1: the words of servers, 2: also whose its deliveries were
    sa.UniqueConstraint("newsletter", "frequency", "slot"),
    sa.Index(None, "newsletter", "published_at"),
    sa.Index(None, "newsletter", "changed"),
)

issue_articles = _table(
    "issue_articles",
    sa.Column("issue_id", Id, sa.ForeignKey("issues.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("article_id", Id, sa.ForeignKey("articles.id", ondelete="CASCADE"), primary_key=True, index=True),
)

segments = _table(
    "segments",
    _id(),
    sa.Column("issue_id", Id, sa.ForeignKey("issues.id", ondelete="CASCADE"), nullable=False),
    _text("key"),  # what its readers share
    _text("language"),
    _text("format"),
    _text("subject"),
    sa.Column("is_web", Flag, nullable=False),  # the neutral rendering that the issue's page shows
    _text("html"),  # with slots for the reader's tokens
    _text("text"),
    sa.Column("head", sa.LargeBinary, nullable=False),  # headers that all its readers share
    sa.Column("body", sa.LargeBinary, nullable=False),  # encoded parts, with slots
    sa.Column("article_ids", Json, nullable=False),  # what its readers received, also behind "n more"
    sa.UniqueConstraint("issue_id", "key"),
)

_WAITING = sa.text("state IN ('queued', 'deferred')")
_SENDING = sa.text("state = 'sending'")
_OPEN = sa.text("state IN ('queued', 'deferred', 'sending')")
_UNCERTAIN = sa.text("state = 'uncertain'")

deliveries = _table(
    "deliveries",
    _id(),
    sa.Column("issue_id", Id, sa.ForeignKey("issues.id", ondelete="CASCADE"), nullable=False),
    sa.Column("subscription_id", Id, sa.ForeignKey("subscriptions.id", ondelete="SET NULL")),
    sa.Column("subscriber_id", Id, sa.ForeignKey("subscribers.id", ondelete="SET NULL")),
    sa.Column("segment_id", Id, sa.ForeignKey("segments.id", ondelete="CASCADE"), nullable=False),
    _text("state"),
    _text("reason"),
    sa.Column("to_seq", Id, nullable=False),
    sa.Column("due_at", Instant, nullable=False),
    sa.Column("expires_at", Instant, nullable=False),
    sa.Column("next_at", Instant, nullable=False),
    sa.Column("attempt", sa.Integer, nullable=False),
    sa.Column("ambiguous", sa.Integer, nullable=False),  # attempts whose outcome nobody knows; two at most
    sa.Column("epoch", Id),  # the worker that claimed it
    sa.Column("claimed_at", Instant),
    sa.Column("date_at", Instant),  # Date header, set by the first claim and kept
    _text("address", nullable=True),  # likewise
    _text("name", nullable=True),
    _text("dkim_keys", nullable=True),  # likewise: what signs it; empty: nothing
    _text("link_key", nullable=True),  # likewise: the key that signs its links
    _text("message_id"),
    sa.Column("reply_code", sa.Integer),
    _text("reply_text", nullable=True),
    sa.Column("finished_at", Instant),
    sa.UniqueConstraint("issue_id", "subscriber_id"),
    sa.Index(None, "subscription_id"),
    sa.Index(None, "subscriber_id"),
    # Partial: the ledger grows for years, what is open stays small.
    _partial("ix_deliveries_waiting", "next_at", "id", where=_WAITING),
    _partial("ix_deliveries_sending", "epoch", where=_SENDING),
    _partial("ix_deliveries_open", "issue_id", "state", where=_OPEN),
    _partial("ix_deliveries_uncertain", "issue_id", where=_UNCERTAIN),
)

planned_deliveries = _table(
    "planned_deliveries",
    _id(),
    sa.Column("issue_id", Id, sa.ForeignKey("issues.id", ondelete="CASCADE"), nullable=False, index=True),
    sa.Column("mails", Words, nullable=False),  # JSON: what several of them share
    sa.Column("rows", sa.LargeBinary, nullable=False),  # packed JSON: subscription, which of the mails, Message-ID
    sa.Column("without_news", Json, nullable=False),  # subscriptions that have received all there is
)
"""Some thousand deliveries a row of a planned issue, until they are queued: see `freezing`."""

attempts = _table(
    "attempts",
    _id(),
    sa.Column("delivery_id", Id, sa.ForeignKey("deliveries.id", ondelete="CASCADE"), nullable=False, index=True),
    sa.Column("number", sa.Integer, nullable=False),
    _text("outcome"),
    _text("phase"),
    sa.Column("code", sa.Integer),
    _text("text"),  # the server's words
    sa.Column("ended_at", Instant, nullable=False),
)
"""Attempts that came to nothing; the one that succeeded is told by the delivery itself."""

soft_bounces = _table(
    "soft_bounces",
    sa.Column("subscriber_id", Id, sa.ForeignKey("subscribers.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("issue_id", Id, sa.ForeignKey("issues.id", ondelete="CASCADE"), primary_key=True, index=True),
    _text("reason"),
    sa.Column("recorded_at", Instant, nullable=False),
)
"""Issues that a reader's server would not take just then: one event each, however many attempts (spec mail §1.7)."""

paces = _table(
    "paces",
    _text("key", primary_key=True),  # transport smtp | provider smtp google | newsletter weekly
    sa.Column("full_at", Instant),  # when its bucket is full again
    sa.Column("since_at", Instant),  # the first mail while warming up
    sa.Column("slow_per_hour", sa.Integer),  # "too fast", it said: what was thought bearable then
    sa.Column("slow_at", Instant),
    sa.Column("rests_until", Instant),
    _text("slow_reason", nullable=True),
)

workers = _table(
    "workers",
    sa.Column("epoch", Id, primary_key=True),
    sa.Column("started_at", Instant, nullable=False),
    sa.Column("stopped_at", Instant),
)

accounts = _table(
    "accounts",
    _id(),
    _text("name", unique=True),
    _text("role"),  # viewer | editor | admin
    sa.Column("created_at", Instant, nullable=False),
    sa.Column("entered_at", Instant),  # the last login; NULL: never
)
"""Who may use the admin pages."""

invites = _table(
    "invites",
    _id(),
    sa.Column("account_id", Id, sa.ForeignKey("accounts.id", ondelete="CASCADE"), nullable=False, index=True),
    _text("token_hash", unique=True),  # sha256; the token is in the link alone
    sa.Column("created_at", Instant, nullable=False),
    sa.Column("expires_at", Instant, nullable=False),
)
"""Links that log in once: a row that was used is gone."""

sessions = _table(
    "sessions",
    _id(),
    sa.Column("account_id", Id, sa.ForeignKey("accounts.id", ondelete="CASCADE"), nullable=False, index=True),
    _text("secret_hash", unique=True),  # sha256; the secret is in the browser's cookie alone
    sa.Column("began_at", Instant, nullable=False),
    sa.Column("seen_at", Instant, nullable=False),
)

audit = _table(
    "audit",
    _id(),
    sa.Column("recorded_at", Instant, nullable=False),
    _text("who"),  # name of an account, `command line`, `the service`
    _text("action"),
    _text("subject"),  # issue 0a1b2c | reader 7 | …: names, no content
    _text("form", unique=True, nullable=True),  # the form that asked for it: one that is sent twice does it once
    numbered=True,
)
"""Append-only: rows are never changed and never deleted."""
