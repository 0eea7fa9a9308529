"""The desk: everything that a page or a mail program asks for a reader, each in one transaction."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, timedelta
from functools import partial
from typing import Any, TypeVar

from publisher import addresses
from publisher.mail.inbox import Inbox
from publisher.store import erasures, links, notices, requests, sign_ups
from publisher.store.database import Connection, Database
from publisher.subscriptions import choices, consent, erasure, moving, preferring, signing
from publisher.subscriptions.house import FORGOTTEN_AFTER, House
from publisher.subscriptions.limits import KEPT
from publisher.subscriptions.preferring import Access
from publisher.subscriptions.values import (
    AddressChange,
    Answer,
    AnswerKind,
    Change,
    Confirming,
    FieldProblem,
    Held,
    Left,
    Offer,
    Outcome,
    Preferences,
    Rights,
    SignUp,
    Wording,
)
from publisher.tokens import Purpose

NOTICES_KEPT = timedelta(days=30)
"""How long a finished notice is remembered, for questions of the kind "did you send me a mail?"."""

T = TypeVar("T")


class Desk:
    """What readers can do by themselves. Every answer that says something was done, was committed before.

    A token that opens nothing gives None, whatever is wrong with it. `client` is the client's address as
    `web.polls.Clients` tells it, None when nobody can. `language` is that of the page; it may be empty.
    All methods that ask the database raise StoreError or BusyError when it cannot answer.
    """

    def __init__(
        self,
        db: Database,
        house: House,
        *,
        clock: Callable[[], datetime],
        woken: Callable[[], None],
        inbox: Inbox | None,
    ) -> None:
        """Sit down. `woken` is called when a notice was queued."""
        self._db, self._house, self._clock, self._woken, self._inbox = db, house, clock, woken, inbox

    # Signing up

    def wording(self, language: str) -> Wording:
        """Return the sentence that people agree to."""
        return consent.wording(self._house.config, self._house.renderer, self._house.language(language))

    def offers(self, language: str) -> tuple[Offer, ...]:
        """Return the newsletters that anybody may sign up for."""
        config = self._house.config
        language = self._house.language(language)
        return tuple(choices.offer(config, one, language) for one in config.newsletters if one.signup)

    def stamp(self) -> str:
        """Return what a form carries to show when it was shown, for `age`."""
        return self._house.keyring.token(Purpose.FORM, int(self._clock().timestamp()))

    def age(self, stamp: str) -> float | None:
        """Return how many seconds ago a form was shown, None for a stamp that is not ours (F8)."""
        shown = self._house.keyring.read(Purpose.FORM, stamp)
        return None if shown is None else self._clock().timestamp() - shown

    async def sign_up(self, form: SignUp, *, client: str | None) -> Answer:
        """Take a sign-up form; what the answer says holds for every address there is (F6)."""
        wish = signing.understand(self._house, form)
        if isinstance(wish, Answer):
            return wish
        return await self._mailed(partial(signing.sign_up, house=self._house, wish=wish, client=client))

    async def send_link(self, address: str, *, language: str = "", client: str | None) -> Answer:
        """Send a fresh link to an address, if it is somebody's."""
        try:
            parsed = addresses.parse(address)
        except ValueError:
            return Answer(kind=AnswerKind.INVALID, problems=(FieldProblem("address", "invalid"),))
        return await self._mailed(
            partial(signing.ask_for_link, house=self._house, address=parsed, language=language, client=client)
        )

    async def confirming(self, token: str, *, language: str = "") -> Confirming | None:
        """Return what a confirm link stands for, and change nothing."""
        now = self._clock()
        return await self._db.aread(lambda conn: signing.confirming(conn, self._house, token, language, now))

    async def confirm(
        self, token: str, *, language: str = "", client: str | None, again: bool = False
    ) -> Confirming | None:
        """Confirm; `again` says explicitly that mail may come although it was stopped (F20)."""
        return await self._mailed(
            partial(signing.confirm, house=self._house, token=token, language=language, client=client, again=again)
        )

    async def renew(self, token: str, *, language: str = "", client: str | None) -> Answer | None:
        """Send a new confirmation mail to somebody whose link came too late."""
        return await self._mailed(
            partial(signing.renew, house=self._house, token=token, language=language, client=client)
        )

    # Preferences

    async def preferences(self, token: str, *, language: str = "") -> Preferences | None:
        """Return what a link from any mail, or a fresh one, lets its holder see."""
        return await self._shown(token, partial(preferring.shown, language=language))

    async def change(self, token: str, wish: Change, *, client: str | None) -> Outcome | None:
        """Change all that is wished, or nothing."""
        return await self._done(token, partial(preferring.change, wish=wish, client=client))

    async def pause(self, token: str, newsletter: str, until: date | None, *, client: str | None) -> Outcome | None:
        """Pause a newsletter until a day, or let it come again."""
        return await self._done(token, partial(preferring.pause, newsletter=newsletter, until=until, client=client))

    async def send_link_for(self, token: str, *, language: str = "", client: str | None) -> Answer | None:
        """Send a fresh link to the person whose mail a link lies in."""
        answer = await self._done(token, partial(preferring.link_for, language=language, client=client))
        self._woken()
        return answer

    # Leaving

    async def leaving(self, token: str, *, language: str = "") -> Held | None:
        """Return what the link of a mail would end, and change nothing."""
        return await self._shown(token, partial(preferring.leaving, language=language))

    async def leave(
        self,
        token: str,
        *,
        method: str = "link",
        newsletter: str = "",
        everything: bool = False,
        client: str | None = None,
    ) -> Left | None:
        """End a subscription, or all; durable when this returns, and no mail is begun after it (P3, F16)."""
        return await self._done(
            token,
            partial(preferring.leave, method=method, newsletter=newsletter, everything=everything, client=client),
        )

    # Moving

    async def ask_address(
        self, token: str, new_address: str, *, language: str = "", client: str | None
    ) -> Answer | None:
        """Send a mail to a new address; needs a fresh link."""
        try:
            parsed = addresses.parse(new_address)
        except ValueError:
            problem = FieldProblem("address", "invalid")
            opened = await self._access(token)
            return Answer(kind=AnswerKind.INVALID, problems=(problem,)) if opened else None
        story = partial(moving.ask, new=parsed, language=language, client=client)
        answer = await self._done(token, story, Rights.ALL)
        self._woken()
        return answer

    async def address_change(self, token: str, *, language: str = "") -> AddressChange | None:
        """Return what the link in the mail to a new address stands for, and change nothing."""
        now = self._clock()
        return await self._db.aread(lambda conn: moving.shown(conn, self._house, token, language, now))

    async def confirm_address(self, token: str, *, language: str = "", client: str | None) -> AddressChange | None:
        """Move to the new address."""
        return await self._mailed(
            partial(moving.confirm, house=self._house, token=token, language=language, client=client)
        )

    # What is known of a person

    async def my_data(self, token: str) -> dict[str, Any] | None:
        """Return everything held about a person as JSON values; needs a fresh link."""

        def look(conn: Connection, house: House, opened: Access, now: datetime) -> dict[str, Any] | None:  # noqa: ARG001
            key = opened.person.address_key
            return erasure.everything(conn, key, house.pepper.hash(key))

        return await self._shown(token, look, Rights.ALL)

    async def erase(self, token: str) -> bool | None:
        """Forget a person, everywhere; needs a fresh link, which is dead afterwards."""
        opened = await self._access(token)
        if opened is None:
            return None
        person = opened.person
        now, pepper = self._clock(), self._house.pepper
        return await erasure.erase(self._db, pepper, person.address, person.address_key, self._inbox, now)

    async def sweep(self) -> int:
        """Erase what nobody confirmed in time, and forget links, notices and counts that have served (F22)."""
        now = self._clock()
        gone = 0
        while forgotten := await self._db.awrite(lambda conn: sign_ups.forget(conn, now - FORGOTTEN_AFTER)):
            gone += forgotten

        def forget(conn: Connection) -> None:
            erasures.blank(conn)
            requests.forget(conn, now - KEPT)
            links.forget(conn, now - FORGOTTEN_AFTER)
            notices.forget(conn, now - NOTICES_KEPT)

        await self._db.awrite(forget)
        return gone

    async def _access(self, token: str) -> Access | None:
        """Return whom a fresh link speaks for, None for any other."""
        now = self._clock()
        opened = await self._db.aread(lambda conn: preferring.access(conn, self._house, token, now))
        return opened if opened and opened.rights is Rights.ALL else None

    async def _mailed(self, story: Callable[..., T]) -> T:
        """Tell a story that may queue a notice."""
        now = self._clock()
        done = await self._db.ashare(lambda conn: story(conn, now=now))
        self._woken()
        return done

    async def _shown(self, token: str, story: Callable[..., T | None], rights: Rights = Rights.LESS) -> T | None:
        return await self._db.aread(partial(self._opened, token=token, story=story, rights=rights, now=self._clock()))

    async def _done(self, token: str, story: Callable[..., T | None], rights: Rights = Rights.LESS) -> T | None:
        return await self._db.ashare(partial(self._opened, token=token, story=story, rights=rights, now=self._clock()))

    def _opened(
        self, conn: Connection, *, token: str, story: Callable[..., T | None], rights: Rights, now: datetime
    ) -> T | None:
        opened = preferring.access(conn, self._house, token, now)
        if opened is None or (rights is Rights.ALL and opened.rights is not Rights.ALL):
            return None
        return story(conn, self._house, opened, now=now)
