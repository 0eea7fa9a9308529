"""What the editor says above the articles of one issue: a Markdown file named after the day of its slot."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from publisher.digests.hrefs import addresses_in
from publisher.errors import RenderError
from publisher.markup.readable import plain

LONGEST = 20_000
"""Octets of a note: what is longer is an article."""


@dataclass(frozen=True, slots=True)
class Note:
    """A note as HTML and as text."""

    html: str
    text: str
    links: tuple[str, ...]
    """Addresses that `html` leads to, in order, each once: the text part lists them (M5)."""


def read(folder: Path | None, slot: str, languages: Iterable[str]) -> Mapping[str, Note]:
    """Return the notes for a slot (`2026-11-23T07:00`) by language, "" for all others; {} when there is none.

    `2026-11-23.md` is for everybody, `2026-11-23.ru.md` for readers of Russian, `2026-11-23T07-00.md` for this slot
    alone where a day has several. Raises RenderError for a file that cannot be read: an issue without its note cannot
    be called back.
    """
    if folder is None:
        return {}
    found = {}
    for language in ("", *languages):
        for stem in (slot.replace(":", "-"), slot[:10]):
            path = folder / (f"{stem}.{language}.md" if language else f"{stem}.md")
            if path.is_file():
                found[language] = _note(path)
                break
    return found


def _note(path: Path) -> Note:
    from publisher.markup.commonmark import markdown  # here: most issues have no note, and no start is to wait for it
    from publisher.markup.html import sanitise

    try:
        content = path.read_bytes()
        source = content.decode("utf-8-sig")
    except OSError as error:
        raise RenderError(f"{path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise RenderError(f"{path}: not UTF-8 at byte {error.start}; save it as UTF-8") from error
    if len(content) > LONGEST:
        raise RenderError(f"{path}: {len(content)} bytes, more than {LONGEST}; publish it as an article")
    html = sanitise(markdown(source), None)
    return Note(html=html, text=plain(html), links=addresses_in(html))
