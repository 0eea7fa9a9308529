"""Addresses: a strict grammar, the right domain, one key for one mailbox."""

from __future__ import annotations

from email import headerregistry

import pytest
from hypothesis import given
from hypothesis import strategies as st

from publisher.addresses import Address, parse, to_ascii


@pytest.mark.parametrize(
    ("text", "address", "key"),
    [
        ("reader@example.org", "reader@example.org", "reader@example.org"),
        ("Anna.Maria+news@Example.ORG", "Anna.Maria+news@example.org", "anna.maria+news@example.org"),
        ("o'hara/x=y@sub.example.co.uk", "o'hara/x=y@sub.example.co.uk", "o'hara/x=y@sub.example.co.uk"),
        ("a@faß.de", "a@xn--fa-hia.de", "a@xn--fa-hia.de"),
        ("a@XN--FA-HIA.de", "a@xn--fa-hia.de", "a@xn--fa-hia.de"),
        ("редактор@почта.рф", "редактор@xn--80a1acny.xn--p1ai", "редактор@xn--80a1acny.xn--p1ai"),
        ("РЕДАКТОР@ПОЧТА.РФ", "РЕДАКТОР@xn--80a1acny.xn--p1ai", "редактор@xn--80a1acny.xn--p1ai"),
        ("ａbc@example.org", "ａbc@example.org", "abc@example.org"),
        ("a@bücher。example", "a@xn--bcher-kva.example", "a@xn--bcher-kva.example"),
    ],
)
def test_an_address_keeps_its_local_part_and_gets_an_ascii_domain(text: str, address: str, key: str) -> None:
    """F1, F2: sent as typed, compared folded; `faß.de` is not `fass.de`."""
    assert parse(text) == Address(address=address, key=key)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "reader",
        "@example.org",
        "reader@",
        "reader@localhost",
        "reader@192.0.2.1",
        "reader@[192.0.2.1]",
        "reader@[IPv6:::1]",
        "a@b@example.org",
        "a b@example.org",
        " a@example.org",
        "a@example.org ",
        "a@example.org\r\nBcc: x@example.net",
        "a\r\n@example.org",
        "a\x00@example.org",
        "a@exa\x00mple.org",
        '"a b"@example.org',
        "a(comment)@example.org",
        "Anna <a@example.org>",
        "<a@example.org>",
        "<>",
        "@relay.example,@b.example:a@example.org",
        "user%host@example.org",
        "host!user@example.org",
        "=?utf-8?q?a?=@exa mple.org",
        ".a@example.org",
        "a.@example.org",
        "a..b@example.org",
        "a@example..org",
        "a@.example.org",
        "a@example.org.",
        "a@-example.org",
        "a@ex_ample.org",
        "a@xn--zz.org",
        "a@☃.example",
        "a\u200b@example.org",
        "a\u202e@example.org",
        "a\ud800@example.org",
        "e\u0301@example.org",
        "a" * 65 + "@example.org",
        "я" * 33 + "@example.org",
        "a@" + "b" * 64 + ".org",
        "a@" + "b.org." * 60 + "org",
        "a" * 60 + "@" + "b" * 60 + "." + "c" * 60 + "." + "d" * 60 + "." + "e" * 15 + ".org",
    ],
)
def test_what_is_not_one_plain_public_address_is_refused(text: str) -> None:
    """F1: quotes, comments, routes, literals, control characters, wrong lengths."""
    with pytest.raises(ValueError, match=r"\w"):
        parse(text)


def test_whether_a_server_must_offer_smtputf8_is_known() -> None:
    """Only a local part can need it: domains are ASCII by then."""
    assert not parse("a@faß.de").needs_smtputf8
    assert parse("я@example.org").needs_smtputf8
    assert parse("a@faß.de").domain == "xn--fa-hia.de"


def test_a_domain_alone_becomes_ascii() -> None:
    """The configuration's domains pass the same door."""
    assert to_ascii("Почта.рф") == "xn--80a1acny.xn--p1ai"


@given(st.text(max_size=300))
def test_any_text_is_an_address_or_a_value_error(text: str) -> None:
    """A parser of foreign input; what it takes is stable, single-line and within the limits."""
    try:
        address = parse(text)
    except ValueError:
        return
    assert parse(address.address) == address
    assert len(address.address.encode()) <= 254
    assert address.address.isprintable()


@given(
    st.from_regex(r"[a-zA-Z0-9.+_-]{1,20}", fullmatch=True),
    st.sampled_from(["example.org", "EXAMPLE.org", "faß.de", "Почта.рф"]),
)
def test_spellings_of_one_mailbox_share_a_key(local: str, domain: str) -> None:
    """F2: case does not make a second reader."""
    try:
        key = parse(f"{local}@{domain}").key
    except ValueError:
        return
    assert {parse(f"{local.upper()}@{domain}").key, parse(f"{local.lower()}@{domain.lower()}").key} == {key}


@given(
    st.from_regex(r"[!-~ ]{1,24}@[!-~]{1,24}", fullmatch=True)
    | st.from_regex(r"[a-z.+'%!\"(<]{1,9}@[a-z.-]{1,12}\.org")
)
def test_what_we_take_the_standard_library_reads_the_same(text: str) -> None:
    """Differential (spec delivery §7.2): we may be stricter than `email.headerregistry`, never more lenient."""
    try:
        ours = parse(text).address
    except ValueError:
        return
    theirs = headerregistry.Address(addr_spec=text)
    assert f"{theirs.username}@{theirs.domain.lower()}" == ours
