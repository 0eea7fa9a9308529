"""Every change that somebody asks for goes on record first: who, what, to what (spec delivery §8)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import structlog

from publisher import addresses
from publisher.app.shared import silent
from publisher.clock import now
from publisher.control import Progress
from publisher.errors import PublisherError
from publisher.store import audit, subscribers
from publisher.store.database import Connection, Database

log: structlog.stdlib.BoundLogger = structlog.get_logger()

Action = Callable[..., Awaitable[Any]]

COMMAND = "command line"
"""Who acts when a command does: whoever may use this machine's files as the service does."""

_ALREADY: dict[str, Any] = {"already": True}


def _issue(arguments: Mapping[str, Any]) -> str:
    return f"issue {arguments['ref']}"


def _deliveries(arguments: Mapping[str, Any]) -> str:
    ids = list(arguments["ids"])
    shown = ", ".join(str(id_) for id_ in ids[:10])
    return f"{len(ids)} deliveries: {shown}{', …' if len(ids) > 10 else ''}"


def _articles(arguments: Mapping[str, Any]) -> str:
    named = arguments.get("refs") or ()
    return f"articles {', '.join(named)}" if named else "articles"


def _account(arguments: Mapping[str, Any]) -> str:
    role = arguments.get("role")
    return f"account {arguments['name']}" + (f", {role}" if role else "")


_SUBJECTS: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
    "dispatch": lambda arguments: f"newsletter {arguments['newsletter']}",
    "test": lambda arguments: f"newsletter {arguments['newsletter']}",
    "approve": _issue,
    "pause": _issue,
    "resume": _issue,
    "cancel": _issue,
    "unsuppress_issue": _issue,
    "resend": _deliveries,
    "mark_sent": _deliveries,
    "send": lambda _: "",
    "release": _articles,
    "withdraw": _articles,
    "pin": _articles,
    "add_subscriber": lambda _: "",
    "import_subscribers": lambda _: "",
    "import_begin": lambda _: "",
    "export_subscribers": lambda _: "",
    "rotate_keys": lambda _: "",
    "invite_account": _account,
    "revoke_account": _account,
}
"""What is put on record, with the words that name its subject; collecting, building and reading are not changes."""
_OF_PERSONS = ("suppress", "unsuppress", "erase_subscriber")
"""Actions on the person behind `address`: named by number, for the record outlives an erasure."""


class Acting:
    """Performs actions by name for somebody, each after its entry in the audit log."""

    def __init__(self, database: Database, actions: Mapping[str, Action]) -> None:
        self._database = database
        self._actions = actions

    async def perform(
        self,
        who: str,
        action: str,
        arguments: Mapping[str, Any],
        *,
        form: str | None = None,
        progress: Progress = silent,
    ) -> Any:  # noqa: ANN401 - a JSON value
        """Do what somebody asks for, and return what came of it.

        `form` names the form that asked: what it asked for already is not done again, and `{"already": True}` returned
        (K16). The entry is written before the deed, so that none is without one; a refusal gets an entry of its own.
        """
        if action not in _SUBJECTS and action not in _OF_PERSONS:
            return await self._actions[action](**arguments, progress=progress)
        subject = await self._subject(action, arguments)
        if not await self._note(who, action, subject, form):
            return _ALREADY
        try:
            return await self._actions[action](**arguments, progress=progress)
        except PublisherError:
            await self._note(who, f"{action} refused", subject, None)
            raise

    def told_by(self, who: str) -> dict[str, Action]:
        """Return all actions as somebody may ask for them."""

        def bound(name: str) -> Action:
            async def act(*, progress: Progress = silent, **arguments: Any) -> Any:  # noqa: ANN401 - JSON values
                return await self.perform(who, name, arguments, progress=progress)

            return act

        return {name: bound(name) for name in self._actions}

    async def _subject(self, action: str, arguments: Mapping[str, Any]) -> str:
        if action in _SUBJECTS:
            return _SUBJECTS[action](arguments)
        try:
            key = addresses.parse(arguments["address"]).key
        except ValueError:
            return "an address that is none"
        person = await self._database.aread(lambda conn: subscribers.get(conn, address_key=key))
        return f"reader {person.id}" if person else "an address of no reader"

    async def _note(self, who: str, action: str, subject: str, form: str | None) -> bool:
        moment = now()

        def work(conn: Connection) -> bool:
            return audit.note(conn, who=who, action=action, subject=subject, now=moment, form=form)

        return await self._database.awrite(work)
