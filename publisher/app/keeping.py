"""House-keeping: what is kept of mails only for as long as it serves."""

from __future__ import annotations

from datetime import datetime
from functools import partial

import structlog

from publisher.app.shared import Stories
from publisher.clock import now
from publisher.store import forgetting
from publisher.store.forgetting import Forgotten

log: structlog.stdlib.BoundLogger = structlog.get_logger()

MOST_STEPS = 500
"""Transactions of one sweep at most: sending goes on between them, and the next sweep goes on here."""


class Keeping(Stories):
    """The stories of what goes by itself."""

    async def forget(self) -> int:
        """Empty what servers said of old mails, and then forget whose they were; returns how many it concerned."""
        moment, kept, number = now(), self.config.keeping, 0
        words_before, readers_before = moment - kept.words_for, moment - kept.readers_for
        await self.database.awrite(partial(forgetting.forget_soft_bounces, before=words_before))
        # Readers first: what goes with them need not go twice.
        for what, before in ((Forgotten.READERS, readers_before), (Forgotten.WORDS, words_before)):
            number += await self._steps(what, before)
        if number:
            log.info("old mails forgotten", deliveries=number)
        return number

    async def _steps(self, what: Forgotten, before: datetime) -> int:
        number = 0
        for _ in range(MOST_STEPS):
            done = await self.database.awrite(partial(forgetting.forget, what=what, before=before))
            if done is None or self.shared.stop.is_set():
                break
            number += done
        return number
