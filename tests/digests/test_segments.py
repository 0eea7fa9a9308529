"""Tests of segments: what readers share, what they get, and what is refused."""

from __future__ import annotations

import html as html_module
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from publisher.config import Config, Newsletter
from publisher.digests.compose import Frame, Skip
from publisher.digests.fit import HTML_LIMIT
from publisher.digests.material import NOBODY, Material
from publisher.digests.notes import Note
from publisher.digests.segments import Group, Press, Sorting, page_language
from publisher.digests.select import Choice
from publisher.errors import RenderError
from publisher.mail.message import SLOT_UNSUBSCRIBE, personalise
from publisher.model import Article, Format, NewSegment, Wishes
from publisher.render import Renderer
from tests.digests.conftest import NOW, together

GOLDEN = Path(__file__).parent.parent / "golden" / "digests"

MakeArticle = Callable[..., Article]
MakeWishes = Callable[..., Wishes]
MakeFrame = Callable[..., Frame]


def printed(frame: Frame, news: tuple[Article, ...], wishes: Wishes, **options: Any) -> NewSegment | Skip:
    """Return the segment of one reader."""
    sorting = Sorting(Material(together(wishes), 99, news), frame.config, frame.newsletter, NOW)
    group = sorting.group(wishes)
    return Press(frame).segment(sorting.picks(group), group.language, group.format, **options)


def segment(frame: Frame, news: tuple[Article, ...], wishes: Wishes, **options: Any) -> NewSegment:
    made = printed(frame, news, wishes, **options)
    assert isinstance(made, NewSegment)
    return made


class Hrefs(HTMLParser):
    """The addresses of all links, in order, each once; and the names of all tags."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: dict[str, None] = {}
        self.tags: set[str] = set()
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        if tag == "a" and not (href := dict(attrs)["href"] or "").startswith("#"):
            self.found[href] = None


def urls_of_text(text: str) -> list[str]:
    return list(dict.fromkeys(re.findall(rf"https?://\S+|{SLOT_UNSUBSCRIBE}\S*", text)))


CASES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "english": ({}, {}),
    "russian": ({}, {"languages": ("ru",)}),
    "hebrew": ({"fallback_languages": False}, {"languages": ("he",)}),
    "text-only": ({}, {"format": Format.TEXT}),
    "one-category": ({}, {"categories": ("economy",)}),
    "limits": ({"max_per_section": 1, "max_articles": 4}, {}),
    "full-text": ({"content": "full"}, {"categories": ("society",)}),
    "empty": ({"skip_if_empty": False}, {"cursor": 99}),
}


@pytest.mark.parametrize("case", CASES)
def test_digests_look_as_they_always_did(
    make_frame: MakeFrame, news: tuple[Article, ...], make_wishes: MakeWishes, case: str, update_golden: bool
) -> None:
    """M7: golden files; `pytest --update-golden` writes them anew, and then somebody looks at them."""
    changes, reader = CASES[case]
    made = segment(make_frame(**changes), news, make_wishes(**reader))
    assert_golden(case, made, update_golden)


def test_an_overflowing_digest_looks_as_it_always_did(
    make_frame: MakeFrame, make_article: MakeArticle, make_wishes: MakeWishes, update_golden: bool
) -> None:
    """M4, M7: full texts over 100 KB become summaries, and as many articles as fit."""
    news = tuple(long_news(make_article, "A long paragraph. ", "A short summary. "))
    made = segment(make_frame(**ROOMY), news, make_wishes())
    assert_golden("overflow", made, update_golden)


def assert_golden(case: str, made: NewSegment, update: bool) -> None:
    """Compare a segment, and the whole mail of one of its readers, with files; or write them."""
    mail = personalise(
        made.head,
        made.body,
        address="reader@example.net",
        name="Anna Reader",
        date=NOW,
        message_id="<0123456789ab.0123456789abcdef@news.example>",
        unsubscribe_url="https://letters.news.example/u/AAECAwQFBgcICQoLDA0ODw",
    )
    for kind, content in {"html": made.html.encode(), "txt": made.text.encode(), "eml": mail}.items():
        path = GOLDEN / f"{case}.{kind}"
        if update:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        assert content == path.read_bytes()


ROOMY: dict[str, Any] = {"content": "full", "max_per_section": 200, "max_articles": 200}


def long_news(make_article: MakeArticle, text: str, summary: str) -> Iterator[Article]:
    """Ninety articles of which not even the summaries fit one mail."""
    return (make_article(html=f"<p>{text * 40}</p>" * 9, summary=summary * 30) for _ in range(90))


def test_an_editor_s_note_pinned_articles_and_related_ones_look_as_they_always_did(
    make_frame: MakeFrame,
    make_article: MakeArticle,
    news: tuple[Article, ...],
    make_wishes: MakeWishes,
    update_golden: bool,
) -> None:
    """Issue 6, 3; M5, M7: the same words and addresses in both parts."""
    other = make_article("older", title="What was agreed in spring", url="https://news.example/2026/04/spring/")
    foreign = make_article("fremd", language="ru", title="Весной")
    oldest = min((a for a in news if a.categories == ("society",) and a.language == "en"), key=lambda a: a.published_at)
    told = [replace(a, related=("older", "fremd", "gone")) if a.guid == news[0].guid else a for a in news]
    told = [replace(a, pinned=True) if a.guid == oldest.guid else a for a in told]
    html = '<p>Dear readers,</p><p>the <a href="https://news.example/poll/">poll</a> is open.</p>'
    note = Note(html=html, text="Dear readers,\n\nthe poll is open.", links=("https://news.example/poll/",))
    frame = replace(make_frame(max_per_section=1), notes={"": note}, related={"older": other, "fremd": foreign})
    made = segment(frame, tuple(told), make_wishes())
    for kind, content in {"html": made.html, "txt": made.text}.items():
        path = GOLDEN / f"edited.{kind}"
        if update_golden:
            path.write_text(content, "utf-8")
        assert content == path.read_text("utf-8")
        assert " ".join(oldest.title.split()) in " ".join(html_module.unescape(content).split())
        assert "What was agreed in spring" in content
        assert "Весной" not in content
    assert urls_of_text(made.text) == list(Hrefs(made.html).found)


def test_a_reader_of_nothing_new_gets_nothing(
    make_frame: MakeFrame, news: tuple[Article, ...], make_wishes: MakeWishes
) -> None:
    """M6."""
    assert printed(make_frame(), news, make_wishes(cursor=99)) == Skip("no new articles")


@pytest.mark.parametrize("case", [case for case in CASES if case != "text-only"])
def test_text_and_html_hold_the_same_addresses_in_the_same_order(
    make_frame: MakeFrame, news: tuple[Article, ...], make_wishes: MakeWishes, case: str
) -> None:
    """M5."""
    changes, reader = CASES[case]
    made = segment(make_frame(**changes), news, make_wishes(**reader))
    assert urls_of_text(made.text) == list(Hrefs(made.html).found)
    assert SLOT_UNSUBSCRIBE in urls_of_text(made.text)


@pytest.mark.parametrize("case", CASES)
def test_lines_of_the_text_part_are_at_most_76_wide(
    make_frame: MakeFrame, news: tuple[Article, ...], make_wishes: MakeWishes, case: str
) -> None:
    """M5: only addresses may be longer."""
    changes, reader = CASES[case]
    made = segment(make_frame(**changes), news, make_wishes(**reader))
    assert [line for line in made.text.split("\n") if len(line) > 76 and "://" not in line] == []
    assert not re.search(r"[ \t]$|\n{4}", made.text, re.MULTILINE)


def test_link_texts_are_unique_and_pictures_have_alternatives_and_sizes(
    make_frame: MakeFrame, news: tuple[Article, ...], make_wishes: MakeWishes
) -> None:
    made = segment(make_frame(), news, make_wishes())
    texts = re.findall(r"<a [^>]*>([^<]+)</a>", made.html)
    assert len(texts) == len(set(texts))
    images = re.findall(r"<img [^>]*>", made.html)
    assert len(images) == 4
    assert all('src="https://' in i and re.search(r'alt="[^"]+"', i) and re.search(r'height="\d+"', i) for i in images)


def test_no_style_rule_and_no_pure_black_or_white_is_left_behind(
    make_frame: MakeFrame, news: tuple[Article, ...], make_wishes: MakeWishes
) -> None:
    """Spec mail 3.1: what programs strip is inlined; dark mode turns pure colours into glare."""
    made = segment(make_frame(), news, make_wishes())
    assert made.html.count("<style") == 1
    assert "prefers-color-scheme" in made.html
    assert len(re.findall(r"<style.*?</style>", made.html, re.DOTALL)[0]) < 8 * 1024
    assert not re.search(r"#(fff|000)\b|#(ffffff|000000)\b", made.html, re.IGNORECASE)
    assert not re.search(r"<(script|link|form|button|svg|video)\b|url\(|position:|display:flex", made.html)
    assert re.search(r'<div [^>]*role="article" aria-roledescription="email"', made.html)


def test_html_in_texts_is_escaped_in_html_and_plain_in_text(
    make_frame: MakeFrame, make_article: MakeArticle, make_wishes: MakeWishes
) -> None:
    """E6."""
    title = "<script>alert(1)</script> Q&A"
    made = segment(make_frame(), (make_article(title=title, summary="<b>x</b>"),), make_wishes())
    assert Hrefs(made.html).tags & {"script", "b"} == set()
    assert f"{html_module.escape(title)}</a></h3>" in made.html
    assert "* <script>alert(1)</script> Q&A\n" in made.text
    assert made.subject == f"The Week in Review: {title}"


@pytest.mark.parametrize(("name", "source"), [("html", "<p>{{ digest.title }}</p>"), ("txt", "{{ digest.title }}")])
def test_a_template_without_unsubscribe_link_is_refused(
    make_frame: MakeFrame, news: tuple[Article, ...], make_wishes: MakeWishes, tmp_path: Path, name: str, source: str
) -> None:
    """E15."""
    (tmp_path / "mail").mkdir()
    (tmp_path / "mail" / f"digest.{name}.j2").write_text(source, "utf-8")
    with pytest.raises(RenderError, match=rf"mail/digest\.{name}\.j2: no unsubscribe link"):
        segment(make_frame(renderer=Renderer([tmp_path])), news, make_wishes())


def test_an_empty_text_template_is_replaced_by_ours(
    make_frame: MakeFrame, news: tuple[Article, ...], make_wishes: MakeWishes, tmp_path: Path
) -> None:
    """E16."""
    (tmp_path / "mail").mkdir()
    (tmp_path / "mail" / "digest.txt.j2").write_text("\n", "utf-8")
    made = segment(make_frame(renderer=Renderer([tmp_path])), news, make_wishes())
    assert made.text == segment(make_frame(), news, make_wishes()).text


def test_one_block_of_the_digest_can_be_replaced(
    make_frame: MakeFrame, news: tuple[Article, ...], make_wishes: MakeWishes, tmp_path: Path
) -> None:
    (tmp_path / "mail").mkdir()
    source = '{% extends "builtin/mail/digest.html.j2" %}{% block overview %}<p>Dear reader</p>{% endblock %}'
    (tmp_path / "mail" / "digest.html.j2").write_text(source, "utf-8")
    made = segment(make_frame(renderer=Renderer([tmp_path])), news, make_wishes())
    assert "<p>Dear reader</p>" in made.html
    assert "Ministers agree on a timetable" in made.html


def test_a_digest_that_gmail_would_cut_says_less(
    make_frame: MakeFrame, make_article: MakeArticle, make_wishes: MakeWishes
) -> None:
    """M4: at most 100 KB: summaries for full texts, then fewer articles; the sums still match."""
    news = tuple(long_news(make_article, "Длинный абзац. ", "Краткое изложение. "))
    made = segment(make_frame(**ROOMY), news, make_wishes())
    assert len(made.html.encode()) <= HTML_LIMIT
    assert len(made.html.encode()) > HTML_LIMIT * 0.8
    assert "Длинный абзац" not in made.html
    shown = made.html.count("<h3")
    assert f"{90 - shown} more on the web: Foreign policy" in made.html
    assert made.text.count("\n* ") == shown


def test_the_editor_is_told_what_mails_lack_because_they_would_be_too_large(
    make_frame: MakeFrame, make_article: MakeArticle, make_wishes: MakeWishes
) -> None:
    """M4: warned from 90 KB of HTML on; nothing is said of mails that fit, nor of pages, which may be longer."""

    def said(changes: dict[str, Any], news: tuple[Article, ...], *wishes: Wishes) -> tuple[str, ...]:
        frame = make_frame(**changes)
        sorting, press = Sorting(Material(NOBODY, 999, news), frame.config, frame.newsletter, NOW), Press(frame)
        for group in map(sorting.group, wishes):
            press.segment(sorting.picks(group), group.language, group.format)
            press.segment(sorting.picks(group), group.language, group.format, is_web=True)
        return press.warnings

    news = tuple(long_news(make_article, "A long paragraph. ", "A short summary. "))
    english, russian = make_wishes(), make_wishes(languages=("ru",))
    assert said({}, news[:9], english) == ()
    assert said(ROOMY, news[:20], english) == (
        "1 segment has summaries instead of full texts, to stay below 100 KB, where Gmail cuts",
    )
    assert said(ROOMY, news, english, russian) == (
        "2 segments have summaries instead of full texts, to stay below 100 KB, where Gmail cuts",
        "2 segments have up to 8 articles only on the web, to stay below 100 KB, where Gmail cuts",
        "2 segments have over 90 KB of HTML, at most 99 KB; the limit is 100 KB, where Gmail cuts",
    )


def test_a_template_too_large_for_any_mail_is_refused(
    make_frame: MakeFrame, news: tuple[Article, ...], make_wishes: MakeWishes, tmp_path: Path
) -> None:
    """E8."""
    (tmp_path / "mail").mkdir()
    (tmp_path / "mail" / "digest.html.j2").write_text("{{ unsubscribe }}" + "x" * HTML_LIMIT, "utf-8")
    with pytest.raises(RenderError, match="make the template smaller"):
        segment(make_frame(renderer=Renderer([tmp_path])), news, make_wishes())


def test_an_article_that_cannot_be_rendered_is_left_out_and_the_rest_goes(
    make_frame: MakeFrame, news: tuple[Article, ...], tmp_path: Path
) -> None:
    """E2."""
    (tmp_path / "mail").mkdir()
    source = "<tr><td>{{ item.title }}{% if item.image and not item.credit %}{{ nothing }}{% endif %}</td></tr>"
    (tmp_path / "mail" / "article.html.j2").write_text(source, "utf-8")
    frame = make_frame(renderer=Renderer([tmp_path]))
    press = Press(frame)
    sorting = Sorting(Material(NOBODY, 99, news), frame.config, frame.newsletter, NOW)
    picks = sorting.picks(Group("en", Choice(languages=("en",)), Format.HTML, 0))
    made = press.segment(picks, "en", Format.HTML)
    budget = next(article for article in news if article.guid == "budget")
    assert isinstance(made, NewSegment)
    assert budget.title not in made.html + made.text
    assert "Late harvest" in made.html
    assert list(press.left_out) == [budget.id]
    assert "'nothing' is undefined" in press.left_out[budget.id]


def test_a_template_that_fails_for_every_article_fails_the_issue(
    make_frame: MakeFrame, news: tuple[Article, ...], make_wishes: MakeWishes, tmp_path: Path
) -> None:
    """E1: leaving out all news would hide that the template is at fault."""
    (tmp_path / "mail").mkdir()
    (tmp_path / "mail" / "article.html.j2").write_text("{{ nothing }}", "utf-8")
    with pytest.raises(RenderError, match="'nothing' is undefined"):
        segment(make_frame(renderer=Renderer([tmp_path])), news, make_wishes())


def test_the_page_for_the_web_knows_nobody(
    make_frame: MakeFrame, news: tuple[Article, ...], make_wishes: MakeWishes
) -> None:
    """L6: no slot, so nobody's token can get there."""
    page = segment(make_frame(), news, make_wishes(), is_web=True)
    assert (page.is_web, page.head, page.body) == (True, b"", b"")
    assert SLOT_UNSUBSCRIBE not in page.html + page.text
    assert "Unsubscribe" not in page.html
    assert "You receive this mail" not in page.html + page.text


def test_a_mail_of_text_alone_has_no_html_part(
    make_frame: MakeFrame, news: tuple[Article, ...], make_wishes: MakeWishes
) -> None:
    made = segment(make_frame(), news, make_wishes(format=Format.TEXT))
    assert made.html == ""
    assert b"Content-Type: text/plain; charset=utf-8" in made.head
    assert SLOT_UNSUBSCRIBE.encode() in made.body


def test_the_same_input_gives_the_same_bytes(
    make_frame: MakeFrame, news: tuple[Article, ...], make_wishes: MakeWishes
) -> None:
    """M7."""
    reader = make_wishes()
    assert segment(make_frame(), news, reader) == segment(make_frame(), tuple(reversed(news)), reader)


def test_readers_who_share_a_choice_share_a_group(
    make_frame: MakeFrame, news: tuple[Article, ...], make_wishes: MakeWishes
) -> None:
    frame = make_frame()
    readers = (
        make_wishes(),
        make_wishes(languages=("en", "fr")),  # there is nothing in French now
        make_wishes(cursor=-1),  # nothing below either
        make_wishes(languages=("ru",)),
        make_wishes(format=Format.TEXT),
        make_wishes(categories=("economy", "society")),
        make_wishes(categories=("society", "economy")),
        make_wishes(cursor=7),
    )
    kinds, places = Sorting(Material(NOBODY, 99, news), frame.config, frame.newsletter, NOW).kinds(together(*readers))
    groups: dict[Group, list[int]] = {}
    for reader, place in enumerate(places, start=1):
        groups.setdefault(kinds[place][1], []).append(reader)
    assert list(groups.values()) == [[1, 2, 3], [4], [5], [6, 7], [8]]


def test_who_was_sent_another_version_of_a_story_is_of_a_kind_of_their_own(
    make_frame: MakeFrame, news: tuple[Article, ...], make_wishes: MakeWishes
) -> None:
    """DESIGN §4, Languages: never twice; readers who were sent the same before share their kind."""
    frame, told = make_frame(), frozenset({news[0].story})
    material = Material(NOBODY, 99, news, received={2: told, 4: told})
    kinds, places = Sorting(material, frame.config, frame.newsletter, NOW).kinds(together(*[make_wishes()] * 4))
    assert list(places) == [0, 1, 0, 1]
    assert [(wishes, group.already) for wishes, group in kinds] == [(make_wishes(), frozenset()), (make_wishes(), told)]


def test_a_reader_may_choose_full_texts_or_summaries(
    make_frame: MakeFrame, news: tuple[Article, ...], make_wishes: MakeWishes
) -> None:
    """Each in a segment of their own; the newsletter's own way, chosen or not, is one."""
    frame = make_frame()
    readers = (make_wishes(content="summary"), make_wishes(), make_wishes(content="full"))
    sorting = Sorting(Material(NOBODY, 99, news), frame.config, frame.newsletter, NOW)
    groups = list(dict.fromkeys(sorting.group(wishes) for wishes in readers))
    assert len(groups) == 2
    press = Press(frame)
    made = [
        press.segment(sorting.picks(group), group.language, group.format, content=group.content) for group in groups
    ]
    short, full = (segment for segment in made if isinstance(segment, NewSegment))
    assert short.key != full.key
    assert len(full.text) > len(short.text)


def test_distinct_choices_with_the_same_articles_are_rendered_once(
    make_frame: MakeFrame, news: tuple[Article, ...], make_wishes: MakeWishes
) -> None:
    frame = make_frame()
    press = Press(frame)
    sorting = Sorting(Material(NOBODY, 99, news), frame.config, frame.newsletter, NOW)
    every = frozenset(category.slug for category in frame.config.categories) | {"uncategorised"}
    made = [
        press.segment(sorting.picks(sorting.group(make_wishes(categories=categories))), "en", Format.HTML)
        for categories in (None, tuple(every), (*every, "another"))
    ]
    assert made[0] is made[1] is made[2]


@pytest.mark.parametrize(
    ("languages", "offered", "shown"),
    [
        (("ru", "en"), (), "ru"),
        (("be", "ru"), (), "ru"),
        (("ru-BY",), (), "ru"),
        (("fr",), (), "en"),
        ((), (), "en"),
        (("en",), ("ru",), "ru"),
    ],
)
def test_words_around_articles_are_in_the_first_language_that_the_newsletter_has(
    config: Config, newsletter: Newsletter, languages: tuple[str, ...], offered: tuple[str, ...], shown: str
) -> None:
    assert page_language(languages, config, newsletter.model_copy(update={"languages": offered})) == shown
