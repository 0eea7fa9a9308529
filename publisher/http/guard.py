"""The way out: a transport that connects to public addresses only, and to exactly those that it looked at."""

from __future__ import annotations

import asyncio
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import httpx2

_ADDRESSES = 3  # of one host that are tried

# IPv6 addresses that carry an IPv4 address inside: NAT64 (RFC 6052) and 6to4 (RFC 3056), each with where it begins.
_CARRIERS = ((ip_network("64:ff9b::/96"), 0), (ip_network("2002::/16"), 80))


class Guarded(httpx2.AsyncBaseTransport):
    """Looks names up itself, refuses private addresses, and connects to exactly the address it looked at."""

    def __init__(self, inner: httpx2.AsyncHTTPTransport, allowed: frozenset[str]) -> None:
        self._inner = inner
        self._allowed = allowed

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send the request to a public address of its host. Raises httpx2.ConnectError when there is none."""
        host = request.url.host
        addresses = await self._addresses(host, request.url.port or (443 if request.url.scheme == "https" else 80))
        for number, address in enumerate(addresses, 1):
            pinned = httpx2.Request(
                request.method,
                request.url.copy_with(host=address),
                headers=request.headers,  # Host among them, as it was
                stream=request.stream,
                # The certificate must be the name's, whatever address it leads to.
                extensions={**request.extensions, "sni_hostname": host},
            )
            try:
                return await self._inner.handle_async_request(pinned)
            except httpx2.ConnectError:
                if number == len(addresses):
                    raise
        raise httpx2.ConnectError(f"{host} has no address")

    async def aclose(self) -> None:
        """Close every connection."""
        await self._inner.aclose()

    async def _addresses(self, host: str, port: int) -> list[str]:
        try:
            found = await asyncio.get_running_loop().getaddrinfo(host, port, type=1)  # SOCK_STREAM
        except (OSError, UnicodeError) as error:
            raise httpx2.ConnectError(f"{host} cannot be found: {error}") from error
        addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
        public = [address for address in addresses if host in self._allowed or is_public(address)]
        if not public:
            raise httpx2.ConnectError(f"{host} leads to {addresses[0]}, which is not a public address")
        return public[:_ADDRESSES]


def is_public(address: str) -> bool:
    """Whether an IP address belongs to the public internet, also when it is wrapped in another."""
    try:
        parsed = ip_address(address.partition("%")[0])
    except ValueError:
        return False
    inner = _carried(parsed)
    return parsed.is_global and not parsed.is_multicast and (inner is None or is_public(str(inner)))


def _carried(address: IPv4Address | IPv6Address) -> IPv4Address | None:
    if isinstance(address, IPv4Address):
        return None
    if address.ipv4_mapped:
        return address.ipv4_mapped
    for network, shift in _CARRIERS:
        if address in network:
            return IPv4Address((int(address) >> shift) & 0xFFFFFFFF)
    return None
