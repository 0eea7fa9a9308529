"""The few Liquid tags that Jekyll archives carry in their Markdown, reduced to Markdown."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from publisher.text import slugify

Link = Callable[[str], str | None]
Value = str | Sequence[str] | None

# Code comes first: inside it only `raw` and `endraw` mean anything. 500 characters are more than any tag needs, and
# keep the search linear.
_TOKEN = re.compile(
    r"^[ \t>]*+(?P<fence>`{3,}+|~{3,}+)[^\n]*\n(?:.*?^[ \t>]*(?P=fence)[`~]*[ \t]*$|.*\Z)"
    r"|(?<!`)(?P<ticks>`++)(?!`)(?:(?!\n[ \t]*\n).){1,2000}?(?<!`)(?P=ticks)(?!`)"
    r"|\{%-?\s*(?P<tag>\w+)(?P<rest>.{0,500}?)-?%\}"
    r"|\{\{-?(?P<output>[^{}]{0,500}?)-?\}\}",
    re.DOTALL | re.MULTILINE,
)
_RAW = re.compile(r"\{%-?\s*raw\s*-?%\}(.*?)\{%-?\s*endraw\s*-?%\}|\{%-?\s*(?:end)?raw\s*-?%\}", re.DOTALL)
# What these hold cannot be known here, or was never meant to be seen.
_BLOCKS = ("raw", "highlight", "for", "comment", "capture")
_EXTENSION = re.compile(r"\.(?:md|markdown|mkdn?|html?|textile|adoc)$", re.IGNORECASE)
_ASSIGN = re.compile(r"\s*([\w-]+)\s*=(.*)", re.DOTALL)
_FOR = re.compile(r"\s*([\w-]+)\s+in\s+([\w.-]+)\s*")
_ARGUMENT = re.compile(r"\s*(?:\"([^\"]*)\"|'([^']*)'|([\w.-]+))\s*")
_FILTER = re.compile(r"\s*(\w+)\s*(?::(.*))?", re.DOTALL)
# Where an address begins, and the rest of one.
_ADDRESS_BEGINS = re.compile(
    r"""(?:\]\(\s*<?|^[ \t>]*\[[^\]\n]{1,200}\]:\s*<?|\b(?:href|src)\s*=\s*["'])\Z""", re.IGNORECASE | re.MULTILINE
)
_ADDRESS_GOES_ON = re.compile(r"""/(?:\{\{[^{}]{0,500}\}\}|[^\s()<>"'{])*""")
_PIPE = re.compile(r"""\|(?=(?:[^"']|"[^"]*"|'[^']*')*\Z)""")


def has_liquid(text: str) -> bool:
    """Whether there may be anything for `liquid` to do."""
    return "{%" in text or "{{" in text


def liquid(
    text: str, *, site: Mapping[str, str], page: Mapping[str, object] | None = None, link: Link | None = None
) -> str:
    """Return Jekyll's Markdown without its Liquid; call it before `markdown`.

    - `{% highlight ruby %}` becomes fenced code; what stands in `{% raw %}` stays as it is, without the markers.
    - Fenced code and code spans stay as they are, but for the markers of `raw`.
    - `{% link _posts/2017-03-02-x.md %}` and `{% post_url 2017-03-02-x %}` become what `link` answers to the bare name
      "2017-03-02-x", or "#".
    - `{{ site.url }}`, `{{ page.title }}` and `{{ "/docs/" | relative_url }}` are written out, `assign` and `for` over
      a list known here are followed. Filters: split, slugify, prepend, append, relative_url, absolute_url.
    - Every other tag and output goes; so does a loop over something unknown. An address that begins with something
      unknown becomes "#": what is left of it would be another page.
    """
    known: dict[str, Value] = {f"site.{name}": value for name, value in site.items()}
    for name, value in (page or {}).items():
        known[f"page.{name}"] = [str(item) for item in value] if isinstance(value, (list, tuple)) else str(value)
    return _Reduction(known, link or (lambda _: None)).reduce(text)


@dataclass(frozen=True)
class _Reduction:
    """One text being reduced: the names known so far, and how to find another article."""

    known: dict[str, Value]
    link: Link

    def reduce(self, text: str) -> str:
        """Return the text without Liquid; `assign` adds to what is known."""
        done = []
        position = 0
        missing: set[str] = set()
        while token := _TOKEN.search(text, position):
            done.append(text[position : token.start()])
            position = token.end()
            name = token["tag"]
            if name is None:
                output = token["output"]
                value = None if output is None else self._value(output)
                if output is None:
                    done.append(_literal(token.group()))
                elif value is None and (rest := _rest_of_address(text, token)):
                    done.append("#")
                    position += len(rest)
                else:
                    done.append(value if isinstance(value, str) else "")
            elif name in _BLOCKS and name not in missing:
                end = re.compile(r"\{%-?\s*end" + name + r"\s*-?%\}").search(text, position)
                if end is None:
                    missing.add(name)  # and never sought again: the search stays linear
                else:
                    before = text[text.rfind("\n", 0, token.start()) + 1 : token.start()]
                    done.append(self._block(name, token["rest"], text[position : end.start()], before))
                    position = end.end()
            else:
                done.append(self._tag(name, token["rest"]))
                if done[-1] == "#" and (fragment := re.compile(r"#[\w.-]*").match(text, position)):
                    position = fragment.end()
        return "".join([*done, text[position:]])

    def _tag(self, name: str, rest: str) -> str:
        if name in ("link", "post_url"):
            return self.link(_EXTENSION.sub("", PurePosixPath(rest.strip()).name)) or "#"
        if name == "assign" and (assignment := _ASSIGN.fullmatch(rest)):
            self.known[assignment[1]] = self._value(assignment[2])
        return ""

    def _block(self, name: str, rest: str, content: str, before: str) -> str:
        if name == "raw":
            return content
        if name == "highlight":
            return _fenced(rest, _literal(content), before)
        loop = _FOR.fullmatch(rest) if name == "for" else None
        items = self.known.get(loop[2]) if loop else None
        if loop is None or items is None or isinstance(items, str):
            return ""
        return "".join(_Reduction({**self.known, loop[1]: item}, self.link).reduce(content) for item in items)

    def _value(self, expression: str) -> Value:
        """Return what an expression stands for, None when it needs something unknown."""
        first, *filters = _PIPE.split(expression)
        value = self._argument(first)
        for call in filters:
            parts = _FILTER.fullmatch(call)
            if not isinstance(value, str) or parts is None:
                return None
            value = self._filtered(value, parts[1], self._argument(parts[2] or "''"))
        return value

    def _argument(self, text: str) -> Value:
        parts = _ARGUMENT.fullmatch(text)
        if parts is None:
            return None
        double, single, name = parts.groups()
        return self.known.get(name) if name is not None else double if double is not None else single

    def _filtered(self, value: str, name: str, argument: Value) -> Value:
        if not isinstance(argument, str):
            return None
        site, base = (str(self.known.get(f"site.{key}") or "").rstrip("/") for key in ("url", "baseurl"))
        match name:
            case "split":
                return value.split(argument) if argument else list(value)
            case "slugify":
                return slugify(value, "")
            case "prepend":
                return argument + value
            case "append":
                return value + argument
            case "relative_url":
                return f"{base}/{value.lstrip('/')}"
            case "absolute_url":
                return f"{site}{base}/{value.lstrip('/')}"
            case _:
                return None


def _rest_of_address(text: str, token: re.Match[str]) -> str:
    """Return what follows an output that begins an address, empty where it does not."""
    begins = _ADDRESS_BEGINS.search(text[max(0, token.start() - 300) : token.start()])
    rest = _ADDRESS_GOES_ON.match(text, token.end()) if begins else None
    return rest.group() if rest else ""


def _literal(code: str) -> str:
    """Return code without the markers of `raw`; a marker inside `raw` is meant to be seen."""
    return _RAW.sub(lambda raw: raw[1] or "", code)


def _fenced(options: str, code: str, before: str) -> str:
    """Write a highlight block as fenced code, indented as its tag was, on lines of its own."""
    language = next(iter(options.split()), "")
    longest = max((len(run) for run in re.findall(r"`+", code)), default=0)
    fence = "`" * max(3, longest + 1)
    indent = before if not before.strip() else ""
    start = "" if not before.strip() else "\n\n"
    return f"{start}{fence}{language}\n" + code.lstrip("\n").rstrip() + f"\n{indent}{fence}\n"
