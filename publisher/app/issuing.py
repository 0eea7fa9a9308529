"""What an operator may do with a frozen issue, and how editors hear that one waits for them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any

import structlog

from publisher import digests, faults
from publisher.app.sending import Sending
from publisher.app.shared import Shared, Stories, silent
from publisher.clock import hexadecimal, now
from publisher.control import Progress
from publisher.errors import NotFoundError, RefusedError
from publisher.model import Issue
from publisher.store import issue_turns, issues
from publisher.store.database import Connection

log: structlog.stdlib.BoundLogger = structlog.get_logger()


class Issuing(Stories):
    """The stories of issues that exist already."""

    def __init__(self, shared: Shared, sending: Sending) -> None:
        super().__init__(shared)
        self.sending = sending
        self._telling = asyncio.Lock()

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

        Noted only when all of a newsletter's editors were reached, so a crash tells some of them twice.
        """
        problems: list[str] = []
        if self.shared.paused:
            return problems
        async with self._telling:
            for issue_id in await self.database.aread(issue_turns.untold):
                issue = await self.database.aread(partial(issues.get, id=issue_id))
                problem = await self._tell(issue) if issue is not None else ""
                if problem:
                    log.warning("editors not told", reason=problem)
                    problems.append(problem)
                    continue
                await self.database.awrite(partial(issue_turns.told, id=issue_id, now=now()))
        return problems

    async def _tell(self, issue: Issue) -> str:
        newsletter = next((one for one in self.config.newsletters if one.slug == issue.newsletter), None)
        if newsletter is None or not newsletter.editors:
            return ""
        language = self.config.site.default_language
        page = await self.database.aread(lambda conn: issues.web_segment(conn, issue.id, language))
        if page is None:
            return f"issue {issue.ref} has no page to show"
        await self.sending.prepare()
        transport = self.sending.transport(newsletter.transport)
        try:
            for address in newsletter.editors:
                moment = now()
                message = digests.approval_mail(
                    self.config, newsletter, issue, page, address, now=moment, ids=hexadecimal
                )
                if self.shared.signer is not None:
                    message = self.shared.signer.signed(message, from_address=newsletter.from_address, date=moment)
                attempt = await transport.send(newsletter.from_address, address, message)
                if attempt.outcome != "accepted":
                    return f"{address}: {attempt.text}"
        finally:
            await transport.close()
        return ""


def _found(conn: Connection, ref: str) -> Issue:
    issue = issues.get(conn, ref=ref)
    if issue is None:
        raise NotFoundError(f"there is no issue {ref!r}; `publisher issues list` shows their refs")
    return issue
