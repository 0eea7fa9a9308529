"""One mail as bytes: a segment encoded once, each reader's own values spliced in."""

from __future__ import annotations

import functools
import hashlib
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from email.utils import format_datetime

from publisher.mail import quoted
from publisher.text import one_line, truncate

SLOT_UNSUBSCRIBE = "publisherslotunsubscribe7q2vk"
"""Stands in a segment's HTML and text where the reader's unsubscribe URL goes, for example as the value of a `href`.

Letters and digits only, so that escaping, CSS inlining, wrapping and quoted-printable leave it whole.
"""

SLOTS = (SLOT_UNSUBSCRIBE,)
"""Every slot that a segment may hold."""

MAX_SUBJECT = 150
"""Characters; no mail program shows more."""
MAX_NAME = 100
MAX_LINE = 998
"""Octets of a line without its CRLF (RFC 5322 §2.1.1)."""

_ATOM_PHRASE = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?: [A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*\Z")
_SIMPLE_NAME = re.compile(r"[A-Za-z0-9]+(?: [A-Za-z0-9]+)*\Z")
_PRINTABLE = re.compile(r"[ -~]*\Z")
_URI = re.compile(r"[!#-;=?-_a-z~]+\Z")  # printable ASCII without space " < > ` { | }
_URL_VALUE = re.compile(r"https?://[!#-%(-;=?-_a-z~]+\Z")  # as above, and nothing that HTML would want escaped
_DOT_ATOM = re.compile(r"[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)+\Z")
_LANGUAGE = re.compile(r"[A-Za-z0-9]+(?:-[A-Za-z0-9]+)*\Z")
_MESSAGE_ID = re.compile(r"<[A-Za-z0-9._-]+@[A-Za-z0-9.-]+>\Z")
_ADDRESS = re.compile(r"[^\s<>\x00-\x20\x7f]+@[A-Za-z0-9.-]+\Z")
_FEEDBACK = re.compile(r"(?:[A-Za-z0-9_.-]*:){0,3}[A-Za-z0-9_.-]{5,15}\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentHeaders:
    """What every reader of a segment sees at the top. Texts may come from anywhere; they become one clean line each."""

    from_name: str
    from_address: str
    subject: str
    language: str
    """BCP 47 tag of the content."""
    list_name: str = ""
    list_id: str = ""
    """Dotted name of the newsletter inside our own domain, `weekly.example.org` (RFC 2919); never changes.

    Empty: not mail to subscribers but about a subscription, which carries no List- headers (P3).
    """
    reply_to: str = ""
    """Empty: replies go to `from_address`."""
    web_url: str = ""
    """Address of the same issue on the web (RFC 5064), for all readers alike."""
    feedback_id: str = ""
    """See `feedback_id()`."""


def message_id(issue_ref: str, token: str, domain: str) -> str:
    """Return `<issue.token@domain>` (H4): no address in it, and the same on every attempt because it is stored.

    `token` is unique per delivery, 16 or more of [a-z0-9]. With 16 and a domain of at most 33 the header line stays
    within 76 characters.
    """
    return _checked(_MESSAGE_ID, f"<{issue_ref}.{token}@{domain}>", "Message-ID")


def feedback_id(issue_ref: str, newsletter: str, domain: str) -> str:
    """Return `issue:newsletter:digest:sender` (H11); the last field is constant for a sender, 5 to 15 characters."""
    sender = re.sub(r"[^a-z0-9]+", "-", domain.lower()).strip("-")
    return f"{issue_ref}:{newsletter}:digest:{(sender + '-mail' if len(sender) < 5 else sender)[:15]}"


def encode_segment(*, headers: SegmentHeaders, text: str, html: str | None) -> tuple[bytes, bytes]:
    """Return (head, body): header lines that all readers of a segment share, and the encoded parts with their slots.

    Done once per segment; `personalise` adds what differs. HTML None makes a mail of plain text alone. Parts that hold
    a slot are quoted-printable even where base64 would be shorter, because in base64 the octets around a value shift
    with its length. Raises ValueError for an address, URL or identifier that cannot stand in a header.
    """
    plain = _part("plain", text)
    if html is None:
        kind, body = plain
    else:
        formatted = _part("html", html)
        # Made from the content: the same segment gives the same bytes, and "=_" cannot occur in quoted-printable.
        boundary = "=_" + hashlib.sha256(plain[1] + formatted[1]).hexdigest()[:24]
        body = b"".join(_delimited(boundary, lines, content) for lines, content in (plain, formatted))
        body += f"--{boundary}--\r\n".encode()
        kind = [f'Content-Type: multipart/alternative; boundary="{boundary}"']
    lines = [*_shared_lines(headers), "MIME-Version: 1.0", *kind]
    return _join(lines), body


OWN_NAMES = ("Date", "To", "Message-ID", "List-Unsubscribe", "List-Unsubscribe-Post")
"""Headers that differ from reader to reader, in the order in which `own_lines` writes them."""


def personalise(
    head: bytes, body: bytes, *, address: str, name: str, date: datetime, message_id: str, unsubscribe_url: str
) -> bytes:
    """Return the whole message of one reader, the same bytes for the same values; see `own_lines` for these."""
    own = own_lines(address=address, name=name, date=date, message_id=message_id, unsubscribe_url=unsubscribe_url)
    return b"".join((own, head, b"\r\n", splice(body, unsubscribe_url)))


def own_lines(*, address: str, name: str, date: datetime, message_id: str, unsubscribe_url: str) -> bytes:
    """Return the header lines of one reader, which stand above the segment's.

    `date` is aware. `unsubscribe_url` is http(s) without characters that HTML would escape, since `splice` puts it into
    both parts; empty in mail about a subscription, which carries none. Only the address may bring octets outside ASCII,
    and such a message needs SMTPUTF8.
    Raises ValueError for values that cannot stand where they go.
    """
    lines = [
        f"Date: {_date(date)}",
        _mailbox("To", name, address),
        f"Message-ID: {_checked(_MESSAGE_ID, message_id, 'Message-ID')}",
    ]
    if unsubscribe_url:
        # Never folded or encoded, however long: mail programs look for the literal URI (H1).
        lines.append(f"List-Unsubscribe: <{_checked(_URL_VALUE, unsubscribe_url, 'unsubscribe URL')}>")
        lines.append("List-Unsubscribe-Post: List-Unsubscribe=One-Click")
    return _join(lines)


_date = functools.lru_cache(maxsize=64)(format_datetime)  # neighbours were claimed at the same moment


def splice(body: bytes, unsubscribe_url: str) -> bytes:
    """Return a segment's body with its slots filled. Raises ValueError for a URL that cannot stand in both parts."""
    return b"".join(fill(pieces(body), unsubscribe_url))


def pieces(body: bytes) -> list[bytes]:
    """Return what stands before, between and behind the slots of a segment's body, for `fill`."""
    return body.split(SLOT_UNSUBSCRIBE.encode())


def fill(pieces: Sequence[bytes], unsubscribe_url: str) -> list[bytes]:
    """Do as `splice` does for a body that was cut once for all its readers; what is returned is still to be joined."""
    value = _slot_value(_checked(_URL_VALUE, unsubscribe_url, "unsubscribe URL"))
    filled = [pieces[0]]
    for piece in pieces[1:]:
        filled += (value, piece)
    return filled


def _slot_value(url: str) -> bytes:
    # What nearly every address is: short, and without anything to be quoted.
    return url.encode() if len(url) < quoted.LINE and "=" not in url else quoted.encode_value(url)


def common_length(body: bytes) -> int:
    """Return how many octets at the start of a segment's body all its readers share: those before the first slot."""
    return min((at for slot in SLOTS if (at := body.find(slot.encode())) >= 0), default=len(body))


def _shared_lines(headers: SegmentHeaders) -> list[str]:
    lines = [_mailbox("From", headers.from_name, headers.from_address)]
    if headers.reply_to:
        lines.append(_mailbox("Reply-To", "", headers.reply_to))
    lines.append(_subject(headers.subject))
    if headers.list_id:
        lines.append(_list_id(headers.list_name, headers.list_id))
    if headers.web_url:
        lines.append(f"Archived-At: <{_checked(_URI, headers.web_url, 'web address')}>")
    lines.append("Auto-Submitted: auto-generated")
    if headers.list_id:
        lines.append("Precedence: list")
    lines.append("X-Auto-Response-Suppress: DR, RN, NRN, OOF, AutoReply")
    if headers.feedback_id:
        lines.append(f"Feedback-ID: {_checked(_FEEDBACK, headers.feedback_id, 'Feedback-ID')}")
    lines.append(f"Content-Language: {_checked(_LANGUAGE, headers.language, 'language')}")
    return lines


def _part(subtype: str, content: str) -> tuple[list[str], bytes]:
    """Return the header lines and the octets of a part, in the shorter of the two encodings that it may have."""
    encoding, octets = "quoted-printable", quoted.encode_body(content, SLOTS)
    if not any(slot in content for slot in SLOTS):
        shorter = quoted.encode_base64(content)
        if len(shorter) < len(octets):
            encoding, octets = "base64", shorter
    return [f"Content-Type: text/{subtype}; charset=utf-8", f"Content-Transfer-Encoding: {encoding}"], octets


def _delimited(boundary: str, lines: list[str], content: bytes) -> bytes:
    # The line break before a delimiter belongs to it, so a content that ends with one needs a second.
    return b"".join((f"--{boundary}\r\n".encode(), _join(lines), b"\r\n", content, b"\r\n"))


def _subject(subject: str) -> str:
    text = truncate(_clean(subject), MAX_SUBJECT)
    if not text:
        raise ValueError(f"{subject!r} leaves no subject to show")
    words = text.split(" ")
    # Folded at its own single spaces, so that unfolding gives it back; a longer word needs the other way.
    if _PRINTABLE.match(text) and "=?" not in text and all(len(word) < quoted.LINE - len("Subject:") for word in words):
        return _folded(["Subject:", *words])
    return "Subject: " + "\r\n ".join(quoted.encoded_words(text, quoted.LINE - len("Subject: ")))


def _list_id(name: str, identifier: str) -> str:
    return _folded(["List-Id:", *_phrase(name, len("List-Id: ")), f"<{_checked(_DOT_ATOM, identifier, 'List-Id')}>"])


def _mailbox(header: str, name: str, address: str) -> str:
    """Write a header of exactly one address."""
    if not _ADDRESS.match(address):
        raise ValueError(f"{address!r} cannot stand in a {header} header")
    if _SIMPLE_NAME.match(name) and len(name) + len(address) < quoted.LINE - 20:  # what the rest would make of it
        return f"{header}: {name} <{address}>"
    words = _phrase(name, len(header) + 2)
    return _folded([f"{header}:", *words, f"<{address}>" if words else address])


def _phrase(name: str, used: int) -> list[str]:
    """Return a display name as words to fold between: atoms, one quoted string, or encoded-words; [] for none."""
    text = truncate(_clean(name), MAX_NAME)
    if not text:
        return []
    if _PRINTABLE.match(text) and "=?" not in text and len(text) < quoted.LINE - used - 4:
        if _ATOM_PHRASE.match(text):
            return [text]
        return ['"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"']
    return quoted.encoded_words(text, quoted.LINE - used)


def _clean(text: str) -> str:
    """One line of normalised text: neither header injection nor invisible tricks survive (H8)."""
    return unicodedata.normalize("NFC", one_line(text)).strip()


def _folded(words: list[str]) -> str:
    """Join words by spaces, folding before a word that would pass the limit; a word alone may be longer."""
    lines = [words[0]]
    for word in words[1:]:
        if len(lines[-1]) + 1 + len(word) > quoted.LINE and lines[-1] != words[0]:
            lines.append("")
        lines[-1] += " " + word
    return "\r\n".join(lines)


def _checked(pattern: re.Pattern[str], value: str, what: str) -> str:
    if not pattern.match(value) or len(value) > MAX_LINE - 40:
        raise ValueError(f"{value!r} cannot be a {what} in a mail")
    return value


def _join(lines: list[str]) -> bytes:
    return "".join(f"{line}\r\n" for line in lines).encode()
