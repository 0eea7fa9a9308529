"""Which rows of a file name somebody whom an earlier row named: sixteen bytes a person, however long the file."""

from __future__ import annotations

from array import array

_FIRST_SIZE = 1 << 12  # slots; a power of two, doubled when two thirds are full


class Seen:
    """A set of texts that can only be added to, and keeps no text: 64 bits of its hash.

    Two of a million texts share those by chance once in thirty million files; that row would count as repeated.
    """

    def __init__(self) -> None:
        self._slots = array("Q", bytes(8 * _FIRST_SIZE))
        self._used = 0

    def add(self, text: str) -> bool:
        """Remember a text; whether it is new."""
        if 3 * self._used >= 2 * len(self._slots):
            self._grow()
        if self._put(self._slots, hash(text) & 0xFFFF_FFFF_FFFF_FFFF or 1):  # 0 is an empty slot
            self._used += 1
            return True
        return False

    @staticmethod
    def _put(slots: array[int], value: int) -> bool:
        mask = len(slots) - 1
        place = value & mask
        while (found := slots[place]) != value:
            if not found:
                slots[place] = value
                return True
            place = (place + 1) & mask
        return False

    def _grow(self) -> None:
        larger = array("Q", bytes(16 * len(self._slots)))
        for value in self._slots:
            if value:
                self._put(larger, value)
        self._slots = larger
