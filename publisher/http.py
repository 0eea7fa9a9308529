"""Speaking HTTP to others: limits on time and size, no redirects, and no way into the private network."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import httpx2

from publisher import __version__
from publisher.text import excerpt, one_line

USER_AGENT = f"Publisher/{__version__}"
_ANSWER_BYTES = 4096  # read of an answer to a post: enough for its first sentence
_ADDRESSES = 3  # of one host that are tried

# IPv6 addresses that carry an IPv4 address inside: NAT64 (RFC 6052) and 6to4 (RFC 3056), each with where it begins.
_CARRIERS = ((ip_network("64:ff9b::/96"), 0), (ip_network("2002::/16"), 80))


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back."""

    status: int | None
    """None: no answer came."""
    text: str
    """One line: how the answer begins, or why there is none."""

    @property
    def is_success(self) -> bool:
        """Whether the status is 2xx."""
        return self.status is not None and 200 <= self.status < 300


class Fetcher:
    """A client that reaches public addresses only, and those hosts of private ones that are `allowed` by name.

    The address is checked when the connection is made and is the one connected to, so that no name can point elsewhere
    a moment later (DNS rebinding).
    """

    def __init__(self, allowed: Collection[str] = (), *, verify: ssl.SSLContext | bool = True) -> None:
        self._allowed = frozenset(allowed)
        self._verify = verify
        self._made: httpx2.AsyncClient | None = None

    @property
    def _client(self) -> httpx2.AsyncClient:
        if self._made is None:  # not before it is needed: reading the authorities' certificates takes 20 ms
            guarded = _Guarded(httpx2.AsyncHTTPTransport(verify=self._verify, trust_env=False), self._allowed)
            self._made = httpx2.AsyncClient(
                transport=guarded, follow_redirects=False, headers={"User-Agent": USER_AGENT}, trust_env=False
            )
        return self._made

    async def get(self, url: str, *, seconds: float) -> Answer:
        """Get a page and return how it begins; after `seconds` in all there is none. Redirects are not followed."""
        return await self._ask("GET", url, None, seconds)

    async def post_form(self, url: str, fields: Mapping[str, str], *, seconds: float) -> Answer:
        """Post a form and return the answer; after `seconds` in all there is none. Redirects are not followed."""
        return await self._ask("POST", url, dict(fields), seconds)

    async def _ask(self, method: str, url: str, fields: dict[str, str] | None, seconds: float) -> Answer:
        try:
            async with asyncio.timeout(seconds), self._client.stream(method, url, data=fields) as response:
                body = b""
                async for chunk in response.aiter_bytes(_ANSWER_BYTES):
                    body = chunk
                    break
                return Answer(response.status_code, _first_words(response, body))
        except TimeoutError:
            return Answer(None, f"no answer within {seconds:g} seconds")
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as error:
            return Answer(None, one_line(str(error)) or type(error).__name__)

    async def close(self) -> None:
        """Close every connection."""
        if self._made is not None:
            await self._made.aclose()
            self._made = None


class _Guarded(httpx2.AsyncBaseTransport):
    """Looks names up itself, refuses private addresses, and connects to exactly the address it looked at."""

    def __init__(self, inner: httpx2.AsyncHTTPTransport, allowed: frozenset[str]) -> None:
        self._inner = inner
        self._allowed = allowed

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
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


def _first_words(response: httpx2.Response, body: bytes) -> str:
    if response.is_redirect:
        return one_line(f"it has moved to {response.headers.get('location', '')}")[:300]
    kind = response.headers.get("content-type", "")
    words = excerpt(one_line(body.decode("utf-8", "replace")), 120) if kind.startswith("text/plain") else ""
    return words or response.reason_phrase
