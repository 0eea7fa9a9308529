"""Mails that count for nothing: a marked one to a single address, and made-up ones that test the templates."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from publisher import addresses, links
from publisher.config import Config, Newsletter
from publisher.digests import notes
from publisher.digests.compose import Frame, Skip
from publisher.digests.issue import Ids
from publisher.digests.material import MANUAL, NOBODY, Material, anybody, gather, newest
from publisher.digests.segments import NOTHING, Press, Sorting, domain_of
from publisher.digests.select import language_rank
from publisher.errors import NotFoundError, RenderError
from publisher.mail.message import SLOT_UNSUBSCRIBE, message_id, personalise
from publisher.model import UNCATEGORISED, Article, ArticleState, Author, Format, Image, NewSegment, Status, Wishes
from publisher.render import Renderer
from publisher.slots import zone_named
from publisher.store import articles, readers
from publisher.store.database import Connection, Database

MARK = "[Test] "
"""What stands before the subject of a mail that counts for nothing."""

_MOST_HELD = 1000
"""Articles with a future date that a trial looks at."""

_SHOWN = 12
"""How many articles a trial shows when nothing is new."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialMail:
    """A marked mail to one address that counts for nothing (K17)."""

    address: str
    message_id: str
    segment: NewSegment
    message: bytes
    notes: tuple[str, ...] = ()
    """What it shows otherwise than the issue would, and what it lacks because it would be too large."""


def trial_mail(
    db: Database,
    config: Config,
    newsletter: Newsletter,
    address: str,
    *,
    renderer: Renderer,
    now: datetime,
    ids: Ids,
    language: str = "",
    format_: Format = Format.HTML,
    as_address: str = "",
    at: datetime | None = None,
    mark: str = MARK,
) -> TrialMail:
    """Return the newsletter's mail for one address as it would be now; nothing is stored and no cursor moves (K17).

    A reader with this address (or `as_address`) gets their own choice of articles; anybody else what is new for a
    reader of everything, or the newest articles when nothing is. `at` (aware): as it would be then, with the articles
    that are held until then. Raises NotFoundError without any article or when no reader has `as_address`, RenderError
    for a bad template.
    """
    when = at or now
    local = when.astimezone(zone_named(config.site.timezone)).strftime("%Y-%m-%dT%H:%M")
    written = notes.read(newsletter.notes, local, newsletter.languages or config.site.languages)
    frame = Frame(
        config, newsletter, MANUAL, ids()[:12], when, renderer, written, subject=mark + "%(subject)s", kept=False
    )
    material = db.read(lambda conn: _with_held(conn, gather(conn, newsletter, MANUAL), newsletter, when))
    reader = db.read(lambda conn: readers.one(conn, newsletter.slug, _key(as_address or address)))
    if reader is None and as_address:
        raise NotFoundError(f"{as_address} reads no {newsletter.slug}; `publisher subscribers list` shows who does")
    if reader is None:
        usual = max((other.cursor for other in material.readers.wishes), default=material.to_seq)
        wishes = anybody(language or config.site.default_language, cursor=usual, format_=format_)
    else:
        wishes = reader.wishes
    received = material.received.get(reader.subscription_id) if reader else None
    segment, said = _segment(frame, material, wishes, received)
    if isinstance(segment, Skip):
        filled = f"{segment.reason}: an issue would be skipped; this shows the newest articles instead"
        latest = Material(NOBODY, material.to_seq, db.read(lambda conn: newest(conn, newsletter, _SHOWN)))
        frame = replace(frame, newsletter=newsletter.model_copy(update={"max_age": ""}))
        segment, said = _segment(frame, latest, replace(wishes, cursor=-1, categories=None))
        said = (filled, *said)
    if isinstance(segment, Skip):
        raise NotFoundError(f"{newsletter.slug} has nothing to show: {segment.reason}; collect articles first")
    identity = message_id(frame.issue_ref, ids()[:16], domain_of(newsletter.from_address))
    # A link that unsubscribes nobody: whoever receives a trial may not be subscribed at all.
    neutral = links.trial(config)
    message = personalise(
        segment.head,
        segment.body,
        address=address,
        name=reader.name if reader else "",
        date=when,
        message_id=identity,
        unsubscribe_url=neutral,
    )
    shown = replace(
        segment,
        html=segment.html.replace(SLOT_UNSUBSCRIBE, neutral),
        text=segment.text.replace(SLOT_UNSUBSCRIBE, neutral),
    )
    return TrialMail(address=address, message_id=identity, segment=shown, message=message, notes=said)


def _with_held(conn: Connection, material: Material, newsletter: Newsletter, when: datetime) -> Material:
    """Add the articles that are held until their date, if that is not after `when`."""
    held = articles.listing(conn, states=[ArticleState.HELD], limit=_MOST_HELD)
    wanted = [article for article in held if article.published_at <= when and _takes(newsletter, article)]
    coming = [
        replace(article, seq=material.to_seq + number, state=ArticleState.PUBLISHED)
        for number, article in enumerate(
            sorted(wanted, key=lambda article: (article.published_at, article.id)), start=1
        )
    ]
    return replace(material, window=(*material.window, *coming))


def _takes(newsletter: Newsletter, article: Article) -> bool:
    """Whether the newsletter's selection holds the article: what `gather` asks of the store."""
    return (
        (not newsletter.categories or bool(set(newsletter.categories) & set(article.categories)))
        and (not newsletter.languages or language_rank(article.language, newsletter.languages) is not None)
        and (not newsletter.authors or bool(_keys(newsletter.authors) & _keys(one.name for one in article.authors)))
        and (not newsletter.sources or article.source in newsletter.sources)
    )


def _keys(names: Iterable[str]) -> set[str]:
    return {name.casefold() for name in names}


def _key(address: str) -> str:
    try:
        return addresses.parse(address).key
    except ValueError:
        return ""  # nobody in the store has it


def check_templates(config: Config, newsletter: Newsletter, renderer: Renderer, now: datetime) -> None:
    """Render a digest of made-up articles in every language and format. Raises RenderError (E1, E5, E15)."""
    # Of four sections with six articles each three are shown, so that there is more of each.
    few = {"max_per_section": 3, "max_articles": 12}
    newsletter = newsletter.model_copy(update={"categories": (), "min_articles": 0, "max_age": "", **few})
    frame = Frame(config, newsletter, MANUAL, "0" * 12, now, renderer)
    window = tuple(_specimens(config, now))
    material = Material(NOBODY, len(window), window)
    for language in newsletter.languages or config.site.languages:
        for format_ in Format:
            press = Press(frame)
            wishes = anybody(language, cursor=-1, format_=format_)
            sorting = Sorting(material, config, newsletter, now)
            press.segment(sorting.picks(sorting.group(wishes)), language, format_)
            if press.left_out:
                raise RenderError(next(iter(press.left_out.values())))


def _segment(
    frame: Frame, material: Material, wishes: Wishes, received: frozenset[str] | None = None
) -> tuple[NewSegment | Skip, tuple[str, ...]]:
    sorting = Sorting(material, frame.config, frame.newsletter, frame.when)
    group = sorting.group(wishes, received or NOTHING)
    press = Press(replace(frame, related=material.related))
    made = press.segment(sorting.picks(group), group.language, group.format, content=group.content)
    return made, (*press.warnings, *(f"article {id_} left out: {reason}" for id_, reason in press.left_out.items()))


SPECIMENS = 24
"""Twice what it takes for each picture and number of authors to meet each category and status."""


def _specimens(config: Config, now: datetime) -> Iterator[Article]:
    """Yield enough articles for every branch of a template: picture or none, status or none, one category or more."""
    statuses = (Status.IMPROVED, Status.WORSENED, Status.UNCHANGED, None)
    slugs = [*(category.slug for category in config.categories), "specimen-one", "specimen-two", UNCATEGORISED]
    slugs = slugs[:2] + slugs[-2:]  # one for each status, and the one that has no title of its own
    picture = Image(url="https://example.org/picture.jpg", alt="A picture", width=1200, height=800, credit="Somebody")
    for number in range(SPECIMENS):
        yield Article(
            id=-1 - number,
            guid=f"urn:specimen:{number}",
            ref=f"{number:012x}",
            source="specimen",
            title=f"Specimen {number} <&> “quoted”",
            html='<p>Text with a <a href="https://example.org/link">link</a>.</p>',
            summary="A summary of the text.",
            slug=f"specimen-{number}",
            language=config.site.default_language,
            url=None,
            published_at=now - timedelta(hours=number),
            updated_at=now - timedelta(hours=number),
            authors=(Author("An Author"), Author("Another"))[: number % 3],
            categories=(slugs[number % len(slugs)],),
            labels=(),
            status=statuses[number % len(statuses)],
            image=picture if number % 3 == 0 else None,
            credit=None,
            enclosures=(),
            story=f"urn:specimen:{number}",
            related=(),
            state=ArticleState.PUBLISHED,
            state_reason="",
            seq=number,
            content_hash="",
        )
