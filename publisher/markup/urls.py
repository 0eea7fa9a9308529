"""Addresses inside articles: absolute, of a harmless scheme, written in characters every reader accepts."""

from __future__ import annotations

import re
from urllib.parse import quote, urljoin, urlsplit, urlunsplit

_SCHEME = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*(?=:)")
# What browsers ignore inside an address (WHATWG URL §4.4), and so a way to hide a scheme.
_IGNORED = re.compile(r"[\t\n\r]")
_C0_OR_SPACE = "".join(map(chr, range(0x21)))
_SAFE = "!#$%&'()*+,/:;=?@[]~"
# An address that ends in a comma has no descriptor; a comma inside one belongs to it.
_CANDIDATE = re.compile(r"([^\s,]\S*),(?=\s|\Z)|([^\s,]\S*)([^,]*)")
_PLAIN = re.compile(r"[A-Za-z0-9._!#$%&'()*+,/:;=?@\[\]~-]*")


def absolute(value: str, base_url: str | None, *, mailto: bool = False) -> str | None:
    """Return the address absolute and http or https (or mailto, where asked for); None when it cannot be or must not.

    `//host/path` takes the scheme of the base. A bare `#fragment` counts only below a base that is a page: the home
    page of a site holds no footnotes. Backslashes are refused: browsers read them as slashes, other programs do not.
    """
    value = _IGNORED.sub("", value).strip(_C0_OR_SPACE)
    scheme = _SCHEME.match(value)
    if scheme and scheme.group().lower() == "mailto":
        return value if mailto and "@" in value and _PLAIN.fullmatch(value) else None
    if value in ("", "#") or "\\" in re.split(r"[?#]", value, maxsplit=1)[0]:
        return None
    try:
        if scheme is None:
            if base_url is None or (value[0] == "#" and urlsplit(base_url).path in ("", "/")):
                return None
            value = urljoin(base_url, value)
        return _normal(value)
    except ValueError:  # a port that is no number, a bracket that is never closed
        return None


def srcset(value: str, base_url: str | None) -> str | None:
    """Return the candidates of a `srcset` (WHATWG HTML §4.8.4.2.1) absolute, without the unusable ones."""
    candidates = []
    for alone, url, descriptor in _CANDIDATE.findall(value):
        address = absolute((alone or url).rstrip(","), base_url)
        if address is not None:
            candidates.append(" ".join([address, *descriptor.split()]))
    return ", ".join(candidates) or None


def _normal(url: str) -> str | None:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        return None
    _ = parts.port  # raises ValueError when it is none
    if _PLAIN.fullmatch(url):
        return url
    if not re.fullmatch(r"[^\s\x00-\x20<>\"`{|}^]+", parts.netloc):
        return None
    path, query, fragment = (quote(part, safe=_SAFE) for part in (parts.path, parts.query, parts.fragment))
    return urlunsplit((parts.scheme, parts.netloc, path, query, fragment))
