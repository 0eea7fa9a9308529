"""What every story of subscribers stands on: configuration, words, keys, ids; and how it writes a notice down."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from publisher.addresses import Address
from publisher.config import Config
from publisher.mail.message import message_id
from publisher.model import Subscription, SubscriptionState
from publisher.render import Renderer
from publisher.store import erasures, links, notices
from publisher.store.database import Connection
from publisher.store.notices import NewNotice, NoticeKind
from publisher.subscriptions import limits
from publisher.subscriptions.choices import newsletter_of
from publisher.tokens import Keyring, Pepper

CONFIRM_FOR = timedelta(hours=72)
"""How long a confirm link works."""
FORGOTTEN_AFTER = timedelta(days=7)
"""What nobody confirmed for this long is erased (F22)."""
FRESH_FOR = timedelta(hours=24)
"""How long a link to all preferences works: long enough for a slow mail, too short to be found in an old one."""
MOVE_FOR = timedelta(hours=72)
"""How long the link in the mail to a new address works."""
NOTICE_FOR = timedelta(hours=48)
"""How long a notice is tried."""


@dataclass(frozen=True, slots=True)
class House:
    """One configuration and its keys. `ids` gives 32 random hexadecimal digits, new ones at each call."""

    config: Config
    renderer: Renderer
    keyring: Keyring
    pepper: Pepper
    ids: Callable[[], str]

    def language(self, stated: str) -> str:
        """Return a language that the publication has: the stated one, else its default."""
        return stated if stated in self.config.site.languages else self.config.site.default_language

    def blocked(self, conn: Connection, address_key: str) -> str:
        """Return why an erased address is not to be mailed even when asked; "" when it may be."""
        hash_ = self.pepper.hash(address_key)
        kind = erasures.erased(conn, [hash_]).get(hash_)
        return f"suppressed before it was erased ({kind})" if kind else ""

    def notice(
        self,
        kind: NoticeKind,
        subscriber_id: int,
        language: str,
        now: datetime,
        *,
        newsletter: str | None = None,
        link_id: int | None = None,
        address: str | None = None,
        to_seq: int | None = None,
        blocked: str = "",
        due_at: datetime | None = None,
    ) -> NewNotice:
        """Return a notice of this moment, from the newsletter's own sender or else the first one's."""
        known = newsletter_of(self.config, newsletter) if newsletter else None
        sender = known or next(iter(self.config.newsletters))
        due_at = due_at or now
        return NewNotice(
            kind=kind,
            subscriber_id=subscriber_id,
            language=language,
            message_id=message_id("notice", self.ids()[:16], sender.from_address.rpartition("@")[2]),
            due_at=due_at,
            expires_at=due_at + NOTICE_FOR,
            link_id=link_id,
            newsletter=sender.slug,
            address=address,
            to_seq=to_seq,
            blocked=blocked,
        )


def rules_for(subscriptions: Sequence[Subscription]) -> tuple[limits.Rule, ...]:
    """Return how often a person may be sent what was asked for in their name."""
    reads = any(item.state is SubscriptionState.CONFIRMED for item in subscriptions)
    return limits.READER if reads else limits.STRANGER


def send_sign_up(
    conn: Connection,
    house: House,
    subscriber_id: int,
    address_key: str,
    *,
    language: str,
    newsletter: str | None,
    now: datetime,
    due_at: datetime | None = None,
    kind: NoticeKind = NoticeKind.SIGN_UP,
) -> None:
    """Queue the mail that a sign-up or an import asks for; what is in it is decided when it goes out."""
    due_at = due_at or now
    link = links.make(conn, "confirm", subscriber_id, expires_at=due_at + CONFIRM_FOR, now=now)
    blocked = house.blocked(conn, address_key)
    new = house.notice(
        kind,
        subscriber_id,
        language,
        now,
        newsletter=newsletter,
        link_id=link,
        blocked=blocked,
        due_at=due_at,
    )
    notices.queue(conn, [new], now)


def send_link(
    conn: Connection, house: House, subscriber_id: int, address_key: str, language: str, now: datetime
) -> None:
    """Queue the mail with a fresh link."""
    link = links.make(conn, "manage", subscriber_id, expires_at=now + FRESH_FOR, now=now)
    blocked = house.blocked(conn, address_key)
    new = house.notice(NoticeKind.LINK, subscriber_id, language, now, link_id=link, blocked=blocked)
    notices.queue(conn, [new], now)


def send_address(
    conn: Connection, house: House, subscriber_id: int, new_address: Address, language: str, now: datetime
) -> None:
    """Queue the mail to an address that somebody wants to move to."""
    link = links.make(
        conn,
        "address",
        subscriber_id,
        expires_at=now + MOVE_FOR,
        now=now,
        address=new_address.address,
        address_key=new_address.key,
    )
    new = house.notice(
        NoticeKind.ADDRESS,
        subscriber_id,
        language,
        now,
        link_id=link,
        address=new_address.address,
        blocked=house.blocked(conn, new_address.key),
    )
    notices.queue(conn, [new], now)
