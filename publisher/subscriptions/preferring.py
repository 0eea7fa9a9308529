"""Preferences: what a link lets its holder see and change, and leaving, which every link allows."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from publisher import addresses, slots
from publisher.model import Format, Subscriber, Subscription, SubscriptionState
from publisher.store import consents, links, preferences, sign_ups, subscribers
from publisher.store.consents import Evidence
from publisher.store.database import Connection
from publisher.subscriptions import choices, consent, limits
from publisher.subscriptions.choices import asks_for_less, differences, held, newsletter_of, understood
from publisher.subscriptions.house import House, rules_for, send_link
from publisher.subscriptions.signing import TAKEN, known_languages, known_zone
from publisher.subscriptions.values import (
    Answer,
    AnswerKind,
    Change,
    Choice,
    FieldProblem,
    Held,
    Left,
    Outcome,
    OutcomeKind,
    Preferences,
    Rights,
)
from publisher.tokens import Purpose

LONGEST_PAUSE = timedelta(days=366)

_DONE, _UNCHANGED = Outcome(kind=OutcomeKind.DONE), Outcome(kind=OutcomeKind.UNCHANGED)
_FRESH_LINK = FieldProblem("", "fresh-link")


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """Whom a link speaks for, and how far."""

    rights: Rights
    person: Subscriber
    subscription: Subscription | None
    """That of the mail in which the link lies; None for a fresh link."""
    expires_at: datetime | None


def access(conn: Connection, house: House, token: str, now: datetime) -> Access | None:
    """Return what a token opens; None for one that opens nothing (any more)."""
    # Both are tried, whatever the first says, so that the time tells nothing (F12).
    by_mail, fresh = house.keyring.read(Purpose.UNSUBSCRIBE, token), house.keyring.read(Purpose.MANAGE, token)
    if fresh is not None:
        link = links.get(conn, fresh, "manage")
        person = subscribers.get(conn, id=link.subscriber_id) if link and now < link.expires_at else None
        if link is None or person is None:
            return None
        return Access(rights=Rights.ALL, person=person, subscription=None, expires_at=link.expires_at)
    subscription = subscribers.subscription(conn, by_mail) if by_mail is not None else None
    person = subscribers.get(conn, id=subscription.subscriber_id) if subscription else None
    if person is None:
        return None
    return Access(rights=Rights.LESS, person=person, subscription=subscription, expires_at=None)


def shown(conn: Connection, house: House, opened: Access, language: str, now: datetime) -> Preferences:
    """Return what the holder of a link may see."""
    person, config = opened.person, house.config
    language = house.language(language or (person.languages[0] if person.languages else ""))
    mine = subscribers.subscriptions_of(conn, person.id)
    whole = opened.rights is Rights.ALL
    if not whole:
        mine = [item for item in mine if opened.subscription and item.id == opened.subscription.id]
    active = {item.newsletter for item in mine if item.state is SubscriptionState.CONFIRMED}
    return Preferences(
        rights=opened.rights,
        address=person.address if whole else addresses.masked(person.address),
        language=language,
        languages=person.languages,
        timezone=person.timezone,
        format=person.format,
        held=tuple(held(config, item, language, now) for item in mine),
        offers=tuple(
            choices.offer(config, newsletter, language)
            for newsletter in config.newsletters
            if whole and newsletter.signup and newsletter.slug not in active
        ),
        expires_at=opened.expires_at,
    )


def change(conn: Connection, house: House, opened: Access, wish: Change, client: str | None, now: datetime) -> Outcome:
    """Do all of a wish, or nothing when any of it is wrong or needs a fresh link."""
    preferences.hold(conn, opened.person.id)
    evidence = consent.evidence(house.config, "link", client, form="preferences")
    mine = {item.newsletter: item for item in subscribers.subscriptions_of(conn, opened.person.id)}
    planned, problems = [], []
    for slug, choice in wish.newsletters.items():
        step = _planned(house, opened, mine.get(slug), slug, choice)
        if isinstance(step, FieldProblem):
            problems.append(step)
        elif isinstance(step, tuple):
            problems += step
        else:
            planned.append(step)
    person, wrong = _described(house, opened, wish)
    problems += wrong
    if problems:
        return Outcome(kind=OutcomeKind.REFUSED, problems=tuple(dict.fromkeys(problems)))
    changed = [_choose(conn, opened.person.id, step, evidence, now) for step in planned]
    if person is not None:
        preferences.describe(
            conn, person.id, languages=person.languages, timezone=person.timezone, format=person.format
        )
        words = _described_words(opened.person, person)
        consents.record(conn, person.id, "", "changed", replace(evidence, proof=words), now)
    return _DONE if person is not None or any(changed) else _UNCHANGED


@dataclass(frozen=True, slots=True)
class _Step:
    """One newsletter of a change, found to be right."""

    newsletter: str
    before: Subscription | None
    choice: Choice


def _planned(
    house: House, opened: Access, before: Subscription | None, slug: str, wish: Choice
) -> _Step | FieldProblem | tuple[FieldProblem, ...]:
    newsletter = newsletter_of(house.config, slug)
    whole = opened.rights is Rights.ALL
    if not whole and (before is None or opened.subscription is None or before.id != opened.subscription.id):
        return _FRESH_LINK
    reads = before is not None and before.state is SubscriptionState.CONFIRMED
    if newsletter is None or (not reads and not newsletter.signup):
        return FieldProblem("newsletters", "unknown")
    if not reads and not whole:
        return _FRESH_LINK
    had = choice_of(before) if before is not None and reads else None
    choice, problems = understood(house.config, newsletter, wish, had)
    if problems:
        return problems
    if not whole and had is not None and not asks_for_less(house.config, newsletter, had, choice):
        return _FRESH_LINK
    return _Step(newsletter.slug, before, choice)


def choice_of(subscription: Subscription) -> Choice:
    """Return what somebody wants of a newsletter, as stored."""
    return Choice(
        frequency=subscription.frequency,
        categories=subscription.categories,
        content=subscription.content,
        hour=subscription.hour,
    )


def _choose(conn: Connection, person: int, step: _Step, evidence: Evidence, now: datetime) -> bool:
    before, choice = step.before, step.choice
    if before is None or before.state is not SubscriptionState.CONFIRMED:
        # The link was sent to the address just now, and the button is the person's: nothing is left to confirm.
        sign_ups.request(
            conn,
            person,
            newsletter=step.newsletter,
            frequency=choice.frequency or "",
            categories=choice.categories,
            content=choice.content,
            hour=choice.hour,
            evidence=evidence,
            renew=False,
            now=now,
        )
        sign_ups.confirm(conn, person, [step.newsletter], evidence, now)
        return True
    words = differences(choice_of(before), choice)
    if not words:
        return False
    preferences.choose(
        conn,
        before.id,
        frequency=choice.frequency or "",
        categories=choice.categories,
        content=choice.content,
        hour=choice.hour,
    )
    consents.record(conn, person, step.newsletter, "changed", replace(evidence, proof=words), now)
    return True


def _described(house: House, opened: Access, wish: Change) -> tuple[Subscriber | None, list[FieldProblem]]:
    """Return the person as they want to be known, None when nothing changes; and what is wrong with it."""
    person, problems = opened.person, []
    after = person
    if wish.languages is not None:
        languages = known_languages(house.config, wish.languages)
        if not languages:
            problems.append(FieldProblem("languages", "missing"))
        after = replace(after, languages=languages)
    if wish.timezone is not None:
        if not known_zone(wish.timezone):
            problems.append(FieldProblem("timezone", "unknown"))
        after = replace(after, timezone=wish.timezone)
    if wish.format is not None:
        after = replace(after, format=Format(wish.format))
    if after == person:
        return None, problems
    if opened.rights is not Rights.ALL:
        problems.append(_FRESH_LINK)
    return after, problems


def _described_words(before: Subscriber, after: Subscriber) -> str:
    pairs = (
        ("languages", ", ".join(before.languages), ", ".join(after.languages)),
        ("timezone", before.timezone, after.timezone),
        ("format", before.format, after.format),
    )
    return "; ".join(f"{name}: {old} → {new}" for name, old, new in pairs if old != new)


def pause(
    conn: Connection,
    house: House,
    opened: Access,
    newsletter: str,
    until: date | None,
    client: str | None,
    now: datetime,
) -> Outcome:
    """Send nothing before the day `until` in the person's zone; None: from now on again, which needs a fresh link."""
    preferences.hold(conn, opened.person.id)
    mine = {item.newsletter: item for item in subscribers.subscriptions_of(conn, opened.person.id)}
    item = mine.get(newsletter)
    whole = opened.rights is Rights.ALL
    if item is None or (not whole and (opened.subscription is None or item.id != opened.subscription.id)):
        return _refused("newsletters", "unknown")
    known = newsletter_of(house.config, newsletter)
    if item.state is not SubscriptionState.CONFIRMED or known is None or "pause" not in known.choices:
        return _refused("pause", "not-offered")
    before = item.paused_until if item.paused_until and item.paused_until > now else None
    after = slots.instant_of(datetime.combine(until, time()), ZoneInfo(opened.person.timezone)) if until else None
    if after is not None and after <= now:
        return _refused("pause", "past")
    if after is not None and after > now + LONGEST_PAUSE:
        return _refused("pause", "too-far")
    if after == before:
        return _UNCHANGED
    if not whole and before is not None and (after is None or after < before):
        return Outcome(kind=OutcomeKind.REFUSED, problems=(_FRESH_LINK,))
    preferences.pause(conn, item.id, after)
    proof = f"until {after.isoformat()}" if after else ""
    evidence = consent.evidence(house.config, "link", client, form="preferences", proof=proof)
    consents.record(conn, opened.person.id, newsletter, "paused" if after else "resumed", evidence, now)
    return _DONE


def _refused(field: str, code: str) -> Outcome:
    return Outcome(kind=OutcomeKind.REFUSED, problems=(FieldProblem(field, code),))


def leaving(_: Connection, house: House, opened: Access, language: str, now: datetime) -> Held | None:
    """Return the subscription of the mail that a link lies in; None for a link that lies in none."""
    language = house.language(language)
    return held(house.config, opened.subscription, language, now) if opened.subscription else None


def leave(
    conn: Connection,
    house: House,
    opened: Access,
    *,
    method: str,
    newsletter: str,
    everything: bool,
    client: str | None,
    now: datetime,
) -> Left:
    """End the subscription of the mail, or the named one of a fresh link, or all; the same answer each time (F14)."""
    kept = consent.network(client, house.config.sign_up.client_address)
    mine = subscribers.subscriptions_of(conn, opened.person.id)
    if opened.subscription is not None and not everything:
        chosen = [opened.subscription]
    else:
        chosen = [item for item in mine if everything or item.newsletter == newsletter]
    for item in chosen:
        subscribers.unsubscribe(conn, item.id, method=method, client=kept, now=now)
    ended = {item.id for item in chosen}
    reads = [item for item in mine if item.state is SubscriptionState.CONFIRMED and item.id not in ended]
    return Left(newsletters=tuple(item.newsletter for item in chosen), everything=not reads)


def link_for(
    conn: Connection, house: House, opened: Access, language: str, client: str | None, now: datetime
) -> Answer:
    """Queue a fresh link for whoever a mail was sent to, whoever holds the mail now."""
    person = opened.person
    buckets = limits.Buckets.of(house.pepper, person.address_key, client)
    if seconds := limits.refused(conn, house.config, buckets, now):
        return Answer(kind=AnswerKind.LATER, retry_after=seconds)
    preferences.hold(conn, person.id)
    rules = rules_for(subscribers.subscriptions_of(conn, person.id))
    if limits.may_mail(conn, buckets, rules, now):
        send_link(conn, house, person.id, person.address_key, house.language(language), now)
    return TAKEN
