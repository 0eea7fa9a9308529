"""What both listeners answer alike: no address follows the visitor's Host header, and health tells no secrets."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping
from html import unescape
from pathlib import Path

import httpx2
import pytest

from publisher.app import App
from publisher.service import Service
from publisher.web import routing
from publisher.web.admin import application as backroom
from tests.publications import load_publication

pytestmark = pytest.mark.anyio

EVIL = {"Host": "evil.example"}


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Service]:
    """A service that is not running: only its parts are asked."""
    async with await App.open(load_publication(tmp_path)) as app:
        yield Service(app)


def visitor(service: Service, *, private: bool = False) -> httpx2.AsyncClient:
    """A client of the public listener, or of the admin listener."""
    application = backroom.application(service.parts, service.office) if private else routing.application(service.parts)
    return httpx2.AsyncClient(transport=httpx2.ASGITransport(app=application), base_url="http://localhost")


@pytest.mark.parametrize(
    ("path", "status", "location"), [("/feeds", 308, "/feeds/"), ("/articles/x/", 404, None), ("/u", 404, None)]
)
async def test_no_redirect_names_the_host_that_the_visitor_named(
    service: Service, path: str, status: int, location: str | None
) -> None:
    """L7."""
    async with visitor(service) as client:
        answer = await client.get(path, headers=EVIL)
    assert (answer.status_code, answer.headers.get("location")) == (status, location)


@pytest.mark.parametrize("path", ["//evil.example/x", "/%5Cevil.example/x", "/%5C/evil.example", "/a%3Fb%22%3E"])
async def test_no_link_of_a_page_leads_to_a_host_from_its_path(service: Service, path: str) -> None:
    """L7: the links to other languages repeat the path."""
    async with visitor(service) as client:
        answer = await client.get(httpx2.URL(f"http://localhost{path}"))
    assert answer.status_code == 404
    linked = [unescape(link) for link in re.findall(r'href="([^"]*)"', answer.text)]
    assert [link for link in linked if link.startswith(("//", "/\\")) or "/a?b" in link] == []
    assert any(link.endswith("?lang=ru") for link in linked)


async def test_a_nul_in_a_path_is_answered_before_any_database_is_asked(service: Service) -> None:
    """PostgreSQL refuses to be asked for it."""
    async with visitor(service) as client:
        assert (await client.get("/articles/%00")).status_code == 400


@pytest.mark.parametrize(
    ("host", "status"),
    [("localhost:8001", 200), ("127.0.0.1", 200), ("[::1]:8001", 200), ("evil.example", 400), ("", 400)],
)
async def test_the_admin_listener_on_loopback_answers_to_no_foreign_name(
    service: Service, host: str, status: int
) -> None:
    """A page of another site may let its name point to this machine and read readers' mail."""
    async with visitor(service, private=True) as client:
        assert (await client.get("/login", headers={"Host": host})).status_code == status


@pytest.mark.parametrize(
    ("problems", "ready"),
    [
        ({}, True),
        ({"source news": "/srv/secret: gone"}, True),
        ({"sending": "rcpt: 550 <anna@reader.example> unknown", "source news": "gone"}, False),
    ],
)
async def test_health_names_parts_in_public_and_reasons_in_private(
    service: Service, problems: Mapping[str, str], ready: bool
) -> None:
    """L13, P9: no address and no path for everybody; a source that fails does not take the service down."""
    service.problems.update(problems)
    code = 200 if ready else 503
    async with visitor(service) as client, visitor(service, private=True) as operator:
        public, private = await client.get("/readyz"), await operator.get("/readyz")
    assert (public.status_code, public.json()) == (code, {"ready": ready, "problems": sorted(problems)})
    assert (private.status_code, private.json()) == (code, {"ready": ready, "problems": dict(problems)})
