"""What stands above an article's text: YAML, TOML, Pelican's header lines or the head of an HTML page."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any, NoReturn

import yaml

MAX_CHARACTERS = 64 * 1024
"""Longer front matter is data, not the description of one article."""
MAX_NODES = 5_000
"""Values in one front matter, counting what an alias repeats: stops the "billion laughs" (A1)."""
MAX_DEPTH = 20

Value = str | None | list[Any] | dict[str, Any]
"""YAML gives strings, None, lists and mappings only; TOML also numbers, booleans and dates."""

_LOADER: type[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""Used for its parser alone, which emits events; no constructor ever runs."""
_TAGS = frozenset(
    f"tag:yaml.org,2002:{name}" for name in ("str", "int", "float", "bool", "null", "timestamp", "seq", "map")
)
_FENCE = re.compile(r"(---|\+\+\+)[ \t]*(?:\n|\Z)")
_YAML_END = re.compile(r"^(?:---|\.\.\.)[ \t]*(?:\n|\Z)", re.MULTILINE)
_TOML_END = re.compile(r"^\+\+\+[ \t]*(?:\n|\Z)", re.MULTILINE)
_HEADER_LINE = re.compile(r"([A-Za-z][\w -]{0,40}):(?:[ \t]+(.*)|[ \t]*)\Z")
_SEPARATORS = re.compile(r"[\s_-]+")


@dataclass(frozen=True, slots=True)
class Document:
    """A file divided: its fields as written, and its text."""

    fields: Mapping[str, Any] = field(default_factory=dict)
    body: str = ""


def folded(name: str) -> str:
    """Return a field's name as it is looked up: `Last_Modified-At` is `lastmodifiedat`."""
    return _SEPARATORS.sub("", name).lower()


def divide(text: str, *, html: bool = False) -> Document:
    """Divide a file into its fields and its text. Raises ValueError when the fields cannot be read safely.

    `text` is what `scan.decode` returns; `html` says that a page's own head counts when there is no front matter.
    """
    start = _FENCE.match(text)
    if start:
        return _fenced(text, start)
    if html:
        return _page(text)
    return _headed(text)


def _fenced(text: str, start: re.Match[str]) -> Document:
    fence = start[1]
    end = (_TOML_END if fence == "+++" else _YAML_END).search(text, start.end())
    if end is None:
        raise ValueError(f"line 1: the front matter opened by {fence} is never closed; close it with a line {fence}")
    inside = text[start.end() : end.start()]
    if len(inside) > MAX_CHARACTERS:
        raise ValueError(f"the front matter has {len(inside):,} characters; at most {MAX_CHARACTERS:,}")
    values = _toml(inside) if fence == "+++" else _yaml(inside)
    return Document(values, text[end.end() :])


def _toml(text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except RecursionError as error:
        raise ValueError("the TOML front matter is nested too deeply") from error
    except ValueError as error:  # TOMLDecodeError, and dates that tomllib's own conversion refuses
        raise ValueError(f"the TOML front matter cannot be read: {error}") from error


def _yaml(text: str) -> dict[str, Any]:
    try:
        value = _Builder().build(text)
    except yaml.MarkedYAMLError as error:
        # The opening fence is line 1, and marks count from 0.
        place = f"line {error.problem_mark.line + 2}: " if error.problem_mark else ""
        raise ValueError(f"{place}the YAML front matter cannot be read: {error.problem}") from error
    except yaml.YAMLError as error:
        raise ValueError(f"the YAML front matter cannot be read: {' '.join(str(error).split())}") from error
    except RecursionError as error:
        raise ValueError("the YAML front matter is nested too deeply") from error
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ValueError("the front matter is not a list of `name: value` lines")  # noqa: TRY004 - a file's fault
    return value


class _Builder:
    """Plain values from YAML events, without types: `2013-05-06 02:12:52 +0200` and `1.10` stay as written."""

    def __init__(self) -> None:
        self._nodes = 0
        self._anchors: dict[str, tuple[Value, int]] = {}

    def build(self, text: str) -> Value:
        events = yaml.parse(text, Loader=_LOADER)
        result: Value = None
        documents = 0
        for event in events:
            if isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    raise ValueError("the front matter holds more than one YAML document")
            elif isinstance(event, yaml.NodeEvent):
                result = self._node(event, events, 0)
        return result

    def _node(self, event: yaml.NodeEvent, events: Any, depth: int) -> Value:  # noqa: ANN401 - an untyped iterator
        before = self._nodes
        self._count(1)
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event)
        if depth > MAX_DEPTH:
            raise ValueError(f"the YAML front matter is nested more than {MAX_DEPTH} deep")
        if event.tag not in (None, "!") and event.tag not in _TAGS:  # type: ignore[attr-defined] # all but aliases have it
            self._refuse(event, f"the tag {event.tag!r} is not allowed")  # type: ignore[attr-defined] # likewise
        value: Value
        if isinstance(event, yaml.ScalarEvent):
            value = _scalar(event)
        elif isinstance(event, yaml.SequenceStartEvent):
            value = []
            while not isinstance(item := next(events), yaml.SequenceEndEvent):
                value.append(self._node(item, events, depth + 1))
        else:
            value = {}
            while not isinstance(item := next(events), yaml.MappingEndEvent):
                name = self._node(item, events, depth + 1)
                entry = self._node(next(events), events, depth + 1)
                if isinstance(name, str):
                    value[name] = entry
        if event.anchor:
            self._anchors[event.anchor] = (value, self._nodes - before)
        return value

    def _alias(self, event: yaml.AliasEvent) -> Value:
        # A value gets its anchor when it is complete, so that none can contain itself.
        if event.anchor not in self._anchors:
            self._refuse(event, f"the alias *{event.anchor} stands inside what it repeats, or repeats nothing")
        value, nodes = self._anchors[event.anchor]
        self._count(nodes)
        return value

    def _count(self, nodes: int) -> None:
        self._nodes += nodes
        if self._nodes > MAX_NODES:
            raise ValueError(f"the YAML front matter holds more than {MAX_NODES:,} values, aliases counted out")

    def _refuse(self, event: yaml.NodeEvent, reason: str) -> NoReturn:
        place = f"line {event.start_mark.line + 2}: " if event.start_mark else ""
        raise ValueError(place + reason)


def _scalar(event: yaml.ScalarEvent) -> str | None:
    # The first of the pair tells a plain scalar from a quoted one; its style is None or "", depending on the parser.
    if event.implicit[0] and event.value in ("", "~", "null", "Null", "NULL"):
        return None
    return str(event.value)


_HEADERS_THAT_PROVE = frozenset({"title", "date"})


def _headed(text: str) -> Document:
    """Divide by Pelican's `Key: value` lines, up to the first blank line; without title or date they are prose."""
    fields: dict[str, Any] = {}
    last = ""
    at = 0
    for line in text.splitlines(keepends=True):
        if len(line) > MAX_CHARACTERS or at > MAX_CHARACTERS or not line.strip():
            break
        header = _HEADER_LINE.match(line.rstrip())
        if line[0] in " \t" and last:
            fields[last] = f"{fields[last]} {line.strip()}".strip()
        elif header:
            last = header[1]
            fields[last] = (header[2] or "").strip()
        else:
            return Document(body=text)
        at += len(line)
    if not _HEADERS_THAT_PROVE & {folded(name) for name in fields}:
        return Document(body=text)
    return Document(fields, text[at:])


_BODY = re.compile(r"<body\b[^>]*>(.*?)(?:</body\s*>|\Z)", re.IGNORECASE | re.DOTALL)
_WHOLE_PAGE = re.compile(r"\s*(?:<!--.*?-->\s*)*<(?:!doctype|html|head|body|title|meta)\b", re.IGNORECASE | re.DOTALL)


def _page(text: str) -> Document:
    """Divide an HTML page: fields from `<title>` and `<meta name>`, text from `<body>`; a fragment is all text."""
    if not _WHOLE_PAGE.match(text):
        return Document(body=text)
    body = _BODY.search(text)
    head = _Head()
    head.feed(text[: body.start() if body else len(text)][:MAX_CHARACTERS])
    head.close()
    return Document(head.fields, body[1] if body else text)


class _Head(HTMLParser):
    """The title, language and named meta values of a page's head."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.fields: dict[str, Any] = {}
        self._in_title = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if tag == "title":
            self._in_title = True
        elif tag == "html" and values.get("lang"):
            self.fields.setdefault("lang", values["lang"])
        elif tag == "meta":
            name = _META.get((values.get("property") or "").lower()) or values.get("name") or ""
            if name and values.get("content"):
                self.fields.setdefault(name, values["content"])

    def handle_endtag(self, tag: str) -> None:
        self._in_title = self._in_title and tag != "title"

    def handle_data(self, data: str) -> None:
        if self._in_title:
            # The parser hands out text; fields hold markup, whose entities are decoded once, later.
            escaped = data.replace("&", "&amp;").replace("<", "&lt;")
            self.fields["title"] = self.fields.get("title", "") + escaped


# What pages made for social networks say of themselves (https://ogp.me).
_META = {
    "article:published_time": "date",
    "article:modified_time": "modified",
    "og:image": "image",
    "og:url": "url",
    "og:description": "description",
}
