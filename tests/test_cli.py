"""The command line as an operator meets it: real processes' exit codes, JSON on standard output, words beside it."""

from __future__ import annotations

import functools
import json
import os
import re
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import dkim
import pytest

from publisher import __version__, cli
from publisher.store.lock import DirectoryLock
from tests.publications import BORDER, write_article, write_publication


class Command:
    """Run commands of one publication in this process, as `main` would."""

    def __init__(self, file: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
        self.file = file
        self.capsys = capsys
        self.monkeypatch = monkeypatch

    def __call__(self, *words: str) -> tuple[int, str, str]:
        """Return exit code, standard output and standard error."""
        self.monkeypatch.setattr(sys, "argv", ["publisher", "--config", str(self.file), *words])
        self.monkeypatch.setenv("COLUMNS", "200")
        try:
            cli.main()
        except SystemExit as ended:
            code = int(ended.code or 0)
        else:
            code = 0
        return (code, *self.capsys.readouterr())

    def json(self, *words: str) -> Any:
        """Return what a command prints with `--json`; it must succeed."""
        code, out, err = self(*words, "--json")
        assert (code, err) == (0, "")
        return json.loads(out)


@pytest.fixture
def publisher(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    return Command(write_publication(tmp_path), capsys, monkeypatch)


ANNA = ("subscribers", "add", "anna@reader.example", "--consent", "paper form")


def test_the_commands_tell_the_main_job(publisher: Command, tmp_path: Path) -> None:
    """Issue by issue what an operator types: every command does one step and says what it did."""
    assert publisher("check") == (0, f"{publisher.file}: ok\n", "")
    assert publisher(*ANNA)[:2] == (0, "readers: 1 added\n")
    code, out, _ = publisher("collect")
    assert (code, out.splitlines()[0]) == (0, "articles: 3 articles; 3 new, 0 changed, 0 withdrawn, 0 skipped")
    assert publisher.json("dispatch", "weekly", "--dry-run")["deliveries"] == 1
    code, out, _ = publisher("dispatch", "weekly")
    assert "dispatched to 1 reader in 1 segment" in out
    assert publisher("send")[:2] == (0, "outbox: 1 sent\n")
    status = publisher.json("status")
    assert status["articles"]["published"] == 3
    assert status["issues"][0]["deliveries"] == {"sent": 1}
    assert status["service"] == {"pid": None}
    assert len(list((tmp_path / "data" / "inbox" / "new").iterdir())) == 1


def test_run_once_does_a_full_round(publisher: Command) -> None:
    done = publisher.json("run", "--once")
    assert done["collected"]["sources"][0]["new"] == 3
    assert done["dispatched"] == []  # the weekly slot was not yet due when its schedule was first seen
    assert done["sent"]["sent"] == 0


def test_what_went_wrong_is_said_on_standard_error_alone(publisher: Command, tmp_path: Path) -> None:
    """So a cron job that throws standard output away still mails it."""
    (tmp_path / "articles").rename(tmp_path / "elsewhere")
    code, out, err = publisher("run", "--once")
    assert code == 1
    assert "articles: " not in out
    assert "\narticles: " in err  # below the line of the log


def test_sources_list_has_every_skipped_file_with_its_reason(publisher: Command, tmp_path: Path) -> None:
    """The form that DESIGN §6 promises to programs."""
    (tmp_path / "articles" / "bad.md").write_text("---\ntitle: Bad\ndate: 2026-02-30\n---\nx\n", encoding="utf-8")
    os.utime(tmp_path / "articles" / "bad.md", (1, 1))
    code, _, _ = publisher("collect")
    assert code == 0
    (source,) = publisher.json("sources", "list")
    assert {key: source[key] for key in ("name", "kind", "articles", "skipped")} == {
        "name": "articles",
        "kind": "folder",
        "articles": 3,
        "skipped": 1,
    }
    (problem,) = source["problems"]
    assert problem["path"] == "bad.md"
    assert "2026-02-30" in problem["reason"]
    assert source["last_success_at"].endswith("Z")


def test_articles_are_listed_withdrawn_and_released(publisher: Command) -> None:
    publisher("collect")
    listed = publisher.json("articles", "list")
    assert [(a["title"], a["state"], a["language"]) for a in listed] == [
        ("Хороший урожай", "published", "ru"),
        ("A good harvest", "published", "en"),
        ("The border is quiet", "published", "en"),
    ]
    ref = listed[2]["ref"]
    assert publisher("articles", "withdraw", ref)[1] == "withdrawn: The border is quiet\n"
    assert publisher("articles", "withdraw", ref)[1].startswith("nothing was withdrawn")
    assert [a["ref"] for a in publisher.json("articles", "list", "--state", "withdrawn")] == [ref]
    assert publisher("articles", "release", ref)[1] == "released: The border is quiet\n"
    assert publisher.json("articles", "list", "--state", "withdrawn") == []


def test_lists_are_for_pipes_too(publisher: Command, tmp_path: Path) -> None:
    """One row, one line, however long it is; and days as the publication counts them, which is east of Greenwich."""
    address = f"{'a' * 60}@{'long-name.' * 17}reader.example"
    publisher("subscribers", "add", address, "--consent", "form")
    write_article(tmp_path, "midnight.md", f"---\ntitle: {'Long ' * 30}\ndate: 2026-11-18\n---\nText.\n")
    publisher("collect")
    assert [line.split()[0] for line in publisher("subscribers", "list")[1].splitlines()] == ["Address", address]
    listed = publisher("articles", "list")[1].splitlines()
    assert len(listed) == 5
    assert listed[-1].split()[1] == "2026-11-18"


def test_adding_a_reader_again_resets_no_choice(publisher: Command) -> None:
    assert publisher(*ANNA, "--categories", "economy")[1] == "readers: 1 added\n"
    assert publisher(*ANNA)[1] == "readers: 0 added; 1 subscribed already\n"
    assert publisher.json("subscribers", "list")[0]["categories"] == ["economy"]
    changed = publisher(*ANNA, "--categories", "security")[1]
    assert changed == "readers: 0 added; 1 subscribed already, now changed\n"
    assert publisher.json("subscribers", "list")[0]["categories"] == ["security"]


def test_a_test_mail_is_no_dry_run(publisher: Command) -> None:
    code, out, err = publisher("dispatch", "weekly", "--dry-run", "--to", "me@reader.example")
    assert (code, out) == (2, "")
    assert "choose one" in err


def test_a_reload_needs_a_running_service(publisher: Command) -> None:
    code, out, err = publisher("reload")
    assert (code, out) == (4, "")
    assert "no service runs here" in err


def test_a_mistake_in_a_template_is_one_of_the_configuration(publisher: Command, tmp_path: Path) -> None:
    template = tmp_path / "templates" / "mail" / "digest.html.j2"
    template.parent.mkdir(parents=True)
    text = publisher.file.read_text(encoding="utf-8")
    publisher.file.write_text(f'templates = "../templates"\n{text}', encoding="utf-8")
    template.write_text("\n{{ nothing }}", encoding="utf-8")
    code, _, said = publisher("check")
    assert code == 3
    assert f"{template}:2: 'nothing' is undefined" in said
    code, out, _ = publisher("check", "--json")
    assert (code, json.loads(out)["problems"][0]["line"]) == (3, 2)
    assert publisher("run", "--once")[0] == 3  # now, and not when the first issue is due
    template.write_bytes(b"\xff")
    assert publisher("check")[0] == 3


def test_a_state_that_does_not_exist_is_told_in_words(publisher: Command) -> None:
    code, _, said = publisher("articles", "list", "--state", "lost")
    assert (code, said.split(";")[0]) == (2, "Error: there is no such state")


def test_plan_says_when_and_why_not(publisher: Command) -> None:
    publisher(*ANNA)
    first, second = publisher.json("plan", "weekly", "--count", "2")
    assert first["timezone"] == "Europe/Minsk"
    assert first["slot"].endswith("T07:00")
    assert (first["readers"], first["skipped"]) == (1, "no new articles")
    assert (second["articles"], second["skipped"]) == (None, None)  # who knows what that week brings


def test_a_csv_file_adds_its_readers_once(publisher: Command, tmp_path: Path) -> None:
    """G2, G5: the same file twice, the same address in other letters: one person."""
    file = tmp_path / "readers.csv"
    file.write_text(
        "\ufeffemail;name;categories;consent\n"
        "anna@reader.example;Anna;economy;form 7\n"
        'ANNA@Reader.example;"Anna; again";;form 8\n'
        "boris@reader.example;Борис;economy security;form 9\n",
        encoding="utf-8",
    )
    done = publisher.json("subscribers", "import", str(file))
    assert (done["rows"], done["added"], done["repeated"]) == (3, 2, 1)
    done = publisher.json("subscribers", "import", str(file))
    assert (done["rows"], done["unchanged"], done["repeated"]) == (3, 2, 1)
    assert [(r["address"], r["categories"]) for r in publisher.json("subscribers", "list")] == [
        ("anna@reader.example", ["economy"]),
        ("boris@reader.example", ["economy", "security"]),
    ]


def test_exit_codes_say_what_kind_of_failure_it_was(publisher: Command, tmp_path: Path) -> None:
    """0 ok, 1 failed, 2 usage, 3 configuration invalid, 4 refused, 75 try later."""
    assert publisher("status")[0] == 0
    assert publisher("dispatch", "wekly")[0] == 2
    assert publisher("explode")[0] == 2
    assert publisher("subscribers", "add", "nobody", "--consent", "x")[0] == 4
    with DirectoryLock(tmp_path / "data"):
        code, _, err = publisher("collect")
    assert (code, "does not answer" in err) == (75, True)
    (tmp_path / "articles").rename(tmp_path / "away")
    code, _, err = publisher("collect")
    assert (code, str(tmp_path / "articles") in err) == (1, True)
    publisher.file.write_text("[site]\ntitel = 'x'\n", encoding="utf-8")
    code, _, err = publisher("check")
    assert code == 3
    assert f"{publisher.file}:2: site.titel:" in err
    assert "title" in err.split("site.titel:")[1].splitlines()[0]


def test_check_as_json_lists_every_problem(publisher: Command) -> None:
    publisher.file.write_text("[site]\ntitel = 'x'\nurl = 'no'\n", encoding="utf-8")
    code, out, _ = publisher("check", "--json")
    found = json.loads(out)
    assert (code, found["ok"]) == (3, False)
    assert {problem["key"] for problem in found["problems"]} >= {"site.titel", "site.url"}


def test_an_address_or_an_issue_is_let_go(publisher: Command) -> None:
    """H9: one of the two, and what became of it is told in words and as JSON."""
    assert publisher("subscribers", "unsuppress")[0] == 2
    assert publisher("subscribers", "unsuppress", "a@b.example", "--issue", "x")[0] == 2
    assert publisher("subscribers", "unsuppress", "a@b.example", "--resend")[0] == 2
    code, _, err = publisher("subscribers", "unsuppress", "--issue", "nothing")
    assert (code, "there is no issue 'nothing'" in err) == (2, True)
    assert publisher("subscribers", "add", "anna@reader.example", "--consent", "paper form")[0] == 0
    for command in (("collect",), ("dispatch", "weekly"), ("send",)):
        assert publisher(*command)[0] == 0
    [issue] = publisher.json("issues", "list")
    assert publisher("subscribers", "unsuppress", "--issue", issue["ref"])[1] == "0 addresses may be mailed again.\n"


def test_a_new_key_signs_as_its_record_says(publisher: Command, tmp_path: Path) -> None:
    """Issue 4: the command prints what the DNS must say, and the key works as soon as it is named."""
    done = publisher.json("dkim-key", "new", "--selector", "first")
    path = tmp_path / "data" / "dkim" / "first.pem"
    assert done["file"] == str(path)
    assert path.stat().st_mode & 0o777 == 0o600
    (record,) = done["records"]
    assert (record["name"], record["type"]) == ("first._domainkey.ledger.example", "TXT")
    publisher.file.write_text(
        publisher.file.read_text(encoding="utf-8") + f'\n[dkim]\nselector = "first"\nkey_file = "{path}"\n',
        encoding="utf-8",
    )
    assert publisher("check")[0] == 0
    publisher(*ANNA)
    for command in (
        ("collect",),
        ("dispatch", "weekly", "--to", "me@reader.example"),
        ("dispatch", "weekly"),
        ("send",),
    ):
        assert publisher(*command)[0] == 0
    mails = [mail.read_bytes() for mail in (tmp_path / "data" / "inbox" / "new").iterdir()]
    verify = functools.partial(dkim.verify, dnsfunc=lambda name, timeout=5: record["value"].encode())
    assert [verify(mail) for mail in mails] == [True, True]
    path.chmod(0o644)
    code, _, err = publisher("check")
    assert (code, "can be read or replaced by others" in err) == (3, True)


def test_a_new_key_comes_with_what_to_do_with_it(publisher: Command, tmp_path: Path) -> None:
    file = tmp_path / "second.pem"
    code, out, _ = publisher("dkim-key", "new", "--type", "ed25519", "--selector", "e1", "--out", str(file))
    assert code == 0
    assert re.search(
        r'^e1\._domainkey\.ledger\.example\. IN TXT \( "v=DKIM1; k=ed25519; p=[A-Za-z0-9+/]{43}=" \)$',
        out,
        re.MULTILINE,
    )
    assert out.endswith(f'[dkim]\ned25519_selector = "e1"\ned25519_key_file = "{file}"\n')
    code, _, err = publisher("dkim-key", "new", "--out", str(file))
    assert (code, "is not replaced" in err) == (4, True)
    code, out, _ = publisher("dkim-key", "new")
    strings = re.findall(r'"([^"]*)"', out.partition("2. ")[0])
    assert ([len(text) <= 255 for text in strings], "".join(strings)[:18]) == ([True, True], "v=DKIM1; k=rsa; p=")
    assert publisher("dkim-key", "new", "--selector", "a b")[0] == 1


def test_init_writes_a_publication_that_runs_at_once(publisher: Command, tmp_path: Path) -> None:
    code, out, _ = publisher("init", str(tmp_path / "mine"))
    assert code == 0
    assert str(tmp_path / "mine" / "config" / "publisher.toml") in out
    publisher.file = tmp_path / "mine" / "config" / "publisher.toml"
    assert publisher.json("run", "--once")["collected"]["sources"][0]["articles"] == 1
    assert publisher("init", str(tmp_path / "mine"))[0] == 4


def test_a_real_process_prints_its_version_and_nothing_else() -> None:
    done = subprocess.run([sys.executable, "-m", "publisher", "--version"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{__version__}\n", "")


def test_articles_written_while_the_service_is_down_are_mailed_after_it_returns(
    publisher: Command, tmp_path: Path
) -> None:
    publisher(*ANNA)
    publisher("collect")
    publisher("dispatch", "weekly")
    publisher("send")
    path = tmp_path / "articles" / "late.md"
    path.write_text(BORDER.replace("The border is quiet", "A late article").replace("-19", "-21"), encoding="utf-8")
    os.utime(path, (1, 1))
    publisher("collect")
    assert publisher.json("dispatch", "weekly", "--dry-run")["articles"] == 1


def test_deliveries_are_listed_with_the_servers_words_and_only_doubtful_ones_sent_again(publisher: Command) -> None:
    """P1: what became of each mail; sent is sent."""
    publisher(*ANNA)
    publisher("collect")
    publisher("dispatch", "weekly")
    publisher("send")
    [row] = publisher.json("deliveries", "list", "--state", "sent")
    assert (row["id"], row["address"], row["attempts"], row["unknown"], row["reply_code"]) == (
        1,
        "anna@reader.example",
        1,
        0,
        250,
    )
    assert publisher.json("deliveries", "list", "--state", "uncertain", "--issue", row["issue"]) == []
    assert publisher("deliveries", "list", "--state", "lost")[0] == 2
    assert publisher("deliveries", "list", "--issue", "none")[0] == 2
    shown = publisher.json("deliveries", "show", str(row["id"]))
    assert {key: shown[key] for key in row} == row
    assert [(one["attempt"], one["outcome"], one["reply"]) for one in shown["history"]] == [
        (1, "accepted", row["reply"])
    ]
    assert f"attempt 1: accepted at dot: 250 {row['reply']}" in publisher("deliveries", "show", str(row["id"]))[1]
    assert publisher("deliveries", "show", "77")[0] == 2
    assert publisher.json("deliveries", "resend", "1", "7") == {"waiting": [], "refused": [1, 7]}
    assert publisher("deliveries", "resend", "1")[1] == "left as they are, being neither uncertain nor failed: 1\n"


def test_accounts_of_the_admin_pages_are_invited_listed_and_revoked(publisher: Command) -> None:
    """Issue 7, 4: `publisher admin`; the same story when a service runs, through its control socket."""
    assert publisher("admin", "list")[1].startswith("There is no account yet")
    code, said, _ = publisher("admin", "invite", "Ада", "--role", "admin")
    assert (code, said.startswith("Ада (admin) logs in here, once, before ")) == (0, True)
    assert re.fullmatch(r"http://127\.0\.0\.1:0/login/[0-9a-f]{64}", said.splitlines()[1])
    assert publisher.json("admin", "invite", "bob")["role"] == "viewer"
    assert publisher("admin", "invite", "bob", "--role", "king") == (
        2,
        "",
        "Error: there is no role 'king'; the roles are viewer, editor, admin\n",
    )
    assert publisher("admin", "revoke", "Ада")[0] == 4
    assert publisher("admin", "revoke", "bob")[:2] == (
        0,
        "bob may not log in any more, and is logged out everywhere\n",
    )
    [listed] = publisher.json("admin", "list")
    assert (listed["name"], listed["role"], listed["sessions"], listed["entered_at"]) == ("Ада", "admin", 0, None)


def test_an_export_goes_on_record(publisher: Command, tmp_path: Path) -> None:
    """L14: who took all readers away, and when."""
    publisher(*ANNA)
    assert publisher("subscribers", "export")[0] == 0
    with sqlite3.connect(tmp_path / "data" / "publisher.db") as database:
        rows = database.execute("SELECT who, action FROM audit ORDER BY id").fetchall()
    assert rows == [("command line", "import_subscribers"), ("command line", "export_subscribers")]
