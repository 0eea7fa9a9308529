"""Backups that only the holder of a key reads: files of the format age, <https://age-encryption.org/v1>."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, NewType

from publisher.errors import RefusedError
from publisher.threads import started

Recipient = NewType("Recipient", object)
"""A public key, as the library has it, which has no types."""
_Identity = NewType("_Identity", object)

_MAGIC = b"age-encryption.org/v1"
_ARMOUR = b"-----BEGIN AGE ENCRYPTED FILE-----"
_LONGEST_IDENTITY = 2**16  # bytes of a file with keys
_RECIPIENT = "write age1… as age-keygen prints it, or the line of an SSH key (ssh-ed25519 or ssh-rsa)"
_IDENTITY = "name the file that age-keygen wrote, or an SSH private key without a passphrase"


def recipients(texts: Sequence[str]) -> list[Recipient]:
    """Return whom a backup is for. Raises RefusedError for what is no public key."""
    return [_recipient(text.strip()) for text in texts]


def is_encrypted(file: Path) -> bool:
    """Whether a file is one of age. Raises OSError."""
    with file.open("rb") as source:
        return source.read(len(_ARMOUR)).startswith((_MAGIC, _ARMOUR))


@contextmanager
def encrypting(target: BinaryIO, whom: Sequence[Recipient]) -> Iterator[BinaryIO]:
    """Encrypt into `target` what is written to the stream yielded, piece by piece: nothing lies on a disk in the clear.

    The stream cannot go back. Raises OSError as writing to `target` does, ThreadsError where there is no thread for it.
    """
    with started(1, "publisher-encrypt") as thread:
        reading, writing = os.pipe()
        done = thread.submit(_encrypt, reading, target, whom)
        try:
            with os.fdopen(writing, "wb") as clear:
                yield clear
        except BrokenPipeError:
            done.result()  # who read it ended first, and says why
            raise
        done.result()


def decrypt(file: Path, target: Path, identity: Path) -> None:
    """Decrypt a file of age into `target`, which only its owner reads. Blocking.

    `identity`: the file with the private key. Raises RefusedError when it opens nothing or `file` is damaged, OSError.
    """
    from pyrage import DecryptError, decrypt_io

    keys = _identities(identity)
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as clear, file.open("rb") as source:
        try:
            decrypt_io(source, clear, keys)
        except (DecryptError, OSError) as error:  # the second where the octets are not those that were written
            raise RefusedError(f"{file} cannot be opened with {identity}: {error}") from error


def _encrypt(reading: int, target: BinaryIO, whom: Sequence[Recipient]) -> None:
    from pyrage import EncryptError, encrypt_io

    with os.fdopen(reading, "rb") as clear:
        try:
            encrypt_io(clear, target, whom)
        except EncryptError as error:  # what it says of a disk that is full
            raise OSError(str(error)) from error


def _recipient(text: str) -> Recipient:
    # Here and below, because only a backup that is encrypted needs the library.
    from pyrage import RecipientError, ssh, x25519

    kind = ssh.Recipient if text.startswith("ssh-") else x25519.Recipient
    try:
        return Recipient(kind.from_str(text))
    except RecipientError as error:
        raise RefusedError(f"{text[:80]!r} is no public key ({error}); {_RECIPIENT}") from error


def _identities(file: Path) -> list[_Identity]:
    from pyrage import IdentityError, ssh, x25519

    with file.open("rb") as source:
        octets = source.read(_LONGEST_IDENTITY)
    try:
        if octets.startswith(b"-----BEGIN"):
            return [_Identity(ssh.Identity.from_buffer(octets))]
        lines = [line.strip() for line in octets.decode().splitlines()]
        found = [_Identity(x25519.Identity.from_str(line)) for line in lines if line and not line.startswith("#")]
    except (IdentityError, UnicodeDecodeError) as error:
        raise RefusedError(f"{file} holds no private key that can be used ({error}); {_IDENTITY}") from error
    if not found:
        raise RefusedError(f"{file} holds no private key; {_IDENTITY}")
    return found
