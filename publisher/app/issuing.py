"""What an operator may do with a frozen issue, and how editors hear that one waits for them."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Collection
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Literal

import structlog

from publisher import digests, faults
from publisher.app.sending import Sending
from publisher.app.shared import Shared, Stories, silent
from publisher.clock import dice, now
from publisher.config import Newsletter
from publisher.control import Progress
from publisher.errors import NotFoundError, RefusedError
from publisher.mail.steps import USUAL
from publisher.model import Attempt, Issue, Outcome
from publisher.store import issue_turns, issues, meta
from publisher.store.database import Connection
from publisher.store.issues import WebSegment

log: structlog.stdlib.BoundLogger = structlog.get_logger()


class Issuing(Stories):
    """The stories of issues that exist already."""

    def __init__(self, shared: Shared, sending: Sending) -> None:
        super().__init__(shared)
        self.sending = sending
        self._telling = asyncio.Lock()
        self._failed: dict[str, tuple[int, datetime, str]] = {}
        """Editors who could not be told: how often, when to try again, and why."""

    async def approve(self, ref: str, *, progress: Progress = silent) -> dict[str, Any]:
        """Send a held issue as it was frozen. Raises RefusedError when it is not held, or an article was withdrawn."""
        moment = now()

        def work(conn: Connection) -> Issue:
            issue = _found(conn, ref)
            wait, spread = (timedelta(seconds=issue.settings[f"{what}_seconds"]) for what in ("wait", "spread"))
            if not issue_turns.approve(conn, issue, wait=wait, spread=spread, now=moment):
                raise RefusedError(f"issue {ref} is {issue.state}, not held")
            return _found(conn, ref)

        return await self._turned(ref, work, progress)

    async def pause(self, ref: str, *, progress: Progress = silent) -> dict[str, Any]:
        """Stop sending an issue; what is on the wire ends by itself. Raises RefusedError when it is not being sent."""

        def work(conn: Connection) -> Issue:
            issue = _found(conn, ref)
            if not issue_turns.pause(conn, issue.id, "paused by an operator"):
                raise RefusedError(f"issue {ref} is {issue.state}, not sending")
            return _found(conn, ref)

        return await self._turned(ref, work, progress)

    async def resume(self, ref: str, *, progress: Progress = silent) -> dict[str, Any]:
        """Go on with a paused issue. Raises RefusedError when it is not paused."""

        def work(conn: Connection) -> Issue:
            issue = _found(conn, ref)
            if not issue_turns.resume(conn, issue.id):
                raise RefusedError(f"issue {ref} is {issue.state}, not paused")
            return _found(conn, ref)

        return await self._turned(ref, work, progress)

    async def cancel(self, ref: str, *, progress: Progress = silent) -> dict[str, Any]:
        """End an issue for good; who has it keeps it (K18). Raises RefusedError when it is over."""
        moment = now()

        def work(conn: Connection) -> Issue:
            issue = _found(conn, ref)
            if not issue_turns.cancel(conn, issue, moment):
                raise RefusedError(f"issue {ref} is {issue.state}; nothing of it is left to cancel")
            return _found(conn, ref)

        return await self._turned(ref, work, progress)

    async def _turned(self, ref: str, work: Callable[[Connection], Issue], progress: Progress) -> dict[str, Any]:
        progress(f"issue {ref}", 0, None)
        issue = await self.database.awrite(work)
        faults.point("issue.told")
        log.info("issue turned", issue=issue.ref, newsletter=issue.newsletter, state=issue.state)
        self.shared.woken.set()
        counts = {str(state): count for state, count in sorted(issue.deliveries.items()) if count}
        return {"ref": issue.ref, "newsletter": issue.newsletter, "state": issue.state, "deliveries": counts}

    async def tell_editors(self) -> list[str]:
        """Tell editors of held issues that they were not told of; return why some could not be told.

        Each is noted once the mail is accepted, so that a crash repeats one mail at most, with the same Message-ID, and
        one who cannot be reached costs the others nothing.
        """
        problems: list[str] = []
        if self.shared.paused:
            return problems
        async with self._telling:
            for issue_id in await self.database.aread(issue_turns.untold):
                issue = await self.database.aread(partial(issues.get, id=issue_id))
                found = await self._tell(issue) if issue is not None else []
                problems += found
                if not found:
                    await self.database.awrite(partial(self._told_all, issue_id=issue_id, issue=issue))
        return problems

    @staticmethod
    def _told_all(conn: Connection, issue_id: int, issue: Issue | None) -> None:
        issue_turns.told(conn, issue_id, now())
        if issue is not None:
            meta.drop(conn, _notes_key(issue))

    async def _tell(self, issue: Issue) -> list[str]:
        """Return why some of an issue's editors are not told yet."""
        newsletter = next((one for one in self.config.newsletters if one.slug == issue.newsletter), None)
        if newsletter is None or not newsletter.editors:
            return []
        language = self.config.site.default_language
        page = await self.database.aread(lambda conn: issues.web_segment(conn, issue.id, language))
        if page is None:
            return [f"issue {issue.ref} has no page to show"]
        notes = set((await self.database.aread(lambda conn: meta.get(conn, _notes_key(issue))) or "").split())
        await self.sending.prepare()
        transport = self.sending.transport(newsletter.transport)
        problems: list[str] = []
        try:
            for address in newsletter.editors:
                name = _name(issue, address)
                if name in notes:
                    continue
                failed, again_at, problem = self._failed.get(name, (0, issue.created_at, ""))
                if now() >= again_at:
                    message = await self._message(newsletter, issue, page, address)
                    attempt = await transport.send(newsletter.from_address, address, message)
                    became = _became(attempt, self.config.smtp.on_uncertain, doubted=f"{name}?" in notes)
                    if became != "failed":
                        notes.add(name if became == "told" else f"{name}?")
                        await self.database.awrite(partial(_note, issue=issue, notes=frozenset(notes)))
                    if became == "told":
                        self._failed.pop(name, None)
                        continue
                    problem = f"{address}: {attempt.text}"
                    log.warning("editors not told", reason=problem)
                    pause = USUAL.pause(failed, dice()) if failed else timedelta()
                    self._failed[name] = (failed + 1, now() + pause, problem)
                problems.append(problem)
        finally:
            await transport.close()
        return problems

    async def _message(self, newsletter: Newsletter, issue: Issue, page: WebSegment, address: str) -> bytes:
        """Return the mail to one editor, the same on every attempt."""
        moment = issue.created_at
        message = digests.approval_mail(
            self.config, newsletter, issue, page, address, now=moment, ids=lambda: _name(issue, address)
        )
        if self.shared.signer is not None:
            message = self.shared.signer.signed(message, from_address=newsletter.from_address, date=moment)
        return message


def _notes_key(issue: Issue) -> str:
    return f"editors told of {issue.ref}"


def _name(issue: Issue, address: str) -> str:
    """Return what stands for an editor in the notes of an issue and in the Message-ID: the same on every attempt."""
    return hashlib.sha256(f"{issue.ref} {address}".encode()).hexdigest()[:16]


def _became(
    attempt: Attempt, on_uncertain: Literal["retry", "hold"], *, doubted: bool
) -> Literal["told", "doubtful", "failed"]:
    """Say what an attempt made of an editor: in doubt it is made once more, unless no mail is ever to be sent twice."""
    if attempt.outcome is Outcome.AMBIGUOUS:
        return "doubtful" if on_uncertain == "retry" and not doubted else "told"
    return "told" if attempt.outcome is Outcome.ACCEPTED else "failed"


def _note(conn: Connection, issue: Issue, notes: Collection[str]) -> None:
    meta.put(conn, _notes_key(issue), " ".join(sorted(notes)))


def _found(conn: Connection, ref: str) -> Issue:
    issue = issues.get(conn, ref=ref)
    if issue is None:
        raise NotFoundError(f"there is no issue {ref!r}; `publisher issues list` shows their refs")
    return issue
