"""The coming mail before it is sent: as files, as a marked test, in a browser that follows edits."""

from __future__ import annotations

import asyncio
import json
import os
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import async_playwright

from publisher import cli, config
from publisher.app import App
from publisher.config import Config
from publisher.service import Listening, Service
from tests.look import CHROMIUM, QUIET, logged_in
from tests.publications import BORDER, CONFIGURATION, write_article, write_publication

ANNA = {"email": "anna@reader.example", "name": "Anna", "languages": "en", "consent": "paper form"}
BORIS = {"email": "boris@reader.example", "languages": "ru en", "consent": "paper form", "categories": "economy"}


async def filled(home: Path, *, configuration: str = CONFIGURATION) -> Config:
    """A publication with articles and two readers, and one article whose date is yet to come."""
    loaded = config.load(write_publication(home, configuration=configuration), {})
    write_article(
        home, "later.md", BORDER.replace("The border is quiet", "Elections held").replace("2026-11-19", "2099-05-03")
    )
    async with await App.open(loaded) as app:
        await app.import_subscribers([ANNA, BORIS])
        await app.publishing.collect()
    return loaded


def run(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *words: str
) -> tuple[int, str]:
    """Run a command; return its exit code and all it said."""
    capsys.readouterr()  # what was said before
    monkeypatch.setattr("sys.argv", ["publisher", "--config", str(home / "config" / "publisher.toml"), *words])
    with pytest.raises(SystemExit) as end:
        cli.main()
    said = capsys.readouterr()
    return int(end.value.code or 0), said.out or said.err


def test_a_preview_is_four_files_with_the_reader_s_own_articles_and_sends_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Issue 6, 6: subject.txt, digest.html, digest.txt, message.eml; cursors and inbox stay as they are."""
    asyncio.run(filled(tmp_path))
    out = tmp_path / "out"
    for who, there, missing in (
        ("boris@reader.example", "Хороший урожай", "The border is quiet"),
        ("anna@reader.example", "The border is quiet", "Хороший урожай"),
    ):
        words = ("preview", "weekly", "--as", who, "--out", str(out), "--json")
        code, said = run(tmp_path, capsys, monkeypatch, *words)
        assert (code, [Path(name).name for name in json.loads(said)["files"]]) == (
            0,
            ["subject.txt", "digest.html", "digest.txt", "message.eml"],
        )
        message = message_from_bytes((out / "message.eml").read_bytes(), policy=policy.default)
        assert isinstance(message, EmailMessage)
        assert message["To"].addresses[0].addr_spec == who
        assert str(message["Subject"]) == (out / "subject.txt").read_text("utf-8").strip()
        for name, kind in (("digest.html", "html"), ("digest.txt", "plain")):
            shown = (out / name).read_text("utf-8")
            assert there in shown
            assert missing not in shown
            assert "Elections held" not in shown
            body = message.get_body((kind,))
            assert body is not None
            assert str(body.get_content()).replace("\r\n", "\n").strip() == shown.strip()
    code, said = run(tmp_path, capsys, monkeypatch, "plan", "weekly", "--json")
    assert json.loads(said)[0]["articles"] == 3
    assert not (tmp_path / "data" / "inbox").exists() or not list((tmp_path / "data" / "inbox" / "new").iterdir())


def test_a_preview_of_a_later_day_holds_the_articles_of_then(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asyncio.run(filled(tmp_path))
    out = tmp_path / "out"
    words = ("preview", "weekly", "--at", "2099-05-04T09:00", "--format", "text", "--out", str(out))
    code, said = run(tmp_path, capsys, monkeypatch, *words)
    assert code == 0, said
    assert "Elections held" in (out / "digest.txt").read_text("utf-8")
    assert "4 May 2099" in (out / "digest.txt").read_text("utf-8")
    assert not (out / "digest.html").exists()


def test_a_preview_says_where_it_shows_something_else_than_the_issue_would(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A preview of nothing helps nobody, but it must not look like news."""
    loaded = asyncio.run(filled(tmp_path))

    async def dispatched() -> None:
        async with await App.open(loaded) as app:
            await app.dispatching.dispatch("weekly")
            await app.sending.send()

    words = ("preview", "weekly", "--as", "anna@reader.example", "--out", str(tmp_path / "out"))
    assert "note:" not in run(tmp_path, capsys, monkeypatch, *words)[1]
    asyncio.run(dispatched())
    note = "no new articles: an issue would be skipped; this shows the newest articles instead"
    assert f"note: {note}" in " ".join(run(tmp_path, capsys, monkeypatch, *words)[1].split())
    assert json.loads(run(tmp_path, capsys, monkeypatch, *words, "--json")[1])["notes"] == [note]
    to = ("preview", "weekly", "--as", "anna@reader.example", "--to", "eve@ledger.example", "--json")
    assert json.loads(run(tmp_path, capsys, monkeypatch, *to)[1])["notes"] == [note]


@pytest.mark.parametrize(
    ("words", "code", "reason"),
    [
        (("preview", "weakly"), 2, "there is no newsletter 'weakly'; there are: weekly"),
        (("preview", "weekly", "--as", "nobody@reader.example"), 2, "nobody@reader.example reads no weekly"),
        (("preview", "weekly", "--at", "soon"), 4, "--at: "),
    ],
)
def test_a_preview_that_cannot_be_made_says_why(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    words: tuple[str, ...],
    code: int,
    reason: str,
) -> None:
    asyncio.run(filled(tmp_path))
    got, said = run(tmp_path, capsys, monkeypatch, *words, "--out", str(tmp_path / "out"))
    assert (got, reason in " ".join(said.split())) == (code, True), said


def test_a_reader_s_mail_can_be_sent_to_an_editor_marked_as_a_test(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """K17: it goes to the named address alone and counts for nothing."""
    asyncio.run(filled(tmp_path))
    words = ("preview", "weekly", "--as", "boris@reader.example", "--to", "eve@ledger.example")
    code, said = run(tmp_path, capsys, monkeypatch, *words)
    assert code == 0, said
    [path] = (tmp_path / "data" / "inbox" / "new").iterdir()
    message = message_from_bytes(path.read_bytes(), policy=policy.default)
    assert isinstance(message, EmailMessage)
    assert (message["To"].addresses[0].addr_spec, str(message["Subject"]).startswith("[Проверка] ")) == (
        "eve@ledger.example",
        True,
    )
    assert "boris" not in path.read_text("utf-8", "replace").lower()


@pytest.mark.anyio
@pytest.mark.skipif(
    not Path(CHROMIUM).exists() and not os.environ.get("CI"),
    reason=f"{CHROMIUM} is not installed (Debian package chromium)",
)
async def test_the_preview_in_a_browser_follows_edits_of_articles_and_templates(tmp_path: Path) -> None:
    """Issue 6, 6: desktop, phone and dark side by side; with live reload."""
    own = tmp_path / "templates"
    (own / "mail").mkdir(parents=True)
    named = CONFIGURATION.replace("data_dir", 'templates = "../templates"\ndata_dir', 1)
    loaded = await filled(tmp_path, configuration=named)
    async with await App.open(loaded) as app:
        told: asyncio.Future[Listening] = asyncio.get_running_loop().create_future()
        running = asyncio.create_task(Service(app).run(told.set_result))
        listening = await told
        async with async_playwright() as playwright:
            browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
            state = await logged_in(browser, listening.login)
            page = await browser.new_page(viewport={"width": 1600, "height": 1000}, storage_state=state)
            problems: list[Any] = []
            page.on("console", lambda message: problems.append(message.text))
            await page.goto(f"{listening.admin}/preview/weekly?language=en")
            desktop, phone, dark = (page.frame_locator("iframe").nth(number) for number in range(3))
            for frame in (desktop, phone, dark):
                await frame.get_by_text("A good harvest").first.wait_for()
            colour = "getComputedStyle(document.body).backgroundColor"
            papers = [await frame.locator("body").evaluate(colour) for frame in (desktop, phone, dark)]
            assert papers[0] == papers[1] != papers[2]

            write_article(tmp_path, "tax.md", BORDER.replace("The border is quiet", "A new tax").replace("-19", "-21"))
            await app.publishing.collect()
            await desktop.get_by_text("A new tax").first.wait_for()

            (own / "mail" / "digest.html.j2").write_text(
                '<!DOCTYPE html><html><body>Our own look <a href="{{ unsubscribe }}">leave</a></body></html>'
            )
            await dark.get_by_text("Our own look").wait_for()
            (own / "mail" / "digest.html.j2").write_text("{{ nonsense }}")
            await phone.get_by_text("nonsense").wait_for()
            assert problems == []
            await browser.close()
        app.shared.stop.set()
        await running
