"""DKIM (RFC 6376): keys, and signatures over messages that are already in relaxed form because we wrote them so."""

from __future__ import annotations

import base64
import hashlib
import os
import re
import stat
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa

from publisher.config import Config
from publisher.config.places import Finding
from publisher.errors import ConfigurationError, RefusedError
from publisher.mail.message import OWN_NAMES, common_length
from publisher.mail.private import PrivateKey, Sign, exported, sign_of

if TYPE_CHECKING:
    from hashlib import _Hash

Kind = Literal["rsa", "ed25519"]

RSA_BITS = 2048
"""Length of new RSA keys, and the shortest we sign with: what mailbox providers ask for."""
MAX_RSA_BITS = 4096
"""The longest that every verifier accepts (RFC 8301 §3.2)."""
LINE = 76
TXT_STRING = 255
"""Octets of one string of a TXT record (RFC 1035 §3.3)."""

OVERSIGNED = (
    *(b"from", b"to", b"cc", b"subject", b"date", b"reply-to", b"message-id"),
    *(b"mime-version", b"content-type", b"content-transfer-encoding"),
    *(b"list-unsubscribe", b"list-unsubscribe-post", b"list-id", b"feedback-id", b"cfbl-address"),
)
"""Headers named once more than they occur, so that adding one breaks the signature (RFC 6376 §8.15)."""

_NOT_RELAXED = re.compile(rb"\t|  | \r\n|(?<!\r)\n|\r(?!\n)")
_KEYS_BETWEEN = "+"


@dataclass(frozen=True, slots=True, eq=False)
class Key:
    """A private key and the selector under which its public half stands in the DNS."""

    selector: str
    algorithm: str
    """As `a=` writes it."""
    record: str
    """The TXT record that belongs into the DNS."""
    sign: Sign
    """From the SHA-256 of the headers to the signature; the same signature for the same digest."""
    export: Callable[[], bytes]
    """The private key, for another process of ours that signs."""

    def __repr__(self) -> str:
        """Show nothing of the key: representations end in logs."""
        return f"Key({self.selector!r}, {self.algorithm!r})"

    @classmethod
    def of(cls, selector: str, private: PrivateKey) -> Key:
        """Return the key for a selector."""
        algorithm = "rsa-sha256" if isinstance(private, rsa.RSAPrivateKey) else "ed25519-sha256"
        return cls(selector, algorithm, record(private), sign_of(private), lambda: exported(private))


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """What all signatures of a segment have in common."""

    shared: int
    """Octets at the start of the body that are hashed already."""
    empty: int
    """Octets of empty lines at the body's end, which are not signed (RFC 6376 §3.4.4)."""
    body: _Hash
    head: _Hash
    own: tuple[tuple[bytes, bytes], ...]
    """How the headers begin that each reader has for himself, `Date: ` and in relaxed form `date:`."""
    openings: Mapping[str, tuple[bytes, bytes]]
    """By selector: the signature's header up to `t=`, as it is sent and as it is hashed."""


class Unsigned(NamedTuple):
    """A signature's header lines but for the signature itself, and what that has to sign."""

    key: Key
    lines: bytes
    digest: bytes

    def signature(self) -> bytes:
        """Return the lines with the signature, made here and now."""
        return self.signed(self.key.sign(self.digest))

    def signed(self, signature: bytes) -> bytes:
        """Return the lines with a signature made elsewhere."""
        value = base64.b64encode(signature)
        # The value is left out of what is signed, so folding it needs no second form.
        parts = b"\r\n ".join(value[start : start + LINE - 3] for start in range(0, len(value), LINE - 3))
        return b"%s\r\n b=%s\r\n" % (self.lines, parts)


class Signer:
    """Signs messages with the current keys, and with a former one what was first signed with it.

    Safe to use from many threads at once.
    """

    def __init__(self, current: Sequence[Key], former: Sequence[Key] = (), *, domain: str = "") -> None:
        """Remember the keys; `domain` "" signs for the domain of each message's From address."""
        self._current = tuple(current)
        self._known = {key.selector: key for key in (*former, *current)}
        self._domain = domain

    @classmethod
    def load(cls, config: Config) -> Signer | None:
        """Read the keys that `[dkim]` names; None when it names none.

        Raises ConfigurationError with all problems: a file that is missing, open to others, or no key of its kind.
        """
        dkim = config.dkim
        findings: list[Finding] = []

        def read(key: str, selector: str, path: Path | None, kind: Kind) -> list[Key]:
            if path is None:
                return []
            private = _read(path, kind)
            if isinstance(private, _Unfit):
                findings.append(Finding(("dkim", key), private.message, private.hint))
                return []
            return [Key.of(selector, private)]

        current = [
            *read("key_file", dkim.selector, dkim.key_file, "rsa"),
            *read("ed25519_key_file", dkim.ed25519_selector, dkim.ed25519_key_file, "ed25519"),
        ]
        former = read("former_key_file", dkim.former_selector, dkim.former_key_file, "rsa")
        if findings:
            raise ConfigurationError(config.places.problems(findings))
        return cls(current, former, domain=dkim.domain) if current else None

    @property
    def records(self) -> dict[str, str]:
        """The TXT record of each key that signs, by selector."""
        return {key.selector: key.record for key in self._known.values()}

    @property
    def keys(self) -> str:
        """What signs new messages, to be kept with a delivery so that every attempt has the same bytes."""
        return _KEYS_BETWEEN.join(key.selector for key in self._current)

    def prepare(self, head: bytes, body: bytes, *, from_address: str, own: Sequence[str] = OWN_NAMES) -> Prepared:
        """Do once what all readers of a segment share; `own` names the headers that each has for himself.

        Raises ValueError for a body that is not in relaxed form as it stands, or for a header that occurs twice.
        """
        if found := _NOT_RELAXED.search(body):
            raise ValueError(f"the body cannot be signed as it stands: {found[0]!r} at octet {found.start()}")
        fields = _fields(head)
        names = tuple(name.lower().encode() for name in own)
        present = [name for name, _ in fields] + list(names)
        if len(set(present)) < len(present):
            raise ValueError(f"a header occurs twice among {present}")
        end = _end(body)
        shared = min(common_length(body), end)
        signed = (*present, *OVERSIGNED)
        domain = self._domain or from_address.rpartition("@")[2].lower()
        return Prepared(
            shared=shared,
            empty=len(body) - end,
            body=hashlib.sha256(body[:shared]),
            head=hashlib.sha256(b"".join(line for _, line in fields)),
            own=tuple((name.encode() + b": ", name.lower().encode() + b":") for name in own),
            openings={selector: _opening(key, domain, signed) for selector, key in self._known.items()},
        )

    def sign(self, prepared: Prepared, own: bytes, body: bytes, *, date: datetime, keys: str | None = None) -> bytes:
        """Return the header lines that go in front of a message, one signature for each key; see `begin`."""
        return b"".join(each.signature() for each in self.begin(prepared, own, (body,), date=date, keys=keys))

    def begin(
        self, prepared: Prepared, own: bytes, body: Sequence[bytes], *, date: datetime, keys: str | None = None
    ) -> tuple[Unsigned, ...]:
        """Return what is to be signed with each key; none for `keys` "".

        `own` are the reader's own header lines, `body` the segment's with its slots filled, in pieces of which the
        first holds at least what stands before the first slot, `date` the message's Date.
        `keys` is what `Signer.keys` said at the first attempt, None for the current ones. A key that is held no longer
        gives way to the current ones: a signature nobody can verify would help nobody.
        """
        body_hash = prepared.body.copy()
        pieces: list[bytes | memoryview] = [memoryview(body[0])[prepared.shared :], *body[1:]]
        if prepared.empty:  # as many as before the slots were filled, because nothing is filled with nothing
            pieces[-1] = memoryview(pieces[-1])[: -prepared.empty]
        for piece in pieces:
            body_hash.update(piece)
        head_hash = prepared.head.copy()
        head_hash.update(_own_fields(own, prepared.own))
        middle = b"t=%d; bh=%s;" % (date.timestamp(), base64.b64encode(body_hash.digest()))
        return tuple(_unsigned(key, prepared, head_hash, middle) for key in self._chosen(keys))

    def signed(self, message: bytes, *, from_address: str, date: datetime, keys: str | None = None) -> bytes:
        """Return a whole message with its signature; for one mail, where there is nothing to share. `keys` as above."""
        own, _, body = message.partition(b"\r\n\r\n")
        own += b"\r\n"
        prepared = self.prepare(b"", body, from_address=from_address, own=[name.decode() for name, _ in _fields(own)])
        return self.sign(prepared, own, body, date=date, keys=keys) + message

    def _chosen(self, keys: str | None) -> Sequence[Key]:
        if keys is None:
            return self._current
        selectors = [selector for selector in keys.split(_KEYS_BETWEEN) if selector]
        return [self._known[s] for s in selectors] if all(s in self._known for s in selectors) else self._current


@dataclass(frozen=True, slots=True)
class NewKey:
    """A fresh key: the file's content, and what its TXT record says."""

    pem: bytes
    record: str

    def __repr__(self) -> str:
        """Show the public half alone."""
        return f"NewKey(record={self.record!r})"


def new_key(kind: Kind) -> NewKey:
    """Make a key."""
    private: PrivateKey
    if kind == "rsa":
        private = rsa.generate_private_key(public_exponent=65537, key_size=RSA_BITS)
    else:
        private = ed25519.Ed25519PrivateKey.generate()
    encoding = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return NewKey(private.private_bytes(*encoding), record(private))


def record(private: PrivateKey) -> str:
    """Return the TXT record that lets verifiers check this key's signatures (RFC 6376 §3.6.1, RFC 8463 §4)."""
    if isinstance(private, rsa.RSAPrivateKey):
        kind, encoding = "rsa", (serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    else:
        kind, encoding = "ed25519", (serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    public = base64.b64encode(private.public_key().public_bytes(*encoding)).decode("ascii")
    return f"v=DKIM1; k={kind}; p={public}"


def txt_strings(text: str) -> tuple[str, ...]:
    """Cut the text of a TXT record into the strings that it consists of."""
    return tuple(text[start : start + TXT_STRING] for start in range(0, len(text), TXT_STRING))


def write_key(path: Path, pem: bytes) -> None:
    """Write a private key that its owner alone can read. Raises RefusedError when the file exists already."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise RefusedError(f"{path} exists; a key that may have signed mail is not replaced") from None
    with os.fdopen(descriptor, "wb") as file:
        file.write(pem)
        file.flush()
        os.fsync(file.fileno())


@dataclass(frozen=True, slots=True)
class _Unfit:
    """Why a file is no key for us, and perhaps the way out."""

    message: str
    hint: str = ""


def _read(path: Path, kind: Kind) -> PrivateKey | _Unfit:
    make = "'publisher dkim-key new' makes one"
    try:
        if stat.S_IMODE(path.stat().st_mode) & 0o027:  # a group may read it: systemd and containers hand keys over so
            return _Unfit(f"{path} can be read or replaced by others", f"chmod 600 {path}")
        private = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except FileNotFoundError:
        return _Unfit(f"there is no file {path}", make)
    except OSError as error:
        return _Unfit(f"{path} cannot be read: {error.strerror or error}")
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return _Unfit(f"{path} is not a private key in PEM without a password", make)
    if kind == "ed25519" and isinstance(private, ed25519.Ed25519PrivateKey):
        return private
    if kind == "rsa" and isinstance(private, rsa.RSAPrivateKey):
        if RSA_BITS <= private.key_size <= MAX_RSA_BITS:
            return private
        return _Unfit(f"{path} is a key of {private.key_size} bits; it must have {RSA_BITS} to {MAX_RSA_BITS}")
    return _Unfit(f"{path} is not a key of the type {kind}")


def _fields(lines: bytes) -> list[tuple[bytes, bytes]]:
    """Return name and relaxed form (RFC 6376 §3.4.2) of each header, as our own writer writes them: CRLF, no tabs."""
    fields = []
    for line in lines.replace(b"\r\n ", b" ").split(b"\r\n"):
        if line:
            name, _, value = line.partition(b":")
            fields.append((name.lower(), b"%s:%s\r\n" % (name.lower(), b" ".join(value.split()))))
    return fields


def _own_fields(lines: bytes, names: Sequence[tuple[bytes, bytes]]) -> bytes:
    """Return the relaxed form of a reader's own header lines, see `Prepared.own`. Raises ValueError for other lines."""
    unfolded = lines.replace(b"\r\n ", b" ")
    fields = unfolded.split(b"\r\n")
    begun = len(fields) == len(names) + 1 and all(
        field.startswith(start) for field, (start, _) in zip(fields, names, strict=False)
    )
    if begun and b"  " not in unfolded and b" \r\n" not in unfolded and b"\t" not in unfolded:  # nearly all are so
        relaxed = [name + field[len(start) :] for field, (start, name) in zip(fields, names, strict=False)]
        return b"\r\n".join((*relaxed, b""))
    found = _fields(lines)
    if [name + b":" for name, _ in found] != [name for _, name in names]:
        raise ValueError(f"{[name for name, _ in found]} are not the headers {[name for _, name in names]}")
    return b"".join(line for _, line in found)


def _end(body: bytes) -> int:
    """Return the length of a body without the empty lines at its end, which relaxed form leaves out (§3.4.4)."""
    if not body.endswith(b"\r\n\r\n") and body != b"\r\n":
        return len(body)
    content = len(body.rstrip(b"\r\n"))
    return content + 2 if content else 0


def _opening(key: Key, domain: str, names: Sequence[bytes]) -> tuple[bytes, bytes]:
    """Return the start of a signature's header, folded for the wire and in relaxed form."""
    lines = [f"DKIM-Signature: v=1; a={key.algorithm}; c=relaxed/relaxed; d={domain};", f"s={key.selector};"]
    listed = "h="
    for number, name in enumerate(names):
        word = name.decode("ascii") + (":" if number + 1 < len(names) else ";")
        if len(listed) + len(word) > LINE - 1:
            lines.append(listed)
            listed = ""
        listed += word
    lines.append(listed)
    folded = "\r\n ".join(lines) + "\r\n "
    relaxed = "dkim-signature:" + " ".join(lines).removeprefix("DKIM-Signature: ") + " "
    return folded.encode("ascii"), relaxed.encode("ascii")


def _unsigned(key: Key, prepared: Prepared, head_hash: _Hash, middle: bytes) -> Unsigned:
    folded, relaxed = prepared.openings[key.selector]
    signed = head_hash.copy()
    signed.update(b"%s%s b=" % (relaxed, middle))
    return Unsigned(key, folded + middle, signed.digest())
