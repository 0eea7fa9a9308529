"""One article keeps one identity, whatever happens to its file."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from publisher.identity import derived_guids, likely_moves, match
from publisher.model import ArticleState, Draft, Known, Skipped

MAY = datetime(2026, 5, 1, tzinfo=UTC)
JUNE = datetime(2026, 6, 1, tzinfo=UTC)


def draft(
    key: str,
    content: str = "",
    *,
    guid: str | None = None,
    aliases: tuple[str, ...] = (),
    date: datetime | None = MAY,
    translation_of: str | None = None,
    title: str = "",
) -> Draft:
    return Draft(
        key=key,
        path=key,
        guid=guid,
        aliases=aliases,
        title=title or key,
        html="",
        summary="",
        slug="a",
        language="en",
        published_at=date,
        translation_of=translation_of,
        content_hash=content or key,
    )


def known(
    number: int,
    *keys: str,
    content: str = "",
    guid: str = "",
    source: str = "news",
    state: ArticleState = ArticleState.PUBLISHED,
    by: str | None = None,
    date: datetime = MAY,
) -> Known:
    return Known(
        id=number,
        guid=guid or f"guid-{number}",
        source=source,
        keys=keys,
        title=keys[0] if keys else "",
        content_hash=content or (keys[0] if keys else ""),
        published_at=date,
        updated_at=date,
        state=state,
        state_before=ArticleState.PUBLISHED if by else None,
        withdrawn_by=by,
        has_seq=True,
    )


def told(drafts: list[Draft], gone: set[str], items: list[Known], others: set[str] | None = None) -> dict[str, object]:
    """What became of each draft and each lost article, in words: key → id, "new", or the reason of the refusal."""
    found = match("news", drafts, gone, items, others or set())
    result: dict[str, object] = {matched.key: item.id for matched, item in found.known}
    result |= {matched.key: "new" for matched in found.new}
    result |= {skip.path: skip.reason for skip in found.refused}
    return result | {f"lost {item.id}": item.keys for item in found.lost}


def test_the_same_file_is_the_same_article_whatever_it_says_now() -> None:
    assert told([draft("a.md", "edited")], set(), [known(1, "a.md")]) == {"a.md": 1}


def test_a_file_never_seen_is_a_new_article() -> None:
    assert told([draft("b.md")], set(), [known(1, "a.md")]) == {"b.md": "new"}


def test_a_renamed_file_is_the_same_article() -> None:
    """A9."""
    assert told([draft("b.md", "text")], {"a.md"}, [known(1, "a.md", content="text")]) == {"b.md": 1}


def test_moved_and_edited_at_once_is_new_and_the_old_one_is_lost() -> None:
    drafts, items = [draft("b.md", "edited")], [known(1, "a.md", content="text")]
    assert told(drafts, {"a.md"}, items) == {"b.md": "new", "lost 1": ("a.md",)}
    assert likely_moves(drafts, items) == {"b.md": items[0]}
    assert likely_moves([draft("b.md", "edited", date=JUNE)], items) == {}
    assert likely_moves([draft("c/a.md", "edited", date=JUNE)], items) == {"c/a.md": items[0]}


def test_moved_and_edited_at_once_keeps_an_article_that_states_its_guid() -> None:
    drafts = [draft("b.md", "edited", guid="tag:1")]
    assert told(drafts, {"a.md"}, [known(1, "a.md", content="text", guid="tag:1")]) == {"b.md": 1}


def test_an_alias_keeps_an_article_whose_key_changed() -> None:
    drafts = [draft("new-title", "edited", aliases=("page.txt",))]
    assert told(drafts, set(), [known(1, "old-title", "page.txt")]) == {"new-title": 1}


def test_a_key_outweighs_an_alias() -> None:
    drafts = [draft("a", aliases=("page.txt",)), draft("page.txt")]
    assert told(drafts, set(), [known(1, "page.txt"), known(2, "other", "old.txt")]) == {"a": "new", "page.txt": 1}


def test_a_guid_outweighs_a_path() -> None:
    """Two files swapped, each stating its guid."""
    items = [known(1, "a.md", guid="tag:1"), known(2, "b.md", guid="tag:2")]
    assert told([draft("a.md", guid="tag:2"), draft("b.md", guid="tag:1")], set(), items) == {"a.md": 2, "b.md": 1}


def test_a_file_that_gains_a_guid_stays_the_article_it_was() -> None:
    assert told([draft("a.md", "edited", guid="tag:9")], set(), [known(1, "a.md")]) == {"a.md": 1}


def test_of_two_new_files_with_one_guid_the_first_is_taken_and_the_other_names_both() -> None:
    """A8."""
    assert told([draft("b.md", guid="tag:1"), draft("a.md", guid="tag:1")], set(), []) == {
        "a.md": "new",
        "b.md": "its guid tag:1 is that of a.md already; change one of the two",
    }


def test_of_two_files_with_one_guid_the_one_already_known_is_taken() -> None:
    """A8."""
    reason = "its guid tag:1 is that of b.md already; change one of the two"
    item = known(1, "b.md", guid="tag:1")
    both = [draft("a.md", guid="tag:1"), draft("b.md", "edited", guid="tag:1")]
    assert told(both, set(), [item]) == {"a.md": reason, "b.md": 1}
    # The file that holds it may be unchanged, and so not among the drafts.
    assert told(both[:1], set(), [item]) == {"a.md": reason}


def test_a_file_that_takes_the_guid_of_another_loses_nothing() -> None:
    """A8: a.md was article 1; what it says now belongs to b.md, which is still there."""
    items = [known(1, "a.md"), known(2, "b.md", guid="tag:2")]
    assert told([draft("a.md", guid="tag:2")], set(), items) == {
        "a.md": "its guid tag:2 is that of b.md already; change one of the two"
    }


def test_a_file_written_over_another_is_the_article_whose_guid_it_states() -> None:
    items = [known(1, "a.md", guid="tag:1"), known(2, "b.md", guid="tag:2")]
    assert told([draft("a.md", guid="tag:2")], {"b.md"}, items) == {"a.md": 2, "lost 1": ("a.md",)}


def test_a_guid_held_by_another_source_is_refused_with_both_names() -> None:
    items = [known(1, "2026/a.md", guid="tag:1", source="archive")]
    assert told([draft("a.md", guid="tag:1")], set(), items, {"archive"}) == {
        "a.md": "its guid tag:1 is that of 2026/a.md in the source 'archive' already; keep one of the two"
    }


@pytest.mark.parametrize(
    ("others", "state", "by", "becomes"),
    [
        (set(), ArticleState.PUBLISHED, None, 1),  # the other source is configured no more
        ({"archive"}, ArticleState.WITHDRAWN, "source", 1),  # it let the article go
        (set(), ArticleState.WITHDRAWN, "operator", 1),  # and stays withdrawn
        ({"archive"}, ArticleState.WITHDRAWN, "operator", None),  # L11: no other source brings it back
    ],
)
def test_an_article_follows_its_guid_from_a_source_that_let_it_go(
    others: set[str], state: ArticleState, by: str | None, becomes: int | None
) -> None:
    items = [known(1, "a.md", guid="tag:1", source="archive", state=state, by=by)]
    found = told([draft("a.md", guid="tag:1")], set(), items, others)
    assert found["a.md"] == becomes if becomes else "already" in str(found["a.md"])


def test_a_restored_file_is_the_article_it_was_also_under_another_name() -> None:
    """A10."""
    withdrawn = known(1, "a.md", content="text", state=ArticleState.WITHDRAWN, by="source")
    assert told([draft("a.md", "text")], set(), [withdrawn]) == {"a.md": 1}
    assert told([draft("b.md", "text")], {"a.md"}, [withdrawn]) == {"b.md": 1}
    assert told([draft("b.md", "text")], set(), [withdrawn]) == {"b.md": 1}


def test_a_copy_is_refused_while_the_file_it_copies_is_there() -> None:
    """A8: nothing published twice."""
    item = known(1, "a.md", content="text")
    reason = "says the same as a.md, under the same date; change or remove one of the two"
    assert told([draft("b.md", "text")], set(), [item]) == {"b.md": reason}
    assert told([draft("b.md", "text", date=None)], set(), [item]) == {"b.md": reason}
    assert told([draft("a.md", "text"), draft("b.md", "text")], set(), []) == {"a.md": "new", "b.md": reason}
    withdrawn = known(1, "a.md", content="text", state=ArticleState.WITHDRAWN, by="operator")
    assert told([draft("b.md", "text")], set(), [withdrawn]) == {"b.md": reason}


def test_the_same_notice_on_another_day_and_an_unfinished_translation_are_no_copies() -> None:
    item = known(1, "a.md", content="text")
    assert told([draft("b.md", "text", date=JUNE)], set(), [item]) == {"b.md": "new"}
    assert told([draft("a.ru.md", "text", translation_of="a.md")], set(), [item]) == {"a.ru.md": "new"}
    drafts = [draft("b.md", "text", date=JUNE), draft("c.md", "text", date=MAY)]
    assert told(drafts, set(), []) == {"b.md": "new", "c.md": "new"}


def test_equal_articles_that_move_find_their_own_dates() -> None:
    items = [known(1, "a.md", content="text", date=JUNE), known(2, "b.md", content="text", date=MAY)]
    drafts = [draft("c.md", "text", date=MAY), draft("d.md", "text", date=JUNE)]
    assert told(drafts, {"a.md", "b.md"}, items) == {"c.md": 2, "d.md": 1}


def test_an_article_with_a_key_left_is_not_lost() -> None:
    item = known(1, "title", "page.txt")
    assert told([], {"page.txt"}, [item]) == {}
    assert told([], {"page.txt", "title"}, [item]) == {"lost 1": ("title", "page.txt")}


def test_what_is_withdrawn_is_not_lost_again() -> None:
    for by in ("source", "operator"):
        assert told([], {"a.md"}, [known(1, "a.md", state=ArticleState.WITHDRAWN, by=by)]) == {}


def test_one_key_twice_is_refused() -> None:
    twice = draft("a.md", "other")
    found = match("news", [draft("a.md"), twice], set(), [])
    assert (found.new, found.refused) == (
        (draft("a.md"),),
        (Skipped("a.md", "a.md is the same article; keep one of the two"),),
    )


def test_derived_guids_are_the_same_for_ever() -> None:
    """DESIGN §4, Guid: these were given out; a program that makes others breaks every reader's memory."""
    assert tuple(derived_guids("example.org", "news", draft("2026/a.md", "text"))) == (
        "urn:uuid:b2a72fb8-ce6f-59b6-902e-d099b0acdfc7",
        "urn:uuid:879f6c0a-297c-549b-88d0-ebf334183afe",
    )
