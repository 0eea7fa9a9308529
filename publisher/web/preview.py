"""The coming mail of a newsletter in a browser, as wide as a desk, as a phone, and in the dark; it follows edits."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response

from publisher import digests
from publisher.config import Newsletter
from publisher.digests import TrialMail
from publisher.errors import NotFoundError, RenderError
from publisher.files import packaged
from publisher.model import Format
from publisher.render import Renderer
from publisher.store.numbering import last_change
from publisher.web import Parts
from publisher.web.security import MAIL_POLICY, POLICY

SCRIPT = packaged("templates") / "web" / "preview.js"

PRIVATE = {"Cache-Control": "no-store", "X-Robots-Tag": "noindex"}

_SCRIPTED = POLICY + "; script-src 'self'; connect-src 'self'"
_ADDRESS = "reader@example.org"


class Previews:
    """Makes the mail anew when a template or an article changed, and not more often."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._renderers: dict[str, tuple[str, Renderer]] = {}

    def state(self, newsletter: Newsletter) -> str:
        """Return a text that changes when the mail of this newsletter may have changed. Blocking."""
        return f"{self._templates(newsletter)}-{self._parts.database.read(last_change)}"

    def mail(self, newsletter: Newsletter, language: str, format_: Format) -> TrialMail:
        """Return the mail for a reader of everything. Blocking. Raises NotFoundError and RenderError."""
        return digests.trial_mail(
            self._parts.database,
            self._parts.config,
            newsletter,
            _ADDRESS,
            renderer=self._renderer(newsletter),
            now=self._parts.clock(),
            ids=lambda: "0" * 32,  # nothing is stored, so nothing has to be unique
            language=language,
            format_=format_,
            mark="",
        )

    def _renderer(self, newsletter: Newsletter) -> Renderer:
        state = self._templates(newsletter)
        known = self._renderers.get(newsletter.slug)
        if known is None or known[0] != state:
            known = (state, Renderer.for_newsletter(self._parts.config, newsletter))
            self._renderers[newsletter.slug] = known
        return known[1]

    def _templates(self, newsletter: Newsletter) -> str:
        folders = [folder for folder in (newsletter.templates, self._parts.config.templates) if folder is not None]
        seen = sorted(entry for folder in (*folders, packaged("templates")) for entry in _files(folder))
        return hashlib.sha256(repr(seen).encode()).hexdigest()[:16]


def _files(folder: Path) -> Iterator[tuple[str, int, int]]:
    for path in folder.rglob("*"):
        if path.is_file():
            about = path.stat()
            yield str(path), about.st_mtime_ns, about.st_size


def named(parts: Parts, slug: str) -> Newsletter:
    """Return the newsletter. Raises HTTPException when there is none."""
    try:
        return digests.newsletter_named(parts.config, slug)
    except NotFoundError as error:
        raise HTTPException(404) from error


def choices(parts: Parts, request: Request, newsletter: Newsletter) -> tuple[str, Format]:
    """Return the language and the format that a request asks for, the first there are for anything else."""
    languages = newsletter.languages or parts.config.site.languages
    language = request.query_params.get("language", "")
    format_ = Format.TEXT if request.query_params.get("format") == Format.TEXT else Format.HTML
    return (language if language in languages else languages[0]), format_


async def frame(parts: Parts, previews: Previews, request: Request) -> Response:
    """Answer with the mail itself, or with what keeps it from being made."""
    newsletter = named(parts, request.path_params["newsletter"])
    language, format_ = choices(parts, request, newsletter)
    try:
        mail = await asyncio.to_thread(previews.mail, newsletter, language, format_)
    except (NotFoundError, RenderError) as error:
        html = f"<!DOCTYPE html><title>-</title><pre style='white-space:pre-wrap'>{escape(str(error))}</pre>"
    else:
        html = mail.segment.html or f"<!DOCTYPE html><title>-</title><pre>{escape(mail.segment.text)}</pre>"
    if request.query_params.get("dark"):
        # What a mail program in the dark would show, whatever this browser's own setting is.
        html = html.replace("(prefers-color-scheme: dark)", "all").replace("(prefers-color-scheme:dark)", "all")
    return HTMLResponse(html, headers=PRIVATE | {"Content-Security-Policy": MAIL_POLICY})


async def state(parts: Parts, previews: Previews, request: Request) -> Response:
    """Answer with a text that changes when the page should be looked at again."""
    newsletter = named(parts, request.path_params["newsletter"])
    return PlainTextResponse(await asyncio.to_thread(previews.state, newsletter), headers=PRIVATE)


async def script(request: Request) -> Response:
    """Serve the script that looks for changes; without it the page is reloaded by hand."""
    return Response(SCRIPT.read_bytes(), media_type="text/javascript", headers={"Cache-Control": "no-cache"})


def headers() -> dict[str, Any]:
    """Return the headers of the page around the frames."""
    return PRIVATE | {"Content-Security-Policy": _SCRIPTED}
