"""Which categories an article belongs to, and which status its words state."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

from publisher.config import Category
from publisher.model import UNCATEGORISED, Status
from publisher.sources.scan import Globs, parents
from publisher.text import slugify

_SPACES = re.compile(r"\s+")
_NOT_WORDS = re.compile(r"[^\w\s]+")


class Categories:
    """The configured categories: what articles call them (slug, titles, aliases, former slugs), and the rules."""

    def __init__(self, categories: Sequence[Category], fallback: str = "") -> None:
        self._by_name: dict[str, str] = {}
        # First come the slugs themselves: no alias of one category may take another's slug.
        for names_of in (_slugs, _other_names):
            for category in categories:
                for name in names_of(category):
                    self._by_name.setdefault(_key(name), category.slug)
        self._paths = [(category.slug, Globs(category.paths)) for category in categories if category.paths]
        self._keywords = [(category.slug, _words(category.keywords)) for category in categories if category.keywords]
        self._fallback = self.named(fallback) or fallback or UNCATEGORISED

    def named(self, name: str) -> str | None:
        """Return the slug of the category called so, None when there is none."""
        key = _key(name)
        slug = self._by_name.get(key)
        if slug is None and (latin := slugify(key, "")):
            slug = self._by_name.get(latin)
        return slug

    def of(self, names: Iterable[str], *, path: str, title: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Return the categories (never none) and the labels of an article.

        `names` is what the article calls them: those that are categories lead in the order written, the others are its
        labels. Without any, rules by path decide, then by keyword, then the innermost folder that is called like a
        category, then the source's own category.
        """
        slugs: dict[str, None] = {}
        labels: dict[str, None] = {}
        for name in names:
            slug = self.named(name)
            if slug is None:
                labels[name] = None
            else:
                slugs[slug] = None
        found = tuple(slugs) or self._ruled(path, " \n ".join((title, *labels))) or (self._placed(path),)
        return found, tuple(labels)

    def _ruled(self, path: str, words: str) -> tuple[str, ...]:
        by_path = [slug for slug, globs in self._paths if globs.match(path)]
        text = words.casefold()
        return tuple(by_path) or tuple(slug for slug, form in self._keywords if form.search(text))

    def _placed(self, path: str) -> str:
        return next((slug for folder in parents(path) if (slug := self.named(folder))), self._fallback)


def _slugs(category: Category) -> tuple[str, ...]:
    return (category.slug, *category.former)


def _other_names(category: Category) -> tuple[str, ...]:
    titles = (category.title,) if isinstance(category.title, str) else tuple(category.title.values())
    names = (*titles, *category.aliases)
    return (*names, *(latin for name in names if (latin := slugify(name, ""))))


def _key(name: str) -> str:
    return _SPACES.sub(" ", name).strip().casefold()


def _words(keywords: Iterable[str]) -> re.Pattern[str]:
    """Return a pattern that finds any of the keywords as whole words in casefolded text."""
    forms = (r"\s+".join(re.escape(part) for part in keyword.casefold().split()) for keyword in keywords)
    return re.compile(rf"(?<!\w)(?:{'|'.join(form for form in forms if form) or '(?!)'})(?!\w)")


# The opening of a phrase that says nothing about the direction.
_OPENING = re.compile(
    r"^(?:(?:the )?(?:overall )?situation|(?:общая )?ситуация|положение|(?:агульная )?сітуацыя|становішча)\b"
    r"(?: (?:has|have|is|was|got|gets|в целом|у цэлым))*(?= |$)"
)

_PHRASES: Mapping[Status, tuple[str, ...]] = {
    Status.IMPROVED: (
        "improved, improving, improvement, improves, got better, better, getting better, positive",
        "улучшилась, улучшилось, улучшился, улучшились, улучшается, улучшение, стала лучше, стало лучше, лучше",
        "палепшылася, палепшыўся, палепшыліся, паляпшаецца, паляпшэнне, палепшала, стала лепш, лепш",
    ),
    Status.WORSENED: (
        "worsened, worsening, worsens, got worse, worse, getting worse, negative",
        "deteriorated, deteriorating, deterioration",
        "ухудшилась, ухудшилось, ухудшился, ухудшились, ухудшается, ухудшение, стала хуже, стало хуже, хуже",
        "пагоршылася, пагоршыўся, пагоршыліся, пагаршаецца, пагаршэнне, пагоршала, стала горш, горш",
    ),
    Status.UNCHANGED: (
        "unchanged, did not change, didn t change, not changed, hasn t changed, not changing, no change, no changes",
        "without change, without changes, same, the same, stable, neutral, remained stable, remains stable",
        "remained the same, remains the same, stayed the same, remained unchanged, remains unchanged",
        "не изменилась, не изменилось, не изменился, не изменились, не меняется, без изменений, стабильно",
        "осталась прежней, осталось прежним, остаётся прежней, остается прежней",
        "осталась без изменений, осталось без изменений, остаётся без изменений, остается без изменений",
        "не змянілася, не змяніўся, не змяніліся, не мяняецца, без змен, без зменаў, без змяненняў, стабільна",
        "засталася ранейшай, засталася такой жа, засталася без зменаў, засталося без зменаў, застаецца без зменаў",
    ),
}


class Phrases:
    """The words that state a status, in English, Russian and Belarusian, with those of the configuration added."""

    def __init__(
        self, more: Mapping[Literal["improved", "worsened", "unchanged"], Sequence[str]] | None = None
    ) -> None:
        self._status = {
            _phrase(text): status for status, lists in _PHRASES.items() for line in lists for text in line.split(",")
        }
        self._whole: dict[str, Status] = {}
        for name, phrases in (more or {}).items():
            for text in phrases:
                self._whole[_bare(text)] = Status(name)

    def status(self, text: str) -> Status | None:
        """Return the status a phrase states; None when it states none that is known."""
        return self._whole.get(_bare(text)) or self._status.get(_phrase(text))


def _bare(text: str) -> str:
    return _SPACES.sub(" ", _NOT_WORDS.sub(" ", text)).strip().casefold()


def _phrase(text: str) -> str:
    bare = _bare(text)
    return _OPENING.sub("", bare).strip() or bare
