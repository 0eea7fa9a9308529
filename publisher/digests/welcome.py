"""The latest issue once more, for one reader's choices: what comes right after confirming."""

from __future__ import annotations

from dataclasses import replace

from publisher.config import Config, Newsletter
from publisher.digests.compose import Frame
from publisher.digests.material import MANUAL, NOBODY, Material
from publisher.digests.segments import Press, Sorting
from publisher.model import ArticleState, IssueState, NewSegment, Wishes
from publisher.render import Renderer
from publisher.store import articles, issues
from publisher.store.database import Database

_SENT = (IssueState.SENT, IssueState.SENDING)


def latest_issue(
    db: Database, config: Config, newsletter: Newsletter, wishes: Wishes, *, renderer: Renderer
) -> NewSegment | None:
    """Return the newsletter's latest issue as a reader with these wishes would have got it; None when there is nothing.

    Nothing above the reader's cursor is in it: that is for their first issue, so that nothing comes twice.
    Raises RenderError.
    """
    found = db.read(lambda conn: issues.listing(conn, newsletter=newsletter.slug, states=_SENT, limit=1))
    if not found:
        return None
    issue = found[0]
    named = db.read(lambda conn: [articles.get(conn, id=number) for number in issues.article_ids(conn, issue.id)])
    window = tuple(
        article
        for article in named
        if article is not None and article.state is ArticleState.PUBLISHED and (article.seq or 0) <= wishes.cursor
    )
    # Whatever is too little for an issue is enough for a first look.
    usual = newsletter.model_copy(update={"min_articles": 1, "skip_if_empty": True})
    frame = Frame(config, usual, MANUAL, issue.ref, issue.created_at, renderer)
    sorting = Sorting(Material(NOBODY, wishes.cursor, window), config, usual, issue.created_at)
    group = sorting.group(replace(wishes, cursor=-1))
    segment = Press(frame).segment(sorting.picks(group), group.language, group.format, content=group.content)
    return segment if isinstance(segment, NewSegment) else None
