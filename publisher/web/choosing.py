"""From a newsletter's offer to the fields of a form, and from a form back to a choice."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any, cast

from babel.core import Locale, UnknownLocaleError
from babel.dates import get_timezone_location

from publisher.config import Config
from publisher.model import Content
from publisher.slots import zone_names
from publisher.subscriptions.choices import asks_for_less, newsletter_of
from publisher.subscriptions.values import Choice, FieldProblem, Offer
from publisher.web.forms import Form

Gettext = Callable[[str], str]

_REGIONS = ("Africa", "America", "Antarctica", "Asia", "Atlantic", "Australia", "Europe", "Indian", "Pacific")


def fields_of(config: Config, offer: Offer, choice: Choice, gettext: Gettext, *, less: bool = False) -> dict[str, Any]:
    """Return a newsletter's fields as a template shows them; `less`: only what asks for less than `choice` (F18)."""
    newsletter = newsletter_of(config, offer.newsletter)

    def allowed(**change: Any) -> bool:  # noqa: ANN401 - fields of Choice
        wish = replace(choice, **change)
        return not less or (newsletter is not None and asks_for_less(config, newsletter, choice, wish))

    frequencies = [
        {"value": name, "title": frequency_name(name, title, gettext), "checked": name == choice.frequency}
        for name, title in offer.frequencies
        if name == choice.frequency or allowed(frequency=name)
    ]
    had = {slug for slug, _ in offer.categories} if choice.categories is None else set(choice.categories)
    categories = [
        {"value": slug, "title": title, "checked": slug in had}
        for slug, title in offer.categories
        if slug in had or not less
    ]
    contents = [
        {"value": content, "title": _content(content, gettext), "checked": content == choice.content}
        for content in offer.contents
        if content == choice.content or allowed(content=content)
    ]
    hours = newsletter is not None and any(one.deliver_at == "reader" for one in newsletter.frequencies.values())
    return {
        "slug": offer.newsletter,
        "title": offer.title,
        "description": offer.description,
        "frequencies": frequencies if "frequency" in offer.choices and len(frequencies) > 1 else [],
        "frequency": next((one["title"] for one in frequencies if one["checked"]), ""),
        "categories": categories if "categories" in offer.choices and len(categories) > 1 else [],
        "contents": contents if "content" in offer.choices and len(contents) > 1 else [],
        "hours": [{"value": str(hour), "title": f"{hour:02}:00", "checked": hour == choice.hour} for hour in range(24)]
        if hours and "hour" in offer.choices and not less
        else [],
        "pause": "pause" in offer.choices,
    }


def choice_of(form: Form, offer: Offer, before: Choice, slug: str = "") -> Choice:
    """Return what a form says of a newsletter, which it may call `slug`; what it does not show stays as `before`."""
    slug = slug or offer.newsletter
    choice = before
    if frequency := form.one(f"frequency.{slug}"):
        choice = replace(choice, frequency=frequency)
    if content := form.one(f"content.{slug}"):
        choice = replace(choice, content=cast("Content", content))
    if form.has(f"hour.{slug}"):
        hour = form.one(f"hour.{slug}")
        # Two digits at most; anything else is an hour that nobody offers.
        number = int(hour) if hour.isascii() and hour.isdigit() and len(hour) < 3 else -1
        choice = replace(choice, hour=number if hour else None)
    if form.has(f"category.{slug}") or form.has(f"shows-categories.{slug}"):
        choice = replace(choice, categories=_categories(form.all(f"category.{slug}"), offer, before))
    return choice


def _categories(ticked: Sequence[str], offer: Offer, before: Choice) -> tuple[str, ...] | None:
    everything = {slug for slug, _ in offer.categories}
    if not everything or not everything <= set(ticked):
        return tuple(ticked)
    # Whoever ticks everything there is wants what comes in future too, unless a list had been chosen and is the same.
    return before.categories if before.categories is not None and everything <= set(before.categories) else None


def frequency_name(name: str, title: str, gettext: Gettext) -> str:
    """Return what a frequency is called: by its title, else by the word for its name where that is a usual one."""
    usual = {
        "instant": gettext("As it happens"),
        "hourly": gettext("Every hour"),
        "daily": gettext("Every day"),
        "weekly": gettext("Every week"),
        "monthly": gettext("Every month"),
    }
    return usual.get(name, name) if title in ("", name) else title


def _content(content: str, gettext: Gettext) -> str:
    return gettext("Full articles") if content == "full" else gettext("Summaries")


@lru_cache(maxsize=16)
def zones(language: str) -> tuple[tuple[str, tuple[tuple[str, str], ...]], ...]:
    """Return the time zones of the world by continent: (continent, ((name, city in a language), …))."""
    try:
        locale = Locale.parse(language, sep="-")
    except (UnknownLocaleError, ValueError):
        locale = Locale("en")
    groups: dict[str, list[tuple[str, str]]] = {region: [] for region in _REGIONS}
    for name in sorted(zone_names()):
        region = name.partition("/")[0]
        if region in groups:
            groups[region].append((name, get_timezone_location(name, locale=locale, return_city=True)))
    return tuple((region, tuple(sorted(cities, key=lambda city: city[1]))) for region, cities in groups.items())


def problem_text(problem: FieldProblem, gettext: Gettext) -> str:
    """Return what is wrong with a field and the way out, in words."""
    texts = {
        ("address", "missing"): gettext("Please write your e-mail address."),
        ("address", "invalid"): gettext("This is no e-mail address. One looks like name@example.org."),
        ("newsletters", "missing"): gettext("Please choose at least one newsletter."),
        ("newsletters", "unknown"): gettext("This newsletter is not offered any more. Please choose again."),
        ("categories", "missing"): gettext("Please keep at least one category, or leave the newsletter."),
        ("languages", "missing"): gettext("Please choose at least one language."),
        ("timezone", "unknown"): gettext("There is no such time zone. Please choose one of the list."),
        ("pause", "past"): gettext("This day has passed. Please choose a later one."),
        ("pause", "too-far"): gettext("A pause is a year at most. Please choose an earlier day."),
        ("pause", "invalid"): gettext("Please choose a day."),
        ("erase", "missing"): gettext("Please tick the box first: nobody can undo it."),
    }
    return texts.get((problem.field, problem.code)) or gettext("This is not offered. Please choose again.")
