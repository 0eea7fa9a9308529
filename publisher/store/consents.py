"""The record of consent: who agreed to what, when, by which form and words; rows are added and never changed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from publisher.store import statements as st
from publisher.store.tables import Id, consents, wordings


@dataclass(frozen=True, slots=True, kw_only=True)
class Consent:
    """One row of the record of consent."""

    newsletter: str
    """Empty: of the person as a whole, such as a change of address."""
    event: str
    """requested | confirmed | unsubscribed | changed | paused | resumed | address-changed | suppression-lifted"""
    method: str
    """import | command | link | one-click"""
    proof: str
    form: str
    """Which form or page; empty: none."""
    wording: str | None
    """Hash of the text agreed to, which `wording` returns; None when none was shown."""
    client: str
    """Network of the client, as far as it is kept."""
    recorded_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """How we know of a person's act."""

    method: str
    proof: str = ""
    form: str = ""
    wording: str | None = None
    client: str = ""


def record(
    conn: sa.Connection, subscriber_id: int, newsletter: str, event: str, evidence: Evidence, now: datetime
) -> None:
    """Add a row to a person's record."""
    row = {
        "subscriber_id": subscriber_id,
        "newsletter": newsletter,
        "event": event,
        "method": evidence.method,
        "proof": evidence.proof,
        "form": evidence.form,
        "wording": evidence.wording,
        "client": evidence.client,
        "recorded_at": now,
    }
    st.run(conn, st.into(conn.dialect.name, consents), **row)


def of(conn: sa.Connection, subscriber_id: int) -> list[Consent]:
    """Return a person's record, oldest first."""
    c = consents.c
    columns = [c[name] for name in Consent.__dataclass_fields__]
    query = sa.select(*columns).where(c.subscriber_id == subscriber_id).order_by(c.id)
    return [Consent(**row) for row in conn.execute(query).mappings()]


def asked_by(conn: sa.Connection, subscriber_id: int) -> dict[str, str]:
    """Return by which method each newsletter was last asked for in a person's name."""
    return {str(newsletter): str(method) for newsletter, method in st.run(conn, _asked, subscriber_id=subscriber_id)}


_asked = (
    sa.select(consents.c.newsletter, consents.c.method)
    .where(consents.c.subscriber_id == st.parameter("subscriber_id", Id), consents.c.event == "requested")
    .order_by(consents.c.id)
)


def keep_wording(
    conn: sa.Connection,
    hash: str,  # noqa: A002 - the column's name
    *,
    version: str,
    language: str,
    text: str,
    now: datetime,
) -> None:
    """Keep a text that people agree to, unless it is there already."""
    row = {"hash": hash, "version": version, "language": language, "text": text, "first_used_at": now}
    st.run(conn, st.into(conn.dialect.name, wordings, "hash"), **row)


def wording(conn: sa.Connection, hash: str) -> str | None:  # noqa: A002 - the column's name
    """Return the text of a hash, None for one that was never used."""
    found = version_and_text(conn, hash)
    return found[1] if found else None


def version_and_text(conn: sa.Connection, hash: str) -> tuple[str, str] | None:  # noqa: A002 - the column's name
    """Return the version and the text of a hash, None for one that was never used."""
    rows = st.run(conn, _kept, hash=hash)
    return (str(rows[0][0]), str(rows[0][1])) if rows else None


_kept = sa.select(wordings.c.version, wordings.c.text).where(wordings.c.hash == st.parameter("hash", sa.Text()))
