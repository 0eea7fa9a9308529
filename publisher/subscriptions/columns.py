"""What the columns of a table mean: ours, those of a service we know, or as the operator says."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from publisher import addresses
from publisher.config import Config
from publisher.errors import RefusedError
from publisher.subscriptions.foreign import SERVICES, Service
from publisher.subscriptions.rows import COLUMNS
from publisher.subscriptions.tables import Row, original

_SYNONYMS = dict.fromkeys(("e-mail", "email address", "e-mail address"), "email")
_SHOWN_CELL = 24
_SHOWN_ROWS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What an operator says about a whole file."""

    consent: str = ""
    """How the persons agreed whose row does not say it."""
    newsletter: str = ""
    """For rows that name none; so with the next two."""
    frequency: str = ""
    languages: str = ""
    mapped: Mapping[str, str] = field(default_factory=dict)
    """Our column by theirs, "" for one that is not to be taken."""
    ignore_others: bool = False
    """Whether columns that nobody knows are to be left out."""
    opt_in: bool = False
    """Whether persons without a consent are asked by mail."""

    def defaults(self) -> dict[str, str]:
        """Return the cells of a row that says nothing, its consent apart."""
        return {"newsletter": self.newsletter, "frequency": self.frequency, "languages": self.languages}


class Columns:
    """The meaning of one table's columns.

    Raises RefusedError, with a preview, when the header cannot be understood (G8).
    """

    def __init__(
        self, config: Config, header: Sequence[str], sample: Sequence[Row], options: Options, *, name: str
    ) -> None:
        self._options = options
        self._name = name.rpartition("/")[2]
        self._file = name
        self._sample = sample
        self._header = list(header)
        self._plain = [cell.strip().casefold() for cell in header]
        self._mapped = self._checked_map()
        self.service = self._service()
        self._where: dict[str, int] = {}
        self.taken: dict[str, str] = {}
        """Our column by theirs."""
        self.ignored: list[str] = []
        """Their columns that are not taken."""
        self.unknown_tags: dict[str, int] = {}
        """Words of a column mapped to categories that name none, and how often they stand there."""
        self._categories = _categories(config)
        self._defaults = {column: cell for column, cell in options.defaults().items() if cell}
        self._places = self._find_places()
        self._check_sample()

    @property
    def source(self) -> str:
        """Whose export it is: listmonk, mailchimp, buttondown; "publisher" for tables with our columns."""
        return self.service.name if self.service else "publisher"

    def row(self, cells: Sequence[str]) -> dict[str, str]:
        """Return a row by our columns. Raises ValueError for a state that the service does not have."""
        found = dict(self._defaults)
        evidence = ""
        if self.service:
            theirs = self.service.translate(self._sayer(cells), self._name)
            found.update((column, cell) for column, cell in theirs.items() if cell and column != "evidence")
            evidence = theirs.get("evidence", "")
        for place, column in self._places:
            if cell := cells[place]:
                cell = original(cell) if cell[0] == "'" else cell
                if column == "categories" and self.service:
                    cell = self._tags(cell)
                if cell:
                    found[column] = cell
        if self._options.consent and "consent" not in found:
            found["consent"] = f"{self._options.consent}; {evidence}" if evidence else self._options.consent
        return found

    def _sayer(self, cells: Sequence[str]) -> Callable[[str], str]:
        where = self._where

        def say(column: str) -> str:
            place = where.get(column)
            if place is None:
                return ""
            cell = cells[place].strip()
            return original(cell) if cell[:1] == "'" else cell

        return say

    def _checked_map(self) -> dict[str, str]:
        mapped = {}
        for theirs, ours in self._options.mapped.items():
            if theirs.strip().casefold() not in self._plain:
                raise self._refusal(f"--map names a column {theirs!r} that the file does not have")
            if ours and ours not in COLUMNS:
                raise self._refusal(f"--map names {ours!r}; our columns are {', '.join(COLUMNS)}")
            mapped[theirs.strip().casefold()] = ours
        return mapped

    def _service(self) -> Service | None:
        header = frozenset(self._plain)
        return next((service for service in SERVICES if service.knows(header)), None)

    def _find_places(self) -> list[tuple[int, str]]:
        places: list[tuple[int, str]] = []
        others = []
        for place, (shown, plain) in enumerate(zip(self._header, self._plain, strict=True)):
            if plain in self._where and not self.service:
                raise self._refusal(f"the column {shown!r} stands there twice")
            self._where.setdefault(plain, place)
            column = self._mapped.get(plain)
            if column is None and self.service is None:
                column = plain if plain in COLUMNS else _SYNONYMS.get(plain)
            if column:
                if any(column == taken for _, taken in places):
                    raise self._refusal(f"two columns are to be {column!r}")
                places.append((place, column))
                self.taken[shown] = column
            elif self.service and plain in self.service.takes:
                self.taken[shown] = self.service.name
            else:
                self.ignored.append(shown)
                if plain not in self._mapped:
                    others.append(shown)
        if self.service is None:
            self._check_own(places, others)
        return places

    def _check_own(self, places: Sequence[tuple[int, str]], others: Sequence[str]) -> None:
        if any(_is_address(cell) for cell in self._header):
            raise self._refusal("the first row holds an address; it must name the columns")
        if not any(column == "email" for _, column in places):
            raise self._refusal("no column is called 'email'; say --map 'THEIR COLUMN=email'")
        if others and not self._options.ignore_others:
            named = ", ".join(repr(column) for column in others)
            raise self._refusal(
                f"unknown columns: {named}; ours are {', '.join(COLUMNS)}. Say --map 'THEIR COLUMN=ours', or "
                "--ignore-others to leave them out"
            )

    def _check_sample(self) -> None:
        """Refuse a table whose first rows say that columns were swapped, or that has none."""
        rows = [row.cells for row in self._sample if not row.problem]
        if not self._sample:
            raise self._refusal("there is a header and no row below it")
        place = next((place for place, column in self._places if column == "email"), None)
        if place is None or not rows or any(_is_address(original(cells[place].strip())) for cells in rows):
            return
        for other, shown in enumerate(self._header):
            if all(_is_address(original(cells[other].strip())) for cells in rows):
                raise self._refusal(
                    f"{self._header[place]!r} holds no addresses, but {shown!r} does; are they swapped? "
                    f"Say --map '{shown}=email', or mend the header"
                )

    def _tags(self, cell: str) -> str:
        slugs = []
        for tag in cell.replace('"', "").split(","):
            word = tag.strip()
            if slug := self._categories.get(word.casefold()):
                slugs.append(slug)
            elif word and (word in self.unknown_tags or len(self.unknown_tags) < 100):
                self.unknown_tags[word] = self.unknown_tags.get(word, 0) + 1
        return " ".join(slugs)

    def _refusal(self, message: str) -> RefusedError:
        return RefusedError(f"{self._file}: {message}\n{preview(self._header, self._sample)}")


def preview(header: Sequence[str], rows: Sequence[Row]) -> str:
    """Return the header and the first rows as people may look at them."""
    lines = [list(header), *(list(row.cells) for row in rows[:_SHOWN_ROWS] if not row.problem)]
    return "\n".join("  " + " | ".join(_short(cell) for cell in cells) for cells in lines)


def _short(cell: str) -> str:
    cell = " ".join(cell.split())
    return cell if len(cell) <= _SHOWN_CELL else cell[: _SHOWN_CELL - 1] + "…"


def _categories(config: Config) -> dict[str, str]:
    """Return the slug of each category by all that it is called."""
    known: dict[str, str] = {}
    for category in config.categories:
        titles = (category.title,) if isinstance(category.title, str) else tuple(category.title.values())
        for word in (category.slug, *titles, *category.aliases):
            known.setdefault(word.casefold(), category.slug)
    return known


def _is_address(cell: str) -> bool:
    try:
        addresses.parse(cell)
    except ValueError:
        return False
    return True
