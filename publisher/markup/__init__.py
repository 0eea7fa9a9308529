"""HTML and Markdown from strangers: made safe, made absolute, made plain."""

from publisher.markup.commonmark import markdown
from publisher.markup.html import sanitise, title_text
from publisher.markup.jekyll import has_liquid, liquid
from publisher.markup.readable import plain
from publisher.markup.urls import absolute

__all__ = ["absolute", "has_liquid", "liquid", "markdown", "plain", "sanitise", "title_text"]
