"""The mail that tells an editor of an issue which waits for approval: the issue as readers would get it, marked."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime
from html import escape

from publisher import links
from publisher.config import Config, Newsletter
from publisher.digests.segments import domain_of
from publisher.mail.message import SegmentHeaders, encode_segment, feedback_id, message_id, personalise
from publisher.model import Issue
from publisher.store.issues import WebSegment

MARK = "[For approval] "


def approval_mail(
    config: Config,
    newsletter: Newsletter,
    issue: Issue,
    page: WebSegment,
    address: str,
    *,
    now: datetime,
    ids: Callable[[], str],
) -> bytes:
    """Return the mail to one editor; `page` is the issue's neutral rendering, so no link in it acts for a reader."""
    readers = sum(issue.deliveries.values())
    words = (
        f"This issue of {newsletter.slug} waits for approval: {issue.reason}. "
        f"It would go to {readers} {'reader' if readers == 1 else 'readers'}."
    )
    way = f"publisher approve {issue.ref}"
    domain = domain_of(newsletter.from_address)
    headers = SegmentHeaders(
        from_name=newsletter.from_name,
        from_address=newsletter.from_address,
        reply_to=newsletter.reply_to,
        subject=MARK + page.subject,
        language=page.language,
        list_name=newsletter.slug,
        list_id=f"{newsletter.slug}.{domain}",
        web_url=links.public_url(config),
        feedback_id=feedback_id(issue.ref, newsletter.slug, domain),
    )
    notice = (
        '<div style="padding:16px;background:#fef3c7;color:#451a03;font:16px/1.5 sans-serif" lang="en" dir="ltr">'
        f"{escape(words)}<br>To send it: <code>{escape(way)}</code><br>"
        f"To drop it: <code>{escape(f'publisher issues cancel {issue.ref}')}</code></div>"
    )
    text = f"{words}\n\nTo send it: {way}\nTo drop it: publisher issues cancel {issue.ref}\n\n{page.text}"
    head, body = encode_segment(headers=headers, text=text, html=_with_notice(page.html, notice))
    return personalise(
        head,
        body,
        address=address,
        name="",
        date=now,
        message_id=message_id(issue.ref, ids()[:16], domain),
        unsubscribe_url=links.newsletter(config, newsletter.slug, page.language),
    )


def _with_notice(html: str, notice: str) -> str:
    """Put the notice on top of the page, whatever templates made it."""
    placed, found = re.subn(r"(<body\b[^>]*>)", lambda tag: tag[1] + notice, html, count=1, flags=re.IGNORECASE)
    return placed if found else notice + html
