"""Liquid: what a Jekyll archive says without Jekyll."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from publisher.markup.jekyll import has_liquid, liquid

SITE = {"url": "https://example.org", "repository": "https://code.example.org/x", "baseurl": "/blog"}


def link(name: str) -> str | None:
    """Know one article."""
    return "https://example.org/one" if name == "2017-03-02-one-1.0" else None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # Code
        (
            "Before\n\n{% highlight ruby linenos %}\na = `b`\n{% endhighlight %}\nafter",
            "Before\n\n```ruby\na = `b`\n```\n\nafter",
        ),
        ("- x\n  {% highlight %}\n  a\n  {%- endhighlight -%}\n", "- x\n  ```\n  a\n  ```\n\n"),
        ("{% highlight md %}\n```\n{{ x }}\n```\n{% endhighlight %}", "````md\n```\n{{ x }}\n```\n````\n"),
        ("```liquid\n{{ site.url }}{% include x %}\n```\n", "```liquid\n{{ site.url }}{% include x %}\n```\n"),
        ("~~~\n{% if %}\n~~~~\n{{ x }}", "~~~\n{% if %}\n~~~~\n"),
        ("```\n{% raw %}{{ x }}{% endraw %}\nnever closed", "```\n{{ x }}\nnever closed"),
        ("Use `{{ page.x }}` and ``{% ` %}``", "Use `{{ page.x }}` and ``{% ` %}``"),
        # Raw
        ("{% raw %}\n```liquid\n{{ a }}\n```\n{% endraw %}", "\n```liquid\n{{ a }}\n```\n"),
        ("`{% raw %}{{ layout }}{% endraw %}`", "`{{ layout }}`"),
        ("{% raw %}`{% link %}`{% endraw %} or not", "`{% link %}` or not"),
        ("`{% raw %}{% raw %}{% endraw %}`", "`{% raw %}`"),
        ("{% raw %} never closed {{ x }}", " never closed "),
        # Addresses
        ("[a]({% link _posts/2017-03-02-one-1.0.markdown %}#x)", "[a](https://example.org/one#x)"),
        ("[a]: {% post_url 2017-03-02-one-1.0 %}", "[a]: https://example.org/one"),
        ("[a]({% link\n_posts/2017-03-02-one-1.0.md %})", "[a](https://example.org/one)"),
        ("[a]({% link _docs/history.md %}#v3-9-3)", "[a](#)"),
        ("[a]({{ site.repository\n}}/issues/1)", "[a](https://code.example.org/x/issues/1)"),
        ('[a]({{ "/docs/#x" | relative_url }})', "[a](/blog/docs/#x)"),
        ("[a]({{ '/docs/' | absolute_url }})", "[a](https://example.org/blog/docs/)"),
        # An address that begins with something unknown would be another page without it
        ("[a]({{ site.github }}/issues/{{ page.n }}/1), b", "[a](#), b"),
        ("[a]: {{ site.github }}/issues/1\n> [b]: {{ x | y }}/2\n", "[a]: #\n> [b]: #\n"),
        ("<img src='{{ site.cdn }}/x.png'> and <a href=\"{{site.cdn}}/y\">", "<img src='#'> and <a href=\"#\">"),
        ("[a](/x/{{ unknown }}/y) {{ unknown }}/z", "[a](/x//y) /z"),
        ("[a]({{ site.baseurl }}/x)", "[a](/blog/x)"),
        # Known values
        ("{{ page.title | append: '!' | prepend: 'A | ' }}", "A | Title!"),
        (
            '{% assign n = "1|2" | split: "|" %}{% for i in n %}[#{{ i }}]: {{ site.url }}/{{ i }}\n{% endfor %}',
            "[#1]: https://example.org/1\n[#2]: https://example.org/2\n",
        ),
        (
            "{% for f in page.filters %}{% assign s = f | slugify %}{{ s }} {% endfor %}",
            "where-exp find ",
        ),
        # Everything else goes
        ("a{{ unknown }}b{{ site.title | upcase }}c{{ x.y[0] | f: 1, 2 }}d", "abcd"),
        ("a{% include figure.html src='x' %}b{% comment %}c{% endcomment %}d", "abd"),
        ("{% for p in site.posts %}{{ p.title }}{% endfor %}", ""),
        ("{% if x %}a{% endif %}", "a"),
        # What is no Liquid stays
        ("100% {sure} {{", "100% {sure} {{"),
        ("{% half", "{% half"),
        ("no Liquid at all", "no Liquid at all"),
    ],
)
def test_liquid_becomes_markdown(text: str, expected: str) -> None:
    page = {"title": "Title", "filters": ["where_exp", "find"], "draft": None}
    assert liquid(text, site=SITE, page=page, link=link) == expected


def test_without_anything_known_links_lead_nowhere() -> None:
    assert liquid("{% post_url 2017-03-02-x %}{{ site.url }}", site={}) == "#"


def test_what_has_no_liquid_need_not_be_reduced() -> None:
    assert has_liquid("{{ x }}")
    assert has_liquid("{% x %}")
    assert not has_liquid("{ x } 100 %")


PIECES = (
    "{% raw %}|{% endraw %}|{% highlight x %}|{% endhighlight %}|{% for a in b %}|{% endfor %}|{{ a }}|{{|}}|{%|%}|`|x"
)
ASSIGN = "{% assign b = 'x|y' | split: '|' %}"
pieces = st.lists(st.sampled_from([*PIECES.split("|"), ASSIGN, "```\n", "\n", "\n\n"]), max_size=30).map("".join)


@given(pieces)
def test_any_text_is_reduced(text: str) -> None:
    """Nothing raises, and text without a brace is never touched."""
    assert isinstance(liquid(text, site={}), str)
    assert liquid(text.replace("{", ""), site={}) == text.replace("{", "")


@pytest.mark.parametrize(
    "piece", ["{% raw %}", "{% highlight %}", "{%", "{{", "`", "` ", "{% for a in b %}", "```\n", "[a]({{x}}/"]
)
def test_a_hostile_text_costs_no_more_than_its_length(piece: str) -> None:
    """Searches that fail are not repeated: 100,000 unclosed tags would take minutes."""
    assert len(liquid(piece * 100_000, site={})) <= len(piece) * 100_000
