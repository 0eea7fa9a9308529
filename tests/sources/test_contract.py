"""What every kind of source promises; a new kind joins by one more entry in KINDS."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, timedelta
from pathlib import Path
from typing import Any

import pytest

from publisher.errors import SourceError
from publisher.model import Collected, Draft, Skipped
from publisher.sources import scan
from publisher.sources.memory import ask_again

from .conftest import Place

MARKDOWN = """---
title: {title}
date: 2017-05-22 13:45
---
{text}
"""

PAGE = """header -->

{title}

Category status:
May 22, 2017 13:45
Photo: Ann

{text}

Recent trends
"""


@dataclass(frozen=True)
class Kind:
    """How to write an article and a broken file for one kind of source."""

    name: str
    article: str
    broken: str
    ending: str

    def file(self, title: str = "Bridge opened", text: str = "The bridge was opened.") -> str:
        return self.article.format(title=title, text=text)


KINDS = (
    Kind("folder", MARKDOWN, "---\ntitle: [\n---\n", ".md"),
    Kind("pages", PAGE, "only a line", ".txt"),
)


@dataclass
class Case:
    """A place together with its kind."""

    place: Place
    kind: Kind

    def write(self, name: str, *, age: float = 3600, **texts: str) -> Path:
        return self.place.write(name + self.kind.ending, self.kind.file(**texts), age=age)

    def break_(self, name: str) -> Path:
        return self.place.write(name + self.kind.ending, self.kind.broken)


@pytest.fixture(params=KINDS, ids=lambda kind: kind.name)
def case(request: pytest.FixtureRequest, tmp_path: Path) -> Case:
    root = tmp_path / "articles"
    root.mkdir()
    return Case(Place(root, {"kind": request.param.name}), request.param)


def titles(collected: Collected) -> list[str]:
    return sorted(draft.title for draft in collected.drafts)


def keys(drafts: tuple[Draft, ...]) -> frozenset[str]:
    return frozenset(key for draft in drafts for key in (draft.key, *draft.aliases))


def test_it_says_its_kind_and_name(case: Case) -> None:
    source = case.place.source()
    assert (source.kind, source.name) == (case.kind.name, "news")


def test_a_draft_is_whole(case: Case) -> None:
    """Every draft has what ingest relies upon: key, title, categories, a UTC date and a content hash."""
    case.write("a")
    (draft,) = case.place.collect().drafts
    assert draft.key
    assert draft.title == "Bridge opened"
    assert draft.html == "<p>The bridge was opened.</p>"
    assert draft.summary == "The bridge was opened."
    assert draft.slug
    assert draft.language == "en"
    assert draft.categories == ("uncategorised",)
    assert draft.published_at is not None
    assert draft.published_at.isoformat() == "2017-05-22T10:45:00+00:00"
    assert draft.published_at.tzinfo is UTC
    assert len(draft.content_hash) == 64


def test_an_unchanged_file_is_not_read_again(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    case.write("a")
    case.write("b", title="Second")
    assert len(case.place.collect().drafts) == 2
    opened: list[object] = []
    real = os.open

    def noting(*args: Any) -> int:
        opened.append(args)
        return real(*args)

    monkeypatch.setattr(os, "open", noting)
    again = case.place.collect()
    assert (again.drafts, again.present, opened) == ((), 2, [])


def test_only_the_changed_file_comes_again(case: Case) -> None:
    case.write("a")
    case.write("b", title="Second")
    case.place.collect()
    case.write("b", title="Second", text="Now with more.", age=60)
    (draft,) = case.place.collect().drafts
    assert (draft.title, draft.html) == ("Second", "<p>Now with more.</p>")


def test_the_state_is_json_and_survives_storing(case: Case) -> None:
    case.write("a")
    case.break_("b")
    state = case.place.collect().state
    stored = json.loads(json.dumps(state))
    assert stored == state
    case.place.state = stored
    again = case.place.collect()
    assert (again.drafts, again.state) == ((), stored)


def test_one_bad_file_never_stops_the_others(case: Case) -> None:
    """A: every bad file is skipped with its own reason, and stays listed while it is unchanged."""
    case.write("a")
    case.break_("b")
    case.place.write(f"c{case.kind.ending}", b"\xff\xfe\x00")
    case.write("d", title="Last")
    first = case.place.collect()
    assert titles(first) == ["Bridge opened", "Last"]
    assert [skip.path for skip in first.skipped] == [f"b{case.kind.ending}", f"c{case.kind.ending}"]
    assert all(skip.kind == "problem" for skip in first.skipped)
    again = case.place.collect()
    assert (again.drafts, again.skipped) == ((), first.skipped)


def test_a_mended_file_is_taken(case: Case) -> None:
    case.break_("a")
    case.place.collect()
    case.write("a", age=60)
    collected = case.place.collect()
    assert (titles(collected), collected.skipped) == (["Bridge opened"], ())


def test_a_file_that_breaks_does_not_withdraw_its_article(case: Case) -> None:
    """A mistake in a file is a problem to mend, not a wish to take the article back."""
    case.write("a")
    case.place.collect()
    case.break_("a")
    broken = case.place.collect()
    assert (broken.gone, broken.present, len(broken.skipped)) == (frozenset(), 1, 1)
    case.write("a", age=60)
    mended = case.place.collect()
    assert (mended.drafts, mended.gone, mended.skipped) == ((), frozenset(), ())


def test_what_is_gone_is_reported_until_it_returns(case: Case) -> None:
    """A10: a file deleted, then restored, is the same article."""
    kept = case.kind.file(title="Second")
    case.write("a")
    file = case.write("b", title="Second")
    (second,) = (draft for draft in case.place.collect().drafts if draft.title == "Second")
    file.unlink()
    for _ in range(2):
        away = case.place.collect()
        assert (away.drafts, away.present) == ((), 1)
        assert away.gone == keys((second,))
    case.place.write(f"b{case.kind.ending}", kept)
    back = case.place.collect()
    assert (back.drafts, back.gone, back.present) == ((second,), frozenset(), 2)


def test_times_of_all_files_reset_give_no_draft(case: Case) -> None:
    """A11: identity is not mtime; a clone or restore brings nothing new."""
    paths = [case.write("a"), case.write("b", title="Second")]
    case.place.collect()
    for path in paths:
        os.utime(path, (1_700_000_000, 1_700_000_000))
    again = case.place.collect()
    assert (again.drafts, again.present) == ((), 2)


def test_an_empty_folder_is_not_an_error(case: Case) -> None:
    """A12: what it means that all is gone, ingest decides."""
    case.write("a").rename(case.place.root.parent / "away")
    assert case.place.collect() == Collected(drafts=(), state=case.place.state)


def test_everything_gone_at_once_is_told(case: Case) -> None:
    """A12."""
    file = case.write("a")
    drafts = case.place.collect().drafts
    file.unlink()
    empty = case.place.collect()
    assert (empty.drafts, empty.present, empty.gone) == ((), 0, keys(drafts))


def test_a_missing_folder_is_a_source_error_and_changes_nothing(case: Case) -> None:
    """A12: an unmounted folder."""
    case.write("a")
    case.place.collect()
    away = case.place.root.rename(case.place.root.parent / "away")
    with pytest.raises(
        SourceError, match=r"source 'news': .*articles cannot be read: No such file or directory; is it mounted"
    ):
        case.place.collect()
    away.rename(case.place.root)
    assert case.place.collect().drafts == ()


def test_a_folder_out_of_sight_withdraws_nothing(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    case.write("sub/a")
    case.write("b", title="Second")
    case.place.collect()
    real = os.scandir

    def failing(path: Any) -> Any:
        if str(path).endswith("sub"):
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr(os, "scandir", failing)
    hidden = case.place.collect()
    assert (hidden.gone, hidden.present, hidden.drafts) == (frozenset(), 2, ())
    assert hidden.skipped == (Skipped("sub", "the folder cannot be read: Permission denied"),)


def test_the_order_of_drafts_does_not_depend_on_the_order_of_files(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("c", "a", "x/b"):
        case.write(name, title=f"Title {name}")
    first = case.place.source().collect({}, now=case.place.now)
    monkeypatch.setattr(scan._Walker, "look", _reversed(scan._Walker.look))
    second = case.place.source().collect({}, now=case.place.now)
    assert first == second
    assert [draft.key for draft in first.drafts] == sorted(draft.key for draft in first.drafts)


def _reversed(look: Callable[..., list[str]]) -> Callable[..., list[str]]:
    def reverse(self: Any, folder: str) -> list[str]:
        found = look(self, folder)
        self._files.reverse()
        return found[::-1]

    return reverse


def test_changed_settings_read_everything_again(case: Case) -> None:
    case.write("a")
    (before,) = case.place.collect().drafts
    case.place.settings["timezone"] = "UTC"
    (after,) = case.place.collect().drafts
    assert before.published_at is not None
    assert after.published_at == before.published_at + timedelta(hours=3)
    case.place.settings["every"] = "1h"
    assert case.place.collect().drafts == ()


def test_an_article_not_taken_is_brought_again(case: Case) -> None:
    """A8: an article refused for another's sake comes as soon as that one is away."""
    case.write("a")
    (draft,) = case.place.collect().drafts
    case.place.state = ask_again(case.place.state, {draft.key, draft.path})
    assert case.place.collect().drafts == (draft,)
    assert case.place.collect().drafts == ()


# Catalogue A (spec delivery §6), as far as both kinds share it.


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"\xff\xfea\x00b\x00", "the file is UTF-16 (byte 0); save it as UTF-8"),
        (b"title\n\xe9t\xe9", "byte 6 is not UTF-8; save the file as UTF-8"),
        (b"\xef\xbb\xbftitle\n\xe9t\xe9", "byte 9 is not UTF-8; save the file as UTF-8"),
        (b"title\n\x00", "byte 6 is NUL; this is not a text file, or it was damaged"),
    ],
)
def test_a2_a_file_that_is_not_utf_8_is_skipped_with_the_byte(case: Case, data: bytes, reason: str) -> None:
    assert case.place.refusal(f"a{case.kind.ending}", data) == reason


def test_a2_a_byte_order_mark_and_windows_line_ends_do_no_harm(case: Case) -> None:
    plain = case.place.only(f"a{case.kind.ending}", case.kind.file())
    case.place.write(f"a{case.kind.ending}", b"\xef\xbb\xbf" + case.kind.file().replace("\n", "\r\n").encode(), age=60)
    assert case.place.collect().drafts == ()
    assert plain.title == "Bridge opened"


def test_a3_a_file_just_written_is_left_to_the_next_collection(case: Case) -> None:
    case.write("a", age=1)
    case.write("b", title="Second")
    first = case.place.collect()
    assert (titles(first), first.postponed, first.skipped) == (["Second"], (f"a{case.kind.ending}",), ())
    second = case.place.collect()
    assert (titles(second), second.postponed) == (["Bridge opened"], ())


def test_a3_a_known_file_being_rewritten_stays_as_it_was(case: Case) -> None:
    case.write("a")
    case.place.collect()
    case.write("a", text="Half", age=0)
    now = case.place.collect()
    assert (now.drafts, now.gone, now.present, now.postponed) == ((), frozenset(), 1, (f"a{case.kind.ending}",))
    (draft,) = case.place.collect().drafts
    assert draft.html == "<p>Half</p>"


def test_a3_with_settle_it_waits_until_the_file_stands_still(case: Case) -> None:
    case.write("a", age=1)
    waited: list[float] = []
    collected = case.place.collect(waited.append)
    assert (titles(collected), collected.postponed, waited) == (["Bridge opened"], (), [2.0])


def test_a3_with_settle_a_file_that_goes_on_growing_is_left(case: Case) -> None:
    case.write("a", age=1)
    collected = case.place.collect(lambda _: (case.write("a", text="More and more", age=0), None)[1])
    assert (collected.drafts, collected.postponed) == ((), (f"a{case.kind.ending}",))


def test_a3_a_file_from_the_future_is_not_postponed_for_ever(case: Case) -> None:
    """A clock that runs ahead: having looked the same for two seconds is enough."""
    case.write("a", age=-86400)
    assert case.place.collect().postponed == (f"a{case.kind.ending}",)
    assert titles(case.place.collect()) == ["Bridge opened"]


@pytest.mark.parametrize("same_time", [False, True])
def test_a3_a_file_replaced_while_it_is_read_is_left(
    case: Case, monkeypatch: pytest.MonkeyPatch, same_time: bool
) -> None:
    path = case.write("a")
    before = path.stat()
    real = os.open

    def replacing(*args: Any) -> int:
        path.write_text("other and longer than before " * 50, encoding="utf-8")
        if same_time:
            os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        return real(*args)

    monkeypatch.setattr(os, "open", replacing)
    collected = case.place.collect()
    assert (collected.drafts, collected.skipped, collected.postponed) == ((), (), (f"a{case.kind.ending}",))
    monkeypatch.undo()
    case.write("a")
    assert titles(case.place.collect()) == ["Bridge opened"]


def test_a4_only_regular_files_inside_the_folder_are_read(case: Case) -> None:
    """A4: links out of the folder, pipes, sockets and devices neither leak nor hang."""
    ending = case.kind.ending
    root = case.place.root
    outside = root.parent / f"secret{ending}"
    outside.write_text(case.kind.file(title="Secret"), encoding="utf-8")
    (root / f"a{ending}").symlink_to(outside)
    (root / f"b{ending}").symlink_to("/dev/zero")
    os.mkfifo(root / f"c{ending}")
    with socket.socket(socket.AF_UNIX) as unix:
        unix.bind(str(root / f"d{ending}"))
        (root / f"e{ending}").symlink_to("nowhere")
        (root / f"f{ending}").symlink_to(root.parent)
        (root / f"g{ending}").symlink_to(f"g{ending}")
        case.write("real")
        (root / f"h{ending}").symlink_to(f"real{ending}")
        collected = case.place.collect()
    assert titles(collected) == ["Bridge opened"]
    outwards = "a link that leads outside the folder; put the file itself here"
    special = "not a regular file (a pipe, socket or device)"
    reasons = {skip.path.removesuffix(ending): skip.reason for skip in collected.skipped}
    assert "oop" in reasons.pop("g") or "link" in reasons.get("g", "link")
    assert reasons == {
        "a": outwards,
        "b": outwards,
        "c": special,
        "d": special,
        "e": "a link that leads nowhere",
        "f": outwards,
        "h": f"a link to real{ending}, which is read itself",
    }


def test_a4_a_link_to_a_hidden_file_inside_the_folder_is_followed(case: Case) -> None:
    """As git-annex keeps its files."""
    case.write(".store/object")
    (case.place.root / f"a{case.kind.ending}").symlink_to(f".store/object{case.kind.ending}")
    assert titles(case.place.collect()) == ["Bridge opened"]


def test_a4_a_loop_of_folders_ends(case: Case) -> None:
    case.write("sub/a")
    (case.place.root / "sub" / "again").symlink_to(case.place.root)
    assert titles(case.place.collect()) == ["Bridge opened"]


def test_a4_a_pipe_put_in_place_of_a_file_does_not_hang(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    path = case.write("a")
    real = os.open

    def exchanging(*args: Any) -> int:
        path.unlink()
        os.mkfifo(path)
        return real(*args)

    monkeypatch.setattr(os, "open", exchanging)
    collected = case.place.collect()
    assert (collected.drafts, collected.postponed) == ((), (f"a{case.kind.ending}",))


def test_a4_a_link_put_in_place_of_a_file_is_not_followed(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    path = case.write("a")
    real = os.open

    def exchanging(*args: Any) -> int:
        path.unlink()
        path.symlink_to("/etc/passwd")
        return real(*args)

    monkeypatch.setattr(os, "open", exchanging)
    collected = case.place.collect()
    assert (collected.drafts, collected.postponed) == ((), ())
    assert [skip.path for skip in collected.skipped] == [f"a{case.kind.ending}"]


def test_a5_strange_names_work_and_are_escaped_in_messages(case: Case) -> None:
    ending = case.kind.ending
    for number, name in enumerate(("line\nbreak", "right\u202eleft", "é" * 120, "emoji-👩‍💻")):
        case.write(name, title=f"Title {number}")
        case.place.write(f"bad {name[:40]}{ending}", case.kind.broken)
    collected = case.place.collect()
    assert len(collected.drafts) == 4
    assert len(collected.skipped) == 4
    shown = [draft.path for draft in collected.drafts] + [skip.path for skip in collected.skipped]
    assert all(path.isprintable() for path in shown)
    assert f"bad line\\nbreak{ending}" in shown
    assert f"bad right\\u202eleft{ending}" in shown


def test_a5_a_name_that_is_not_utf_8_is_skipped(case: Case) -> None:
    raw = os.fsencode(case.place.root) + b"/caf\xe9" + case.kind.ending.encode()
    with open(raw, "wb") as file:  # noqa: PTH123 - a name that no Path spells
        file.write(case.kind.file().encode())
    collected = case.place.collect()
    assert collected.drafts == ()
    assert collected.skipped == (
        Skipped(f"caf\\udce9{case.kind.ending}", "the file name is not UTF-8; rename the file"),
    )
    json.dumps(collected.state).encode()


def test_a6_a_huge_file_is_skipped_unread(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    path = case.write("a")
    os.truncate(path, 1 << 30)
    os.utime(path, (1_700_000_000, 1_700_000_000))
    monkeypatch.setattr(os, "open", lambda *_: pytest.fail("it was opened"))
    (skipped,) = case.place.collect().skipped
    assert skipped.reason == "1,073,741,824 bytes are too many for an article; at most 5 MiB"


def test_a13_long_titles_and_those_with_marks_are_kept(case: Case) -> None:
    title = "Длинный 👩‍💻 " * 900
    case.write("a", title=title)
    (draft,) = case.place.collect().drafts
    assert draft.title == title.strip()
    assert len(draft.slug) <= 80


def test_hidden_files_are_passed_over(case: Case) -> None:
    case.write(".hidden")
    case.write(".git/a")
    case.place.write("notes.pdf", b"%PDF")
    assert case.place.collect() == Collected(drafts=(), state=case.place.state)


def test_include_and_exclude_choose_files(case: Case) -> None:
    for name in ("news/a", "news/old/b", "blog/c", "top"):
        case.write(name, title=name)
    case.place.settings |= {"include": ("news/", "top.*"), "exclude": ("old",)}
    assert titles(case.place.collect()) == ["news/a", "top"]


def test_the_source_can_be_a_single_file(case: Case) -> None:
    path = case.write("a")
    case.write("b", title="Second")
    case.place.settings["path"] = path
    collected = case.place.collect()
    assert (titles(collected), collected.present) == (["Bridge opened"], 1)


def test_the_address_follows_the_pattern_with_the_local_date(case: Case) -> None:
    case.place.settings["url"] = "https://news.example/{year}/{month}/{day}/{slug}/"
    case.write("bridge-opened")
    (draft,) = case.place.collect().drafts
    assert draft.url == "https://news.example/2017/05/22/bridge-opened/"


def test_rules_and_folders_give_a_category(case: Case) -> None:
    case.write("arts/a", title="One")
    case.write("b", title="The market falls")
    case.write("Foreign Policy/c", title="Three")
    case.write("d", title="Marketing")
    found = {draft.title: draft.categories for draft in case.place.collect().drafts}
    assert found == {
        "One": ("culture",),
        "The market falls": ("economy",),
        "Three": ("politics",),
        "Marketing": ("uncategorised",),
    }


def test_the_sources_own_category_is_the_last_resort(case: Case) -> None:
    case.place.settings["category"] = "politics"
    case.write("arts/a", title="One")
    case.write("b", title="Two")
    found: Mapping[str, tuple[str, ...]] = {draft.title: draft.categories for draft in case.place.collect().drafts}
    assert found == {"One": ("culture",), "Two": ("politics",)}


def test_language_comes_from_the_name_or_the_folder(case: Case) -> None:
    case.write("a.ru", title="One")
    case.write("be/b", title="Two")
    case.write("c", title="Three")
    case.write("fr/d", title="Four")
    found = {draft.title: draft.language for draft in case.place.collect().drafts}
    assert found == {"One": "ru", "Two": "be", "Three": "en", "Four": "en"}
