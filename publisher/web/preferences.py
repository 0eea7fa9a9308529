"""Preferences: less by the link of any mail, everything by a fresh link (F18)."""

from __future__ import annotations

from datetime import date, timedelta
from zoneinfo import ZoneInfo

from starlette.requests import Request
from starlette.responses import Response

from publisher.model import Format, SubscriptionState
from publisher.subscriptions.values import (
    AnswerKind,
    Change,
    Choice,
    FieldProblem,
    Held,
    Outcome,
    OutcomeKind,
    Preferences,
    Rights,
)
from publisher.web import forms
from publisher.web.choosing import choice_of, fields_of, zones
from publisher.web.forms import Form
from publisher.web.personal import Action, Personal, Step
from publisher.web.values import Words, language_name

PREFIX = "/m/"
"""Where fresh links point."""

PAUSES = (14, 31, 92)
"""Days of the pauses that one press chooses."""
LONGEST_PAUSE = 366


class PreferencesPages(Personal):
    """One page, wide for a fresh link and narrow for one that lies in a mail; every change says what came of it."""

    async def preferences(self, request: Request) -> Response:
        """Show what is chosen."""
        words = self.words(request)
        shown = await self._shown(request, words)
        return self._page(request, words, shown) if shown else self.unknown_link(request, words)

    async def change(self, request: Request) -> Response:
        """Change all that was wished, or nothing."""
        words = self.words(request)
        form = await forms.read(request)
        shown = await self._shown(request, words)
        if shown is None:
            return self.unknown_link(request, words)
        outcome = await self.desk.change(
            request.path_params["token"], change_of(form, shown), client=self.client(request)
        )
        return await self._told(request, words, outcome)

    async def pause(self, request: Request) -> Response:
        """Pause a newsletter, or let it come again."""
        words = self.words(request)
        form = await forms.read(request)
        shown = await self._shown(request, words)
        if shown is None:
            return self.unknown_link(request, words)
        today = self.parts.clock().astimezone(ZoneInfo(shown.timezone)).date()
        slug = form.one("newsletter") or next((one.newsletter for one in shown.held), "")
        until = None if form.one("resume") == "1" else pause_of(form, today)
        if isinstance(until, FieldProblem):
            return self._page(request, words, shown, problems=(until,))
        outcome = await self.desk.pause(request.path_params["token"], slug, until, client=self.client(request))
        return await self._told(request, words, outcome)

    async def send_link(self, request: Request) -> Response:
        """Send a fresh link to whoever the mail was sent to, whoever asks (F18)."""
        words = self.words(request)
        shown = await self._shown(request, words)
        answer = (
            await self.desk.send_link_for(
                request.path_params["token"], language=words.language, client=self.client(request)
            )
            if shown
            else None
        )
        if answer is None or shown is None:
            return self.unknown_link(request, words)
        if answer.kind is AnswerKind.LATER:
            return self.later(request, words, answer)
        _ = self.gettext(words)
        step = Step(
            heading=_("Look into your mailbox"),
            paragraphs=(
                _("A link to all settings is on its way to %(address)s.") % {"address": shown.address},
                _("It works for one day."),
            ),
            notes=(_("Nothing came? Look into the folder for unwanted mail, and wait a few minutes."),),
        )
        return self.step(request, words, step)

    async def leave(self, request: Request) -> Response:
        """End one newsletter, or all, by a fresh link."""
        words = self.words(request)
        form = await forms.read(request)
        shown = await self._shown(request, words)
        everything = form.one("everything") == "1"
        slug = form.one("newsletter")
        if shown is None or not (everything or any(one.newsletter == slug for one in shown.held)):
            return self.unknown_link(request, words)
        await self.desk.leave(
            request.path_params["token"], newsletter=slug, everything=everything, client=self.client(request)
        )
        _ = self.gettext(words)
        text = (
            _("You receive nothing from us any more.")
            if everything
            else _("%(newsletter)s will not be sent to you any more.")
            % {"newsletter": next(one.title for one in shown.held if one.newsletter == slug)}
        )
        return await self._again(request, words, note=text)

    async def ask_address(self, request: Request) -> Response:
        """Send a mail to the new address; only its button changes anything."""
        words = self.words(request)
        form = await forms.read(request)
        answer = await self.desk.ask_address(
            request.path_params["token"], form.one("email"), language=words.language, client=self.client(request)
        )
        shown = await self._shown(request, words) if answer else None
        if answer is None or shown is None:
            return self.unknown_link(request, words)
        if answer.kind is AnswerKind.LATER:
            return self.later(request, words, answer)
        if answer.kind is AnswerKind.INVALID:
            return self._page(request, words, shown, problems=answer.problems, email=form.one("email"))
        _ = self.gettext(words)
        step = Step(
            heading=_("Look into your new mailbox"),
            paragraphs=(
                _("We have sent a mail to %(address)s. Press the button in it, and your mail comes there.")
                % {"address": form.one("email")},
                _("Until then everything stays as it is. The button works for three days."),
            ),
            links=((_("Back to the settings"), f"{_base(request)}?lang={words.language}"),),
        )
        return self.step(request, words, step)

    async def _told(self, request: Request, words: Words, outcome: Outcome | None) -> Response:
        if outcome is None:
            return self.unknown_link(request, words)
        _ = self.gettext(words)
        if outcome.kind is not OutcomeKind.REFUSED:
            done = outcome.kind is OutcomeKind.DONE
            return await self._again(request, words, note=_("Saved.") if done else _("Nothing was changed."))
        if any(problem.code == "fresh-link" for problem in outcome.problems):
            return self.step(request, words, self._needs_fresh_link(request, words), status=403)
        return await self._again(request, words, problems=outcome.problems)

    def _needs_fresh_link(self, request: Request, words: Words) -> Step:
        _ = self.gettext(words)
        base = _base(request).removesuffix("/preferences")
        return Step(
            heading=_("This needs a fresh link"),
            paragraphs=(
                _("A mail may be passed on, so its links allow only less. Nothing was changed."),
                _("We send a link that allows everything to the address that the mail was sent to."),
            ),
            actions=(Action(url=f"{base}/link?lang={words.language}", label=_("Send me that link")),),
            links=((_("Back to the settings"), f"{_base(request)}?lang={words.language}"),),
        )

    async def _shown(self, request: Request, words: Words) -> Preferences | None:
        """Return what the link shows; None where its token belongs to another page (F12)."""
        shown = await self.desk.preferences(request.path_params["token"], language=words.language)
        whole = request.url.path.startswith(PREFIX)
        return shown if shown and (shown.rights is Rights.ALL) == whole else None

    async def _again(
        self, request: Request, words: Words, *, note: str = "", problems: tuple[FieldProblem, ...] = ()
    ) -> Response:
        shown = await self._shown(request, words)
        if shown is None:
            return self.unknown_link(request, words)
        return self._page(request, words, shown, note=note, problems=problems)

    def _page(
        self,
        request: Request,
        words: Words,
        shown: Preferences,
        *,
        note: str = "",
        problems: tuple[FieldProblem, ...] = (),
        email: str = "",
    ) -> Response:
        _ = self.gettext(words)
        less = shown.rights is not Rights.ALL
        base = _base(request)
        held = [one for one in shown.held if one.state is SubscriptionState.CONFIRMED]
        today = self.parts.clock().astimezone(ZoneInfo(shown.timezone)).date()
        return self.personal(
            request,
            words,
            "web/preferences.html.j2",
            _("Your settings"),
            status=422 if problems else 200,
            less=less,
            address=shown.address,
            cards=[self._card(words, one, less=less) for one in held],
            offers=[fields_of(self.config, one, one.default, _) for one in shown.offers],
            languages=[
                {"value": code, "title": language_name(code), "checked": code in shown.languages}
                for code in self.config.site.languages
            ],
            first_language=shown.languages[0] if shown.languages else words.language,
            timezone=shown.timezone,
            zones=() if less else zones(words.language),
            plain=shown.format is Format.TEXT,
            until=words.date(shown.expires_at, "long") if shown.expires_at else "",
            base=base,
            mail_base=base.removesuffix("/preferences"),
            query=f"?lang={words.language}",
            pauses=[{"days": days, "title": self._pause_title(words, days)} for days in PAUSES],
            first_day=(today + timedelta(1)).isoformat(),
            last_day=(today + timedelta(LONGEST_PAUSE - 1)).isoformat(),
            problems=self.problems(words, problems),
            note=note,
            new_email=email[:254],
        )

    def _pause_title(self, words: Words, days: int) -> str:
        _ = self.gettext(words)
        return {14: _("2 weeks"), 31: _("1 month"), 92: _("3 months")}[days]

    def _card(self, words: Words, held: Held, *, less: bool) -> dict[str, object]:
        base: dict[str, object] = {
            "slug": held.newsletter,
            "title": held.title,
            "description": "",
            "frequencies": [],
            "categories": [],
            "contents": [],
            "hours": [],
            "pause": False,
        }
        if held.offer is not None:
            base |= fields_of(self.config, held.offer, held.choice, self.gettext(words), less=less)
        paused = words.date(held.paused_until) if held.paused_until else ""
        return {**base, "slug": held.newsletter, "paused": paused}


def change_of(form: Form, shown: Preferences) -> Change:
    """Return what a form of the preferences page wants changed; what it does not show stays as it is."""
    wishes: dict[str, Choice] = {}
    for held in shown.held:
        if (
            held.offer is not None
            and held.state is SubscriptionState.CONFIRMED
            and form.has(f"shows.{held.newsletter}")
        ):
            wishes[held.newsletter] = choice_of(form, held.offer, held.choice, held.newsletter)
    for offer in shown.offers:
        if offer.newsletter in form.all("newsletter"):
            wishes[offer.newsletter] = choice_of(form, offer, offer.default)
    # A newsletter that nobody offered here is the desk's to refuse (F7).
    wishes |= {slug: Choice() for slug in form.all("newsletter") if slug not in wishes}
    if shown.rights is not Rights.ALL:
        return Change(newsletters=wishes)
    zone, format_ = form.one("timezone"), form.one("format")
    return Change(
        newsletters=wishes,
        languages=_languages(form, shown),
        timezone=zone or None,
        format=Format.TEXT if format_ == "text" else Format.HTML if format_ == "html" else None,
    )


def _languages(form: Form, shown: Preferences) -> tuple[str, ...] | None:
    if not form.has("first-language"):
        return None
    others = [*shown.languages, *form.all("language")]
    ticked = {form.one("first-language"), *form.all("language")}
    return tuple(dict.fromkeys(one for one in (form.one("first-language"), *others) if one in ticked))


def pause_of(form: Form, today: date) -> date | FieldProblem:
    """Return until when a form pauses: so many days from today, or a day named."""
    days, day = form.one("days"), form.one("until")
    if days in {str(number) for number in PAUSES}:
        return today + timedelta(int(days))
    try:
        return date.fromisoformat(day)
    except ValueError:
        return FieldProblem("pause", "invalid")


def _base(request: Request) -> str:
    """Return the address of the settings themselves, whichever of their forms was sent."""
    token = request.path_params["token"]
    return f"{PREFIX}{token}" if request.url.path.startswith(PREFIX) else f"/u/{token}/preferences"
