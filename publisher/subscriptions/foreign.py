"""What other services call things in their exports, and what that means here.

Column names and states as listmonk (cmd/subscribers.go), Mailchimp (audience export) and Buttondown (subscriber export
and its API's `SubscriberType`) write them. Whoever they would not mail is not mailed by us either.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from publisher.model import SubscriptionState

Say = Callable[[str], str]
"""Returns the cell of a column by its lower-case name, "" where there is none."""


@dataclass(frozen=True, slots=True)
class Service:
    """One service whose exports are taken as they come."""

    name: str
    all_of: frozenset[str]
    """Columns by which its export is known, in lower case."""
    takes: frozenset[str]
    """Columns that are understood; the rest are the owner's own fields, and not taken."""
    translate: Callable[[Say, str], Mapping[str, str]]
    """Turns a row into ours, given the name of the file too; `evidence` goes with the operator's word, where it is
    no proof of consent in itself. Raises ValueError for a state that nobody knows."""

    def knows(self, header: frozenset[str]) -> bool:
        """Whether a table with this header is its export."""
        return self.all_of <= header


Meaning = Mapping[str, str]
"""Cells of ours that follow from a state of theirs."""

_SUBSCRIBED: Meaning = MappingProxyType({})
_UNCONFIRMED: Meaning = MappingProxyType({"state": SubscriptionState.PENDING})
_LEFT: Meaning = MappingProxyType({"state": SubscriptionState.UNSUBSCRIBED})
_BOUNCED: Meaning = MappingProxyType({**_LEFT, "suppressed": "bounced"})
_COMPLAINED: Meaning = MappingProxyType({**_LEFT, "suppressed": "complained"})
_BLOCKED: Meaning = MappingProxyType({**_LEFT, "suppressed": "blocked"})

_LISTMONK: Mapping[str, Meaning] = {"enabled": _SUBSCRIBED, "disabled": _LEFT, "blocklisted": _BLOCKED}


def _listmonk(say: Say, _: str) -> Mapping[str, str]:
    # `enabled` says nothing of the lists a person left: that is chosen when exporting (docs/import-export.md).
    return {
        "email": say("email"),
        "name": say("name"),
        "evidence": _since("listmonk", say("created_at")),
        **_state("status", say("status"), _LISTMONK),
    }


_MAILCHIMP: Mapping[str, Meaning] = {
    "": _SUBSCRIBED,
    "subscribed": _SUBSCRIBED,
    "unsubscribed": _LEFT,
    "cleaned": _BOUNCED,
    **dict.fromkeys(("nonsubscribed", "non-subscribed", "transactional", "pending", "archived"), _UNCONFIRMED),
}


def _mailchimp(say: Say, file_name: str) -> Mapping[str, str]:
    status = say("status").lower() or _mailchimp_status(say, file_name)
    found = {
        "email": say("email address"),
        "name": " ".join(part for part in (say("first name"), say("last name")) if part),
        "format": {"html": "html", "text": "text"}.get(say("email_type").lower(), ""),
        **_state("Status", status, _MAILCHIMP),
    }
    if opted_in := say("optin_time"):
        confirmed = f", confirmed {at}" if (at := say("confirm_time")) else ""
        found["consent"] = f"Mailchimp: signed up {opted_in}{confirmed}"
    else:
        # Without a time of signing up the owner put the address in; `confirm_time` is then the time of that.
        found["evidence"] = _since("Mailchimp", say("confirm_time"))
    return found


def _mailchimp_status(say: Say, file_name: str) -> str:
    """Tell from what only some of its files have: each state is exported to a file of its own."""
    if say("clean_time"):
        return "cleaned"
    if say("unsub_time"):
        return "unsubscribed"
    word = file_name.lower().partition("_")[0]
    return word if word in _MAILCHIMP else ""


_PAYING = ("premium", "trialed", "unpaid", "gifted", "churning", "churned", "paused", "past_due")
_BUTTONDOWN: Mapping[str, Meaning] = {
    **dict.fromkeys(("regular", "active", *_PAYING), _SUBSCRIBED),
    **dict.fromkeys(("unactivated", "upcoming"), _UNCONFIRMED),
    **dict.fromkeys(("unsubscribed", "removed"), _LEFT),
    "undeliverable": _BOUNCED,
    "complained": _COMPLAINED,
    **dict.fromkeys(("spammy", "blocked", "disabled"), _BLOCKED),
}


def _buttondown(say: Say, _: str) -> Mapping[str, str]:
    word = "subscriber_type" if say("subscriber_type") else "type"
    found = {
        "email": say("email_address") or say("email"),
        "name": say("name") or say("metadata.name"),
        "evidence": _since("Buttondown", say("creation_date")),
        **_state(word, say(word), _BUTTONDOWN),
    }
    if not found.get("state"):
        if say("undeliverability_date"):
            found |= _BOUNCED
        elif say("unsubscription_date"):
            found |= _LEFT
    return found


def _state(column: str, word: str, known: Mapping[str, Meaning]) -> Meaning:
    try:
        return known[word.strip().lower()]
    except KeyError:
        raise ValueError(f"{column} {word!r} is unknown; known are {', '.join(w for w in known if w)}") from None


def _since(service: str, moment: str) -> str:
    return f"{service}, since {moment[:10]}" if moment else service


SERVICES = (
    Service(
        "listmonk",
        frozenset(("uuid", "email", "status", "attributes")),
        frozenset(("uuid", "email", "name", "status", "created_at", "updated_at")),
        _listmonk,
    ),
    Service(
        "mailchimp",
        frozenset(("email address", "member_rating", "last_changed")),
        frozenset(("email address", "first name", "last name", "email_type", "status", "optin_time", "confirm_time"))
        | {"clean_time", "unsub_time", "member_rating", "last_changed", "leid", "euid"},
        _mailchimp,
    ),
    Service(
        "buttondown",
        frozenset(("email", "subscriber_type", "creation_date")),
        frozenset(("email", "name", "metadata.name", "subscriber_type", "creation_date"))
        | {"undeliverability_date", "unsubscription_date"},
        _buttondown,
    ),
    Service(
        "buttondown",
        frozenset(("email_address", "type", "creation_date")),
        frozenset(("id", "email_address", "name", "metadata.name", "type", "creation_date"))
        | {"undeliverability_date", "unsubscription_date"},
        _buttondown,
    ),
)
