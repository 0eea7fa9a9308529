"""Commands about who may use the admin pages."""

from __future__ import annotations

from typing import Annotated

import typer

from publisher import reports
from publisher.cli import printing, show_accounts
from publisher.cli.reach import Json, do, load, read
from publisher.clock import now

admin_cli = typer.Typer(no_args_is_help=True, help="Accounts of the admin pages: who may log in, and as what.")

Name = Annotated[str, typer.Argument(help="Name of the account, as the audit log shows it.")]


@admin_cli.command("invite")
def admin_invite(
    name: Name,
    role: Annotated[
        str | None, typer.Option("--role", help="viewer, editor or admin; default: as it was, viewer for a new one.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Print a link that logs in once, within the hour. Makes the account when there is none."""
    printing.value(do("invite_account", {"name": name, "role": role}), as_json, show_accounts.invited)


@admin_cli.command("list")
def admin_list(as_json: Json = False) -> None:
    """List the accounts with their roles and open sessions."""
    moment = now()
    printing.value(read(load(), lambda conn: reports.account_list(conn, moment)), as_json, show_accounts.accounts)


@admin_cli.command("revoke")
def admin_revoke(name: Name, as_json: Json = False) -> None:
    """Take an account away: it is logged out everywhere, and its links are good no more."""
    printing.value(do("revoke_account", {"name": name}), as_json, show_accounts.revoked)
