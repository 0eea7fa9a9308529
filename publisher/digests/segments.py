"""Readers who share a choice share the bytes: each distinct list of articles is composed, rendered and encoded once."""

from __future__ import annotations

import hashlib
from array import array
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from publisher import render
from publisher.config import Config, Newsletter
from publisher.digests import fit
from publisher.digests.compose import Digest, Frame, Item, Limits, Skip, compose, make_item
from publisher.digests.fit import Fit
from publisher.digests.material import Material
from publisher.digests.select import Choice, Pick, Rules, language_rank, select
from publisher.errors import RenderError
from publisher.mail.message import SLOT_UNSUBSCRIBE, SegmentHeaders, encode_segment, feedback_id
from publisher.model import Article, Content, Format, NewSegment, Readers, Wishes

NOTHING: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Group:
    """What some readers have in common, as far as it shows in their mail."""

    language: str
    """Of titles, dates and words around the articles."""
    choice: Choice
    format: Format
    received: int
    """How many of the material's articles, in order of `seq`, are at or below the reader's cursor."""
    content: Content | None = None
    """Summaries or full texts, where that is not the newsletter's own way."""
    already: frozenset[str] = frozenset()
    """Stories of the window that these readers were sent in an earlier version."""


class Sorting:
    """Readers into groups, and what each group has not received yet."""

    def __init__(self, material: Material, config: Config, newsletter: Newsletter, when: datetime) -> None:
        """`when`: the moment that the newsletter's age limit counts from; what is older is nobody's news."""
        self._config, self._newsletter = config, newsletter
        self._since = when - newsletter.age_limit if newsletter.age_limit else datetime.min.replace(tzinfo=UTC)
        self._rules = Rules(
            default_language=config.site.default_language,
            fallback=newsletter.fallback_languages,
            categories=newsletter.categories,
        )
        unique = {article.id: article for article in (*material.earlier, *material.window)}
        self._articles = sorted(unique.values(), key=lambda article: article.seq or 0)
        self._seqs = [article.seq or 0 for article in self._articles]
        self._languages = {article.language for article in self._articles}
        self._received = material.received
        self._latest = {article.story: article.seq or 0 for article in self._articles}
        self._picks: dict[tuple[Choice, int, frozenset[str]], tuple[Pick, ...]] = {}

    def kinds(self, readers: Readers) -> tuple[list[tuple[Wishes, Group]], Sequence[int]]:
        """Return what readers wish and the group that makes them, each pair once; and each reader's place among them.

        Readers of one kind get the same bytes at the same moment, and have received the same before.
        """
        if not self._received:  # as most often: nothing to look at reader by reader
            return [(wishes, self.group(wishes)) for wishes in readers.wishes], readers.kinds
        found: dict[tuple[int, frozenset[str]], int] = {}
        places = array("q")
        for place, subscription_id in zip(readers.kinds, readers.ids, strict=True):
            key = (place, self._received.get(subscription_id, NOTHING))
            places.append(found.setdefault(key, len(found)))
        return [
            (readers.wishes[place], self.group(readers.wishes[place], received)) for place, received in found
        ], places

    def group(self, wishes: Wishes, received: frozenset[str] = NOTHING) -> Group:
        """Return the group of readers with these wishes, who were sent the stories `received` in an earlier version.

        Languages in which there is nothing now make no difference.
        """
        there = (
            wanted for wanted in wishes.languages if any(language_rank(x, (wanted,)) == 0 for x in self._languages)
        )
        return Group(
            language=page_language(wishes.languages, self._config, self._newsletter),
            choice=Choice(
                languages=tuple(there),
                categories=None if wishes.categories is None else frozenset(wishes.categories),
            ),
            format=wishes.format,
            received=bisect_right(self._seqs, wishes.cursor),
            content=None if wishes.content == self._newsletter.content else wishes.content,
            already=frozenset(story for story in received if self._latest.get(story, 0) > wishes.cursor),
        )

    def picks(self, group: Group) -> tuple[Pick, ...]:
        """Return what the readers of a group shall get, newest first."""
        key = (group.choice, group.received, group.already)
        if key not in self._picks:
            after = self._seqs[group.received - 1] if group.received else -1
            picks = select(self._articles, group.choice, self._rules, after=after, already=group.already)
            self._picks[key] = tuple(pick for pick in picks if pick.article.published_at >= self._since)
        return self._picks[key]


def page_language(languages: Sequence[str], config: Config, newsletter: Newsletter) -> str:
    """Return the first of the reader's languages that the newsletter has, else the publication's own."""
    offered = newsletter.languages or config.site.languages
    for wanted in languages:
        for language in offered:
            if language_rank(language, (wanted,)) == 0:
                return language
    default = config.site.default_language
    return default if default in offered or not offered else offered[0]


class Press:
    """Renders the segments of one issue; asks nothing of anybody, and does the same work only once.

    Articles that no template can show are left out of every digest and kept in `left_out` with the reason (E2).
    """

    def __init__(self, frame: Frame) -> None:
        self._frame = frame
        self.left_out: dict[int, str] = {}
        self._items: dict[tuple[int, str, str], Item] = {}
        self._articles: dict[tuple[object, ...], str] = {}
        self._segments: dict[tuple[object, ...], NewSegment | Skip] = {}
        self._fits: list[Fit] = []

    @property
    def warnings(self) -> tuple[str, ...]:
        """What mails lack because they would be too large, and how near the limit the largest is."""
        return tuple(fit.warnings(self._fits))

    def segment(
        self,
        picks: Sequence[Pick],
        language: str,
        format_: Format,
        *,
        content: Content | None = None,
        is_web: bool = False,
    ) -> NewSegment | Skip:
        """Return the segment of readers who get these picks; the web's is neutral and carries no slot.

        `content`: summaries or full texts; None for the newsletter's own way.
        Raises RenderError when a template fails, shows no unsubscribe link, or makes one article larger than a mail.
        """
        key = (language, format_, content, is_web, tuple((pick.article.id, pick.category) for pick in picks))
        if key not in self._segments:
            limits = Limits.of(self._frame.newsletter)
            limits = replace(limits, content=content) if content else limits
            showable = self._showable(picks, language, limits)
            made = self._make(showable, language, format_, limits, is_web=is_web)
            if isinstance(made, NewSegment):
                made = _of(made, [pick.article.id for pick in picks])
            self._segments[key] = made
        return self._segments[key]

    def _make(
        self, picks: Sequence[Pick], language: str, format_: Format, limits: Limits, *, is_web: bool
    ) -> NewSegment | Skip:
        unsubscribe = "" if is_web else SLOT_UNSUBSCRIBE
        style = "" if limits.content == self._frame.newsletter.content else f"{limits.content}-"
        wanted, most = limits, 0
        while True:
            digest = compose(picks, language, self._frame, limits, self._item)
            if isinstance(digest, Skip):
                return digest
            html = self._html(digest, unsubscribe) if format_ is Format.HTML else ""
            size = len(html.encode())
            most = max(most, digest.shown)
            if size <= fit.HTML_LIMIT:
                break
            limits = fit.smaller(limits, digest.shown, size)
        if not is_web:
            self._fits.append(Fit(size, limits.content != wanted.content, most - digest.shown))
        text = self._text(digest, unsubscribe)
        head, body = (b"", b"") if is_web else self._encode(digest, html, text)
        return NewSegment(
            key=style + _key(digest, format_, is_web=is_web),
            language=language,
            format=format_,
            subject=digest.subject,
            html=html,
            text=text,
            head=head,
            body=body,
            is_web=is_web,
        )

    def _item(self, article: Article, language: str, frame: Frame, limits: Limits) -> Item:
        key = (article.id, language, limits.content)
        if key not in self._items:
            self._items[key] = make_item(article, language, frame, limits)
        return self._items[key]

    def _showable(self, picks: Sequence[Pick], language: str, limits: Limits) -> Sequence[Pick]:
        failures: dict[int, RenderError] = {}
        for pick in picks:
            try:
                item = self._item(pick.article, language, self._frame, limits)
                self._article_html(item, language, "plain")
                self._article_text(item, language)
            except RenderError as error:
                failures[pick.article.id] = error
        if failures and len(failures) == len(picks):
            # Every article fails: the template is at fault, and leaving out all news would hide it.
            raise next(iter(failures.values()))
        self.left_out |= {id_: str(error) for id_, error in failures.items()}
        return [pick for pick in picks if pick.article.id not in failures]

    def _html(self, digest: Digest, unsubscribe: str) -> str:
        def article(item: Item, style: str = "plain", first: object = False, final: object = False) -> str:
            return render.safe(self._article_html(item, digest.language, style, first=bool(first), final=bool(final)))

        values = {"digest": digest, "article": article, "unsubscribe": unsubscribe}
        html = render.inline_css(self._frame.renderer.render("mail/digest.html.j2", digest.language, values))
        return _with_slot(html, unsubscribe, "mail/digest.html.j2")

    def _text(self, digest: Digest, unsubscribe: str) -> str:
        def article(item: Item) -> str:
            return self._article_text(item, digest.language)

        values = {"digest": digest, "article": article, "unsubscribe": unsubscribe}
        text = self._frame.renderer.render("mail/digest.txt.j2", digest.language, values)
        if not text.strip():  # E16: an emptied override still gives readers of text their mail
            text = self._frame.renderer.render(f"{render.BUILTIN}/mail/digest.txt.j2", digest.language, values)
        return _with_slot(text, unsubscribe, "mail/digest.txt.j2").strip("\n") + "\n"

    def _article_html(self, item: Item, language: str, style: str, *, first: bool = False, final: bool = False) -> str:
        values = {"item": item, "style": style, "first": first, "final": final}
        return self._once("mail/article.html.j2", item, language, values)

    def _article_text(self, item: Item, language: str) -> str:
        return self._once("mail/article.txt.j2", item, language, {"item": item})

    def _once(self, name: str, item: Item, language: str, values: Mapping[str, object]) -> str:
        flags = tuple(value for value in values.values() if value is not item)
        key = (name, item.id, language, bool(item.html), *flags)
        if key not in self._articles:
            self._articles[key] = self._frame.renderer.render(name, language, values)
        return self._articles[key]

    def _encode(self, digest: Digest, html: str, text: str) -> tuple[bytes, bytes]:
        newsletter = self._frame.newsletter
        domain = domain_of(newsletter.from_address)
        headers = SegmentHeaders(
            from_name=newsletter.from_name or digest.title,
            from_address=newsletter.from_address,
            reply_to=newsletter.reply_to,
            subject=digest.subject,
            language=digest.language,
            list_name=digest.title,
            list_id=f"{newsletter.slug}.{domain}",
            web_url=digest.web_url,
            feedback_id=feedback_id(self._frame.issue_ref, newsletter.slug, domain),
        )
        return encode_segment(headers=headers, text=text, html=html or None)


def domain_of(address: str) -> str:
    """Return what stands behind the last @."""
    return address.rpartition("@")[2].lower()


def _with_slot(content: str, unsubscribe: str, name: str) -> str:
    """Refuse a mail without a way out (E15)."""
    if unsubscribe and unsubscribe not in content:
        raise RenderError(
            f"{name}: no unsubscribe link; put {{{{ unsubscribe }}}} where its address belongs, in html as a href"
        )
    return content


def _of(segment: NewSegment, article_ids: Sequence[int]) -> NewSegment:
    """Note what its readers receive; what is behind "n more" makes another segment of the same bytes."""
    known = hashlib.sha256(repr(sorted(article_ids)).encode()).hexdigest()[:8]
    return replace(segment, key=f"{segment.key}{known}", article_ids=tuple(article_ids))


def _key(digest: Digest, format_: Format, *, is_web: bool) -> str:
    listed = [(section.slug, section.more, *(item.id for item in section.items)) for section in digest.sections]
    kind = "web" if is_web else format_.value
    return f"{digest.language}-{kind}-{hashlib.sha256(repr(listed).encode()).hexdigest()[:16]}"
