"""Moving to another address: asked for from the old one, confirmed at the new one."""

from __future__ import annotations

from datetime import datetime

from publisher import addresses
from publisher.addresses import Address
from publisher.model import Subscriber, SubscriptionState
from publisher.store import consents, links, notices, preferences, subscribers
from publisher.store.database import Connection
from publisher.store.links import Link
from publisher.store.notices import NoticeKind
from publisher.subscriptions import consent, limits
from publisher.subscriptions.house import House, send_address
from publisher.subscriptions.preferring import Access
from publisher.subscriptions.signing import TAKEN
from publisher.subscriptions.values import AddressChange, Answer, AnswerKind, LinkState
from publisher.tokens import Purpose


def ask(
    conn: Connection, house: House, opened: Access, new: Address, language: str, client: str | None, now: datetime
) -> Answer:
    """Queue the mail to the new address; the answer is the same whoever has it."""
    buckets = limits.Buckets.of(house.pepper, new.key, client)
    if seconds := limits.refused(conn, house.config, buckets, now):
        return Answer(kind=AnswerKind.LATER, retry_after=seconds)
    preferences.hold(conn, opened.person.id)
    if new.key != opened.person.address_key and limits.may_mail(conn, buckets, limits.STRANGER, now):
        send_address(conn, house, opened.person.id, new, house.language(language), now)
    return TAKEN


def shown(conn: Connection, house: House, token: str, language: str, now: datetime) -> AddressChange | None:
    """Return what the link in the mail to a new address stands for; None for one that we never made."""
    found = _found(conn, house, token, lock=False)
    return _value(conn, house, *found, language, now) if found else None


def confirm(
    conn: Connection, house: House, token: str, language: str, client: str | None, now: datetime
) -> AddressChange | None:
    """Move the person; a second time does nothing."""
    found = _found(conn, house, token, lock=True)
    if found is None:
        return None
    link, person = found
    if _state(conn, link, person, now) is LinkState.OPEN and link.address and link.address_key:
        squatter = subscribers.get(conn, address_key=link.address_key)
        if squatter is not None and squatter.id != person.id:
            preferences.leave_out(conn, squatter.id)  # nothing of theirs was ever confirmed
        preferences.move(conn, person.id, link.address, link.address_key)
        links.use(conn, link.id, now)
        # Whoever reads the old mailbox speaks for the person no more.
        links.end(conn, person.id, "manage", now)
        links.end(conn, person.id, "confirm", now)
        proof = f"{addresses.masked(person.address)} → {addresses.masked(link.address)}"
        evidence = consent.evidence(house.config, "link", client, form="address", proof=proof)
        consents.record(conn, person.id, "", "address-changed", evidence, now)
        told = house.notice(
            NoticeKind.ADDRESS_CHANGED, person.id, house.language(language), now, address=person.address
        )
        notices.queue(conn, [told], now)
    return _value(conn, house, links.get(conn, link.id, "address") or link, person, language, now)


def _found(conn: Connection, house: House, token: str, *, lock: bool) -> tuple[Link, Subscriber] | None:
    number = house.keyring.read(Purpose.ADDRESS, token)
    link = links.get(conn, number, "address", lock=lock) if number is not None else None
    if link is None:
        return None
    if lock:
        preferences.hold(conn, link.subscriber_id)
    person = subscribers.get(conn, id=link.subscriber_id)
    return (link, person) if person else None


def _state(conn: Connection, link: Link, person: Subscriber, now: datetime) -> LinkState:
    if link.used_at is not None:
        return LinkState.DONE
    if now >= link.expires_at:
        return LinkState.EXPIRED
    key = link.address_key or ""
    if subscribers.suppression_kind(conn, key) is not None:
        return LinkState.BLOCKED
    other = subscribers.get(conn, address_key=key)
    if other is None or other.id == person.id:
        return LinkState.OPEN
    theirs = subscribers.subscriptions_of(conn, other.id)
    # Somebody may have signed the new address up without owning it; that must not keep its owner out.
    known = any(item.state is not SubscriptionState.PENDING for item in theirs)
    return LinkState.IN_USE if known else LinkState.OPEN


def _value(
    conn: Connection, house: House, link: Link, person: Subscriber, language: str, now: datetime
) -> AddressChange:
    return AddressChange(
        state=_state(conn, link, person, now),
        old=addresses.masked(person.address),
        new=addresses.masked(link.address or ""),
        language=house.language(language or (person.languages[0] if person.languages else "")),
    )
