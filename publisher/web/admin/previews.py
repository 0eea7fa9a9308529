"""The pages of the coming mail of a newsletter; `web.preview` makes what they show."""

from __future__ import annotations

import asyncio

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from publisher.errors import NotFoundError, RenderError
from publisher.model import Format
from publisher.web import preview
from publisher.web.admin.frame import Frame
from publisher.web.values import language_name


class PreviewPages:
    """One method a page."""

    def __init__(self, frame: Frame) -> None:
        self.frame = frame
        self.parts = frame.parts
        self._previews = preview.Previews(frame.parts)

    async def previews(self, request: Request) -> Response:
        """Lead to the preview of the first newsletter."""
        if not self.frame.config.newsletters:
            raise HTTPException(404)
        return RedirectResponse(f"/preview/{self.frame.config.newsletters[0].slug}", 302)

    async def preview(self, request: Request) -> Response:
        """Show the coming mail of a newsletter side by side: as wide as a desk, as a phone, in the dark."""
        words = self.frame.words(request)
        newsletter = preview.named(self.parts, request.path_params["newsletter"])
        language, format_ = preview.choices(self.parts, request, newsletter)
        base = f"/preview/{newsletter.slug}"
        languages = newsletter.languages or self.frame.config.site.languages
        asked = [(code, Format.HTML) for code in languages] + [(language, Format.TEXT)]
        tabs = [
            {
                "title": "Text" if kind is Format.TEXT else language_name(code),
                "url": f"{base}?language={code}&format={kind}",
                "current": (code, kind) == (language, format_),
            }
            for code, kind in asked
        ]
        try:
            mail = await asyncio.to_thread(self._previews.mail, newsletter, language, format_)
            subject, notes = mail.segment.subject, mail.notes
        except (NotFoundError, RenderError):
            subject, notes = "", ()  # the frames say why
        title = words.pick(newsletter.title)
        answer = self.frame.show(
            request,
            "web/preview.html.j2",
            title,
            heading=title,
            others=[
                {"title": words.pick(other.title), "url": f"/preview/{other.slug}"}
                for other in self.frame.config.newsletters
                if other.slug != newsletter.slug
            ],
            subject=subject,
            notes=notes,
            tabs=tabs,
            state_url=f"{base}/state",
            seen=await asyncio.to_thread(self._previews.state, newsletter),
            frame_url=f"{base}/mail?language={language}&format={format_}",
        )
        answer.headers.update(preview.headers())
        return answer

    async def mail(self, request: Request) -> Response:
        """Show the mail itself."""
        return await preview.frame(self.parts, self._previews, request)

    async def state(self, request: Request) -> Response:
        """Say whether the mail changed."""
        return await preview.state(self.parts, self._previews, request)
