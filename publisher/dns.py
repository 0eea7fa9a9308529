"""Asking the DNS: records as text, and a reason where nobody answered."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import dns.asyncresolver
import dns.exception
import dns.name
import dns.resolver

from publisher.doctor import Records

SECONDS = 5.0
"""What one question may take in all."""


class Resolver(Protocol):
    """Who answers questions about names."""

    async def txt(self, name: str) -> Records:
        """Return the texts under a name, each of its strings joined."""
        ...

    async def mx(self, name: str) -> Records:
        """Return the hosts that take a domain's mail, most wanted first."""
        ...


class System:
    """The resolver of this machine, or given servers."""

    def __init__(self, servers: Sequence[str] = (), *, port: int = 53, seconds: float = SECONDS) -> None:
        self._servers, self._port, self._seconds = servers, port, seconds
        self._made: dns.asyncresolver.Resolver | None = None

    async def txt(self, name: str) -> Records:
        """Return the texts under a name, each of its strings joined."""
        found = await self._ask(name, "TXT")
        if isinstance(found, str):
            return Records(name, unknown=found)
        return Records(name, tuple(b"".join(record.strings).decode("utf-8", "replace") for record in found))

    async def mx(self, name: str) -> Records:
        """Return the hosts that take a domain's mail, most wanted first."""
        found = await self._ask(name, "MX")
        if isinstance(found, str):
            return Records(name, unknown=found)
        ordered = sorted(found, key=lambda record: int(record.preference))
        return Records(
            name, tuple(record.exchange.to_text(omit_final_dot=len(record.exchange) > 1) for record in ordered)
        )

    async def _ask(self, name: str, kind: str) -> list[Any] | str:
        try:
            answer = await self._resolver().resolve(dns.name.from_text(name), kind, lifetime=self._seconds)
        except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
            return []
        except (dns.exception.DNSException, OSError) as error:
            return str(error) or type(error).__name__
        return list(answer)

    def _resolver(self) -> dns.asyncresolver.Resolver:
        if self._made is None:  # reading the machine's settings may fail, and then every answer says so
            self._made = dns.asyncresolver.Resolver(configure=not self._servers)
            if self._servers:
                self._made.nameservers = list(self._servers)
                self._made.port = self._port
        return self._made
