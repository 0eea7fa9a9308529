"""The embedded inbox over real SMTP on loopback."""

from __future__ import annotations

import asyncio
import contextlib
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from publisher.mail.inbox import Inbox, ParsedMessage, Summary, _parsed
from publisher.mail.message import SLOT_UNSUBSCRIBE, SegmentHeaders, encode_segment, personalise
from publisher.mail.smtp import Transport
from publisher.model import Outcome

pytestmark = pytest.mark.anyio


def digest(name: str, subject: str = "Новости 🎈 недели") -> bytes:
    headers = SegmentHeaders(
        from_name="Новости",
        from_address="news@example.org",
        subject=subject,
        language="ru",
        list_name="Новости",
        list_id="weekly.example.org",
    )
    head, body = encode_segment(
        headers=headers, text=f"Текст\n{SLOT_UNSUBSCRIBE}\n", html=f'<a href="{SLOT_UNSUBSCRIBE}">Ж</a>'
    )
    return personalise(
        head,
        body,
        address="a@example.net",
        name=name,
        date=datetime(2026, 11, 23, 7, 0, tzinfo=UTC),
        message_id="<a.b@example.org>",
        unsubscribe_url="https://news.example.org/u/x",
    )


async def fill(inbox: Inbox, *messages: bytes) -> list[Outcome]:
    port = await inbox.start("127.0.0.1", 0)
    door = Transport("127.0.0.1", port, security="plain", hello_name="localhost")
    outcomes = [(await door.send("news@example.org", "a@example.net", message)).outcome for message in messages]
    await door.close()
    await inbox.stop()
    return outcomes


async def test_what_is_sent_is_on_disk_byte_for_byte(tmp_path: Path) -> None:
    """The demo's mail can be compared with what was meant: no header added, no line end changed."""
    inbox = Inbox(tmp_path / "inbox")
    messages = [digest("Анна"), b"Subject: raw\r\n\r\n.dot\r\n..\r\n\r\nFrom here\r\n \r\n", digest("b" * 90)]
    assert await fill(inbox, *messages) == [Outcome.ACCEPTED] * 3
    names = ["00000001.publisher", "00000002.publisher", "00000003.publisher"]
    assert [(tmp_path / "inbox" / "new" / name).read_bytes() for name in names] == messages
    assert list((tmp_path / "inbox" / "tmp").iterdir()) == []


async def test_messages_are_listed_newest_first_and_read_decoded(tmp_path: Path) -> None:
    """Names, subjects and both parts as a reader sees them; numbers go on after a restart."""
    await fill(Inbox(tmp_path), digest("Анна", "first"))
    inbox = Inbox(tmp_path)
    await fill(inbox, digest("Анна"))
    raw = digest("Анна")
    common = {
        "key": "00000002.publisher",
        "sender": "Новости <news@example.org>",
        "to": "Анна <a@example.net>",
        "subject": "Новости 🎈 недели",
        "date": datetime(2026, 11, 23, 7, 0, tzinfo=UTC),
    }
    assert inbox.messages()[0] == Summary(size=len(raw), **common)  # type: ignore[arg-type]  # a dictionary has one type
    assert [summary.subject for summary in inbox.messages()] == ["Новости 🎈 недели", "first"]
    assert len(inbox.messages(limit=1)) == 1
    read = inbox.read("00000002.publisher")
    assert read is not None
    assert dict(read.headers)["List-Unsubscribe"] == "<https://news.example.org/u/x>"
    assert read == ParsedMessage(
        headers=read.headers,
        html='<a href="https://news.example.org/u/x">Ж</a>\r\n',
        text="Текст\r\nhttps://news.example.org/u/x\r\n",
        raw=raw,
        **common,  # type: ignore[arg-type]  # as above
    )


@pytest.mark.parametrize(
    "key", ["", "00000009.publisher", "../secret.key", "00000001.publisher/..", "x\x00y", "..", "new"]
)
def test_only_messages_can_be_read(tmp_path: Path, key: str) -> None:
    """A key comes from a URL."""
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "00000001.publisher").write_bytes(b"Subject: x\r\n\r\n")
    (tmp_path / "secret.key").write_text("secret")
    assert Inbox(tmp_path).read(key) is None
    assert Inbox(tmp_path / "missing").messages() == []


@pytest.mark.parametrize(
    "anyio_backend",
    [("asyncio", {"use_uvloop": False}), ("asyncio", {"use_uvloop": True})],
    ids=["asyncio", "uvloop"],
)
async def test_stopping_does_not_wait_for_clients(tmp_path: Path) -> None:
    """An open connection that says nothing is hung up, on the loop of the service too."""
    inbox = Inbox(tmp_path)
    port = await inbox.start("127.0.0.1", 0)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    assert (await reader.readline()).startswith(b"220 ")
    await inbox.stop()
    with contextlib.suppress(ConnectionError):  # as loopback has it: an end or a reset
        assert await reader.read() == b""
    writer.transport.abort()
    await asyncio.sleep(0)


async def test_it_listens_on_loopback_only(tmp_path: Path) -> None:
    """It takes mail for everybody, so nobody else may reach it."""
    with pytest.raises(ValueError, match="loopback"):
        await Inbox(tmp_path).start("0.0.0.0", 0)


async def test_a_full_disk_is_said_to_the_sender(tmp_path: Path) -> None:
    """Not kept is not accepted."""
    inbox = Inbox(tmp_path)
    port = await inbox.start("127.0.0.1", 0)
    (tmp_path / "tmp").rmdir()
    door = Transport("127.0.0.1", port, security="plain", hello_name="localhost")
    attempt = await door.send("news@example.org", "a@example.net", digest("x"))
    await door.close()
    await inbox.stop()
    assert (attempt.outcome, attempt.code, attempt.phase) == (Outcome.DEFERRED, 452, "dot")


@given(
    st.lists(
        st.sampled_from(
            [
                b"Subject: =?utf-8?b?////?=\r\n",
                b"Subject: =?nonsense?q?=ff?=\r\n",
                b"From: \xff\x00<\r\n",
                b"Date: Mon, 99 Foo 0000 99:99:99 +9999\r\n",
                b"Content-Type: text/html; charset=nonsense\r\n",
                b"Content-Type: text/plain; charset*=x'y'%ff\r\n",
                b"Content-Type: multipart/mixed; boundary=b\r\n",
                b"Content-Transfer-Encoding: base64\r\n",
                b"Content-Transfer-Encoding: x-uuencode\r\n",
                b"\r\n",
                b"--b\r\n",
                b"\xff\xfe!!\r\n",
            ]
        ),
        max_size=8,
    ).map(b"".join)
    | st.binary(max_size=200)
)
def test_any_bytes_can_be_looked_at(raw: bytes) -> None:
    """I7: the inbox shows what came, however malformed."""
    assert _parsed("k", raw).raw == raw
