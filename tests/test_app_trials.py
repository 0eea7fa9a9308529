"""A start tries no template again that passed its trial, and none that has changed since goes untried."""

from __future__ import annotations

from pathlib import Path

import pytest

from publisher import digests
from publisher.app import App, trials
from publisher.app.looking import check_templates
from publisher.config import Config, load
from publisher.errors import RenderError
from tests.publications import load_publication

pytestmark = pytest.mark.anyio


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """A publication with a folder of templates of its own, which is empty."""
    (tmp_path / "templates" / "mail").mkdir(parents=True)
    return edited(
        load_publication(tmp_path), 'data_dir = "../data"', 'data_dir = "../data"\ntemplates = "../templates"'
    )


def edited(config: Config, old: str, new: str) -> Config:
    """Change the configuration in its file, and read it again."""
    text = config.files[0].read_text(encoding="utf-8")
    assert old in text
    config.files[0].write_text(text.replace(old, new), encoding="utf-8")
    return load(config.files[0], {})


@pytest.fixture
def trial(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The newsletters whose templates were tried, in order."""
    tried: list[str] = []
    check = digests.check_templates

    def noted(config: Config, newsletter: object, *rest: object) -> None:
        tried.append(newsletter.slug)  # type: ignore[attr-defined]  # a Newsletter
        check(config, newsletter, *rest)  # type: ignore[arg-type]  # as above

    monkeypatch.setattr(digests, "check_templates", noted)
    return tried


async def started(config: Config) -> None:
    """Do what a start does with the templates."""
    made = check_templates(config, known=trials.remembered(config.data_dir))
    async with await App.open(config, made=made):
        pass


async def test_templates_that_passed_are_not_tried_at_the_next_start(config: Config, trial: list[str]) -> None:
    await started(config)
    await started(load(config.files[0], {}))
    assert trial == ["weekly"]


@pytest.mark.parametrize("broken", ["{% if %}", "{{ nothing_of_this_name }}"])
async def test_a_template_broken_while_nothing_ran_is_refused(config: Config, broken: str) -> None:
    """E1: at the start, before anything is sent with it."""
    await started(config)
    (config.data_dir.parent / "templates" / "mail" / "digest.html.j2").write_text(broken, encoding="utf-8")
    with pytest.raises(RenderError, match=r"digest\.html\.j2"):
        await started(config)
    # And again: what failed is not remembered.
    with pytest.raises(RenderError, match=r"digest\.html\.j2"):
        await started(config)


async def test_another_configuration_is_tried(config: Config, trial: list[str]) -> None:
    """Titles, languages and categories decide what a template meets."""
    await started(config)
    await started(edited(config, 'slug = "economy"', 'slug = "money"'))
    assert trial == ["weekly", "weekly"]


async def test_what_a_reload_tried_the_next_start_does_not(config: Config, trial: list[str]) -> None:
    async with await App.open(config, made=check_templates(config)) as app:
        changed = edited(config, 'at = "07:00"', 'at = "08:00"')
        await app.reloading.reload()
    assert trial == ["weekly", "weekly"]
    await started(changed)
    assert trial == ["weekly", "weekly"]


async def test_a_command_that_tried_nothing_leaves_nothing_to_remember(config: Config) -> None:
    async with await App.open(config):
        pass
    assert trials.remembered(config.data_dir) == ""


@pytest.mark.parametrize("written", [b"", b"\xff\xfe", b"somebody else\n"])
async def test_a_note_that_cannot_be_read_costs_a_trial_and_no_more(
    config: Config, trial: list[str], written: bytes
) -> None:
    await started(config)
    (config.data_dir / trials.NAME).write_bytes(written)
    await started(config)
    assert trial == ["weekly", "weekly"]


async def test_a_packaged_template_of_another_make_is_tried(
    config: Config, trial: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An upgrade changes the program, and with it what its templates meet."""
    await started(config)
    monkeypatch.setattr(trials, "__version__", "99.0")
    await started(config)
    assert trial == ["weekly", "weekly"]


async def test_an_updated_checkout_is_tried_though_it_keeps_its_version(
    config: Config, trial: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And what the interpreter compiles beside it is no update."""
    code = tmp_path / "publisher"
    (code / "__pycache__").mkdir(parents=True)
    (code / "render.py").write_text("1", encoding="utf-8")
    monkeypatch.setattr(trials, "_CODE", code)
    await started(config)
    (code / "__pycache__" / "render.cpython-311.pyc").write_bytes(b"1")
    await started(config)
    assert trial == ["weekly"]
    (code / "render.py").write_text("2", encoding="utf-8")
    await started(config)
    assert trial == ["weekly", "weekly"]


def test_a_folder_that_cannot_be_written_is_no_reason_to_stop(tmp_path: Path) -> None:
    trials.remember(tmp_path / "missing", "x")
    assert trials.remembered(tmp_path / "missing") == ""
    assert list(tmp_path.iterdir()) == []
