"""What is not sent before somebody has looked at it."""

from __future__ import annotations

import pytest

from publisher.digests.guard import Facts, hold_reason


@pytest.mark.parametrize(
    ("readers", "last", "articles", "repeated", "approval", "reason"),
    [
        (100, None, 5, 0, False, ""),
        (150, 100, 5, 0, False, ""),
        (151, 100, 5, 0, False, "151 readers, and the last issue went to 100"),
        (99, 10, 5, 0, False, ""),
        (5000, 0, 5, 0, False, "5000 readers, and the last issue went to 0"),
        (10, 10, 4, 2, False, ""),
        (10, 10, 4, 3, False, "3 of 4 articles were in an earlier issue"),
        (10, 10, 4, 0, True, "every issue of this newsletter waits for approval"),
    ],
)
def test_an_issue_that_looks_like_an_accident_is_held(
    readers: int, last: int | None, articles: int, repeated: int, approval: bool, reason: str
) -> None:
    """Spec delivery §5.4, big-send guard: more than 1.5 times the readers, or more than half repeated."""
    facts = Facts(readers=readers, last_readers=last, articles=articles, repeated=repeated)
    assert hold_reason(facts, approval=approval) == reason
