"""Notices: decided when their turn comes, sent over real SMTP with one Message-ID, read as people read them."""

from __future__ import annotations

import asyncio
import email
import email.policy
import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519

from publisher.errors import StoreError
from publisher.mail.dkim import Key, Signer
from publisher.mail.pace import Limit, Rate
from publisher.mail.pacing import NO_LIMITS, Paces
from publisher.mail.smtp import Timeouts, Transport
from publisher.store import deliveries, exports, paces, subscribers
from publisher.store.tables import consents, wordings
from publisher.store.tables import notices as rows
from publisher.subscriptions import imports, notices
from publisher.subscriptions.letters import letter, rendered
from publisher.subscriptions.rows import COLUMNS
from publisher.subscriptions.values import AnswerKind, Choice, LinkState
from publisher.tokens import Keyring, Purpose
from tests.smtp_server import Script, SmtpServer, smtp_server
from tests.store.make import draft, frozen, new, stored
from tests.subscriptions.town import HOME, KEY, Town

pytestmark = pytest.mark.anyio
GOLDEN = Path(__file__).parent.parent / "golden" / "notices"


@dataclass
class Post:
    """A post office: sends what is due, and remembers what arrived."""

    town: Town
    server: SmtpServer
    epoch: int
    others: dict[str, SmtpServer] = field(default_factory=dict)
    """Servers of other transports, by name."""
    limits: Paces = NO_LIMITS
    backlog: list[notices.Unwritten] = field(default_factory=list)
    signer: Signer | None = None

    async def send(self) -> notices.Report:
        """Send what is due."""
        return await notices.send_due(
            self.town.database,
            self.town.house,
            self.open,
            signer=self.signer,
            epoch=self.epoch,
            clock=lambda: self.town.now,
            dice=lambda: 0.5,
            stop=asyncio.Event(),
            limits=self.limits,
            backlog=self.backlog,
        )

    def open(self, name: str) -> Transport:
        """Open a transport by name."""
        quick = Timeouts(connect=5, dot=1)
        port = self.others.get(name, self.server).port
        return Transport("127.0.0.1", port, security="plain", hello_name="t.example", timeouts=quick)

    @property
    def mails(self) -> list[EmailMessage]:
        """All that arrived."""
        return [email.message_from_bytes(one.content, policy=email.policy.default) for one in self.server.received]


@pytest.fixture
async def post(town: Town) -> AsyncIterator[Post]:
    """A server that takes everything."""
    epoch = town.database.write(lambda conn: deliveries.new_epoch(conn, town.now))
    async with smtp_server(Script()) as server:
        yield Post(town, server, epoch)


async def import_of(town: Town, *addresses: str) -> None:
    """Take addresses without a consent from a list, in one step of the import."""
    begun = imports.begin(town.database, digest="d", file="old.csv", now=town.now)
    rows_ = [
        [n, *({"email": one, "newsletter": "weekly"}.get(c, "") for c in COLUMNS)] for n, one in enumerate(addresses, 2)
    ]
    await asyncio.to_thread(
        imports.take,
        town.database,
        town.config,
        import_id=begun["id"],
        rows=rows_,
        upto=len(addresses) + 1,
        opt_in=True,
        house=town.house,
        now=town.now,
    )


async def test_whom_an_import_brought_is_told_the_truth_and_agrees_to_words_of_their_own(post: Post) -> None:
    """G3, P4, Art. 7(1): nothing was typed into a form; what they agree to is shown, and kept with version and hash."""
    await import_of(post.town, "ada@example.org")
    assert post.town.notices() == [("opt-in", "queued")]
    assert (await post.send()).sent == 1
    [mail] = post.mails
    body = mail.get_body(("plain",))
    assert body is not None
    text = " ".join(body.get_content().split())
    assert "Your address is on a list of The Ledger that does not say whether you agreed." in text
    assert "because this address is on a list that The Ledger has taken over." in text
    assert "form" not in text
    token = post.town.token(Purpose.CONFIRM)
    shown = await post.town.desk.confirming(token)
    assert shown is not None
    assert shown.wording == "Yes, send me these newsletters by e-mail. I can leave at any time with one click."
    done = await post.town.desk.confirm(token, client=HOME)
    assert done is not None
    assert (done.state, done.wording) == (LinkState.DONE, "")
    asked, agreed = post.town.rows(consents)
    assert (asked["event"], asked["method"], asked["form"], asked["wording"]) == ("requested", "import", "", None)
    assert (agreed["event"], agreed["method"], agreed["form"]) == ("confirmed", "link", "opt-in")
    [kept] = [row for row in post.town.rows(wordings) if row["hash"] == agreed["wording"]]
    assert kept["text"] == shown.wording
    assert kept["hash"] == hashlib.sha256(shown.wording.encode()).hexdigest()
    assert kept["version"] == kept["hash"][:12]


async def test_each_newsletter_is_agreed_to_as_it_was_asked_for(post: Post) -> None:
    """Signed up for one by the form and brought to another by an import: two rows, each with its own words."""
    await import_of(post.town, "ada@example.org")
    await post.town.sign_up("ada@example.org", "alerts")
    await post.town.desk.confirm(post.town.token(Purpose.CONFIRM), client=HOME)
    record = [(row["newsletter"], row["event"], row["form"]) for row in post.town.rows(consents)]
    assert record == [
        ("weekly", "requested", ""),
        ("alerts", "requested", "page"),
        ("alerts", "confirmed", "confirm"),
        ("weekly", "confirmed", "opt-in"),
    ]


async def test_a_late_link_of_an_import_is_renewed_with_the_same_words(post: Post) -> None:
    """F11: the new mail does not claim that a form was filled in."""
    await import_of(post.town, "ada@example.org")
    post.town.passes(days=4)
    await post.town.desk.renew(post.town.token(Purpose.CONFIRM), client=HOME)
    assert [kind for kind, _ in post.town.notices()] == ["opt-in", "opt-in"]


async def test_whom_an_import_asks_who_reads_by_then_gets_no_mail(post: Post) -> None:
    """P4: they signed up themselves in the meantime, and nobody typed anything."""
    await import_of(post.town, "ada@example.org")
    await post.town.desk.confirm(post.town.token(Purpose.CONFIRM), client=HOME)
    assert await post.send() == notices.Report(suppressed=1)
    assert post.mails == []


async def test_a_confirmation_opens_its_page_and_no_list_headers_are_in_it(post: Post) -> None:
    """P3, P4: transactional, no List- headers, the link of its own, nothing of a stranger's text."""
    await post.town.sign_up()
    assert (await post.send()).sent == 1
    [mail] = post.mails
    assert mail["To"] == "ada@example.org"
    assert mail["Subject"] == "Please confirm: The week"
    assert mail["Auto-Submitted"] == "auto-generated"
    assert [name for name in mail if name.lower().startswith("list-") or name == "Precedence"] == []
    link = f"https://mail.ledger.example/c/{post.town.token(Purpose.CONFIRM)}"
    for part in mail.walk():
        if part.get_content_maintype() == "text":
            assert link in part.get_content().replace("=\n", "")
    assert post.town.notices() == [("sign-up", "sent")]
    assert (await post.send()).sent == 0


async def test_the_record_names_the_mail_whose_button_was_pressed(post: Post) -> None:
    """Spec delivery §8, Art. 7(1): of two mails the one, by its Message-ID; in my data, the export, and for good."""
    await post.town.sign_up()
    await post.send()
    post.town.passes(hours=25)
    post.town._number = 7 << 124  # ids of which also the first digits are others
    await post.town.sign_up()
    await post.send()
    late, early = post.town.token(Purpose.CONFIRM), post.mails[0]["Message-ID"]
    await post.town.desk.confirm(late, client=HOME)
    said = f"button of mail {post.mails[1]['Message-ID']}"
    assert early not in said
    record = post.town.rows(consents)
    assert [(row["event"], row["proof"]) for row in record] == [
        ("requested", ""),
        ("requested", ""),
        ("confirmed", said),
    ]
    data = await post.town.desk.my_data(await post.town.fresh())
    assert data is not None
    assert data["consents"][-1]["proof"] == said
    [exported] = post.town.database.read(lambda conn: list(exports.stream(conn)))
    assert exported.consent == f"confirmed by link {post.town.now:%Y-%m-%dT%H:%M:%SZ}, {said}"


async def test_who_reads_already_gets_the_way_to_their_choices(post: Post) -> None:
    """F6: the answer on the page was the same; the mail is another, and its link opens everything."""
    await post.town.reader()
    assert (await post.send()).suppressed == 1
    await post.town.sign_up()
    await post.send()
    assert [mail["Subject"] for mail in post.mails] == ["You are subscribed already: The week"]
    found = await post.town.desk.preferences(post.town.token(Purpose.MANAGE))
    assert found is not None
    assert found.address == "ada@example.org"


async def test_no_letter_goes_to_who_left_or_was_suppressed_before_its_turn(post: Post) -> None:
    """P3, F6: decided at the claim, not when it was queued."""
    town = post.town
    await town.sign_up("ada@example.org")
    await town.sign_up("bob@example.org")
    await town.desk.leave(town.mail_token("ada@example.org"))
    town.database.write(lambda conn: subscribers.suppress(conn, "bob@example.org", reason="complaint", now=town.now))
    report = await post.send()
    assert (report.sent, report.suppressed) == (0, 2)
    assert post.server.received == []


async def test_a_link_is_not_sent_to_an_address_that_never_confirmed(post: Post) -> None:
    """P4: a stranger cannot have us write to anybody but for the one confirmation."""
    await post.town.sign_up()
    await post.send()
    post.town.passes(days=2)
    assert (await post.town.desk.send_link("ada@example.org", client=HOME)).kind is AnswerKind.TAKEN
    assert (await post.send()).suppressed == 1
    assert len(post.server.received) == 1


async def test_a_broken_gap_repeats_a_notice_once_with_its_message_id(post: Post) -> None:
    """At least once: the server took it and hung up without a word; the second copy has the same bytes."""
    post.server.script.dot.append("close")
    await post.town.sign_up()
    assert (await post.send()).deferred == 1
    post.town.passes(hours=1)
    assert (await post.send()).sent == 1
    first, second = post.server.received
    assert first.content == second.content
    assert first.message_id.startswith("<notice.")


async def test_a_notice_sent_again_after_a_change_of_keys_has_the_same_bytes(post: Post) -> None:
    """P2, V5: what signed it first signs it again, the mail itself and the links in it; new ones have the new keys."""
    old, new_one = (Key.of(name, ed25519.Ed25519PrivateKey.generate()) for name in ("one", "two"))
    post.signer = Signer([old])
    post.server.script.dot = ["close"]
    await post.town.sign_up()
    assert (await post.send()).deferred == 1
    post.signer = Signer([new_one], [old])
    post.town.keyring.adopt(Keyring([b"n" * 32, KEY]))
    post.town.passes(minutes=10)
    assert (await post.send()).sent == 1
    first, second = post.server.received
    assert (first.message_id, first.digest) == (second.message_id, second.digest)
    assert b"s=one;" in second.content
    await post.town.sign_up("ben@example.org")
    await post.send()
    assert b"s=two;" in post.server.received[-1].content
    assert post.town.token(Purpose.CONFIRM).encode() in post.server.received[-1].content


async def test_an_unknown_mailbox_is_never_written_to_again(post: Post) -> None:
    """F6: the refusal suppresses the address; the next sign-up answers alike and sends nothing."""
    post.server.script.refused["ada@example.org"] = "550 5.1.1 no such user"
    await post.town.sign_up()
    assert (await post.send()).failed == 1
    post.town.passes(days=2)
    assert (await post.town.sign_up()).kind is AnswerKind.TAKEN
    assert (await post.send()).suppressed == 1


async def test_a_notice_that_cannot_be_sent_in_two_days_expires(post: Post) -> None:
    """Nobody wonders about a confirmation of last week."""
    await post.town.sign_up()
    post.town.passes(days=3)
    assert (await post.send()).expired == 1


async def test_a_dead_workers_notice_is_sent_by_the_next(post: Post) -> None:
    """Claimed and not recorded: the next worker sends it again, once; twice it is uncertain."""
    await post.town.sign_up()
    claim = rows.update().values(state="sending", epoch=post.epoch)
    for state in ("deferred", "uncertain"):
        post.town.database.write(lambda conn: conn.execute(claim))
        post.town.database.write(lambda conn: deliveries.recover(conn, [post.epoch], policy="retry", now=post.town.now))
        assert post.town.notices() == [("sign-up", state)]


async def test_a_dead_workers_notice_is_never_sent_again_where_that_was_chosen(post: Post) -> None:
    """P2: `on_uncertain = "hold"` holds for confirmations as for digests; who waits for one asks again."""
    await post.town.sign_up()
    post.town.database.write(lambda conn: conn.execute(rows.update().values(state="sending", epoch=post.epoch)))
    now = post.town.now
    post.town.database.write(lambda conn: deliveries.recover(conn, [post.epoch], policy="hold", now=now))
    post.epoch = post.town.database.write(lambda conn: deliveries.new_epoch(conn, now))
    assert (await post.send()).sent == 0
    assert post.town.notices() == [("sign-up", "uncertain")]


async def test_what_came_of_a_notice_is_kept_until_it_can_be_written(
    post: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    """J4: a disk that is full just then makes nobody get a confirmation twice, nor wait for it for ever."""
    await post.town.sign_up()
    write, failing = post.town.database.begin_write, [False, True]

    def begin_write(work: Any) -> Any:
        if post.server.received and failing.pop():
            raise StoreError("the disk is full")
        return write(work)

    monkeypatch.setattr(post.town.database, "begin_write", begin_write)
    with pytest.raises(StoreError, match="full"):
        await post.send()
    assert post.town.notices() == [("sign-up", "sending")]
    monkeypatch.undo()
    assert await post.send() == notices.Report()
    assert post.town.notices() == [("sign-up", "sent")]
    assert (len(post.mails), post.backlog) == (1, [])


async def test_a_notice_whose_claim_only_seemed_to_fail_waits_again(post: Post) -> None:
    """J13: no body was written for it, so that it is sent, once, and counts as tried by nobody."""
    await post.town.sign_up()
    post.town.database.write(lambda conn: conn.execute(rows.update().values(state="sending", epoch=post.epoch)))
    assert (await post.send()).sent == 1
    [row] = post.town.rows(rows)
    assert (row["state"], row["ambiguous"], len(post.mails)) == ("sent", 0, 1)


async def test_a_notice_given_up_in_the_gap_is_in_doubt(post: Post) -> None:
    """P2: a run that is broken off knows what it left on the wire."""
    post.server.script.dot = ["silence"]
    await post.town.sign_up()
    sending = asyncio.create_task(post.send())
    await post.server.at_dot.wait()
    sending.cancel()
    await asyncio.wait([sending])
    assert (await post.send()).sent == 0
    [row] = post.town.rows(rows)
    assert (row["state"], row["ambiguous"]) == ("deferred", 1)
    post.town.passes(minutes=10)
    assert (await post.send()).sent == 1
    assert len({mail["Message-ID"] for mail in post.mails}) == 1


async def test_a_worker_taken_for_dead_sends_no_notice(post: Post) -> None:
    """Fenced: whoever was recovered from claims nothing more."""
    await post.town.sign_up()
    post.town.database.write(lambda conn: deliveries.recover(conn, [post.epoch], policy="retry", now=post.town.now))
    assert await post.send() == notices.Report()
    assert post.town.notices() == [("sign-up", "queued")]


async def test_moving_writes_to_the_new_address_and_then_to_the_old(post: Post) -> None:
    """F18: asked for with a fresh link, confirmed at the new address; the old one is told."""
    town = post.town
    await town.reader()
    await post.send()
    fresh = await town.fresh()
    answer = await town.desk.ask_address(fresh, "ada@new.example", client=HOME)
    assert answer is not None
    await post.send()
    moved = await town.desk.confirm_address(town.token(Purpose.ADDRESS), client=HOME)
    assert moved is not None
    assert moved.state is LinkState.DONE
    await post.send()
    told = [(mail["To"], mail["Subject"]) for mail in post.mails]
    assert told == [
        ("ada@example.org", "Your link to all settings at The Ledger"),
        ("ada@new.example", "Please confirm your new address at The Ledger"),
        ("ada@example.org", "Your mail from The Ledger goes to another address now"),
    ]
    assert await town.desk.preferences(fresh) is None
    assert town.states("ada@new.example") == {"weekly": "confirmed"}


async def test_a_welcome_is_the_latest_issue_for_the_readers_choices(post: Post) -> None:
    """Issue 5, 8: only the chosen category, the reader's own unsubscribe link; without any issue yet it is a letter."""
    town = post.town
    named = [new(draft(f"{name}.md", title=f"The {name}", categories=(name,))) for name in ("economy", "security")]
    numbers = stored(town.database, *named)
    weekly = next(one for one in town.config.newsletters if one.slug == "weekly")
    others = tuple(one for one in town.config.newsletters if one.slug != "weekly")
    weekly = weekly.model_copy(update={"welcome": "issue"})
    config = town.config.model_copy(update={"newsletters": (weekly, *others)})
    town.desk._house = town.house = replace(town.house, config=config)
    await town.reader("first@x.example", choices={"weekly": Choice(categories=("economy",))})
    await post.send()
    assert [mail["Subject"] for mail in post.mails] == ["Welcome to The week"]
    first = town.person("first@x.example")
    mine = town.database.read(lambda conn: subscribers.subscriptions_of(conn, first))
    frozen(town.database, [mine[0].id], newsletter="weekly", article_ids=numbers)
    await town.reader("second@x.example", choices={"weekly": Choice(categories=("economy",))})
    await post.send()
    mail = post.mails[-1]
    assert mail["To"] == "second@x.example"
    assert town.mail_token("second@x.example") in mail["List-Unsubscribe"]
    text = post.server.received[-1].content
    assert b"The economy" in text
    assert b"The security" not in text


@pytest.mark.parametrize("language", ["en", "ru"])
@pytest.mark.parametrize("kind", ["confirm", "opt-in", "known", "link", "address", "address-changed", "welcome"])
async def test_a_letter_reads_as_it_always_did(town: Town, kind: str, language: str, update_golden: bool) -> None:
    """Golden files: look at them when a word changes."""
    await town.reader("ada@example.org", "weekly", "alerts")
    mine = town.database.read(lambda conn: subscribers.subscriptions_of(conn, town.person("ada@example.org")))
    url = "https://mail.ledger.example/x/TOKEN"
    one = letter(
        town.config,
        town.renderer,
        kind,
        language,
        mine,
        url=url,
        unsubscribe=url if kind == "welcome" else "",
        new_address="ada@new.example",
    )
    text, html = rendered(town.renderer, one, html=True)
    assert html is not None
    for name, content in ((f"{kind}.{language}.txt", text), (f"{kind}.{language}.html", html)):
        if update_golden:
            GOLDEN.mkdir(exist_ok=True)
            (GOLDEN / name).write_text(content, encoding="utf-8")
        assert content == (GOLDEN / name).read_text(encoding="utf-8")


async def test_a_notice_travels_as_its_newsletter_does(post: Post) -> None:
    """What speaks for the From address of a newsletter is its transport; one in trouble holds up no other."""
    town = post.town
    one, other = (letter for letter in town.config.newsletters if letter.slug in ("weekly", "alerts"))
    assert (one.slug, other.slug) == ("weekly", "alerts")
    letters = tuple(
        letter.model_copy(update={"transport": "fast"}) if letter.slug == "alerts" else letter
        for letter in town.config.newsletters
    )
    town.house = replace(town.house, config=town.config.model_copy(update={"newsletters": letters}))
    await town.sign_up("ada@example.org", "alerts")
    await town.sign_up("bob@example.org", "weekly")
    async with smtp_server(Script(mail=["451 4.3.0 later", "451 4.3.0 later"])) as fast:
        post.others["fast"] = fast
        report = await post.send()
        assert (report.sent, report.deferred) == (1, 1)
        assert [str(mail["To"]) for mail in post.mails] == ["bob@example.org"]
        town.passes(hours=1)
        await post.send()
        town.passes(hours=3)
        assert (await post.send()).sent == 1
        assert [one.rcpt_to for one in fast.received] == ["ada@example.org"]
        assert len(post.mails) == 1


async def test_a_transport_that_rests_holds_up_no_other(post: Post) -> None:
    """It is out of reach, says so, and gets nothing more in this run; the others do, however many wait for it."""
    town = post.town
    letters = tuple(
        letter.model_copy(update={"transport": "fast"}) if letter.slug == "alerts" else letter
        for letter in town.config.newsletters
    )
    town.house = replace(town.house, config=town.config.model_copy(update={"newsletters": letters}))
    for number in range(3):
        await town.sign_up(f"a{number}@example.org", "alerts")
    await town.sign_up("bob@example.org", "weekly")
    async with smtp_server(Script(greeting=["421 4.3.2 busy"] * 9)) as fast:
        post.others["fast"] = fast
        report = await post.send()
        assert (report.sent, report.held) == (1, "connect: 421 4.3.2 busy")
        assert fast.connections == 1
        assert [state for _, state in town.notices()].count("queued") == 2


async def test_a_notice_waits_for_no_pace_but_counts(post: Post) -> None:
    """Somebody waits for it, so digests wait the longer: two mails at once where one an hour may go."""
    post.limits = Paces(transports={"smtp": Limit(Rate.parse("1/h"))})
    await post.town.sign_up("ada@example.org")
    await post.town.sign_up("bob@example.org")
    assert (await post.send()).sent == 2
    known = post.town.database.read(paces.load)
    assert known[paces.key_of_transport("smtp")].full_at == post.town.now + timedelta(hours=2)


async def test_a_notice_waits_while_its_provider_rests(post: Post) -> None:
    """Notices heed it, too, when a provider says "too fast": it gets nothing until it has rested, all others do."""
    town = post.town
    post.server.script.rcpt.append("421 4.7.28 too fast")
    await town.sign_up("ada@gmail.com")
    assert (await post.send()).deferred == 1
    await town.sign_up("bob@gmail.com")
    await town.sign_up("cleo@example.org")
    assert (await post.send()).sent == 1
    assert [str(mail["To"]) for mail in post.mails] == ["cleo@example.org"]
    rests = town.database.read(paces.load)[paces.key_of_provider("smtp", "google")].slow
    assert rests is not None
    assert rests.rests_until > town.now
    town.now = rests.rests_until
    await post.send()
    assert "bob@gmail.com" in [str(mail["To"]) for mail in post.mails]
