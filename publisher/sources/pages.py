"""Saved text of article pages: each file holds an article and those its page named as similar."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from html import escape
from pathlib import Path
from typing import Any, ClassVar, NamedTuple
from zoneinfo import ZoneInfo

from publisher.config import Config, PagesSource
from publisher.model import Collected, Draft, Skipped
from publisher.sources.categories import Categories, Phrases
from publisher.sources.memory import AGAIN, UNSEEN, Memory, Row, draft_digest, fingerprint, problem, remember, survey
from publisher.sources.page_text import Labels, Page, PageArticle, parse
from publisher.sources.places import Address, Languages, name_of, without_ending
from publisher.sources.scan import (
    Found,
    Globs,
    NotReadableError,
    Stamp,
    StillWrittenError,
    decode,
    open_root,
    read,
    shown,
    walk,
)
from publisher.text import clean, content_hash, excerpt, slugify

ENDING = ".txt"
MAX_READABLE_TITLE = 80
"""Characters of a title that its key can hold; a longer one gets a digest, so that its end counts too."""


class Pages:
    """Collects from one pages source. An article's key is made of its local date and its title."""

    kind: ClassVar[str] = "pages"

    def __init__(self, settings: PagesSource, config: Config) -> None:
        site = config.site
        self.name = settings.name
        self._path = settings.path
        self._include = Globs(settings.include)
        self._exclude = Globs(settings.exclude)
        self._zone = ZoneInfo(settings.timezone or site.timezone)
        self._labels = Labels(settings.labels)
        self._categories = Categories(config.categories, settings.category)
        self._phrases = Phrases(settings.statuses)
        self._languages = Languages(site.languages, site.default_language, settings.language)
        self._address = Address(settings.url, site.url)
        self._fingerprint = fingerprint(config, settings)

    def collect(
        self, state: Mapping[str, Any], *, now: datetime, settle: Callable[[float], None] | None = None
    ) -> Collected:
        """Read what is new or changed since `state`. Raises SourceError when file or folder cannot be read."""
        root, single = open_root(self.name, self._path)
        memory = Memory.recall(state, self._fingerprint)
        found = walk(root, lambda path: path == single if single else self._wanted(path), folders=lambda _: not single)
        by_path = {file.path: file for file in found.files}
        before = {path: _Row(*row) for path, row in memory.rows.items()}
        files = survey(root, found, memory, now=now, settle=settle)
        rows = {path: before[path] for path in files.kept}
        waiting = dict(files.waiting)
        pages: dict[str, Page] = {}
        for file in files.fresh:
            old = before.get(file.path, _NOTHING)
            try:
                result = self._read(root, file)
            except StillWrittenError:
                waiting[file.path] = [*file.stamp, int(now.timestamp())]
                if old.keys:
                    rows[file.path] = old.stamped(UNSEEN)
                continue
            if isinstance(result, Skipped):
                stamp = UNSEEN if result.kind == AGAIN else file.stamp
                rows[file.path] = old.stamped(stamp)._replace(reason=result.reason)
            else:
                pages[file.path] = result
                rows[file.path] = _Row(*file.stamp, self._keys(result))
        touched = _touched(before, rows, (*pages, *files.lost))
        for path in sorted(_holders(rows, touched) - pages.keys()):
            page = self._read_again(root, by_path.get(path), rows[path])
            if page is None:
                # What this file says about them cannot be known now: they stay as they were.
                touched -= set(rows[path].keys)
            else:
                pages[path] = page
        articles = dict(memory.more.get("articles", {}))
        drafts = []
        for draft in self._drafts(pages, touched):
            digest = draft_digest(draft)
            if articles.get(draft.key) != digest or draft.key in memory.gone:
                drafts.append(draft)
            articles[draft.key] = digest
        return self._told(memory, before, rows, drafts, articles, found.skipped, waiting)

    def _told(
        self,
        memory: Memory,
        before: Mapping[str, _Row],
        rows: Mapping[str, _Row],
        drafts: list[Draft],
        articles: Mapping[str, str],
        refused: tuple[Skipped, ...],
        waiting: Mapping[str, list[int]],
    ) -> Collected:
        held = _held(rows)
        # A page whose title or date was corrected is still the same page: its old key is not an article that went away.
        renamed = {old.keys[0] for path, old in before.items() if old.keys and path in rows and rows[path].keys}
        gone = (memory.gone | _held(before)) - held - renamed
        skipped = [problem(path, row.reason) for path, row in rows.items() if row.reason]
        return Collected(
            drafts=tuple(sorted(drafts, key=lambda draft: draft.key)),
            gone=frozenset(gone),
            present=len(held - rows.keys()),
            skipped=tuple(sorted((*skipped, *refused), key=lambda skip: (skip.path, skip.reason))),
            state=remember(
                self._fingerprint,
                rows={path: row.json() for path, row in rows.items()},
                gone=gone,
                waiting=waiting,
                more={"articles": {key: articles[key] for key in sorted(articles) if key in held}},
            ),
            postponed=tuple(shown(path) for path in sorted(waiting)),
        )

    def _drafts(self, pages: Mapping[str, Page], touched: Iterable[str]) -> list[Draft]:
        """Return the drafts of these articles: the text of its own page wins, then that of the first path."""
        own: dict[str, list[str]] = defaultdict(list)
        told: dict[str, tuple[str, PageArticle]] = {}
        for path in sorted(pages):
            key = self._key(pages[path].own)
            if not own[key]:
                told[key] = (path, pages[path].own)
            own[key].append(path)
        for path in sorted(pages):
            for article in pages[path].similar:
                told.setdefault(self._key(article), (path, article))
        drafts = []
        for key in sorted(set(touched) & told.keys()):
            path, article = told[key]
            named = [self._key(other) for own_path in own.get(key, ()) for other in pages[own_path].similar]
            related = tuple(other for other in dict.fromkeys(named) if other != key)
            drafts.append(self._draft(key, path, article, tuple(own.get(key, ())), related))
        return drafts

    def _draft(
        self, key: str, path: str, article: PageArticle, own: tuple[str, ...], related: tuple[str, ...]
    ) -> Draft:
        stated, neutral = self._languages.of_path(path)
        language = stated or self._languages.own
        html = "\n".join(f"<p>{escape(clean(paragraph), quote=False)}</p>" for paragraph in article.paragraphs)
        summary = excerpt(clean(" ".join(article.paragraphs)))
        slug = slugify(article.title, key.partition("/")[2])
        status = self._phrases.status(article.status)
        credit = article.credit or None
        categories, labels = self._categories.of((), path=path, title=article.title)
        place = {"name": name_of(neutral), "path": without_ending(neutral)} if own else {}
        day = article.published_at.astimezone(self._zone).date()
        return Draft(
            key=key,
            aliases=own,
            path=shown(path),
            title=article.title,
            html=html,
            summary=summary,
            slug=slug,
            language=language,
            url=self._address.of({"slug": slug, "language": language, **place}, day),
            published_at=article.published_at,
            categories=categories,
            labels=labels,
            status=status,
            credit=credit,
            related=related,
            content_hash=content_hash(title=article.title, html=html, summary=summary, status=status, credit=credit),
        )

    def _read(self, root: Path, file: Found) -> Page | Skipped:
        """Return one page, or the reason why it is skipped: one bad file never stops the others."""
        try:
            return parse(decode(read(root, file)), self._zone, self._labels)
        except ValueError as error:
            return problem(file.path, str(error))
        except NotReadableError as error:
            return problem(file.path, str(error), AGAIN)

    def _read_again(self, root: Path, file: Found | None, row: _Row) -> Page | None:
        """Return an unchanged page that shares an article with a changed one, None when it cannot be read now."""
        if file is None or row.reason:
            return None
        try:
            page = self._read(root, file)
        except StillWrittenError:
            return None
        return page if isinstance(page, Page) and self._keys(page) == row.keys else None

    def _keys(self, page: Page) -> list[str]:
        """Return the keys of a page's articles, its own first, each once."""
        return list(dict.fromkeys(self._key(article) for article in (page.own, *page.similar)))

    def _key(self, article: PageArticle) -> str:
        day = article.published_at.astimezone(self._zone).date()
        slug = slugify(article.title, "")
        if not slug or len(article.title) > MAX_READABLE_TITLE:
            digest = hashlib.sha256(article.title.encode("utf-8", "backslashreplace")).hexdigest()[:10]
            slug = f"{slug}-{digest}".lstrip("-")
        return f"{day.isoformat()}/{slug}"

    def _wanted(self, path: str) -> bool:
        if not path.lower().endswith(ENDING):
            return False
        return (not self._include or self._include.match(path)) and not self._exclude.match(path)


class _Row(NamedTuple):
    """What is remembered of one file."""

    size: int
    mtime_ns: int
    inode: int
    keys: Sequence[str] = ()
    """Of its articles, its own first; kept while the file cannot be understood."""
    reason: str = ""

    def json(self) -> Row:
        """Return it short: without an empty reason."""
        row = [*self[:3], list(self.keys)]
        return [*row, self.reason] if self.reason else row

    def stamped(self, stamp: Stamp) -> _Row:
        """Return it for a file that looks like this now."""
        return self._replace(size=stamp[0], mtime_ns=stamp[1], inode=stamp[2])


_NOTHING = _Row(*UNSEEN)


def _held(rows: Mapping[str, _Row]) -> set[str]:
    """Return every key by which articles of these files are known: their own, and the paths of their pages."""
    return {key for path, row in rows.items() if row.keys for key in (path, *row.keys)}


def _touched(before: Mapping[str, _Row], rows: Mapping[str, _Row], changed: Iterable[str]) -> set[str]:
    """Return the keys of articles about which a changed file says or said something."""
    return {key for path in changed for at in (before, rows) if path in at for key in at[path].keys}


def _holders(rows: Mapping[str, _Row], keys: set[str]) -> set[str]:
    return {path for path, row in rows.items() if not keys.isdisjoint(row.keys)} if keys else set()
