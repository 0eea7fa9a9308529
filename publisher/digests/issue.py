"""One issue before it is frozen: which readers get which segment, when it is due, or why there is no issue."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, time, timedelta
from typing import Any

from publisher import links
from publisher.config import DEFAULT_TRANSPORT
from publisher.digests.compose import Frame, Skip, too_few
from publisher.digests.deliveries import Deliveries, Mail, identities
from publisher.digests.material import Material, anybody
from publisher.digests.segments import Press, Sorting, domain_of
from publisher.digests.select import Pick
from publisher.model import Format, NewIssue, NewSegment, Readers, Wishes
from publisher.slots import first_at, zone_named

LONGEST_WAIT = timedelta(hours=36)
"""A mail that could not be sent for this long is no news any more (DESIGN §4, Hours)."""

Ids = Callable[[], str]
"""Gives 32 random hexadecimal digits, new ones at each call."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """An issue as it would be frozen now."""

    issue: NewIssue
    articles: int
    """Distinct articles that it announces, those behind "n more" too."""
    usual: frozenset[int] = frozenset()
    """Ids of the articles on its pages: what a reader of everything gets."""
    left_out: Mapping[int, str] = field(default_factory=dict)
    """Articles that could not be rendered, with the reason (E2)."""
    warnings: tuple[str, ...] = ()
    """What readers miss because their mails would be too large."""

    @property
    def mailed(self) -> tuple[NewSegment, ...]:
        """The segments that readers get; not those for the web."""
        return tuple(segment for segment in self.issue.segments if not segment.is_web)

    @property
    def sizes(self) -> dict[str, int]:
        """Octets of each mail without its personal headers, by key of its segment."""
        return {segment.key: len(segment.head) + len(segment.body) for segment in self.mailed}


def draft(
    material: Material, frame: Frame, *, slot: str, slot_at: datetime, period: timedelta, now: datetime, ids: Ids
) -> Draft | Skip:
    """Return the issue of this material, or why there is none. Raises RenderError."""
    if not material.readers:
        return Skip("no readers")
    frame = replace(frame, related=material.related)
    sorting, press = Sorting(material, frame.config, frame.newsletter, frame.when), Press(frame)
    wait, spread = min(LONGEST_WAIT, period), min(frame.newsletter.spread_over, period)
    hours = _Hours(frame, slot, slot_at, now)
    segments: dict[str, NewSegment] = {}
    mails: list[Mail | None] = []
    silent: set[int] = set()
    announced: set[int] = set()
    most = 0
    kinds, places = sorting.kinds(material.readers)
    for place, (wishes, group) in enumerate(kinds):
        picks = sorting.picks(group)
        segment = press.segment(picks, group.language, group.format, content=group.content)
        most = max(most, len(picks))
        if isinstance(segment, Skip):
            mails.append(None)
            silent |= set() if picks else {place}
            continue
        segments[segment.key] = segment
        announced |= {pick.article.id for pick in picks}
        mails.append(Mail(segment.key, wishes.cursor, hours.due(wishes)))
    if not segments:
        return Skip(too_few(most, frame.newsletter))
    deliveries = Deliveries(
        *_addressed(mails, material.readers.ids, places),
        to_seq=material.to_seq,
        wait=wait,
        identity=identities(frame.issue_ref, ids(), domain_of(frame.newsletter.from_address)),
        spread=spread,
    )
    languages = dict.fromkeys(segment.language for segment in segments.values())
    usual: set[int] = set()
    for page, picks in _web_pages(material.readers, languages, sorting, press):
        segments[page.key] = page
        usual |= {pick.article.id for pick in picks}
    return Draft(
        issue=NewIssue(
            ref=frame.issue_ref,
            newsletter=frame.newsletter.slug,
            frequency=frame.frequency,
            slot=slot,
            slot_at=slot_at,
            to_seq=material.to_seq,
            settings=_settings(frame)
            | {"wait_seconds": int(wait.total_seconds()), "spread_seconds": int(spread.total_seconds())},
            article_ids=tuple(sorted(announced)),
            segments=tuple(segments.values()),
            deliveries=deliveries,
            without_news=array("q", _where(material.readers.ids, places, silent)),
            transport=frame.newsletter.transport or DEFAULT_TRANSPORT,
        ),
        articles=len(announced),
        usual=frozenset(usual),
        left_out=press.left_out,
        warnings=press.warnings,
    )


class _Hours:
    """When the mail of each reader is due (DESIGN §4, Hours)."""

    def __init__(self, frame: Frame, slot: str, slot_at: datetime, now: datetime) -> None:
        frequency = frame.newsletter.frequencies.get(frame.frequency)
        self._own = frequency is not None and frequency.deliver_at == "reader"
        self._usual = datetime.fromisoformat(slot).time()
        self._slot_at = slot_at
        self._now = now
        self._known: dict[tuple[int | None, str], datetime] = {}

    def due(self, wishes: Wishes) -> datetime:
        """Return the slot, or the first occurrence of the reader's hour after it; a late slot's mail goes now."""
        if not self._own:
            return max(self._slot_at, self._now)
        key = (wishes.hour, wishes.timezone)
        if key not in self._known:
            at = self._usual if wishes.hour is None else time(wishes.hour)
            self._known[key] = max(first_at(at, zone_named(wishes.timezone), self._slot_at), self._now)
        return self._known[key]


def _addressed(
    mails: Sequence[Mail | None], subscription_ids: Sequence[int], places: Sequence[int]
) -> tuple[list[Mail], Sequence[int], Sequence[int]]:
    """Return mails, subscription ids and the place of each one's mail, without those who get none."""
    kept = {place: number for number, place in enumerate(place for place, mail in enumerate(mails) if mail)}
    return (
        [mail for mail in mails if mail],
        array("q", _where(subscription_ids, places, kept)),
        array("q", (kept[place] for place in places if place in kept)),
    )


def _where(subscription_ids: Iterable[int], places: Iterable[int], wanted: Container[int]) -> Iterator[int]:
    return (id_ for id_, place in zip(subscription_ids, places, strict=True) if place in wanted)


def _web_pages(
    readers: Readers, languages: Iterable[str], sorting: Sorting, press: Press
) -> Iterable[tuple[NewSegment, tuple[Pick, ...]]]:
    """Yield the issue's page in each language with what it shows: all that most readers had not received yet."""
    cursors: Counter[int] = Counter()
    for place, number in Counter(readers.kinds).items():
        cursors[readers.wishes[place].cursor] += number
    usual = cursors.most_common(1)[0][0]
    for language in languages:
        group = sorting.group(anybody(language, cursor=usual))
        picks = sorting.picks(group)
        page = press.segment(picks, language, Format.HTML, is_web=True)
        if isinstance(page, NewSegment):
            yield page, picks


def _settings(frame: Frame) -> dict[str, Any]:
    """Return what sending and the issue's page need later, as it is now: a reload changes nothing in flight."""
    newsletter, site = frame.newsletter, frame.config.site
    title = frame.say(newsletter.title, site.default_language)
    return {
        "from_name": newsletter.from_name or title,
        "from_address": newsletter.from_address,
        "reply_to": newsletter.reply_to,
        "list_id": f"{newsletter.slug}.{domain_of(newsletter.from_address)}",
        "title": newsletter.title,
        "site_title": site.title,
        "public_url": links.public_url(frame.config),
    }
