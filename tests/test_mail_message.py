"""Mail as bytes: headers that nobody can inject into, bodies that nothing on the way has reason to touch."""

from __future__ import annotations

import dataclasses
import email
import re
import unicodedata
from datetime import UTC, datetime
from email.header import decode_header, make_header
from email.message import EmailMessage, Message
from email.policy import default
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from publisher.mail import quoted
from publisher.mail.message import (
    SLOT_UNSUBSCRIBE,
    SegmentHeaders,
    encode_segment,
    feedback_id,
    fill,
    message_id,
    own_lines,
    personalise,
)
from publisher.text import one_line, truncate

GOLDEN = Path(__file__).parent / "golden" / "mail"
HEADERS = SegmentHeaders(
    from_name="Belarus Weekly",
    from_address="news@example.org",
    subject="Week 21: Minsk seeks additional security guarantees",
    language="en",
    list_name="Belarus Weekly",
    list_id="weekly.example.org",
    reply_to="editors@example.org",
    web_url="https://news.example.org/issues/0a1b2c3d4e5f/en/",
    feedback_id="0a1b2c3d4e5f:weekly:digest:example-org",
)
TEXT = f"Belarus Weekly\n\n.dotted\nFrom here  on\nНовости — «Минск»\n\nLeave: {SLOT_UNSUBSCRIBE}\n"
HTML = f'<p>Новости</p>\n<p>.<a href="{SLOT_UNSUBSCRIBE}">Leave</a></p>'
URL = "https://news.example.org/u/D0JAcjkKdQdcb3mY7CxKt9MIDg"
HOSTILE = st.text(
    alphabet=st.one_of(
        st.characters(exclude_categories=["Cs"]),
        st.sampled_from('\r\n\x00\t =?_"\\<>,;:@()\u202e\u2066\u200b\u200d👩👩🏽\u0301éЖя'),
    ),
    max_size=400,
)


def whole(
    headers: SegmentHeaders = HEADERS,
    *,
    text: str = TEXT,
    html: str | None = HTML,
    name: str = "",
    address: str = "a@b.example",
) -> bytes:
    head, body = encode_segment(headers=headers, text=text, html=html)
    return personalise(
        head,
        body,
        address=address,
        name=name,
        date=datetime(2026, 11, 23, 7, 0, 5, tzinfo=UTC),
        message_id="<0a1b2c3d4e5f.k3j2h1g4f5d6s7a8@example.org>",
        unsubscribe_url=URL,
    )


def parsed(raw: bytes) -> EmailMessage:
    message = email.message_from_bytes(raw, policy=default)
    assert isinstance(message, EmailMessage)
    return message


def content(part: Message) -> str:
    payload = part.get_payload(decode=True)
    assert isinstance(payload, bytes)
    return payload.decode().replace("\r\n", "\n")


def display_name(raw: bytes, header: str) -> str:
    """Read a name as RFC 2047 says; the newer parser of Python 3.11 puts a space between adjacent encoded-words."""
    phrase = str(email.message_from_bytes(raw)[header]).rpartition("<")[0].strip()
    if phrase.startswith('"'):
        return re.sub(r"\\(.)", r"\1", phrase[1:-1])
    return str(make_header(decode_header(phrase)))


def assert_travels(raw: bytes) -> None:
    """H9, M3: seven bits, CRLF only, short lines, nothing for dot-stuffing or mailbox files to alter."""
    assert raw.isascii()
    assert raw.endswith(b"\r\n")
    assert b"\r" not in raw.replace(b"\r\n", b"")
    assert b"\n" not in raw.replace(b"\r\n", b"")
    assert b"\x00" not in raw
    head, _, body = raw.partition(b"\r\n\r\n")
    for line in head.split(b"\r\n"):
        assert len(line) <= (998 if line.startswith(b"List-Unsubscribe:") else 78), line
    for line in body.split(b"\r\n"):
        assert len(line) <= 76, line
        assert not line.startswith((b".", b"From ")), line
        assert not line.endswith((b" ", b"\t")), line
        assert b"  " not in line, line


def compare(raw: bytes, name: str, update: bool) -> None:
    if update:
        (GOLDEN / name).write_bytes(raw)
    assert raw == (GOLDEN / name).read_bytes()


def test_a_message_is_these_very_bytes(update_golden: bool) -> None:
    """M7: the same input is the same message, for ever; any change here is a decision."""
    raw = whole(name="Иван Петров")
    assert_travels(raw)
    compare(raw, "digest.eml", update_golden)


def test_a_message_of_plain_text_is_these_very_bytes(update_golden: bool) -> None:
    """A reader who wants text gets one part and no boundary."""
    raw = whole(html=None)
    assert_travels(raw)
    compare(raw, "digest-text.eml", update_golden)


def test_headers_stand_once_in_a_fixed_order() -> None:
    """H1–H11, H13."""
    message = parsed(whole(name="Anna"))
    assert [(name, str(value)) for name, value in message.items() if name != "Content-Type"] == [
        ("Date", "Mon, 23 Nov 2026 07:00:05 +0000"),
        ("To", "Anna <a@b.example>"),
        ("Message-ID", "<0a1b2c3d4e5f.k3j2h1g4f5d6s7a8@example.org>"),
        ("List-Unsubscribe", f"<{URL}>"),
        ("List-Unsubscribe-Post", "List-Unsubscribe=One-Click"),
        ("From", "Belarus Weekly <news@example.org>"),
        ("Reply-To", "editors@example.org"),
        ("Subject", "Week 21: Minsk seeks additional security guarantees"),
        ("List-Id", "Belarus Weekly <weekly.example.org>"),
        ("Archived-At", "<https://news.example.org/issues/0a1b2c3d4e5f/en/>"),
        ("Auto-Submitted", "auto-generated"),
        ("Precedence", "list"),
        ("X-Auto-Response-Suppress", "DR, RN, NRN, OOF, AutoReply"),
        ("Feedback-ID", "0a1b2c3d4e5f:weekly:digest:example-org"),
        ("Content-Language", "en"),
        ("MIME-Version", "1.0"),
    ]


def test_text_comes_first_and_both_parts_hold_the_readers_link() -> None:
    """M1, M5: multipart/alternative of text and HTML; every slot is filled, none is left."""
    raw = whole()
    text, html = parsed(raw).iter_parts()
    assert (text.get_content_type(), html.get_content_type()) == ("text/plain", "text/html")
    assert content(text) == TEXT.replace(SLOT_UNSUBSCRIBE, URL)
    assert content(html) == HTML.replace(SLOT_UNSUBSCRIBE, URL) + "\n"
    assert SLOT_UNSUBSCRIBE.encode() not in raw


def test_one_click_headers_are_literal_however_long_the_link() -> None:
    """E11: never folded inside the brackets, never an encoded-word."""
    head, body = encode_segment(headers=HEADERS, text=TEXT, html=HTML)
    url = "https://news.example.org/" + "long/" * 60 + "u/" + "x" * 32
    raw = personalise(
        head,
        body,
        address="a@b.example",
        name="",
        date=datetime(2026, 1, 1, tzinfo=UTC),
        message_id="<a.b@example.org>",
        unsubscribe_url=url,
    )
    assert f"\r\nList-Unsubscribe: <{url}>\r\nList-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n".encode() in raw
    assert_travels(raw)
    assert all(url in content(part) for part in parsed(raw).iter_parts())


def test_an_article_title_injects_no_header() -> None:
    """H8, B33."""
    message = parsed(
        whole(dataclasses.replace(HEADERS, subject="a\r\nBcc: x@y", from_name="b\nTo: x@y"), name="c\r\n\r\nd")
    )
    assert message["Bcc"] is None
    assert message["Subject"] == "a Bcc: x@y"
    assert message["From"].addresses[0].display_name == "b To: x@y"
    assert message["To"].addresses[0].display_name == "c d"
    assert message.keys().count("To") == 1


@given(subject=HOSTILE, name=HOSTILE)
def test_any_subject_and_name_come_back_as_one_clean_line(subject: str, name: str) -> None:
    """H7, H8, A13, E12: what the mail program shows is what we meant, on lines that travel."""
    meant = truncate(unicodedata.normalize("NFC", one_line(subject)).strip(), 150)
    called = truncate(unicodedata.normalize("NFC", one_line(name)).strip(), 100)
    headers = dataclasses.replace(HEADERS, subject=subject, from_name=name, list_name=name)
    if not meant:
        with pytest.raises(ValueError, match="no subject"):
            encode_segment(headers=headers, text=TEXT, html=HTML)
        return
    raw = whole(headers, name=name)
    assert_travels(raw)
    message = parsed(raw)
    assert str(message["Subject"]) == meant
    for header in ("From", "To"):
        assert len(message[header].addresses) == 1
        assert display_name(raw, header) == called
    assert message["From"].addresses[0].addr_spec == "news@example.org"
    assert len(message.items()) == 17


@pytest.mark.parametrize(
    "subject",
    [
        "🏳️‍🌈" * 20,
        "Новости недели: " + "безопасность " * 10,
        "x" * 140,
        "=?utf-8?q?not_encoded?=",
        "a" * 70 + " 👩🏽‍🚀",
        "e\u0301" * 60,
        "خبرهای می‌شود " * 8,
    ],
)
def test_encoded_words_break_between_graphemes_only(subject: str) -> None:
    """H7: each word alone is readable text, at most 75 characters on lines of at most 76."""
    raw = whole(dataclasses.replace(HEADERS, subject=subject))
    start = raw.index(b"Subject: ")
    lines = raw[start : raw.index(b"\r\nList-Id", start)].split(b"\r\n")
    words = [word for line in lines for word in line.replace(b"Subject: ", b"").split()]
    assert all(len(word) <= 75 and word.startswith(b"=?utf-8?") for word in words)
    assert all(len(line) <= 76 for line in lines)
    pieces = [str(parsed(b"Subject: " + word + b"\r\n\r\n")["Subject"]) for word in words]
    assert not any(unicodedata.combining(piece[0]) or piece[0] in "\u200d\ufe0f\U0001f3fd" for piece in pieces)


def test_an_international_address_stands_in_its_own_letters() -> None:
    """H7: only where the reader's own address needs SMTPUTF8."""
    raw = whole(address="редактор@xn--80a1acny.xn--p1ai", name="Редактор")
    assert "<редактор@xn--80a1acny.xn--p1ai>\r\n".encode() in raw
    assert_travels(raw.replace("редактор".encode(), b"redaktor"))


@pytest.mark.parametrize(
    "change",
    [
        {"from_address": "a@b.example\r\nBcc: x@y"},
        {"reply_to": "a b@c.example"},
        {"web_url": "https://e.org/\r\nX: y"},
        {"web_url": "https://e.org/a b"},
        {"list_id": "weekly"},
        {"language": "en\r\nX: y"},
        {"feedback_id": "a:b:c:d:example"},
        {"feedback_id": "a:b:c:org"},
        {"subject": "\u200b\r\n "},
    ],
)
def test_what_cannot_stand_in_a_header_is_refused_before_an_issue_is_frozen(change: dict[str, str]) -> None:
    """D9, E1: not in the middle of sending."""
    with pytest.raises(ValueError, match=r"\w"):
        encode_segment(headers=dataclasses.replace(HEADERS, **change), text=TEXT, html=HTML)


@pytest.mark.parametrize(
    "url",
    ["", "javascript:x", 'https://e.org/"x', "https://e.org/?a=1&b=2", "https://e.org/a b", "https://e.org/\r\nX: y"],
)
def test_a_link_that_html_would_have_to_escape_is_refused(url: str) -> None:
    """It replaces the slot in HTML and text alike."""
    head, body = encode_segment(headers=HEADERS, text=TEXT, html=HTML)
    with pytest.raises(ValueError, match="unsubscribe URL"):
        personalise(
            head,
            body,
            address="a@b.example",
            name="",
            date=datetime(2026, 1, 1, tzinfo=UTC),
            message_id="<a.b@c.example>",
            unsubscribe_url=url,
        )


def test_identifiers_have_their_form() -> None:
    """H4: at most 76 with the header's name; H11: the sender's name has 5 to 15 characters."""
    identifier = message_id("0a1b2c3d4e5f", "k3j2h1g4f5d6s7a8", "newsletters.publication.example.o")
    assert identifier == "<0a1b2c3d4e5f.k3j2h1g4f5d6s7a8@newsletters.publication.example.o>"
    assert len("Message-ID: " + identifier) <= 78
    assert feedback_id("0a1b", "weekly", "Example.org") == "0a1b:weekly:digest:example-org"
    assert feedback_id("0a1b", "weekly", "a.b") == "0a1b:weekly:digest:a-b-mail"
    assert feedback_id("0a1b", "weekly", "newsletters.example.org") == "0a1b:weekly:digest:newsletters-exa"
    with pytest.raises(ValueError, match="Message-ID"):
        message_id("a b", "c", "example.org")


@given(st.text(alphabet=st.one_of(st.characters(), st.sampled_from("\n\n. FromЖ=\t\r")), max_size=600))
def test_any_text_survives_quoted_printable(text: str) -> None:
    """M2, M3, E9, E10: decoded, it is the text with its line ends as CRLF."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n").removesuffix("\n")
    raw = quoted.encode_body(text, (SLOT_UNSUBSCRIBE,))
    assert_travels(b"X: y\r\n\r\n" + raw)
    for octets, encoding in ((raw, b"quoted-printable"), (quoted.encode_base64(text), b"base64")):
        part = (
            b"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: " + encoding + b"\r\n\r\n" + octets
        )
        content = parsed(part).get_payload(decode=True)
        assert content == (lines + "\n").replace("\n", "\r\n").encode("utf-8", "replace")


@given(
    before=st.text(alphabet=st.sampled_from("ab. Ж=\n"), max_size=160),
    after=st.text(alphabet=st.sampled_from("ab. Ж=\n"), max_size=160),
    value=st.text(alphabet=st.sampled_from("abc=./- "), min_size=1, max_size=200),
)
def test_a_value_of_any_length_fits_where_its_slot_was(before: str, after: str, value: str) -> None:
    """Spliced bytes decode to what encoding the finished text would have given, and no line grows beyond 76."""
    encoded = quoted.encode_body(f"{before}SLOT{after}", ("SLOT",)).replace(b"SLOT", quoted.encode_value(value))
    assert max(map(len, encoded.split(b"\r\n"))) <= 76
    part = b"Content-Transfer-Encoding: quoted-printable\r\n\r\n" + encoded
    text = f"{before}{value}{after}".removesuffix("\n") + "\n"
    assert parsed(part).get_payload(decode=True) == text.replace("\n", "\r\n").encode()


def test_a_soft_break_has_room_before_every_slot() -> None:
    """The line before a slot may be full: its "=" is the 76th character."""
    for length in range(70, 80):
        encoded = quoted.encode_body("x" * length + "SLOT", ("SLOT",))
        assert max(map(len, encoded.split(b"\r\n"))) <= 76


def test_a_part_without_slots_takes_the_shorter_encoding() -> None:
    """M2: base64 for Cyrillic, quoted-printable for Latin; with a slot always quoted-printable."""
    cyrillic = "Новости недели\n" * 5

    def encoding(text: str) -> str:
        return str(parsed(whole(text=text, html=None))["Content-Transfer-Encoding"])

    assert [encoding(cyrillic), encoding("News\n" * 5), encoding(cyrillic + SLOT_UNSUBSCRIBE)] == [
        "base64",
        "quoted-printable",
        "quoted-printable",
    ]


def test_the_boundary_belongs_to_the_segment() -> None:
    """M3: contains `=_`, same for the same parts, another for others."""
    one, same, other = (re.search(rb'boundary="(=_[0-9a-f]{24})"', whole(text=text)) for text in (TEXT, TEXT, "Other"))
    assert one is not None
    assert same is not None
    assert other is not None
    assert one[1] == same[1] != other[1]


@given(
    name=st.text(st.sampled_from("aZ9 ."), max_size=70) | st.text(max_size=20),
    address=st.sampled_from(["a@b.example", f"{'a' * 50}@{'b' * 20}.example", "a.b+c@example.net"]),
    path=st.text(st.sampled_from("aZ9-_=./?&"), max_size=90),
)
def test_what_is_simple_is_written_as_everything_else(name: str, address: str, path: str) -> None:
    """Most names and addresses take a short cut, which must lead to the same bytes (P2)."""
    url = f"https://example.org/{path}"
    names = {
        "address": address,
        "name": name,
        "date": datetime(2026, 1, 1, tzinfo=UTC),
        "message_id": "<a.b@c.example>",
        "unsubscribe_url": "",
    }
    with pytest.MonkeyPatch.context() as patch:
        short = own_lines(**names)  # type: ignore[arg-type]  # the values have the types they had above
        patch.setattr("publisher.mail.message._SIMPLE_NAME", re.compile(r"(?!)"))
        assert own_lines(**names) == short  # type: ignore[arg-type]  # likewise
    assume("&" not in path)
    assert fill([b"a", b"b"], url) == [b"a", quoted.encode_value(url), b"b"]
