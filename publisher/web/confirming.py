"""Confirming: the pages behind the links of a sign-up mail and of a mail to a new address; only their buttons act."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from publisher import links
from publisher.subscriptions.values import AddressChange, AnswerKind, Confirming, Held, LinkState
from publisher.web import forms
from publisher.web.answers import path_of
from publisher.web.choosing import fields_of
from publisher.web.personal import Action, Personal, Step
from publisher.web.values import Words

PREFIX = "/c/"
ADDRESS_PREFIX = "/a/"


class ConfirmingPages(Personal):
    """Asked before anything changes: scanners open links too (P5)."""

    async def confirming(self, request: Request) -> Response:
        """Show what the button will confirm."""
        words = self.words(request)
        found = await self.desk.confirming(request.path_params["token"], language=words.language)
        if found is None:
            return self.unknown_link(request, words)
        return self.step(request, words, self._confirming(request, words, found))

    async def confirm(self, request: Request) -> Response:
        """Confirm; a second time says the same (F11)."""
        words = self.words(request)
        form = await forms.read(request)
        found = await self.desk.confirm(
            request.path_params["token"],
            language=words.language,
            client=self.client(request),
            again=form.one("again") == "1",
        )
        if found is None:
            return self.unknown_link(request, words)
        return self.step(request, words, self._confirming(request, words, found))

    async def renew(self, request: Request) -> Response:
        """Send a new mail to whoever came too late."""
        words = self.words(request)
        answer = await self.desk.renew(
            request.path_params["token"], language=words.language, client=self.client(request)
        )
        if answer is None:
            return self.unknown_link(request, words)
        if answer.kind is AnswerKind.LATER:
            return self.later(request, words, answer)
        _ = self.gettext(words)
        step = Step(
            heading=_("Look into your mailbox"),
            paragraphs=(
                _("A new mail is on its way, unless one was sent within the last day."),
                _("Until then you get no newsletter. The button works for three days."),
            ),
        )
        return self.step(request, words, step)

    async def moving(self, request: Request) -> Response:
        """Show which address the button will change."""
        words = self.words(request)
        found = await self.desk.address_change(request.path_params["token"], language=words.language)
        if found is None:
            return self.unknown_link(request, words)
        return self.step(request, words, self._moving(request, words, found))

    async def move(self, request: Request) -> Response:
        """Change the address."""
        words = self.words(request)
        found = await self.desk.confirm_address(
            request.path_params["token"], language=words.language, client=self.client(request)
        )
        if found is None:
            return self.unknown_link(request, words)
        return self.step(request, words, self._moving(request, words, found))

    def _confirming(self, request: Request, words: Words, found: Confirming) -> Step:
        _ = self.gettext(words)
        here = f"{path_of(request)}?lang={words.language}"
        titles = ", ".join(one.title for one in found.subscriptions)
        items = [self._item(words, one) for one in found.subscriptions]
        again = ((_("To the sign-up"), f"/subscribe?lang={words.language}"),)
        match found.state:
            case LinkState.OPEN:
                return Step(
                    heading=_("Shall we write to you?"),
                    paragraphs=(_("Press the button, and mail comes to %(address)s:") % {"address": found.address},),
                    items=items,
                    consent=found.wording,
                    actions=(Action(url=here, label=_("Yes, subscribe me")),),
                    notes=(
                        _("If you do not want it, close this page: nothing will be sent.")
                        if found.wording
                        else _("If you did not ask for it, close this page: nothing will be sent."),
                    ),
                )
            case LinkState.DONE:
                return Step(
                    heading=_("You are subscribed"),
                    paragraphs=(_("Mail comes to %(address)s:") % {"address": found.address},),
                    items=items,
                    links=[
                        (
                            _("Past issues: %(newsletter)s") % {"newsletter": one.title},
                            links.newsletter(self.config, one.newsletter, words.language),
                        )
                        for one in found.subscriptions
                        if one.offer
                    ],
                    notes=(_("Every mail has links at its end by which you choose less or leave."),),
                )
            case LinkState.EXPIRED:
                return Step(
                    heading=_("This link is too old"),
                    paragraphs=(_("It worked for three days. We can send you a new one."),),
                    actions=(
                        Action(url=f"{path_of(request)}/renew?lang={words.language}", label=_("Send me a new mail")),
                    ),
                )
            case LinkState.SUPPRESSED:
                return Step(
                    heading=_("Shall we write to you again?"),
                    paragraphs=(
                        _("We stopped sending to %(address)s, because mail was returned or reported as unwanted.")
                        % {"address": found.address},
                        _("Press the button only if you want mail from us again:"),
                    ),
                    items=items,
                    actions=(Action(url=here, label=_("Yes, write to me again"), fields={"again": "1"}),),
                    notes=(_("If you did not ask for it, close this page: nothing will be sent."),),
                )
            case LinkState.BLOCKED:
                return Step(
                    heading=_("We cannot write to this address"),
                    paragraphs=(_("The editors keep this address out. Please write to them if that is a mistake."),),
                )
            case _:
                return Step(
                    heading=_("You have left"),
                    paragraphs=(
                        _("You left after this link was sent, so it does nothing any more. You can sign up again."),
                    ),
                    links=again if titles or self.desk.offers(words.language) else (),
                )

    def _item(self, words: Words, held: Held) -> tuple[str, str]:
        if held.offer is None:
            return held.title, ""
        shown = fields_of(self.config, held.offer, held.choice, self.gettext(words))
        chosen = [one["title"] for one in shown["categories"] if one["checked"]]
        parts = [shown["frequency"], ", ".join(chosen) if len(chosen) < len(shown["categories"]) else ""]
        return held.title, " · ".join(part for part in parts if part)

    def _moving(self, request: Request, words: Words, found: AddressChange) -> Step:
        _ = self.gettext(words)
        values = {"old": found.old, "new": found.new}
        match found.state:
            case LinkState.OPEN:
                return Step(
                    heading=_("Shall we write to this address?"),
                    paragraphs=(_("Press the button, and your mail comes to %(new)s, not to %(old)s.") % values,),
                    actions=(
                        Action(url=f"{path_of(request)}?lang={words.language}", label=_("Yes, use this address")),
                    ),
                    notes=(_("If you did not ask for it, close this page: nothing will be sent."),),
                )
            case LinkState.DONE:
                return Step(
                    heading=_("Your address is changed"),
                    paragraphs=(_("From now on your mail comes to %(new)s.") % values,),
                )
            case LinkState.EXPIRED:
                return Step(
                    heading=_("This link is too old"),
                    paragraphs=(_("Nothing was changed. Open your settings and ask once more."),),
                    links=((_("Send me a link to my settings"), f"/preferences?lang={words.language}"),),
                )
            case _:
                return Step(
                    heading=_("This address cannot be used"),
                    paragraphs=(_("We cannot send your mail there. Nothing was changed."),),
                )
