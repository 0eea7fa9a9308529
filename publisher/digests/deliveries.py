"""The deliveries of an issue, each made when it is looked at: a million of them as values would fill a gigabyte."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import overload

from publisher.mail.message import message_id
from publisher.model import NewDelivery


@dataclass(frozen=True, slots=True)
class Mail:
    """What readers with the same wishes get, and when."""

    segment_key: str
    cursor: int
    due_at: datetime


class Deliveries(Sequence[NewDelivery]):
    """One delivery for each reader; the same ones whenever they are looked at."""

    def __init__(
        self,
        mails: Sequence[Mail],
        subscription_ids: Sequence[int],
        places: Sequence[int],
        *,
        to_seq: int,
        wait: timedelta,
        identity: Callable[[int], str],
        spread: timedelta = timedelta(),
    ) -> None:
        """`places`: for each subscription the place of its mail in `mails`; `identity`: its Message-ID.

        `spread`: how long the mails come due one after another, in the order of their identities, which has nothing to
        do with that of sign-up. `wait`: how long after it is due each is worth sending.
        """
        self._mails, self._ids, self._places = mails, subscription_ids, places
        self._to_seq, self._wait, self._identity = to_seq, wait, identity
        self._expiries = [mail.due_at + wait for mail in mails]
        self._later = array("q", bytes(8 * len(subscription_ids))) if spread else None
        if self._later is not None:
            for turn, place in enumerate(sorted(range(len(self)), key=lambda place: identity(self._ids[place]))):
                self._later[place] = turn * (spread // timedelta.resolution) // len(self)

    def __len__(self) -> int:
        return len(self._ids)

    def __iter__(self) -> Iterator[NewDelivery]:
        return map(self._made, range(len(self._ids)))

    @overload
    def __getitem__(self, place: int) -> NewDelivery: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[NewDelivery]: ...
    def __getitem__(self, place: int | slice) -> NewDelivery | Sequence[NewDelivery]:
        places = range(len(self))[place]
        return self._made(places) if isinstance(places, int) else [self._made(one) for one in places]

    def _made(self, place: int) -> NewDelivery:
        kind, subscription_id = self._places[place], self._ids[place]
        mail, expires_at = self._mails[kind], self._expiries[kind]
        due_at = mail.due_at
        if self._later is not None:
            later = timedelta(microseconds=self._later[place])
            due_at, expires_at = due_at + later, expires_at + later
        return NewDelivery(
            subscription_id=subscription_id,
            segment_key=mail.segment_key,
            to_seq=self._to_seq,
            due_at=due_at,
            expires_at=expires_at,
            message_id=self._identity(subscription_id),
            cursor=mail.cursor,
        )


def identities(issue_ref: str, secret: str, domain: str) -> Callable[[int], str]:
    """Return what gives each subscription's mail its Message-ID (H4), which nobody guesses who does not know `secret`.

    Raises ValueError for a domain that cannot stand there.
    """
    token = "0" * 16
    before, _, after = message_id(issue_ref, token, domain).rpartition(token)
    keyed = hashlib.blake2b(key=secret.encode(), digest_size=len(token) // 2)

    def identity(subscription_id: int) -> str:
        own = keyed.copy()
        own.update(b"%d" % subscription_id)
        return f"{before}{own.hexdigest()}{after}"

    return identity
