"""What is held about people, in words: how much of what, and until when (spec delivery §8, breach readiness)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from publisher.config import Config
from publisher.store import holdings
from publisher.store.database import Connection
from publisher.store.engines import locate


def held(config: Config, conn: Connection) -> dict[str, Any]:
    """Return where people's data lies, and for each kind its number, what it is, and when it goes."""
    numbers = holdings.counts(conn)
    return {
        "database": locate(config.database_url, config.data_dir).where,
        "held": [
            {"kind": kind, "number": numbers[kind], "what": what, "until": until.format(keeping=config.keeping)}
            for kind, (what, until) in HELD.items()
        ],
    }


HELD: Mapping[str, tuple[str, str]] = {
    "people": ("addresses, with name, languages and time zone", "they are erased; who never confirmed, 7 days"),
    "subscriptions": ("newsletters chosen, with categories, frequency and hour", "the person is erased"),
    "consents": ("entries in the record of consent, with the client's network", "the person is erased"),
    "links": ("links with an end; no token lies here", "a week after their end"),
    "notices": ("confirmations and other notices", "30 days after they went out"),
    "deliveries": ("mails that say whose they are", "{keeping.readers} after their issue was sent"),
    "words": ("answers of mail servers, which may repeat an address", "{keeping.words} after their issue was sent"),
    "suppressions": ("addresses that must not be mailed", "they are taken back"),
    "hashes": ("keyed hashes of erased addresses, which keep them out of imports", "the person comes back"),
    "requests": ("keyed hashes of who asked for mail, for the limits", "7 days"),
    "accounts": ("accounts of the admin pages: a name and a role", "they are revoked"),
    "sessions": ("logins to the admin pages, as hashes", "they end"),
    "audit": ("entries in the audit log, which name readers by number", "for good"),
}
