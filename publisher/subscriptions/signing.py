"""Signing up and confirming: asking costs the same and answers alike for every address, and only a button decides."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from publisher import addresses, slots
from publisher.addresses import Address
from publisher.config import Config, Newsletter
from publisher.model import Format, Subscriber, Subscription, SubscriptionState
from publisher.store import consents, erasures, links, notices, preferences, sign_ups, subscribers
from publisher.store.consents import Evidence
from publisher.store.database import Connection
from publisher.store.links import Link
from publisher.store.notices import NoticeKind
from publisher.subscriptions import consent, limits
from publisher.subscriptions.choices import held, newsletter_of, understood
from publisher.subscriptions.house import House, rules_for, send_link, send_sign_up
from publisher.subscriptions.values import (
    Answer,
    AnswerKind,
    Choice,
    Confirming,
    FieldProblem,
    LinkState,
    SignUp,
)
from publisher.tokens import Purpose

TAKEN = Answer(kind=AnswerKind.TAKEN)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """A sign-up form, understood."""

    address: Address
    choices: tuple[tuple[str, Choice], ...]
    """(newsletter, choice), in the order of the form."""
    language: str
    languages: tuple[str, ...]
    timezone: str
    format: Format
    form: str
    wording: str


def understand(house: House, form: SignUp) -> Wish | Answer:
    """Return what a form asks for, or what is impossible in it; nothing is asked of the database (F6, F7)."""
    config = house.config
    problems: list[FieldProblem] = []
    address = _address(form.address, problems)
    choices = []
    for slug in dict.fromkeys(form.newsletters):
        newsletter = newsletter_of(config, slug)
        if newsletter is None or not newsletter.signup:
            problems.append(FieldProblem("newsletters", "unknown"))
            continue
        choice, wrong = understood(config, newsletter, form.choices.get(slug, Choice()))
        problems += wrong
        choices.append((newsletter.slug, choice))
    if not form.newsletters:
        problems.append(FieldProblem("newsletters", "missing"))
    if address is None or problems:
        return Answer(kind=AnswerKind.INVALID, problems=tuple(problems))
    language = house.language(form.language)
    return Wish(
        address=address,
        choices=tuple(choices),
        language=language,
        languages=known_languages(config, form.languages) or (language,),
        timezone=form.timezone if known_zone(form.timezone) else config.site.timezone,
        format=form.format,
        form=form.form,
        wording=form.wording,
    )


def _address(text: str, problems: list[FieldProblem]) -> Address | None:
    if not text:
        problems.append(FieldProblem("address", "missing"))
        return None
    try:
        return addresses.parse(text)
    except ValueError:
        problems.append(FieldProblem("address", "invalid"))
        return None


def known_languages(config: Config, stated: Sequence[str]) -> tuple[str, ...]:
    """Return those of these languages that the publication has, each once, in their order."""
    return tuple(dict.fromkeys(language for language in stated if language in config.site.languages))


def known_zone(name: str) -> bool:
    """Whether there is such a time zone; costs the same whatever a stranger writes."""
    return name in slots.zone_names()


def sign_up(conn: Connection, house: House, wish: Wish, client: str | None, now: datetime) -> Answer:
    """Write a sign-up down and queue its mail, all in the caller's transaction."""
    config = house.config
    buckets = limits.Buckets.of(house.pepper, wish.address.key, client)
    if seconds := limits.refused(conn, config, buckets, now):
        return Answer(kind=AnswerKind.LATER, retry_after=seconds)
    person = subscribers.add(
        conn,
        address=wish.address.address,
        address_key=wish.address.key,
        name="",
        languages=wish.languages,
        timezone=wish.timezone,
        format=wish.format,
        now=now,
    )
    preferences.hold(conn, person)  # of a thousand at once for one address, one asks for a mail (F3)
    before = subscribers.subscriptions_of(conn, person)
    if before and all(item.state is SubscriptionState.PENDING for item in before):
        preferences.describe(conn, person, languages=wish.languages, timezone=wish.timezone, format=wish.format)
    mailed = limits.may_mail(conn, buckets, rules_for(before), now)
    current = consent.wording(config, house.renderer, wish.language)
    consents.keep_wording(
        conn, current.hash, version=current.version, language=current.language, text=current.text, now=now
    )
    evidence = consent.evidence(
        config, "link", client, form=wish.form, wording=consent.shown(conn, wish.wording, current)
    )
    for slug, choice in wish.choices:
        sign_ups.request(
            conn,
            person,
            newsletter=slug,
            frequency=choice.frequency or "",
            categories=choice.categories,
            content=choice.content,
            hour=choice.hour,
            evidence=evidence,
            renew=mailed,
            now=now,
        )
    if mailed:
        first = wish.choices[0][0]
        send_sign_up(conn, house, person, wish.address.key, language=wish.language, newsletter=first, now=now)
    return TAKEN


def ask_for_link(
    conn: Connection, house: House, address: Address, language: str, client: str | None, now: datetime
) -> Answer:
    """Queue a fresh link for an address, if it is somebody's."""
    buckets = limits.Buckets.of(house.pepper, address.key, client)
    if seconds := limits.refused(conn, house.config, buckets, now):
        return Answer(kind=AnswerKind.LATER, retry_after=seconds)
    person = subscribers.get(conn, address_key=address.key)
    known = person is not None and preferences.hold(conn, person.id)
    rules = rules_for(subscribers.subscriptions_of(conn, person.id)) if person and known else limits.STRANGER
    if limits.may_mail(conn, buckets, rules, now) and person and known:
        send_link(conn, house, person.id, person.address_key, house.language(language), now)
    return TAKEN


def confirming(conn: Connection, house: House, token: str, language: str, now: datetime) -> Confirming | None:
    """Return what a confirm link stands for; None for one that we never made."""
    found = _found(conn, house, token)
    return _shown(conn, house, *found, language, now) if found else None


def confirm(
    conn: Connection, house: House, token: str, language: str, client: str | None, now: datetime, *, again: bool
) -> Confirming | None:
    """Do what a confirm link stands for; a second time does nothing. `again`: mail me although it was stopped (F20)."""
    found = _found(conn, house, token, lock=True)
    if found is None:
        return None
    link, person = found
    state = _state(conn, link, person, now)
    mail = notices.message_of(conn, link.id)
    evidence = consent.evidence(house.config, "link", client, form="confirm", proof=f"button of mail {mail}".rstrip())
    if state is LinkState.SUPPRESSED and again:
        subscribers.unsuppress(conn, person.address_key)
        consents.record(conn, person.id, "", "suppression-lifted", evidence, now)
        state = LinkState.OPEN
    if state is LinkState.OPEN:
        imported = _imported(conn, person.id)
        asked = {item.newsletter for item in sign_ups.awaiting(conn, person.id)} - imported
        done = sign_ups.confirm(conn, person.id, asked, evidence, now)
        if imported:
            agreed = _agreed(conn, house, house.language(language or person.languages[0]), client, now)
            evidence = replace(agreed, proof=evidence.proof)
            done += sign_ups.confirm(conn, person.id, imported, evidence, now)
        links.use(conn, link.id, now)
        erasures.welcome_back(conn, house.pepper.hash(person.address_key))
        _welcome(conn, house, person, done, now)
    return _shown(conn, house, links.get(conn, link.id, "confirm") or link, person, language, now)


def _imported(conn: Connection, person: int) -> set[str]:
    """Return what waits for a confirmation because an import asked for it."""
    asked_by = consents.asked_by(conn, person)
    waiting = (item.newsletter for item in sign_ups.awaiting(conn, person))
    return {newsletter for newsletter in waiting if asked_by.get(newsletter) == consent.IMPORTED}


def _agreed(conn: Connection, house: House, language: str, client: str | None, now: datetime) -> Evidence:
    """Keep the text that somebody agrees to whom an import brought, and return what is kept of the act."""
    shown = consent.opt_in_wording(house.renderer, language)
    consents.keep_wording(conn, shown.hash, version=shown.version, language=language, text=shown.text, now=now)
    return consent.evidence(house.config, "link", client, form=consent.OPT_IN, wording=shown.hash)


def renew(
    conn: Connection, house: House, token: str, language: str, client: str | None, now: datetime
) -> Answer | None:
    """Queue a new confirmation mail for somebody whose link came too late, within the limits."""
    found = _found(conn, house, token, lock=True)
    if found is None:
        return None
    _, person = found
    buckets = limits.Buckets.of(house.pepper, person.address_key, client)
    if seconds := limits.refused(conn, house.config, buckets, now):
        return Answer(kind=AnswerKind.LATER, retry_after=seconds)
    asked = sign_ups.awaiting(conn, person.id)
    rules = rules_for(subscribers.subscriptions_of(conn, person.id))
    if asked and limits.may_mail(conn, buckets, rules, now):
        sign_ups.renew(conn, person.id, now)
        send_sign_up(
            conn,
            house,
            person.id,
            person.address_key,
            language=house.language(language),
            newsletter=asked[0].newsletter,
            now=now,
            kind=NoticeKind.OPT_IN if len(_imported(conn, person.id)) == len(asked) else NoticeKind.SIGN_UP,
        )
    return TAKEN


def _found(conn: Connection, house: House, token: str, *, lock: bool = False) -> tuple[Link, Subscriber] | None:
    number = house.keyring.read(Purpose.CONFIRM, token)
    link = links.get(conn, number, "confirm", lock=lock) if number is not None else None
    if link is None:
        return None
    if lock:
        preferences.hold(conn, link.subscriber_id)
    person = subscribers.get(conn, id=link.subscriber_id)
    return (link, person) if person else None


def _state(conn: Connection, link: Link, person: Subscriber, now: datetime) -> LinkState:
    mine = subscribers.subscriptions_of(conn, person.id)
    return state_of_confirm(
        link,
        mine,
        subscribers.suppression_kind(conn, person.address_key),
        now,
    )


def state_of_confirm(link: Link, mine: Sequence[Subscription], suppressed: str | None, now: datetime) -> LinkState:
    """Decide what a confirm link may still do (F11, F20)."""
    if link.used_at is not None or not any(sign_ups.awaits(item) for item in mine):
        reads = any(item.state is SubscriptionState.CONFIRMED for item in mine)
        return LinkState.DONE if reads else LinkState.LEFT
    if now >= link.expires_at:
        return LinkState.EXPIRED
    if suppressed == "operator":
        return LinkState.BLOCKED
    return LinkState.SUPPRESSED if suppressed else LinkState.OPEN


def _shown(conn: Connection, house: House, link: Link, person: Subscriber, language: str, now: datetime) -> Confirming:
    state = _state(conn, link, person, now)
    mine = subscribers.subscriptions_of(conn, person.id)
    if state is LinkState.DONE:
        mine = [item for item in mine if item.state is SubscriptionState.CONFIRMED]
    elif state is LinkState.LEFT:
        mine = []
    else:
        mine = [item for item in mine if sign_ups.awaits(item)]
    language = house.language(language or person.languages[0])
    asks = state in (LinkState.OPEN, LinkState.SUPPRESSED) and _imported(conn, person.id)
    return Confirming(
        state=state,
        address=addresses.masked(person.address),
        language=language,
        subscriptions=tuple(held(house.config, item, language, now) for item in mine),
        wording=consent.opt_in_wording(house.renderer, language).text if asks else "",
    )


def _welcome(conn: Connection, house: House, person: Subscriber, done: Sequence[Subscription], now: datetime) -> None:
    new = []
    for item in done:
        newsletter: Newsletter | None = newsletter_of(house.config, item.newsletter)
        if newsletter is not None and newsletter.welcome != "none":
            language = house.language(person.languages[0] if person.languages else "")
            new.append(
                house.notice(
                    NoticeKind.WELCOME,
                    person.id,
                    language,
                    now,
                    newsletter=newsletter.slug,
                    # What came later is for the first issue, so nothing comes twice and nothing is missed.
                    to_seq=item.start_seq if newsletter.welcome == "issue" else None,
                )
            )
    notices.queue(conn, new, now)
