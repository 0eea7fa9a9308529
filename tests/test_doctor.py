"""The doctor sees what is wrong, says its remedy, sends nothing and changes nothing."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from publisher import doctor, reports
from publisher.app import App
from publisher.app.examining import examine
from publisher.cli import doctor as command
from publisher.config import load
from publisher.dns import System
from publisher.doctor import Directory, Level, Line, Records
from publisher.errors import Problem
from publisher.http import Fetcher
from publisher.mail import dkim
from publisher.service import Listening, Service
from publisher.store.database import Database
from tests.dns_server import name_server
from tests.publications import CONFIGURATION, load_publication, write_publication
from tests.smtp_server import Script, smtp_server

NOW = datetime(2026, 11, 23, 7, 0, tzinfo=UTC)
DOMAIN = "ledger.example"


def levels(lines: list[Line]) -> dict[str, str]:
    """Level by area."""
    return {line.area: str(line.level) for line in lines}


def plain(text: str) -> Records:
    return Records(DOMAIN, (text,))


@pytest.mark.parametrize(
    ("values", "level", "words"),
    [
        (("v=spf1 include:_spf.mail.example -all",), Level.OK, "include"),
        (("other", "v=spf1 mx ~all"), Level.OK, "mx"),
        (("v=spf1 redirect=_spf.mail.example",), Level.OK, "redirect"),
        ((), Level.PROBLEM, "no policy"),
        (("v=spf1 -all", "v=spf1 mx -all"), Level.PROBLEM, "2 policies"),
        (("v=spf1 +all",), Level.PROBLEM, "everybody"),
        (("v=spf1 all",), Level.PROBLEM, "everybody"),
        (("v=spf1 mx",), Level.WARNING, "nothing of other servers"),
        (("v=spf1 " + "include:a.example " * 11 + "-all",), Level.PROBLEM, "11 times"),
    ],
)
def test_spf_policies_are_judged(values: tuple[str, ...], level: Level, words: str) -> None:
    """RFC 7208."""
    line = doctor.spf(Records(DOMAIN, values))
    assert (line.level, words in line.text, bool(line.remedy)) == (level, True, level is not Level.OK)


OURS = "v=DKIM1; k=rsa; p=QUJDRA=="


@pytest.mark.parametrize(
    ("values", "level", "words"),
    [
        ((OURS,), Level.OK, "holds the key"),
        (("v=DKIM1;p=QUJD RA==",), Level.OK, "holds the key"),
        (("v=DKIM1; p=QUJDRQ==",), Level.PROBLEM, "another key"),
        (("v=DKIM1; k=ed25519; p=QUJDRA==",), Level.PROBLEM, "another key"),
        (("v=DKIM1; p=",), Level.PROBLEM, "revoked"),
        (("v=DKIM1",), Level.PROBLEM, "no key"),
        ((), Level.PROBLEM, "no record"),
        ((OURS, OURS), Level.PROBLEM, "2 records"),
        ((f"{OURS}; t=y:s",), Level.WARNING, "trial"),
    ],
)
def test_the_key_in_the_dns_must_be_the_one_that_signs(values: tuple[str, ...], level: Level, words: str) -> None:
    """RFC 6376 §3.6.1."""
    line = doctor.dkim(Records("p1._domainkey." + DOMAIN, values), OURS)
    assert (line.level, words in line.text) == (level, True)


@pytest.mark.parametrize(
    ("values", "level"),
    [
        (("v=DMARC1; p=none",), Level.OK),
        (("v=DMARC1;p=Reject; rua=mailto:a@b.example",), Level.OK),
        (("v=DMARC1; p=all",), Level.PROBLEM),
        ((), Level.PROBLEM),
        (("v=DMARC1; p=none", "v=DMARC1; p=reject"), Level.PROBLEM),
    ],
)
def test_dmarc_policies_are_judged(values: tuple[str, ...], level: Level) -> None:
    """RFC 7489."""
    assert doctor.dmarc(DOMAIN, Records(f"_dmarc.{DOMAIN}", values)).level is level


def test_a_domain_without_a_way_for_bounces_is_a_problem() -> None:
    """RFC 5321 §5.1, RFC 7505."""
    found = [doctor.mx(Records(DOMAIN, values)).level for values in [("mx.example",), (), (".",)]]
    assert found == [Level.OK, Level.PROBLEM, Level.PROBLEM]


def test_what_the_dns_does_not_answer_is_doubtful_not_wrong() -> None:
    unknown = Records(DOMAIN, unknown="no answer")
    lines = [doctor.spf(unknown), doctor.dkim(unknown, OURS), doctor.dmarc(DOMAIN, unknown), doctor.mx(unknown)]
    assert {line.level for line in lines} == {Level.WARNING}


def test_mail_must_be_proved_by_its_own_domain() -> None:
    """RFC 7489 §3.1: relaxed alignment of the signature or of the envelope."""
    assert doctor.aligned(DOMAIN, DOMAIN, "elsewhere.example").text == "by DKIM"
    assert doctor.aligned(DOMAIN, "", f"bounces.{DOMAIN}").text == "by SPF"
    assert doctor.aligned(DOMAIN, "elsewhere.example", "bounces.example").level is Level.PROBLEM


@given(st.text())
def test_any_record_can_be_judged(text: str) -> None:
    """Whatever stands in the DNS."""
    for line in (doctor.spf(plain(text)), doctor.dkim(plain(text), OURS), doctor.dmarc(DOMAIN, plain(text))):
        assert line.level in Level


@given(
    st.binary()
    | st.text().map(str.encode)
    | st.recursive(st.none() | st.text(), st.lists).map(json.dumps).map(str.encode)
)
def test_any_feed_file_can_be_judged(data: bytes) -> None:
    for name in ("all.json", "all.rss"):
        assert doctor.feed_problem(name, data)


def test_directory_disk_and_clock_are_judged() -> None:
    """J3, J10, §5.4: what is full, locked or wrong is said with a remedy."""

    def found(**changed: Any) -> dict[str, str]:
        usual = Directory(path="/d", exists=True, writable=True, holder=None, free=2**40)
        return levels(list(doctor.directory(replace(usual, **changed))))

    assert found() == {"data directory": "ok", "lock": "ok", "disk": "ok"}
    assert found(writable=False)["data directory"] == "problem"
    assert found(free=2**29)["disk"] == "warning"
    assert found(free=2**20)["disk"] == "problem"
    assert levels(list(doctor.clock(NOW, NOW, "2026.6"))) == {"clock": "ok", "time zones": "ok"}
    late = doctor.clock(NOW, NOW + timedelta(hours=1), "2020.1")
    assert levels(list(late)) == {"clock": "problem", "time zones": "warning"}


def test_problems_of_the_configuration_stand_with_file_and_line() -> None:
    problem = Problem("publisher.toml", 7, "smtp.port", "is no port", "587 is usual")
    assert list(doctor.configuration([problem], [])) == [
        Line("configuration", Level.PROBLEM, "publisher.toml:7: smtp.port: is no port", "587 is usual")
    ]


@asynccontextmanager
async def page(
    status: str = "200 OK", body: str = "ok\n", *, post: str = "200 OK", asked: list[bytes] | None = None
) -> AsyncIterator[str]:
    """Run a web server that says one thing, to posts perhaps with another status; give its address."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal status
        request = await reader.readuntil(b"\r\n\r\n")
        if request.startswith(b"POST"):
            request += await reader.read(1000)
            status = post
        if asked is not None:
            asked.append(request)
        head = f"HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {len(body)}\r\nConnection: close\r\n"
        writer.write(f"{head}\r\n{body}".encode())
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        await server.wait_closed()


def records(key: str) -> dict[tuple[str, str], list[str]]:
    """A domain in order."""
    quoted = " ".join(f'"{part}"' for part in dkim.txt_strings(key))
    return {
        ("TXT", DOMAIN): ['"v=spf1 mx -all"'],
        ("MX", DOMAIN): ["10 mx.ledger.example."],
        ("TXT", f"p1._domainkey.{DOMAIN}"): [quoted],
        ("TXT", f"_dmarc.{DOMAIN}"): ['"v=DMARC1; p=none"'],
    }


@pytest.mark.anyio
async def test_a_whole_installation_is_examined_without_sending(tmp_path: Path) -> None:
    """Issue 7.3: directory, database, feeds, SMTP login, DNS and the public address; nothing is sent."""
    key = dkim.new_key("rsa")
    dkim.write_key(tmp_path / "p1.pem", key.pem)
    script = Script(extensions=("AUTH PLAIN",))
    async with smtp_server(script) as server, page() as url, name_server(records(key.record)) as port:
        text = (
            CONFIGURATION.replace("embedded = true", SERVER.format(port=server.port))
            .replace("https://mail.ledger.example", url)
            .replace("[site]", '[site]\npostal_address = "Main Street 1"')
        )
        more = f'\n[dkim]\nselector = "p1"\nkey_file = "{tmp_path / "p1.pem"}"\n'
        file = write_publication(tmp_path, more=more, configuration=text)
        config = load(file, {"PUBLISHER_SMTP__PASSWORD": "secret"})
        async with await App.open(config) as app:
            await app.publishing.collect()
            resolver = System(["127.0.0.1"], port=port)
            lines = await examine(config, resolver=resolver)
            assert next(line for line in lines if line.area == "lock").text.startswith(f"held by process {os.getpid()}")
            feeds = sorted((tmp_path / "data" / "site" / "feeds").glob("all.rss"))
            feeds[0].write_bytes(b"<rss>")
            key_of_another = records(dkim.new_key("rsa").record)
        async with name_server(key_of_another, broken=[f"_dmarc.{DOMAIN}"]) as other:
            script.auth.append("535 5.7.8 no")
            worse = await examine(config, resolver=System(["127.0.0.1"], port=other, seconds=1))
        assert server.received == []
        assert not any(command.startswith("MAIL") for command in server.commands)
    found = levels(lines)
    assert found.pop("configuration") == "warning"  # no TLS to the mail server, no https
    assert found.pop("one-click") == "warning"
    assert {area: level for area, level in found.items() if level != "ok"} == {}, lines
    assert {area for area in found if " " in area} >= {"smtp smtp", f"SPF {DOMAIN}", f"MX {DOMAIN}", "public address"}
    assert [line.text for line in lines if line.area == "public address"] == [f"{url} answers"]
    changed = {area: level for area, level in levels(worse).items() if level != levels(lines).get(area)}
    assert changed == {
        "feeds": "problem",
        "smtp smtp": "problem",
        f"DKIM p1._domainkey.{DOMAIN}": "problem",
        f"DMARC {DOMAIN}": "warning",
    }


SERVER = """\
host = "127.0.0.1"
port = {port}
security = "plain"
username = "user"
"""


@pytest.mark.anyio
async def test_an_address_that_does_not_answer_is_a_problem(tmp_path: Path) -> None:
    async with page("502 Bad Gateway", "no\n") as url:
        text = CONFIGURATION.replace("https://mail.ledger.example", url)
        config = load(write_publication(tmp_path, configuration=text), {})
        line = next(line for line in await examine(config) if line.area == "public address")
        async with await App.open(config):  # which is what holds the directory while a service runs
            worse = next(line for line in await examine(config) if line.area == "public address")
    assert (line.level, line.text) == (Level.WARNING, f"{url}/livez: 502 no")
    assert line.remedy == "start the service, then ask again"
    assert (worse.level, worse.text) == (Level.PROBLEM, f"{url}/livez: 502 no")
    assert "web.public_url" in worse.remedy


@pytest.mark.anyio
async def test_a_web_server_that_lets_no_one_click_post_through_is_a_problem(tmp_path: Path) -> None:
    """Issue 7.3, RFC 8058 §3.1: posted as mail providers do, to an address that means nobody."""
    asked: list[bytes] = []
    async with page(post="405 Method Not Allowed", asked=asked) as url:
        config = load(
            write_publication(tmp_path, configuration=CONFIGURATION.replace("https://mail.ledger.example", url)), {}
        )
        line = next(line for line in await examine(config) if line.area == "one-click")
    assert (line.level, line.text) == (Level.PROBLEM, f"POST {url}/u/trial: 405 ok")
    assert line.remedy == "let the web server in front pass POST to /u/ as it comes"
    assert asked[-1].startswith(b"POST /u/trial HTTP/1.1\r\n")
    assert asked[-1].endswith(b"\r\n\r\nList-Unsubscribe=One-Click")


@pytest.mark.anyio
async def test_our_own_service_answers_the_trial_post_and_nobody_leaves(tmp_path: Path) -> None:
    """The other half of the check: what stands at the address is the service itself (P5)."""
    async with await App.open(load_publication(tmp_path)) as app:
        await app.import_subscribers([{"email": "anna@reader.example", "consent": "paper form"}])
        told: asyncio.Future[Listening] = asyncio.get_running_loop().create_future()
        task = asyncio.create_task(Service(app).run(told.set_result))
        fetcher = Fetcher(["127.0.0.1"])
        answer = await fetcher.post_form(
            f"{(await told).public}/u/trial", {"List-Unsubscribe": "One-Click"}, seconds=10
        )
        await fetcher.close()
        (reader,) = await app.database.aread(lambda conn: reports.subscriber_list(conn))
        app.shared.stop.set()
        await task
    assert (answer.status, answer.text) == (200, "ok")
    assert reader["state"] == "confirmed"


@pytest.mark.anyio
async def test_a_database_of_another_make_is_a_problem_with_words(tmp_path: Path) -> None:
    """J11."""
    config = load_publication(tmp_path)
    with Database.open(data_dir=config.data_dir) as database:
        database.write(lambda conn: conn.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'"))
    line = next(line for line in await examine(config) if line.area == "database")
    assert (line.level, "newer Publisher" in line.text, "restore the backup" in line.remedy) == (
        Level.PROBLEM,
        True,
        True,
    )


def test_the_command_prints_remedies_and_ends_with_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A configuration that cannot be used is a problem too; nothing is created."""
    from tests.test_cli import Command

    publisher = Command(write_publication(tmp_path, more="nonsense = 1"), capsys, monkeypatch)
    code, out, _ = publisher("doctor")
    assert code == 1
    assert "problem  configuration: " in out
    assert "→ " in out
    code, out, _ = publisher("doctor", "--json")
    assert (code, json.loads(out)["ok"], json.loads(out)["lines"][0]["level"]) == (1, False, "problem")
    assert not (tmp_path / "data").exists()
    assert command.cli.registered_commands
