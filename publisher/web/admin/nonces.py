"""What makes a form ours and good once: a number that the session's secret has signed for one address."""

from __future__ import annotations

import hashlib
import hmac
import re

FIELD = "form"
"""Name of the hidden field."""

_TEXT = re.compile(r"([0-9a-f]{32})\.([0-9a-f]{32})\Z")


def nonce(secret: str, path: str, once: str) -> str:
    """Return the value of the hidden field of a form that is sent to `path`. `once`: 32 random hexadecimal digits."""
    return f"{once}.{_mac(secret, path, once)}"


def once_of(secret: str, path: str, text: str) -> str | None:
    """Return what tells this form from every other, None for one that this session was not shown for this address."""
    found = _TEXT.match(text)
    if found is None or not hmac.compare_digest(found[2], _mac(secret, path, found[1])):
        return None
    return found[1]


def _mac(secret: str, path: str, once: str) -> str:
    said = f"{path}\0{once}".encode("utf-8", "surrogatepass")
    return hmac.digest(secret.encode("utf-8", "surrogatepass"), said, hashlib.sha256).hex()[:32]
