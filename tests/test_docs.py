"""The docs tell the truth: links lead somewhere, the reference is that of the code, commands do what is shown."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests import reference
from tests.publications import write_publication

ROOT = Path(__file__).parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
_LINK = re.compile(r"!?\[[^\]\n]*(?:\n[^\]\n]*)?\]\(([^)\s]+)\)")
_FENCE = re.compile(r"^(`{3,})[^\n]*\n.*?^\1$", re.MULTILINE | re.DOTALL)
_BLOCK = re.compile(
    r"^ *<!-- (run|not run|file)(?:: ([^\n]*?))? -->\n *```(\w*)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL
)


class Block(NamedTuple):
    """A fenced block with what stands in the comment above it."""

    what: str
    """`run`, `not run` or `file`."""
    more: str
    """Words that the commands must print, divided by `;`; the reason; the path."""
    text: str


def blocks(page: Path) -> list[Block]:
    return [Block(what, more, text) for what, more, _, text in _BLOCK.findall(page.read_text(encoding="utf-8"))]


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    found: dict[str, int] = {}
    for line in _FENCE.sub("", page.read_text(encoding="utf-8")).splitlines():
        if heading := re.match(r"#+ (.+)", line):
            slug = re.sub(r"[^\w\- ]", "", re.sub(r"\]\([^)]*\)", "", heading[1]).lower()).replace(" ", "-")
            number = found[slug] = found.get(slug, -1) + 1
            found[f"{slug}-{number}" if number else slug] = 0
    return set(found)


def wrong_links(page: Path) -> Iterator[str]:
    """Links of a page to files and anchors that are not there."""
    for target in _LINK.findall(_FENCE.sub("", page.read_text(encoding="utf-8"))):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path) if path else page
        if not file.exists() or (anchor and file.suffix == ".md" and anchor not in anchors(file)):
            yield target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_to_a_file_and_an_anchor(page: Path) -> None:
    assert list(wrong_links(page)) == []


def test_a_wrong_link_is_found(tmp_path: Path) -> None:
    page = tmp_path / "a.md"
    page.write_text(
        "# One\n[a](#one) [b](#two) [c](b.md) [d](a.md#one-1)\n```\n[e](x)\n```\n## One\n", encoding="utf-8"
    )
    assert list(wrong_links(page)) == ["#two", "b.md"]


def test_every_page_can_be_found_from_the_first_one() -> None:
    """A page that nothing leads to is not read."""
    seen, waiting = set(), [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        if page not in seen:
            seen.add(page)
            links = (target.partition("#")[0] for target in _LINK.findall(page.read_text(encoding="utf-8")))
            waiting += [(page.parent / link).resolve() for link in links if link.endswith(".md")]
    assert {str(page.relative_to(ROOT)) for page in PAGES if page not in seen} == set()


@pytest.mark.parametrize("name", reference.pages())
def test_the_reference_is_that_of_the_code(name: str) -> None:
    """`uv run python -m tests.reference` writes it anew."""
    assert (reference.HOME / name).read_text(encoding="utf-8") == reference.pages()[name]


def test_every_command_and_every_exit_code_is_told_of() -> None:
    told = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
    assert [name for name, _ in reference.leaves() if f"`{name}" not in told] == []


def test_every_template_that_the_docs_name_exists() -> None:
    named = re.compile(r"`((?:mail|web|blocks)/[\w./-]+\.(?:j2|css))`")
    found = {name for page in PAGES for name in named.findall(page.read_text(encoding="utf-8"))}
    assert found
    assert [name for name in sorted(found) if not (ROOT / "templates" / name).is_file()] == []


def test_every_option_of_every_command_says_what_it_is() -> None:
    mute = [f"{name} {one.opts[0]}" for name, command in reference.leaves() for one in command.params if not one.help]
    assert mute == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_of_a_page_is_run_or_says_why_not(page: Path) -> None:
    assert page.read_text(encoding="utf-8").count("```sh") == sum(block.what != "file" for block in blocks(page))
    assert all(block.more for block in blocks(page) if block.what == "not run")


def test_the_way_back_from_a_backup_is_as_shown(tmp_path: Path) -> None:
    """J20: backup, disaster, restore and resume, typed as the page shows them; only the folders are others."""
    [back] = [b.text for b in blocks(ROOT / "docs" / "operating.md") if "systemctl stop" in b.text]
    [backup] = [
        b.text for b in blocks(ROOT / "docs" / "operating.md") if b.text == "publisher backup /var/backups/publisher/\n"
    ]
    file = write_publication(tmp_path)
    (tmp_path / "bin").mkdir()
    systemctl = tmp_path / "bin" / "systemctl"
    systemctl.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/told\n', encoding="utf-8")
    systemctl.chmod(0o755)
    (tmp_path / "backups").mkdir()
    script = "\n".join(
        [
            "publisher collect",
            "publisher subscribers add anna@reader.example --consent 'paper form'",
            backup,
            "publisher subscribers suppress anna@reader.example",
            f"mv {tmp_path}/backups/*.tar {tmp_path}/backups/one.tar",
            back,
            "publisher subscribers show anna@reader.example",
        ]
    )
    for shown, ours in (
        ("/var/backups/publisher/publisher-2026-11-30T070000Z.tar", f"{tmp_path}/backups/one.tar"),
        ("/var/backups/publisher/", f"{tmp_path}/backups/"),
        ("/var/lib/publisher", f"{tmp_path}/data"),
        (" -o publisher -g publisher", ""),
    ):
        assert shown in script
        script = script.replace(shown, ours)
    path = f"{tmp_path}/bin:{Path(sys.executable).parent}:{os.environ['PATH']}"
    told = {**os.environ, "PATH": path, "COLUMNS": "200", "PUBLISHER_CONFIG": str(file)}
    done = subprocess.run(["bash", "-euc", script], env=told, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "By the journal since: 0 subscriptions ended, 1 addresses suppressed, 0 persons erased." in done.stdout
    assert "Resumed." in done.stdout
    assert done.stdout.count("suppressed") > 1
    assert (tmp_path / "told").read_text(encoding="utf-8") == "stop publisher\nstart publisher\n"


@pytest.mark.parametrize("page", [page for page in PAGES if any(b.what == "run" for b in blocks(page))], ids=str)
def test_commands_of_the_docs_do_what_they_are_shown_for(page: Path, tmp_path: Path) -> None:
    """All of a page in one shell and an empty folder, one after another; files that it shows are written there."""
    shown = [block for block in blocks(page) if block.what != "not run"]
    script = "\n".join(f"echo '=== {number}'\n{_script(block)}" for number, block in enumerate(shown))
    told = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "COLUMNS": "200"}
    told.pop("PUBLISHER_CONFIG", None)
    done = subprocess.run(
        ["bash", "-euc", f"exec 2>&1\n{script}"], cwd=tmp_path, env=told, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout
    said = re.split(r"^=== \d+\n", done.stdout, flags=re.MULTILINE)[1:]
    for block, words in zip(shown, said, strict=True):
        if block.what == "run":
            assert [one for one in block.more.split("; ") if one not in words] == [], words


def _script(block: Block) -> str:
    if block.what == "run":
        return block.text
    # A file of this very second counts as still being written.
    return (
        f"mkdir -p \"$(dirname {block.more})\"\ncat > {block.more} <<'=== END'\n{block.text}=== END\n"
        f"touch -d '1 minute ago' {block.more}"
    )
