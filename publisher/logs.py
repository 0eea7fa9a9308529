"""What may stand in a log line: no address of a reader, and no token that opens anything (spec delivery §8)."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping
from typing import Any

# What stands in quotes, or behind "=" or "/", is taken for an address without them, though a mailbox may hold them too.
_LOCAL = re.compile(r"[^\s<>()\[\]\"',;:@=/\\]*\Z")
_DOMAIN = re.compile(r"[^\s<>()\[\]\"',;:@/\\]{1,253}")
_LONGEST_LOCAL = 64  # RFC 5321 §4.5.3.1.1
_TOKEN_PATH = re.compile(r"(/(?:c|u|m|a|login)/)[A-Za-z0-9_.~-]{8,}")
_TOKEN_FIELD = re.compile(
    r"((?:token|password|secret|authorization)[\"']?\s*[=:]\s*[\"']?)[^\s\"'&,;}]+", re.IGNORECASE
)
_SHOWN = 8  # digits of the hash: enough to follow one reader through a log
_DEPTH = 8  # of values in values; what lies deeper is not logged


class Mask:
    """Masks addresses as `a***@d***#1f2e3d4c` and takes tokens out; the same key gives one reader one mask."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def __call__(self, _logger: object, _method: str, event: Mapping[str, Any]) -> dict[str, Any]:
        """Mask everything in an event: a processor of structlog, to stand behind those that make text."""
        return {name: self.value(value) for name, value in event.items()}

    def value(self, value: Any, depth: int = _DEPTH) -> Any:  # noqa: ANN401 - whatever is logged
        """Return a value with its texts masked; what is no text, number or collection becomes its masked text."""
        if value is None or isinstance(value, bool | int | float):
            return value
        if not depth:
            return "…"
        if isinstance(value, Mapping):
            return {self.text(str(key)): self.value(item, depth - 1) for key, item in value.items()}
        if isinstance(value, list | tuple | set | frozenset):
            return [self.value(item, depth - 1) for item in value]
        return self.text(value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value))

    def text(self, text: str) -> str:
        """Return a text without addresses and tokens."""
        if "/" in text:
            text = _TOKEN_PATH.sub(r"\1***", text)
        if "=" in text or ":" in text:
            text = _TOKEN_FIELD.sub(r"\1***", text)
        return self._without_addresses(text) if "@" in text else text

    def _without_addresses(self, text: str) -> str:
        """Mask what stands around each "@": at a cost that grows with the text alone, whatever a server said."""
        parts, end = [], 0
        for found in re.finditer("@", text):
            domain = _DOMAIN.match(text, found.end())
            if found.start() < end or domain is None:
                continue
            local = _LOCAL.search(text[max(end, found.start() - _LONGEST_LOCAL) : found.start()])
            name = local[0] if local else ""
            parts += [text[end : found.start() - len(name)], self._masked(name, domain[0])]
            end = domain.end()
        return "".join((*parts, text[end:]))

    def _masked(self, local: str, domain: str) -> str:
        named = f"{local}@{domain}".lower().encode("utf-8", "surrogatepass")
        digits = hmac.digest(self._key, named, hashlib.sha256).hex()
        return f"{local[:1]}***@{domain[0]}***#{digits[:_SHOWN]}"
