"""The stories of accounts: a link to log in for somebody, and taking an account away."""

from __future__ import annotations

from typing import Any

from publisher import links
from publisher.accounts.gate import Gate
from publisher.accounts.values import Role
from publisher.app.shared import Shared, Stories, silent
from publisher.clock import key, now
from publisher.control import Progress
from publisher.errors import NotFoundError
from publisher.store import audit

FIRST = "admin"
"""Name of the account that the first start makes."""


class Entering(Stories):
    """Who may use the admin pages."""

    def __init__(self, shared: Shared) -> None:
        super().__init__(shared)
        self.gate = Gate(shared.database, clock=now, secret=lambda: key().hex())
        self.address = ""
        """Where the admin pages answer, once they do; "": as the configuration has it."""

    async def invite(self, name: str, role: str | None = None, *, progress: Progress = silent) -> dict[str, Any]:
        """Return a link that logs in once. Raises NotFoundError for an unknown role, and as `Gate.invite`."""
        progress("inviting", 0, None)
        try:
            chosen = Role(role) if role else None
        except ValueError as error:
            raise NotFoundError(f"there is no role {role!r}; the roles are {', '.join(Role)}") from error
        invited = await self.gate.invite(name, chosen)
        base = self.config.web.admin_url or self.address or links.admin(self.config)
        return {
            "name": invited.account.name,
            "role": invited.account.role,
            "link": f"{base.rstrip('/')}/login/{invited.token}",
            "expires_at": invited.expires_at.isoformat(timespec="seconds").replace("+00:00", "Z"),
        }

    async def first(self) -> str:
        """Return a link for the first account while nobody ever logged in, "" from then on."""
        if not await self.gate.is_new():
            return ""
        # On record as every other invitation, though nobody asked for it.
        moment = now()
        await self.database.awrite(
            lambda conn: audit.note(
                conn, who="the service", action="invite_account", subject=f"account {FIRST}, {Role.ADMIN}", now=moment
            )
        )
        return str((await self.invite(FIRST, Role.ADMIN))["link"])

    async def revoke(self, name: str, *, progress: Progress = silent) -> dict[str, Any]:
        """Take an account away with its sessions. Raises NotFoundError and RefusedError as `Gate.revoke`."""
        progress("revoking", 0, None)
        await self.gate.revoke(name)
        return {"name": name, "revoked": True}
