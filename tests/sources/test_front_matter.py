"""Front matter in its four forms, and the ways in which it may be hostile."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from publisher.sources.fields import Fields
from publisher.sources.front_matter import MAX_CHARACTERS, Document, divide, folded


def test_yaml_stands_between_fences() -> None:
    text = '---\ntitle: "A: b"\ntags: [x, y]\n---\nText\n---\nmore\n'
    assert divide(text) == Document({"title": "A: b", "tags": ["x", "y"]}, "Text\n---\nmore\n")


def test_yaml_values_stay_as_written() -> None:
    """YAML would lose the offset of a date, the zero of a version and the country of Norway."""
    lines = "date: 2013-05-06 02:12:52 +0200", "version: 1.10", "country: NO", "time: 12:30"
    nulls = "nothing: ~", "empty:", "quoted: '~'"
    assert divide("\n".join(("---", *lines, *nulls, "---"))).fields == {
        "date": "2013-05-06 02:12:52 +0200",
        "version": "1.10",
        "country": "NO",
        "time": "12:30",
        "nothing": None,
        "empty": None,
        "quoted": "~",
    }


def test_an_alias_repeats_a_value() -> None:
    text = "---\nauthor: &a {name: Ann}\nauthors: [*a, *a]\n---\n"
    assert divide(text).fields == {"author": {"name": "Ann"}, "authors": [{"name": "Ann"}, {"name": "Ann"}]}


@pytest.mark.parametrize(
    ("inside", "reason"),
    [
        (
            "a: !!python/object:os.x []",
            "line 2: the tag 'tag:yaml.org,2002:python/object:os.x' is not allowed",
        ),
        ("a: !own x", "line 2: the tag '!own' is not allowed"),
        ("a: &a [*a, *a]", "line 2: the alias *a stands inside what it repeats, or repeats nothing"),
        ("a: *b", "line 2: the alias *b stands inside what it repeats, or repeats nothing"),
        ("a: " + "[" * 30 + "]" * 30, "the YAML front matter is nested more than 20 deep"),
        ("a: [" + "1," * 6000 + "]", "the YAML front matter holds more than 5,000 values, aliases counted out"),
        ("- a\n- b", "the front matter is not a list of `name: value` lines"),
        ("just prose", "the front matter is not a list of `name: value` lines"),
        ("a: 1\nb: [", "line 4: the YAML front matter cannot be read: did not find expected node content"),
        ("a: 1\n b: 2", "line 3: the YAML front matter cannot be read: mapping values are not allowed in this context"),
        ("a: \x07", "the YAML front matter cannot be read: "),
        ("a: " + "x" * MAX_CHARACTERS, "the front matter has 65,540 characters; at most 65,536"),
    ],
)
def test_a1_hostile_or_broken_yaml_is_refused(inside: str, reason: str) -> None:
    """A1: nothing is constructed, nothing is expanded without end."""
    with pytest.raises(ValueError) as error:  # noqa: PT011 - the whole text is compared
        divide(f"---\n{inside}\n---\n")
    assert str(error.value).startswith(reason)


def test_a1_a_billion_laughs_is_refused_at_once() -> None:
    lines = ["a0: &a0 [x,x,x,x,x,x,x,x,x]"] + [f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 10)]
    with pytest.raises(ValueError, match=r"more than 5,000 values"):
        divide("---\n" + "\n".join(lines) + "\n---\n")


def test_toml_stands_between_plus_fences() -> None:
    text = '+++\ntitle = "A"\ndate = 2020-03-12T10:00:00Z\nday = 2020-03-12\n[extra]\nx = 1\n+++\nText\n'
    assert divide(text) == Document(
        {"title": "A", "date": datetime(2020, 3, 12, 10, tzinfo=UTC), "day": date(2020, 3, 12), "extra": {"x": 1}},
        "Text\n",
    )


@pytest.mark.parametrize("inside", ["a = ", "a = 2017-02-30", "a = 1\na = 2", "a = " + "[" * 3000])
def test_broken_toml_is_refused(inside: str) -> None:
    with pytest.raises(ValueError, match=r"TOML front matter"):
        divide(f"+++\n{inside}\n+++\n")


@pytest.mark.parametrize("fence", ["---", "+++"])
def test_front_matter_never_closed_is_refused(fence: str) -> None:
    with pytest.raises(ValueError, match=r"line 1: the front matter opened by .* is never closed"):
        divide(f"{fence}\ntitle: x\n\nText\n")


def test_empty_front_matter_is_none() -> None:
    assert divide("---\n---\nText") == Document({}, "Text")


def test_pelicans_header_lines_end_at_a_blank_line() -> None:
    text = "Title: A: b\nDate: 2020-01-02\nTags: x, y\nSummary: One\n    and two\n\nText: no field\n"
    assert divide(text) == Document(
        {"Title": "A: b", "Date": "2020-01-02", "Tags": "x, y", "Summary": "One and two"}, "\nText: no field\n"
    )


@pytest.mark.parametrize(
    "text", ["Note: this is prose.\n\nMore.\n", "Title: x\nand prose\n", "Prose\nTitle: x\n", "", "\n"]
)
def test_prose_is_not_taken_for_header_lines(text: str) -> None:
    assert divide(text) == Document({}, text)


def test_an_html_page_gives_the_fields_of_its_head() -> None:
    text = (
        '<!DOCTYPE html><html lang="ru"><head><title>A &amp; B</title><meta name="Date" content="2020-01-02">'
        '<meta property="article:modified_time" content="2020-01-03"><meta charset="utf-8"></head>'
        "<body class=x><p>Text</p></body></html>"
    )
    assert divide(text, html=True) == Document(
        {"lang": "ru", "title": "A &amp; B", "Date": "2020-01-02", "modified": "2020-01-03"}, "<p>Text</p>"
    )


def test_an_html_fragment_is_all_text() -> None:
    assert divide("<p>Text</p>", html=True) == Document({}, "<p>Text</p>")


@pytest.mark.parametrize("name", ["lastmod", "Last_Mod", "last-mod", "LAST MOD"])
def test_names_of_fields_are_folded(name: str) -> None:
    assert folded(name) == "lastmod"


documents = st.one_of(
    st.text(),
    st.text(alphabet="-+: \n[]{}&*!<>ab'\"#|0123", max_size=200),
    st.builds(
        "---\n{}\n---\n{}".format, st.text(alphabet="- :\n[]{}&*!ab'\"#|,?%@~", max_size=80), st.text(max_size=20)
    ),
    st.builds("+++\n{}\n+++\n{}".format, st.text(alphabet="=\n[]{}ab'\"#.,0-:T", max_size=80), st.text(max_size=20)),
    st.builds("<html><head><title>{}</title><meta {}>".format, st.text(max_size=30), st.text(max_size=30)),
)


@given(documents, st.booleans())
@example("---\n? [a]\n: b\n---\n", False)
@example("---\n%YAML 1.1\n---\na: b\n---\n", False)
@example("<!DOCTYPE html><![if><html>", True)
def test_any_text_is_divided_or_refused(text: str, html: bool) -> None:
    """Never another exception, never text invented; what was read can be asked for anything."""
    try:
        document = divide(text, html=html)
    except ValueError:
        return
    assert document.body in text
    _ask(document.fields)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.dates() | st.datetimes(),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["url", "name", "alt", "x"]), inner, max_size=3)
    ),
    max_leaves=6,
)
NAMES = (
    "title",
    "date",
    "tags",
    "category",
    "authors",
    "author",
    "image",
    "images",
    "cover",
    "enclosure",
    "audio",
    "url",
)
names = st.sampled_from((*NAMES, "status", "draft", "published", "taxonomies"))


@given(st.dictionaries(names, values, max_size=6))
def test_fields_of_any_form_are_read_without_a_failure(fields: dict[str, Any]) -> None:
    _ask(fields)


def _ask(written: Any) -> None:
    fields = Fields(written)
    fields.unpublished()
    assert all(name for name in fields.names(lambda _: False))
    assert all(author.name for author in fields.authors())
    fields.image("https://news.example/")
    fields.address("https://news.example/")
    fields.list("related")
    assert all(enclosure.url.startswith("http") for enclosure in fields.enclosures("https://news.example/"))
