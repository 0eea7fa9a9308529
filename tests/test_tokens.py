"""Tokens: short links that only our keys can make."""

from __future__ import annotations

import base64
import re
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from publisher.errors import ConfigurationError
from publisher.tokens import Keyring, bounce_address, unsubscribe_url

KEY, OTHER = bytes(range(32)), bytes(range(32, 64))
RING = Keyring([KEY])
BOUNCE = "b5beatatbz5lh4z47cjdnmpipcznuji"


@given(st.integers(min_value=0, max_value=2**63 - 1))
def test_a_token_gives_back_its_subscription(number: int) -> None:
    """At most 32 characters of base64url, whatever the number."""
    token = RING.unsubscribe_token(number)
    assert RING.read_unsubscribe(token) == number
    assert len(token) <= 32
    assert set(token) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")


def test_a_token_is_the_same_for_ever() -> None:
    """Stateless, and part of bytes that every attempt repeats: this value may never change (F13)."""
    assert RING.unsubscribe_token(1_000_000) == "D0JA1o4zMJaRb-72J4WvaEW5Ow"


def test_a_link_fits_on_a_header_line() -> None:
    """H1: a URI of at most 60 characters keeps `List-Unsubscribe: <…>` within 80."""
    url = unsubscribe_url("https://news.example.org/", RING.unsubscribe_token(16_000_000))
    assert url.startswith("https://news.example.org/u/")
    assert len(url) <= 60


@pytest.mark.parametrize("where", range(26))
def test_a_token_with_any_character_changed_is_nobodys(where: int) -> None:
    """F12: bit-flipped."""
    token = RING.unsubscribe_token(1_000_000)
    wrong = token[:where] + ("A" if token[where] != "A" else "B") + token[where + 1 :]
    assert RING.read_unsubscribe(wrong) is None


def test_a_token_has_one_spelling() -> None:
    """The spare bits of base64 and leading zeros of the number would make more."""
    token = RING.unsubscribe_token(7)
    raw = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    twins = [
        token[:-1] + letter
        for letter in alphabet
        if base64.urlsafe_b64decode(token[:-1] + letter + "=" * (-len(token) % 4)) == raw
    ]
    assert len(twins) > 1
    assert [RING.read_unsubscribe(twin) for twin in twins if twin != token] == [None] * (len(twins) - 1)


@given(st.one_of(st.text(max_size=60), st.binary(max_size=40).map(lambda raw: base64.urlsafe_b64encode(raw).decode())))
def test_no_text_reads_as_a_token_by_chance(text: str) -> None:
    """F12: truncated, huge, NUL, other alphabets: None, never an exception."""
    assert RING.read_unsubscribe(text) is None


@pytest.mark.parametrize("text", ["A" * 10_000_000, "\x00" * 24, "é" * 24, "", "=" * 24, "ab cd" * 5])
def test_hostile_tokens_are_nobodys(text: str) -> None:
    """F12."""
    assert RING.read_unsubscribe(text) is None


@given(st.integers(min_value=0, max_value=2**63 - 1))
def test_a_bounce_gives_back_its_delivery(number: int) -> None:
    """H14: a local part of at most 64 octets that survives servers which change the case of letters."""
    token = RING.bounce_token(number)
    assert RING.read_bounce(token) == RING.read_bounce(token.upper()) == number
    local, at, domain = bounce_address(token, "bounces.example.org").partition("@")
    assert (local, at, domain) == (f"b+{token}", "@", "bounces.example.org")
    assert len(local) <= 64
    assert set(token) <= set("abcdefghijklmnopqrstuvwxyz234567")


@pytest.mark.parametrize("where", range(31))
def test_a_bounce_with_any_character_changed_is_nobodys(where: int) -> None:
    """H14: forged bounces must not suppress anybody; spare bits give no second spelling."""
    token = RING.bounce_token(1_000_000)
    assert len(token) == 31
    twins = [token[:where] + letter + token[where + 1 :] for letter in "abcdefghijklmnopqrstuvwxyz234567"]
    assert [RING.read_bounce(twin) for twin in twins if twin != token] == [None] * 31


@given(st.one_of(st.text(max_size=60), st.binary(max_size=40).map(lambda raw: base64.b32encode(raw).decode())))
def test_no_text_reads_as_a_bounce_by_chance(text: str) -> None:
    assert RING.read_bounce(text) is None


def test_a_token_serves_one_purpose() -> None:
    """Who may leave cannot forge a bounce, and the other way round; the value may never change."""
    assert RING.bounce_token(1_000_000) == BOUNCE
    bounce = base64.b32decode(BOUNCE.upper() + "=")
    leave = base64.urlsafe_b64decode(RING.unsubscribe_token(1_000_000) + "==")
    assert RING.read_unsubscribe(base64.urlsafe_b64encode(bounce).rstrip(b"=").decode()) is None
    assert RING.read_bounce(base64.b32encode(leave).rstrip(b"=").decode()) is None
    assert (RING.read_bounce(RING.unsubscribe_token(5)), RING.read_unsubscribe(RING.bounce_token(5))) == (None, None)
    assert Keyring([OTHER, KEY]).read_bounce(BOUNCE) == 1_000_000
    assert Keyring([OTHER]).read_bounce(BOUNCE) is None


def test_links_in_old_mail_outlive_a_rotation_of_keys() -> None:
    """F13: the new key signs, both verify; a ring without the old key knows nothing."""
    token = RING.unsubscribe_token(5)
    rotated = Keyring([OTHER, KEY])
    assert rotated.read_unsubscribe(token) == 5
    assert rotated.unsubscribe_token(5) == Keyring([OTHER]).unsubscribe_token(5) != token
    assert Keyring([OTHER]).read_unsubscribe(token) is None


def test_a_rotation_reaches_everybody_who_holds_the_ring_and_old_mail_stays_as_it_was() -> None:
    """F13, P2: what was sent before is signed again by its own key, by name; a key that is gone leaves the first."""
    ring = Keyring([KEY])
    before, name = ring.unsubscribe_token(5), ring.current
    held = ring
    ring.adopt(Keyring([OTHER, KEY]))
    assert held.unsubscribe_token(5) == Keyring([OTHER]).unsubscribe_token(5) != before
    assert held.unsubscribe_token(5, name) == before
    assert held.unsubscribe_token(5, "00000000") == held.unsubscribe_token(5, "") == held.unsubscribe_token(5)
    assert (held.current, len(held)) == (Keyring([OTHER]).current, 2)
    assert re.fullmatch("[0-9a-f]{8}", name)
    assert name not in KEY.hex()


def test_the_key_file_is_made_once_and_for_its_owner_alone(tmp_path: Path) -> None:
    """First start writes what it is given, later starts read it; a comment says how to rotate."""
    path = tmp_path / "data" / "secret.key"
    first = Keyring.load_or_create(path, KEY)
    again = Keyring.load_or_create(path, OTHER)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert again.unsubscribe_token(3) == first.unsubscribe_token(3) == RING.unsubscribe_token(3)
    assert [entry.name for entry in path.parent.iterdir()] == ["secret.key"]


def test_a_rotated_key_file_signs_with_its_first_key(tmp_path: Path) -> None:
    """Lines from the top: the new key, then the old ones."""
    path = tmp_path / "secret.key"
    path.write_text(f"# comment\n{OTHER.hex()}\n\n{KEY.hex()}\n")
    path.chmod(0o600)
    ring = Keyring.load(path)
    assert ring.unsubscribe_token(9) == Keyring([OTHER]).unsubscribe_token(9)
    assert ring.read_unsubscribe(RING.unsubscribe_token(9)) == 9


@pytest.mark.parametrize(
    ("content", "mode", "words"),
    [
        ("", 0o600, "holds no key"),
        ("# nothing but a comment\n", 0o600, "holds no key"),
        ("abc\n", 0o600, "hexadecimal"),
        (KEY.hex() + "0\n", 0o600, "hexadecimal"),
        (KEY.hex(), 0o644, "other users"),
        ("ключ", 0o600, "cannot be read"),
    ],
)
def test_a_key_file_that_cannot_be_trusted_is_refused(tmp_path: Path, content: str, mode: int, words: str) -> None:
    """D10: better no start than links that nobody can use, or that everybody can forge."""
    path = tmp_path / "secret.key"
    path.write_text(content)
    path.chmod(mode)
    with pytest.raises(ConfigurationError, match=words):
        Keyring.load_or_create(path, KEY)


def test_a_ring_shows_no_key() -> None:
    """Representations end in logs."""
    assert repr(RING) == "Keyring(1 keys)"
    with pytest.raises(ValueError, match="32 octets"):
        Keyring([b"short"])
