"""The words of notices: what a person is told about their own subscription, with no text of a stranger in it (P4)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from publisher import addresses, links
from publisher.config import Config, Newsletter, in_language
from publisher.model import Subscription
from publisher.render import Renderer, inline_css
from publisher.subscriptions.choices import newsletter_of
from publisher.text import direction


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """Everything that the templates `mail/notice.*.j2` know."""

    kind: str
    """confirm | opt-in | known | link | address | address-changed | welcome"""
    subject: str
    heading: str
    before: tuple[str, ...]
    """Paragraphs above the list and the button."""
    items: tuple[tuple[str, str], ...]
    """(newsletter, how often) of each that it is about."""
    label: str
    """Of the button; empty: there is none."""
    url: str
    after: tuple[str, ...]
    why: str
    """Why this mail came."""
    language: str
    direction: str
    site_title: str
    site_url: str
    logo: str
    postal_address: str
    unsubscribe: str
    """Only where the mail is a newsletter's, such as a welcome."""


def letter(
    config: Config,
    renderer: Renderer,
    kind: str,
    language: str,
    subscriptions: Sequence[Subscription],
    *,
    url: str = "",
    unsubscribe: str = "",
    new_address: str = "",
) -> Letter:
    """Return the letter of a kind. `url` is what its button opens, `new_address` where a person has moved to."""
    site = in_language(config.site.title, language, config.site.default_language)
    items = tuple(_item(config, item, language) for item in subscriptions)
    titles = ", ".join(title for title, _ in items) or site
    values = {"site": site, "titles": titles, "address": addresses.masked(new_address) if new_address else ""}
    words = _WORDS[kind](renderer.words(language).gettext)
    return Letter(
        kind=kind,
        subject=words.subject % values,
        heading=words.heading,
        before=tuple(paragraph % values for paragraph in words.before),
        items=items if kind in ("confirm", "opt-in", "known", "welcome") else (),
        label=words.label,
        url=url,
        after=words.after,
        why=words.why % values,
        language=language,
        direction=direction(language),
        site_title=site,
        site_url=config.site.url,
        logo=config.site.logo,
        postal_address=config.site.postal_address,
        unsubscribe=unsubscribe,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Words:
    """One kind's sentences in one language; subject, before and why may hold %(site)s, %(titles)s and %(address)s."""

    subject: str
    heading: str
    before: tuple[str, ...]
    label: str
    after: tuple[str, ...]
    why: str


_Gettext = Callable[[str], str]


def _confirm(_: _Gettext) -> _Words:
    return _Words(
        subject=_("Please confirm: %(titles)s"),
        heading=_("One click is missing"),
        before=(_("Somebody, probably you, signed this address up at %(site)s for:"),),
        label=_("Confirm the subscription"),
        after=(
            _("The button opens a page that asks you once more. It works for three days."),
            _("If it was not you, do nothing: without a confirmation you get no newsletter."),
        ),
        why=_("You receive this mail because this address was typed into a form at %(site)s."),
    )


def _opt_in(_: _Gettext) -> _Words:
    return _Words(
        subject=_("Please confirm: %(titles)s"),
        heading=_("May we write to you?"),
        before=(
            _("Your address is on a list of %(site)s that does not say whether you agreed. If you want it, you get:"),
        ),
        label=_("Confirm the subscription"),
        after=(
            _("The button opens a page that asks you once more. It works for three days."),
            _("If you do not want it, do nothing: you get no newsletter, and after a week the address is forgotten."),
        ),
        why=_("You receive this mail because this address is on a list that %(site)s has taken over."),
    )


def _known(_: _Gettext) -> _Words:
    return _Words(
        subject=_("You are subscribed already: %(titles)s"),
        heading=_("You are subscribed already"),
        before=(_("Somebody, probably you, filled in the form at %(site)s. You receive already:"),),
        label=_("See and change what I receive"),
        after=(_("The button works for one day. If it was not you, nothing has changed."),),
        why=_("You receive this mail because this address was typed into a form at %(site)s."),
    )


def _link(_: _Gettext) -> _Words:
    return _Words(
        subject=_("Your link to all settings at %(site)s"),
        heading=_("Your settings"),
        before=(_("The button opens everything: what you receive and when, your address, what is known of you."),),
        label=_("Open my settings"),
        after=(_("It works for one day. If you did not ask for it, do nothing; pass it on to nobody."),),
        why=_("You receive this mail because somebody, probably you, asked for the link at %(site)s."),
    )


def _address(_: _Gettext) -> _Words:
    return _Words(
        subject=_("Please confirm your new address at %(site)s"),
        heading=_("Your new address"),
        before=(_("A reader of %(site)s, probably you, wants to get its mail at this address."),),
        label=_("Use this address"),
        after=(_("The button works for three days. If it was not you, do nothing, and nothing is sent to you."),),
        why=_("You receive this mail because this address was named as a new one at %(site)s."),
    )


def _address_changed(_: _Gettext) -> _Words:
    return _Words(
        subject=_("Your mail from %(site)s goes to another address now"),
        heading=_("Your address was changed"),
        before=(_("From now on %(site)s writes to you at %(address)s. This is the last mail to the old address."),),
        label="",
        after=(_("If it was not you, answer this mail."),),
        why=_("You receive this mail because %(site)s used to write to this address."),
    )


def _welcome(_: _Gettext) -> _Words:
    return _Words(
        subject=_("Welcome to %(titles)s"),
        heading=_("Welcome"),
        before=(_("Your subscription is confirmed. From now on you receive:"),),
        label=_("Change what I receive"),
        after=(_("You can pause, choose less or leave at any time, with the link at the end of each mail."),),
        why=_("You receive this mail because you have just subscribed to %(titles)s."),
    )


_WORDS: dict[str, Callable[[_Gettext], _Words]] = {
    "confirm": _confirm,
    "opt-in": _opt_in,
    "known": _known,
    "link": _link,
    "address": _address,
    "address-changed": _address_changed,
    "welcome": _welcome,
}


def rendered(renderer: Renderer, one: Letter, *, html: bool) -> tuple[str, str | None]:
    """Return the text part and, if wanted, the HTML part of a letter. Raises RenderError."""
    text = renderer.render("mail/notice.txt.j2", one.language, {"letter": one}).strip("\n") + "\n"
    if not html:
        return text, None
    return text, inline_css(renderer.render("mail/notice.html.j2", one.language, {"letter": one}))


def check_templates(config: Config, renderer: Renderer) -> None:
    """Render every kind in every language. Raises RenderError (E1)."""
    for kind in _WORDS:
        for language in config.site.languages:
            specimen = letter(
                config, renderer, kind, language, (), url=links.home(config), new_address="ada@example.org"
            )
            rendered(renderer, specimen, html=True)


def _item(config: Config, subscription: Subscription, language: str) -> tuple[str, str]:
    newsletter: Newsletter | None = newsletter_of(config, subscription.newsletter)
    if newsletter is None:
        return subscription.newsletter, ""
    default = config.site.default_language
    frequency = newsletter.frequencies.get(subscription.frequency)
    often = in_language(frequency.title, language, default) if frequency else ""
    return in_language(newsletter.title, language, default), often
