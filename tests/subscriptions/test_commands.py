"""What an operator can do about one person, by command."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.publications import write_publication
from tests.test_cli import ANNA, Command


@pytest.fixture
def publisher(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    """The commands of a small publication."""
    return Command(write_publication(tmp_path), capsys, monkeypatch)


def test_one_person_is_shown_handed_over_suppressed_and_forgotten(publisher: Command) -> None:
    """Art. 15 and 17 by command; who was erased stays out."""
    anna = "anna@reader.example"
    assert publisher("subscribers", "show", anna)[0] == 2
    publisher(*ANNA)
    code, shown, _ = publisher("subscribers", "show", anna)
    assert code == 0
    assert "weekly" in shown
    assert "paper form" in shown
    data = json.loads(publisher("subscribers", "export-data", anna)[1])
    assert [one["event"] for one in data["consents"]] == ["confirmed"]
    assert publisher.json("subscribers", "suppress", anna, "--reason", "a letter")["new"] is True
    assert publisher.json("subscribers", "show", anna)["suppression"]["kind"] == "operator"
    assert publisher.json("subscribers", "unsuppress", anna)["suppressed"] is False
    assert publisher("subscribers", "unsuppress", anna)[0] == 2
    assert publisher.json("subscribers", "erase", anna, "--yes") == {"address": anna, "erased": True}
    assert publisher.json("subscribers", "show", anna)["person"] is None
    assert publisher.json(*ANNA)["suppressed"] == 1
    assert publisher("subscribers", "erase", "nobody", "--yes")[0] == 4
