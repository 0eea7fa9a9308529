"""DKIM: whatever we write verifies elsewhere, and nothing can be changed or added afterwards."""

from __future__ import annotations

import base64
import dataclasses
import random
import re
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

import dkim
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from hypothesis import given
from hypothesis import strategies as st

from publisher.config import Config, Dkim, Site, Smtp
from publisher.errors import ConfigurationError, RefusedError
from publisher.mail.dkim import (
    OVERSIGNED,
    Key,
    NewKey,
    Signer,
    _fields,
    _own_fields,
    new_key,
    record,
    txt_strings,
    write_key,
)
from publisher.mail.message import (
    SLOT_UNSUBSCRIBE,
    SegmentHeaders,
    encode_segment,
    fill,
    own_lines,
    personalise,
    pieces,
    splice,
)

DATE = datetime(2025, 11, 24, 7, 0, 5, tzinfo=UTC)
"""Long past: a verifier asks the machine's clock whether a signature is of the future."""
GOLDEN = Path(__file__).parent / "golden" / "mail" / "signed.eml"
DATA = Path(__file__).parent / "data" / "dkim"
DOMAIN = "example.org"
HEADERS = SegmentHeaders(
    from_name="The Example Weekly",
    from_address="news@example.org",
    subject="Week 21: what a small country reads about itself and its neighbours on a Monday",
    language="en",
    list_name="The Example Weekly",
    list_id="weekly.example.org",
    reply_to="editors@example.org",
    web_url="https://news.example.org/issues/0a1b2c3d4e5f/en/",
    feedback_id="0a1b2c3d4e5f:weekly:digest:example-org",
)
TEXT = f"Dear  reader,\n\n.dotted\nНовости\n\nLeave: {SLOT_UNSUBSCRIBE}\n"
HTML = f'<p>Новости</p>\n<p>.<a href="{SLOT_UNSUBSCRIBE}">Leave</a></p>'


@cache
def key(name: str) -> NewKey:
    """One key of each name for the whole run: making one takes a tenth of a second."""
    return new_key("ed25519" if name.startswith("e") else "rsa")


def private(name: str) -> rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey:
    loaded = serialization.load_pem_private_key(key(name).pem, None)
    assert isinstance(loaded, rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey)
    return loaded


def keys(*names: str) -> list[Key]:
    return [Key.of(name, private(name)) for name in names]


def zone(*names: str, domain: str = DOMAIN) -> Callable[..., bytes]:
    """Answer a verifier's questions as the DNS would."""
    records = {f"{name}._domainkey.{domain}.".encode(): key(name).record.encode() for name in names}
    return lambda name, timeout=5: records.get(name, b"")


def holds(message: bytes, index: int, dns: Callable[..., bytes]) -> bool:
    """Whether one signature holds; the first, 0, is that on top."""
    try:
        return bool(dkim.DKIM(message).verify(idx=index, dnsfunc=dns))  # type: ignore[no-untyped-call]  # dkimpy's
    except dkim.DKIMException:
        return False


def verifies(message: bytes, dns: Callable[..., bytes], signatures: int = 1) -> bool:
    """Whether all signatures hold."""
    return all(holds(message, index, dns) for index in range(signatures))


def message(
    signer: Signer | None,
    headers: SegmentHeaders = HEADERS,
    *,
    text: str = TEXT,
    html: str | None = HTML,
    name: str = "",
    address: str = "reader@example.net",
    url: str = "https://news.example.org/u/D0JAcjkKdQdcb3mY7CxKt9MIDg",
    date: datetime = DATE,
    keys: str | None = None,
) -> bytes:
    """A message as the outbox puts it together."""
    head, body = encode_segment(headers=headers, text=text, html=html)
    identity = "<0a1b2c3d4e5f.k3j2h1g4f5d6s7a8@example.org>"
    values = {"address": address, "name": name, "date": date, "message_id": identity, "unsubscribe_url": url}
    if signer is None:
        return personalise(head, body, **values)  # type: ignore[arg-type]  # the values have the types they had above
    prepared = signer.prepare(head, body, from_address=headers.from_address)
    own, whole = own_lines(**values), splice(body, url)  # type: ignore[arg-type]  # likewise
    return signer.sign(prepared, own, whole, date=date, keys=keys) + own + head + b"\r\n" + whole


BOTH = ("r1", "e1")


@cache
def signer() -> Signer:
    return Signer(keys(*BOTH))


# --- what we write verifies -------------------------------------------------------------------------------------------

WORDS = {
    "en": "council budget harbour sensors reading the of a Monday “quoted” it's 100% = =20 a.b",
    "ru": "совет бюджет гавань датчики чтение понедельник «кавычки» ёлка — 12",
    "be": "рада бюджэт гавань чытанне панядзелак ўлада 'апостраф'",
    "he": "מועצה תקציב נמל קריאה יום שני 12",
    "zh": "议会 预算 港口 传感器 阅读 星期一",
    "emoji": "👩🏽‍🚀 🇧🇾 e\u0301 ﷽ \t \u200d . From",
}


def varied(number: int) -> bytes:
    """One of endlessly many messages: languages, lengths, encodings, names, and slots anywhere or nowhere."""
    dice = random.Random(number)
    words = WORDS[dice.choice(list(WORDS))].split(" ")

    def prose(count: int, between: str) -> str:
        return "".join(dice.choice(words) + dice.choice(between) * dice.choice((1, 1, 1, 2, 3)) for _ in range(count))

    def slotted(text: str) -> str:
        for _ in range(dice.choice((0, 1, 1, 2))):
            at = dice.randrange(len(text) + 1)
            text = text[:at] + SLOT_UNSUBSCRIBE + text[at:]
        return text

    headers = dataclasses.replace(
        HEADERS,
        subject=prose(dice.randrange(1, 30), " ") + "x",
        from_name=prose(dice.randrange(5), ' "'),
        list_name=prose(dice.randrange(8), " ,"),
        reply_to=dice.choice(("", "editors@example.org")),
        web_url=dice.choice(("", "https://news.example.org/" + "a" * dice.randrange(300))),
        feedback_id=dice.choice(("", HEADERS.feedback_id)),
        language=dice.choice(("en", "pt-BR")),
    )
    return message(
        signer(),
        headers,
        text=slotted(prose(dice.randrange(200), " \n")) + "\n" * dice.randrange(4),
        html=dice.choice((None, slotted("<p>" + prose(dice.randrange(300), " \n") + "</p>"))),
        name=prose(dice.randrange(6), ' ,"\\'),
        address=dice.choice(("reader@example.net", "o'hara+x@sub.example.net", "a" * 60 + "@example.net")),
        url="https://news.example.org/u/" + "".join(dice.choices("abcXYZ019_-=.", k=dice.randrange(1, 200))),
        date=DATE - timedelta(seconds=dice.randrange(10**8)),
    )


@pytest.mark.parametrize("hundred", range(10))
def test_a_thousand_varied_messages_verify_elsewhere(hundred: int) -> None:
    """Spec mail §1.4: RSA and Ed25519 signatures, judged by dkimpy; every line is one that servers leave alone."""
    for number in range(hundred * 100, hundred * 100 + 100):
        raw = varied(number)
        assert verifies(raw, zone(*BOTH), 2), number
        head = raw.partition(b"\r\n\r\n")[0]
        assert max(map(len, raw.split(b"\r\n"))) <= 998
        assert raw.isascii()
        signatures = head.partition(b"\r\nDate:")[0]
        assert max(map(len, signatures.split(b"\r\n"))) <= 78
        assert not re.search(rb"[ \t]\r\n", signatures)


TEXTS = st.text(alphabet=st.one_of(st.characters(), st.sampled_from("\n\n\n. FromЖ=\t\r \u00a0")), max_size=200)


@given(subject=TEXTS.map(lambda text: text + "x"), name=TEXTS, text=TEXTS, html=st.none() | TEXTS, slot=st.booleans())
def test_any_text_verifies(subject: str, name: str, text: str, html: str | None, slot: bool) -> None:
    """The bodies that we write need no canonicalisation, whatever stands in them."""
    headers = dataclasses.replace(HEADERS, subject=subject, list_name=name)
    raw = message(signer(), headers, text=text + SLOT_UNSUBSCRIBE * slot, html=html, name=name)
    assert verifies(raw, zone(*BOTH), 2)


@pytest.mark.parametrize(
    "text", ["", "\n", "\n\n\n", "a\n\n\n\n", f"{SLOT_UNSUBSCRIBE}\n\n", f"\n\n\n{SLOT_UNSUBSCRIBE}"]
)
def test_empty_lines_at_the_end_count_for_nothing(text: str) -> None:
    """RFC 6376 §3.4.4."""
    assert verifies(message(signer(), text=text, html=None), zone(*BOTH), 2)


def test_an_address_outside_ascii_verifies() -> None:
    """RFC 8616: a message that needs SMTPUTF8 is signed as the octets it has."""
    assert verifies(message(signer(), address="пётр@example.net"), zone(*BOTH), 2)


def test_a_whole_message_can_be_signed_by_itself() -> None:
    """`dispatch --to` sends one mail; its signature covers the same headers."""
    raw = message(None)
    signed = signer().signed(raw, from_address="news@example.org", date=DATE)
    assert signed.endswith(raw)
    assert verifies(signed, zone(*BOTH), 2)


def test_the_signature_says_what_is_signed() -> None:
    """Spec mail §1.4: every header we write, the dangerous ones once more than present, t= the Date, no l=."""
    raw = message(signer())
    names = [line.split(b":")[0].lower() for line in raw.partition(b"\r\n\r\n")[0].split(b"\r\n") if line[:1] != b" "]
    for signature in re.findall(rb"DKIM-Signature:((?:[^\r]|\r\n )*)\r\n(?! )", raw):
        tags = dict(tag.strip().split(b"=", 1) for tag in re.sub(rb"\r\n ", b"", signature).split(b";"))
        signed = tags[b"h"].replace(b" ", b"").split(b":")
        assert sorted(signed) == sorted([*(n for n in names if n != b"dkim-signature"), *OVERSIGNED])
        assert {b"list-unsubscribe", b"list-unsubscribe-post"} <= set(signed)
        assert (tags[b"v"], tags[b"c"], tags[b"d"]) == (b"1", b"relaxed/relaxed", b"example.org")
        assert tags[b"t"] == b"%d" % DATE.timestamp()
        assert set(tags) == {b"v", b"a", b"c", b"d", b"s", b"t", b"h", b"bh", b"b"}
    assert names.count(b"dkim-signature") == 2


def test_the_domain_of_the_from_address_signs_unless_another_is_set() -> None:
    assert b" d=example.org;" in message(signer())
    other = message(Signer(keys("r1"), domain="mail.example.com"))
    assert verifies(other, zone("r1", domain="mail.example.com"))


def test_many_threads_sign_at_once() -> None:
    """Signing runs ahead on threads (DESIGN §5), all of them from one prepared segment."""
    head, body = encode_segment(headers=HEADERS, text=TEXT, html=HTML)
    prepared = signer().prepare(head, body, from_address=HEADERS.from_address)

    def one(number: int) -> bytes:
        url = f"https://news.example.org/u/{number}"
        own = own_lines(
            address=f"r{number}@example.net",
            name="",
            date=DATE,
            message_id=f"<a.b{number}@example.org>",
            unsubscribe_url=url,
        )
        whole = splice(body, url)
        return signer().sign(prepared, own, whole, date=DATE) + own + head + b"\r\n" + whole

    with ThreadPoolExecutor(4) as pool:
        for raw in pool.map(one, range(60)):
            assert verifies(raw, zone(*BOTH), 2)


SLOT = SLOT_UNSUBSCRIBE.encode()


@pytest.mark.parametrize("end", [b"x\r\n", b"\r\n", b"\r\n" * 4, b"x" + b"\r\n" * 4])
@pytest.mark.parametrize("start", [b"", b"a\r\n", b"\r\n\r\n", SLOT + b"\r\n", b"a" * 5000 + b"\r\n" + SLOT + b"=\r\n"])
def test_a_body_in_pieces_is_signed_as_the_whole(start: bytes, end: bytes) -> None:
    """The outbox never puts a body together to hash it; empty lines at its end are not signed (RFC 6376 §3.4.4)."""
    url = "https://news.example.org/u/1"
    own = own_lines(address="r@example.net", name="", date=DATE, message_id="<a.b@example.org>", unsubscribe_url=url)
    for body in (start + end, start + b"b" * 3000 + b"\r\n" + SLOT + end, start + SLOT + b"\r\n" + end):
        head, whole = b"From: news@example.org\r\n", splice(body, url)
        prepared = signer().prepare(head, body, from_address="news@example.org")
        parts = fill(pieces(body), url)
        assert b"".join(parts) == whole
        signed = b"".join(each.signature() for each in signer().begin(prepared, own, parts, date=DATE))
        assert signed == signer().sign(prepared, own, whole, date=DATE)
        assert verifies(signed + own + head + b"\r\n" + whole, zone(*BOTH), 2), body


# --- nothing can be changed or added ----------------------------------------------------------------------------------


def changes(raw: bytes) -> Iterator[tuple[str, bytes]]:
    """The message with one thing changed, for each header and for many octets of the body."""
    head, _, body = raw.partition(b"\r\n\r\n")
    lines = re.split(rb"\r\n(?! )", head)
    for index, line in enumerate(lines):
        if line.startswith(b"DKIM-Signature"):
            continue
        name, _, value = line.partition(b":")
        for new in (name + b": x" + value.strip(), name + b":" + value[:-1], None):
            rest = [*lines[:index], *([new] if new is not None else []), *lines[index + 1 :]]
            yield f"{name!r} became {new!r}", b"\r\n".join(rest) + b"\r\n\r\n" + body
    for at in range(0, len(body), 7):
        if body[at] not in b"\r\n ":
            changed = body[:at] + bytes([body[at] ^ 1]) + body[at + 1 :]
            yield f"octet {at} of the body", head + b"\r\n\r\n" + changed
    yield "a shorter body", head + b"\r\n\r\n" + body[:-10] + b"\r\n"
    yield "a longer body", raw + b"more\r\n"


def test_any_change_breaks_every_signature() -> None:
    raw = message(signer(), name="Reader, A.")
    dns = zone(*BOTH)
    assert verifies(raw, dns, 2)
    tried = 0
    for what, changed in changes(raw):
        tried += 1
        assert [holds(changed, index, dns) for index in (0, 1)] == [False, False], what
    assert tried > 100


@pytest.mark.parametrize("name", [name.decode() for name in OVERSIGNED])
@pytest.mark.parametrize("top", [True, False])
def test_a_header_added_later_breaks_every_signature(name: str, top: bool) -> None:
    """RFC 6376 §8.15: a second From, Subject or List-Unsubscribe would otherwise be shown as ours."""
    raw = message(signer())
    line = f"{name}: added@example.com\r\n".encode()
    head, _, body = raw.partition(b"\r\n\r\n")
    changed = line + raw if top else head + b"\r\n" + line + b"\r\n" + body
    assert [holds(changed, index, zone(*BOTH)) for index in (0, 1)] == [False, False]


def test_what_servers_add_on_the_way_breaks_nothing() -> None:
    """Trace headers are not signed, and relaxed form forgives folding and spaces."""
    raw = b"Return-Path: <x@example.org>\r\nReceived: from a\r\n by b; Mon, 23 Nov 2026 07:00:06 +0000\r\n"
    raw += message(signer()).replace(b"Subject: Week", b"SUBJECT:   Week") + b"\r\n\r\n"
    assert verifies(raw, zone(*BOTH), 2)


def test_a_body_that_a_verifier_would_see_differently_is_refused() -> None:
    for body in (b"a  b\r\n", b"a \r\n", b"a\tb\r\n", b"a\nb\r\n", b"a\rb\r\n"):
        with pytest.raises(ValueError, match="cannot be signed as it stands"):
            signer().prepare(b"From: a@b.example\r\n", body, from_address="a@b.example")
    with pytest.raises(ValueError, match="occurs twice"):
        signer().prepare(b"From: a@b.example\r\nfrom: c@d.example\r\n", b"x\r\n", from_address="a@b.example")
    prepared = signer().prepare(b"From: a@b.example\r\n", b"x\r\n", from_address="a@b.example")
    with pytest.raises(ValueError, match="are not the headers"):
        signer().sign(prepared, b"Date: now\r\n", b"x\r\n", date=DATE)


# --- the same bytes for ever ------------------------------------------------------------------------------------------


def test_every_attempt_has_the_same_bytes() -> None:
    """M7, delivery §5.2: both algorithms are deterministic, and nothing of the moment goes in."""
    assert message(signer()) == message(Signer(keys(*BOTH)))


def test_signed_bytes_are_those_of_the_golden_file(update_golden: bool) -> None:
    """An accepted attempt and its repetition years of releases later must not differ."""
    fixed = []
    for name in ("rsa", "ed25519"):
        loaded = serialization.load_pem_private_key((DATA / f"{name}.pem").read_bytes(), None)
        assert isinstance(loaded, rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey)
        fixed.append(Key.of(f"golden-{name}", loaded))
    raw = message(Signer(fixed), name="Reader, A.")
    if update_golden:
        GOLDEN.write_bytes(raw)
    assert raw == GOLDEN.read_bytes()


def test_after_a_rotation_old_mail_keeps_its_signature() -> None:
    """Spec mail §1.4: the former key signs again what it signed first; what is new has the new key."""
    before = Signer(keys("r1", "e1"))
    after = Signer(keys("r2", "e1"), keys("r1"))
    assert (before.keys, after.keys) == ("r1+e1", "r2+e1")
    assert message(after, keys=before.keys) == message(before)
    assert message(after) == message(after, keys="r2+e1") != message(before)
    assert verifies(message(after), zone("r2", "e1"), 2)


def test_mail_first_sent_unsigned_stays_unsigned() -> None:
    assert message(signer(), keys="") == message(None)


def test_a_key_held_no_longer_gives_way_to_the_current_one() -> None:
    assert message(Signer(keys("r2")), keys="r1+e1") == message(Signer(keys("r2")))


# --- keys and their files ---------------------------------------------------------------------------------------------


def config(**dkim_table: object) -> Config:
    table = Dkim.model_validate(dkim_table)
    return Config(site=Site(title="Example", url="https://example.org/"), smtp=Smtp(embedded=True), dkim=table)


def written(folder: Path, name: str) -> Path:
    path = folder / "keys" / f"{name}.pem"
    write_key(path, key(name).pem)
    return path


def test_no_key_means_no_signer(tmp_path: Path) -> None:
    assert Signer.load(config()) is None


def test_the_configured_keys_sign(tmp_path: Path) -> None:
    """RSA first: verifiers that stop at the first signature know that one."""
    loaded = Signer.load(
        config(
            selector="r2",
            key_file=written(tmp_path, "r2"),
            former_selector="r1",
            former_key_file=written(tmp_path, "r1"),
            ed25519_selector="e1",
            ed25519_key_file=written(tmp_path, "e1"),
        )
    )
    assert loaded is not None
    assert loaded.keys == "r2+e1"
    assert message(loaded) == message(Signer(keys("r2", "e1")))
    assert message(loaded, keys="r1") == message(Signer(keys("r1")))


def test_all_keys_that_cannot_be_used_are_told_at_once(tmp_path: Path) -> None:
    """D10: better no start than mail that nobody believes."""
    open_to_all = written(tmp_path, "r1")
    open_to_all.chmod(0o644)
    wrong_kind = written(tmp_path, "r2")
    with pytest.raises(ConfigurationError) as caught:
        Signer.load(
            config(
                selector="a",
                key_file=open_to_all,
                former_selector="b",
                former_key_file=tmp_path / "none.pem",
                ed25519_selector="c",
                ed25519_key_file=wrong_kind,
            )
        )
    assert [(problem.key, problem.message, problem.hint) for problem in caught.value.problems] == [
        ("dkim.key_file", f"{open_to_all} can be read or replaced by others", f"chmod 600 {open_to_all}"),
        ("dkim.ed25519_key_file", f"{wrong_kind} is not a key of the type ed25519", ""),
        ("dkim.former_key_file", f"there is no file {tmp_path}/none.pem", "'publisher dkim-key new' makes one"),
    ]


def pem(private: object, password: bytes = b"") -> bytes:
    assert isinstance(private, rsa.RSAPrivateKey)
    cipher = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    return private.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, cipher)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (lambda: b"", "is not a private key in PEM without a password"),
        (lambda: b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "is not a private key"),
        (lambda: pem(private("r1"), b"secret"), "without a password"),
        (lambda: pem(rsa.generate_private_key(65537, 1024)), "has 1024 bits|is a key of 1024 bits"),
    ],
)
def test_a_file_that_is_no_fit_key_is_refused(tmp_path: Path, content: Callable[[], bytes], words: str) -> None:
    path = tmp_path / "key.pem"
    write_key(path, content())
    with pytest.raises(ConfigurationError, match=words):
        Signer.load(config(selector="a", key_file=path))


def test_a_key_is_written_for_its_owner_alone_and_never_replaced(tmp_path: Path) -> None:
    path = written(tmp_path, "r1")
    assert path.stat().st_mode & 0o777 == 0o600
    with pytest.raises(RefusedError, match="exists"):
        write_key(path, b"other")
    assert path.read_bytes() == key("r1").pem


def test_the_record_fits_the_strings_of_the_dns() -> None:
    """RFC 1035 §3.3: at most 255 octets each; together they are the record (RFC 7208 §3.3, RFC 6376 §3.6.2.2)."""
    strings = txt_strings(key("r1").record)
    assert [len(text) <= 255 for text in strings] == [True, True]
    assert "".join(strings) == key("r1").record == record(private("r1"))
    assert key("r1").record.startswith("v=DKIM1; k=rsa; p=MIIBIjANBgkq")
    tags: Mapping[str, str] = dict(tag.split("=", 1) for tag in key("e1").record.split("; "))
    assert (tags["k"], len(base64.b64decode(tags["p"]))) == ("ed25519", 32)


def test_nothing_shows_a_key() -> None:
    """Representations end in logs."""
    assert repr(keys("r1")[0]) == "Key('r1', 'rsa-sha256')"
    assert repr(key("e1")) == f"NewKey(record={key('e1').record!r})"


@given(
    values=st.tuples(*[st.text(st.sampled_from("aZ: \t"), max_size=9)] * 2),
    folded=st.booleans(),
    space=st.sampled_from([" ", "", "  ", "\t"]),
)
def test_own_headers_in_relaxed_form_are_the_same_by_the_short_way(
    values: tuple[str, str], *, folded: bool, space: str
) -> None:
    """Lines as we write them take a short cut, others do not; both lead to RFC 6376 §3.4.2."""
    fold = "\r\n " if folded else " "
    lines = f"Date:{space}{values[0]}\r\nTo:{space}x{fold}y{values[1]}\r\n".encode()
    names = ((b"Date: ", b"date:"), (b"To: ", b"to:"))
    assert _own_fields(lines, names) == b"".join(line for _, line in _fields(lines))
    with pytest.raises(ValueError, match="are not the headers"):
        _own_fields(lines, names[::-1])
    with pytest.raises(ValueError, match="are not the headers"):
        _own_fields(lines, names[:1])
