"""GitHub-flavoured Markdown."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import cache

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from mdit_py_plugins.footnote import footnote_plugin
from mdit_py_plugins.gfm_autolink import gfm_autolink_plugin

# A rule that cannot apply costs a third of the time all the same: each is installed only where its mark appears.
_MARKS = {
    "alerts": re.compile(r"\[!"),
    "autolinks": re.compile(r"://|www\.|@"),
    "footnotes": re.compile(r"\[\^"),
    "strikethrough": re.compile(r"~"),
    "table": re.compile(r"\|"),
    "tasklists": re.compile(r"\[[ xX]\]"),
}
# Quotations and lists one inside another; what lies deeper is dropped by the parser.
_MAX_NESTING = 60


def markdown(text: str) -> str:
    """Return the HTML of GitHub-flavoured Markdown: tables, strikethrough, autolinks, task lists, alerts, footnotes.

    Fenced code is `<pre><code class="language-…">`. Raw HTML passes through, so the result is for `markup.sanitise`.
    """
    return str(_parser(frozenset(name for name, mark in _MARKS.items() if mark.search(text))).render(text))


@cache
def _parser(features: frozenset[str]) -> MarkdownIt:
    parser = MarkdownIt("commonmark", {"html": True, "maxNesting": _MAX_NESTING})
    if "autolinks" in features:
        parser.use(gfm_autolink_plugin)
    if "footnotes" in features:
        parser.use(footnote_plugin, inline=False)
    parser.enable(sorted(features & {"table", "strikethrough"}))
    for option in ("alerts", "tasklists"):
        parser.options[option] = option in features
    for token, rule in _RULES.items():
        parser.add_render_rule(token, rule)
    return parser


def _cell(_: RendererHTML, tokens: Sequence[Token], index: int, *_settings: object) -> str:
    """Write a table cell with `align`: a style attribute would not survive the sanitiser."""
    tag = tokens[index].tag
    align = str(tokens[index].attrGet("style") or "").removeprefix("text-align:")
    return f'<{tag} align="{align}">' if align else f"<{tag}>"


def _list_item(_: RendererHTML, tokens: Sequence[Token], index: int, *_settings: object) -> str:
    """Write the box of a task as a character: feeds and mail have no form controls."""
    done = tokens[index].meta.get("checked")
    return "<li>" if done is None else "<li>☑ " if done else "<li>☐ "


def _footnote_number(_: RendererHTML, tokens: Sequence[Token], index: int, *_settings: object) -> str:
    """Write the number without a link: several articles share a page, and their footnotes would share ids."""
    return f"<sup>[{tokens[index].meta['id'] + 1}]</sup>"


# Token → what it becomes; an alert is a quotation that begins with its kind.
_FIXED = {
    "footnote_block_open": "<hr>\n<ol>\n",
    "footnote_block_close": "</ol>\n",
    "footnote_open": "<li>",
    "footnote_anchor": "",
    "alert_open": "<blockquote>\n",
    "alert_close": "</blockquote>\n",
    "alert_title_open": "<p><strong>",
    "alert_title_close": "</strong></p>\n",
}


def _fixed(html: str) -> Callable[..., str]:
    return lambda *_: html


_RULES: dict[str, Callable[..., str]] = {
    "th_open": _cell,
    "td_open": _cell,
    "list_item_open": _list_item,
    "footnote_ref": _footnote_number,
    **{token: _fixed(html) for token, html in _FIXED.items()},
}
