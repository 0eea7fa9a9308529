"""What we fetch has limits, and no name leads into the private network."""

from __future__ import annotations

import asyncio
import socket

import pytest

from publisher.http import Answer, Fetcher
from publisher.http.guard import is_public
from tests.hub_server import running_hub

ADDRESSES = {
    "8.8.8.8": True,
    "2606:4700::1111": True,
    "64:ff9b::808:808": True,
    "127.0.0.1": False,
    "10.1.2.3": False,
    "172.16.0.1": False,
    "192.168.1.1": False,
    "100.64.0.1": False,
    "169.254.169.254": False,  # where clouds keep their secrets
    "0.0.0.0": False,
    "224.0.0.1": False,
    "255.255.255.255": False,
    "::": False,
    "::1": False,
    "fe80::1%eth0": False,
    "fd00::1": False,
    "ff02::1": False,
    "::ffff:10.0.0.1": False,
    "64:ff9b::a00:1": False,
    "2002:a00:1::1": False,
    "nonsense": False,
}


@pytest.mark.parametrize(("address", "public"), ADDRESSES.items())
def test_private_addresses_are_known_in_every_disguise(address: str, public: bool) -> None:
    assert is_public(address) is public


@pytest.mark.anyio
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "2130706433", "0x7f.1", "[::ffff:127.0.0.1]"])
async def test_nothing_private_is_reached(host: str) -> None:
    """The guard looks at the address that is connected to, whatever spells it."""
    async with running_hub() as hub:
        fetcher = Fetcher()
        answer = await fetcher.post_form(f"http://{host}:{hub.port}/", {}, seconds=5)
        await fetcher.close()
    assert answer.status is None
    assert hub.posts == []


@pytest.mark.anyio
async def test_the_address_that_was_checked_is_the_one_connected_to(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that points elsewhere a moment later leads nowhere else: it is looked up once."""
    asked = []

    async def lookup(host: str, port: int, **_: object) -> list[object]:
        asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

    async with running_hub() as hub:
        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", lookup)
        refusing, allowing = Fetcher(), Fetcher(["hub.example"])
        refused = await refusing.post_form(f"http://hub.example:{hub.port}/", {}, seconds=5)
        taken = await allowing.post_form(f"http://hub.example:{hub.port}/x", {"a": "ä b"}, seconds=5)
        await allowing.close()
    assert refused == Answer(None, "hub.example leads to 127.0.0.1, which is not a public address")
    assert taken == Answer(204, "No Content")
    assert asked == ["hub.example", "hub.example"]
    assert hub.posts == [{"a": ["ä b"]}]
    assert "POST /x HTTP/1.1\r\n" in hub.heads[0]
    assert f"host: hub.example:{hub.port}" in hub.heads[0].lower()
    assert "user-agent: publisher/" in hub.heads[0].lower()


@pytest.mark.anyio
async def test_a_redirect_is_told_and_not_followed() -> None:
    async with running_hub() as hub:
        hub.status, hub.headers = b"307 Temporary Redirect", b"Location: http://169.254.169.254/\r\n"
        fetcher = Fetcher(["127.0.0.1"])
        answer = await fetcher.post_form(hub.url, {"a": "b"}, seconds=5)
        await fetcher.close()
    assert answer == Answer(307, "it has moved to http://169.254.169.254/")
    assert not answer.is_success
    assert len(hub.posts) == 1


@pytest.mark.anyio
async def test_one_that_does_not_answer_in_time_did_not_answer() -> None:
    """FR-W2: the limit is on the whole, not on each step."""
    async with running_hub() as hub:
        hub.silent = True
        fetcher = Fetcher(["127.0.0.1"])
        assert await fetcher.post_form(hub.url, {}, seconds=0.05) == Answer(None, "no answer within 0.05 seconds")
        hub.silent = False
        assert (await fetcher.post_form(hub.url, {}, seconds=5)).is_success
        await fetcher.close()


@pytest.mark.anyio
@pytest.mark.parametrize("url", ["http://127.0.0.1:1/", "http://nobody.invalid/", "nonsense", "ftp://127.0.0.1/"])
async def test_whatever_goes_wrong_is_an_answer_in_words(url: str) -> None:
    fetcher = Fetcher(["127.0.0.1"])
    answer = await fetcher.post_form(url, {}, seconds=5)
    await fetcher.close()
    assert answer.status is None
    assert answer.text
