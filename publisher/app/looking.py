"""Stories that change nothing: what would be sent, and when."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any

from publisher import dates, digests, reports, slots
from publisher.app import trials
from publisher.app.shared import Made, renderer_of
from publisher.clock import hexadecimal, now
from publisher.config import Config, Newsletter
from publisher.digests import planning
from publisher.errors import RefusedError
from publisher.model import Format
from publisher.render import Renderer
from publisher.store.database import Database
from publisher.subscriptions import letters


def check_templates(config: Config, *, known: str = "") -> Made:
    """Try the templates of each newsletter on made-up articles; return what was made of them for it, to go on with.

    `known`: a state that needs no trial, because it passed one. Raises RenderError (E1, E5, E15).
    """
    return check_made(Made.of(config), known=known)


def check_made(made: Made, *, known: str = "") -> Made:
    """Do so with what was made already."""
    state = trials.state_of(made.config, made.templates)
    if state != known:
        for newsletter in made.config.newsletters:
            digests.check_templates(made.config, newsletter, made.renderers[newsletter.slug], now())
        letters.check_templates(made.config, made.renderer)
    return replace(made, tried=state)


def preview_mail(
    database: Database,
    config: Config,
    newsletter: str,
    *,
    as_address: str = "",
    at: str = "",
    language: str = "",
    format_: Format = Format.HTML,
) -> dict[str, Any]:
    """Return the mail that a reader would get at a local time (`2026-12-01T09:00`; "": the next slot). Blocking.

    Raises NotFoundError and RenderError as `digests.trial_mail`, RefusedError for a time that cannot be read.
    """
    chosen = digests.newsletter_named(config, newsletter)
    moment = now()
    mail = digests.trial_mail(
        database,
        config,
        chosen,
        as_address or "reader@example.org",
        renderer=renderer_of(config, chosen, Renderer.for_newsletter(config)),
        now=moment,
        ids=hexadecimal,
        language=language,
        format_=format_,
        as_address=as_address,
        at=planned_moment(config, chosen, at, moment),
        mark="",
    )
    return {
        "newsletter": chosen.slug,
        "subject": mail.segment.subject,
        "html": mail.segment.html,
        "text": mail.segment.text,
        "message": mail.message.decode(),
        "bytes": len(mail.message),
        "notes": list(mail.notes),
    }


def planned_moment(config: Config, newsletter: Newsletter, at: str, now: datetime) -> datetime:
    """Return the moment that a local time names, "" for the newsletter's next slot. Raises RefusedError."""
    if at:
        try:
            return dates.parse(at, slots.zone_named(config.site.timezone))
        except ValueError as error:
            raise RefusedError(f"--at: {error}") from error
    coming = [f.schedule(config.site.timezone).next(now) for f in newsletter.frequencies.values()]
    return min((slot.at for slot in coming if slot), default=now)


def plan_slots(database: Database, config: Config, newsletter: str | None, count: int) -> list[dict[str, Any]]:
    """Return the next slots of one newsletter, or of each, and what the next of each frequency would do. Blocking."""
    chosen = [digests.newsletter_named(config, newsletter)] if newsletter else config.newsletters
    usual = Renderer.for_newsletter(config)
    return [
        reports.planned_value(config, planned)
        for one in chosen
        for planned in planning.plan(
            database,
            config,
            one,
            renderer=renderer_of(config, one, usual),
            now=now(),
            ids=hexadecimal,
            count=count,
        )
    ]
