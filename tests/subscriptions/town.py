"""A publication with two newsletters and a desk, a clock to set, and eyes on what was written down."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from publisher.config import Config
from publisher.render import Renderer
from publisher.store import consents, subscribers
from publisher.store.database import Connection, Database
from publisher.store.tables import links as link_rows
from publisher.store.tables import notices as notice_rows
from publisher.subscriptions.desk import Desk
from publisher.subscriptions.house import House
from publisher.subscriptions.values import Answer, SignUp
from publisher.tokens import Keyring, Pepper, Purpose
from tests.store.make import NOW

MORE = """
[[newsletters]]
slug = "alerts"
title = { en = "Alerts", ru = "Срочное" }
from_address = "alerts@ledger.example"
categories = ["security"]
choices = ["frequency", "pause"]

[newsletters.frequencies.hourly]
every = "1h"

[newsletters.frequencies.daily]
at = "07:00"
title = { en = "Every day", ru = "Каждый день" }

[[newsletters]]
slug = "staff"
title = "Staff"
from_address = "staff@ledger.example"
signup = false
[newsletters.frequencies.weekly]
days = ["mon"]
at = "07:00"
"""

KEY, SALT = b"k" * 32, b"s" * 32
HOME = "203.0.113.7"


@dataclass
class Town:
    """The desk, and everything around it that a test may touch."""

    config: Config
    database: Database
    keyring: Keyring
    pepper: Pepper
    renderer: Renderer
    now: datetime = NOW
    woken: int = 0
    _number: int = 0
    desk: Desk = field(init=False)
    house: House = field(init=False)

    def __post_init__(self) -> None:
        self.house = House(self.config, self.renderer, self.keyring, self.pepper, self._id)
        self.desk = Desk(self.database, self.house, clock=lambda: self.now, woken=self._wake, inbox=None)

    def _id(self) -> str:
        self._number += 1
        return f"{self._number:032x}"

    def _wake(self) -> None:
        self.woken += 1

    def passes(self, **span: float) -> None:
        """Let time pass."""
        self.now += timedelta(**span)

    async def sign_up(self, address: str = "ada@example.org", *newsletters: str, **more: Any) -> Answer:
        """Fill the form."""
        client = more.pop("client", HOME)
        given: dict[str, Any] = {"address": address, "newsletters": newsletters or ("weekly",), "language": "en"}
        return await self.desk.sign_up(SignUp(**(given | more)), client=client)

    async def reader(self, address: str = "ada@example.org", *newsletters: str, **more: Any) -> int:
        """Sign up and confirm; the id of the person."""
        await self.sign_up(address, *newsletters, **more)
        confirmed = await self.desk.confirm(self.token(Purpose.CONFIRM), client=HOME)
        assert confirmed is not None
        return self.person(address)

    def person(self, address: str) -> int:
        """The id of a person."""
        found = self.database.read(lambda conn: subscribers.get(conn, address_key=address.lower()))
        assert found is not None
        return found.id

    def token(self, purpose: Purpose) -> str:
        """The token of the newest link of this purpose, as it would lie in the mail."""
        rows = [row for row in self.rows(link_rows) if row["purpose"] == purpose]
        return self.keyring.token(purpose, rows[-1]["id"])

    async def fresh(self, address: str = "ada@example.org") -> str:
        """Ask for a fresh link and return its token."""
        await self.desk.send_link(address, client=HOME)
        return self.token(Purpose.MANAGE)

    def mail_token(self, address: str = "ada@example.org", newsletter: str = "weekly") -> str:
        """The token that lies in every mail of a newsletter to a person."""
        person = self.person(address)
        mine = self.database.read(lambda conn: subscribers.subscriptions_of(conn, person))
        return self.keyring.unsubscribe_token(next(item.id for item in mine if item.newsletter == newsletter))

    def states(self, address: str = "ada@example.org") -> dict[str, str]:
        """The states of a person's subscriptions."""
        person = self.database.read(lambda conn: subscribers.get(conn, address_key=address))
        if person is None:
            return {}
        mine = self.database.read(lambda conn: subscribers.subscriptions_of(conn, person.id))
        return {item.newsletter: item.state.value for item in mine}

    def notices(self) -> list[tuple[str, str]]:
        """(kind, state) of all notices."""
        return [(row["kind"], row["state"]) for row in self.rows(notice_rows)]

    def events(self, address: str = "ada@example.org") -> list[tuple[str, str]]:
        """(newsletter, event) of a person's record of consent."""
        person = self.person(address)
        record = self.database.read(lambda conn: consents.of(conn, person))
        return [(one.newsletter, one.event) for one in record]

    def rows(self, table: Any) -> list[dict[str, Any]]:
        """All rows of a table by id."""

        def look(conn: Connection) -> list[dict[str, Any]]:
            return [dict(row) for row in conn.execute(table.select().order_by(*table.primary_key)).mappings()]

        return self.database.read(look)
