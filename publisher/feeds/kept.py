"""What was made lately and may be wanted again: bounded in bytes, the least recently used goes first."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class Kept(Generic[Key, Value]):
    """Values by key, as many of them as `most` bytes hold; for one thread at a time."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._size = 0
        self._values: OrderedDict[Key, tuple[Value, int]] = OrderedDict()

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._values)

    def get(self, key: Key) -> Value | None:
        """Return the value of a key, which counts as used now; None when it is not there, or no more."""
        found = self._values.get(key)
        if found is None:
            return None
        self._values.move_to_end(key)
        return found[0]

    def put(self, key: Key, value: Value, size: int) -> None:
        """Keep a value of so many bytes; others go when it becomes too much, and itself when it alone is."""
        before = self._values.pop(key, None)
        self._size += size - (before[1] if before else 0)
        self._values[key] = value, size
        while self._size > self._most:
            _, (_, freed) = self._values.popitem(last=False)
            self._size -= freed
