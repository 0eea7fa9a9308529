"""The admin pages of a small publication, with a clock that tests move, and people who log in."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from html import unescape
from itertools import count
from pathlib import Path
from typing import Any

import httpx2
from starlette.types import ASGIApp

from publisher.accounts.gate import Gate
from publisher.accounts.values import Role
from publisher.app import App
from publisher.clock import now
from publisher.config import Config
from publisher.service import Service
from publisher.web.admin.application import application
from publisher.web.admin.office import Office
from tests.publications import load_publication

HOST = "http://localhost"


@dataclass
class Backroom:
    """A service that is not running, and its admin pages."""

    app: App
    service: Service
    pages: ASGIApp
    office: Office
    shift: timedelta = timedelta(0)
    """How far the clock of the pages is ahead."""
    _names: Any = field(default_factory=lambda: count(1))

    def client(self, **headers: str) -> httpx2.AsyncClient:
        """A browser of somebody who is not logged in."""
        given = {"Sec-Fetch-Site": "same-origin"} | headers
        return httpx2.AsyncClient(transport=httpx2.ASGITransport(app=self.pages), base_url=HOST, headers=given)

    async def enter(self, role: Role, name: str = "") -> httpx2.AsyncClient:
        """A browser of somebody with this role who has just logged in."""
        invited = await self.office.gate.invite(name or f"{role}-{next(self._names)}", role)
        client = self.client()
        answer = await client.post(f"/login/{invited.token}")
        assert (answer.status_code, answer.headers["location"]) == (303, "/")
        return client


@contextlib.asynccontextmanager
async def backroom(home: Path, *, more: str = "", config: Config | None = None) -> AsyncIterator[Backroom]:
    """Open a publication and build its admin pages."""
    async with await App.open(config or load_publication(home, more=more)) as app:
        service = Service(app)
        room: Backroom

        def clock() -> datetime:
            return now() + room.shift

        secrets = count(1)
        gate = Gate(app.database, clock=clock, secret=lambda: f"{next(secrets):064x}")
        office = replace(service.office, gate=gate, stop=asyncio.Event())
        pages = application(replace(service.parts, clock=clock), office)
        room = Backroom(app, service, pages, office)
        yield room


def form_value(page: str, action: str) -> str:
    """The hidden value of the first form of a page that is sent to `action`."""
    found = re.search(
        rf'<form[^>]*action="{re.escape(action)}"[^>]*><input type="hidden" name="form" value="([^"]+)"', page
    )
    assert found, f"no form for {action}"
    return unescape(found[1])
