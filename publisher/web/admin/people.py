"""Accounts and the audit log, for admins."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from publisher.accounts.values import Role
from publisher.errors import PublisherError, StoreError
from publisher.web.admin.frame import Frame, sentence
from publisher.web.admin.ways import form_of, known_visit
from publisher.web.chrome import PRIVATE

ROWS = 100
"""Entries of the audit log on one page."""

_MEANINGS = {
    Role.VIEWER: "sees numbers, issues and previews; no reader's address",
    Role.EDITOR: "decides about issues and deliveries, and looks after readers",
    Role.ADMIN: "looks after accounts, reads the audit log, takes all readers away as a file",
}


class People:
    """One method a page."""

    def __init__(self, frame: Frame) -> None:
        self.frame = frame
        self.gate = frame.office.gate

    async def accounts(self, request: Request) -> Response:
        """List the accounts, and offer to invite somebody."""
        return await self._accounts(request)

    async def _accounts(self, request: Request, **more: Any) -> Response:  # noqa: ANN401 - values of the template
        words, visit = self.frame.words(request), known_visit(request)
        listed = [
            {
                "name": one.account.name,
                "role": str(one.account.role),
                "mine": one.account.id == visit.session.account.id,
                "entered": words.date(one.account.entered_at, "time") if one.account.entered_at else "never",
                "seen": words.date(one.seen_at, "time") if one.seen_at else "",
                "sessions": one.sessions,
            }
            for one in await self.gate.listing()
        ]
        given: dict[str, Any] = {
            "accounts": listed,
            "roles": [{"name": str(role), "meaning": meaning} for role, meaning in _MEANINGS.items()],
            "fresh": visit.session.is_fresh(self.frame.parts.clock()),
            "invited": None,
            "problem": "",
        }
        status = more.pop("status", 200)
        return self.frame.show(request, "web/admin/accounts.html.j2", "Accounts", status=status, **(given | more))

    async def invite(self, request: Request) -> Response:
        """Make a link that logs in once, and show it this one time."""
        visit = known_visit(request)
        if (stale := self.stale(request)) is not None:
            return stale
        form = form_of(request)
        arguments = {"name": form.one("name"), "role": form.one("role") or None}
        try:
            done = await self.frame.office.act(visit.name, "invite_account", arguments, form=visit.once)
        except StoreError:
            raise
        except PublisherError as error:
            return await self._accounts(request, problem=sentence(error), status=409)
        if done.get("already"):
            text = "This form was sent before, and its link is shown only once. Invite again for another link."
            return await self._accounts(request, problem=text)
        return await self._accounts(request, invited=done)

    async def revoke(self, request: Request) -> Response:
        """Take an account away."""
        if (stale := self.stale(request)) is not None:
            return stale
        return await self.frame.act(request, "revoke_account", {"name": form_of(request).one("name")}, "/accounts")

    async def audit(self, request: Request) -> Response:
        """Show what was done, by whom, the latest first."""
        words = self.frame.words(request)
        before = number(request.query_params.get("before", ""))
        found = await self.gate.audited(before=before, limit=ROWS + 1)
        rows = [
            {
                "when": words.date(one.recorded_at, "time"),
                "iso": one.recorded_at.isoformat(timespec="seconds"),
                "who": one.who,
                "action": one.action.replace("_", " "),
                "subject": one.subject,
            }
            for one in found[:ROWS]
        ]
        older = f"/audit?before={found[ROWS - 1].id}" if len(found) > ROWS else ""
        return self.frame.show(
            request, "web/admin/audit.html.j2", "Audit log", rows=rows, older=older, newest=before is None
        )

    def stale(self, request: Request) -> Response | None:
        """Ask for a new login, where the last one is too long ago for what is asked; None when it is not (L14)."""
        if known_visit(request).session.is_fresh(self.frame.parts.clock()):
            return None
        return RedirectResponse("/fresh", 303, PRIVATE)

    async def fresh(self, request: Request) -> Response:
        """Say that this needs a login of the last minutes, and how to get one."""
        return self.frame.show(request, "web/admin/fresh.html.j2", "Please log in again")


def number(text: str) -> int | None:
    """Return a row's number, None for what cannot be one."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 18 else None
