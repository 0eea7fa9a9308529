"""The license of an article: an address, found in what people write, and a name for it that people read."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from publisher.markup.urls import absolute
from publisher.model import UNSPECIFIED_LICENSE, Article

# As SPDX and as Creative Commons write them: `CC-BY-SA-4.0`, `CC BY-NC 4.0 International`, `CC0`.
_NAMED = re.compile(
    r"CC[\s_-]?(BY(?:[\s_-](?:NC|SA|ND)){0,2})[\s_-]+v?(\d\.\d)(?:\s+(?:International|Unported))?|"
    r"CC[\s_-]?(0|Zero)(?:[\s_-]+(?:v?1\.0)?(?:\s+Universal)?)?",
    re.IGNORECASE,
)
# As themes want it: `<a rel="license" href="https://…">CC BY</a>`.
_INSIDE = re.compile(r"https?://[^\s\"'<>()\[\]]+", re.IGNORECASE)
_PLACE = re.compile(r"/(?:licenses/([a-z]+(?:-[a-z]+)*)|publicdomain/zero)/(\d\.\d)(?:/([a-z]{2,3}))?(?:/.*)?\Z")
_COMMONS = ("creativecommons.org", "www.creativecommons.org")


def address_of(text: str, site_url: str) -> str | None:
    """Return the absolute http(s) address of a license that is stated by address or by a Creative Commons name.

    The address may stand in a sentence, in Markdown or in HTML; one that begins with `/` is of the site. None for words
    that have no address, for example "All rights reserved". Raises ValueError for an address that is none: a slip must
    not put an article under another license than its author chose.
    """
    text = " ".join(text.split())
    if named := _NAMED.fullmatch(text):
        if named[3]:
            return "https://creativecommons.org/publicdomain/zero/1.0/"
        kind = re.sub(r"[\s_]", "-", named[1]).lower()
        return f"https://creativecommons.org/licenses/{kind}/{named[2]}/"
    inside = _INSIDE.search(text)
    if inside and (url := absolute(inside[0].rstrip(".,;") if inside[0] != text else text, None)):
        return url
    if " " in text or ("://" not in text and not text.startswith("/")):
        return None
    url = absolute(text, site_url)
    if url is None:
        raise ValueError(
            f"{text[:120]!r} is no address of a license, such as 'https://creativecommons.org/licenses/by/4.0/'"
        )
    return url


def name_of(url: str) -> str:
    """Return what people call the license at an address: `CC BY-SA 4.0`; of others the name of the host."""
    parts = urlsplit(url)
    if parts.hostname in _COMMONS and (place := _PLACE.match(parts.path)):
        kind = f"CC {place[1].upper()}" if place[1] else "CC0"
        return " ".join(filter(None, (kind, place[2], (place[3] or "").upper())))
    return (parts.hostname or url).removeprefix("www.")


def license_of(article: Article, publication: str) -> str:
    """Return the address of the license of an article: its own, else that of the publication; "" where neither is.

    `publication` is the license of the publication, or "". It does not hold for what others published first, nor for
    an article that states another in words: then it is UNSPECIFIED_LICENSE, by which a feed takes back what its head
    says (RFC 4946 §2.1).
    """
    own = article.license
    if own and own != UNSPECIFIED_LICENSE:
        return own
    if not publication:
        return ""
    return UNSPECIFIED_LICENSE if own or article.origin else publication
