"""What people agree to and what we keep of how they did: the wording, the form, as much of the client as is needed."""

from __future__ import annotations

import hashlib
import re
from ipaddress import ip_network
from typing import Literal

from publisher.config import Config, in_language
from publisher.render import Renderer
from publisher.store import consents
from publisher.store.consents import Evidence
from publisher.store.database import Connection
from publisher.subscriptions.values import Wording

IMPORTED = "import"
"""The method of what was asked for by an import."""
OPT_IN = "opt-in"
"""The form by which somebody agrees whom an import brought."""

_FORM = re.compile(r"[^A-Za-z0-9./:-]+")
_VERSION = 12  # digits of the hash that stand for a version nobody named


def wording(config: Config, renderer: Renderer, language: str) -> Wording:
    """Return the text that people who read `language` agree to now."""
    text = in_language(config.sign_up.consent, language, config.site.default_language)
    if not text:
        text = renderer.words(language).gettext(
            "Yes, send me the newsletters that I chose by e-mail. I can leave at any time with one click."
        )
    return _wording(text, language, config.sign_up.consent_version)


def opt_in_wording(renderer: Renderer, language: str) -> Wording:
    """Return the text that somebody agrees to whom an import brought: nothing of it was chosen by them."""
    text = renderer.words(language).gettext(
        "Yes, send me these newsletters by e-mail. I can leave at any time with one click."
    )
    return _wording(text, language)


def _wording(text: str, language: str, version: str = "") -> Wording:
    digest = hashlib.sha256(text.encode()).hexdigest()
    return Wording(hash=digest, version=version or digest[:_VERSION], language=language, text=text)


def shown(conn: Connection, stated: str, current: Wording) -> str:
    """Return the hash of the text that a form showed: what it states if that was ever in use, else the current."""
    if stated and stated != current.hash and consents.wording(conn, stated) is not None:
        return stated
    return current.hash


def form_name(stated: str) -> str:
    """Return a form's name as the record keeps it: nothing that a stranger could tell anybody with."""
    return _FORM.sub("", stated)[:100]


def network(client: str | None, kept: Literal["truncated", "full", "none"]) -> str:
    """Return what is kept of a client's address (or its network, for IPv6): of /24 or /48, all, or nothing."""
    if client is None or kept == "none":
        return ""
    found = ip_network(client, strict=False)
    if kept == "full":
        return str(found.network_address if found.num_addresses == 1 else found)
    return str(found.supernet(new_prefix=min(found.prefixlen, 24 if found.version == 4 else 48)))


def evidence(
    config: Config, method: str, client: str | None, *, form: str = "", wording: str | None = None, proof: str = ""
) -> Evidence:
    """Return what is kept of an act."""
    kept = network(client, config.sign_up.client_address)
    return Evidence(method=method, proof=proof, form=form_name(form), wording=wording, client=kept)
