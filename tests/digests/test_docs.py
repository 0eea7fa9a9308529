"""docs/newsletters.md tells the truth: its examples load, and its lists are those of the code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from publisher import config
from publisher.digests import check_templates
from publisher.files import packaged
from publisher.render import Renderer
from tests.digests.conftest import NOW

ROOT = Path(__file__).parent.parent.parent
PAGE = (ROOT / "docs" / "newsletters.md").read_text("utf-8")
AROUND = """
[site]
title = "News"
url = "https://news.example/"
languages = ["en", "ru"]
timezone = "Europe/Minsk"
postal_address = "4 Mill Lane"
"""
FREQUENCY = """
[[newsletters]]
slug = "week"
title = "Week"
from_address = "editors@news.example"
[newsletters.frequencies.often]
"""


def examples(kind: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def rows(heading: str) -> list[str]:
    """The first cells of the table with this first heading."""
    table = PAGE.split(f"| {heading} |")[1].split("\n\n")[0].splitlines()[2:]
    return [line.split(" | ")[0].removeprefix("| ") for line in table]


def load(folder: Path, text: str) -> config.Config:
    (folder / "config").mkdir(exist_ok=True)
    file = folder / "config" / "publisher.toml"
    file.write_text(AROUND + text, "utf-8")
    return config.load(file, {})


def test_the_example_of_a_newsletter_loads_and_its_template_passes_the_check(tmp_path: Path) -> None:
    [newsletter], [template] = examples("toml"), examples("jinja")
    for folder in ("templates/week/mail", "notes/week"):
        (tmp_path / "config" / folder).mkdir(parents=True)
    own = tmp_path / "config" / "templates" / "week"
    (own / "mail" / "digest.html.j2").write_text(template, "utf-8")
    loaded = load(tmp_path, newsletter)
    [week] = loaded.newsletters
    assert (week.slug, week.templates, week.max_age) == ("week", own, "30d")
    check_templates(loaded, week, Renderer([own]), NOW)
    assert [problem for problem in config.check(loaded) if "newsletters" in problem.key] == []


@pytest.mark.parametrize("keys", [row for row in rows("Key") if "=" in row])
def test_every_way_to_say_when_loads(tmp_path: Path, keys: str) -> None:
    said = re.findall(r"`([^`]+)`", keys)
    given = "\n".join(key if "=" in key else 'at = "08:00"' for key in said)
    if not re.search(r"^(at|cron|every|after)\b", given, re.MULTILINE):
        given += '\nat = "07:00"'
    [frequency] = load(tmp_path, FREQUENCY + given).newsletters[0].frequencies.values()
    schedule = frequency.schedule("Europe/Minsk")
    assert schedule.next(NOW) or schedule.following(NOW)


def test_every_template_of_a_mail_is_named_and_exists() -> None:
    named = {name for row in rows("Template") for name in re.findall(r"`([^`]+)`", row)}
    there = {name for name in Renderer().names if name.startswith(("mail/", "blocks/")) and "notice" not in name}
    assert named == there


def test_every_block_of_the_digest_is_named() -> None:
    told = re.search(r"Blocks of the digest:(.*?)In all templates", PAGE, re.DOTALL)
    source = (packaged("templates") / "mail" / "digest.html.j2").read_text("utf-8")
    assert told is not None
    assert set(re.findall(r"`(\w+)`", told[1])) == set(re.findall(r"{% block (\w+) %}", source))
