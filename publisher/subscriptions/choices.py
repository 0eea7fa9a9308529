"""What may be chosen of a newsletter, what a wish comes to, and whether it asks for less than there was (F18)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from publisher.config import Config, Newsletter, in_language
from publisher.model import Subscription
from publisher.subscriptions.values import CHOICES, Choice, FieldProblem, Held, Offer


def newsletter_of(config: Config, slug: str) -> Newsletter | None:
    """Return the newsletter of this name or former name, None when there is none."""
    return next((n for n in config.newsletters if slug == n.slug or slug in n.former), None)


def categories_of(config: Config, newsletter: Newsletter) -> tuple[str, ...]:
    """Return the categories that readers of a newsletter choose among, in the order of the configuration."""
    return tuple(c.slug for c in config.categories if not newsletter.categories or c.slug in newsletter.categories)


def default(newsletter: Newsletter) -> Choice:
    """Return what somebody gets who chooses nothing."""
    return Choice(
        frequency=next(iter(newsletter.frequencies)),
        categories=newsletter.default_categories or None,
        content=newsletter.content,
    )


def offer(config: Config, newsletter: Newsletter, language: str) -> Offer:
    """Return a newsletter as somebody may choose it."""

    def say(texts: str | dict[str, str]) -> str:
        return in_language(texts, language, config.site.default_language)

    titles = {category.slug: say(category.title) for category in config.categories}
    slugs = categories_of(config, newsletter)
    return Offer(
        newsletter=newsletter.slug,
        title=say(newsletter.title),
        description=say(newsletter.description),
        frequencies=tuple((name, say(one.title) or name) for name, one in newsletter.frequencies.items()),
        categories=tuple((slug, titles[slug]) for slug in slugs),
        contents=("summary", "full"),
        choices=tuple(
            choice
            for choice in CHOICES
            if choice in newsletter.choices
            and (choice != "frequency" or len(newsletter.frequencies) > 1)
            and (choice != "categories" or len(slugs) > 1)
        ),
        default=default(newsletter),
    )


def held(config: Config, subscription: Subscription, language: str, now: datetime) -> Held:
    """Return a subscription as its person sees it."""
    newsletter = newsletter_of(config, subscription.newsletter)
    title = subscription.newsletter
    content = subscription.content
    if newsletter is not None:
        title = in_language(newsletter.title, language, config.site.default_language)
        content = content or newsletter.content
    paused = subscription.paused_until
    return Held(
        newsletter=subscription.newsletter,
        title=title,
        state=subscription.state,
        choice=Choice(
            frequency=subscription.frequency,
            categories=subscription.categories,
            content=content,
            hour=subscription.hour,
        ),
        paused_until=paused if paused is not None and paused > now else None,
        offer=offer(config, newsletter, language) if newsletter else None,
    )


def understood(
    config: Config, newsletter: Newsletter, wish: Choice, before: Choice | None = None
) -> tuple[Choice, tuple[FieldProblem, ...]]:
    """Return a wish as it is stored, and what is wrong with it.

    What is not open to readers stays as it was `before`, or is the default. None in the wish is the default, too.
    """
    usual = default(newsletter)
    start = before or usual
    wish = replace(
        start, **{name: getattr(wish, name) for name in Choice.__dataclass_fields__ if name in newsletter.choices}
    )
    problems = []
    frequency = wish.frequency or usual.frequency
    if frequency not in newsletter.frequencies and (before is None or frequency != before.frequency):
        problems.append(FieldProblem("frequency", "not-offered"))
    categories = wish.categories
    if categories is None and before is None:
        categories = usual.categories
    if categories is not None:
        open_to = categories_of(config, newsletter)
        categories = tuple(slug for slug in open_to if slug in set(categories))
        if not wish.categories and not categories:
            problems.append(FieldProblem("categories", "missing"))
        elif set(wish.categories or ()) - set(open_to) - set((before.categories if before else None) or ()):
            problems.append(FieldProblem("categories", "not-offered"))
    if wish.content not in (None, "summary", "full"):
        problems.append(FieldProblem("content", "not-offered"))
    if wish.hour is not None and not 0 <= wish.hour <= 23:
        problems.append(FieldProblem("hour", "not-offered"))
    content = None if wish.content == newsletter.content else wish.content
    return Choice(frequency=frequency, categories=categories, content=content, hour=wish.hour), tuple(problems)


def asks_for_less(config: Config, newsletter: Newsletter, before: Choice, after: Choice) -> bool:
    """Whether somebody who was forwarded a mail may wish this: nothing added, nothing more often, nothing longer."""
    zone = config.site.timezone
    old, new = (newsletter.frequencies.get(choice.frequency or "") for choice in (before, after))
    if before.frequency != after.frequency and (
        old is None or new is None or new.schedule(zone).period < old.schedule(zone).period
    ):
        return False
    everything = categories_of(config, newsletter)
    had = set(everything if before.categories is None else before.categories)
    wanted = set(everything if after.categories is None else after.categories)
    if not wanted <= had or (after.categories is None and before.categories is not None):
        return False
    longer = (after.content or newsletter.content) == "full" and (before.content or newsletter.content) != "full"
    return not longer and before.hour == after.hour


def differences(before: Choice, after: Choice) -> str:
    """Return in words for the record what changes, such as `frequency: weekly → daily`; empty when nothing does."""
    changes = (
        f"{name}: {_shown(getattr(before, name))} → {_shown(getattr(after, name))}"
        for name in Choice.__dataclass_fields__
        if getattr(before, name) != getattr(after, name)
    )
    return "; ".join(changes)


def _shown(value: str | Sequence[str] | int | None) -> str:
    if value is None:
        return "default"
    return str(value) if isinstance(value, str | int) else ", ".join(value)
