"""What all pages of one person's business share: nobody keeps them, nobody lists them, and they know the client."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from starlette.requests import Request
from starlette.responses import Response

from publisher.links import TRIAL
from publisher.subscriptions.values import Answer, FieldProblem
from publisher.web import Parts
from publisher.web.choosing import problem_text
from publisher.web.chrome import PRIVATE, Chrome
from publisher.web.polls import Clients
from publisher.web.values import Words


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """A button: where its form goes, what it says, the hidden fields it carries."""

    url: str
    label: str
    fields: Mapping[str, str] = field(default_factory=dict)
    quiet: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A page that says one thing and asks for one decision at most."""

    heading: str
    paragraphs: Sequence[str] = ()
    items: Sequence[tuple[str, str]] = ()
    """(title, detail)"""
    consent: str = ""
    """What is agreed to by the first button."""
    actions: Sequence[Action] = ()
    links: Sequence[tuple[str, str]] = ()
    """(title, address)"""
    notes: Sequence[str] = ()


class Personal(Chrome):
    """The frame of pages that are one person's business."""

    def __init__(self, parts: Parts, clients: Clients) -> None:
        super().__init__(parts)
        self.desk = parts.desk
        self._clients = clients

    def client(self, request: Request) -> str | None:
        """Return the client's address for the limits and the record of consent; None when nobody can tell."""
        if request.client is None:
            return None
        forwarded = ",".join(request.headers.getlist("x-forwarded-for")).encode("latin-1")
        return self._clients.address(request.client.host, forwarded)

    def gettext(self, words: Words) -> Callable[[str], str]:
        """Return the translator into the reader's language."""
        return self.parts.renderer.words(words.language).gettext

    def personal(
        self,
        request: Request,
        words: Words,
        template: str,
        title: str,
        *,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
        **values: object,
    ) -> Response:
        """Render a page that no cache keeps, no search engine lists and no other page is told of."""
        page = replace(self.page(request, words, title, noindex=True), alternates=(), feeds=())
        return self.html(template, words, page, status=status, headers=PRIVATE | dict(headers or {}), **values)

    def step(
        self,
        request: Request,
        words: Words,
        step: Step,
        *,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        """Answer in one step."""
        return self.personal(
            request, words, "web/step.html.j2", step.heading, step=step, status=status, headers=headers
        )

    def unknown_link(self, request: Request, words: Words) -> Response:
        """Answer a token that opens nothing, the same page whatever is wrong with it (F12)."""
        _ = self.gettext(words)
        if request.path_params.get("token") == TRIAL:
            trial = Step(
                heading=_("This mail was a trial"),
                paragraphs=(
                    _("In a reader's own mail this link leads to that reader's settings. Here it changes nothing."),
                ),
                links=((_("Newsletters"), f"/?lang={words.language}"),),
            )
            return self.step(request, words, trial)
        step = Step(
            heading=_("This link does not work"),
            paragraphs=(
                _("It may have been cut off on its way, or it may be too old."),
                _("Please copy the whole address from the mail, or use the link of a newer mail."),
            ),
            links=((_("Send me a link to my settings"), f"/preferences?lang={words.language}"),),
        )
        return self.step(request, words, step, status=404)

    def later(self, request: Request, words: Words, answer: Answer) -> Response:
        """Answer that too much is asked just now."""
        _ = self.gettext(words)
        step = Step(
            heading=_("Please try again later"),
            paragraphs=(_("Too many mails are being asked for at the moment. Nothing was changed."),),
        )
        return self.step(request, words, step, status=429, headers={"Retry-After": str(max(1, answer.retry_after))})

    def problems(self, words: Words, found: Sequence[FieldProblem]) -> dict[str, str]:
        """Return by field what is wrong with it, in words."""
        return {one.field: problem_text(one, self.gettext(words)) for one in reversed(found)}
