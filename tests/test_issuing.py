"""What operators may do with an issue: approve, pause, resume, cancel; and the days on which there is none."""

from __future__ import annotations

import asyncio
from datetime import UTC, date, datetime, timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from publisher import reports
from publisher.app import App, dispatching, issuing, plan_slots
from publisher.cli import show_issues, show_status
from publisher.config import Config, Frequency
from publisher.errors import NotFoundError, RefusedError
from publisher.mail.smtp import Transport
from publisher.store import deliveries, freezing, issues
from tests.publications import BORDER, load_publication, write_article
from tests.smtp_server import Script, SmtpServer, smtp_server

pytestmark = pytest.mark.anyio

ANNA = {"email": "anna@reader.example", "languages": "en", "consent": "paper form"}
BORIS = {"email": "boris@reader.example", "languages": "ru en", "consent": "paper form"}


def publication(home: Path, **newsletter: Any) -> Config:
    """A publication whose newsletter has these settings."""
    config = load_publication(home)
    changed = config.newsletters[0].model_copy(update=newsletter)
    return config.model_copy(update={"newsletters": (changed,)})


def mails(home: Path) -> list[EmailMessage]:
    """The messages in the embedded inbox, by recipient."""
    found = []
    for path in (home / "data" / "inbox" / "new").iterdir():
        message = message_from_bytes(path.read_bytes(), policy=policy.default)
        assert isinstance(message, EmailMessage)
        found.append(message)
    return sorted(found, key=lambda message: str(message["To"]))


async def held_issue(app: App) -> str:
    """Collect, add two readers, compose; the issue is held. Return its ref."""
    await app.import_subscribers([ANNA, BORIS])
    await app.publishing.collect()
    done = await app.dispatching.dispatch("weekly")
    assert (done["outcome"], done["reason"]) == ("held", "every issue of this newsletter waits for approval")
    return str(done["issue"])


async def test_an_issue_that_waits_for_approval_is_sent_as_it_was_composed_when_it_is_approved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Issue 6, 8: nothing before, everything after, though its deliveries would have expired by then."""
    async with await App.open(publication(tmp_path, approval=True)) as app:
        ref = await held_issue(app)
        await app.sending.send()
        assert mails(tmp_path) == []
        [listed] = await app.database.aread(partial(reports.issue_list, states=["held"]))
        assert (listed["ref"], listed["deliveries"]) == (ref, {"queued": 2})
        late = datetime.now(UTC) + timedelta(days=3)
        monkeypatch.setattr(issuing, "now", lambda: late)
        assert await app.issuing.approve(ref) == {
            "ref": ref,
            "newsletter": "weekly",
            "state": "sending",
            "deliveries": {"queued": 2},
        }
        with pytest.raises(RefusedError, match=f"issue {ref} is sending, not held"):
            await app.issuing.approve(ref)
        monkeypatch.setattr("publisher.app.sending.now", lambda: late)
        assert (await app.sending.send())["sent"] == 2
        [slot] = await app.database.aread(issues.slots)
    assert (slot.outcome, slot.reason) == ("dispatched", "approved, to 2 readers")
    assert [mail["To"] for mail in mails(tmp_path)] == ["anna@reader.example", "boris@reader.example"]


async def test_the_command_says_what_a_held_issue_holds_and_how_it_is_sent(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Issue 6, 7: a dry run says the same, without a way to send it."""
    async with await App.open(publication(tmp_path, approval=True)) as app:
        await app.import_subscribers([ANNA, BORIS])
        await app.publishing.collect()
        show_issues.dispatched(await app.dispatching.dispatch("weekly", dry_run=True))
        done = await app.dispatching.dispatch("weekly")
        show_issues.dispatched(done)
        show_issues.issue(await app.database.aread(lambda conn: reports.issue_show(app.config, conn, done["issue"])))
        await app.issuing.cancel(done["issue"])
        show_issues.issue(await app.database.aread(lambda conn: reports.issue_show(app.config, conn, done["issue"])))
    said = [line for line in capsys.readouterr().out.splitlines() if "[info " not in line]
    reason, whole = "held: every issue of this newsletter waits for approval", "for 2 readers in 2 segments, 3 articles"
    assert said[:5] == [
        f"weekly {done['slot']}: would be {reason}",
        f"  {whole}",
        f"weekly {done['slot']}: {reason}",
        f"  {whole}",
        f"  to send it: publisher approve {done['issue']}",
    ]
    page = f"page: https://mail.ledger.example/issues/{done['issue']}?lang=en"
    assert [line for line in said if line.startswith("page: ")] == [f"{page} (once it is sent)", f"{page} (gone)"]


async def test_a_spread_issue_that_waited_is_spread_from_its_approval_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Point 4 of issue 4: four hours for the readers of this one, however long nobody looked at it."""
    async with await App.open(publication(tmp_path, approval=True, spread="4h")) as app:
        ref = await held_issue(app)
        late = datetime.now(UTC) + timedelta(days=3)
        monkeypatch.setattr(issuing, "now", lambda: late)
        await app.issuing.approve(ref)
        rows = await app.database.aread(deliveries.listing)
    assert sorted(row.next_at for row in rows) == [late, late + timedelta(hours=2)]


async def test_an_issue_with_a_withdrawn_article_cannot_be_approved(tmp_path: Path) -> None:
    """L11: what was frozen cannot be changed, so it is composed anew."""
    async with await App.open(publication(tmp_path, approval=True)) as app:
        ref = await held_issue(app)
        found = await app.database.aread(lambda conn: reports.issue_show(app.config, conn, ref))
        border = next(a["ref"] for a in found["articles"] if a["title"] == "The border is quiet")
        await app.publishing.withdraw([border])
        with pytest.raises(RefusedError, match="'The border is quiet'; cancel the issue"):
            await app.issuing.approve(ref)
        assert (await app.issuing.cancel(ref))["deliveries"] == {"suppressed": 2}
        again = await app.dispatching.dispatch("weekly", dry_run=True)
        assert (again["outcome"], again["articles"]) == ("held", 2)


async def test_the_next_issue_takes_the_place_of_one_that_nobody_approved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DESIGN §4, cursor: its articles come along, once."""
    async with await App.open(publication(tmp_path, approval=True)) as app:
        first = await held_issue(app)
        write_article(tmp_path, "tax.md", BORDER.replace("The border is quiet", "A new tax").replace("-19", "-21"))
        await app.publishing.collect()
        monkeypatch.setattr(dispatching, "now", lambda: datetime.now(UTC) + timedelta(minutes=2))
        second = (await app.dispatching.dispatch("weekly"))["issue"]
        states = {entry["ref"]: entry for entry in await app.database.aread(reports.issue_list)}
        assert (states[first]["state"], states[first]["reason"]) == ("cancelled", f"superseded by issue {second}")
        monkeypatch.setattr(issuing, "now", lambda: datetime.now(UTC) + timedelta(minutes=3))
        await app.issuing.approve(second)
        monkeypatch.setattr("publisher.app.sending.now", lambda: datetime.now(UTC) + timedelta(minutes=4))
        assert (await app.sending.send())["sent"] == 2
    [anna, _] = mails(tmp_path)
    body = anna.get_body(("plain",))
    assert body is not None
    text = str(body.get_content())
    assert [text.count(title) for title in ("A new tax", "The border is quiet", "A good harvest")] == [1, 1, 1]


async def test_editors_are_told_once_of_an_issue_that_waits_with_what_readers_would_get(tmp_path: Path) -> None:
    """Issue 6, 8: the mail shows the issue, says why it waits and how to send it, and acts for no reader."""
    config = publication(tmp_path, approval=True, editors=("eve@ledger.example", "ed@ledger.example"))
    async with await App.open(config) as app:
        ref = await held_issue(app)
        assert await app.issuing.tell_editors() == []
        assert await app.issuing.tell_editors() == []
    told = mails(tmp_path)
    assert [mail["To"] for mail in told] == ["ed@ledger.example", "eve@ledger.example"]
    assert str(told[0]["Subject"]).startswith("[For approval] The week: ")
    for part in ("plain", "html"):
        body = told[0].get_body((part,))
        assert body is not None
        content = str(body.get_content())
        assert "every issue of this newsletter waits for approval. It would go to 2 readers." in content
        assert f"publisher approve {ref}" in content
        assert "A good harvest" in content
        assert "/u/" not in content


async def test_an_editor_who_cannot_be_reached_costs_the_others_no_second_mail(tmp_path: Path) -> None:
    """P2: also over a restart; whom the server refuses is tried again, more and more seldom."""
    config = publication(tmp_path, approval=True, editors=("eve@ledger.example", "ed@ledger.example"))
    async with smtp_server(Script(refused={"eve@ledger.example": "550 5.1.1 no such editor"})) as server:
        for start in range(2):
            async with await App.open(config) as app:
                app.sending.transport = lambda name="": over(server)  # type: ignore[method-assign]  # instead of the inbox
                if not start:
                    await held_issue(app)
                for _ in range(4):
                    assert await app.issuing.tell_editors() == ["eve@ledger.example: 5.1.1 no such editor"]
        assert [one.rcpt_to for one in server.received] == ["ed@ledger.example"]
        assert server.commands.count("RCPT TO:<eve@ledger.example>") == 4  # at once, at the next look, and then later
        server.script.refused.clear()
        async with await App.open(config) as app:
            app.sending.transport = lambda name="": over(server)  # type: ignore[method-assign]  # as above
            assert await app.issuing.tell_editors() == []
            kept = await app.database.aread(lambda conn: conn.exec_driver_sql("SELECT key FROM meta").scalars().all())
        assert not [key for key in kept if key.startswith("editors")]
        assert [one.rcpt_to for one in server.received] == ["ed@ledger.example", "eve@ledger.example"]


@pytest.mark.parametrize(("on_uncertain", "copies"), [("retry", 2), ("hold", 1)])
async def test_a_mail_to_an_editor_that_may_have_arrived_is_repeated_as_was_chosen(
    tmp_path: Path, on_uncertain: str, copies: int
) -> None:
    """P2, V5: twice at most, with the same bytes; never where no mail is to be repeated."""
    config = publication(tmp_path, approval=True, editors=("eve@ledger.example",))
    config = config.model_copy(update={"smtp": config.smtp.model_copy(update={"on_uncertain": on_uncertain})})
    async with smtp_server(Script(dot=["close"] * 9)) as server:
        async with await App.open(config) as app:
            app.sending.transport = lambda name="": over(server)  # type: ignore[method-assign]  # instead of the inbox
            await held_issue(app)
            told = [await app.issuing.tell_editors() for _ in range(3)]
        assert [bool(problems) for problems in told] == [on_uncertain == "retry", False, False]
        assert len(server.received) == copies
        assert len({one.content for one in server.received}) == 1


def over(server: SmtpServer) -> Transport:
    """A connection to a server."""
    return Transport("127.0.0.1", server.port, security="plain", hello_name="mail.example.org")


async def test_a_server_that_refuses_the_editors_mail_is_asked_again(tmp_path: Path) -> None:
    """Nobody waits for an approval that nobody was asked for: the problem is told, and the next look tries again."""
    config = publication(tmp_path, approval=True, editors=("eve@ledger.example",))
    async with await App.open(config) as app:
        ref = await held_issue(app)
        honest = app.sending.transport
        assert app.sending.inbox is not None

        class Refusing:
            def __init__(self, name: str) -> None:
                """Whatever it is called."""

            async def send(self, *message: Any) -> Any:
                return type("Attempt", (), {"outcome": "refused", "text": "550 no such editor"})()

            async def close(self) -> None:
                """Nothing is open."""

        app.sending.transport = Refusing  # type: ignore[method-assign,assignment]  # a server that refuses
        assert await app.issuing.tell_editors() == ["eve@ledger.example: 550 no such editor"]
        app.sending.transport = honest  # type: ignore[method-assign]  # as it was
        assert await app.issuing.tell_editors() == []
        assert ref
    assert [mail["To"] for mail in mails(tmp_path)] == ["eve@ledger.example"]


async def test_pausing_resuming_and_cancelling_say_what_they_did_or_why_not(tmp_path: Path) -> None:
    """K18, issue 6, 8."""
    async with await App.open(publication(tmp_path)) as app:
        await app.import_subscribers([ANNA, BORIS])
        await app.publishing.collect()
        ref = (await app.dispatching.dispatch("weekly"))["issue"]
        with pytest.raises(RefusedError, match=f"issue {ref} is sending, not paused"):
            await app.issuing.resume(ref)
        assert (await app.issuing.pause(ref))["state"] == "paused"
        assert (await app.sending.send())["sent"] == 0
        [paused] = await app.database.aread(reports.issue_list)
        assert paused["reason"] == "paused by an operator"
        assert (await app.issuing.resume(ref))["state"] == "sending"
        [going] = await app.database.aread(reports.issue_list)
        assert going["reason"] is None
        assert await app.issuing.cancel(ref) == {
            "ref": ref,
            "newsletter": "weekly",
            "state": "cancelled",
            "deliveries": {"suppressed": 2},
        }
        with pytest.raises(RefusedError, match="nothing of it is left to cancel"):
            await app.issuing.cancel(ref)
        with pytest.raises(NotFoundError, match="there is no issue 'abc'; `publisher issues list` shows"):
            await app.issuing.pause("abc")
        assert (await app.sending.send())["sent"] == 0


async def test_no_issue_appears_on_a_blackout_day_and_its_articles_come_with_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Issue 6, 8; the plan says so before, `plan --explain` after."""
    config = publication(tmp_path, blackout=((date(2026, 12, 7), date(2026, 12, 7)),))
    clock = datetime(2026, 11, 30, 5, tzinfo=UTC)  # 08:00 in Minsk, on a Monday
    monkeypatch.setattr(dispatching, "now", lambda: clock)
    async with await App.open(config) as app:
        assert await app.dispatching.run_due() == []  # from now on slots count
        await app.import_subscribers([ANNA])
        await app.publishing.collect()
        clock = datetime(2026, 12, 7, 4, 0, 30, tzinfo=UTC)
        assert await app.dispatching.run_due() == []
        told = await app.database.aread(lambda conn: reports.slot_explained(config, conn, "weekly", "2026-12-07 07:00"))
        assert told == [
            {
                "newsletter": "weekly",
                "frequency": "weekly",
                "slot": "2026-12-07T07:00",
                "at": "2026-12-07T04:00:00Z",
                "decided_at": "2026-12-07T04:00:30Z",
                "outcome": "skipped",
                "reason": "blackout 2026-12-07",
                "issue": None,
            }
        ]
        day = await app.database.aread(lambda conn: reports.slot_explained(config, conn, "weekly", "2026-12-07"))
        assert day == told
        with pytest.raises(NotFoundError, match=r"no slot .* was decided; the last ones: 2026-12-07T07:00 \(weekly\)"):
            await app.database.aread(lambda conn: reports.slot_explained(config, conn, "weekly", "2026-12-08T07:00"))
        clock = datetime(2026, 12, 14, 4, 0, 30, tzinfo=UTC)
        [done] = await app.dispatching.run_due()
        assert (done["outcome"], done["articles"], done["deliveries"]) == ("dispatched", 2, 1)


async def test_after_an_outage_of_days_there_is_one_issue_with_what_is_not_too_old(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """K4, K5, §5.4: of three missed days one issue, without what is too old by then; the plan says so before."""
    daily = {"daily": Frequency(at="07:00")}
    config = publication(tmp_path, frequencies=daily, max_age="6d")
    clock = datetime(2026, 11, 23, 5, tzinfo=UTC)  # 08:00 in Minsk
    monkeypatch.setattr(dispatching, "now", lambda: clock)
    async with await App.open(config) as app:
        assert await app.dispatching.run_due() == []
        await app.import_subscribers([ANNA | {"frequency": "daily"}])
        await app.publishing.collect()
    clock = datetime(2026, 11, 26, 6, tzinfo=UTC)
    monkeypatch.setattr("publisher.app.looking.now", lambda: clock)
    async with await App.open(config) as app:
        planned = await asyncio.to_thread(plan_slots, app.database, config, None, 1)
        [done] = await app.dispatching.run_due()
        assert await app.dispatching.run_due() == []
        told = await app.database.aread(issues.slots)
        shown = await app.database.aread(lambda conn: reports.issue_show(config, conn, done["issue"]))
    assert [(slot["slot"], slot["late"]) for slot in planned] == [
        ("2026-11-24T07:00", "2 d 2 h late, more than 6 h: it will be missed"),
        ("2026-11-25T07:00", "1 d 2 h late, more than 6 h: it will be missed"),
        ("2026-11-26T07:00", "2 h late: it goes out when the service runs"),
        ("2026-11-27T07:00", None),
    ]
    assert (done["slot"], done["outcome"], done["deliveries"]) == ("2026-11-26T07:00", "dispatched", 1)
    assert [article["title"] for article in shown["articles"]] == ["A good harvest"]
    assert [(slot.slot, slot.outcome) for slot in told] == [
        ("2026-11-26T07:00", "dispatched"),
        ("2026-11-25T07:00", "missed"),
        ("2026-11-24T07:00", "missed"),
    ]


async def test_news_as_it_happens_waits_its_delay_and_goes_with_what_came_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Issue 6, 2, K4: after the first new article, in one mail, once, also after a stop; too late, with the next."""
    config = publication(tmp_path, frequencies={"instant": Frequency(after="10m")})
    clock = datetime(2026, 11, 23, 5, tzinfo=UTC)
    for module in ("dispatching", "publishing", "looking", "sending"):
        monkeypatch.setattr(f"publisher.app.{module}.now", lambda: clock)

    async def at(time: str, *titles: str) -> list[tuple[str, str, int]]:
        nonlocal clock
        clock = datetime.fromisoformat(f"2026-11-{time}+00:00")
        for title in titles:
            head = f"---\ntitle: {title}\ndate: {clock:%Y-%m-%dT%H:%M:%SZ}\ncategory: economy\n---\n"
            write_article(tmp_path, f"{title}.md", f"{head}{title} it is.\n")
        if titles:
            await app.publishing.collect()
        return [(one["slot"], one["outcome"], one["articles"]) for one in await app.dispatching.run_due()]

    async def plan() -> list[tuple[str | None, str | None, str, int | None]]:
        found = await asyncio.to_thread(plan_slots, app.database, config, None, 3)
        return [(one["slot"], one["late"], one["schedule"], one["articles"]) for one in found]

    async with await App.open(config) as app:
        await app.publishing.collect()
        assert await app.dispatching.run_due() == []  # what was there before the schedule is no news
        await app.import_subscribers([ANNA | {"frequency": "instant"}])
        assert await plan() == [(None, None, "10 minutes after news", None)]
        status = await app.database.aread(lambda conn: reports.status(config, conn, clock))
        told = {"frequency": "instant", "slot": None, "at": None, "schedule": "10 minutes after news"}
        assert status["newsletters"] == [{"slug": "weekly", "readers": 1, "next": [told]}]
        show_status.status(status | {"service": {"running": False, "pid": None}})
        assert "  instant: 10 minutes after news\n" in capsys.readouterr().out
        assert await at("23T05:03:20", "One") == []
        assert await plan() == [("2026-11-23T05:13", None, "10 minutes after news", 1)]
        assert await at("23T05:13:19", "Two") == []
        assert await at("23T05:13:20") == [("2026-11-23T05:13", "dispatched", 2)]
        assert await at("23T05:20:00") == []
        await app.sending.send()
        assert await at("23T06:00:00", "Three") == []
    async with await App.open(config) as app:
        clock = datetime(2026, 11, 23, 9, tzinfo=UTC)
        late = "2 h 50 min late: it goes out when the service runs"
        assert await plan() == [("2026-11-23T06:10", late, "10 minutes after news", 1)]
        assert await at("23T09:00:00") == [("2026-11-23T06:10", "dispatched", 1)]
        await app.sending.send()
        assert await at("23T10:00:00", "Four") == []
    async with await App.open(config) as app:
        assert await at("23T18:00:00") == []  # seven hours and fifty minutes late: missed
        assert await at("24T05:00:00", "Five") == []
        assert await at("24T05:10:00") == [("2026-11-24T05:10", "dispatched", 2)]
        decided = await app.database.aread(issues.slots)
    assert [(slot.slot, slot.outcome) for slot in decided] == [
        ("2026-11-24T05:10", "dispatched"),
        ("2026-11-23T10:10", "missed"),
        ("2026-11-23T06:10", "dispatched"),
        ("2026-11-23T05:13", "dispatched"),
    ]


@pytest.mark.parametrize("story", ["send", "run_due"])
async def test_an_issue_that_a_crash_left_half_frozen_is_sent_to_everybody_at_the_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, story: str
) -> None:
    """P1, P7, J1: each reader once, by the command or by the service, before any later slot is decided."""

    def dies(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(freezing, "_TOGETHER", 1)
    config = publication(tmp_path)
    async with await App.open(config) as app:
        await app.import_subscribers([ANNA, BORIS])
        await app.publishing.collect()
        with monkeypatch.context() as patched:
            patched.setattr("publisher.faults.point", lambda name: dies() if name == "freezing.committed" else None)
            with pytest.raises(KeyboardInterrupt):
                await app.dispatching.dispatch("weekly")
        [half] = await app.database.aread(issues.listing)
        assert (half.state, half.deliveries) == ("planned", {"queued": 1})
    async with await App.open(config) as app:
        if story == "run_due":
            await app.dispatching.run_due()
        await app.sending.send()
        [whole] = await app.database.aread(issues.listing)
        assert (whole.ref, whole.state, whole.deliveries) == (half.ref, "sent", {"sent": 2})
    assert [str(mail["To"]) for mail in mails(tmp_path)] == ["anna@reader.example", "boris@reader.example"]
