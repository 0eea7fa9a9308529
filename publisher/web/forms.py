"""What a form sent: the fields of its body, read within limits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl

from starlette.exceptions import HTTPException
from starlette.requests import Request

MAX_BODY = 64 * 1024
"""Octets of the largest form: a hundred categories in ten newsletters are a tenth of it."""
MAX_FIELDS = 1000


@dataclass(frozen=True, slots=True)
class Form:
    """Names and values as somebody sent them: nothing in it is believed."""

    fields: Mapping[str, tuple[str, ...]]

    def one(self, name: str) -> str:
        """Return the first value of a field without space around it; empty when there is none."""
        return self.fields.get(name, ("",))[0].strip()

    def all(self, name: str) -> tuple[str, ...]:
        """Return every value of a field."""
        return self.fields.get(name, ())

    def has(self, name: str) -> bool:
        """Whether the field was sent at all."""
        return name in self.fields


async def read(request: Request) -> Form:
    """Return the form of a post. Raises HTTPException 413 for one that is too large, 400 for one without end."""
    if int(_digits(request.headers.get("content-length", ""))) > MAX_BODY:
        raise HTTPException(413)
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY:
            raise HTTPException(413)
    return parsed(body)


def parsed(body: bytes) -> Form:
    """Return the fields of an urlencoded body. Raises HTTPException 400 for more of them than any form has."""
    try:
        pairs = parse_qsl(
            body.decode("utf-8", "replace"), keep_blank_values=True, errors="replace", max_num_fields=MAX_FIELDS
        )
    except ValueError:
        raise HTTPException(400) from None
    fields: dict[str, tuple[str, ...]] = {}
    for name, value in pairs:
        # PostgreSQL refuses to be asked for a NUL.
        fields[name] = (*fields.get(name, ()), value.replace("\0", "\N{REPLACEMENT CHARACTER}"))
    return Form(fields)


def _digits(text: str) -> str:
    return text if text.isascii() and text.isdigit() and len(text) < 20 else "0"
