"""The whole app on a small publication: real files, a real database, real SMTP on loopback."""

from __future__ import annotations

import json
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest

from publisher.app import App
from publisher.errors import BusyError, NotFoundError, RefusedError
from tests.publications import BORDER, load_publication, write_article

pytestmark = pytest.mark.anyio

ANNA = {"email": "anna@reader.example", "languages": "en", "consent": "paper form"}
BORIS = {"email": "boris@reader.example", "languages": "ru en", "consent": "paper form"}
NOBODY = {"added": 0, "changed": 0, "unchanged": 0, "left": 0, "suppressed": 0}


def mails(home: Path) -> list[EmailMessage]:
    """The messages in the embedded inbox, by recipient."""
    found = []
    for path in (home / "data" / "inbox" / "new").iterdir():
        message = message_from_bytes(path.read_bytes(), policy=policy.default)
        assert isinstance(message, EmailMessage)
        found.append(message)
    return sorted(found, key=lambda message: str(message["To"]))


def text_of(message: EmailMessage) -> str:
    body = message.get_body(("plain",))
    assert body is not None
    return str(body.get_content())


async def test_articles_become_feeds_and_one_digest_per_reader(tmp_path: Path) -> None:
    config = load_publication(tmp_path)
    async with await App.open(config) as app:
        assert await app.import_subscribers([ANNA, BORIS]) == NOBODY | {"added": 2}
        collected = await app.publishing.collect()
        assert [(s["name"], s["new"], s["skipped"]) for s in collected["sources"]] == [("articles", 3, [])]
        dispatched = await app.dispatching.dispatch("weekly")
        assert (dispatched["outcome"], dispatched["deliveries"]) == ("dispatched", 2)
        sent = await app.sending.send()
        assert sent["sent"] == 2
    site = tmp_path / "data" / "site" / "feeds"
    assert {path.name for path in site.iterdir() if path.suffix in {".rss", ".atom", ".json"}} == {
        f"{feed}.{ending}"
        for feed in ("all", "author-ana-lind", "economy", "security", "language-en", "language-ru", "newsletter-weekly")
        for ending in ("rss", "atom", "json")
    }
    titles = [item["title"] for item in json.loads((site / "all.json").read_text())["items"]]
    assert titles == ["Хороший урожай", "A good harvest", "The border is quiet"]
    anna, boris = mails(tmp_path)
    assert anna["To"] == "anna@reader.example"
    assert "A good harvest" in text_of(anna)
    assert "Хороший урожай" not in text_of(anna)
    assert "Хороший урожай" in text_of(boris)
    assert "A good harvest" not in text_of(boris)


async def test_an_article_is_mailed_once(tmp_path: Path) -> None:
    """V8: a second issue holds what came since, or is skipped and says why."""
    config = load_publication(tmp_path)
    async with await App.open(config) as app:
        await app.import_subscribers([ANNA])
        await app.publishing.collect()
        await app.dispatching.dispatch("weekly")
        await app.sending.send()
        plan = await app.dispatching.dispatch("weekly", dry_run=True)
        assert (plan["outcome"], plan["deliveries"]) == ("skipped", 0)
        write_article(tmp_path, "tax.md", BORDER.replace("The border is quiet", "A new tax").replace("-19", "-21"))
        assert (await app.publishing.collect())["sources"][0]["new"] == 1
        plan = await app.dispatching.dispatch("weekly", dry_run=True)
        assert (plan["outcome"], plan["articles"]) == ("dispatched", 1)


async def test_a_withdrawn_article_is_in_no_feed_and_its_source_cannot_bring_it_back(tmp_path: Path) -> None:
    """L11: withdrawal outlasts every later collection of the same file."""
    config = load_publication(tmp_path)
    feed = tmp_path / "data" / "site" / "feeds" / "all.json"
    async with await App.open(config) as app:
        await app.publishing.collect()
        item = next(i for i in json.loads(feed.read_text())["items"] if i["title"] == "The border is quiet")
        ref = item["url"].split("/")[-2]
        assert (await app.publishing.withdraw([ref], reason="wrong"))["articles"] == ["The border is quiet"]
        assert "The border is quiet" not in feed.read_text()
        write_article(tmp_path, "border.md", BORDER.replace("Nobody", "Somebody"))
        await app.publishing.collect()
        assert "The border is quiet" not in feed.read_text()
        assert (await app.publishing.release([ref]))["articles"] == ["The border is quiet"]
        assert "Somebody crossed it" in feed.read_text()


async def test_what_does_not_exist_is_named_with_what_does(tmp_path: Path) -> None:
    config = load_publication(tmp_path)
    async with await App.open(config) as app:
        with pytest.raises(NotFoundError, match="there is no source 'artcles'; there are: articles"):
            await app.publishing.collect(["artcles"])
        with pytest.raises(NotFoundError, match="weekly"):
            await app.dispatching.dispatch("wekly")
        with pytest.raises(NotFoundError, match="there is no article 'abc'"):
            await app.publishing.withdraw(["abc"])


async def test_a_wrong_row_adds_nobody(tmp_path: Path) -> None:
    """P4, G2: all of them or none, and every wrong row is named."""
    config = load_publication(tmp_path)
    rows: list[dict[str, Any]] = [ANNA, {"email": "nobody", "consent": "x"}, {"email": "b@c.example"}]
    async with await App.open(config) as app:
        with pytest.raises(RefusedError) as refusal:
            await app.import_subscribers(rows)
        assert "row 2: " in str(refusal.value)
        assert "row 3: consent is empty" in str(refusal.value)
        assert await app.import_subscribers([ANNA]) == NOBODY | {"added": 1}


async def test_a_second_app_on_the_same_directory_is_told_who_holds_it(tmp_path: Path) -> None:
    """J10."""
    config = load_publication(tmp_path)
    async with await App.open(config):
        with pytest.raises(BusyError):
            await App.open(config)
    async with await App.open(config):
        pass


async def test_a_missing_folder_is_that_source_s_error_alone(tmp_path: Path) -> None:
    more = '\n[[sources]]\nname = "elsewhere"\nkind = "folder"\npath = "../nowhere"\n'
    config = load_publication(tmp_path, more=more)
    async with await App.open(config) as app:
        done = await app.publishing.collect()
    assert [(s["name"], s.get("new"), "nowhere" in s.get("error", "")) for s in done["sources"]] == [
        ("articles", 3, False),
        ("elsewhere", None, True),
    ]


async def test_a_test_mail_is_marked_and_counts_for_nothing(tmp_path: Path) -> None:
    """K17: it goes to the named address alone, no cursor moves, no issue exists."""
    config = load_publication(tmp_path)
    async with await App.open(config) as app:
        await app.import_subscribers([ANNA])
        await app.publishing.collect()
        tried = await app.dispatching.dispatch("weekly", to="editor@ledger.example")
        assert tried["outcome"] == "accepted"
        assert (await app.dispatching.dispatch("weekly", dry_run=True))["deliveries"] == 1
    (mail,) = mails(tmp_path)
    assert mail["To"] == "editor@ledger.example"
    assert str(mail["Subject"]).startswith("[Test] ")
