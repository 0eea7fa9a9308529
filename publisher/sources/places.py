"""What the place of a file tells: its language, which files are its translations, its name and its address."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from urllib.parse import quote, urljoin

_TAG = re.compile(r"[a-z]{2,3}(?:-[a-z0-9]{2,8})*", re.IGNORECASE)
_DATED = re.compile(r"\d{4}-\d{1,2}-\d{1,2}-(?=.)")
_BRACES = re.compile(r"\{(\w*)\}")


class Languages:
    """The languages of the site, as articles and folders name them."""

    def __init__(self, site: Sequence[str], default: str, own: str) -> None:
        self._site = {code.casefold(): code for code in (*site, default)}
        self._rank = {code.casefold(): at for at, code in enumerate((default, *site))}
        self.own = self.tag(own) or default
        """Of an article that states none."""
        codes = "|".join(sorted((re.escape(code) for code in self._site), key=len, reverse=True))
        self._suffix = re.compile(rf"\.({codes})(?=\.[^./]+\Z)", re.IGNORECASE)
        self._any = re.compile(rf"\.(?:{codes})\.[^./\n]+$|(?:^|/)(?:{codes})/", re.IGNORECASE | re.MULTILINE)
        self._folder = re.compile(rf"(?:^|(?<=/))({codes})/", re.IGNORECASE)

    def tag(self, text: str) -> str | None:
        """Return a language as the site writes it: `en_GB` is `en` on a site in `en`; None when it is no tag."""
        tag = text.strip().replace("_", "-").partition(".")[0]
        if not _TAG.fullmatch(tag):
            return None
        folded = tag.casefold()
        return self._site.get(folded) or self._site.get(folded.partition("-")[0]) or _written(folded)

    def of_path(self, path: str) -> tuple[str | None, str]:
        """Return the language a path states (None: none) and the path without it.

        `name.ru.md` and `ru/name.md` are Russian when the site is; the outermost such folder counts.
        """
        match = self._suffix.search(path) or self._folder.search(path)
        if match is None:
            return None, path
        return self._site[match[1].casefold()], path[: match.start()] + path[match.end() :]

    def originals(self, paths: Iterable[str]) -> dict[str, str]:
        """Return, for each path that is a translation by its place, the path it translates.

        Files that differ only in their language belong together; the original is the one in the source's language, else
        in the site's first.
        """
        paths = list(paths)
        # One search over all names: most folders have no translations, and a re-scan passes here each time.
        if not self._any.search("\n".join(paths)):
            return {}
        groups: dict[str, list[tuple[int, str]]] = {}
        for path in paths:
            language, neutral = self.of_path(path)
            stem = neutral.rpartition(".")[0]
            rank = -1 if (language or self.own) == self.own else self._rank.get((language or "").casefold(), 99)
            groups.setdefault(stem, []).append((rank, path))
        found = {}
        for members in groups.values():
            (best, original), *others = sorted(members)
            # Two files in one language are not translations of each other.
            found.update({path: original for rank, path in others if rank != best})
        return found


class Address:
    """The pattern by which articles of a source get their address (config.values.URL_PLACEHOLDERS); it may be empty."""

    def __init__(self, pattern: str, site_url: str) -> None:
        self._pattern = pattern.strip()
        self._site_url = site_url

    def of(self, values: Mapping[str, str], day: date | None) -> str | None:
        """Return the address, None when the pattern is empty or asks for what the article does not have.

        `values` are slug, language, name and path, `day` the local date of publication.
        """
        if not self._pattern:
            return None
        known = dict(values)
        if day is not None:
            known |= {"year": f"{day:%Y}".zfill(4), "month": f"{day:%m}", "day": f"{day:%d}"}
        if any(not known.get(name) for name in _BRACES.findall(self._pattern)):
            return None
        filled = _BRACES.sub(lambda match: quote(known[match[1]], safe="/"), self._pattern)
        return urljoin(self._site_url, filled)


def name_of(path: str) -> str:
    """Return the name of an article's file: without folders, date and ending; that of the folder for `index.md`."""
    folder, _, file = path.rpartition("/")
    stem = file.rpartition(".")[0] or file
    if stem.casefold() == "index" and folder:
        stem = folder.rpartition("/")[2]
    return _DATED.sub("", stem, count=1) if _DATED.match(stem) else stem


def without_ending(path: str) -> str:
    """Return the path without the ending of its file, and without a final `index`."""
    stem = path.rpartition(".")[0]
    return stem.removesuffix("/index")


def title_of(name: str) -> str:
    """Return a title made from a file's name: `minsk-seeks_more` is "Minsk seeks more"."""
    words = " ".join(re.split(r"[-_\s]+", name)).strip()
    return words[:1].upper() + words[1:]


def _written(folded: str) -> str:
    """Return a tag in the usual letters: `zh-Hant-TW` (RFC 5646 §2.1.1)."""
    primary, *others = folded.split("-")
    styled = (
        part.upper() if len(part) == 2 else part.title() if len(part) == 4 and part.isalpha() else part
        for part in others
    )
    return "-".join((primary, *styled))
