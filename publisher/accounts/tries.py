"""How often somebody may try to log in: wrong links are counted for each client and for all together (L3)."""

from __future__ import annotations

from collections import OrderedDict, deque
from datetime import datetime, timedelta
from math import ceil

WINDOW = timedelta(minutes=15)
MOST_OF_CLIENT = 5
MOST_OF_ALL = 50
"""Of many clients at once: more than people mistype, far less than guessing would take."""
_MOST_CLIENTS = 1_000  # more are invented; the count of all holds them too


class Tries:
    """Counts in memory who failed lately. A restart forgets, and a link has 256 bits that nobody guesses in between."""

    def __init__(self) -> None:
        self._all: deque[datetime] = deque(maxlen=MOST_OF_ALL)
        self._of: OrderedDict[str, deque[datetime]] = OrderedDict()

    def wait(self, client: str, now: datetime) -> int:
        """Return after how many seconds this client may try again; 0: now."""
        return max(_wait(self._of.get(client, deque()), MOST_OF_CLIENT, now), _wait(self._all, MOST_OF_ALL, now))

    def failed(self, client: str, now: datetime) -> None:
        """Count a try that failed."""
        self._all.append(now)
        self._of.setdefault(client, deque(maxlen=MOST_OF_CLIENT)).append(now)
        self._of.move_to_end(client)
        if len(self._of) > _MOST_CLIENTS:
            self._of.popitem(last=False)


def _wait(failures: deque[datetime], most: int, now: datetime) -> int:
    if len(failures) < most:
        return 0
    # The oldest of the last `most`: once it has left the window there is room for one more.
    return max(0, ceil((failures[0] + WINDOW - now).total_seconds()))
