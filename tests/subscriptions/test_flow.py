"""The catalogue of faults of sign-up, links and preferences (spec delivery F): each line a promise."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest

from publisher.config import Config
from publisher.errors import BusyError
from publisher.model import SubscriptionState
from publisher.store import subscribers
from publisher.store.database import Connection
from publisher.store.tables import subscribers as people
from publisher.store.tables import subscriptions
from publisher.subscriptions.choices import asks_for_less
from publisher.subscriptions.consent import network
from publisher.subscriptions.limits import DAY, STRANGER, WEEK, wait
from publisher.subscriptions.values import (
    Answer,
    AnswerKind,
    Change,
    Choice,
    FieldProblem,
    LinkState,
    OutcomeKind,
    Rights,
)
from publisher.tokens import Keyring, Purpose
from tests.store.make import NOW
from tests.subscriptions.town import HOME, KEY, Town

pytestmark = pytest.mark.anyio
TAKEN = Answer(kind=AnswerKind.TAKEN)


async def test_a_thousandth_sign_up_is_as_one(town: Town) -> None:
    """F3: one row, one mail a day and three a week, in sequence and at once."""
    answers = await asyncio.gather(*(town.sign_up(client=None) for _ in range(500)))
    answers += [await town.sign_up(client=None) for _ in range(500)]
    assert (len(answers), set(answers)) == (1000, {TAKEN})
    assert len(town.rows(people)) == len(town.rows(subscriptions)) == len(town.notices()) == 1
    for hours, letters in ((23, 1), (2, 2), (25, 3), (25, 3), (25 * 5, 4)):
        town.passes(hours=hours)
        assert await town.sign_up(client=None) == TAKEN
        assert len(town.notices()) == letters


async def test_one_client_and_all_together_have_their_limits(town: Town) -> None:
    """F4: told when to come back; another client is let in until all together are too many."""
    answers = [await town.sign_up(f"a{number}@x.example", client="198.51.100.1") for number in range(21)]
    assert [answer.kind for answer in answers] == [AnswerKind.TAKEN] * 20 + [AnswerKind.LATER]
    assert answers[-1].retry_after == 3600
    assert len(town.rows(people)) == 20
    assert await town.sign_up("b@x.example", client="198.51.100.2") == TAKEN
    few = town.config.model_copy(update={"sign_up": town.config.sign_up.model_copy(update={"mails_per_hour": 21})})
    town.desk._house = replace(town.house, config=few)
    assert (await town.sign_up("c@x.example", client="198.51.100.3")).kind is AnswerKind.LATER
    town.passes(hours=1)
    assert await town.sign_up("c@x.example", client="198.51.100.1") == TAKEN


async def test_the_answer_is_the_same_whoever_it_is(town: Town) -> None:
    """F6: known, unknown, left, suppressed."""
    await town.reader("known@x.example")
    await town.reader("left@x.example")
    await town.desk.leave(town.mail_token("left@x.example"))
    town.database.write(lambda conn: subscribers.suppress(conn, "bad@x.example", reason="x", now=NOW))
    names = ("known", "left", "bad", "unknown")
    assert {await town.sign_up(f"{name}@x.example", client=None) for name in names} == {TAKEN}
    assert {await town.desk.send_link(f"{name}@x.example", client=None) for name in names} == {TAKEN}
    assert town.states("left@x.example") == {"weekly": "unsubscribed"}


@pytest.mark.parametrize(
    ("form", "problem"),
    [
        ({"newsletters": ("staff",)}, FieldProblem("newsletters", "unknown")),
        ({"newsletters": ("nothing",)}, FieldProblem("newsletters", "unknown")),
        ({"newsletters": ()}, FieldProblem("newsletters", "missing")),
        ({"address": "a@localhost"}, FieldProblem("address", "invalid")),
        ({"address": "a\r\nBcc: b@x.example"}, FieldProblem("address", "invalid")),
        ({"choices": {"weekly": Choice(frequency="secretly")}}, FieldProblem("frequency", "not-offered")),
        ({"choices": {"weekly": Choice(categories=("hidden",))}}, FieldProblem("categories", "not-offered")),
        ({"choices": {"weekly": Choice(categories=())}}, FieldProblem("categories", "missing")),
    ],
)
async def test_what_a_form_may_not_ask_for_is_refused(town: Town, form: dict[str, Any], problem: FieldProblem) -> None:
    """F1, F7: hidden newsletters and what was never offered; nothing is written."""
    answer = await town.sign_up(**form)
    assert answer == Answer(kind=AnswerKind.INVALID, problems=(problem,))
    assert town.rows(people) == []


async def test_a_confirm_link_ends_after_three_days_and_a_new_one_can_be_had(town: Town) -> None:
    """F11: expired offers a new mail; after leaving it explains; after erasure it is like any wrong token."""
    await town.sign_up()
    first = town.token(Purpose.CONFIRM)
    town.passes(hours=72)
    shown = await town.desk.confirm(first, client=HOME)
    assert shown is not None
    assert shown.state is LinkState.EXPIRED
    assert town.states() == {"weekly": "pending"}
    assert await town.desk.renew(first, client=HOME) == TAKEN
    second = town.token(Purpose.CONFIRM)
    assert second != first
    await town.desk.leave(town.mail_token())
    left = await town.desk.confirm(second, client=HOME)
    assert left is not None
    assert (left.state, left.subscriptions) == (LinkState.LEFT, ())
    assert town.states() == {"weekly": "unsubscribed"}


async def test_no_wrong_token_opens_anything(town: Town) -> None:
    """F12: another purpose, another ring, cut, grown, flipped; the same None everywhere."""
    await town.reader()
    right = town.token(Purpose.CONFIRM)
    foreign = Keyring([b"x" * 32]).token(Purpose.CONFIRM, 1)
    wrong = ("", "\0", right[:-1], right + "A", right[::-1], "A" * 10_000_000, town.mail_token(), foreign)
    desk = town.desk
    for token in wrong:
        assert await desk.confirming(token) is None
        assert await desk.confirm(token, client=None) is None
        assert await desk.renew(token, client=None) is None
        assert await desk.address_change(token) is None
        assert await desk.confirm_address(token, client=None) is None
    for token in (*wrong[:-2], right, foreign):
        assert await desk.preferences(token) is None
        assert await desk.leave(token) is None
        assert await desk.leaving(token) is None
        assert await desk.my_data(token) is None
        assert await desk.erase(token) is None


async def test_an_old_link_works_after_the_keys_were_changed(town: Town) -> None:
    """F13: three years and two new keys later."""
    await town.reader()
    old = town.mail_token()
    town.passes(days=3 * 366)
    house = replace(town.house, keyring=Keyring([b"n" * 32, b"m" * 32, KEY]))
    town.desk._house = house
    left = await town.desk.leave(old)
    assert left is not None
    assert town.states() == {"weekly": "unsubscribed"}


async def test_leaving_is_exactly_the_newsletter_of_the_mail_or_all(town: Town) -> None:
    """F14, F17: the same answer a hundred times."""
    await town.reader("ada@example.org", "weekly", "alerts")
    token = town.mail_token(newsletter="alerts")
    answers = [await town.desk.leave(token, method="one-click") for _ in range(100)]
    assert {answer and answer.newsletters for answer in answers} == {("alerts",)}
    assert town.states() == {"alerts": "unsubscribed", "weekly": "confirmed"}
    assert [event for _, event in town.events()].count("unsubscribed") == 1
    left = await town.desk.leave(token, everything=True)
    assert left is not None
    assert left.everything
    assert town.states() == {"alerts": "unsubscribed", "weekly": "unsubscribed"}


async def test_who_holds_a_forwarded_mail_can_only_ask_for_less(town: Town) -> None:
    """F18: masked address, one newsletter, fewer categories, less often, a pause; the rest needs a fresh link."""
    await town.reader("ada@example.org", "weekly", "alerts")
    weekly, alerts = town.mail_token(), town.mail_token(newsletter="alerts")
    seen = await town.desk.preferences(weekly)
    assert seen is not None
    assert (seen.rights, seen.address) == (Rights.LESS, "a***@e***.org")
    assert [held.newsletter for held in seen.held] == ["weekly"]
    assert seen.offers == ()

    async def change(token: str, **wish: Any) -> OutcomeKind:
        outcome = await town.desk.change(token, Change(**wish), client=HOME)
        assert outcome is not None
        return outcome.kind

    fewer = Choice(frequency="weekly", categories=("economy",))
    assert await change(weekly, newsletters={"weekly": fewer}) is OutcomeKind.DONE
    assert await change(weekly, newsletters={"weekly": Choice(frequency="weekly")}) is OutcomeKind.REFUSED
    assert await change(weekly, newsletters={"weekly": replace(fewer, content="full")}) is OutcomeKind.REFUSED
    assert await change(weekly, newsletters={"alerts": Choice(frequency="daily")}) is OutcomeKind.REFUSED
    assert await change(weekly, timezone="Asia/Tokyo") is OutcomeKind.REFUSED
    assert await change(alerts, newsletters={"alerts": Choice(frequency="daily")}) is OutcomeKind.DONE
    assert await change(alerts, newsletters={"alerts": Choice(frequency="hourly")}) is OutcomeKind.REFUSED
    fresh = await town.fresh()
    assert await change(fresh, newsletters={"alerts": Choice(frequency="hourly")}) is OutcomeKind.DONE
    assert await change(fresh, timezone="Asia/Tokyo", languages=("ru", "en")) is OutcomeKind.DONE
    assert await change(fresh, timezone="Moon/Base") is OutcomeKind.REFUSED
    assert (await town.desk.ask_address(weekly, "b@x.example", client=HOME)) is None


async def test_a_pause_ends_by_itself_and_only_its_owner_ends_it_sooner(town: Town) -> None:
    """F18: a pause is less, resuming is more."""
    await town.reader()
    mail, fresh = town.mail_token(), await town.fresh()
    until = NOW.date() + timedelta(days=10)

    async def pause(token: str, day: date | None) -> tuple[OutcomeKind, str]:
        outcome = await town.desk.pause(token, "weekly", day, client=HOME)
        assert outcome is not None
        return outcome.kind, outcome.problems[0].code if outcome.problems else ""

    assert await pause(mail, until) == (OutcomeKind.DONE, "")
    assert await pause(mail, until) == (OutcomeKind.UNCHANGED, "")
    assert await pause(mail, None) == (OutcomeKind.REFUSED, "fresh-link")
    assert await pause(mail, NOW.date() - timedelta(days=1)) == (OutcomeKind.REFUSED, "past")
    assert await pause(mail, NOW.date() + timedelta(days=400)) == (OutcomeKind.REFUSED, "too-far")
    assert await pause(fresh, None) == (OutcomeKind.DONE, "")
    assert town.events()[-2:] == [("weekly", "paused"), ("weekly", "resumed")]


async def test_a_fresh_link_adds_a_newsletter_at_once_and_dies_in_a_day(town: Town) -> None:
    """It was sent to the address just now, so nothing is left to confirm."""
    await town.reader()
    fresh = await town.fresh()
    done = await town.desk.change(fresh, Change(newsletters={"alerts": Choice()}), client=HOME)
    assert done is not None
    assert town.states() == {"alerts": "confirmed", "weekly": "confirmed"}
    assert ("alerts", "confirmed") in town.events()
    town.passes(hours=24)
    assert await town.desk.preferences(fresh) is None


async def test_what_nobody_confirms_in_a_week_is_erased_and_who_left_is_remembered(town: Town) -> None:
    """F22, P3: forgetting a request never forgets that somebody left."""
    await town.sign_up("new@x.example")
    await town.reader("left@x.example")
    await town.desk.leave(town.mail_token("left@x.example"))
    town.passes(days=2)
    await town.sign_up("left@x.example")
    town.passes(days=6)
    assert await town.desk.sweep() == 1
    assert town.states("new@x.example") == {}
    town.passes(days=2)
    assert await town.desk.sweep() == 1
    assert town.states("left@x.example") == {"weekly": "unsubscribed"}


async def test_moving_to_an_address_in_use_is_refused_and_squatters_are_not_in_the_way(town: Town) -> None:
    """One person per address; an unconfirmed sign-up by a stranger keeps nobody out."""
    await town.reader("other@x.example")
    await town.reader("ada@example.org")
    await town.sign_up("squat@x.example")
    for new, state in (("other@x.example", LinkState.IN_USE), ("squat@x.example", LinkState.DONE)):
        town.passes(days=2)
        fresh = await town.fresh()
        assert await town.desk.ask_address(fresh, new, client=None) == TAKEN
        done = await town.desk.confirm_address(town.token(Purpose.ADDRESS), client=HOME)
        assert done is not None
        assert done.state is state
    assert town.states("squat@x.example") == {"weekly": "confirmed"}


async def test_nothing_is_acknowledged_that_the_database_did_not_take(town: Town) -> None:
    """F15: a failing commit is an error to the caller, which answers 503; not an answer."""
    await town.reader()

    async def busy(work: Any) -> Any:
        raise BusyError("the database is locked")

    town.database.ashare = busy  # type: ignore[method-assign]  # stands for a disk that is full
    with pytest.raises(BusyError):
        await town.desk.leave(town.mail_token())


def test_limits_wait_for_the_longest_rule() -> None:
    """P4: once in 24 hours and three times in seven days."""
    assert wait([], STRANGER, NOW) == timedelta()
    assert wait([NOW - DAY / 2], STRANGER, NOW) == DAY / 2
    times = [NOW - 2 * DAY, NOW - 3 * DAY, NOW - 4 * DAY]
    assert wait(times, STRANGER, NOW) == WEEK - 4 * DAY


@pytest.mark.parametrize(
    ("client", "kept"),
    [("203.0.113.7", "203.0.113.0/24"), ("2001:db8:1:2::/64", "2001:db8:1::/48"), (None, "")],
)
def test_of_a_client_only_the_network_is_kept(client: str | None, kept: str) -> None:
    """§8: /24 and /48."""
    assert network(client, "truncated") == kept
    assert network(client, "none") == ""


def test_less_is_less(publication: tuple[Config, Any]) -> None:
    """F18: as a pure decision."""
    config, _ = publication
    alerts = next(one for one in config.newsletters if one.slug == "alerts")
    hourly, daily = Choice(frequency="hourly"), Choice(frequency="daily")
    assert asks_for_less(config, alerts, hourly, daily)
    assert not asks_for_less(config, alerts, daily, hourly)
    assert not asks_for_less(config, alerts, Choice(frequency="daily", categories=("security",)), daily)
    assert not asks_for_less(config, alerts, daily, replace(daily, hour=7))


def test_ids_in_links_are_never_given_twice(town: Town) -> None:
    """An old mail must not open somebody else's subscription."""

    def once(conn: Connection) -> int:
        person = subscribers.add(
            conn,
            address="a@x.example",
            address_key="a@x.example",
            name="",
            languages=("en",),
            timezone="UTC",
            format="html",  # type: ignore[arg-type]  # as stored
            now=NOW,
        )
        made = subscribers.subscribe(
            conn,
            person,
            newsletter="weekly",
            frequency="weekly",
            categories=None,
            state=SubscriptionState.CONFIRMED,
            method="link",
            proof="",
            now=NOW,
        )
        conn.execute(people.delete())
        return made.id

    assert town.database.write(once) != town.database.write(once)
