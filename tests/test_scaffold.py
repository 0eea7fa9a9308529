"""A new publication: complete, valid, and never at the cost of files that are there."""

from __future__ import annotations

from pathlib import Path

import pytest

from publisher.config import check, find, load, sending_problems
from publisher.errors import RefusedError
from publisher.files import packaged
from publisher.scaffold import init


def test_a_new_publication_runs_as_it_is(tmp_path: Path) -> None:
    written = init(tmp_path / "new")
    assert [str(path.relative_to(tmp_path / "new")) for path in written] == [
        "articles/welcome.md",
        "config/publisher.schema.json",
        "config/publisher.toml",
        "templates/README.md",
    ]
    config = load(find(None, {}, tmp_path / "new"), {})
    assert check(config) == ()
    assert sending_problems(config) == ()
    assert config.smtp.embedded
    assert config.templates == tmp_path / "new/templates"
    assert config.sources[0].path == tmp_path / "new/articles"
    assert config.data_dir == tmp_path / "new/data"


@pytest.mark.parametrize("name", ["config/publisher.toml", "articles/welcome.md", "templates/README.md"])
def test_nothing_is_overwritten_and_nothing_half_written(tmp_path: Path, name: str) -> None:
    file = tmp_path / name
    file.parent.mkdir()
    file.write_text("mine")
    with pytest.raises(RefusedError, match=name) as caught:
        init(tmp_path)
    assert caught.value.exit_code == 4
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [file]
    assert file.read_text() == "mine"


def test_a_file_in_the_place_of_a_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "templates").write_text("mine")
    with pytest.raises(RefusedError, match="is a file where a folder is needed"):
        init(tmp_path)
    assert list(tmp_path.iterdir()) == [tmp_path / "templates"]
    with pytest.raises(RefusedError):
        init(tmp_path / "templates")


def test_a_dangling_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "config").mkdir()
    (tmp_path / "config/publisher.toml").symlink_to(tmp_path / "outside")
    with pytest.raises(RefusedError):
        init(tmp_path)
    assert not (tmp_path / "outside").exists()


def test_other_files_do_not_hinder(tmp_path: Path) -> None:
    (tmp_path / "articles").mkdir()
    (tmp_path / "articles/mine.md").write_text("mine")
    assert len(init(tmp_path)) == 4


def test_a_file_that_is_not_packaged_is_named() -> None:
    with pytest.raises(FileNotFoundError, match="config/nothing is missing from this installation"):
        packaged("config/nothing")


def test_the_readme_of_templates_names_templates_that_exist() -> None:
    text = packaged("config/init/templates/README.md").read_text(encoding="utf-8")
    names = {name for part in text.split("`")[1::2] if "/" in (name := part) and name.endswith((".j2", ".css"))}
    assert names
    assert [name for name in sorted(names) if not (packaged("templates") / name).is_file()] == []
