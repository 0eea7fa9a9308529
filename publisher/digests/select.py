"""Which articles of a window are a reader's: the chosen categories, each story once, in the best language."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from publisher.model import Article


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What a newsletter lays down for all its readers."""

    default_language: str
    fallback: bool = True
    """Whether a story that exists in none of a reader's languages is sent in another one."""
    categories: tuple[str, ...] = ()
    """The newsletter's own categories; empty: all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What a reader wants: languages, best first, and category slugs (None: all, also future ones)."""

    languages: tuple[str, ...]
    categories: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class Pick:
    """An article, and the section it stands in: the first of its categories that the reader chose."""

    article: Article
    category: str


def select(
    articles: Iterable[Article],
    choice: Choice,
    rules: Rules,
    *,
    after: int = 0,
    already: frozenset[str] = frozenset(),
) -> tuple[Pick, ...]:
    """Return what is news to a reader, newest first: articles numbered above `after`, of stories not in `already`.

    Versions of a story at or below `after` (the reader's cursor) count as received, so a translation that arrives later
    is news only where it is the best version for this reader, and the story is not among those `already` sent.
    """
    stories: dict[str, list[Pick]] = {}
    for article in articles:
        category = _section(article, choice, rules)
        if category is not None and article.story not in already:
            stories.setdefault(article.story, []).append(Pick(article, category))
    chosen = (_best(picks, choice, rules) for picks in stories.values())
    return tuple(sorted((pick for pick in chosen if pick and (pick.article.seq or 0) > after), key=_newest_first))


def language_rank(language: str, languages: Sequence[str]) -> int | None:
    """Return the place of `language` among a reader's: "ru" and "ru-BY" meet; None when it is none of them."""
    for index, wanted in enumerate(languages):
        if language.lower() == wanted.lower() or _primary(language) == _primary(wanted):
            return index
    return None


def _primary(language: str) -> str:
    return language.partition("-")[0].lower()


def _section(article: Article, choice: Choice, rules: Rules) -> str | None:
    for category in article.categories:
        if (choice.categories is None or category in choice.categories) and (
            not rules.categories or category in rules.categories
        ):
            return category
    return None


def _best(picks: Sequence[Pick], choice: Choice, rules: Rules) -> Pick | None:
    """Choose among translations: the reader's languages in order, then the publication's, then what came first."""

    def worth(pick: Pick) -> tuple[int, int, int]:
        language = pick.article.language
        rank = language_rank(language, choice.languages)
        foreign = 0 if language_rank(language, (rules.default_language,)) is not None else 1
        return (len(choice.languages) + foreign if rank is None else rank, pick.article.seq or 0, pick.article.id)

    best = min(picks, key=worth)
    known = language_rank(best.article.language, choice.languages) is not None
    return best if known or rules.fallback else None


def _newest_first(pick: Pick) -> tuple[float, str]:
    return (-pick.article.published_at.timestamp(), pick.article.guid)
