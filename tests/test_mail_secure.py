"""TLS and logging in: no mail and no password ever goes out in clear, or to somebody else (H5–H7)."""

from __future__ import annotations

import asyncio
import base64
import hmac
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from publisher.mail import smtp
from publisher.mail.smtp import Timeouts
from publisher.model import Attempt, Outcome
from tests.smtp_server import CHALLENGE, Script, SmtpServer, smtp_server
from tests.test_mail_smtp import MESSAGE, QUICK, server_context, transport, trusting

pytestmark = pytest.mark.anyio

NOW = datetime.now(UTC)
DAY = timedelta(days=1)
PASSWORD = "geheim€ и слово"


async def send(server: SmtpServer, **options: object) -> Attempt:
    """Send one message as somebody who logs in."""
    settings: dict[str, object] = {"username": "user", "password": PASSWORD}
    door = transport(server, **(settings | options))
    try:
        return await door.send("s@example.org", "r@example.net", MESSAGE)
    finally:
        await door.close()


def verbs(server: SmtpServer) -> set[str]:
    """What the server was asked in words that it could read."""
    return {command.partition(" ")[0] for command in server.commands if command.isascii()}


@pytest.mark.parametrize(
    "said",
    [
        "454 4.7.0 TLS not available",
        "501 5.5.4 no parameters allowed",
        "220 go ahead\r\n250 injected before the handshake",
        "220 go ahead\r\n235 2.7.0 welcome\r\n250 ok\r\n250 ok\r\n354 go on",
        "250 what",
        "close",
        "silence",
        "220 go ahead",  # and then goes on in clear
    ],
)
async def test_starttls_that_does_not_lead_into_tls_means_no_mail(said: str) -> None:
    """H5: refused, injected before the handshake, plaintext after it: nothing is sent, the password neither."""
    script = Script(extensions=["AUTH PLAIN LOGIN"], starttls=[said])
    async with smtp_server(script, tls=server_context()) as server:
        attempt = await send(server, security="starttls", tls_context=trusting(), timeouts=QUICK)
        assert attempt.phase in ("connect", "tls")
        assert attempt.outcome in (Outcome.DEFERRED, Outcome.REFUSED)
        assert verbs(server) <= {"EHLO", "STARTTLS", "QUIT"}
        assert server.received == []


async def test_what_was_offered_before_tls_is_forgotten() -> None:
    """RFC 3207 §4.2: whoever sat in between may have said it."""
    script = Script(ehlo=["250-loopback\r\n250-AUTH PLAIN\r\n250-SIZE 10\r\n250 STARTTLS"], extensions=["AUTH PLAIN"])
    async with smtp_server(script, tls=server_context()) as server:
        attempt = await send(server, security="starttls", tls_context=trusting())
        assert attempt.outcome is Outcome.ACCEPTED  # by the size that was said inside
        assert server.commands[:3] == ["EHLO mail.example.org", "STARTTLS", "EHLO mail.example.org"]


@dataclass(frozen=True)
class Authority:
    """Somebody who vouches for servers."""

    folder: Path
    name: str = "authority"

    def __post_init__(self) -> None:
        object.__setattr__(self, "key", ec.generate_private_key(ec.SECP256R1()))

    def certificate(self, name: str, *, until: datetime = NOW + DAY, own: bool = False) -> Path:
        """Write a certificate and its key, for a server with this address or name; `own`: for this authority."""
        key = self.key if own else ec.generate_private_key(ec.SECP256R1())  # type: ignore[attr-defined]  # set above
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, self.name if own else "server")])
        issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, self.name)])
        kind = x509.IPAddress(ip_address(name)) if name[0].isdigit() else x509.DNSName(name)
        made = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(NOW - 30 * DAY)
            .not_valid_after(until)
            .add_extension(x509.SubjectAlternativeName([kind]), critical=False)
            .add_extension(x509.BasicConstraints(ca=own, path_length=None), critical=True)
            .sign(self.key, hashes.SHA256())  # type: ignore[attr-defined]  # set above
        )
        file = self.folder / f"{self.name}-{name}-{until:%j}-{own}.pem"
        pem = serialization.Encoding.PEM
        private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        file.write_bytes(made.public_bytes(pem) + private)
        return file


WRONG: dict[str, Callable[[Authority, Authority], Path]] = {
    "expired": lambda known, _: known.certificate("127.0.0.1", until=NOW - DAY),
    "another name": lambda known, _: known.certificate("mail.example.net"),
    "another authority": lambda _, other: other.certificate("127.0.0.1"),
}


@pytest.mark.parametrize("security", ["starttls", "tls"])
@pytest.mark.parametrize("fault", WRONG)
async def test_a_certificate_that_is_not_the_servers_own_holds_the_transport(
    tmp_path: Path, fault: str, security: str
) -> None:
    """H6: expired, of another name, changed for that of another authority: held, no password, no mail."""
    known, other = Authority(tmp_path), Authority(tmp_path, "other")
    trust = ssl.create_default_context(cafile=str(known.certificate("127.0.0.1", own=True)))
    outcomes = []
    for file in (known.certificate("127.0.0.1"), WRONG[fault](known, other)):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(file)
        script = Script(extensions=["AUTH PLAIN"])
        async with smtp_server(script, tls=context, implicit=security == "tls") as server:
            attempt = await send(server, security=security, tls_context=trust)
            outcomes.append((attempt.outcome, attempt.phase, len(server.received)))
            if attempt.phase == "tls":
                assert "certificate" in attempt.text.lower()
                assert verbs(server) <= {"EHLO", "STARTTLS"}
    assert outcomes == [(Outcome.ACCEPTED, "dot", 1), (Outcome.REFUSED, "tls", 0)]


@pytest.mark.parametrize("method", ["PLAIN", "LOGIN", "CRAM-MD5"])
async def test_each_way_to_log_in_works_alone_and_with_any_password(method: str) -> None:
    """H7: a server that offers only one of them; letters outside ASCII travel as UTF-8."""
    async with smtp_server(Script(extensions=[f"AUTH {method}"])) as server:
        assert (await send(server)).outcome is Outcome.ACCEPTED
        said = server.commands[1:3]
    given = base64.b64encode(PASSWORD.encode()).decode()
    digest = hmac.new(PASSWORD.encode(), CHALLENGE, "md5").hexdigest()
    whole = base64.b64encode(b"\0user\0" + PASSWORD.encode()).decode()
    assert {
        "PLAIN": said[0] == f"AUTH PLAIN {whole}",
        "LOGIN": said == [f"AUTH LOGIN {base64.b64encode(b'user').decode()}", given],
        "CRAM-MD5": said == ["AUTH CRAM-MD5", base64.b64encode(f"user {digest}".encode()).decode()],
    }[method]


async def test_no_password_goes_out_in_clear_but_to_this_very_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Issue 4, point 2: whatever is configured, the connection itself is asked who is at its other end."""
    monkeypatch.setattr(smtp, "_is_loopback", lambda _: False)
    async with smtp_server(Script(extensions=["AUTH PLAIN LOGIN CRAM-MD5"])) as server:
        attempt = await send(server)
        assert (attempt.outcome, attempt.phase) == (Outcome.REFUSED, "auth")
        assert "a password is not sent over an unencrypted connection" in attempt.text
        assert verbs(server) <= {"EHLO", "QUIT"}
    async with smtp_server(Script(extensions=["AUTH PLAIN"]), tls=server_context()) as server:
        assert (await send(server, security="starttls", tls_context=trusting())).outcome is Outcome.ACCEPTED


@pytest.mark.parametrize(
    ("peer", "loopback"),
    [
        (("127.0.0.1", 25), True),
        (("127.8.9.10", 25), True),
        (("::1", 25, 0, 0), True),
        (("10.0.0.1", 25), False),
        (("192.0.2.1", 25), False),
        (("::ffff:10.0.0.1", 25, 0, 0), False),
        (("fe80::1%eth0", 25, 0, 2), False),
        (("localhost", 25), False),  # a name proves nothing
        ("/run/socket", False),
        (None, False),
    ],
)
def test_this_machine_is_known_by_the_address_of_the_connection(peer: object, loopback: bool) -> None:
    assert smtp._is_loopback(peer) is loopback


def test_the_usual_time_outs_are_those_of_the_rfc() -> None:
    """H1, H15, H16: RFC 5321 §4.5.3.2; a reply to the dot after 599 s is waited for, one after 700 s is not."""
    assert Timeouts() == Timeouts(connect=30, greeting=300, mail=300, rcpt=300, data=120, block=180, dot=600, goodbye=5)


@pytest.mark.parametrize("pipelining", [False, True], ids=["plain", "pipelined"])
@pytest.mark.parametrize("phase", ["greeting", "mail", "rcpt", "data", "dot"])
async def test_each_phase_has_a_time_out_of_its_own(phase: str, pipelining: bool) -> None:
    """Issue 4, point 2: a silence ends by the time of its own phase, while all others would wait for an hour."""
    patient = dict.fromkeys(("greeting", "mail", "rcpt", "data", "block", "dot"), 3600.0)
    script = Script(extensions=["PIPELINING"] if pipelining else [], **{phase: ["silence"]})  # type: ignore[arg-type]  # one of the lists
    async with smtp_server(script) as server, asyncio.timeout(60):
        attempt = await send(server, username="", timeouts=Timeouts(**(patient | {phase: 0.2})))
        assert attempt.phase == ("connect" if phase == "greeting" else phase)
        assert attempt.outcome is (Outcome.AMBIGUOUS if phase == "dot" else Outcome.DEFERRED)
