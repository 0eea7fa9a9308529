"""An import brings nobody back, happens once however often it is run, and tells exactly what became of each row."""

from __future__ import annotations

import asyncio
import csv
import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from publisher import control
from publisher.app import silent
from publisher.config import Config
from publisher.errors import BusyError, NotFoundError, RefusedError
from publisher.model import Format, SubscriptionState
from publisher.store import erasures, notices, subscribers
from publisher.store.database import Connection, Database
from publisher.store.imports import Standing
from publisher.subscriptions import exports, files, imports
from publisher.subscriptions.columns import Options
from publisher.subscriptions.house import House
from publisher.subscriptions.imports import Taken, decide
from publisher.subscriptions.rows import COLUMNS, Wish
from publisher.tokens import Keyring, Pepper
from tests.publications import load_publication, write_publication
from tests.store.make import NOW
from tests.test_control import running

EXPORTS = Path(__file__).parent.parent / "data" / "exports"
WISH = Wish(
    address="a@b.example",
    address_key="a@b.example",
    name="",
    languages=("en",),
    timezone="UTC",
    format=Format.HTML,
    newsletter="weekly",
    frequency="weekly",
    categories=None,
    content=None,
    hour=None,
    paused_until=None,
    consent="form",
    state=SubscriptionState.CONFIRMED,
    suppressed="",
    stated=frozenset(),
)
PEPPER = Pepper(b"p" * 32)
CONSENT = Options(consent="moved from the old list")


class StoppedError(Exception):
    """The process ended here."""


@dataclass
class Office:
    """Where files are imported into a database, step by step as the app would."""

    config: Config
    database: Database
    home: Path
    notes: list[tuple[int, str]] = field(default_factory=list)
    kill_after: int | None = None
    """Transactions of rows after which the process ends."""
    calls: list[str] = field(default_factory=list)

    @property
    def house(self) -> House:
        """What asking by mail stands on; no mail is composed here."""
        renderer: Any = None
        return House(self.config, renderer, Keyring([b"k" * 32]), PEPPER, lambda: "0" * 32)

    def file(self, *rows: str, header: str = "email,consent") -> Path:
        """Write a table."""
        path = self.home / "readers.csv"
        path.write_text("\n".join((header, *rows)) + "\n", encoding="utf-8")
        return path

    async def do(self, action: str, arguments: Mapping[str, Any]) -> Any:
        """Tell a story as the app does; what goes over the socket is JSON."""
        asked = json.loads(json.dumps(dict(arguments)))
        self.calls.append(action)
        if action == "import_begin":
            return imports.begin(self.database, **asked, now=NOW)
        if action == "import_end":
            return imports.finish(self.database, **asked, now=NOW)
        done = imports.take(self.database, self.config, **asked, house=self.house, now=NOW)
        if self.kill_after is not None and self.calls.count("import_rows") == self.kill_after:
            raise StoppedError
        return json.loads(json.dumps(done))

    def run(self, path: Path, options: Options = CONSENT, *, dry_run: bool = False) -> dict[str, Any]:
        """Import a file, the wrong rows left out, and return its report."""

        def note(row: int, line: int, column: str, taken: str, message: str) -> None:
            assert line >= 0
            assert (column, message) != ("", "") or taken in ("left", "suppressed")
            self.notes.append((row, str(taken)))

        self.notes.clear()
        self.calls.clear()
        examined = files.examine(self.config, path, options, progress=silent, note=note)
        return asyncio.run(
            files.run(
                self.config,
                path,
                options,
                examined,
                do=self.do,
                dry_run=dry_run,
                stopped=lambda: False,
                progress=silent,
                note=note,
            )
        )

    def states(self) -> dict[str, str]:
        """Where everybody stands: the state, and the reason of a suppression."""
        return {
            row.subscriber.address: f"{row.subscription.state}{f' {row.suppressed}' if row.suppressed else ''}"
            for row in self.database.read(subscribers.listing)
        }

    def export(self) -> str:
        """All readers as a table."""
        return self.database.read(lambda conn: "".join(line for line, _ in exports.lines(conn)))


@pytest.fixture
def office(tmp_path: Path, database: Database) -> Office:
    return Office(load_publication(tmp_path / "publication"), database, tmp_path)


def counts(report: Mapping[str, Any]) -> dict[str, int]:
    """What became of the rows, as far as there were any."""
    return {str(taken): report[taken] for taken in Taken if report[taken]}


def stand(conn: Connection, address: str, *, state: SubscriptionState) -> int:
    """Put a person into a state."""
    person = subscribers.add(
        conn, address=address, address_key=address, name="", languages=("en",), timezone="UTC",
        format=Format.HTML, now=NOW,
    )  # fmt: skip
    return subscribers.subscribe(
        conn, person, newsletter="weekly", frequency="weekly", categories=("economy",), state=state,
        method="link", proof="", now=NOW,
    ).id  # fmt: skip


def test_nobody_who_left_bounced_complained_or_was_erased_comes_back(office: Office) -> None:
    """G1, P3: they stay as they are, are counted, and listed by row and reason."""

    def before(conn: Connection) -> None:
        subscribers.unsubscribe(conn, stand(conn, "left@b.example", state=SubscriptionState.CONFIRMED),
                                method="link", now=NOW)  # fmt: skip
        stand(conn, "bounced@b.example", state=SubscriptionState.CONFIRMED)
        subscribers.suppress(conn, "bounced@b.example", reason="550 no such user", now=NOW)
        subscribers.suppress(conn, "complained@b.example", reason="complaint", kind="complaint", now=NOW)
        stand(conn, "erased@b.example", state=SubscriptionState.CONFIRMED)
        erasures.erase(conn, "erased@b.example", PEPPER.hash("erased@b.example"), NOW)

    office.database.write(before)
    names = ("left", "Bounced", "complained", "ERASED", "new")
    path = office.file(*(f"{name}@b.example,form" for name in names))
    for _ in range(2):
        report = office.run(path)
        assert [(row["row"], row["taken"], row["reason"]) for row in report["stayed_out"]] == [
            (2, "left", ""),
            (3, "suppressed", "550 no such user"),
            (4, "suppressed", "complaint"),
            (5, "suppressed", "erased"),
        ]
    assert counts(report) == {"unchanged": 1, "left": 1, "suppressed": 3}
    assert office.states() == {
        "left@b.example": "unsubscribed",
        "bounced@b.example": "confirmed 550 no such user",
        "new@b.example": "confirmed",
    }


def test_duplicates_in_other_letters_are_one_person(office: Office) -> None:
    """G5."""
    path = office.file("Anna@B.example,form 1", "anna@b.EXAMPLE,form 2", "ANNA@b.example,form 3", "x@b.example,form")
    report = office.run(path)
    assert counts(report) == {"added": 2, "repeated": 2}
    assert office.notes == [(3, "repeated"), (4, "repeated")]
    assert list(office.states()) == ["Anna@b.example", "x@b.example"]


def test_a_row_that_says_somebody_left_counts_wherever_it_stands(office: Office) -> None:
    """P3: leaving wins over every other row, and over who is subscribed here."""
    office.database.write(lambda conn: stand(conn, "here@b.example", state=SubscriptionState.CONFIRMED))
    path = office.file(
        "here@b.example,,unsubscribed,",
        "a@b.example,form,confirmed,",
        "a@b.example,form,unsubscribed,",
        "a@b.example,form,confirmed,",
        "b@b.example,form,,bounced",
        "b@b.example,form,,",
        header="email,consent,state,suppressed",
    )
    told = office.run(path, dry_run=True)
    assert counts(told) == {"added": 1, "unsubscribed": 2, "barred": 1, "repeated": 2}
    assert counts(office.run(path)) == counts(told)
    assert office.states() == {
        "a@b.example": "unsubscribed",
        "b@b.example": "confirmed bounced",
        "here@b.example": "unsubscribed",
    }
    assert counts(office.run(path)) == {"left": 3, "suppressed": 1, "repeated": 2}


def test_an_import_changes_no_choice_of_who_is_here(office: Office) -> None:
    office.database.write(lambda conn: stand(conn, "here@b.example", state=SubscriptionState.CONFIRMED))
    before = office.export()
    path = office.file("here@b.example,form,security,Name", header="email,consent,categories,name")
    assert counts(office.run(path)) == {"unchanged": 1}
    assert office.export() == before


def test_a_dry_run_writes_nothing_and_tells_the_same_numbers(office: Office) -> None:
    """G7: the numbers are exact, duplicates and wrong rows included."""
    rows = [f"r{number % 700}@b.example,form" for number in range(1200)] + ["wrong,form", "x@b.example,"]
    path = office.file(*rows)
    told = office.run(path, Options(), dry_run=True)
    assert office.states() == {}
    assert office.calls == ["import_rows", "import_rows"]
    assert counts(told) == {"added": 700, "repeated": 500, "invalid": 2}
    done = office.run(path, Options())
    assert counts(done) == counts(told)
    assert done["rows"] == sum(counts(done).values()) == 1202


@pytest.mark.parametrize("kill_after", [1, 2, 3])
def test_an_import_killed_after_any_transaction_goes_on_with_the_exact_numbers(office: Office, kill_after: int) -> None:
    """G2: the second run takes the rest, and its numbers are those of an import that was never killed."""
    path = office.file(*(f"r{number % 1000}@b.example,form" for number in range(1300)), "wrong,x")
    office.kill_after = kill_after
    if kill_after <= 2:
        with pytest.raises(StoppedError):
            office.run(path, Options())
        assert len(office.states()) == 500 * kill_after
    office.kill_after = None
    report = office.run(path, Options())
    assert report["resumed_after"] == (None if kill_after > 2 else 500 * kill_after + 1)
    assert counts(report) == {"added": 1000, "repeated": 300, "invalid": 1}
    assert len(office.states()) == 1000
    assert counts(office.run(path, Options())) == {"unchanged": 1000, "repeated": 300, "invalid": 1}


def test_a_batch_that_is_sent_twice_is_taken_once(office: Office) -> None:
    """G2: its answer was lost on the way."""
    begun = imports.begin(office.database, digest="d", file="f", now=NOW)
    row = [2, *("a@b.example" if column == "email" else "form" if column == "consent" else "" for column in COLUMNS)]
    for _ in range(2):
        done = imports.take(
            office.database, office.config, import_id=begun["id"], rows=[row], upto=2, opt_in=False,
            house=office.house, now=NOW,
        )  # fmt: skip
        assert done["counts"] == {"added": 1}
    imports.finish(office.database, import_id=begun["id"], counts={"added": 1}, now=NOW)
    with pytest.raises(RefusedError, match="has ended already"):
        imports.take(
            office.database, office.config, import_id=begun["id"], rows=[row], upto=3, opt_in=False,
            house=office.house, now=NOW,
        )  # fmt: skip
    assert imports.begin(office.database, digest="d", file="f", now=NOW)["done"] == 0  # a new one


def test_wrong_rows_are_named_by_row_and_column_and_nothing_is_imported(office: Office) -> None:
    """G3, G4: every problem says what is wrong and what would be right; the service is not even asked."""
    path = office.file(
        "a@b.example,form,weekly,en,html,,",
        "b@b,form,,,,,",
        "c@b.example,,,,,,",
        "d@b.example,form,dayly,,,,",
        "e@b.example,form,,de,,,",
        "f@b.example,form,,,pdf,,",
        "g@b.example,form,,,,Europe/Minks,",
        "h@b.example,form,,,,,25",
        header="email,consent,frequency,languages,format,timezone,hour",
    )
    examined = files.examine(office.config, path, Options(), progress=silent, note=lambda *_: None)
    with pytest.raises(RefusedError) as refusal:
        files.refuse_problems(path, examined)
    assert str(refusal.value).splitlines() == [
        f"{path}: 7 rows are wrong, so nothing was imported:",
        "row 3, column email: 'b' is not a public domain such as example.org",
        "row 4, column consent: consent is empty: say how this person agreed, for example 'paper form 2026-05-03'",
        "row 5, column frequency: there is no frequency 'dayly'; there are: weekly",
        "row 6, column languages: there is no language 'de'; there are: en, ru",
        "row 7, column format: there is no format 'pdf'; there are: html, text",
        "row 8, column timezone: unknown time zone 'Europe/Minks': did you mean 'Europe/Minsk'?",
        "row 9, column hour: '25' is no hour; write 0 to 23",
        "--consent 'HOW THEY AGREED' says it for the whole file. Mend them, or say --skip-invalid to take the others.",
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("email,consent\n", "there is a header and no row below it"),
        (
            "name,consent\nAnna,form\n",
            "no column is called 'email'; say --map 'THEIR COLUMN=email'\n  name | ",
        ),
        ("email,name\nAnna,anna@b.example\n", "'email' holds no addresses, but 'name' does; are they swapped?"),
        ("email,phone,consent\na@b.example,7,x\n", "unknown columns: 'phone'"),
        ("email,Email,consent\na@b.example,b@b.example,x\n", "the column 'Email' stands there twice"),
        ("anna@b.example,form\nboris@b.example,form\n", "the first row holds an address; it must name the columns"),
    ],
)
def test_a_header_that_is_not_understood_is_refused_with_a_preview(tmp_path: Path, content: str, message: str) -> None:
    """G8."""
    path = tmp_path / "readers.csv"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(RefusedError) as refusal:
        files.examine(load_publication(tmp_path), path, CONSENT, progress=silent, note=lambda *_: None)
    assert message in str(refusal.value)
    assert all(cell in str(refusal.value) for cell in content.split("\n")[0].split(","))


def test_columns_of_theirs_are_mapped_or_left_out(office: Office) -> None:
    path = office.file("a@b.example;Ana;+7;x", header="E-Mail;Full name;Phone;Shoe")
    said = replace(CONSENT, mapped={"full name": "name", "phone": ""}, ignore_others=True)
    report = office.run(path, said)
    assert report["columns"] == {"E-Mail": "email", "Full name": "name"}
    assert report["ignored_columns"] == ["Phone", "Shoe"]
    for wrong, message in (({"Nome": "name"}, "names a column 'Nome'"), ({"Phone": "phone"}, "our columns are")):
        with pytest.raises(RefusedError, match=message):
            office.run(path, replace(said, mapped=wrong))
    with pytest.raises(NotFoundError, match="No such file"):
        office.run(office.home / "missing.csv")


def test_who_has_no_consent_on_record_is_asked_by_mail_at_a_rate(office: Office) -> None:
    """G3, G7, P4: pending, one mail a person however many rows, spread over the hours; nobody who left is asked."""
    office.database.write(lambda conn: stand(conn, "here@b.example", state=SubscriptionState.CONFIRMED))
    path = office.file("here@b.example,", "known@b.example,form", *(f"r{number}@b.example," for number in range(1100)))
    said = Options(opt_in=True)
    told = office.run(path, said, dry_run=True)
    assert counts(told) == {"added": 1, "asked": 1100, "unchanged": 1}
    with pytest.raises(RefusedError, match=r"1,100 persons have no consent .* 500 an hour .* say --confirm 1100"):
        files.refuse_unconfirmed(office.config, path, told, 1099)
    files.refuse_unconfirmed(office.config, path, told, 1100)
    assert counts(office.run(path, said)) == counts(told)
    assert counts(office.run(path, said)) == {"unchanged": 1102}
    due = office.database.read(lambda conn: notices.due(conn, now=NOW + timedelta(days=9), limit=9999))
    assert len(due) == 1100
    for hours, number in ((0, 1), (1, 501), (2, 1001)):
        moment = NOW + timedelta(hours=hours)
        assert len(office.database.read(partial(notices.due, now=moment, limit=9999))) == number
    assert Counter(office.states().values()) == {"confirmed": 2, "pending": 1100}


# Other services


def export_lines(office: Office) -> dict[str, tuple[str, str, str, str]]:
    """State, suppression, categories and consent of everybody."""
    table = csv.DictReader(office.export().splitlines())
    return {r["email"][:4]: (r["state"], r["suppressed"], r["categories"], r["consent"]) for r in table}


def test_an_export_of_listmonk_is_taken_as_it_comes(office: Office) -> None:
    report = office.run(EXPORTS / "listmonk.csv")
    assert (report["source"], report["ignored_columns"]) == ("listmonk", ["attributes"])
    assert counts(report) == {"added": 1, "unsubscribed": 1, "barred": 1}
    words = "moved from the old list; listmonk, since 2024-05-0"
    assert export_lines(office) == {
        "anna": ("confirmed", "", "", f"{words}1"),
        "bori": ("unsubscribed", "", "", f"{words}2"),
        "carl": ("unsubscribed", "blocked", "", f"{words}3"),
    }


def test_the_files_of_a_mailchimp_export_are_taken_as_they_come(office: Office) -> None:
    """Its times of signing up are a consent; who was put in by the owner needs the operator's word."""
    name = "email_audience_export_1a2b3c.csv"
    said = replace(CONSENT, mapped={"TAGS": "categories"})
    reports = {
        kind: office.run(EXPORTS / f"{kind}_{name}", said)
        for kind in ("unsubscribed", "cleaned", "subscribed", "nonsubscribed")
    }
    assert {kind: counts(report) for kind, report in reports.items()} == {
        "unsubscribed": {"unsubscribed": 1},
        "cleaned": {"barred": 1},
        "subscribed": {"added": 2},
        "nonsubscribed": {"unconfirmed": 1},
    }
    assert reports["subscribed"]["unknown_tags"] == {"VIP": 1}
    signed_up = "Mailchimp: signed up 2020-01-0{0} 10:00:00, confirmed 2020-01-0{0} 10:01:00"
    assert export_lines(office) == {
        "anna": ("confirmed", "", "economy", signed_up.format(1)),
        "bori": ("unsubscribed", "", "", signed_up.format(2)),
        "carl": ("unsubscribed", "bounced", "", signed_up.format(3)),
        "dora": ("confirmed", "", "", "moved from the old list; Mailchimp, since 2020-02-01"),
    }
    assert counts(office.run(EXPORTS / f"subscribed_{name}", Options())) == {"unchanged": 1, "invalid": 1}


def test_an_export_of_buttondown_is_taken_as_it_comes(office: Office) -> None:
    report = office.run(EXPORTS / "buttondown.csv", replace(CONSENT, mapped={"tags": "categories"}))
    assert counts(report) == {"added": 2, "unsubscribed": 1, "barred": 2, "unconfirmed": 1}
    assert report["unknown_tags"] == {"friends": 1}
    words = "moved from the old list; Buttondown, since 2024-03-0"
    assert export_lines(office) == {
        "anna": ("confirmed", "", "economy", f"{words}1"),
        "bori": ("unsubscribed", "", "", f"{words}2"),
        "carl": ("unsubscribed", "bounced", "", f"{words}3"),
        "dora": ("confirmed", "", "", f"{words}4"),
        "fred": ("unsubscribed", "blocked", "", f"{words}6"),
    }


def test_a_state_that_a_service_does_not_have_is_a_wrong_row(office: Office) -> None:
    path = office.home / "odd.csv"
    path.write_text("email,subscriber_type,creation_date\na@b.example,sleepy,2024-01-01\n", encoding="utf-8")
    report = office.run(path)
    assert counts(report) == {"invalid": 1}
    assert "subscriber_type 'sleepy' is unknown; known are regular" in report["problems"][0]["message"]


# Export


def test_the_round_trip_is_exact(office: Office, tmp_path: Path) -> None:
    """G6: an export imported elsewhere and exported again is the same, byte for byte."""
    path = office.file(
        "=a@b.example,=cmd|' /C calc'!A0,ru en,economy security,text,Asia/Tokyo,full,7,,form 1,confirmed,",
        '\'+b@b.example,"Anna ""A""; x, y",,,,,,,2027-01-01T00:00Z,form 2,,',
        "c@b.example,''=C,,,,,summary,,,,pending,",
        "d@b.example,-D,,,,,,,,form 4,unsubscribed,",
        "e@b.example,@E,,,,,,0,,form 5,confirmed,bounced",
        header="email,name,languages,categories,format,timezone,content,hour,paused_until,consent,state,suppressed",
    )
    assert counts(office.run(path, Options())) == {"added": 2, "pending": 1, "unsubscribed": 1, "barred": 1}
    exported = office.export()
    assert [row[:2] for row in csv.reader(exported.splitlines())] == [
        ["email", "name"],
        ["'+b@b.example", 'Anna "A"; x, y'],
        ["'=a@b.example", "'=cmd|' /C calc'!A0"],
        ["c@b.example", "''=C"],
        ["d@b.example", "'-D"],
        ["e@b.example", "'@E"],
    ]
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    with Database.open(data_dir=elsewhere) as database:
        other = Office(office.config, database, elsewhere)
        (elsewhere / "again.csv").write_text(exported, encoding="utf-8", newline="")
        assert counts(other.run(elsewhere / "again.csv", Options()))["added"] == 2
        assert other.export() == exported


def test_an_export_is_read_a_page_at_a_time(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("publisher.store.exports._PAGE", 2)
    office.run(office.file(*(f"r{number}@b.example,form" for number in range(5))))
    assert [row[0] for row in csv.reader(office.export().splitlines())][1:] == [
        f"r{number}@b.example" for number in range(5)
    ]


# Deciding

states = st.sampled_from(SubscriptionState)


@given(states, st.sampled_from(["", "bounced"]), st.none() | states, st.sampled_from(["", "complaint"]), st.booleans())
def test_leaving_and_suppressions_are_final(
    said: SubscriptionState, suppressed: str, before: SubscriptionState | None, barred: str, opt_in: bool
) -> None:
    """P3, P4, G1: only a row that says confirmed adds anybody, and never one who left or may not be mailed."""
    known = Standing(subscriber_id=1, states={"weekly": before} if before else {}, suppressed=barred)
    taken = decide(WISH._replace(state=said, suppressed=suppressed), known, opt_in=opt_in)
    if barred:
        assert taken is Taken.SUPPRESSED
    elif suppressed:
        assert taken is Taken.BARRED
    elif before is SubscriptionState.UNSUBSCRIBED:
        assert taken is Taken.LEFT
    elif taken is Taken.ADDED:
        assert (said, before in (None, SubscriptionState.PENDING)) == (SubscriptionState.CONFIRMED, True)
    elif taken in (Taken.ASKED, Taken.PENDING):
        assert (said, before) == (SubscriptionState.PENDING, None)
    elif taken is Taken.UNSUBSCRIBED:
        assert said is SubscriptionState.UNSUBSCRIBED
    else:
        assert (taken, before is not None) == (Taken.UNCHANGED, True)


# Through the command and the service


def command(home: Path, *words: str) -> subprocess.Popen[str]:
    """Start a command in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "publisher", "--config", str(home / "config" / "publisher.toml"), *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_an_import_killed_with_kill_9_goes_on_and_doubles_nobody(tmp_path: Path) -> None:
    """G2: a real process, a real kill, wherever it happens to be."""
    config = load_publication(tmp_path)
    rows = 3000
    path = tmp_path / "readers.csv"
    path.write_text("email,consent\n" + "".join(f"r{n}@b.example,form\n" for n in range(rows)), encoding="utf-8")
    Database.open(data_dir=config.data_dir).close()
    killed = command(tmp_path, "subscribers", "import", str(path))
    with Database.open(data_dir=config.data_dir, readers=1) as database:
        while killed.poll() is None and not database.read(subscribers.counts):
            pass
    os.kill(killed.pid, signal.SIGKILL)
    killed.communicate()
    again = command(tmp_path, "subscribers", "import", str(path), "--json")
    out, err = again.communicate()
    assert (again.returncode, "recovered" in err) == (0, True)  # the worker that died is named in the log
    report = json.loads(out)
    assert counts(report) == {"added": rows}
    assert report["resumed_after"]
    with Database.open(data_dir=config.data_dir) as database:
        assert sum(database.read(subscribers.counts).values()) == rows
        lines = database.read(lambda conn: [line for line, _ in exports.lines(conn)])
        assert len(lines) == rows + 1


@pytest.mark.anyio
async def test_an_import_passes_through_a_running_service_in_small_pieces(tmp_path: Path) -> None:
    """No request holds more than a batch, whatever the size of the file, and the service goes on."""
    async with running(tmp_path) as (app, _):
        path = tmp_path / "readers.csv"
        path.write_text("email,consent\n" + "".join(f"r{n}@b.example,form\n" for n in range(1100)), encoding="utf-8")
        sizes = []

        async def do(action: str, arguments: Mapping[str, Any]) -> Any:
            sizes.append(len(arguments.get("rows", ())))
            return await control.call(app.config.data_dir, action, arguments, silent)

        def note(row: int, line: int, column: str, taken: str, message: str) -> None:
            raise AssertionError((row, line, column, taken, message))

        examined = files.examine(app.config, path, Options(), progress=silent, note=note)
        steps: list[int] = []

        async def run(*, stop_after: int) -> dict[str, Any]:
            return await files.run(
                app.config,
                path,
                Options(),
                examined,
                do=do,
                dry_run=False,
                stopped=lambda: len(steps) >= stop_after,
                progress=lambda _, done, total: steps.append(done),
                note=note,
            )

        with pytest.raises(BusyError, match="stopped before row 1001; the same command goes on there"):
            await run(stop_after=1)
        report = await run(stop_after=99)
        assert (report["resumed_after"], counts(report)) == (501, {"added": 1100})
        assert sizes == [0, 500, 0, 500, 100, 0]
        assert sum((await app.database.aread(subscribers.counts)).values()) == 1100
        path.write_text(path.read_text(encoding="utf-8") + "z@b.example,form\n", encoding="utf-8")
        with pytest.raises(RefusedError, match="changed while it was imported"):
            await run(stop_after=99)


def test_the_commands_say_what_happened(tmp_path: Path) -> None:
    """What an operator reads; `--report` has every row that was not taken; the export is for its owner alone."""
    write_publication(tmp_path)
    path, report, out = tmp_path / "readers.csv", tmp_path / "report.csv", tmp_path / "out.csv"
    path.write_text("email,consent\na@b.example,x\nA@b.example,y\nwrong,z\n", encoding="utf-8")
    refused = command(tmp_path, "subscribers", "import", str(path))
    assert refused.communicate()[1].startswith(f"Error: {path}: 1 row is wrong, so nothing was imported:\nrow 4, col")
    assert refused.returncode == 4
    done = command(tmp_path, "subscribers", "import", str(path), "--skip-invalid", "--report", str(report))
    assert done.communicate()[0].splitlines() == [
        "readers.csv: 3 rows imported",
        "          1 added",
        "          1 name a person again",
        "          1 are wrong, and were left out",
        "  row 4, column email: an e-mail address has the form name@domain",
    ]
    assert list(csv.reader(report.read_text(encoding="utf-8").splitlines())) == [
        ["row", "line", "column", "taken", "message"],
        ["4", "4", "email", "invalid", "an e-mail address has the form name@domain"],
        ["3", "3", "email", "repeated", "an earlier row names this person"],
    ]
    written = command(tmp_path, "subscribers", "export", "--newsletter", "weekly", "--out", str(out))
    assert (written.communicate(), written.returncode) == (("", ""), 0)
    assert out.read_text(encoding="utf-8").splitlines() == [
        ",".join(COLUMNS),
        "a@b.example,,en,weekly,weekly,,html,Europe/Minsk,,,,x,confirmed,",
    ]
    assert out.stat().st_mode & 0o777 == 0o600
    unknown = command(tmp_path, "subscribers", "export", "--state", "gone")
    assert "the states are pending, confirmed, unsubscribed" in unknown.communicate()[1]
    assert unknown.returncode == 2
