"""What an operator can do about one person, by command."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from publisher.store.tables import metadata
from tests.publications import write_publication
from tests.test_cli import ANNA, Command


@pytest.fixture
def publisher(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    """The commands of a small publication."""
    return Command(write_publication(tmp_path), capsys, monkeypatch)


def test_what_is_held_about_people_is_told_in_numbers_and_until_when(publisher: Command) -> None:
    """Spec delivery §8, Art. 33: every table that says something about somebody is in it, and goes down to nothing."""
    publisher(*ANNA)
    told = publisher.json("subscribers", "held")
    numbers = {row["kind"]: row["number"] for row in told["held"]}
    assert told["database"].endswith("publisher.db")
    held = {"people": 1, "subscriptions": 1, "consents": 1, "audit": 1}
    assert {kind: number for kind, number in numbers.items() if number} == held
    assert {row["kind"]: row["until"] for row in told["held"]}["deliveries"] == "90d after their issue was sent"
    of_people = {
        table.name for table in metadata.sorted_tables if "subscriber_id" in table.c or "address_key" in table.c
    }
    aside = {"soft_bounces": "words", "subscribers": "people"}
    assert {aside.get(name, name) for name in of_people} <= set(numbers)
    code, shown, _ = publisher("subscribers", "held")
    assert (code, "1     addresses, with name, languages and time zone" in shown) == (0, True)
    publisher("subscribers", "erase", "anna@reader.example", "--yes")
    after = {row["kind"]: row["number"] for row in publisher.json("subscribers", "held")["held"]}
    assert {kind: number for kind, number in after.items() if number} == {"hashes": 1, "audit": 2}


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
