"""A scribe: a process that signs what comes over its standard input, a socket; see `publisher.mail.signing`."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import struct
from collections.abc import Iterator

from publisher.mail.private import Sign, signing_with

READY = b"\x01"
"""Said once, before the first answer."""

KEY, DIGESTS = 0, 1
HEAD = struct.Struct("!BH")
"""A frame: its kind, and the number of octets of a key (PKCS #8, numbered from 0 as they come) or of digests."""

DIGEST = struct.Struct("!B32s")
"""The number of a key, and the SHA-256 to be signed with it."""

LENGTH = struct.Struct("!H")
"""Stands before each signature of an answer; a frame of digests is answered at once."""


def main() -> None:
    """Sign until the outbox hangs up; no signal ends a scribe, because messages under way are still to be signed."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    keys: list[Sign] = []
    with socket.socket(fileno=os.dup(0)) as outbox:
        outbox.sendall(READY)
        for kind, content in _frames(outbox):
            if kind == KEY:
                keys.append(signing_with(content))
            else:
                values = [keys[number](digest) for number, digest in DIGEST.iter_unpack(content)]
                outbox.sendall(b"".join(LENGTH.pack(len(value)) + value for value in values))


def _frames(outbox: socket.socket) -> Iterator[tuple[int, bytes]]:
    octets = b""
    while more := outbox.recv(1 << 16):
        octets += more
        while len(octets) >= HEAD.size:
            kind, length = HEAD.unpack_from(octets)
            if len(octets) < HEAD.size + length:
                break
            yield kind, octets[HEAD.size : HEAD.size + length]
            octets = octets[HEAD.size + length :]


if __name__ == "__main__":
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # the outbox died meanwhile
        main()
    os._exit(0)  # nothing is to be cleaned up, and the outbox waits
