"""The clock and the dice: the one place where they are read, so that every decision can be repeated in a test."""

from __future__ import annotations

import random
import secrets
from datetime import UTC, datetime


def now() -> datetime:
    """Return the current moment in UTC."""
    return datetime.now(UTC)


def hexadecimal() -> str:
    """Return 32 random hexadecimal digits: a name that nobody may guess."""
    return secrets.token_hex(16)


def key() -> bytes:
    """Return 32 random bytes."""
    return secrets.token_bytes(32)


def dice() -> float:
    """Return a random number from 0 up to 1."""
    return random.random()  # noqa: S311 - spreads retries; guards nothing
