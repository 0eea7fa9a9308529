"""The first schema.

The types are written out here, not taken from `tables`: a revision says for ever what it said on its day.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

Id = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
Flag = sa.Boolean().with_variant(sa.Integer(), "sqlite")
Words = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
Instant = sa.Text().with_variant(postgresql.TIMESTAMP(timezone=True), "postgresql")
Json = sa.Text().with_variant(postgresql.JSONB(), "postgresql")


def upgrade() -> None:
    op.create_table(
        "articles",
        sa.Column("id", Id, nullable=False),
        sa.Column("guid", Words, nullable=False),
        sa.Column("ref", Words, nullable=False),
        sa.Column("source", Words, nullable=False),
        sa.Column("title", Words, nullable=False),
        sa.Column("summary", Words, nullable=False),
        sa.Column("slug", Words, nullable=False),
        sa.Column("language", Words, nullable=False),
        sa.Column("url", Words, nullable=True),
        sa.Column("published_at", Instant, nullable=False),
        sa.Column("updated_at", Instant, nullable=False),
        sa.Column("first_seen_at", Instant, nullable=False),
        sa.Column("authors", Json, nullable=False),
        sa.Column("labels", Json, nullable=False),
        sa.Column("status", Words, nullable=True),
        sa.Column("image", Json, nullable=True),
        sa.Column("credit", Words, nullable=True),
        sa.Column("enclosures", Json, nullable=False),
        sa.Column("origin", Json),
        sa.Column("license", Words, nullable=True),
        sa.Column("discussion", Words, nullable=True),
        sa.Column("translation_of", Words, nullable=True),
        sa.Column("story", Words, nullable=False),
        sa.Column("pinned", Flag, nullable=False),
        sa.Column("content_hash", Words, nullable=False),
        sa.Column("state", Words, nullable=False),
        sa.Column("state_reason", Words, nullable=False),
        sa.Column("state_before", Words, nullable=True),
        sa.Column("withdrawn_by", Words, nullable=True),
        sa.Column("withdrawn_at", Instant, nullable=True),
        sa.Column("seq", Id, nullable=True),
        sa.Column("numbered_at", Instant, nullable=True),
        sa.Column("changed", Id, nullable=False),
        sa.Column("html", Words, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_articles")),
        sa.UniqueConstraint("guid", name=op.f("uq_articles_guid")),
        sa.UniqueConstraint("ref", name=op.f("uq_articles_ref")),
        sa.UniqueConstraint("seq", name=op.f("uq_articles_seq")),
        sqlite_strict=True,
    )
    op.create_index(op.f("ix_articles_changed"), "articles", ["changed"])
    op.create_index(op.f("ix_articles_content_hash"), "articles", ["content_hash"])
    op.create_index(op.f("ix_articles_slug"), "articles", ["slug"])
    op.create_index(op.f("ix_articles_source_state"), "articles", ["source", "state"])
    op.create_index(
        "ix_articles_held",
        "articles",
        ["published_at"],
        sqlite_where=sa.text("state = 'held'"),
        postgresql_where=sa.text("state = 'held'"),
    )
    op.create_index(
        "ix_articles_withdrawn",
        "articles",
        ["withdrawn_at"],
        sqlite_where=sa.text("state = 'withdrawn'"),
        postgresql_where=sa.text("state = 'withdrawn'"),
    )
    op.create_index(op.f("ix_articles_story"), "articles", ["story"])
    op.create_index(op.f("ix_articles_translation_of"), "articles", ["translation_of"])
    op.create_index(
        "ix_articles_visible",
        "articles",
        [sa.text("published_at DESC"), "guid"],
        sqlite_where=sa.text("state IN ('published', 'baseline')"),
        postgresql_where=sa.text("state IN ('published', 'baseline')"),
    )
    op.create_table(
        "article_traces",
        sa.Column("id", Id, nullable=False),
        sa.Column("changed", Id, nullable=False),
        sa.Column("source", Words, nullable=False),
        sa.Column("language", Words, nullable=False),
        sa.Column("month", Words, nullable=False),
        sa.Column("categories", Json, nullable=False),
        sa.Column("authors", Json, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_article_traces")),
        sqlite_strict=True,
    )
    op.create_index(op.f("ix_article_traces_changed"), "article_traces", ["changed"])
    op.create_table(
        "feed_archives",
        sa.Column("feed", Words, nullable=False),
        sa.Column("fingerprint", Words, nullable=False),
        sa.Column("changed", Id, nullable=False),
        sa.Column("until_at", Instant, nullable=True),
        sa.PrimaryKeyConstraint("feed", name=op.f("pk_feed_archives")),
        sqlite_strict=True,
    )
    op.create_table(
        "feed_authors",
        sa.Column("author_key", Words, nullable=False),
        sa.Column("slug", Words, nullable=False),
        sa.Column("name", Words, nullable=False),
        sa.Column("has_articles", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("author_key", name=op.f("pk_feed_authors")),
        sa.UniqueConstraint("slug", name=op.f("uq_feed_authors_slug")),
        sqlite_strict=True,
    )
    op.create_table(
        "feed_months",
        sa.Column("feed", Words, nullable=False),
        sa.Column("month", Words, nullable=False),
        sa.Column("etag", Words, nullable=False),
        sa.Column("modified_at", Instant, nullable=True),
        sa.Column("stale", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("feed", "month", name=op.f("pk_feed_months")),
        sqlite_strict=True,
    )
    op.create_index(
        "ix_feed_months_stale",
        "feed_months",
        [sa.text("month DESC")],
        sqlite_where=sa.text("stale = 1"),
        postgresql_where=sa.text("stale = 1"),
    )
    op.create_table(
        "feed_files",
        sa.Column("name", Words, nullable=False),
        sa.Column("feed", Words, nullable=False),
        sa.Column("feed_id", Words, nullable=False),
        sa.Column("etag", Words, nullable=False),
        sa.Column("modified_at", Instant, nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_feed_files")),
        sqlite_strict=True,
    )
    op.create_table(
        "feed_pollers",
        sa.Column("name", Words, nullable=False),
        sa.Column("poller", Words, nullable=False),
        sa.Column("subscribers", sa.Integer(), nullable=False),
        sa.Column("seen_at", Instant, nullable=False),
        sa.PrimaryKeyConstraint("name", "poller", name=op.f("pk_feed_pollers")),
        sqlite_strict=True,
    )
    op.create_table(
        "feed_states",
        sa.Column("feed", Words, nullable=False),
        sa.Column("fingerprint", Words, nullable=False),
        sa.Column("changed", Id, nullable=False),
        sa.Column("next_at", Instant, nullable=True),
        sa.Column("oldest_at", Instant, nullable=True),
        sa.PrimaryKeyConstraint("feed", name=op.f("pk_feed_states")),
        sqlite_strict=True,
    )
    op.create_table(
        "hub_pings",
        sa.Column("hub", Words, nullable=False),
        sa.Column("topic", Words, nullable=False),
        sa.Column("etag", Words, nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("changed_at", Instant, nullable=False),
        sa.Column("next_at", Instant, nullable=True),
        sa.Column("problem", Words, nullable=False),
        sa.PrimaryKeyConstraint("hub", "topic", name=op.f("pk_hub_pings")),
        sqlite_strict=True,
    )
    op.create_index(op.f("ix_hub_pings_next_at"), "hub_pings", ["next_at"])
    op.create_table(
        "issues",
        sa.Column("id", Id, nullable=False),
        sa.Column("ref", Words, nullable=False),
        sa.Column("newsletter", Words, nullable=False),
        sa.Column("frequency", Words, nullable=False),
        sa.Column("slot", Words, nullable=False),
        sa.Column("state", Words, nullable=False),
        sa.Column("to_seq", Id, nullable=False),
        sa.Column("transport", Words, nullable=False),
        sa.Column("settings", Json, nullable=False),
        sa.Column("reason", Words, nullable=False),
        sa.Column("created_at", Instant, nullable=False),
        sa.Column("sent_at", Instant, nullable=True),
        sa.Column("published_at", Instant, nullable=True),
        sa.Column("changed", Id, nullable=True),
        sa.Column("told_at", Instant, nullable=True),
        sa.Column("forgotten", sa.Integer(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_issues")),
        sa.UniqueConstraint("newsletter", "frequency", "slot", name=op.f("uq_issues_newsletter_frequency_slot")),
        sa.UniqueConstraint("ref", name=op.f("uq_issues_ref")),
        sqlite_strict=True,
    )
    op.create_index(op.f("ix_issues_newsletter_published_at"), "issues", ["newsletter", "published_at"])
    op.create_index(op.f("ix_issues_newsletter_changed"), "issues", ["newsletter", "changed"])
    op.create_table(
        "meta",
        sa.Column("key", Words, nullable=False),
        sa.Column("value", Words, nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_meta")),
        sqlite_strict=True,
    )
    op.create_table(
        "schedules",
        sa.Column("newsletter", Words, nullable=False),
        sa.Column("frequency", Words, nullable=False),
        sa.Column("fingerprint", Words, nullable=False),
        sa.Column("since_at", Instant, nullable=False),
        sa.Column("to_seq", Id, nullable=False),
        sa.PrimaryKeyConstraint("newsletter", "frequency", name=op.f("pk_schedules")),
        sqlite_strict=True,
    )
    op.create_table(
        "slots",
        sa.Column("newsletter", Words, nullable=False),
        sa.Column("frequency", Words, nullable=False),
        sa.Column("slot", Words, nullable=False),
        sa.Column("slot_at", Instant, nullable=False),
        sa.Column("outcome", Words, nullable=False),
        sa.Column("reason", Words, nullable=False),
        sa.Column("to_seq", Id, nullable=False),
        sa.Column("decided_at", Instant, nullable=False),
        sa.PrimaryKeyConstraint("newsletter", "frequency", "slot", name=op.f("pk_slots")),
        sqlite_strict=True,
    )
    op.create_table(
        "sources",
        sa.Column("name", Words, nullable=False),
        sa.Column("kind", Words, nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("skipped", sa.Text(), nullable=False),
        sa.Column("alarm", Words, nullable=True),
        sa.Column("recent_new", Json, nullable=False),
        sa.Column("first_collected_at", Instant, nullable=True),
        sa.Column("last_collected_at", Instant, nullable=True),
        sa.Column("last_success_at", Instant, nullable=True),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_sources")),
        sqlite_strict=True,
    )
    op.create_table(
        "subscribers",
        sa.Column("id", Id, nullable=False),
        sa.Column("address", Words, nullable=False),
        sa.Column("address_key", Words, nullable=False),
        sa.Column("name", Words, nullable=False),
        sa.Column("languages", Json, nullable=False),
        sa.Column("timezone", Words, nullable=False),
        sa.Column("format", Words, nullable=False),
        sa.Column("created_at", Instant, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_subscribers")),
        sa.UniqueConstraint("address_key", name=op.f("uq_subscribers_address_key")),
        sqlite_strict=True,
        sqlite_autoincrement=True,
    )
    op.create_table(
        "suppressions",
        sa.Column("address_key", Words, nullable=False),
        sa.Column("kind", Words, nullable=False),
        sa.Column("reason", Words, nullable=False),
        sa.Column("created_at", Instant, nullable=False),
        sa.PrimaryKeyConstraint("address_key", name=op.f("pk_suppressions")),
        sqlite_strict=True,
    )
    op.create_table(
        "wordings",
        sa.Column("hash", Words, nullable=False),
        sa.Column("version", Words, nullable=False),
        sa.Column("language", Words, nullable=False),
        sa.Column("text", Words, nullable=False),
        sa.Column("first_used_at", Instant, nullable=False),
        sa.PrimaryKeyConstraint("hash", name=op.f("pk_wordings")),
        sqlite_strict=True,
    )
    op.create_table(
        "requests",
        sa.Column("id", Id, nullable=False),
        sa.Column("bucket", Words, nullable=False),
        sa.Column("asked_at", Instant, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_requests")),
        sqlite_strict=True,
    )
    op.create_index(op.f("ix_requests_asked_at"), "requests", ["asked_at"])
    op.create_index(op.f("ix_requests_bucket_asked_at"), "requests", ["bucket", "asked_at"])
    op.create_table(
        "erasures",
        sa.Column("address_hash", Words, nullable=False),
        sa.Column("suppressed", Words, nullable=True),
        sa.Column("erased_at", Instant, nullable=False),
        sa.PrimaryKeyConstraint("address_hash", name=op.f("pk_erasures")),
        sqlite_strict=True,
    )
    op.create_table(
        "imports",
        sa.Column("id", Id, nullable=False),
        sa.Column("digest", Words, nullable=False),
        sa.Column("file", Words, nullable=False),
        sa.Column("done", Id, nullable=False),
        sa.Column("counts", Json, nullable=False),
        sa.Column("started_at", Instant, nullable=False),
        sa.Column("finished_at", Instant, nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_imports")),
        sqlite_strict=True,
    )
    op.create_index(op.f("ix_imports_digest"), "imports", ["digest"])
    op.create_table(
        "workers",
        sa.Column("epoch", Id, nullable=False),
        sa.Column("started_at", Instant, nullable=False),
        sa.Column("stopped_at", Instant, nullable=True),
        sa.PrimaryKeyConstraint("epoch", name=op.f("pk_workers")),
        sqlite_strict=True,
    )
    op.create_table(
        "article_authors",
        sa.Column("article_id", Id, nullable=False),
        sa.Column("author_key", Words, nullable=False),
        sa.ForeignKeyConstraint(
            ["article_id"], ["articles.id"], name=op.f("fk_article_authors_article_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("article_id", "author_key", name=op.f("pk_article_authors")),
        sqlite_strict=True,
    )
    op.create_index(op.f("ix_article_authors_author_key_article_id"), "article_authors", ["author_key", "article_id"])
    op.create_table(
        "article_categories",
        sa.Column("article_id", Id, nullable=False),
        sa.Column("category", Words, nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["article_id"], ["articles.id"], name=op.f("fk_article_categories_article_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("article_id", "category", name=op.f("pk_article_categories")),
        sqlite_strict=True,
    )
    op.create_index(op.f("ix_article_categories_category_article_id"), "article_categories", ["category", "article_id"])
    op.create_table(
        "article_keys",
        sa.Column("source", Words, nullable=False),
        sa.Column("key", Words, nullable=False),
        sa.Column("article_id", Id, nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["article_id"], ["articles.id"], name=op.f("fk_article_keys_article_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("source", "key", name=op.f("pk_article_keys")),
        sqlite_strict=True,
    )
    op.create_index(op.f("ix_article_keys_article_id"), "article_keys", ["article_id"])
    op.create_table(
        "article_related",
        sa.Column("article_id", Id, nullable=False),
        sa.Column("key", Words, nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("ref", Words, nullable=True),
        sa.ForeignKeyConstraint(
            ["article_id"], ["articles.id"], name=op.f("fk_article_related_article_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("article_id", "key", name=op.f("pk_article_related")),
        sqlite_strict=True,
    )
    op.create_index(op.f("ix_article_related_key"), "article_related", ["key"])
    op.create_table(
        "consents",
        sa.Column("id", Id, nullable=False),
        sa.Column("subscriber_id", Id, nullable=False),
        sa.Column("newsletter", Words, nullable=False),
        sa.Column("event", Words, nullable=False),
        sa.Column("method", Words, nullable=False),
        sa.Column("proof", Words, nullable=False),
        sa.Column("form", Words, nullable=False),
        sa.Column("wording", Words, nullable=True),
        sa.Column("client", Words, nullable=False),
        sa.Column("recorded_at", Instant, nullable=False),
        sa.ForeignKeyConstraint(
            ["subscriber_id"], ["subscribers.id"], name=op.f("fk_consents_subscriber_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_consents")),
        sqlite_strict=True,
    )
    op.create_index(op.f("ix_consents_subscriber_id"), "consents", ["subscriber_id"])
    op.create_table(
        "links",
        sa.Column("id", Id, nullable=False),
        sa.Column("purpose", Words, nullable=False),
        sa.Column("subscriber_id", Id, nullable=False),
        sa.Column("address", Words, nullable=True),
        sa.Column("address_key", Words, nullable=True),
        sa.Column("created_at", Instant, nullable=False),
        sa.Column("expires_at", Instant, nullable=False),
        sa.Column("used_at", Instant, nullable=True),
        sa.ForeignKeyConstraint(
            ["subscriber_id"], ["subscribers.id"], name=op.f("fk_links_subscriber_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_links")),
        sqlite_strict=True,
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_links_expires_at"), "links", ["expires_at"])
    op.create_index(op.f("ix_links_subscriber_id"), "links", ["subscriber_id"])
    op.create_table(
        "notices",
        sa.Column("id", Id, nullable=False),
        sa.Column("kind", Words, nullable=False),
        sa.Column("subscriber_id", Id, nullable=False),
        sa.Column("link_id", Id, nullable=True),
        sa.Column("newsletter", Words, nullable=True),
        sa.Column("language", Words, nullable=False),
        sa.Column("address", Words, nullable=True),
        sa.Column("to_seq", Id, nullable=True),
        sa.Column("message_id", Words, nullable=False),
        sa.Column("state", Words, nullable=False),
        sa.Column("reason", Words, nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("ambiguous", sa.Integer(), nullable=False),
        sa.Column("epoch", Id, nullable=True),
        sa.Column("created_at", Instant, nullable=False),
        sa.Column("date_at", Instant, nullable=True),
        sa.Column("dkim_keys", Words, nullable=True),
        sa.Column("link_key", Words, nullable=True),
        sa.Column("next_at", Instant, nullable=False),
        sa.Column("expires_at", Instant, nullable=False),
        sa.Column("finished_at", Instant, nullable=True),
        sa.ForeignKeyConstraint(["link_id"], ["links.id"], name=op.f("fk_notices_link_id"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(
            ["subscriber_id"], ["subscribers.id"], name=op.f("fk_notices_subscriber_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_notices")),
        sqlite_strict=True,
    )
    op.create_index(op.f("ix_notices_finished_at"), "notices", ["finished_at"])
    op.create_index(op.f("ix_notices_link_id"), "notices", ["link_id"])
    op.create_index(
        "ix_notices_sending",
        "notices",
        ["epoch"],
        sqlite_where=sa.text("state = 'sending'"),
        postgresql_where=sa.text("state = 'sending'"),
    )
    op.create_index(op.f("ix_notices_subscriber_id"), "notices", ["subscriber_id"])
    op.create_index(
        "ix_notices_waiting",
        "notices",
        ["next_at", "id"],
        sqlite_where=sa.text("state IN ('queued', 'deferred')"),
        postgresql_where=sa.text("state IN ('queued', 'deferred')"),
    )
    op.create_table(
        "issue_articles",
        sa.Column("issue_id", Id, nullable=False),
        sa.Column("article_id", Id, nullable=False),
        sa.ForeignKeyConstraint(
            ["article_id"], ["articles.id"], name=op.f("fk_issue_articles_article_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["issue_id"], ["issues.id"], name=op.f("fk_issue_articles_issue_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("issue_id", "article_id", name=op.f("pk_issue_articles")),
        sqlite_strict=True,
    )
    op.create_index(op.f("ix_issue_articles_article_id"), "issue_articles", ["article_id"])
    op.create_table(
        "segments",
        sa.Column("id", Id, nullable=False),
        sa.Column("issue_id", Id, nullable=False),
        sa.Column("key", Words, nullable=False),
        sa.Column("language", Words, nullable=False),
        sa.Column("format", Words, nullable=False),
        sa.Column("subject", Words, nullable=False),
        sa.Column("is_web", Flag, nullable=False),
        sa.Column("html", Words, nullable=False),
        sa.Column("text", Words, nullable=False),
        sa.Column("head", sa.LargeBinary(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("article_ids", Json, nullable=False),
        sa.ForeignKeyConstraint(["issue_id"], ["issues.id"], name=op.f("fk_segments_issue_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_segments")),
        sa.UniqueConstraint("issue_id", "key", name=op.f("uq_segments_issue_id_key")),
        sqlite_strict=True,
    )
    op.create_table(
        "subscriptions",
        sa.Column("id", Id, nullable=False),
        sa.Column("subscriber_id", Id, nullable=False),
        sa.Column("newsletter", Words, nullable=False),
        sa.Column("frequency", Words, nullable=False),
        sa.Column("state", Words, nullable=False),
        sa.Column("categories", Json, nullable=True),
        sa.Column("content", Words, nullable=True),
        sa.Column("hour", sa.Integer(), nullable=True),
        sa.Column("paused_until", Instant, nullable=True),
        sa.Column("start_seq", Id, nullable=False),
        sa.Column("cursor", Id, nullable=False),
        sa.Column("created_at", Instant, nullable=False),
        sa.Column("requested_at", Instant, nullable=True),
        sa.Column("confirmed_at", Instant, nullable=True),
        sa.Column("unsubscribed_at", Instant, nullable=True),
        sa.ForeignKeyConstraint(
            ["subscriber_id"], ["subscribers.id"], name=op.f("fk_subscriptions_subscriber_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_subscriptions")),
        sa.UniqueConstraint("subscriber_id", "newsletter", name=op.f("uq_subscriptions_subscriber_id_newsletter")),
        sqlite_strict=True,
        sqlite_autoincrement=True,
    )
    op.create_index(
        "ix_subscriptions_pending",
        "subscriptions",
        ["requested_at"],
        sqlite_where=sa.text("state = 'pending'"),
        postgresql_where=sa.text("state = 'pending'"),
    )
    op.create_index(
        op.f("ix_subscriptions_newsletter_frequency_state"), "subscriptions", ["newsletter", "frequency", "state"]
    )
    op.create_table(
        "deliveries",
        sa.Column("id", Id, nullable=False),
        sa.Column("issue_id", Id, nullable=False),
        sa.Column("subscription_id", Id, nullable=True),
        sa.Column("subscriber_id", Id, nullable=True),
        sa.Column("segment_id", Id, nullable=False),
        sa.Column("state", Words, nullable=False),
        sa.Column("reason", Words, nullable=False),
        sa.Column("to_seq", Id, nullable=False),
        sa.Column("due_at", Instant, nullable=False),
        sa.Column("expires_at", Instant, nullable=False),
        sa.Column("next_at", Instant, nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("ambiguous", sa.Integer(), nullable=False),
        sa.Column("epoch", Id, nullable=True),
        sa.Column("claimed_at", Instant, nullable=True),
        sa.Column("date_at", Instant, nullable=True),
        sa.Column("address", Words, nullable=True),
        sa.Column("name", Words, nullable=True),
        sa.Column("dkim_keys", Words, nullable=True),
        sa.Column("link_key", Words, nullable=True),
        sa.Column("message_id", Words, nullable=False),
        sa.Column("reply_code", sa.Integer(), nullable=True),
        sa.Column("reply_text", Words, nullable=True),
        sa.Column("finished_at", Instant, nullable=True),
        sa.ForeignKeyConstraint(["issue_id"], ["issues.id"], name=op.f("fk_deliveries_issue_id"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(
            ["segment_id"], ["segments.id"], name=op.f("fk_deliveries_segment_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["subscriber_id"], ["subscribers.id"], name=op.f("fk_deliveries_subscriber_id"), ondelete="SET NULL"
        ),
        sa.ForeignKeyConstraint(
            ["subscription_id"], ["subscriptions.id"], name=op.f("fk_deliveries_subscription_id"), ondelete="SET NULL"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_deliveries")),
        sa.UniqueConstraint("issue_id", "subscriber_id", name=op.f("uq_deliveries_issue_id_subscriber_id")),
        sqlite_strict=True,
    )
    op.create_index(
        "ix_deliveries_open",
        "deliveries",
        ["issue_id", "state"],
        sqlite_where=sa.text("state IN ('queued', 'deferred', 'sending')"),
        postgresql_where=sa.text("state IN ('queued', 'deferred', 'sending')"),
    )
    op.create_index(
        "ix_deliveries_uncertain",
        "deliveries",
        ["issue_id"],
        sqlite_where=sa.text("state = 'uncertain'"),
        postgresql_where=sa.text("state = 'uncertain'"),
    )
    op.create_index(
        "ix_deliveries_sending",
        "deliveries",
        ["epoch"],
        sqlite_where=sa.text("state = 'sending'"),
        postgresql_where=sa.text("state = 'sending'"),
    )
    op.create_index(op.f("ix_deliveries_subscriber_id"), "deliveries", ["subscriber_id"])
    op.create_index(op.f("ix_deliveries_subscription_id"), "deliveries", ["subscription_id"])
    op.create_index(
        "ix_deliveries_waiting",
        "deliveries",
        ["next_at", "id"],
        sqlite_where=sa.text("state IN ('queued', 'deferred')"),
        postgresql_where=sa.text("state IN ('queued', 'deferred')"),
    )
    op.create_table(
        "planned_deliveries",
        sa.Column("id", Id, nullable=False),
        sa.Column("issue_id", Id, nullable=False),
        sa.Column("mails", Words, nullable=False),
        sa.Column("rows", sa.LargeBinary(), nullable=False),
        sa.Column("without_news", Json, nullable=False),
        sa.ForeignKeyConstraint(
            ["issue_id"], ["issues.id"], name=op.f("fk_planned_deliveries_issue_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_planned_deliveries")),
        sqlite_strict=True,
    )
    op.create_index(op.f("ix_planned_deliveries_issue_id"), "planned_deliveries", ["issue_id"])
    op.create_table(
        "attempts",
        sa.Column("id", Id, nullable=False),
        sa.Column("delivery_id", Id, nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("outcome", Words, nullable=False),
        sa.Column("phase", Words, nullable=False),
        sa.Column("code", sa.Integer(), nullable=True),
        sa.Column("text", Words, nullable=False),
        sa.Column("ended_at", Instant, nullable=False),
        sa.ForeignKeyConstraint(
            ["delivery_id"], ["deliveries.id"], name=op.f("fk_attempts_delivery_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_attempts")),
        sqlite_strict=True,
    )
    op.create_index(op.f("ix_attempts_delivery_id"), "attempts", ["delivery_id"])
    op.create_table(
        "soft_bounces",
        sa.Column("subscriber_id", Id, nullable=False),
        sa.Column("issue_id", Id, nullable=False),
        sa.Column("reason", Words, nullable=False),
        sa.Column("recorded_at", Instant, nullable=False),
        sa.ForeignKeyConstraint(["issue_id"], ["issues.id"], name=op.f("fk_soft_bounces_issue_id"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(
            ["subscriber_id"], ["subscribers.id"], name=op.f("fk_soft_bounces_subscriber_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("subscriber_id", "issue_id", name=op.f("pk_soft_bounces")),
        sqlite_strict=True,
    )
    op.create_index(op.f("ix_soft_bounces_issue_id"), "soft_bounces", ["issue_id"])
    op.create_table(
        "paces",
        sa.Column("key", Words, nullable=False),
        sa.Column("full_at", Instant, nullable=True),
        sa.Column("since_at", Instant, nullable=True),
        sa.Column("slow_per_hour", sa.Integer(), nullable=True),
        sa.Column("slow_at", Instant, nullable=True),
        sa.Column("rests_until", Instant, nullable=True),
        sa.Column("slow_reason", Words, nullable=True),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_paces")),
        sqlite_strict=True,
    )
    op.create_table(
        "accounts",
        sa.Column("id", Id, nullable=False),
        sa.Column("name", Words, nullable=False),
        sa.Column("role", Words, nullable=False),
        sa.Column("created_at", Instant, nullable=False),
        sa.Column("entered_at", Instant, nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_accounts")),
        sa.UniqueConstraint("name", name=op.f("uq_accounts_name")),
        sqlite_strict=True,
    )
    op.create_table(
        "invites",
        sa.Column("id", Id, nullable=False),
        sa.Column("account_id", Id, nullable=False),
        sa.Column("token_hash", Words, nullable=False),
        sa.Column("created_at", Instant, nullable=False),
        sa.Column("expires_at", Instant, nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id"], ["accounts.id"], name=op.f("fk_invites_account_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_invites")),
        sa.UniqueConstraint("token_hash", name=op.f("uq_invites_token_hash")),
        sqlite_strict=True,
    )
    op.create_index(op.f("ix_invites_account_id"), "invites", ["account_id"])
    op.create_table(
        "sessions",
        sa.Column("id", Id, nullable=False),
        sa.Column("account_id", Id, nullable=False),
        sa.Column("secret_hash", Words, nullable=False),
        sa.Column("began_at", Instant, nullable=False),
        sa.Column("seen_at", Instant, nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id"], ["accounts.id"], name=op.f("fk_sessions_account_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sessions")),
        sa.UniqueConstraint("secret_hash", name=op.f("uq_sessions_secret_hash")),
        sqlite_strict=True,
    )
    op.create_index(op.f("ix_sessions_account_id"), "sessions", ["account_id"])
    op.create_table(
        "audit",
        sa.Column("id", Id, nullable=False),
        sa.Column("recorded_at", Instant, nullable=False),
        sa.Column("who", Words, nullable=False),
        sa.Column("action", Words, nullable=False),
        sa.Column("subject", Words, nullable=False),
        sa.Column("form", Words, nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit")),
        sa.UniqueConstraint("form", name=op.f("uq_audit_form")),
        sqlite_strict=True,
        sqlite_autoincrement=True,
    )
