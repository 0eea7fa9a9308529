"""The grammar of a saved page: debris, then articles of one shape between label words. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from publisher import dates
from publisher.config import PageLabels
from publisher.text import one_line

STATUS = (
    *("Category status", "Status of the category"),
    *("Статус категории", "Состояние категории", "Статус рубрики", "Состояние рубрики"),
    *("Статус катэгорыі", "Стан катэгорыі", "Статус рубрыкі", "Стан рубрыкі"),
)
CREDIT = (
    *("Photo", "Image", "Photo credit", "Image credit"),
    *("Фото", "Изображение", "Снимок"),
    *("Фота", "Выява", "Здымак"),
)
SIMILAR = (
    *("Similar articles", "Related articles"),
    *("Похожие статьи", "Похожие материалы"),
    *("Падобныя артыкулы", "Падобныя матэрыялы"),
)
END = (
    *("Recent trends", "Latest trends"),
    *("Последние тенденции", "Свежие тенденции"),
    *("Апошнія тэндэнцыі", "Свежыя тэндэнцыі"),
)

MAX_DATE_LINE = 60
"""A longer line is not a date line, and not tried as one."""

# The shape of a line that means to be a date, also an impossible or partial one: that is refused, never read as prose.
_DATE_SHAPE = re.compile(
    r"""(?:[^\W\d_]{2,12}\.?,?\s+)?              # Monday,
    (?: [^\W\d_]{3,12}\.?\s+\d{1,2}(?:st|nd|rd|th)?,?\s+\d{4}   # May 22, 2017
      | \d{1,2}\.?\s+[^\W\d_]{3,12}\.?,?\s+\d{4}                # 22 May 2017
      | [^\W\d_]{3,12}\.?,?\s+\d{4}                             # May 2017
      | \d{1,2}[./-]\d{1,2}[./-]\d{4} | \d{4}[./-]\d{1,2}(?:[./-]\d{1,2})? )
    (?:\s*г(?:\.|ода)?)?
    (?:(?:,?\s+(?:at|в|у)?\s*|T)\d{1,2}[:.]\d{2}\S{0,10})?(?:\s+\S{1,6})?""",
    re.VERBOSE | re.IGNORECASE,
)
_DIGITS = re.compile(r"\d{4}|\d\D+\d")


@dataclass(frozen=True, slots=True)
class PageArticle:
    """One article of a saved page. `published_at` is aware UTC."""

    title: str
    published_at: datetime
    status: str
    credit: str
    paragraphs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Page:
    """A saved page: its own article and those it names as similar."""

    own: PageArticle
    similar: tuple[PageArticle, ...]


@dataclass(frozen=True, slots=True)
class _Line:
    number: int
    text: str


class Labels:
    """The label words of saved pages: English, Russian and Belarusian, with those of the configuration added."""

    def __init__(self, more: PageLabels | None = None) -> None:
        more = more or PageLabels()
        self._status = _labelled((*STATUS, *more.status))
        self._credit = _labelled((*CREDIT, *more.credit))
        self._similar = _alone((*SIMILAR, *more.similar))
        self._end = _alone((*END, *more.end))

    def status(self, line: str) -> str | None:
        """Return what follows the status label on its line, None when the line has no such label."""
        return _after(self._status, line)

    def credit(self, line: str) -> str | None:
        """Return what follows the credit label on its line, None when the line has no such label."""
        return _after(self._credit, line)

    def similar(self, line: str) -> bool:
        """Whether the line announces similar articles."""
        return self._similar.fullmatch(line) is not None

    def end(self, line: str) -> bool:
        """Whether the line ends the page."""
        return self._end.fullmatch(line) is not None


def parse(text: str, zone: ZoneInfo, labels: Labels) -> Page:
    """Divide a saved page. Raises ValueError "line n: …" for a page whose parts cannot be told.

    `text` is what `scan.decode` returns.
    """
    own, *others = _blocks(text, labels)
    reader = _Reader(zone, labels)
    return Page(
        reader.article(own, reader.head(own), strict=True),
        tuple(article for block in others for article in reader.articles(block)),
    )


def _blocks(text: str, labels: Labels) -> list[list[_Line]]:
    """Divide the lines at the labels for similar articles, up to the label that ends the page."""
    blocks: list[list[_Line]] = [[]]
    for number, raw in enumerate(text.split("\n"), 1):
        line = _Line(number, one_line(raw))
        if labels.end(line.text):
            break
        if labels.similar(line.text):
            blocks.append([])
        else:
            blocks[-1].append(line)
    return blocks


class _Reader:
    """Reads the articles of one page."""

    def __init__(self, zone: ZoneInfo, labels: Labels) -> None:
        self._zone = zone
        self._labels = labels

    def head(self, lines: Sequence[_Line]) -> int:
        """Return the index of the title: the line before the first status label, else before the first date line."""
        filled = [at for at, line in enumerate(lines) if line.text]
        marks: tuple[tuple[int, ...], ...] = (
            tuple(at for at in filled if self._labels.status(lines[at].text) is not None),
            tuple(at for at in filled if self._is_date(lines[at].text)),
            tuple(at for at in filled if _shaped(lines[at].text)),
        )
        for found in marks:
            for mark in found:
                before = [at for at in filled if at < mark]
                if before:
                    return before[-1]
                raise ValueError(f"line {lines[mark].number}: no title stands above {lines[mark].text!r}")
        where = lines[filled[0]].number if filled else 1
        raise ValueError(f"line {where}: no status label and no date line follows, so that no title can be told")

    def articles(self, lines: Sequence[_Line]) -> Iterator[PageArticle]:
        """Yield the articles of a block of similar ones: each starts at a line of its own with its date below it."""
        starts = [at for at, line in enumerate(lines) if line.text and self._starts(lines, at)]
        first = next((at for at, line in enumerate(lines) if line.text), None)
        if first is None:
            return
        if not starts or starts[0] != first:
            starts.insert(0, first)
        for at, end in zip(starts, [*starts[1:], len(lines)], strict=True):
            yield self.article(lines[:end], at, strict=False)

    def article(self, lines: Sequence[_Line], start: int, *, strict: bool) -> PageArticle:
        """Return the article whose title is at index `start`; it takes all the lines after it."""
        title = lines[start]
        rest = _Rest(lines, start + 1)
        status = ""
        line = rest.next(f"line {title.number}: nothing follows the title {title.text!r}")
        if (value := self._labels.status(line.text)) is not None:
            status = value
            line = rest.next(f"line {line.number}: no date line follows the status label")
            if not status and not self._dated(line.text):
                status = line.text
                line = rest.next(f"line {line.number}: no date line follows the status {status!r}")
        try:
            published_at = dates.parse(line.text, self._zone)
        except (ValueError, OverflowError) as error:
            raise ValueError(f"line {line.number}: the date line of {title.text!r} cannot be used: {error}") from error
        paragraphs = list(rest.paragraphs())
        credit = ""
        if paragraphs and (value := self._labels.credit(paragraphs[0][0])) is not None:
            credit = value
            paragraphs[0] = paragraphs[0][1:]
        texts = tuple(" ".join(part) for part in paragraphs if part)
        if not texts:
            kind = "" if strict else "similar "
            raise ValueError(f"line {title.number}: the {kind}article {title.text!r} has no paragraphs")
        return PageArticle(title.text, published_at, status, credit, texts)

    def _starts(self, lines: Sequence[_Line], at: int) -> bool:
        """Whether a line of a block of similar articles is a title: it opens a paragraph, a date or status is below."""
        if (at > 0 and lines[at - 1].text) or self._dated(lines[at].text):
            return False
        below = [line.text for line in lines[at + 1 : at + 6] if line.text][:3]
        if not below or self._labels.credit(lines[at].text) is not None:
            return False
        return self._labels.status(below[0]) is not None or self._dated(below[0])

    def _dated(self, text: str) -> bool:
        return _shaped(text) or self._is_date(text)

    def _is_date(self, text: str) -> bool:
        if len(text) > MAX_DATE_LINE or not _DIGITS.search(text):
            return False
        try:
            dates.parse(text, self._zone)
        except (ValueError, OverflowError):
            return False
        return True


class _Rest:
    """The lines of an article behind its title, taken one by one."""

    def __init__(self, lines: Sequence[_Line], at: int) -> None:
        self._lines = lines
        self._at = at

    def next(self, otherwise: str) -> _Line:
        """Return the next line that is not blank. Raises ValueError with the given text when there is none."""
        while self._at < len(self._lines):
            line = self._lines[self._at]
            self._at += 1
            if line.text:
                return line
        raise ValueError(otherwise)

    def paragraphs(self) -> Iterator[list[str]]:
        """Yield the lines of each paragraph left."""
        paragraph: list[str] = []
        for line in self._lines[self._at :]:
            if line.text:
                paragraph.append(line.text)
            elif paragraph:
                yield paragraph
                paragraph = []
        if paragraph:
            yield paragraph


def _shaped(text: str) -> bool:
    return len(text) <= MAX_DATE_LINE and _DATE_SHAPE.fullmatch(text) is not None


def _words(labels: Iterable[str]) -> str:
    # The longest first: "Photo credit" must not be read as "Photo" and " credit".
    bare = {label.strip().rstrip(":").strip() for label in labels}
    return "|".join(
        r"\s+".join(map(re.escape, label.split())) for label in sorted(bare, key=lambda b: (-len(b), b)) if label
    )


def _labelled(labels: Iterable[str]) -> re.Pattern[str]:
    return re.compile(rf"(?:{_words(labels)})\s*:\s*(.*)", re.IGNORECASE)


def _alone(labels: Iterable[str]) -> re.Pattern[str]:
    return re.compile(rf"(?:{_words(labels)})\s*:?", re.IGNORECASE)


def _after(form: re.Pattern[str], line: str) -> str | None:
    match = form.fullmatch(line)
    return match[1].strip() if match else None
