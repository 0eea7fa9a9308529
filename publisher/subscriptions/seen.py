"""Which rows of a file name somebody whom an earlier row named: ten to thirteen bytes a person, however many."""

from __future__ import annotations

from array import array

_PARTS = 4  # bits of a hash that choose a part: one part at a time is twice in memory, while it grows
_FIRST_SIZE = 256  # slots of a part


class Seen:
    """A set of texts that can only be added to, and keeps no text: 64 bits of its hash.

    Two of a million texts share those by chance once in thirty million files; that row would count as repeated.
    """

    def __init__(self) -> None:
        self._parts = [_Part() for _ in range(1 << _PARTS)]

    def add(self, text: str) -> bool:
        """Remember a text; whether it is new."""
        value = hash(text) & 0xFFFF_FFFF_FFFF_FFFF or 1  # 0 is an empty slot
        return self._parts[value >> (64 - _PARTS)].add(value)


class _Part:
    """Slots of which at most four in five are full: more would be found slowly, fewer would be memory for nothing."""

    __slots__ = ("_room", "_slots")

    def __init__(self) -> None:
        self._slots = array("Q", bytes(8 * _FIRST_SIZE))
        self._room = 4 * _FIRST_SIZE // 5

    def add(self, value: int) -> bool:
        if not self._room:
            self._grow()
        new = _put(self._slots, value)
        self._room -= new
        return new

    def _grow(self) -> None:
        size = len(self._slots)
        larger = array("Q", bytes(8 * (size * 5 // 4)))
        for value in self._slots:
            if value:
                _put(larger, value)
        self._slots = larger
        self._room = 4 * len(larger) // 5 - 4 * size // 5


def _put(slots: array[int], value: int) -> bool:
    """Put a value into the first free slot from its own on; False when it was there."""
    size = len(slots)
    place = value % size
    while (found := slots[place]) != value:
        if not found:
            slots[place] = value
            return True
        place += 1
        if place == size:
            place = 0
    return False
