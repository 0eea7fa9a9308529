"""One dated digest out of picked articles: sections in order, statuses, limits, subject; or why there is none."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal
from zoneinfo import ZoneInfo

from publisher import colours, dates, links, text
from publisher.config import Config, Newsletter, in_language
from publisher.digests.hrefs import addresses_in
from publisher.digests.notes import Note
from publisher.digests.select import Pick
from publisher.markup.readable import plain
from publisher.model import UNCATEGORISED, Article, Image, Status
from publisher.render import Renderer

SUBJECT_LIMIT = 150  # H8: longer ones are cut by every mail program
TITLE_LIMIT = 250  # A13: a headline of 10,000 characters is not one
SUMMARY_LIMIT = 400
RELATED_LIMIT = 3
INTRO_LIMIT = 110  # what mail programs show behind the subject


@dataclass(frozen=True, slots=True)
class Skip:
    """There is nothing to send, and why."""

    reason: str


@dataclass(frozen=True, slots=True)
class Link:
    """A title and where it leads."""

    title: str
    url: str


@dataclass(frozen=True, slots=True)
class Item:
    """One article as a template shows it: plain values only."""

    id: int
    title: str
    url: str
    summary: str
    html: str
    """The full text, sanitised; empty where the newsletter sends summaries."""
    text: str
    """The full text for the text part; empty with summaries."""
    links: tuple[str, ...]
    """Addresses that `html` links to, in order, each once: the text part lists them (M5)."""
    date: str
    language: str
    direction: str
    authors: tuple[str, ...]
    image: Image | None
    credit: str
    status: Status | None
    related: tuple[Link, ...] = ()
    """Other articles that it names, in its language."""


@dataclass(frozen=True, slots=True)
class Section:
    """One category in this digest; `count` = len(items) + `more`."""

    slug: str
    title: str
    colour: str
    colour_by_night: str
    """A shade of it that can be told from a dark ground."""
    status: Status | None
    """That of its newest article that states one, shown or not."""
    items: tuple[Item, ...]
    count: int
    more: int
    more_url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Digest:
    """Everything that the templates of a digest know; `count` = `shown` + `more`."""

    newsletter: str
    title: str
    language: str
    direction: str
    date: str
    subject: str
    intro: str
    """First words of the mail, which mail programs show in the list of messages."""
    sections: tuple[Section, ...]
    count: int
    shown: int
    more: int
    site_title: str
    site_url: str
    logo: str
    frequency: str
    """What the operator calls the frequency; may be empty."""
    postal_address: str
    web_url: str
    newsletter_url: str
    note: Note | None = None
    """What the editor says above the articles."""

    @property
    def article_ids(self) -> tuple[int, ...]:
        """Ids of the articles shown."""
        return tuple(item.id for section in self.sections for item in section.items)


@dataclass(frozen=True, slots=True)
class Limits:
    """How much a digest shows."""

    per_section: int
    total: int
    content: Literal["summary", "full"]

    @classmethod
    def of(cls, newsletter: Newsletter) -> Limits:
        """Return the newsletter's own."""
        return cls(newsletter.max_per_section, newsletter.max_articles, newsletter.content)


@dataclass(frozen=True, slots=True)
class Frame:
    """What all digests of one issue share."""

    config: Config
    newsletter: Newsletter
    frequency: str
    issue_ref: str
    when: datetime
    """The slot: the date a digest shows."""
    renderer: Renderer
    notes: Mapping[str, Note] = field(default_factory=dict)
    """The editor's note by language; under "" for all others."""
    related: Mapping[str, Article] = field(default_factory=dict)
    """Articles that others may name as related, by guid."""
    subject: str = "%(subject)s"
    """English msgid around every subject; a trial is marked by it."""
    kept: bool = True
    """Whether the issue gets a page on the web; a trial gets none."""

    @property
    def zone(self) -> ZoneInfo:
        """The publication's time zone."""
        return ZoneInfo(self.config.site.timezone)

    def say(self, texts: str | dict[str, str], language: str) -> str:
        """Return a configured text in the language."""
        return in_language(texts, language, self.config.site.default_language)

    def note(self, language: str) -> Note | None:
        """Return the editor's note for readers of a language."""
        return self.notes.get(language) or self.notes.get("")


MakeItem = Callable[[Article, str, Frame, Limits], "Item"]


def compose(
    picks: Sequence[Pick],
    language: str,
    frame: Frame,
    limits: Limits | None = None,
    item: MakeItem | None = None,
) -> Digest | Skip:
    """Return the digest of these picks (newest first) in the reader's language, or why there is none.

    `limits` default to the newsletter's; `item` may be a `make_item` that remembers.
    """
    newsletter, site = frame.newsletter, frame.config.site
    if reason := too_few(len(picks), newsletter):
        return Skip(reason)
    sections = _sections(picks, language, frame, limits or Limits.of(newsletter), item or make_item)
    shown = sum(len(section.items) for section in sections)
    title = frame.say(newsletter.title, language)
    date = dates.display(frame.when, language, frame.zone, "full")
    frequency = newsletter.frequencies.get(frame.frequency)
    page = links.newsletter(frame.config, newsletter.slug, language)
    return Digest(
        newsletter=newsletter.slug,
        title=title,
        language=language,
        direction=text.direction(language),
        date=date,
        subject=_subject(title, date, len(picks), sections, language, frame),
        intro=_intro(len(picks), sections, language, frame.renderer),
        sections=sections,
        count=len(picks),
        shown=shown,
        more=len(picks) - shown,
        site_title=frame.say(site.title, language),
        site_url=site.url,
        logo=site.logo,
        frequency=frame.say(frequency.title, language) if frequency else "",
        postal_address=site.postal_address,
        web_url=links.issue(frame.config, frame.issue_ref, language) if frame.kept else page,
        newsletter_url=page,
        note=frame.note(language),
    )


def too_few(count: int, newsletter: Newsletter) -> str:
    """Say why `count` articles make no digest of this newsletter; empty when they do."""
    if count == 0 and (newsletter.skip_if_empty or newsletter.min_articles > 1):
        return "no new articles"
    if 0 < count < newsletter.min_articles:
        return f"{count} {'article' if count == 1 else 'articles'} < min_articles {newsletter.min_articles}"
    return ""


def _sections(
    picks: Sequence[Pick], language: str, frame: Frame, limits: Limits, item: MakeItem
) -> tuple[Section, ...]:
    by_category: dict[str, list[Article]] = {}
    for pick in picks:
        by_category.setdefault(pick.category, []).append(pick.article)
    for articles in by_category.values():
        articles.sort(key=lambda article: not article.pinned)  # stable: the newest first among equals
    # The limit of the section first; of what is left, the issue shows what is pinned, then the newest.
    allowed = {article.id for articles in by_category.values() for article in articles[: limits.per_section]}
    ordered = sorted(picks, key=lambda pick: not pick.article.pinned)
    shown = {p.article.id for p in [pick for pick in ordered if pick.article.id in allowed][: limits.total]}
    titles = {category.slug: category for category in frame.config.categories}
    sections = []
    for slug in sorted(by_category, key=_Order(frame.config)):
        articles = by_category[slug]
        items = tuple(item(article, language, frame, limits) for article in articles if article.id in shown)
        configured = titles.get(slug)
        colour = configured.colour if configured else "#475569"
        sections.append(
            Section(
                slug=slug,
                title=frame.say(configured.title, language) if configured else _other(slug, language, frame.renderer),
                colour=colour,
                colour_by_night=colours.lightened(colour),
                status=_status(articles),
                items=items,
                count=len(articles),
                more=len(articles) - len(items),
                more_url=links.category(frame.config, slug, language),
            )
        )
    return tuple(sections)


def _status(articles: Sequence[Article]) -> Status | None:
    """Return the status of the newest article that states one (DESIGN §4), wherever it stands."""
    stating = [article for article in articles if article.status]
    return max(stating, key=lambda article: article.published_at).status if stating else None


class _Order:
    """Sort key of categories: `order`, else the place in the file; what is not configured comes last."""

    def __init__(self, config: Config) -> None:
        self.places = {
            category.slug: (index if category.order is None else category.order, index)
            for index, category in enumerate(config.categories)
        }

    def __call__(self, slug: str) -> tuple[bool, bool, int, int, str]:
        place, index = self.places.get(slug, (0, 0))
        return (slug == UNCATEGORISED, slug not in self.places, place, index, slug)


def _other(slug: str, language: str, renderer: Renderer) -> str:
    if slug == UNCATEGORISED:
        return renderer.words(language).gettext("Other news")
    return slug.replace("-", " ").capitalize()


def make_item(article: Article, language: str, frame: Frame, limits: Limits) -> Item:
    """Return an article as templates show it to readers of `language`."""
    full = limits.content == "full"
    image = article.image
    return Item(
        id=article.id,
        title=text.truncate(article.title, TITLE_LIMIT),
        url=links.article(frame.config, article),
        summary=text.excerpt(article.summary, SUMMARY_LIMIT),
        html=article.html if full else "",
        text=plain(article.html) if full else "",
        links=addresses_in(article.html) if full else (),
        date=dates.display(article.published_at, language, frame.zone, "long"),
        language=article.language,
        direction=text.direction(article.language),
        authors=tuple(author.name for author in article.authors),
        image=image,
        credit=(image.credit if image else None) or article.credit or "",
        status=article.status,
        related=tuple(_related(article, frame))[:RELATED_LIMIT],
    )


def _related(article: Article, frame: Frame) -> Iterator[Link]:
    for guid in article.related:
        other = frame.related.get(guid)
        if other is not None and other.language == article.language:
            yield Link(text.truncate(other.title, TITLE_LIMIT), links.article(frame.config, other))


def _subject(title: str, date: str, count: int, sections: Sequence[Section], language: str, frame: Frame) -> str:
    first = next((item.title for section in sections for item in section.items), "")
    values = {
        "title": title,
        "date": date,
        "count": count,
        "first_title": first,
        "sections": tuple(section.title for section in sections),
    }
    subject = frame.renderer.text(frame.say(frame.newsletter.subject, language), language, values)
    # Without articles "Title: {{ first_title }}" would end in its colon.
    subject = text.one_line(subject) if first else text.one_line(subject).rstrip(" :–—-,")
    mark = frame.renderer.words(language).gettext(frame.subject)
    return text.truncate(mark % {"subject": subject or title}, SUBJECT_LIMIT)


def _intro(count: int, sections: Sequence[Section], language: str, renderer: Renderer) -> str:
    words = renderer.words(language)
    if not count:
        return words.gettext("No new articles this time")
    number = words.ngettext("%(count)d new article", "%(count)d new articles", count) % {"count": count}
    return text.truncate(f"{number}: {', '.join(section.title for section in sections)}", INTRO_LIMIT)
