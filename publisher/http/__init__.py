"""Speaking HTTP to others: limits on time and size, no redirects, and no way into the private network."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from publisher import __version__
from publisher.text import excerpt, one_line

# httpx2 takes 20 ms to load, and many a service never asks another.
if TYPE_CHECKING:
    import httpx2

USER_AGENT = f"Publisher/{__version__}"
_ANSWER_BYTES = 4096  # read of an answer to a post: enough for its first sentence


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
            import httpx2

            from publisher.http.guard import Guarded

            guarded = Guarded(httpx2.AsyncHTTPTransport(verify=self._verify, trust_env=False), self._allowed)
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
        import httpx2

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


def _first_words(response: httpx2.Response, body: bytes) -> str:
    if response.is_redirect:
        return one_line(f"it has moved to {response.headers.get('location', '')}")[:300]
    kind = response.headers.get("content-type", "")
    words = excerpt(one_line(body.decode("utf-8", "replace")), 120) if kind.startswith("text/plain") else ""
    return words or response.reason_phrase
