"""The stories of readers: their desk, the notices that it queues, and what an operator may ask about one person."""

from __future__ import annotations

import asyncio

from publisher.app.clock import hexadecimal, key, now
from publisher.app.sending import Sending
from publisher.app.shared import Shared, Stories
from publisher.subscriptions.desk import Desk
from publisher.subscriptions.house import House
from publisher.tokens import Pepper


class Readers(Stories):
    """What readers do by themselves, and what is done about one of them."""

    def __init__(self, shared: Shared, sending: Sending) -> None:
        super().__init__(shared)
        self.pepper = Pepper.load_or_create(shared.config.data_dir / "erasure.key", key())
        self.noticed = asyncio.Event()
        """Set when there may be notices to send."""
        self.house = House(shared.config, shared.renderer, shared.keyring, self.pepper, hexadecimal)
        self.desk = Desk(shared.database, self.house, clock=now, woken=self.noticed.set, inbox=sending.inbox)
