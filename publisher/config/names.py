"""Names that readers hold: which ones the configuration calls otherwise now, and which it lost."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from publisher.config.models import Config
from publisher.config.models.newsletters import Newsletter
from publisher.config.places import Finding
from publisher.toml_lines import KeyPath


@dataclass(frozen=True, slots=True)
class Names:
    """New names by former ones."""

    newsletters: Mapping[str, str] = field(default_factory=dict)
    frequencies: Mapping[tuple[str, str], str] = field(default_factory=dict)
    """By the newsletter's slug and the frequency's former name."""
    categories: Mapping[str, str] = field(default_factory=dict)


def renamed(config: Config) -> Names:
    """Return what `former` says."""
    return Names(
        newsletters={old: one.slug for one in config.newsletters for old in one.former},
        frequencies={
            (one.slug, old): name
            for one in config.newsletters
            for name, frequency in one.frequencies.items()
            for old in frequency.former
        },
        categories={old: one.slug for one in config.categories for old in one.former},
    )


def keeps_names(before: Config, after: Config) -> bool:
    """Whether `after` knows every name that `before` knew, so that nobody can be stranded, whoever holds what."""
    return _categories(before) <= _categories(after) and all(
        (found := _newsletter(after, slug)) is not None
        and all(_knows(found[1], name) for key, one in newsletter.frequencies.items() for name in (key, *one.former))
        for newsletter in before.newsletters
        for slug in (newsletter.slug, *newsletter.former)
    )


def stranded(
    before: Config, after: Config, frequencies: Mapping[tuple[str, str], int], categories: Mapping[tuple[str, str], int]
) -> list[Finding]:
    """Return the names that `before` knew and `after` knows no more although readers hold them, with their number.

    `frequencies`, `categories`: readers by (newsletter, frequency) and by (newsletter, category).
    """
    return [*_lost_newsletters(before, after, frequencies), *_lost_categories(before, after, categories)]


def _lost_newsletters(before: Config, after: Config, held: Mapping[tuple[str, str], int]) -> Iterator[Finding]:
    readers: dict[str, int] = {}
    for (slug, name), number in held.items():
        known, found = _newsletter(before, slug), _newsletter(after, slug)
        if known is None:
            continue
        if found is None:
            readers[slug] = readers.get(slug, 0) + number
        elif _knows(known[1], name) and not _knows(found[1], name):
            path: KeyPath = ("newsletters", found[0], "frequencies")
            yield Finding(
                path,
                f"'{name}' is gone, and {_readers(number)} chose it",
                f'a frequency with former = ["{name}"] takes them over',
            )
    for slug, number in readers.items():
        hint = f'a newsletter with former = ["{slug}"] takes them over'
        yield Finding(("newsletters",), f"the newsletter '{slug}' is gone, and it has {_readers(number)}", hint)


def _lost_categories(before: Config, after: Config, held: Mapping[tuple[str, str], int]) -> Iterator[Finding]:
    readers: dict[str, int] = {}
    for (newsletter, slug), number in held.items():
        if _newsletter(after, newsletter) and slug in _categories(before) and slug not in _categories(after):
            readers[slug] = readers.get(slug, 0) + number
    for slug, number in readers.items():
        hint = f'a category with former = ["{slug}"] takes them over'
        yield Finding(("categories",), f"the category '{slug}' is gone, and {_readers(number)} chose it", hint)


def _newsletter(config: Config, slug: str) -> tuple[int, Newsletter] | None:
    found = ((index, one) for index, one in enumerate(config.newsletters) if slug in (one.slug, *one.former))
    return next(found, None)


def _knows(newsletter: Newsletter, name: str) -> bool:
    return any(name in (key, *frequency.former) for key, frequency in newsletter.frequencies.items())


def _categories(config: Config) -> set[str]:
    return {slug for one in config.categories for slug in (one.slug, *one.former)}


def _readers(number: int) -> str:
    return f"{number} reader{'' if number == 1 else 's'}"
