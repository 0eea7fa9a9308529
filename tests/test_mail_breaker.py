"""When to stop: outcomes that speak against us, the server or an issue, never against readers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from publisher.mail.breaker import Alarm, Breaker
from publisher.mail.replies import classify
from publisher.model import Attempt, Claimed

NOW = datetime(2026, 11, 23, 7, 0, tzinfo=UTC)
CLAIMED = Claimed(
    id=1,
    issue_id=1,
    segment_id=1,
    subscription_id=1,
    epoch=1,
    attempt=1,
    address="a@one.example",
    name="",
    date_at=NOW,
    message_id="<a.b@example.org>",
    expires_at=NOW + timedelta(hours=36),
    ambiguous=0,
)


def attempt(phase: str, code: int | None, text: str) -> Attempt:
    return Attempt(outcome=classify(phase, code, text).outcome, code=code, text=text, phase=phase)


SENT = attempt("dot", 250, "ok")
LOST = attempt("dot", None, "closed")
GONE = attempt("rcpt", 550, "5.1.1 no such user")
BLOCKED = attempt("rcpt", 550, "5.7.1 blocked")
SPAM = attempt("dot", 554, "5.7.1 spam")


def at(domain: str) -> Claimed:
    return CLAIMED._replace(address=f"a@{domain}")


def test_unknown_outcomes_count_within_a_minute_only() -> None:
    """More than max(5, 2 C), and slowly any number."""
    breaker = Breaker(4)
    assert [breaker.note(CLAIMED, LOST, NOW) is None for _ in range(9)] == [True] * 8 + [False]
    slow = Breaker(1)
    assert all(slow.note(CLAIMED, LOST, NOW + timedelta(seconds=15 * n)) is None for n in range(99))


def test_a_few_unknown_addresses_are_usual_and_many_are_the_servers_fault() -> None:
    """H9: ten of fifty, those under way included."""
    breaker = Breaker(4)
    for _ in range(20):
        assert breaker.note(CLAIMED, GONE, NOW) is None
        assert all(breaker.note(CLAIMED, SENT, NOW) is None for _ in range(9))
    alarms = [breaker.note(CLAIMED, GONE, NOW) for _ in range(7)]
    assert alarms[0] is None
    assert any(alarm is not None and alarm.lasting and alarm.issue_id is None for alarm in alarms)


def test_refusals_of_us_in_a_row_or_many_of_the_last_stop_everything() -> None:
    """Spec mail §1.7: five in a row, or more than a fifth of fifty."""
    breaker = Breaker(4)
    assert [breaker.note(CLAIMED, BLOCKED, NOW) for _ in range(5)] == [None] * 4 + [
        Alarm("we are refused as a sender: 550 5.7.1 blocked", lasting=True)
    ]
    mixed = Breaker(4)
    found = [mixed.note(CLAIMED, BLOCKED if number % 4 == 0 else SENT, NOW) for number in range(60)]
    assert found.count(None) == 59


def test_an_issue_is_paused_when_three_domains_refuse_its_content_and_nobody_takes_it() -> None:
    """H20: one domain alone may be mistaken, and an issue somebody accepted is sound."""
    breaker = Breaker(4)
    assert breaker.note(at("one.example"), SPAM, NOW) is None
    assert breaker.note(at("one.example"), SPAM, NOW) is None
    assert breaker.note(at("two.example"), SPAM, NOW) is None
    alarm = breaker.note(at("three.example"), SPAM, NOW)
    assert alarm is not None
    assert alarm.issue_id == 1
    sound = Breaker(4)
    sound.note(CLAIMED, SENT, NOW)
    assert all(sound.note(at(f"{n}.example"), attempt("dot", 554, "5.6.0 bad"), NOW) is None for n in range(9))


def test_more_than_a_hundredth_of_an_issue_unknown_rests_until_somebody_looks() -> None:
    """§5.2: however slowly they come; of a small issue a handful is forgiven."""
    breaker, minute = Breaker(1), timedelta(minutes=1)
    found = [breaker.note(CLAIMED, LOST, NOW + n * minute, deliveries=2000) for n in range(21)]
    assert found == [None] * 20 + [
        Alarm("21 mails of an issue to 2000 may or may not have arrived: closed", lasting=True)
    ]
    small = Breaker(1)
    assert [small.note(CLAIMED, LOST, NOW + n * minute, deliveries=12) is None for n in range(6)] == [True] * 5 + [
        False
    ]


def test_three_domains_that_find_us_too_fast_are_the_server_itself() -> None:
    """Spec mail §1.7, throttle: a relay says it of every recipient; one provider is slowed alone."""
    fast = attempt("rcpt", 421, "4.7.0 too fast")
    breaker = Breaker(4)
    assert all(breaker.note(at("one.example"), fast, NOW) is None for _ in range(9))
    assert breaker.note(at("two.example"), fast, NOW) is None
    breaker.note(CLAIMED, SENT, NOW)
    assert [breaker.note(at(f"{n}.example"), fast, NOW) for n in range(3)] == [
        None,
        None,
        Alarm("we are too fast for the server: 421 4.7.0 too fast"),
    ]


def test_a_server_that_lets_nobody_in_is_asked_again() -> None:
    """H3: 554 in the greeting keeps the queue and costs no reader anything, however often."""
    breaker, closed = Breaker(4), attempt("connect", 554, "5.7.1 blocked")
    assert all(breaker.note(CLAIMED, closed, NOW) is None for _ in range(60))
