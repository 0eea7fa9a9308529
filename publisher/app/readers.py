"""The stories of readers: their desk, the notices that it queues, and what an operator may ask about one person."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import structlog

from publisher import addresses, faults
from publisher.app.keys import alone, erasure_file, key_file, rotated
from publisher.app.lanes import paces
from publisher.app.sending import RESENT_FOR, Sending
from publisher.app.shared import Shared, Stories, paused_because, silent
from publisher.clock import dice, hexadecimal, key, now
from publisher.config import Config
from publisher.control import Progress
from publisher.errors import NotFoundError, RefusedError
from publisher.mail.steps import Policy
from publisher.store import deliveries, issues, subscribers, suppressions
from publisher.store import notices as notice_rows
from publisher.store.database import Connection
from publisher.store.suppressions import Blamed
from publisher.subscriptions import erasure, notices
from publisher.subscriptions.desk import Desk
from publisher.subscriptions.house import House
from publisher.tokens import Keyring, Pepper, rotate

log: structlog.stdlib.BoundLogger = structlog.get_logger()


class Readers(Stories):
    """What readers do by themselves, and what is done about one of them."""

    def __init__(self, shared: Shared, sending: Sending) -> None:
        super().__init__(shared)
        self.sending = sending
        self.pepper = shared.pepper
        self.counted: Counter[str] = Counter()
        """How many attempts to send notices came to what since this process began."""
        self.noticed = asyncio.Event()
        """Set when there may be notices to send."""
        self._notifying = asyncio.Lock()
        self._unwritten: list[notices.Unwritten] = []
        """What came of notices, as far as it could not be written yet (J4)."""
        self._broken_off = False
        """Whether the last run ended by an error, and may have left a claim behind."""
        self.adopt()

    def adopt(self) -> None:
        """Go by the configuration that is shared now: what is under way ends by the one that it began with."""
        shared = self.shared
        self.house = House(shared.config, shared.renderer, shared.keyring, self.pepper, hexadecimal)
        self.desk = Desk(shared.database, self.house, clock=now, woken=self.noticed.set, inbox=self.sending.inbox)

    @property
    def actions(self) -> dict[str, Callable[..., Any]]:
        """What a command may ask of a running service."""
        return {
            "erase_subscriber": self.erase,
            "export_subscribers": self.export,
            "suppress": self.suppress,
            "unsuppress": self.unsuppress,
            "unsuppress_issue": self.unsuppress_issue,
            "rotate_keys": self.rotate_keys,
        }

    async def notify(self) -> dict[str, Any]:
        """Send the notices that are due."""
        if await self.database.aread(notice_rows.next_at) is None and not self._broken_off:
            return asdict(notices.Report())
        if self.shared.paused:
            return asdict(notices.Report(held=paused_because(self.shared.paused)))
        await self.sending.prepare()
        async with self._notifying:
            self._broken_off = True
            report = await notices.send_due(
                self.database,
                self.house,
                self.sending.transport,
                signer=self.shared.signer,
                epoch=self.sending.worker.epoch,
                clock=now,
                dice=dice,
                stop=self.shared.stop,
                policy=Policy(on_uncertain=self.config.smtp.on_uncertain),
                limits=paces(self.config),
                backlog=self._unwritten,
            )
            self._broken_off = False
        values = asdict(report)
        self.counted.update(
            {outcome: number for outcome, number in values.items() if isinstance(number, int) and number}
        )
        return values

    async def settle(self) -> None:
        """Write what came of notices and is not written yet. Raises StoreError or BusyError."""
        async with self._notifying:
            if self._unwritten:
                await notices.settle(self.database, self._unwritten, epoch=self.sending.worker.epoch, clock=now)

    async def sweep(self) -> int:
        """Erase who never confirmed, and forget what has served; returns how many sign-ups were erased (F22)."""
        erased = await self.desk.sweep()
        if erased:
            log.info("forgotten", unconfirmed=erased)
        return erased

    async def erase(self, address: str, *, progress: Progress = silent) -> dict[str, Any]:
        """Forget a person. Raises NotFoundError when nothing is known of them; their hash is kept all the same."""
        progress("erasing", 0, None)
        parsed = _parsed(address)
        known = await erasure.erase(self.database, self.pepper, parsed.address, parsed.key, self.sending.inbox, now())
        log.info("erased", known=known)
        if not known:
            raise NotFoundError(f"nothing is known of {address}; later imports leave it out")
        return {"address": address, "erased": True}

    async def export(self, *, progress: Progress = silent) -> dict[str, Any]:
        """Allow that all readers are taken away as a file: an action of its own because it goes on record (L14)."""
        progress("exporting", 0, None)
        return {"allowed": True}

    async def suppress(self, address: str, *, reason: str = "", progress: Progress = silent) -> dict[str, Any]:
        """Never mail an address again, until `unsuppress`."""
        progress("suppressing", 0, None)
        parsed, moment = _parsed(address), now()
        words = reason or "suppressed by the operator"
        new = await self.database.awrite(
            lambda conn: subscribers.suppress(conn, parsed.key, reason=words, kind="operator", now=moment)
        )
        return {"address": parsed.address, "suppressed": True, "new": new}

    async def unsuppress(self, address: str, *, progress: Progress = silent) -> dict[str, Any]:
        """Let an address be mailed again; whoever left stays away. Raises NotFoundError when it was not suppressed."""
        progress("unsuppressing", 0, None)
        parsed, moment = _parsed(address), now()

        def work(conn: Connection) -> bool:
            return erasure.unsuppress(conn, parsed.key, self.pepper.hash(parsed.key), moment)

        if not await self.database.awrite(work):
            raise NotFoundError(f"{address} is not suppressed")
        return {"address": parsed.address, "suppressed": False}

    async def unsuppress_issue(self, ref: str, *, resend: bool = False, progress: Progress = silent) -> dict[str, Any]:
        """Let everybody be mailed again whose address the replies to one issue suppressed (H9); `resend`: this too.

        Raises NotFoundError when there is no such issue.
        """
        progress("unsuppressing", 0, None)
        moment = now()

        def work(conn: Connection) -> tuple[list[Blamed], list[int]]:
            # All at once: of whom is mailable again, a second call would not know that the issue is still to be sent.
            issue = issues.get(conn, ref=ref)
            if issue is None:
                raise NotFoundError(f"there is no issue {ref!r}; `publisher issues list` shows their refs")
            found = suppressions.blamed(conn, issue.id)
            for one in found:
                erasure.unsuppress(conn, one.address_key, self.pepper.hash(one.address_key), moment)
            ids = [one.delivery_id for one in found if resend]
            return found, deliveries.resend(conn, ids, now=moment, until=moment + RESENT_FOR) if ids else []

        lifted, again = await self.database.awrite(work)
        if again:
            self.shared.woken.set()
        return {"issue": ref, "addresses": [one.address for one in lifted], "waiting": again}

    async def rotate_keys(self, *, progress: Progress = silent) -> dict[str, Any]:
        """Sign the links of new mail with a new key from now on; all links that were ever sent work on (F13).

        Raises ConfigurationError when the key file cannot be read any more, RefusedError when another worker of the
        database runs, which would not know the new key; then everything stays as it was.
        """
        progress("rotating", 0, None)
        file, ring = key_file(self.config), self.shared.keyring
        await self.database.awrite(lambda conn: alone(conn, self.sending.worker.epoch))
        keys = await asyncio.to_thread(rotate, file, key())
        faults.point("keys.written")
        ring.adopt(await asyncio.to_thread(Keyring.load, file))
        await self.database.awrite(lambda conn: rotated(conn, ring))
        log.info("keys rotated", keys=keys)
        return {"file": str(file), "signs": ring.current, "keys": keys}


def pepper_of(config: Config) -> Pepper:
    """Return the key by which erased people are known again, made when there is none yet."""
    return Pepper.load_or_create(erasure_file(config), key())


def _parsed(address: str) -> addresses.Address:
    try:
        return addresses.parse(address)
    except ValueError as error:
        raise RefusedError(f"{address!r}: {error}") from error
