"""Saved pages: their grammar, and articles that several pages hold."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from publisher.config import PageLabels
from publisher.model import Status
from publisher.sources.page_text import Labels, Page, PageArticle, parse

from .conftest import Place

MINSK = ZoneInfo("Europe/Minsk")

SAVED = """header -->

River port asks for new guarantees

Category status:
May 22, 2017 13:45
Фото: rivers.example

The port asks for guarantees, being caught between
two “sides” & a dredger.

A second paragraph.

Similar articles

River port opens to summer visitors
October 02, 2017 11:49
Image: Harbour.example

Visitors come.

They stay.

Recent trends

Footer, Photo: nobody
May 1, 2020
"""

PORT = PageArticle(
    "River port asks for new guarantees",
    datetime(2017, 5, 22, 10, 45, tzinfo=UTC),
    "",
    "rivers.example",
    ("The port asks for guarantees, being caught between two “sides” & a dredger.", "A second paragraph."),
)
VISITORS = PageArticle(
    "River port opens to summer visitors",
    datetime(2017, 10, 2, 8, 49, tzinfo=UTC),
    "",
    "Harbour.example",
    ("Visitors come.", "They stay."),
)


def read(text: str, **labels: Any) -> Page:
    return parse(text, MINSK, Labels(PageLabels(**labels)))


def page(title: str = "Own", date: str = "22 May 2017", text: str = "Text.", *similar: str) -> str:
    others = "".join(f"\nSimilar articles\n\n{other}" for other in similar)
    return f"{title}\n{date}\n\n{text}\n{others}\nRecent trends\n"


def short(title: str, text: str = "Short.", date: str = "1 June 2017") -> str:
    return f"{title}\n{date}\n\n{text}\n"


def test_a_saved_page_holds_its_article_and_the_similar_one() -> None:
    """Every paragraph whole, no footer, no label text."""
    assert read(SAVED) == Page(PORT, (VISITORS,))


@pytest.mark.parametrize(
    "head",
    [
        "Title\n\nCategory status: The situation got worse\nMay 22, 2017 13:45\nPhoto: Ann\n",
        "Title\nCategory status:\nThe situation got worse\n\nMay 22, 2017 13:45\n\nPhoto: Ann\n\n",
        "debris\n\nmore\n\n\nTitle\n\n\ncategory  STATUS :  The situation got worse\nMay 22, 2017 13:45\nphoto:Ann\n",
        "Title\nСтатус категории: The situation got worse\n22 мая 2017 г., 13:45\nФото: Ann\n",
        "Title\nСтатус катэгорыі:\nThe situation got worse\n22 траўня 2017 13:45\nФота: Ann\n",
        "1 May 2001\n\nTitle\nCategory status: The situation got worse\nMay 22, 2017 13:45\nImage: Ann\n",
    ],
)
def test_the_head_has_several_forms(head: str) -> None:
    own = read(f"{head}\nOne\n\nTwo\n").own
    assert own == PageArticle("Title", PORT.published_at, "The situation got worse", "Ann", ("One", "Two"))


def test_status_and_credit_may_be_missing() -> None:
    assert read("Title\n2017-05-22 13:45\n\nOne\n").own == PageArticle("Title", PORT.published_at, "", "", ("One",))


def test_several_similar_articles_may_follow_each_other() -> None:
    text = page("Own", "22 May 2017", "Text.", short("A") + "\n" + short("B") + "\nMore of B\n", short("C"))
    assert [(item.title, item.paragraphs) for item in read(text).similar] == [
        ("A", ("Short.",)),
        ("B", ("Short.", "More of B")),
        ("C", ("Short.",)),
    ]


def test_a_date_within_the_text_of_an_article_starts_nothing() -> None:
    text = page("Own", "22 May 2017", "It happened on\n22 May 2016\n\nand\n\n22 May 2015\n\nagain.")
    assert read(text).own.paragraphs == ("It happened on 22 May 2016", "and", "22 May 2015", "again.")


def test_a_label_inside_a_sentence_is_text() -> None:
    text = page("Own", "22 May 2017", "Recent trends show this.\n\nSimilar articles were sold.\n\nPhoto: is a word.")
    assert len(read(text).own.paragraphs) == 3


def test_label_words_are_added_by_configuration() -> None:
    text = "T\nStand der Dinge: gut\n2017-05-22\nBild: Ann\n\nOne\n\nÄhnliches\nU\n2017-05-23\n\nTwo\n\nEnde\nx\n"
    found = read(text, status=("Stand der Dinge:",), credit=("Bild",), similar=("Ähnliches",), end=("Ende",))
    assert (found.own.status, found.own.credit, found.own.paragraphs) == ("gut", "Ann", ("One",))
    assert [(item.title, item.paragraphs) for item in found.similar] == [("U", ("Two",))]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "line 1: no status label and no date line follows, so that no title can be told"),
        ("\nonly prose\n\nmore\n", "line 2: no status label and no date line follows, so that no title can be told"),
        ("Category status:\n22 May 2017\n\nText\n", "line 1: no title stands above 'Category status:'"),
        ("22 May 2017\n\nText\n", "line 1: no title stands above '22 May 2017'"),
        ("Title\nCategory status:\n", "line 2: no date line follows the status label"),
        ("Title\nCategory status: better\n", "line 2: no date line follows the status label"),
        ("Title\nCategory status:\nbetter\n", "line 3: no date line follows the status 'better'"),
        ("Title\nCategory status:\nbetter\nprose\n", "line 4: the date line of 'Title' cannot be used: "),
        ("Title\nFebruary 30, 2017 10:00\n\nText\n", "line 2: the date line of 'Title' cannot be used: "),
        ("Title\nMay 2017\n\nText\n", "line 2: the date line of 'Title' cannot be used: "),
        ("Title\n22 May 2017\nPhoto: Ann\n\n", "line 1: the article 'Title' has no paragraphs"),
        ("Title\n22 May 2017\n\nRecent trends\nText\n", "line 1: the article 'Title' has no paragraphs"),
        (
            page("T", "22 May 2017", "Text", "Other\n30 February 2017\n\nText\n"),
            "line 9: the date line of 'Other' cannot be used: ",
        ),
        (
            page("T", "22 May 2017", "Text", short("A") + "\nB\n30 February 2017\n\nx\n"),
            "line 14: the date line of 'B' cannot be used: ",
        ),
        (page("T", "22 May 2017", "Text", "Other\nprose\n"), "line 9: the date line of 'Other' cannot be used: "),
        (
            page("T", "22 May 2017", "Text", "Other\n23 May 2017\n"),
            "line 8: the similar article 'Other' has no paragraphs",
        ),
    ],
)
def test_a_page_whose_parts_cannot_be_told_is_refused_with_the_line(text: str, reason: str) -> None:
    """A7: a partial or impossible date is refused, never guessed."""
    with pytest.raises(ValueError) as error:  # noqa: PT011 - the text is compared
        read(text)
    assert str(error.value).startswith(reason)


lines = st.lists(
    st.sampled_from(
        [
            "",
            "",
            "Title",
            "Category status:",
            "Category status: worse",
            "May 22, 2017 13:45",
            "May 2017",
            "Photo: Ann",
            "prose " * 20,
        ]
    )
    | st.sampled_from(["Similar articles", "Recent trends", "30 February 2017", "header -->"])
    | st.text(max_size=30),
    max_size=25,
)


@given(lines.map("\n".join))
@example(SAVED)
def test_any_text_is_a_page_or_refused(text: str) -> None:
    """Never another exception; what a page gives was written in it, and labels are no text."""
    try:
        found = read(text)
    except ValueError:
        return
    for article in (found.own, *found.similar):
        assert article.title
        assert article.paragraphs
        assert all(paragraph.strip() for paragraph in article.paragraphs)
        assert not {"Similar articles", "Recent trends"} & set(article.paragraphs)


# The source.


def test_a_page_gives_its_articles_with_credit_status_and_relation(pages: Place) -> None:
    pages.write("port.txt", SAVED.replace("Category status:", "Category status: The situation improved"))
    port, visitors = pages.collect().drafts
    assert (port.key, port.aliases) == ("2017-05-22/river-port-asks-for-new-guarantees", ("port.txt",))
    assert (visitors.key, visitors.aliases) == ("2017-10-02/river-port-opens-to-summer-visitors", ())
    assert (port.credit, visitors.credit) == ("rivers.example", "Harbour.example")
    assert (port.status, visitors.status) == (Status.IMPROVED, None)
    assert (port.related, visitors.related) == ((visitors.key,), ())
    assert port.html == (
        "<p>The port asks for guarantees, being caught between two “sides” &amp; a dredger.</p>\n"
        "<p>A second paragraph.</p>"
    )


def test_configured_phrases_state_a_status(pages: Place) -> None:
    pages.settings["statuses"] = {"worsened": ("Gloomy",)}
    assert pages.only("a.txt", "T\nCategory status: gloomy\n22 May 2017\n\nText\n").status is Status.WORSENED


def test_an_unknown_status_phrase_is_no_status(pages: Place) -> None:
    assert pages.only("a.txt", "T\nCategory status: who knows\n22 May 2017\n\nText\n").status is None


def test_an_article_on_its_own_page_and_under_another_is_one_article(pages: Place) -> None:
    """The text of its own page wins, whichever file comes first."""
    pages.write("a.txt", page("First", "22 May 2017", "Text.", short("Second", "Shortened.")))
    pages.write("b.txt", page("Second", "1 June 2017", "Whole text.", short("Third", date="2 June 2017")))
    collected = pages.collect()
    assert collected.present == 3
    assert [(draft.title, draft.html, draft.aliases) for draft in collected.drafts] == [
        ("First", "<p>Text.</p>", ("a.txt",)),
        ("Second", "<p>Whole text.</p>", ("b.txt",)),
        ("Third", "<p>Short.</p>", ()),
    ]
    assert [draft.related for draft in collected.drafts] == [("2017-06-01/second",), ("2017-06-02/third",), ()]


def test_a_page_saved_twice_is_one_article_with_the_text_of_the_first_path(pages: Place) -> None:
    pages.write("b.txt", page("First", "22 May 2017", "Text of b."))
    pages.write("a.txt", page("First", "22 May 2017", "Text of a."))
    (draft,) = pages.collect().drafts
    assert (draft.html, draft.aliases) == ("<p>Text of a.</p>", ("a.txt", "b.txt"))


def test_the_own_page_of_a_known_article_may_come_later(pages: Place) -> None:
    pages.write("a.txt", page("First", "22 May 2017", "Text.", short("Second", "Shortened.")))
    pages.collect()
    pages.write("b.txt", page("Second", "1 June 2017", "Whole text."), age=60)
    (draft,) = pages.collect().drafts
    assert (draft.key, draft.aliases, draft.html) == ("2017-06-01/second", ("b.txt",), "<p>Whole text.</p>")


def test_when_the_own_page_goes_the_other_pages_text_remains(pages: Place) -> None:
    pages.write("a.txt", page("First", "22 May 2017", "Text.", short("Second", "Shortened.")))
    own = pages.write("b.txt", page("Second", "1 June 2017", "Whole text."))
    pages.collect()
    own.unlink()
    collected = pages.collect()
    assert collected.gone == {"b.txt"}
    assert [(draft.key, draft.aliases, draft.html) for draft in collected.drafts] == [
        ("2017-06-01/second", (), "<p>Shortened.</p>")
    ]


def test_a_changed_page_does_not_touch_an_article_whose_own_page_is_unchanged(pages: Place) -> None:
    pages.write("a.txt", page("First", "22 May 2017", "Text.", short("Second", "Shortened.")))
    pages.write("b.txt", page("Second", "1 June 2017", "Whole text."))
    pages.collect()
    pages.write("a.txt", page("First", "22 May 2017", "Text!", short("Second", "Shortened otherwise.")), age=60)
    assert [draft.title for draft in pages.collect().drafts] == ["First"]


def test_a_broken_own_page_leaves_its_article_as_it_was(pages: Place) -> None:
    pages.write("a.txt", page("First", "22 May 2017", "Text.", short("Second", "Shortened.")))
    pages.write("b.txt", page("Second", "1 June 2017", "Whole text."))
    pages.collect()
    pages.write("b.txt", "broken", age=60)
    pages.write("a.txt", page("First", "22 May 2017", "Text!", short("Second", "Shortened!")), age=60)
    collected = pages.collect()
    assert [draft.title for draft in collected.drafts] == ["First"]
    assert (collected.gone, collected.present) == (frozenset(), 2)


def test_a_corrected_title_keeps_the_page_as_alias_and_withdraws_nothing(pages: Place) -> None:
    """The file is still the same page: its alias leads ingest to the article."""
    pages.write("a.txt", page("Frist"))
    pages.collect()
    pages.write("a.txt", page("First"), age=60)
    collected = pages.collect()
    assert [(draft.key, draft.aliases) for draft in collected.drafts] == [("2017-05-22/first", ("a.txt",))]
    assert collected.gone == frozenset()
    assert pages.collect().gone == frozenset()


def test_long_titles_that_differ_at_the_end_are_different_articles(pages: Place) -> None:
    start = "A title that is much longer than any address needs to be, for it goes on and on"
    pages.write("a.txt", page(f"{start} about one"))
    pages.write("b.txt", page(f"{start} about two"))
    assert len({draft.key for draft in pages.collect().drafts}) == 2


def test_a_title_without_latin_letters_has_a_key(pages: Place) -> None:
    draft = pages.only("a.txt", page("שלום עולם"))
    assert draft.key.startswith("2017-05-22/")
    assert len(draft.key) == len("2017-05-22/") + 10
    assert draft.slug


def test_markup_in_a_page_is_text(pages: Place) -> None:
    draft = pages.only("a.txt", page("A <b>title</b>", "22 May 2017", "<script>alert(1)</script> & more"))
    assert draft.html == "<p>&lt;script&gt;alert(1)&lt;/script&gt; &amp; more</p>"
    assert draft.title == "A <b>title</b>"


def test_the_address_may_use_the_name_of_the_own_page_only(pages: Place) -> None:
    pages.settings["url"] = "/{path}/{name}/"
    pages.write("x/a.txt", page("First", "22 May 2017", "Text.", short("Second")))
    found = {draft.title: draft.url for draft in pages.collect().drafts}
    assert found == {"First": "https://news.example/x/a/a/", "Second": None}


def test_a_refusal_names_file_and_line(pages: Place) -> None:
    reason = pages.refusal("x/a.txt", "Title\n30 February 2017\n\nText\n")
    assert reason.startswith("line 2: the date line of 'Title' cannot be used: ")
