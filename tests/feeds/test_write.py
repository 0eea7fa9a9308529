"""Feed files on disk."""

from __future__ import annotations

import gzip
import os
import stat
from datetime import UTC, datetime
from pathlib import Path

import brotli
import pytest
import zstandard

from publisher.feeds import write

MOMENT = datetime(2026, 11, 23, 7, 0, 0, 123457, tzinfo=UTC)
BODY = "<rss>Мінск 😀</rss>".encode() * 100


def unpacked(encoded: dict[str, bytes]) -> dict[str, bytes]:
    return {
        "br": brotli.decompress(encoded["br"]),
        "zstd": zstandard.ZstdDecompressor().decompress(encoded["zstd"]),
        "gzip": gzip.decompress(encoded["gzip"]),
    }


def test_what_was_written_is_read_with_its_forms_and_its_time(tmp_path: Path) -> None:
    """FR-H4, FR-H8: to the microsecond, in every coding."""
    path = tmp_path / "site" / "feeds" / "all.rss"
    write.write(path, BODY, MOMENT)
    found = write.read(path)
    assert found is not None
    assert (found.body, found.modified_at) == (BODY, MOMENT)
    assert unpacked(dict(found.encoded)) == dict.fromkeys(("br", "zstd", "gzip"), BODY)
    assert sorted(file.name for file in path.parent.iterdir()) == [
        "all.rss",
        "all.rss.br",
        "all.rss.gz",
        "all.rss.zst",
    ]
    assert found.identity == write.identity(path)


def test_others_may_read_the_files(tmp_path: Path) -> None:
    """A web server of another user serves the folder."""
    write.write(tmp_path / "all.rss", BODY, MOMENT)
    assert stat.S_IMODE((tmp_path / "all.rss.gz").stat().st_mode) == 0o666 & ~_umask()


def test_the_same_body_is_packed_into_the_same_bytes() -> None:
    """FR-X4."""
    assert write.compress(BODY) == write.compress(bytes(BODY))
    assert write.compress(BODY)["gzip"][4:8] == bytes(4)  # no time stamp


def test_another_body_gives_another_tag() -> None:
    """FR-H2."""
    assert write.etag_of(BODY) != write.etag_of(BODY + b" ")
    assert len(write.etag_of(BODY)) == 32


def test_nothing_is_nothing(tmp_path: Path) -> None:
    assert write.read(tmp_path / "all.rss") is None
    assert write.identity(tmp_path / "all.rss") is None


def test_a_form_left_from_an_older_body_is_not_used(tmp_path: Path) -> None:
    """J18: killed between two renames, or a form restored from somewhere, must not mix two versions of a feed."""
    path = tmp_path / "all.rss"
    write.write(path, BODY, MOMENT)
    write.write(path, b"new", MOMENT.replace(hour=8))
    old = write.compress(BODY)["gzip"]
    Path(f"{path}.gz").write_bytes(old)
    found = write.read(path)
    assert found is not None
    assert sorted(found.encoded) == ["br", "zstd"]


@pytest.mark.parametrize("survivors", [0, 1, 2, 3])
def test_interrupted_anywhere_the_old_feed_is_there_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, survivors: int
) -> None:
    """J18: a reader sees the old file or the new one, and nothing is left lying about."""
    path = tmp_path / "all.rss"
    write.write(path, BODY, MOMENT)
    replace = Path.replace
    done: list[Path] = []

    def failing(self: Path, target: Path) -> Path:
        if len(done) == survivors:
            raise OSError("no space left")
        done.append(target)
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", failing)
    with pytest.raises(OSError, match="no space left"):
        write.write(path, b"new", MOMENT.replace(hour=8))
    monkeypatch.undo()
    found = write.read(path)
    assert found is not None
    assert (found.body, found.modified_at) == (BODY, MOMENT)
    assert len(found.encoded) == 3 - survivors
    assert not list(tmp_path.glob(".*"))


def test_every_file_is_on_the_disk_before_it_gets_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """J18: after a power cut there is no empty file under a good name; the folder is synchronised last."""
    events: list[str] = []
    fsync, replace = os.fsync, Path.replace

    def noted_fsync(number: int) -> None:
        events.append("folder" if stat.S_ISDIR(os.fstat(number).st_mode) else "file")
        fsync(number)

    def noted_replace(self: Path, target: Path) -> Path:
        events.append(target.name)
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", noted_fsync)
    monkeypatch.setattr(Path, "replace", noted_replace)
    write.write(tmp_path / "all.rss", BODY, MOMENT)
    assert events == ["file"] * 4 + ["all.rss.br", "all.rss.zst", "all.rss.gz", "all.rss", "folder"]


def test_a_removed_feed_leaves_nothing(tmp_path: Path) -> None:
    write.write(tmp_path / "all.rss", BODY, MOMENT)
    write.write(tmp_path / "all.atom", BODY, MOMENT)
    write.remove(tmp_path / "all.rss")
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "all.atom",
        "all.atom.br",
        "all.atom.gz",
        "all.atom.zst",
    ]


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
