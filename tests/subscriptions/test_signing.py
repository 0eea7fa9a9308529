"""Signing up and confirming: nothing counts before the button in the mail was pressed, nobody learns who is there."""

from __future__ import annotations

import asyncio

import pytest

from publisher import slots
from publisher.store.tables import subscribers as people
from publisher.subscriptions.values import AnswerKind, LinkState
from publisher.tokens import Purpose
from tests.subscriptions.town import HOME, Town

pytestmark = pytest.mark.anyio


async def test_a_sign_up_waits_for_its_confirmation(town: Town) -> None:
    """P4: one pending row, one notice, one record; nothing is sent to the reader but that."""
    answer = await town.sign_up()
    assert answer.kind is AnswerKind.TAKEN
    assert town.states() == {"weekly": "pending"}
    assert town.notices() == [("sign-up", "queued")]
    assert town.events() == [("weekly", "requested")]
    assert town.woken == 1


async def test_confirming_makes_a_reader_once(town: Town) -> None:
    """F11: the second time does nothing, and says so kindly."""
    await town.sign_up("ada@example.org", "weekly", "alerts")
    token = town.token(Purpose.CONFIRM)
    shown = await town.desk.confirming(token)
    assert shown is not None
    assert (shown.state, shown.address) == (LinkState.OPEN, "a***@e***.org")
    assert [held.newsletter for held in shown.subscriptions] == ["alerts", "weekly"]
    first = await town.desk.confirm(token, client=HOME)
    second = await town.desk.confirm(token, client=HOME)
    assert first == second
    assert first is not None
    assert first.state is LinkState.DONE
    assert town.states() == {"weekly": "confirmed", "alerts": "confirmed"}
    assert town.events() == [
        ("weekly", "requested"),
        ("alerts", "requested"),
        ("alerts", "confirmed"),
        ("weekly", "confirmed"),
    ]


async def test_many_at_once_share_a_sync_and_lose_nothing(town: Town) -> None:
    """P6, F3: a hundred people at the same moment, one of them ten times; each answer is true when it comes."""
    names = [f"reader{number}@example.org" for number in range(90)] + ["ada@example.org"] * 10

    async def one(number: int, name: str) -> str:
        answer = await town.sign_up(name, client=f"10.0.{number}.1")
        assert town.states(name) == {"weekly": "pending"}
        return answer.kind.value

    answers = await asyncio.gather(*(one(number, name) for number, name in enumerate(names)))
    assert answers == ["taken"] * 100
    assert town.notices() == [("sign-up", "queued")] * 91
    assert town.events() == [("weekly", "requested")]


async def test_a_made_up_time_zone_costs_no_walk_through_folders(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    """F4: a stranger may write what he likes; it is the publication's zone then, found in no time."""
    slots.zone_names()
    monkeypatch.delattr(slots, "available_timezones")
    for number, zone in enumerate(("", "Moon/Crater", "../../etc/passwd", "x" * 5000, "\0", "Asia/Tokyo")):
        await town.sign_up(f"r{number}@example.org", timezone=zone)
    site = town.config.site.timezone
    zones = [row["timezone"] for row in town.rows(people)]
    assert zones == [site, site, site, site, site, "Asia/Tokyo"]
