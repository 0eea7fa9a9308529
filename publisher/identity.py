"""Who is who: which article known to us each draft of a collection is, if any."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from uuid import UUID, uuid5

from publisher.model import ArticleState, Draft, Known, Skipped

_NAMESPACE = UUID("5b6ff9a4-6c0f-5a35-9d43-0c1b7e6e7a51")
"""Ours alone: with it, equal names give equal guids here and nowhere else. Never to be changed."""


def derived_guids(domain: str, source: str, draft: Draft) -> Iterator[str]:
    """Yield the guid of an article that states none, and the one to take when the first is taken.

    It is taken when another article began at this path and has moved away since.
    """
    name = f"{domain}/{source}/{draft.key}"
    yield uuid5(_NAMESPACE, name).urn
    yield uuid5(_NAMESPACE, f"{name}#{draft.content_hash}").urn


@dataclass(frozen=True, slots=True)
class Matches:
    """What became of the drafts; each of them is in exactly one of the first three."""

    known: tuple[tuple[Draft, Known], ...]
    new: tuple[Draft, ...]
    refused: tuple[Skipped, ...]
    lost: tuple[Known, ...]
    """Articles of this source, not withdrawn, that no file holds any more."""


def match(
    source: str, drafts: Iterable[Draft], gone: Collection[str], known: Iterable[Known], others: Collection[str] = ()
) -> Matches:
    """Tell known articles from new ones: by guid, then by key and aliases, then by the content of one that went away.

    `others` are the names of the other sources that are configured: what one of them holds stays with it, while an
    article whose source is no more, or took it away, may come from here now. Moved and edited at once is new.
    """
    book = _Book(source, drafts, gone, known, others)
    book.by_guid()
    book.by_key()
    book.by_content()
    book.copies()
    return book.result()


class _Book:
    """The state of one matching; each step takes from the drafts that are still open."""

    def __init__(
        self,
        source: str,
        drafts: Iterable[Draft],
        gone: Collection[str],
        known: Iterable[Known],
        others: Collection[str],
    ) -> None:
        known = sorted(known, key=lambda item: item.id)
        self.source, self.gone, self.others = source, gone, others
        self.guids = {item.guid: item for item in known}
        self.own = [item for item in known if item.source == source]
        self.keys = {key: item for item in reversed(self.own) for key in item.keys}
        self.open: dict[str, Draft] = {}
        self.taken: dict[int, tuple[Draft, Known]] = {}
        self.refused: list[Skipped] = []
        self.left: set[str] = set()
        """Keys under which another article is found now."""
        for draft in sorted(drafts, key=lambda draft: (draft.key, draft.path)):
            if (first := self.open.setdefault(draft.key, draft)) is not draft:
                self.refused.append(Skipped(draft.path, f"{first.path} is the same article; keep one of the two"))

    def result(self) -> Matches:
        lost = (i for i in self.own if i.state is not ArticleState.WITHDRAWN and i.id not in self.taken and i.keys)
        return Matches(
            known=tuple(sorted(self.taken.values(), key=lambda pair: pair[0].key)),
            new=tuple(self.open.values()),
            refused=tuple(sorted(self.refused, key=lambda skip: (skip.path, skip.reason))),
            lost=tuple(item for item in lost if self._vacated(item)),
        )

    # The steps.

    def by_guid(self) -> None:
        """Match drafts that state a guid; of several that state the same one, at most one is taken (A8)."""
        stating: dict[str, list[Draft]] = defaultdict(list)
        for draft in self.open.values():
            if draft.guid is not None:
                stating[draft.guid].append(draft)
                if (item := self.guids.get(draft.guid)) and self.keys.get(draft.key, item) is not item:
                    self.left.add(draft.key)
        for guid, drafts in stating.items():
            item = self.guids.get(guid)
            winner = min(drafts, key=lambda draft: (*self._homing(draft, item), draft.key not in self.keys, draft.key))
            for draft in drafts:
                if draft is not winner:
                    self._refuse(draft, f"its guid {guid} is that of {winner.path} already; change one of the two")
            if item is not None:
                self._claim(winner, item)

    def by_key(self) -> None:
        """Match drafts found where an article was: by their own key first, then by an alias."""
        for draft in list(self.open.values()):
            item = self.keys.get(draft.key)
            if item and item.id not in self.taken:
                self._take(draft, item)
        for draft in list(self.open.values()):
            items = (self.keys.get(alias) for alias in draft.aliases)
            if item := next((item for item in items if item and item.id not in self.taken), None):
                self._take(draft, item)

    def by_content(self) -> None:
        """Match drafts that say what an article said whose file is gone (A9); equal dates first."""
        free: dict[str, list[Known]] = defaultdict(list)
        for item in self.own:
            if item.id not in self.taken and item.content_hash and self._vacated(item):
                free[item.content_hash].append(item)
        for same_date in (True, False):
            for draft in list(self.open.values()):
                items = free.get(draft.content_hash, [])
                fitting = [i for i in items if not same_date or _agree(draft, i)]
                if fitting:
                    self._take(draft, fitting[0])
                    items.remove(fitting[0])

    def copies(self) -> None:
        """Refuse drafts that say what another file says, under the same date (A8): nobody is told twice.

        A notice that is repeated has another date; a translation not yet translated names its original.
        """
        here = [
            (draft.content_hash, date, draft.path)
            for draft, item in self.taken.values()
            for date in (draft.published_at, item.published_at)
        ]
        here += [
            (item.content_hash, item.published_at, item.keys[0])
            for item in self.own
            if item.id not in self.taken and item.keys and not self._vacated(item)
        ]
        seen: dict[str, list[tuple[object, str]]] = defaultdict(list)
        for content, date, path in here:
            seen[content].append((date, path))
        for draft in list(self.open.values()):
            if not draft.content_hash or draft.translation_of is not None:
                continue
            twins = seen[draft.content_hash]
            twin = next((path for date, path in twins if draft.published_at in (None, date)), None)
            if twin is None:
                twins.append((draft.published_at, draft.path))
            else:
                self._refuse(draft, f"says the same as {twin}, under the same date; change or remove one of the two")

    # Their means.

    def _claim(self, draft: Draft, item: Known) -> None:
        """Take the article whose guid a draft states, unless another file or source holds it."""
        if item.source == self.source:
            if self._at_home(draft, item) or self._vacated(item):
                self._take(draft, item)
            else:
                self._refuse(draft, f"its guid {item.guid} is that of {item.keys[0]} already; change one of the two")
        elif item.source not in self.others or item.withdrawn_by == "source":
            self._take(draft, item)
        else:
            held = f"{item.keys[0]} in the source {item.source!r}" if item.keys else f"the source {item.source!r}"
            self._refuse(draft, f"its guid {item.guid} is that of {held} already; keep one of the two")

    def _take(self, draft: Draft, item: Known) -> None:
        self.taken[item.id] = (draft, item)
        del self.open[draft.key]

    def _refuse(self, draft: Draft, reason: str) -> None:
        self.refused.append(Skipped(draft.path, reason))
        self.left.discard(draft.key)
        del self.open[draft.key]

    def _at_home(self, draft: Draft, item: Known) -> bool:
        return not {draft.key, *draft.aliases}.isdisjoint(item.keys)

    def _homing(self, draft: Draft, item: Known | None) -> tuple[bool, bool]:
        """Order those who state one guid: the file the article was in, then one with its alias, then any other."""
        if item is None or item.source != self.source:
            return True, True
        return draft.key not in item.keys, not self._at_home(draft, item)

    def _vacated(self, item: Known) -> bool:
        """Whether nothing is left where the article was. What its source took away has no file either."""
        return item.withdrawn_by == "source" or all(key in self.gone or key in self.left for key in item.keys)


def _agree(draft: Draft, item: Known) -> bool:
    return draft.published_at is None or draft.published_at == item.published_at


def likely_moves(new: Iterable[Draft], lost: Iterable[Known]) -> Mapping[str, Known]:
    """Return, by key, the drafts that may be an article moved and edited at once: it had this title, date or name."""
    found = {}
    lost = list(lost)
    for draft in new:
        for item in lost:
            names = {key.rpartition("/")[2] for key in item.keys}
            if (
                draft.title.casefold() == item.title.casefold()
                or draft.published_at == item.published_at
                or draft.key.rpartition("/")[2] in names
            ):
                found[draft.key] = item
                break
    return found
