"""Why deliveries failed, in the server's words, grouped: what differs from reader to reader is left out. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from publisher.logs import Mask
from publisher.model import DeliveryState
from publisher.store.tallies import Reason

_MASK = Mask(b"one address is like any other here")
_MASKED = re.compile(r"<?[^\s<>]?\*\*\*@[^\s<>]?\*\*\*#[0-9a-f]{8}>?")
_NUMBER = re.compile(r"\b(?=[A-Za-z_-]*\d)[A-Za-z0-9_-]{9,}\b")
"""A queue's number for one message, a request's id: long, of letters and digits."""
_LONGEST = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """Deliveries in one state for one reason."""

    state: DeliveryState
    words: str
    deliveries: int


def causes(reasons: Iterable[Reason]) -> list[Cause]:
    """Return the reasons with those alike put together, the most frequent first; no address is left in their words."""
    found: dict[tuple[DeliveryState, str], int] = {}
    for one in reasons:
        key = one.state, anonymous(one.words) or anonymous(one.reason)
        if one.code is not None and one.words and not one.words.startswith(str(one.code)):
            key = one.state, f"{one.code} {key[1]}"
        found[key] = found.get(key, 0) + one.deliveries
    listed = [Cause(state=state, words=words, deliveries=number) for (state, words), number in found.items()]
    return sorted(listed, key=lambda cause: (-cause.deliveries, cause.state, cause.words))


def anonymous(text: str) -> str:
    """Return a server's words without addresses and without what differs from message to message."""
    masked = _MASKED.sub("[address]", _MASK.text(text))
    return _NUMBER.sub("[…]", masked)[:_LONGEST].strip()
