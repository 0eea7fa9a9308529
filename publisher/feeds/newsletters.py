"""A newsletter as a feed: its entries are its sent issues."""

from __future__ import annotations

import re
import uuid
from datetime import UTC

from publisher import links
from publisher.config import Config
from publisher.feeds.entry import Entry
from publisher.feeds.spec import FeedSpec
from publisher.markup.html import sanitise
from publisher.store.published import SentIssue
from publisher.text import clean, excerpt, one_line

_BODY = re.compile(r"<body[^>]*>(.*)</body>", re.IGNORECASE | re.DOTALL)


def entry_of_issue(issue: SentIssue, spec: FeedSpec, config: Config) -> Entry:
    """Return what the newsletter's feed shows of an issue."""
    page, when = issue.page, issue.published_at.astimezone(UTC).replace(microsecond=0)
    address = links.issue(config, issue.ref, page.language)
    body = _BODY.search(page.html)
    return Entry(
        # The ref is random, minted and stored once, so the id made of it is for ever the issue's own (FR-X5).
        id=uuid.uuid5(uuid.NAMESPACE_OID, issue.ref).urn,
        url=address,
        title=one_line(page.subject) or spec.title,
        html=sanitise(clean(body[1] if body else page.html), address) if spec.content == "full" else "",
        summary=excerpt(clean(page.text)),
        published_at=when,
        updated_at=when,
        language=page.language,
        authors=(),
        tags=(),
        status="",
        image=None,
        credit="",
        enclosures=(),
    )
