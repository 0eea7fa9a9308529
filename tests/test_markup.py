"""HTML and Markdown from strangers: what comes out is harmless, absolute, and still says what it said."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import nh3
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from publisher.markup.commonmark import markdown
from publisher.markup.depth import depths
from publisher.markup.html import sanitise, title_text
from publisher.markup.readable import plain
from publisher.markup.urls import absolute

BASE = "https://example.org/news/article.html"


class Elements(HTMLParser):
    """Every element with its attributes, as a parser that is not the sanitiser's own sees them."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.comments = 0
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_comment(self, data: str) -> None:
        self.comments += 1


@pytest.mark.parametrize(
    ("markup", "expected"),
    [
        ("AT&amp;T", "AT&T"),
        ("AT&T", "AT&T"),
        ("AT&amp;amp;T", "AT&amp;T"),
        ("1 < 2", "1 < 2"),
        ("1 &lt; 2", "1 < 2"),
        ("How to use &lt;b&gt;", "How to use <b>"),
        ("<b>Bold</b> &mdash; <i class='x'>it</i>", "Bold — it"),
        ("std::vector<int> explained", "std::vector<int> explained"),
        ("One<br/>two\nthree", "One two three"),
        ("<script>alert(1)</script>Safe", "Safe"),
        ("Safe<!-- not seen -->", "Safe"),
        ("?a=1&copy=2 &notanentity; &#0; &#8217;", "?a=1&copy=2 &notanentity; \ufffd ’"),
        ("a&#13;&#10;Bcc: x@example.org&#x202e;", "a Bcc: x@example.org"),
        ("", ""),
    ],
)
def test_titles_are_plain_text_decoded_once(markup: str, expected: str) -> None:
    """FR-X12, B33."""
    assert title_text(markup) == expected


@given(st.text())
def test_a_title_without_markup_stays_as_it_is(text: str) -> None:
    words = " ".join(re.findall(r"[a-zа-я0-9]+", text.lower()))
    assert title_text(words) == words


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("/a.png", "https://example.org/a.png"),
        ("a.png", "https://example.org/news/a.png"),
        ("../a.png?x=1&y=2#z", "https://example.org/a.png?x=1&y=2#z"),
        ("//cdn.example.net/a.png", "https://cdn.example.net/a.png"),
        ("?page=2", "https://example.org/news/article.html?page=2"),
        ("#note", "https://example.org/news/article.html#note"),
        ("HTTP://Example.net/A", "HTTP://Example.net/A"),
        (" https://example.net/ ", "https://example.net/"),
        ("https://ru.wikipedia.org/wiki/Минск", "https://ru.wikipedia.org/wiki/%D0%9C%D0%B8%D0%BD%D1%81%D0%BA"),
        ("my photo.jpg", "https://example.org/news/my%20photo.jpg"),
        ("/a%20b", "https://example.org/a%20b"),
        ("https://пример.рф/x", "https://пример.рф/x"),
        ("javascript:alert(1)", None),
        ("JaVaScRiPt:alert(1)", None),
        ("java\tscript:alert(1)", None),
        ("\x01javascript:alert(1)", None),
        ("\x01https://example.net/", "https://example.net/"),
        ("https://exam\tple.net/\n", "https://example.net/"),
        ("vbscript:x", None),
        ("data:text/html,<script>", None),
        ("file:///etc/passwd", None),
        ("ftp://example.net/", None),
        ("mailto:a@example.org", None),
        ("\\\\evil.example", None),
        ("http:\\\\evil.example", None),
        ("https:evil", None),
        ("https://", None),
        ("https://[::1", None),
        ("https://example.net:port/", None),
        ("#", None),
        ("", None),
    ],
)
def test_an_address_becomes_absolute_or_nothing(value: str, expected: str | None) -> None:
    """FR-X10, B24, B27."""
    assert absolute(value, BASE) == expected


def test_without_a_base_only_absolute_addresses_stay() -> None:
    assert absolute("/a.png", None) is None
    assert absolute("//example.net/a.png", None) is None
    assert absolute("https://example.net/a.png", None) == "https://example.net/a.png"


def test_a_fragment_means_nothing_below_a_home_page() -> None:
    assert absolute("#note", "https://example.org/") is None


@given(st.text(), st.one_of(st.none(), st.just(BASE)))
def test_any_address_is_http_or_nothing(value: str, base: str | None) -> None:
    """B24: no input raises, none brings another scheme."""
    address = absolute(value, base)
    assert address is None or re.match(r"https?://[^/?#\s]+", address, re.IGNORECASE)
    assert address is None or not re.search(r"[\s\"<>`]", address)


@pytest.mark.parametrize(
    ("html", "expected"),
    [
        ('<a href="/x">a</a>', '<a href="https://example.org/x">a</a>'),
        ('<a href="mailto:a@example.org">a</a>', '<a href="mailto:a@example.org">a</a>'),
        ('<img src="p.png" alt="P">', '<img src="https://example.org/news/p.png" alt="P">'),
        (
            '<img src="/p.png" srcset="/p.png 1x, //cdn.example.net/q,w.png 2x,javascript:x 3x, r.png">',
            (
                '<img src="https://example.org/p.png" srcset="https://example.org/p.png 1x, '
                'https://cdn.example.net/q,w.png 2x, https://example.org/news/r.png">'
            ),
        ),
        (
            '<picture><source srcset="a.webp 320w, b.webp 640w" type="image/webp"><img src="a.png"></picture>',
            (
                '<picture><source srcset="https://example.org/news/a.webp 320w, https://example.org/news/b.webp 640w" '
                'type="image/webp"><img src="https://example.org/news/a.png"></picture>'
            ),
        ),
        (
            '<video poster="p.png" src="v.mp4" controls></video>',
            '<video poster="https://example.org/news/p.png" src="https://example.org/news/v.mp4" controls=""></video>',
        ),
        ('<blockquote cite="/c">x</blockquote>', '<blockquote cite="https://example.org/c">x</blockquote>'),
        ('<q cite="javascript:x">x</q><del cite="/d">y</del>', '<q>x</q><del cite="https://example.org/d">y</del>'),
        ('<object data="/o">x</object><form action="/f">y<button>z</button></form>', "y"),
    ],
)
def test_every_kind_of_address_in_html_becomes_absolute(html: str, expected: str) -> None:
    """FR-X10: href, src, srcset, poster, cite, `<source>`; data and action go with their elements."""
    assert sanitise(html, BASE) == expected


def test_without_a_base_relative_links_become_text_and_relative_images_go() -> None:
    assert sanitise('<a href="/x">a</a><img src="/p.png"><img src="https://e.org/p.png">', None) == (
        '<a>a</a><img src="https://e.org/p.png">'
    )


@pytest.mark.parametrize(
    ("html", "expected"),
    [
        ("<script>alert(1)</script>x", "x"),
        ("<style>p{position:fixed}</style>x", "x"),
        ('<p style="position:fixed" onclick="x()" class="c" id="i" data-x="1">x</p>', "<p>x</p>"),
        ('<base href="//evil.example"><meta http-equiv=refresh content=0><link rel=stylesheet href=x>y', "y"),
        ('<iframe srcdoc="<script>x</script>">in</iframe>out', "out"),
        ("<noscript><img src=/p.png></noscript><template>t</template>x", "x"),
        ('<a href="javascript:x">a</a><a href="\\\\evil">b</a>', "<a>a</a><a>b</a>"),
        ("a<!-- comment -->b", "ab"),
        ('<p dir="RTL" lang="he" title="T">x</p><p dir="evil">y</p>', '<p dir="rtl" lang="he" title="T">x</p><p>y</p>'),
        (
            '<code class="language-c++ x">y</code><code class="z">y</code>',
            '<code class="language-c++">y</code><code>y</code>',
        ),
        ("a\x00b\x0b\ud800c", "abc"),
        ("<b><i>mis</b>nested</i>", "<b><i>mis</i></b><i>nested</i>"),
        ("<p>open", "<p>open</p>"),
        ("1 < 2 & 3", "1 &lt; 2 &amp; 3"),
        ("<p></p>\n", "<p></p>"),
    ],
)
def test_what_could_harm_a_reader_goes_and_the_text_stays(html: str, expected: str) -> None:
    """FR-X11, B23, B24, B25."""
    assert sanitise(html, BASE) == expected


@pytest.mark.parametrize(
    "image",
    [
        '<img src="https://t.example/p.gif" width="1" height="1">',
        "<img src=https://t.example/p.gif width=0 height=0>",
        '<img src="https://t.example/p.gif" height="1px" width="1px">',
        '<img src="https://t.example/p.gif" style="width:1px; height:1px">',
        '<img src="https://t.example/p.gif" style="border:0;display : none">',
        '<img src="https://t.example/p.gif" hidden>',
        '<img alt="refused" src="data:image/gif;base64,R0lGOD">',
        "<img>",
    ],
)
def test_images_nobody_can_see_go(image: str) -> None:
    """B26: tracking pixels, also when they hide behind a style."""
    assert sanitise(f"a{image}b", BASE) == "ab"


def test_images_to_be_seen_stay_without_their_style() -> None:
    """B26."""
    html = '<img src="/p.png" width="100%" height="10.5px" style="max-width:100%;height:auto" alt="a > b">'
    assert sanitise(html, BASE) == '<img src="https://example.org/p.png" alt="a &gt; b" height="10">'


@pytest.mark.parametrize(
    ("html", "expected"),
    [
        ("<p>a</p><svg><path d=M0>tail text<p>b</p>", "<p>a</p>tail text<p>b</p>"),
        ("<p>a</p><SVG viewBox='0 0 1 1'><title>logo</title></SVG><p>b</p>", "<p>a</p><p>b</p>"),
        ("<svg></svg>x<svg>rest of it", "xrest of it"),
        ("<math><mi>x</mi>text", "xtext"),
        ("<svg><style><img src=x onerror=alert(1)></style></svg>y", "y"),
        ("<math><mtext><table><mglyph><style><img src=x onerror=alert(1)>", "<table></table>"),
        ("<sv<svg></svg>g><script>x</script>y", "y"),
        ("List<text> of <mi> and <path d='M0'/> or <metadata>", "List of  and  or"),
    ],
)
def test_an_unclosed_drawing_does_not_swallow_the_text_behind_it(html: str, expected: str) -> None:
    """B25, spec mail §3.2."""
    assert sanitise(html, BASE) == expected


@pytest.mark.parametrize(
    ("html", "expected"),
    [
        ("<div>" * 100_000 + "text", "<p>text</p>"),
        (
            "<b>" * 50_000 + "<p>one</p>" + "</b>" * 50_000 + "<p>two &amp; three</p>",
            "<p>one</p><p>two &amp; three</p>",
        ),
        ("".join(f"<font color=c{n}>" for n in range(300)) + "<p>x" * 10_000, "<p>x</p>" * 10_000),
        ("<b><table><td></b></table>" * 5_000 + "end", "<p>end</p>"),
        ("<li><dd>" * 5_000 + "end", "<p>- end</p>"),
        ("<b><li></b><b><dd></b>" * 5_000 + "end", "<p>- end</p>"),
        ("<ul><li>x" * 20_000, "<p>" + "\n".join("  " * min(n, 6) + "- x" for n in range(20_000)) + "</p>"),
        ("<b title='</b' >" * 5_000 + "end", "<p>end</p>"),
        ("<b><!--</b>-->" * 5_000 + "end", "<p>end</p>"),
        ("<b><style></b></style>" * 5_000 + "end", "<p>end</p>"),
        ("<b><textarea></b></textarea>" * 5_000 + "end", "<p>end</p>"),
        ("<<g></g>b>" * 5_000 + "end", "<p>end</p>"),
        ("<b></b x=<b>" * 5_000 + "end", "<p>end</p>"),
    ],
)
def test_bottomless_html_becomes_its_text(html: str, expected: str) -> None:
    """B6: tricks that hide levels from a simple count are counted too. Without the guard the first takes 20 s."""
    assert sanitise(html, BASE) == expected


NESTABLE = "a b span p div ul li dl dt dd table tr td tbody h1 section"
tags = st.sampled_from([f"<{slash}{name}>" for name in NESTABLE.split() for slash in ("", "/")])


@settings(max_examples=150)
@given(st.lists(st.sampled_from(["<!--", "-->", "<b x='", "'>", "<style>", "</style>", "text"]) | tags, max_size=8))
def test_no_sequence_of_tags_hides_its_depth(sequence: list[str]) -> None:
    """B6: repeated, it is not more than four times as deep as we count: a table also gets a body, a row and a cell."""
    html = "".join(sequence) * 40
    opened = depth = 0
    for slash in re.findall(r"<(/?)", nh3.clean(html, tags=set(NESTABLE.split()), clean_content_tags=set())):
        opened += -1 if slash else 1
        depth = max(depth, opened)
    assert depth <= 4 * max(depths(html), default=0) + 4


@pytest.mark.parametrize(
    "html",
    [
        "<p>one</p>" * 20_000,
        "<ul>" + "<li>item" * 20_000 + "</ul>",
        "<table>" + "<tr><td><b>a</b><td>c" * 5_000 + "</table>",
        "<div><p><a href='https://e.org/?a>b'>x</a><br><img src='/p.png'></p></div>" * 5_000,
        "<style>p{color:red}</style><!-- note --><section><p>text</section>" * 3_000,
    ],
)
def test_long_html_of_ordinary_depth_keeps_its_elements(html: str) -> None:
    """B6: the guard counts levels, not length."""
    assert sanitise(html, BASE).count("<") > 10_000


PIECES = """<script> </script> <style> </style> <svg> </svg> <math> <mtext> <a <img <p> </p> <b> </b> <table> <td>
    <select> <template> <noscript> <iframe> <form> <![CDATA[ ]]> <!-- --> <title> <textarea> <plaintext> <base <meta
    <foreignObject> <mglyph> </math> <li> <ul> href= src= srcset= style= onerror= poster= javascript:x data:x //e.org/x
    /p.png 1x, " ' > &lt; &quot; &#0; ="a" текст"""
dangerous = st.lists(
    st.sampled_from([*PIECES.split(), " ", "\x00", "\u202e", "\ud800"]) | st.text(max_size=8),
    max_size=40,
).map("".join)

ALLOWED_ATTRIBUTES = re.compile(
    "align|alt|cite|class|colspan|controls|datetime|dir|headers|height|href|hreflang|kind|label|lang|media|open|poster"
    "|reversed|rowspan|scope|sizes|span|src|srclang|srcset|start|title|type|value|width"
)


@settings(max_examples=200)
@given(dangerous, st.sampled_from([BASE, None]))
def test_whatever_comes_in_nothing_dangerous_comes_out(html: str, base: str | None) -> None:
    """FR-X10, FR-X11, B23–B26: judged by another parser; and what is clean stays as it is."""
    result = sanitise(html, base)
    elements = Elements(result)
    assert elements.comments == 0
    for tag, attributes in elements.found:
        assert not re.fullmatch("script|style|svg|math|iframe|object|embed|form|input|base|meta|link|template", tag)
        for name, value in attributes.items():
            assert ALLOWED_ATTRIBUTES.fullmatch(name)
            if name in ("href", "src", "poster", "cite"):
                assert re.match(r"https?://|mailto:", value or "", re.IGNORECASE)
            if name == "srcset":
                assert all(re.match(r"https?://", part, re.IGNORECASE) for part in (value or "").split(", "))
    assert sanitise(result, base) == result


@given(dangerous)
def test_plain_text_of_anything_holds_no_markup(html: str) -> None:
    text = plain(sanitise(html, BASE))
    assert "\n\n\n" not in text
    assert text == text.strip("\n")


@pytest.mark.parametrize(
    ("html", "expected"),
    [
        ("<h2>Head</h2><p>One <b>bold</b>\n word.</p><p>Two<br>lines</p>", "Head\n\nOne bold word.\n\nTwo\nlines"),
        ("<ul><li>a</li><li>b<ul><li>c</li></ul></li></ul><p>d</p>", "- a\n- b\n  - c\n\nd"),
        ("<ol><li><p>one</p><p>more</p></li><li>two</li></ol>", "1. one\n  more\n2. two"),
        ("<table><thead><tr><th>A</th><th>B</th></tr></thead><tr><td>1</td>\n<td>2</td></tr></table>", "A | B\n1 | 2"),
        ("<p>x</p><pre><code>if a:\n    b &lt; c\n\n</code></pre>", "x\n\nif a:\n    b < c"),
        ("<blockquote><p>q</p></blockquote>tail", "q\n\ntail"),
        (
            '<p>AT&amp;T &amp;amp; <a href="https://e.org/">link</a><img alt="x" src="https://e.org/p.png"></p>',
            "AT&T &amp; link",
        ),
        ('<p title="a &gt; b">x</p><dl><dt>t</dt><dd>d</dd></dl>', "x\n\nt\nd"),
        ("bare text", "bare text"),
        ("<p> </p><hr>", ""),
        ("", ""),
    ],
)
def test_plain_text_reads_like_the_article(html: str, expected: str) -> None:
    assert plain(html) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("# Head\n\nOne *two* **three**\nfour", "<h1>Head</h1>\n<p>One <em>two</em> <strong>three</strong>\nfour</p>"),
        (
            "| a | b |\n|---|--:|\n| 1 | ~~2~~ |",
            (
                '<table>\n<thead>\n<tr>\n<th>a</th>\n<th align="right">b</th>\n</tr>\n</thead>\n<tbody>\n<tr>\n'
                '<td>1</td>\n<td align="right"><s>2</s></td>\n</tr>\n</tbody>\n</table>'
            ),
        ),
        ("See https://e.org/a_b.", '<p>See <a href="https://e.org/a_b">https://e.org/a_b</a>.</p>'),
        ("www.e.org a@e.org", '<p><a href="http://www.e.org">www.e.org</a> <a href="mailto:a@e.org">a@e.org</a></p>'),
        ("- [ ] open\n- [x] done\n- plain", "<ul>\n<li>☐ open</li>\n<li>☑ done</li>\n<li>plain</li>\n</ul>"),
        ("```ruby\na < b\n```", '<pre><code class="language-ruby">a &lt; b\n</code></pre>'),
        ("    indented", "<pre><code>indented\n</code></pre>"),
        (
            "Text[^1] again[^1].\n\n[^1]: The note.",
            "<p>Text<sup>[1]</sup> again<sup>[1]</sup>.</p>\n<hr>\n<ol>\n<li><p>The note.</p>\n</li>\n</ol>",
        ),
        ("> [!WARNING]\n> Mind it", "<blockquote>\n<p><strong>Warning</strong></p>\n<p>Mind it</p>\n</blockquote>"),
        ("<div>\n\n*in*\n\n</div>\n<script>x</script>", "<div>\n<p><em>in</em></p>\n</div>"),
        ('![alt](p.png "t")', '<p><img src="https://example.org/news/p.png" alt="alt" title="t"></p>'),
        ("[x](javascript:alert(1))", "<p>[x](javascript:alert(1))</p>"),
        ("", ""),
    ],
)
def test_markdown_as_github_writes_it(text: str, expected: str) -> None:
    """Tables, strikethrough, autolinks, task lists, code with its language, footnotes, alerts, raw HTML."""
    assert sanitise(markdown(text), BASE) == expected


@given(st.text(st.sampled_from("ab *_`~[]()!<>#|-+:\n\t\\&1.^x/@w"), max_size=120))
def test_any_text_is_markdown(text: str) -> None:
    assert isinstance(sanitise(markdown(text), BASE), str)
