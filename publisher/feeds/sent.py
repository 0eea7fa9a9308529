"""The sent issues of a newsletter that anybody may see."""

from __future__ import annotations

from publisher.model import Issue, IssueState
from publisher.store import issues
from publisher.store.database import Connection
from publisher.store.issues import WebSegment


def sent_issues(conn: Connection, newsletter: str, language: str, limit: int) -> list[tuple[Issue, WebSegment]]:
    """Return the newest sent issues with the page that nobody's links are on; never one that is still being sent."""
    found = []
    for issue in issues.listing(conn, newsletter=newsletter, states=(IssueState.SENT,), limit=limit):
        page = issues.web_segment(conn, issue.id, language)
        if page is not None and issue.sent_at is not None:
            found.append((issue, page))
    return found
