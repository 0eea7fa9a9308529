"""Links that prove themselves: short signed tokens, and the ring of keys that signs them."""

from __future__ import annotations

import base64
import binascii
import functools
import hashlib
import hmac
import os
import re
import stat
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path

from publisher.errors import ConfigurationError, Problem

MIN_KEY = 32
"""Octets of a key at least: as long as the hash it feeds."""
MAC_LENGTH = 16
"""Octets of a token's signature: 128 bits, in 22 characters of a link that should stay below 60."""
MAX_TOKEN = 32
"""Characters of the longest token: 8 octets of number and the signature in base64."""

_TOKEN = re.compile(r"[A-Za-z0-9_-]{23,32}\Z")
_BOUNCE_TOKEN = re.compile(r"[A-Za-z2-7]{28,39}\Z")
_KEY_LINE = re.compile(r"[0-9a-f]{64,}\Z")
_HEADER = (
    "# Signs the links in mail. The first key signs, all verify; to rotate, put a new one on top and keep the others.\n"
)
_PEPPER_HEADER = "# Tells erased people apart without their addresses. Never change it: nobody would be known again.\n"


class Purpose(StrEnum):
    """What a link does; its token is good for nothing else."""

    UNSUBSCRIBE = "unsubscribe"  # names a subscription; lies in every mail and lives for ever
    CONFIRM = "confirm"  # these name a row of the table of links, which says how long they live
    MANAGE = "manage"
    ADDRESS = "address"
    FORM = "form"  # names the second in which a form was shown


class Keyring:
    """Keys for stateless tokens: the first signs, all verify, so that links in old mail outlive a rotation (F13)."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        if not keys or any(len(key) < MIN_KEY for key in keys):
            raise ValueError(f"a key ring holds at least one key, each of at least {MIN_KEY} octets")
        self._keys = tuple(keys)

    def __len__(self) -> int:
        return len(self._keys)

    def adopt(self, other: Keyring) -> None:
        """Go by another ring's keys from now on, for everybody who holds this one."""
        self._keys = other._keys  # one step: whoever signs at this moment uses the old ring or the new one

    @property
    def current(self) -> str:
        """The name of the key that signs, 8 hexadecimal digits that tell nothing of the key itself."""
        return _name(self._keys[0])

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all keys, in the order of the file."""
        return tuple(_name(key) for key in self._keys)

    def __repr__(self) -> str:
        """Show no key: representations end in logs."""
        return f"Keyring({len(self._keys)} keys)"

    @classmethod
    def load(cls, path: Path) -> Keyring:
        """Read a key file. Raises ConfigurationError when it is readable by others, unreadable or not a key file."""
        return cls(_read_keys(path))

    @classmethod
    def load_or_create(cls, path: Path, fresh: bytes) -> Keyring:
        """Read the key file; when there is none, write one that holds `fresh` (random octets from the caller)."""
        if not path.exists():
            cls([fresh])  # raises for a key that is too short
            _write_new(path, f"{_HEADER}{fresh.hex()}\n")
        return cls.load(path)

    def token(self, purpose: Purpose, number: int, key: str = "") -> str:
        """Return the token, 23 to 32 characters of base64url, that stands for a number and one purpose.

        `key`: the name of the key that signs, so that a mail sent again after a rotation has the same bytes (P2);
        without one, or for one that is gone, the ring's first.
        """
        chosen = self._keys[0]
        if key and key != _name(chosen):
            chosen = next((own for own in self._keys if _name(own) == key), chosen)
        return _base64(_signed(chosen, purpose, number))

    def read(self, purpose: Purpose, token: str) -> int | None:
        """Return the number, or None for anything that this ring did not sign for this purpose (F12)."""
        return self._verify(purpose, token)

    def unsubscribe_token(self, subscription_id: int, key: str = "") -> str:
        """Return the token that ends one subscription and does nothing else; `key` as for any token."""
        return self.token(Purpose.UNSUBSCRIBE, subscription_id, key)

    def read_unsubscribe(self, token: str) -> int | None:
        """Return the subscription's id, or None for anything that this ring did not sign for this purpose (F12)."""
        return self._verify("unsubscribe", token)

    def bounce_token(self, delivery_id: int) -> str:
        """Return the token, 28 to 39 lower-case letters and digits, that says which delivery came back, and no more."""
        return _base32(_signed(self._keys[0], "bounce", delivery_id))

    def read_bounce(self, token: str) -> int | None:
        """Return the delivery's id, or None for anything that this ring did not sign for this purpose.

        Upper and lower case are the same: some servers change the case of addresses (H14).
        """
        if not _BOUNCE_TOKEN.match(token):
            return None
        try:
            raw = base64.b32decode(token + "=" * (-len(token) % 8), casefold=True)
        except binascii.Error:
            return None
        number = self._read("bounce", raw)
        return number if number is not None and _base32(raw) == token.lower() else None

    def _verify(self, purpose: str, token: str) -> int | None:
        if not _TOKEN.match(token):
            return None
        try:
            raw = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
        except binascii.Error:
            return None
        number = self._read(purpose, raw)
        # One spelling only: base64 leaves spare bits.
        return number if number is not None and _base64(raw) == token else None

    def _read(self, purpose: str, raw: bytes) -> int | None:
        payload, mac = raw[:-MAC_LENGTH], raw[-MAC_LENGTH:]
        # Every key is tried, so that the time tells neither whether nor which one matched.
        matches = [hmac.compare_digest(mac, _mac(key, purpose, payload)) for key in self._keys]
        # A number has one spelling: no leading zeros.
        canonical = len(payload) == 1 or not payload.startswith(b"\0")
        return int.from_bytes(payload, "big") if any(matches) and canonical else None


class Pepper:
    """The key of the hashes by which erased people are known again; it is never changed, or nobody would be."""

    def __init__(self, key: bytes) -> None:
        if len(key) < MIN_KEY:
            raise ValueError(f"a pepper has at least {MIN_KEY} octets")
        self._key = key

    @property
    def name(self) -> str:
        """The name of the key, 8 hexadecimal digits that tell nothing of the key itself."""
        return _name(self._key)

    def __repr__(self) -> str:
        """Show no key: representations end in logs."""
        return "Pepper()"

    @classmethod
    def load_or_create(cls, path: Path, fresh: bytes) -> Pepper:
        """Read the key file, written with `fresh` when there is none. Raises ConfigurationError as `Keyring.load`."""
        if not path.exists():
            cls(fresh)  # raises for a key that is too short
            _write_new(path, f"{_PEPPER_HEADER}{fresh.hex()}\n")
        keys = _read_keys(path)
        if len(keys) != 1:
            raise _problem(path, "the file holds more than one key", "keep the oldest: this key is never changed")
        return cls(keys[0])

    def hash(self, text: str) -> str:
        """Return 64 hexadecimal digits that stand for a text, and tell it to nobody."""
        return hmac.digest(self._key, text.encode("utf-8", "surrogatepass"), hashlib.sha256).hex()


def rotate(path: Path, fresh: bytes) -> int:
    """Put a new key on top of a key file, whole or not at all, and keep the others; returns how many there are now.

    Links signed by the others work on: whoever holds a mail of three years ago can leave with it (F13).
    """
    keys = [fresh, *(key for key in _read_keys(path) if key != fresh)]
    ring = Keyring(keys)  # raises for a key that is too short
    _replace(path, _HEADER + "".join(f"{key.hex()}\n" for key in keys))
    return len(ring)


def bounce_address(token: str, domain: str) -> str:
    """Return the envelope sender of one delivery: what comes back to it names the delivery (VERP)."""
    return f"b+{token}@{domain}"


def unsubscribe_url(public_url: str, token: str) -> str:
    """Return the address that ends a subscription: a page for people, one click for mail programs."""
    return f"{public_url.rstrip('/')}/u/{token}"


def _read_keys(path: Path) -> list[bytes]:
    try:
        mode = path.stat().st_mode
        lines = path.read_text("ascii").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise _problem(path, f"the key file cannot be read: {error}") from None
    if stat.S_IMODE(mode) & 0o077:
        raise _problem(path, "the key file can be read by other users", f"chmod 600 {path}")
    keys = []
    for number, line in enumerate(lines, start=1):
        if not line or line.startswith("#"):
            continue
        if not _KEY_LINE.match(line) or len(line) % 2:
            raise _problem(path, f"a key is {2 * MIN_KEY} or more lower-case hexadecimal digits", line=number)
        keys.append(bytes.fromhex(line))
    if not keys:
        raise _problem(path, "the key file holds no key", "restore it: without it the links in sent mail die")
    return keys


def _base64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode("ascii")


def _base32(raw: bytes) -> str:
    return base64.b32encode(raw).rstrip(b"=").decode("ascii").lower()


@functools.lru_cache(maxsize=32)  # asked for every message, of the few keys of a ring
def _name(key: bytes) -> str:
    return hmac.digest(key, b"name", hashlib.sha256)[:4].hex()


def _signed(key: bytes, purpose: str, number: int) -> bytes:
    payload = number.to_bytes(max(1, (number.bit_length() + 7) // 8), "big")
    return payload + _mac(key, purpose, payload)


def _mac(key: bytes, purpose: str, payload: bytes) -> bytes:
    mac = _begun(key, purpose).copy()
    mac.update(payload)
    return mac.digest()[:MAC_LENGTH]


@functools.lru_cache(maxsize=64)  # for every message, of a few keys and purposes; `hmac.digest` gives up the lock, too
def _begun(key: bytes, purpose: str) -> hmac.HMAC:
    return hmac.new(key, purpose.encode() + b"\0", hashlib.sha256)


def _problem(path: Path, message: str, hint: str = "", line: int | None = None) -> ConfigurationError:
    return ConfigurationError((Problem(str(path), line, "", message, hint),))


def _write_new(path: Path, text: str) -> None:
    """Write a file that only its owner reads, whole or not at all; a file made meanwhile by somebody else stays."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = _write_draft(path, text)
    try:
        os.link(draft, path)  # unlike rename, refuses to replace a key that signed links already
    except FileExistsError:
        return
    finally:
        draft.unlink()
    _sync(path.parent)


def _replace(path: Path, text: str) -> None:
    """Write a file that only its owner reads in the place of another, whole or not at all."""
    draft = _write_draft(path, text)
    draft.replace(path)
    _sync(path.parent)


def _write_draft(path: Path, text: str) -> Path:
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.unlink(missing_ok=True)  # left behind by a process of the same number that died here
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    return draft


def _sync(folder: Path) -> None:
    directory = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
