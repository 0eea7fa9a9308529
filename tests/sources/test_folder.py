"""Articles in Markdown and HTML files: fields, dates, titles, languages, identity."""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from publisher.config import Config, FolderSource, Site
from publisher.model import UNSPECIFIED_LICENSE, Author, Draft, Enclosure, Image, Origin, Skipped, Status
from publisher.sources.documents import Documents, Reading
from publisher.sources.places import Languages

from .conftest import Place


def front(*lines: str, text: str = "Text.") -> str:
    return "\n".join(("---", *lines, "---", text, ""))


def test_all_fields_of_an_article(folder: Place) -> None:
    draft = folder.only(
        "news/a.md",
        front(
            "title: Bridge <em>opened</em> &amp; praised",
            "date: 2020-01-02 10:00:00 +0100",
            "lastmod: 2020-01-03",
            "categories: [Foreign policy, economy]",
            "tags: bridges, Minsk",
            "authors: [Ann, {name: Bob, email: bob@news.example, url: https://bob.example/}]",
            "status: The situation improved",
            "summary: A <b>short</b> summary",
            "image: {url: /i/a.png, alt: A bridge, credit: Cid, width: 640, height: 480px}",
            "slug: The Bridge",
            "lang: ru",
            "guid: tag:news.example,2020:1",
            "url: /2020/bridge/",
            "enclosure: {url: talk.mp3, length: 1024, title: Talk}",
            "translation_of: ../en/a.md",
            "related: [./b.md, c]",
            "layout: post",
            text="See [this](x.html) and ![](/y.png).",
        ),
    )
    assert replace(draft, content_hash="") == Draft(
        key="news/a.md",
        path="news/a.md",
        guid="tag:news.example,2020:1",
        title="Bridge opened & praised",
        html=(
            '<p>See <a href="https://news.example/2020/bridge/x.html">this</a> '
            'and <img src="https://news.example/y.png" alt="">.</p>'
        ),
        summary="A short summary",
        slug="the-bridge",
        language="ru",
        url="https://news.example/2020/bridge/",
        published_at=datetime(2020, 1, 2, 9, tzinfo=UTC),
        updated_at=datetime(2020, 1, 2, 21, tzinfo=UTC),
        authors=(Author("Ann"), Author("Bob", "bob@news.example", "https://bob.example/")),
        categories=("politics", "economy"),
        labels=("bridges", "Minsk"),
        status=Status.IMPROVED,
        image=Image("https://news.example/i/a.png", "A bridge", 640, 480, "Cid"),
        credit="Cid",
        enclosures=(Enclosure("https://news.example/2020/bridge/talk.mp3", "audio/mpeg", 1024, "Talk"),),
        translation_of="en/a.md",
        related=("news/b.md", "c"),
        content_hash="",
    )


@pytest.mark.parametrize(
    ("text", "title", "body"),
    [
        (front("title: Stated", text="# Heading\n\nText."), "Stated", "<h1>Heading</h1>\n<p>Text.</p>"),
        (front("title: Same", text="# Same\n\nText."), "Same", "<p>Text.</p>"),
        ("# A *heading* &amp; more #\n\nText.\n", "A heading & more", "<p>Text.</p>"),
        ("Heading\n=======\n\nText.\n", "Heading", "<p>Text.</p>"),
        ("## Second level\n\nText.\n", "Second level", "<p>Text.</p>"),
        ("Intro.\n\n# Heading\n\nText.\n", "Heading", "<p>Intro.</p>\n<p>Text.</p>"),
        ("Intro.\n\n## Details\n\nText.\n", "My file", "<p>Intro.</p>\n<h2>Details</h2>\n<p>Text.</p>"),
        ("```\n# comment\n```\n", "My file", "<pre><code># comment\n</code></pre>"),
        ("Text.\n", "My file", "<p>Text.</p>"),
        (front("title: '  '", text="Text."), "My file", "<p>Text.</p>"),
    ],
)
def test_the_title_is_stated_or_the_first_heading_or_the_name(folder: Place, text: str, title: str, body: str) -> None:
    draft = folder.only("my-file.md", text)
    assert (draft.title, draft.html.strip()) == (title, body)


def test_html_files_are_read_with_and_without_front_matter(folder: Place) -> None:
    folder.write("a.html", front("title: One", text="<p>Text <script>x</script></p>"))
    folder.write(
        "b.htm", "<html><head><title>Two</title><meta name=date content=2020-01-02></head><body><p>B</p></body>"
    )
    folder.write("c.html", "<h1>Three</h1><p>C</p>")
    found = {draft.title: draft.html for draft in folder.collect().drafts}
    assert found == {"One": "<p>Text </p>", "Two": "<p>B</p>", "Three": "<p>C</p>"}


def test_github_flavour_and_code_are_kept(folder: Place) -> None:
    draft = folder.only("a.md", "| a | b |\n|---|---|\n| 1 | 2 |\n\n```python\nx = 1 < 2\n```\n\n~~old~~\n")
    for part in ("<table>", "<td>1</td>", '<code class="language-python">x = 1 &lt; 2', "<del>old</del>"):
        assert part in draft.html.replace("<s>", "<del>").replace("</s>", "</del>")


# Dates (A7).


@pytest.mark.parametrize(
    ("path", "lines", "expected"),
    [
        ("a.md", ["date: 2013-05-06 02:12:52 +0200"], "2013-05-06T00:12:52"),
        ("a.md", ['date: "2014-12-22 09:03:30 -0500"'], "2014-12-22T14:03:30"),
        ("a.md", ["date: 2020-07-01"], "2020-06-30T21:00:00"),
        ("a.md", ["Date: 22 мая 2017"], "2017-05-21T21:00:00"),
        ("a.md", ["pubDate: Mon, 22 May 2017 13:45:00 GMT"], "2017-05-22T13:45:00"),
        ("a.md", ["published: 2020-07-01 10:00"], "2020-07-01T07:00:00"),
        ("a.md", ["date: 2020-07-01 10:00", "publishDate: 2020-07-02 10:00"], "2020-07-02T07:00:00"),
        ("2017-05-22-a.md", [], "2017-05-21T21:00:00"),
        ("_posts/2017-05-22-a.markdown", ["date: 2017-05-22 08:00"], "2017-05-22T05:00:00"),
        ("2017-05-22-a.ru.md", [], "2017-05-21T21:00:00"),
        ("a.md", ["path: 2020/03/12/Rust-1.42"], "2020-03-11T21:00:00"),
    ],
)
def test_a7_the_date_is_stated_or_in_the_path(folder: Place, path: str, lines: list[str], expected: str) -> None:
    """A7: the zone is that of the source or site; an offset that is written wins."""
    draft = folder.only(path, front("title: T", *lines))
    assert draft.published_at == datetime.fromisoformat(expected + "+00:00")


def test_a7_toml_dates_are_read(folder: Place) -> None:
    text = '+++\ntitle = "Rust 1.42"\npath = "2020/03/12/Rust-1.42"\nupdated = 2020-03-13T10:00:00+01:00\n+++\nText.\n'
    draft = folder.only("whatever.md", text)
    assert draft.published_at == datetime(2020, 3, 11, 21, tzinfo=UTC)
    assert draft.updated_at == datetime(2020, 3, 13, 9, tzinfo=UTC)
    assert draft.slug == "rust-1-42"


def test_a7_an_article_without_a_date_has_none(folder: Place) -> None:
    """A7: ingest dates it when it is first seen."""
    assert folder.only("a.md", "Text.").published_at is None


def test_a7_a_date_in_the_future_is_handed_on(folder: Place) -> None:
    """A7: to hold it until then is for ingest to decide."""
    assert folder.only("a.md", front("date: 2099-01-01")).published_at == datetime(2098, 12, 31, 21, tzinfo=UTC)


@pytest.mark.parametrize(
    "lines",
    [
        ["date: 2017-02-30"],
        ["date: May 2017"],
        ["date: 2017"],
        ["date: 0001-01-01"],
        ["date: Last Modified"],
        ["date: [2017]"],
        ["date: 2020-01-01", "lastmod: yesterday"],
        ["path: 2020/02/30/x"],
    ],
)
def test_a7_a_partial_or_impossible_date_is_refused(folder: Place, lines: list[str]) -> None:
    """A7: refused with the file's name and the field's, never guessed."""
    reason = folder.refusal("a.md", front("title: T", *lines))
    assert "20" in reason or "0001" in reason or "Last" in reason or "lastmod" in reason


def test_a7_an_impossible_date_in_a_name_is_refused(folder: Place) -> None:
    assert "2017-02-30-a" in folder.refusal("2017-02-30-a.md", front("title: T"))


# What is not published.


@pytest.mark.parametrize("line", ["draft: true", "draft: yes", "published: false", "status: draft", "Status: Hidden"])
def test_a_draft_is_skipped_and_is_not_a_problem(folder: Place, line: str) -> None:
    folder.write("a.md", front("title: T", line))
    collected = folder.collect()
    said = line.lower().replace("yes", "true")
    assert collected.skipped == (Skipped("a.md", f"its author does not want it published: {said}", "draft"),)
    assert collected.drafts == ()


@pytest.mark.parametrize("line", ["draft: false", "published: true", "status: published", "draft:"])
def test_what_is_not_a_draft_is_taken(folder: Place, line: str) -> None:
    assert folder.only("a.md", front("title: T", line)).status is None


def test_an_article_made_a_draft_again_is_gone_until_published(folder: Place) -> None:
    """Unlike a mistake, that is its author's wish."""
    before = folder.only("a.md", front("title: T"))
    folder.write("a.md", front("title: T", "draft: true"), age=60)
    away = folder.collect()
    assert (away.gone, away.present) == (frozenset({"a.md"}), 0)
    folder.write("a.md", front("title: T"), age=50)
    back = folder.collect()
    assert (back.drafts, back.gone) == ((before,), frozenset())


def test_drafts_folders_and_section_pages_are_passed_over(folder: Place) -> None:
    for path in ("_drafts/a.md", "posts/_drafts/b.md", "posts/_index.md", "posts/_index.ru.md", "a.mdown", "a.txt"):
        folder.write(path, "Text.")
    collected = folder.collect()
    assert (collected.drafts, collected.skipped) == ((), ())


# Names of things.


@pytest.mark.parametrize(
    ("line", "categories", "labels"),
    [
        ("category: Foreign policy", ("politics",), ()),
        ("categories: Foreign policy", ("politics",), ()),
        ("categories: economy culture x", ("economy", "culture"), ("x",)),
        ("tags: economy, two words", ("economy",), ("two words",)),
        ("category: two words", ("uncategorised",), ("two words",)),
        ("tags: [театр, theatre]", ("culture",), ("театр",)),
        ("keywords: Политика", ("politics",), ()),
        ("taxonomies: {tags: [economy]}", ("economy",), ()),
        ("tags: [{name: economy}, 2017, null]", ("economy",), ("2017",)),
    ],
)
def test_categories_and_labels(folder: Place, line: str, categories: tuple[str, ...], labels: tuple[str, ...]) -> None:
    draft = folder.only("a.md", front("title: T", line))
    assert (draft.categories, draft.labels) == (categories, labels)


@pytest.mark.parametrize(
    ("line", "authors"),
    [
        ("author: Ann Lee", [Author("Ann Lee")]),
        ("author: Lee, Ann", [Author("Lee, Ann")]),
        ("authors: Ann, Bob", [Author("Ann"), Author("Bob")]),
        ("authors: Lee, Ann; Ray, Bob", [Author("Lee, Ann"), Author("Ray, Bob")]),
        ("author: Ann <ann@news.example>", [Author("Ann", "ann@news.example")]),
        ("author: Ann <https://ann.example/>", [Author("Ann", None, "https://ann.example/")]),
        ("author: {name: Ann, link: 'javascript:x'}", [Author("Ann")]),
        ("author: [Ann, ann, '']", [Author("Ann")]),
        ("author: {email: x@y.example}", []),
    ],
)
def test_authors(folder: Place, line: str, authors: list[Author]) -> None:
    assert list(folder.only("a.md", front("title: T", line)).authors) == authors


@pytest.mark.parametrize(
    ("line", "image"),
    [
        ("image: /a.png", Image("https://news.example/a.png")),
        ("featured_image: https://x.example/a.png", Image("https://x.example/a.png")),
        ("thumbnail: a.png", Image("https://news.example/a.png")),
        ("cover: {image: a.png, alt: A, caption: By Ann}", Image("https://news.example/a.png", "A", credit="By Ann")),
        ("images: [a.png, b.png]", Image("https://news.example/a.png")),
        ("image: data:image/png;base64,xx", None),
        ("image: [[]]", None),
    ],
)
def test_images(folder: Place, line: str, image: Image | None) -> None:
    assert folder.only("a.md", front("title: T", line)).image == image


def test_the_credit_is_kept_without_an_image(folder: Place) -> None:
    assert folder.only("a.md", front("credit: Ann")).credit == "Ann"


@pytest.mark.parametrize(
    ("line", "enclosures"),
    [
        ("audio: /a.mp3", [Enclosure("https://news.example/a.mp3", "audio/mpeg")]),
        ("enclosure: https://x.example/a.ogg 99 audio/ogg", [Enclosure("https://x.example/a.ogg", "audio/ogg", 99)]),
        (
            "enclosures: [{url: /a.pdf, size: '1,024'}, {url: /b, type: video/mp4}]",
            [
                Enclosure("https://news.example/a.pdf", "application/pdf", 1024),
                Enclosure("https://news.example/b", "video/mp4"),
            ],
        ),
        ("podcast: My show", []),
        ("enclosure: javascript:x.mp3", []),
    ],
)
def test_enclosures(folder: Place, line: str, enclosures: list[Enclosure]) -> None:
    assert list(folder.only("a.md", front("title: T", line)).enclosures) == enclosures


@pytest.mark.parametrize(
    ("lines", "license"),
    [
        ("license: https://license.example/x", "https://license.example/x"),
        ("Licence: CC BY-SA 4.0", "https://creativecommons.org/licenses/by-sa/4.0/"),
        ("license: CC BY\nlicense_url: /terms/", "https://news.example/terms/"),
        ("license: {name: Ours, url: https://license.example/ours}", "https://license.example/ours"),
        ("license: [{type: cc-by-4.0}]", "https://creativecommons.org/licenses/by/4.0/"),
        ("license: All rights reserved", UNSPECIFIED_LICENSE),
        ("license: false", UNSPECIFIED_LICENSE),
        ("license: true", None),
        ("license:", None),
    ],
)
def test_licenses(folder: Place, lines: str, license: str | None) -> None:  # noqa: A002 - the field's name
    """FR-A6, RFC 4946: an address or a name that has one; other words take back what the publication says."""
    assert folder.only("a.md", front("title: T", *lines.split("\n"))).license == license


@pytest.mark.parametrize("stated", ["htps://license.example/", "javascript://x", "https://", "/\\x"])
def test_a_license_that_is_no_address_is_refused_with_its_line(folder: Place, stated: str) -> None:
    """FR-A6: a slip must not put an article under the license of the publication."""
    reason = folder.refusal("a.md", front("title: T", "tags: [license]", f"license: '{stated}'"))
    assert reason.startswith(f"line 4: {stated!r} is no address of a license")


@pytest.mark.parametrize(
    ("lines", "discussion"),
    [
        ("discussion: https://forum.example/t/1", "https://forum.example/t/1"),
        ("comments_url: /forum/1", "https://news.example/forum/1"),
        ("comments: '#comments'\nurl: https://news.example/2020/a", "https://news.example/2020/a#comments"),
        ("comments: '#comments'", None),
        ("comments: true", None),
        ("comments: 3", None),
        ("comments: {enable: true}", None),
        ("comments: true\ndiscuss: {url: https://forum.example/2}", "https://forum.example/2"),
        ("comments: {host: m.example, username: Ann, id: 1094}", "https://m.example/@Ann/1094"),
        ("comments: {host: 'm.example/x?', username: Ann, id: 1}", None),
        ("discussion: javascript:alert(1)", None),
        ("replies: [https://a.example/1, https://b.example/2]", "https://a.example/1"),
    ],
)
def test_discussions(folder: Place, lines: str, discussion: str | None) -> None:
    """FR-A6, RFC 4685: the page where readers discuss an article, as static sites state it; a switch is no page."""
    assert folder.only("a.md", front("title: T", *lines.split("\n"))).discussion == discussion


def test_license_and_discussion_are_no_edit_of_the_text(folder: Place) -> None:
    """FR-X8: `updated` moves when readers have something new to read."""
    plain = folder.only("a.md", front("title: T"))
    stated = folder.only("a.md", front("title: T", "license: CC0", "discussion: https://forum.example/t/1"))
    assert (plain == stated, plain.content_hash == stated.content_hash) == (False, True)


@pytest.mark.parametrize(
    ("lines", "origin"),
    [
        pytest.param(
            "source: {title: The &  Courier, url: https://c.example/a, feed: https://c.example/feed.xml,\n"
            "  id: tag:c.example, updated: 2020-01-02 10:00:00 +0100}",
            Origin(
                "The & Courier",
                "https://c.example/a",
                "https://c.example/feed.xml",
                "tag:c.example",
                datetime(2020, 1, 2, 9, tzinfo=UTC),
            ),
        ),
        ("Origin: {name: Reuters, link: https://reuters.example}", Origin("Reuters", "https://reuters.example")),
        (
            "source: {feed_url: https://x.example/feed}",
            Origin("x.example", "https://x.example/feed", "https://x.example/feed"),
        ),
        ("syndicated_from: Reuters <https://reuters.example/>", Origin("Reuters", "https://reuters.example/")),
        ("source: https://reuters.example/a", Origin("reuters.example", "https://reuters.example/a")),
        ("source_url: https://r.example/\nsource_name: Reuters", Origin("Reuters", "https://r.example/")),
        ("source_url: https://r.example/\nsource: Reuters", Origin("Reuters", "https://r.example/")),
        ("source_url: https://github.example/edit/a.md", None),
        ("source: tg", None),
        ("source: {title: Reuters}", None),
        ("source: {title: Reuters, url: javascript:alert(1)}", None),
        ("source: {title: We, url: https://news.example/2020/a}", None),
        ("source: [https://a.example/, https://b.example/]", None),
        ("source: https://[", None),
    ],
)
def test_origins(folder: Place, lines: str, origin: Origin | None) -> None:
    """FR-R14, FR-A8: what Hugo and Jekyll users write of an article taken from elsewhere; our own site is nobody."""
    assert folder.only("a.md", front("title: T", *lines.split("\n"))).origin == origin


def test_the_date_of_an_origin_is_not_guessed(folder: Place) -> None:
    """A7."""
    folder.write(
        "a.md", front("title: T", "source: {title: Reuters, url: https://reuters.example/, updated: May 2017}")
    )
    (skipped,) = folder.collect().skipped
    assert skipped.reason.startswith("source.updated: ")


def test_another_origin_is_an_edit(folder: Place) -> None:
    """FR-X8: readers see it, so `updated` moves; an article without one keeps the hash it always had."""
    plain = folder.only("a.md", front("title: T"))
    taken = folder.only("a.md", front("title: T", "source: Reuters <https://reuters.example/>"))
    other = folder.only("a.md", front("title: T", "source: Reuters <https://reuters.example/2>"))
    assert len({plain.content_hash, taken.content_hash, other.content_hash}) == 3


@pytest.mark.parametrize(
    ("line", "url"),
    [
        ("permalink: /a/b.html", "https://news.example/a/b.html"),
        ("canonical_url: https://x.example/a", "https://x.example/a"),
        ("link: https://x.example/a", "https://x.example/a"),
        ("permalink: /:categories/:title/", None),
        ("permalink: '/{{ page.slug }}/'", None),
        ("permalink: false", None),
        ("permalink: pretty", None),
        ("url: javascript:alert(1)//x.y", None),
    ],
)
def test_addresses(folder: Place, line: str, url: str | None) -> None:
    assert folder.only("a.md", front("title: T", line)).url == url


@pytest.mark.parametrize(
    ("pattern", "path", "lines", "url"),
    [
        ("/{year}/{month}/{day}/{slug}/", "2017-05-02-A_b.md", [], "https://news.example/2017/05/02/a-b/"),
        ("/{language}/{name}", "x/Ёж.ru.md", [], "https://news.example/ru/%D0%81%D0%B6"),
        ("https://b.example/{path}/", "x/y/index.md", [], "https://b.example/x/y/"),
        ("/{path}/", "a.md", ["path: 2020/03/12/Rust-1.42"], "https://news.example/2020/03/12/Rust-1.42/"),
        ("/{slug}", "a.md", ["slug: Other One"], "https://news.example/other-one"),
        ("/{year}/{slug}", "a.md", [], None),
        ("/{slug}", "a.md", ["url: /stated"], "https://news.example/stated"),
    ],
)
def test_the_pattern_gives_an_address(
    folder: Place, pattern: str, path: str, lines: list[str], url: str | None
) -> None:
    folder.settings["url"] = pattern
    assert folder.only(path, front("title: T", *lines)).url == url


def test_jekylls_liquid_is_followed(folder: Place) -> None:
    folder.settings["url"] = "/news/{year}/{month}/{day}/{slug}/"
    text = front("title: T", text="[x]({% post_url 2017-03-02-y %}) [z]({{ site.url }}/z) {% raw %}{{ a }}{% endraw %}")
    draft = folder.only("a.md", text)
    assert draft.html.strip() == (
        '<p><a href="https://news.example/news/2017/03/02/y/">x</a> <a href="https://news.example/z">z</a> {{ a }}</p>'
    )


# Languages and translations.


@pytest.mark.parametrize(
    ("path", "line", "language"),
    [
        ("a.md", "lang: ru", "ru"),
        ("a.md", "language: ru_RU", "ru"),
        ("a.ru.md", "locale: be", "be"),
        ("a.md", "lang: he-IL", "he-IL"),
        ("a.md", "lang: Russian language", "en"),
        ("a.fr.md", "layout: x", "en"),
    ],
)
def test_the_language_is_stated_or_in_the_path(folder: Place, path: str, line: str, language: str) -> None:
    assert folder.only(path, front("title: T", line)).language == language


def test_files_that_differ_in_language_alone_are_translations(folder: Place) -> None:
    for path in (
        "a.en.md",
        "a.ru.md",
        "a.be.html",
        "en/b.md",
        "ru/b.md",
        "c.md",
        "c.ru.md",
        "d.ru.md",
        "e.ru.md",
        "e.be.md",
    ):
        folder.write(path, "Text.")
    found = {draft.key: draft.translation_of for draft in folder.collect().drafts if draft.translation_of}
    assert found == {
        "a.ru.md": "a.en.md",
        "a.be.html": "a.en.md",
        "ru/b.md": "en/b.md",
        "c.ru.md": "c.md",
        "e.be.md": "e.ru.md",
    }


def test_an_original_that_comes_later_is_linked(folder: Place) -> None:
    folder.write("a.ru.md", "Text.")
    assert [draft.translation_of for draft in folder.collect().drafts] == [None]
    folder.write("a.en.md", "Text.", age=60)
    found = {draft.key: draft.translation_of for draft in folder.collect().drafts}
    assert found == {"a.en.md": None, "a.ru.md": "a.en.md"}
    assert folder.collect().drafts == ()


def test_a_translation_key_links_across_folders(folder: Place) -> None:
    folder.write("x/a.md", front("translationKey: k"))
    folder.write("y/b.md", front("translationKey: k", "lang: ru"))
    first, second = folder.collect().drafts
    assert (first.aliases, first.translation_of) == (("translation:k",), None)
    assert (second.aliases, second.translation_of) == ((), "translation:k")


# Identity.


def test_a8_two_files_with_one_id_give_one_article_and_a_reason(folder: Place) -> None:
    """A8: deterministic, naming both; nothing published twice."""
    folder.write("b.md", front("title: B", "guid: x"))
    folder.write("a.md", front("title: A", "id: x"))
    collected = folder.collect()
    assert [draft.key for draft in collected.drafts] == ["a.md"]
    assert collected.skipped == (Skipped("b.md", "a.md has the id 'x' already; change one of the two files"),)
    again = folder.collect()
    assert (again.drafts, again.skipped) == ((), collected.skipped)


def test_a8_the_article_that_was_there_first_keeps_its_id(folder: Place) -> None:
    folder.write("b.md", front("title: B", "guid: x"))
    folder.collect()
    folder.write("a.md", front("title: A", "guid: x"), age=60)
    folder.write("b.md", front("title: B!", "guid: x"), age=60)
    collected = folder.collect()
    assert [draft.key for draft in collected.drafts] == ["b.md"]
    assert [skip.path for skip in collected.skipped] == ["a.md"]


def test_a8_the_second_file_comes_when_the_first_is_away(folder: Place) -> None:
    first = folder.write("a.md", front("title: A", "guid: x"))
    folder.write("b.md", front("title: B", "guid: x"))
    folder.collect()
    first.unlink()
    collected = folder.collect()
    assert ([draft.key for draft in collected.drafts], collected.gone) == (["b.md"], frozenset({"a.md"}))


@pytest.mark.parametrize(
    ("one", "two", "both"),
    [
        (("a.md", "slug: s"), ("x/b.md", "slug: s"), False),
        (("a.md", "slug: s"), ("a.ru.md", "slug: s"), True),
        (("2017-01-01-a.md", "slug: s"), ("2017-01-02-a.md", "slug: s"), True),
        (("a.md", "x: y"), ("a.html", "x: y"), False),
        (("a.md", "date: 2017-01-01"), ("2017-01-01-a.md", "x: y"), False),
        (("2020/summary.md", "x: y"), ("2021/summary.md", "x: y"), True),
    ],
)
def test_a8_the_same_slug_is_refused_where_one_would_replace_the_other(
    folder: Place, one: tuple[str, str], two: tuple[str, str], both: bool
) -> None:
    """A8: same slug, language and day; the same name in another folder, or on another day, is another article."""
    for path, line in (one, two):
        folder.write(path, front("title: T", line))
    collected = folder.collect()
    assert len(collected.drafts) == (2 if both else 1)
    assert len(collected.skipped) == (0 if both else 1)


def test_a9_a_moved_file_is_one_gone_and_one_new_with_the_same_content(folder: Place) -> None:
    """A9: by that ingest knows that it is the same article."""
    before = folder.only("a.md", front("title: T"))
    (folder.root / "a.md").rename(folder.root / "b.md")
    collected = folder.collect()
    (after,) = collected.drafts
    assert (after.key, after.content_hash, collected.gone) == ("b.md", before.content_hash, frozenset({"a.md"}))


def test_a_change_of_date_alone_is_told_but_is_no_change_of_content(folder: Place) -> None:
    before = folder.only("a.md", front("title: T", "date: 2020-01-01"))
    folder.write("a.md", front("title: T", "date: 2020-01-02"), age=60)
    (after,) = folder.collect().drafts
    assert after.published_at != before.published_at
    assert after.content_hash == before.content_hash


def test_an_empty_file_is_no_article_and_takes_none_back(folder: Place) -> None:
    """Somebody is about to write it, or a full disk cut it off."""
    folder.write("a.md", "Text.")
    folder.write("b.md", " \n")
    collected = folder.collect()
    assert [draft.key for draft in collected.drafts] == ["a.md"]
    assert collected.skipped == (Skipped("b.md", "the file is empty"),)
    folder.write("a.md", "", age=60)
    again = folder.collect()
    assert (again.drafts, again.gone) == ((), frozenset())
    assert [skip.path for skip in again.skipped] == ["a.md", "b.md"]


def test_a_file_that_defeats_a_parser_is_skipped(folder: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*_: Any) -> Any:
        raise RuntimeError("out of luck")

    folder.write("b.md", "Text.")
    monkeypatch.setattr(Documents, "_url", failing)
    assert folder.collect().skipped == (Skipped("b.md", "it cannot be understood (RuntimeError: out of luck)"),)


def test_a6_many_files_are_scanned_without_reading_them(folder: Place) -> None:
    for number in range(300):
        folder.write(f"{number % 7}/{number}.md", f"Text {number}.")
    assert folder.collect().present == 300
    os.utime(folder.root / "1/1.md", (1_700_000_000, 1_700_000_000))
    again = folder.collect()
    assert (again.present, again.drafts) == (300, ())


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(st.text(max_size=300), st.sampled_from(["a.md", "2017-05-22-b.html", "ru/index.md"]))
def test_any_text_is_a_whole_draft_or_refused(text: str, path: str) -> None:
    site = Site(title="News", url="https://news.example/", languages=("en", "ru"))
    source = FolderSource(kind="folder", name="news", path=Path("/nowhere"))
    documents = Documents(source, Config(site=site, sources=(source,)))
    try:
        result = documents.read(path, text)
    except ValueError:
        return
    if isinstance(result, Reading):
        assert result.draft.title.strip()
        assert result.draft.slug
        assert result.draft.categories


def test_two_files_in_one_language_are_not_translations_of_each_other() -> None:
    languages = Languages(("en", "ru"), "en", "")
    assert languages.originals(["a.html", "a.md", "a.ru.md"]) == {"a.ru.md": "a.html"}
