"""What the pages about issues count in the background: one count for the overview, one for each issue looked at."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from publisher.model import Issue
from publisher.store import contents, issues, tallies
from publisher.store.contents import SegmentReaders
from publisher.store.database import Connection
from publisher.store.tallies import Reason, Tally
from publisher.web import Parts
from publisher.web.admin.lately import Lately

LATEST = 6
"""Issues on the overview."""
SEGMENTS = 30
"""Segments of an issue that its page lists."""
_MOST = 64  # issues whose last count is kept


@dataclass(frozen=True, slots=True, kw_only=True)
class OfIssue:
    """An issue, its numbers, and why deliveries were not sent."""

    issue: Issue
    tally: Tally
    reasons: tuple[Reason, ...]
    segments: tuple[SegmentReaders, ...]
    """Those with the most readers."""
    segments_number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OfAll:
    """The latest issues with their numbers, and where uncertain deliveries wait for somebody."""

    latest: tuple[tuple[Issue, Tally], ...]
    uncertain: dict[str, int]


class Numbers:
    """Counts that outlive a page."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self.all = Lately(self._of_all, parts.clock)
        self._of: OrderedDict[str, Lately[OfIssue | None]] = OrderedDict()

    def of(self, ref: str) -> Lately[OfIssue | None]:
        """Return what counts an issue; it counts None where there is none."""
        if ref not in self._of:

            def work(conn: Connection) -> OfIssue | None:
                for issue in issues.uncounted(conn, ref=ref):
                    listed, number = contents.segment_readers(conn, issue.id, limit=SEGMENTS)
                    return OfIssue(
                        issue=issue,
                        tally=tallies.tally(conn, issue.id),
                        reasons=tuple(tallies.reasons(conn, issue.id)),
                        segments=tuple(listed),
                        segments_number=number,
                    )
                return None

            self._of[ref] = Lately(lambda: self._parts.database.aread(work), self._parts.clock)
            if len(self._of) > _MOST:
                self._of.popitem(last=False)
        self._of.move_to_end(ref)
        return self._of[ref]

    def hurry(self) -> None:
        """Count again at the next question, because something was changed just now."""
        self.all.hurry()
        for one in self._of.values():
            one.hurry()

    async def _of_all(self) -> OfAll:
        def work(conn: Connection) -> OfAll:
            latest = issues.uncounted(conn, limit=LATEST)
            return OfAll(
                latest=tuple((issue, tallies.tally(conn, issue.id)) for issue in latest),
                uncertain=tallies.uncertain(conn),
            )

        return await self._parts.database.aread(work)
