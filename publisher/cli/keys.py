"""New keys for signing mail, and what the DNS and the configuration must say of them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

import typer
from rich.markup import escape

from publisher.cli import printing
from publisher.cli.console import out
from publisher.cli.reach import Json, do, load
from publisher.clock import now
from publisher.config import Config
from publisher.config.values import selector as checked
from publisher.errors import PublisherError, RefusedError
from publisher.mail import dkim
from publisher.mail.dkim import Kind

CONSEQUENCES = (
    "Without the key of links nobody can leave, confirm or open settings by a link in mail that was sent until now, "
    "and mail that comes back is not recognised. Without the key of erasures an import brings erased people back."
)
"""What the loss of the keys means (J21)."""

keys_cli = typer.Typer(no_args_is_help=True, help="Keys that sign the links in mail.")
dkim_cli = typer.Typer(no_args_is_help=True, help="Keys that sign mail.")


@keys_cli.command("rotate")
def keys_rotate(as_json: Json = False) -> None:
    """Sign the links of new mail with a new key; every link in mail that was sent before works on."""
    printing.value(do("rotate_keys", {}), as_json, show_rotated)


@keys_cli.command("accept")
def keys_accept(
    yes: Annotated[
        bool, typer.Option("--yes", help="The old keys are lost for good, and what follows is known.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Go by the keys of this data directory although the database knows others, because those are lost."""
    if not yes:
        raise RefusedError(f"nothing was changed. {CONSEQUENCES} If there is no copy left, say so with --yes")
    from publisher.app.keys import accept  # it brings all that acts with it

    printing.value(accept(load()), as_json, show_accepted)


@dkim_cli.command("new")
def dkim_key_new(
    selector: Annotated[str, typer.Option("--selector", help="Its name in the DNS; default: after the month.")] = "",
    kind: Annotated[Kind, typer.Option("--type", help="rsa, or ed25519 for a second signature.")] = "rsa",
    out_file: Annotated[
        Path | None, typer.Option("--out", help="File to write; default: in the data directory.", show_default=False)
    ] = None,
    as_json: Json = False,
) -> None:
    """Make a key that signs mail (DKIM), and print the DNS record that lets the world check it."""
    printing.value(new(load(), kind=kind, selector=selector, file=out_file, now=now()), as_json, show)


def new(config: Config, *, kind: dkim.Kind, selector: str, file: Path | None, now: datetime) -> dict[str, Any]:
    """Make a key, write it to `file` and return its records: a JSON value.

    Without a selector it is called after the month, without a file it goes into the data directory.
    Raises RefusedError when the file exists, PublisherError for a selector that the DNS cannot have.
    """
    try:
        name = checked(selector) or f"{'p' if kind == 'rsa' else 'e'}{now:%Y%m}"
    except ValueError as error:
        raise PublisherError(f"--selector {error}") from None
    path = (file or config.data_dir / "dkim" / f"{name}.pem").absolute()
    key = dkim.new_key(kind)
    dkim.write_key(path, key.pem)
    prefix = "ed25519_" if kind == "ed25519" else ""
    return {
        "file": str(path),
        "type": kind,
        "selector": name,
        "records": [
            {"name": f"{name}._domainkey.{domain}", "type": "TXT", "value": key.record} for domain in _domains(config)
        ],
        "settings": {f"{prefix}selector": name, f"{prefix}key_file": str(path)},
    }


def show_accepted(done: Mapping[str, Any]) -> None:
    """Say which keys the database goes by now, and what is lost with those it went by before."""
    for what, words in (("links", "links are signed by"), ("erasures", "erased people are known by")):
        key = done[what]
        before = f" (it was {key['before']})" if key["before"] not in (None, key["now"]) else ""
        out.print(escape(f"From now on {words} {key['now']}{before}, kept in {key['file']}"), soft_wrap=True)
    out.print("Put both files into your backup, and copy them to the other workers of this database.")


def show(done: Mapping[str, Any]) -> None:
    """Say what to do with a new key: first the DNS, then the configuration."""

    def line(text: str = "") -> None:
        out.print(escape(text), soft_wrap=True)

    line(f"wrote {done['file']}\n")
    line("1. Put this into the DNS (one TXT record; its strings are read as one text):\n")
    for record in done["records"]:
        strings = " ".join(f'"{text}"' for text in dkim.txt_strings(record["value"]))
        line(f"{record['name']}. IN TXT ( {strings} )\n")
    line("2. When the world can see it, put this into the configuration:\n")
    line("[dkim]")
    for key, value in done["settings"].items():
        line(f'{key} = "{value}"')


def show_rotated(done: Mapping[str, Any]) -> None:
    """Say what signs now, and what still opens old links."""
    older = done["keys"] - 1
    others = "The key before it" if older == 1 else f"The {older} keys before it"
    out.print(escape(f"New mail has links signed by a new key, {done['signs']}, from now on."), soft_wrap=True)
    out.print(f"{others} still open{'s' if older == 1 else ''} the links in mail sent until now.", soft_wrap=True)
    out.print(escape(f"Put {done['file']} into your backup: without it no link in sent mail works."), soft_wrap=True)


def _domains(config: Config) -> list[str]:
    """Return the domains that sign: the chosen one, else those of the newsletters, else the publication's."""
    own = [newsletter.from_address.rpartition("@")[2].lower() for newsletter in config.newsletters]
    site = [urlsplit(config.site.url).hostname or ""]
    return list(dict.fromkeys([config.dkim.domain] if config.dkim.domain else own or site))
