"""Signing up, and asking for a link: forms that anybody may fill in, answered alike for every address."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import Response

from publisher import links
from publisher.model import Format, IssueState
from publisher.store import issues
from publisher.store.database import Connection
from publisher.subscriptions.values import AnswerKind, FieldProblem, Offer, SignUp
from publisher.web import forms
from publisher.web.choosing import choice_of, fields_of
from publisher.web.chrome import PRIVATE
from publisher.web.forms import Form
from publisher.web.personal import Personal, Step
from publisher.web.security import is_foreign
from publisher.web.values import Words, language_name

PATH = "/subscribe"
LINK_PATH = "/preferences"

TRAP = "remarks"
"""A field that people do not see, and that programs fill in (F8)."""
QUICKEST = 2.0
"""Seconds in which nobody fills in a form (F8)."""
QUICKEST_PRESS = 1.0
"""Seconds in which nobody presses the button of a form that came filled in."""
LONGEST = 86400.0
"""Seconds after which a form is shown again: what it offers may have changed."""
_SHOWN_ADDRESS = 254


class SignUpPages(Personal):
    """The form, its answer, and the way to a link for whoever has no mail at hand."""

    async def form(self, request: Request) -> Response:
        """Show what is offered."""
        words = self.words(request)
        asked = tuple(request.query_params.getlist("newsletter"))
        return await self._form(request, words, Form({"newsletter": asked} if asked else {}))

    async def sign_up(self, request: Request) -> Response:
        """Take the form; a program is answered as a person is, and nothing is done (F8)."""
        words = self.words(request)
        form = await forms.read(request)
        _ = self.gettext(words)
        if is_foreign(request.scope):
            # A form on another site leads here: the person sees what is offered and what to agree to, and decides.
            note = _("Please look once more and press the button.")
            return await self._form(request, words, form, note=note, name=_embedded(request))
        age = self.desk.age(form.one("stamp"))
        quickest = QUICKEST_PRESS if form.one("form").startswith("embed") else QUICKEST
        if age is None or age < quickest or form.one(TRAP):
            return self._sent(request, words, form)
        if age > LONGEST:
            note = _("This page had been open for long. Please press the button again.")
            return await self._form(request, words, form, note=note, name=form.one("form"))
        offers = self.desk.offers(words.language)
        wanted = form.all("newsletter")
        languages = form.all("language")
        answer = await self.desk.sign_up(
            SignUp(
                address=form.one("email"),
                newsletters=wanted,
                language=words.language,
                choices={
                    one.newsletter: choice_of(form, one, one.default) for one in offers if one.newsletter in wanted
                },
                # The language of the page is the one that they read best.
                languages=tuple(sorted(languages, key=lambda language: language != words.language)),
                format=Format.TEXT if form.one("format") == "text" else Format.HTML,
                form=form.one("form") or "page",
                wording=form.one("wording"),
            ),
            client=self.client(request),
        )
        if answer.kind is AnswerKind.INVALID:
            return await self._form(request, words, form, problems=answer.problems, name=form.one("form"))
        if answer.kind is AnswerKind.LATER:
            return self.later(request, words, answer)
        return self._sent(request, words, form)

    async def link_form(self, request: Request) -> Response:
        """Ask for an address to send a link to."""
        return self._link_form(request, self.words(request), Form({}))

    async def send_link(self, request: Request) -> Response:
        """Send a link to whoever reads mail at the address, if anybody does."""
        words = self.words(request)
        form = await forms.read(request)
        age = self.desk.age(form.one("stamp"))
        if age is not None and age >= QUICKEST_PRESS and not form.one(TRAP):
            answer = await self.desk.send_link(form.one("email"), language=words.language, client=self.client(request))
            if answer.kind is AnswerKind.INVALID:
                return self._link_form(request, words, form, answer.problems)
            if answer.kind is AnswerKind.LATER:
                return self.later(request, words, answer)
        _ = self.gettext(words)
        step = Step(
            heading=_("Look into your mailbox"),
            paragraphs=(
                _("If we send mail to %(address)s, a link to all settings is on its way there.") % _address(form),
                _("It works for one day."),
            ),
            links=((_("Try another address"), f"{LINK_PATH}?lang={words.language}"),),
            notes=(_("Nothing came? Look into the folder for unwanted mail, and wait a few minutes."),),
        )
        return self.step(request, words, step)

    async def _form(
        self,
        request: Request,
        words: Words,
        form: Form,
        *,
        problems: Sequence[FieldProblem] = (),
        note: str = "",
        name: str = "",
    ) -> Response:
        _ = self.gettext(words)
        offers = self.desk.offers(words.language)
        site = self.config.site
        page = self.page(
            request,
            words,
            _("Subscribe"),
            description=_("News by e-mail: what you choose, as often as you choose."),
            canonical=f"{links.public_url(self.config)}{PATH}?lang={words.language}",
        )
        chosen = form.all("language") or (words.language,)
        return self.html(
            "web/signup.html.j2",
            words,
            page,
            status=422 if problems else 200,
            # The stamp in it says when it was shown, so each visitor gets a page of their own.
            headers={"Cache-Control": "no-store"} if not problems and not note else PRIVATE,
            offers=[self._offer(words, one, form) for one in offers],
            latest=await self.latest_issues(words),
            languages=[
                {"value": code, "title": language_name(code), "checked": code in chosen} for code in site.languages
            ],
            email=form.one("email")[:_SHOWN_ADDRESS],
            plain=form.one("format") == "text",
            stamp=self.desk.stamp(),
            wording=self.desk.wording(words.language),
            form_name=name or "page",
            trap=TRAP,
            action=f"{PATH}?lang={words.language}",
            link_url=f"{LINK_PATH}?lang={words.language}",
            newsletters_url=links.newsletters(self.config, words.language),
            problems=self.problems(words, problems),
            note=note,
        )

    async def latest_issues(self, words: Words) -> dict[str, dict[str, str]]:
        """Return of each newsletter the last issue that was sent, where there is one."""

        def read(conn: Connection) -> dict[str, dict[str, str]]:
            found = {}
            for newsletter in self.config.newsletters:
                for issue in issues.listing(
                    conn, newsletter=newsletter.slug, states=(IssueState.SENDING, IssueState.SENT), limit=1
                ):
                    subjects = issues.web_subjects(conn, [issue.id], words.language)
                    if issue.id in subjects:
                        found[newsletter.slug] = {
                            "subject": subjects[issue.id],
                            "url": links.issue(self.config, issue.ref, words.language),
                            "date": words.date(issue.published_at or issue.created_at),
                        }
            return found

        return await self.parts.database.aread(read)

    def _offer(self, words: Words, offer: Offer, form: Form) -> dict[str, object]:
        only = len(self.desk.offers(words.language)) == 1
        wanted = form.all("newsletter")
        choice = choice_of(form, offer, offer.default)
        return {
            **fields_of(self.config, offer, choice, self.gettext(words)),
            "checked": only or offer.newsletter in wanted,
            "url": links.newsletter(self.config, offer.newsletter, words.language),
        }

    def _sent(self, request: Request, words: Words, form: Form) -> Response:
        _ = self.gettext(words)
        step = Step(
            heading=_("Look into your mailbox"),
            paragraphs=(
                _("We have sent a mail to %(address)s. Press the button in it, and you are subscribed.")
                % _address(form),
                _("Until then you get no newsletter. The button works for three days."),
            ),
            links=((_("Wrong address? Sign up again"), f"{PATH}?lang={words.language}"),),
            notes=(_("Nothing came? Look into the folder for unwanted mail, and wait a few minutes."),),
        )
        return self.step(request, words, step)

    def _link_form(self, request: Request, words: Words, form: Form, problems: Sequence[FieldProblem] = ()) -> Response:
        _ = self.gettext(words)
        return self.personal(
            request,
            words,
            "web/link.html.j2",
            _("Your settings"),
            status=422 if problems else 200,
            email=form.one("email")[:_SHOWN_ADDRESS],
            stamp=self.desk.stamp(),
            trap=TRAP,
            action=f"{LINK_PATH}?lang={words.language}",
            signup_url=f"{PATH}?lang={words.language}",
            problems=self.problems(words, problems),
        )


def _address(form: Form) -> dict[str, str]:
    return {"address": form.one("email")[:_SHOWN_ADDRESS]}


def _embedded(request: Request) -> str:
    """Return what the record of consent calls a form of another site: `embed:www.example.org`."""
    host = urlsplit(request.headers.get("origin", "")).hostname if request.headers.get("origin") else None
    return f"embed:{host}" if host else "embed"
