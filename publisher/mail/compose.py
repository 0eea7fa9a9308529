"""Making each reader's message out of the bytes that a segment's readers share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from publisher.mail.dkim import Prepared, Signer, Unsigned
from publisher.mail.message import fill, own_lines, pieces
from publisher.mail.smtp import Envelope
from publisher.model import Attempt, Claimed, Outcome
from publisher.store.deliveries import SegmentBytes
from publisher.tokens import Keyring, bounce_address, unsubscribe_url


class Parcel(NamedTuple):
    """A delivery ready to be claimed and sent."""

    claimed: Claimed
    envelope: Envelope
    message: tuple[bytes, ...]
    """In pieces, most of them shared by all readers of a segment: to copy 45 KB costs more than most steps."""
    dotless: bool = False
    """Whether no line of it begins with a dot, so that nobody need look at each line again."""
    refusal: Attempt | None = None
    """Why no message could be made for this reader; the delivery fails with it."""


class Draft(NamedTuple):
    """A parcel but for what signs it."""

    claimed: Claimed
    mail_from: str
    unsigned: Sequence[Unsigned]
    rest: Sequence[bytes]
    """What stands below the signatures, in pieces."""
    dotless: bool
    """Whether no line of it begins with a dot; a signature's never do."""
    refusal: Attempt | None = None

    def parcel(self, signatures: Sequence[bytes]) -> Parcel:
        """Return it with the header lines of its signatures."""
        message = (*signatures, *self.rest)
        envelope = Envelope(self.mail_from, self.claimed.address, sum(map(len, message)))
        return Parcel(self.claimed, envelope, message, self.dotless, self.refusal)


class _Shared(NamedTuple):
    """What is found out once for all readers of a segment."""

    segment: SegmentBytes
    head: bytes
    """With the empty line that ends it."""
    pieces: Sequence[bytes]
    dotless: bool
    """Whether no line of it begins with a dot, wherever its slots are cut."""
    prepared: Prepared | None


class Composer:
    """Makes messages. The same delivery gives the same bytes on every attempt."""

    def __init__(self, keyring: Keyring, *, signer: Signer | None = None, bounce_domain: str = "") -> None:
        """Remember what signs and where bounces go; `bounce_domain` "" sends them to the newsletter's address."""
        self._keyring, self._signer, self._bounce_domain = keyring, signer, bounce_domain
        self._shared: _Shared | None = None

    @property
    def signs(self) -> bool:
        """Whether there is a key to sign with."""
        return self._signer is not None

    def draft(self, claimed: Claimed, segment: SegmentBytes) -> Draft:
        """Return the message of a delivery, to be signed; one reader's data must not stop the others (E3)."""
        settings = segment.settings
        if claimed.dkim_keys is None or claimed.link_key is None:
            signs = claimed.dkim_keys if claimed.dkim_keys is not None else self._signer.keys if self._signer else ""
            claimed = claimed._replace(dkim_keys=signs, link_key=claimed.link_key or self._keyring.current)
        mail_from = settings["from_address"]
        if self._bounce_domain:
            mail_from = bounce_address(self._keyring.bounce_token(claimed.id), self._bounce_domain)
        try:
            return self._draft(claimed, segment, mail_from)
        except ValueError as error:
            refusal = Attempt(outcome=Outcome.REFUSED, code=None, text=str(error), phase="message")
            return Draft(claimed, mail_from, (), (), dotless=False, refusal=refusal)

    def _draft(self, claimed: Claimed, segment: SegmentBytes, mail_from: str) -> Draft:
        leave = unsubscribe_url(
            segment.settings["public_url"],
            self._keyring.unsubscribe_token(claimed.subscription_id, claimed.link_key or ""),
        )
        own = own_lines(
            address=claimed.address,
            name=claimed.name,
            date=claimed.date_at,
            message_id=claimed.message_id,
            unsubscribe_url=leave,
        )
        shared = self._share(segment)
        body = fill(shared.pieces, leave)
        unsigned: Sequence[Unsigned] = ()
        if self._signer and shared.prepared and claimed.dkim_keys:
            keys = claimed.dkim_keys
            unsigned = self._signer.begin(shared.prepared, own, body, date=claimed.date_at, keys=keys)
        # A filled slot's lines (see `quoted.encode_value`) never begin with a dot.
        dotless = shared.dotless and b"\n." not in own
        return Draft(claimed, mail_from, unsigned, (own, shared.head, *body), dotless)

    def _share(self, segment: SegmentBytes) -> _Shared:
        """Return what readers of a segment share; those of one segment mostly come one after another."""
        known = self._shared
        if known is None or known.segment is not segment:
            from_address = segment.settings["from_address"]
            signer = self._signer
            known = self._shared = _Shared(
                segment,
                segment.head + b"\r\n",
                pieces(segment.body),
                b"\n." not in b"\n".join((b"", segment.head, segment.body)),
                signer.prepare(segment.head, segment.body, from_address=from_address) if signer else None,
            )
        return known
