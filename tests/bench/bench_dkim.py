"""How many messages one core signs in a second: ours, dkimpy's, and how many RSA operations `openssl speed` counts.

    uv run python -m tests.bench.bench_dkim [--rounds 9] [--messages 400]

All take turns in each round and are counted by seconds of the processor, as `openssl speed` does, so that what else a
machine does weighs little; medians and ratios are printed.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import statistics
import subprocess
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial

import dkim
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed

from publisher.mail.dkim import OVERSIGNED, Key, NewKey, Signer, new_key
from publisher.mail.message import SLOT_UNSUBSCRIBE, SegmentHeaders, encode_segment, own_lines, splice

DATE = datetime(2025, 11, 24, 7, 0, 5, tzinfo=UTC)
SENDER = "news@example.org"
HEADERS = SegmentHeaders(
    from_name="The Example Weekly",
    from_address=SENDER,
    subject="Week 21: what a small country reads about itself on a Monday",
    language="en",
    list_name="The Example Weekly",
    list_id="weekly.example.org",
    reply_to="editors@example.org",
    web_url="https://news.example.org/issues/0a1b2c3d4e5f/en/",
    feedback_id="0a1b2c3d4e5f:weekly:digest:example-org",
)
SENTENCE = "After two days of talks both sides named dates for the next rounds. "


def segment() -> tuple[bytes, bytes]:
    """Return head and body of about 45 KB, a quarter of it text, with the slot at the end of each part."""
    text = "\n".join(SENTENCE for _ in range(150)) + f"\nLeave: {SLOT_UNSUBSCRIBE}\n"
    html = "".join(f"<p>{SENTENCE}</p>\n" for _ in range(390)) + f'<p><a href="{SLOT_UNSUBSCRIBE}">Leave</a></p>'
    return encode_segment(headers=HEADERS, text=text, html=html)


def loaded(key: NewKey) -> rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey:
    """Return the private key."""
    private = serialization.load_pem_private_key(key.pem, None)
    assert isinstance(private, rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey)
    return private


def rate(work: Callable[[int], object], messages: int) -> float:
    """Return how often `work` is done in a second of the processor, each time for another reader."""
    started = time.process_time()
    for number in range(messages):
        work(number)
    return messages / (time.process_time() - started)


def openssl() -> float:
    """Return RSA-2048 signatures a second as `openssl speed` counts them, on one core; 0 without openssl."""
    program = shutil.which("openssl")
    if program is None:
        return 0.0
    told = subprocess.run([program, "speed", "-seconds", "1", "rsa2048"], capture_output=True, text=True, check=True)
    found = re.search(r"rsa 2048 bits\s+\S+\s+\S+\s+([\d.]+)", told.stdout)
    return float(found[1]) if found else 0.0


def contest(messages: int) -> dict[str, Callable[[], float]]:
    """Return what is measured, by its name."""
    head, body = segment()
    rsa_key, short_key = new_key("rsa"), new_key("ed25519")
    private = loaded(rsa_key)
    assert isinstance(private, rsa.RSAPrivateKey)
    ours = Signer([Key.of("r1", private)])
    both = Signer([Key.of("r1", private), Key.of("e1", loaded(short_key))])
    digest, scheme, kind = b"\0" * 32, padding.PKCS1v15(), Prehashed(hashes.SHA256())

    def make(number: int, signer: Signer | None) -> bytes:
        url = f"https://news.example.org/u/D0JAcjkKdQdcb3mY7CxKt{number:05}"
        own = own_lines(
            address=f"reader{number}@example.net",
            name="",
            date=DATE,
            message_id=f"<0a1b2c3d4e5f.k3j2h1g4f5d{number:05}@example.org>",
            unsubscribe_url=url,
        )
        whole = splice(body, url)
        signature = signer.sign(prepared[signer], own, whole, date=DATE) if signer else b""
        return b"".join((signature, own, head, b"\r\n", whole))

    prepared = {signer: signer.prepare(head, body, from_address=SENDER) for signer in (ours, both)}
    names = [*{line.split(b":")[0].lower() for line in make(0, None).split(b"\r\n\r\n")[0].split(b"\r\n")}, *OVERSIGNED]
    names = [name for name in names if name[:1] != b" "]  # the same headers for both

    def theirs(number: int) -> bytes:
        message = make(number, None)
        relaxed = (b"relaxed", b"relaxed")
        signature = dkim.sign(message, b"r1", b"example.org", rsa_key.pem, canonicalize=relaxed, include_headers=names)
        return bytes(signature) + message

    print(f"a message has {len(make(0, ours)):,} octets, {prepared[ours].shared:,} of its body hashed once")
    few = max(1, messages // 10)
    record = rsa_key.record.encode()
    verify = partial(dkim.verify, dnsfunc=lambda name, timeout=5: record)
    assert all(verify(message) for message in (make(0, ours), theirs(0)))
    return {
        "openssl speed rsa2048": openssl,
        "cryptography, the bare operation": lambda: rate(lambda _: private.sign(digest, scheme, kind), messages),
        "ours, message unsigned": lambda: rate(lambda number: make(number, None), messages),
        "ours, RSA": lambda: rate(lambda number: make(number, ours), messages),
        "ours, RSA and Ed25519": lambda: rate(lambda number: make(number, both), messages),
        "dkimpy, RSA": lambda: rate(theirs, few),
    }


def main() -> None:
    """Measure, print."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--rounds", type=int, default=9)
    arguments.add_argument("--messages", type=int, default=400)
    arguments.add_argument("--json", action="store_true")
    given = arguments.parse_args()
    runners = contest(given.messages)
    found: dict[str, list[float]] = {name: [] for name in runners}
    for _ in range(given.rounds):
        for name, run in runners.items():
            found[name].append(run())
    medians = {name: statistics.median(rates) for name, rates in found.items()}
    mine = medians["ours, RSA"]
    for name, median in medians.items():
        ratio = f"{mine / median:8.2f}" if median else "       –"
        print(f"{name:36} {median:10,.0f} a second   ours, RSA / this: {ratio}")
    if given.json:
        print(json.dumps(medians))


if __name__ == "__main__":
    main()
