"""E-mail addresses: a strict grammar, domains as A-labels, and the key by which one person has one address."""

from __future__ import annotations

import functools
import re
import unicodedata
from typing import NamedTuple

import idna

MAX_LENGTH = 254
"""Octets of a whole address: RFC 5321 §4.5.3.1.3 allows a path of 256 with its angle brackets."""
MAX_LOCAL = 64
"""Octets of a local part, RFC 5321 §4.5.3.1.1."""
MAX_DOMAIN = 253

# RFC 5322 atext without "%" and "!": both once routed mail through third parties, and no mailbox of today needs them.
_ATEXT = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789#$&'*+-/=?^_`{|}~")
_USUAL = re.compile(r"[\w#$&'*+\-/=?^`{|}~.]+", re.ASCII)
_PLAIN = re.compile(r"(?=.{1,64}\Z)[a-z0-9_+-]+(?:\.[a-z0-9_+-]+)*", re.IGNORECASE | re.ASCII)
_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\Z")


class Address(NamedTuple):
    """A valid address."""

    address: str
    """For sending: the local part as typed, the domain as lower-case A-labels."""
    key: str
    """For comparing: spellings of one mailbox share it; hardly any server tells the case of a local part apart."""

    @property
    def domain(self) -> str:
        """The domain as A-labels."""
        return self.address.rpartition("@")[2]

    @property
    def needs_smtputf8(self) -> bool:
        """Whether only a server that offers SMTPUTF8 (RFC 6531) can take it."""
        return not self.address.isascii()


def parse(text: str) -> Address:
    """Return the address, or raise ValueError saying in one sentence what is wrong with it.

    One bare address: no display name, comment, quoted string, route, address literal or surrounding space.
    """
    if len(text) > MAX_LENGTH:
        raise ValueError(f"an e-mail address has at most {MAX_LENGTH} characters")
    local, at, domain = text.rpartition("@")
    if _PLAIN.fullmatch(local) and domain.isascii():  # nearly all there are
        address = f"{local}@{to_ascii(domain)}"
        return Address(address, address.lower())
    if not at:
        raise ValueError("an e-mail address has the form name@domain")
    _check_local(local)
    ascii_domain = to_ascii(domain)
    address = f"{local}@{ascii_domain}"
    if len(address.encode()) > MAX_LENGTH:
        raise ValueError(f"an e-mail address has at most {MAX_LENGTH} octets")
    if local.isascii():
        return Address(address=address, key=f"{local.lower()}@{ascii_domain}")
    # NFKC, so that full-width or ligature spellings of one name are one person.
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", local).casefold())
    return Address(address=address, key=f"{folded}@{ascii_domain}")


def masked(address: str) -> str:
    """Return an address so that its owner knows it and nobody else learns it: `a***@e***.org`."""
    local, _, domain = address.rpartition("@")
    name, _, last = domain.rpartition(".")
    return f"{local[:1]}***@{name[:1]}***.{last}"


@functools.lru_cache(maxsize=4096)  # a list of a million people has few thousand domains
def to_ascii(domain: str) -> str:
    """Return a domain of two labels or more as lower-case A-labels (IDNA 2008, UTS 46); raise ValueError."""
    name = domain.lower() if domain.isascii() else _alabels(domain)
    labels = name.split(".")
    if len(name) > MAX_DOMAIN or not all(_LABEL.match(label) for label in labels):
        raise ValueError(f"{domain!r} is not a valid domain")
    if any(label.startswith("xn--") for label in labels) and _alabels(name) != name:
        raise ValueError(f"{domain!r} is not a valid domain")
    if len(labels) < 2 or labels[-1].isdigit():
        # A single label reaches only this machine; digits at the end are an IPv4 address.
        raise ValueError(f"{domain!r} is not a public domain such as example.org")
    return name


def _alabels(domain: str) -> str:
    try:
        # The standard library's codec is IDNA 2003: it turns faß.de into fass.de, which is somebody else's domain.
        return idna.encode(domain, uts46=True, std3_rules=True).decode("ascii")
    except (idna.IDNAError, UnicodeError) as error:
        raise ValueError(f"{domain!r} is not a valid domain: {error}") from None


def _check_local(local: str) -> None:
    if not local:
        raise ValueError("the part before the @ is missing")
    if len(local.encode("utf-8", "surrogatepass")) > MAX_LOCAL:
        raise ValueError(f"the part before the @ has at most {MAX_LOCAL} octets")
    if local.startswith(".") or local.endswith(".") or ".." in local:
        raise ValueError("dots before the @ stand between other characters")
    if _USUAL.fullmatch(local):
        return
    for character in local:
        if character != "." and character not in _ATEXT and not _is_word(character):
            raise ValueError(f"{character!r} cannot stand before the @")
    if unicodedata.normalize("NFC", local) != local:
        raise ValueError("the part before the @ is not in Unicode normal form C")


def _is_word(character: str) -> bool:
    """Whether it is a letter, mark or number outside ASCII; RFC 6531 allows more, but invisible signs deceive."""
    return not character.isascii() and unicodedata.category(character)[0] in "LMN"
