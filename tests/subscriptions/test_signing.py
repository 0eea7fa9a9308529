"""Signing up and confirming: nothing counts before the button in the mail was pressed, nobody learns who is there."""

from __future__ import annotations

import pytest

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
