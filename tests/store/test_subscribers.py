"""Who signed up for what; leaving is final; every step is on record."""

from __future__ import annotations

from dataclasses import replace

import pytest

from publisher.model import Format, Reader, Subscriber, Subscription, SubscriptionState, Wishes
from publisher.store import readers, subscribers
from publisher.store.consents import Consent
from publisher.store.database import Connection, Database
from tests.store import make
from tests.store.make import DAY, NOW, draft, frozen, new, outcome, reader, stored

PENDING, CONFIRMED, UNSUBSCRIBED = (
    SubscriptionState.PENDING,
    SubscriptionState.CONFIRMED,
    SubscriptionState.UNSUBSCRIBED,
)


def subscribe(conn: Connection, person: int, state: SubscriptionState = CONFIRMED, **options: object) -> Subscription:
    defaults: dict[str, object] = {"newsletter": "digest", "frequency": "weekly", "categories": None, "now": NOW}
    defaults |= {"method": "import", "proof": "list of 2026"}
    return subscribers.subscribe(conn, person, state=state, **(defaults | options))  # type: ignore[arg-type]  # options


def person(conn: Connection, address: str = "Ada@Example.org", name: str = "Ada") -> int:
    return subscribers.add(
        conn,
        address=address,
        address_key=address.lower(),
        name=name,
        languages=("be", "ru"),
        timezone="Europe/Minsk",
        format=Format.TEXT,
        now=NOW,
    )


def test_a_person_is_added_once(database: Database) -> None:
    """G5: the same address in another case is the same person, who stays as they were."""
    first = database.write(person)
    again = database.write(lambda conn: person(conn, "ADA@example.org", "Somebody"))
    assert first == again
    expected = Subscriber(
        id=first,
        address="Ada@Example.org",
        address_key="ada@example.org",
        name="Ada",
        languages=("be", "ru"),
        timezone="Europe/Minsk",
        format=Format.TEXT,
        created_at=NOW,
    )
    found = database.read(
        lambda conn: [
            subscribers.get(conn, id=first),
            subscribers.get(conn, address_key="ada@example.org"),
            subscribers.get(conn, address_key="nobody@example.org"),
        ]
    )
    assert found == [expected, expected, None]


def test_a_subscription_begins_with_the_next_article(database: Database) -> None:
    """No archive flood: what was there before is not mailed (P8)."""
    stored(database, new(draft("a.md")), new(draft("b.md")))

    def work(conn: Connection) -> Subscription:
        return subscribe(conn, person(conn), categories=["politics"])

    made = database.write(work)
    assert made == Subscription(
        id=made.id,
        subscriber_id=made.subscriber_id,
        newsletter="digest",
        frequency="weekly",
        state=CONFIRMED,
        categories=("politics",),
        start_seq=2,
    )
    assert database.read(lambda conn: subscribers.subscription(conn, made.id)) == made
    assert database.read(lambda conn: subscribers.subscription(conn, made.id + 1)) is None
    wishes = Wishes(
        languages=("be", "ru"), timezone="Europe/Minsk", format=Format.TEXT, categories=("politics",), cursor=2
    )
    assert database.read(lambda conn: make.readers(conn, "digest", "weekly")) == {made.id: wishes}
    me = Reader(subscription_id=made.id, name="Ada", wishes=wishes)
    assert database.read(lambda conn: readers.one(conn, "digest", "ada@example.org")) == me


def test_no_category_chosen_is_not_all_categories(database: Database) -> None:
    """None means every category, also future ones; an empty choice is a choice."""

    def work(conn: Connection) -> list[tuple[str, ...] | None]:
        me = person(conn)
        chosen = {"a": None, "b": [], "c": ["x"]}
        for newsletter, categories in chosen.items():
            subscribe(conn, me, newsletter=newsletter, categories=categories)
        return [item.categories for item in subscribers.subscriptions_of(conn, me)]

    assert database.write(work) == [None, (), ("x",)]


@pytest.mark.parametrize("method", ["import", "command"])
@pytest.mark.parametrize("state", [PENDING, CONFIRMED])
def test_an_unsubscribed_reader_does_not_come_back_by_others(
    database: Database, method: str, state: SubscriptionState
) -> None:
    """P3, G1: after an import or a command, too, unsubscribed is final."""

    def work(conn: Connection) -> tuple[Subscription, Subscription]:
        made = subscribe(conn, person(conn))
        assert subscribers.unsubscribe(conn, made.id, method="one-click", now=NOW)
        return made, subscribe(conn, made.subscriber_id, state, method=method, frequency="daily", categories=["x"])

    made, after = database.write(work)
    assert after == replace(made, state=UNSUBSCRIBED)
    assert database.read(lambda conn: make.readers(conn, "digest", "daily")) == {}


def test_a_reader_who_comes_back_by_link_begins_anew(database: Database) -> None:
    """Only the person can come back, and gets what is published from then on."""
    made = database.write(lambda conn: subscribe(conn, person(conn)))
    database.write(lambda conn: subscribers.unsubscribe(conn, made.id, method="link", now=NOW))
    stored(database, new(draft("a.md")))
    back = database.write(lambda conn: subscribe(conn, made.subscriber_id, method="link", frequency="daily"))
    assert back == replace(made, frequency="daily", start_seq=1)
    [found] = database.read(lambda conn: make.readers(conn, "digest", "daily")).values()
    assert found.cursor == 1


def test_a_pending_reader_gets_nothing_until_confirmed(database: Database) -> None:
    """P4: without consent there is no mail; the sign-up is where the articles begin."""
    made = database.write(lambda conn: subscribe(conn, person(conn), PENDING, method="link"))
    assert database.read(lambda conn: make.readers(conn, "digest", "weekly")) == {}
    stored(database, new(draft("a.md")))
    confirmed = database.write(lambda conn: subscribe(conn, made.subscriber_id, method="link"))
    assert confirmed == replace(made, state=CONFIRMED, requested_at=None)
    again = database.write(lambda conn: subscribe(conn, made.subscriber_id, PENDING, method="link"))
    assert again == confirmed


@pytest.mark.parametrize(("method", "frequency"), [("import", "weekly"), ("command", "daily"), ("link", "daily")])
def test_a_confirmed_readers_choice_is_not_an_imports_to_change(
    database: Database, method: str, frequency: str
) -> None:
    """G2: importing a file twice changes nothing; the reader and the operator's command do, at the same cursor."""
    made = database.write(lambda conn: subscribe(conn, person(conn)))
    stored(database, new(draft("a.md")))
    after = database.write(lambda conn: subscribe(conn, made.subscriber_id, method=method, frequency="daily"))
    assert after == replace(made, frequency=frequency)
    [found] = database.read(lambda conn: make.readers(conn, "digest", frequency)).values()
    assert found.cursor == 0


def test_every_step_leaves_a_record_of_consent(database: Database) -> None:
    """Append-only: asking, confirming, leaving once, coming back; steps that change nothing leave none."""

    def work(conn: Connection) -> list[Consent]:
        made = subscribe(conn, person(conn), PENDING, method="link", proof="form 1")
        me = made.subscriber_id
        subscribe(conn, me, PENDING, method="link", proof="form 1 again")
        subscribe(conn, me, method="link", proof="mail 1", now=NOW + DAY)
        subscribe(conn, me, method="import", proof="file")
        left = [subscribers.unsubscribe(conn, made.id, method="one-click", now=NOW + 2 * DAY) for _ in range(2)]
        assert left == [True, False]
        subscribe(conn, me, method="import", proof="file")
        subscribe(conn, me, method="link", proof="mail 2", now=NOW + 3 * DAY)
        return subscribers.consents(conn, me)

    assert [(c.event, c.method, c.proof, c.recorded_at) for c in database.write(work)] == [
        ("requested", "link", "form 1", NOW),
        ("confirmed", "link", "mail 1", NOW + DAY),
        ("unsubscribed", "one-click", "", NOW + 2 * DAY),
        ("confirmed", "link", "mail 2", NOW + 3 * DAY),
    ]


def test_leaving_one_newsletter_leaves_the_others(database: Database) -> None:
    """F17: exactly the newsletter of the mail."""

    def work(conn: Connection) -> list[SubscriptionState]:
        me = person(conn)
        first = subscribe(conn, me, newsletter="a")
        subscribe(conn, me, newsletter="b")
        subscribers.unsubscribe(conn, first.id, method="one-click", now=NOW)
        return [item.state for item in subscribers.subscriptions_of(conn, me)]

    assert database.write(work) == [UNSUBSCRIBED, CONFIRMED]
    assert database.write(lambda conn: subscribers.unsubscribe(conn, 999, method="link", now=NOW)) is False


def test_a_suppressed_address_is_nobodys_reader(database: Database) -> None:
    """Suppressing comes once, with the first reason; the subscription itself stays as it is."""
    made = database.write(lambda conn: subscribe(conn, person(conn)))
    key = "ada@example.org"
    assert database.write(lambda conn: subscribers.suppress(conn, key, reason="complaint", now=NOW))
    assert not database.write(lambda conn: subscribers.suppress(conn, key, reason="bounce", now=NOW))
    assert database.write(lambda conn: subscribers.suppress(conn, "un@known.org", reason="bounce", now=NOW))
    assert database.read(lambda conn: make.readers(conn, "digest", "weekly")) == {}
    found = database.read(lambda conn: [subscribers.suppressed(conn, name) for name in (key, "other@example.org")])
    assert found == ["complaint", None]
    [listed] = database.read(lambda conn: subscribers.listing(conn))
    assert (listed.subscription, listed.suppressed) == (made, "complaint")


def test_listings_and_counts_are_by_newsletter_and_state(database: Database) -> None:
    """By address; filters add up."""

    def work(conn: Connection) -> None:
        for address in ("c@x.org", "a@x.org", "b@x.org"):
            reader(conn, address)
        reader(conn, "a@x.org", newsletter="alerts", frequency="daily", state=PENDING)

    database.write(work)

    def found(newsletter: str | None = None, state: SubscriptionState | None = None) -> list[tuple[str, str]]:
        listed = database.read(lambda conn: subscribers.listing(conn, newsletter=newsletter, state=state))
        return [(item.subscriber.address, item.subscription.newsletter) for item in listed]

    digest = [("a@x.org", "digest"), ("b@x.org", "digest"), ("c@x.org", "digest")]
    assert found() == [("a@x.org", "alerts"), *digest]
    assert found("digest") == digest
    assert found(state=PENDING) == [("a@x.org", "alerts")]
    assert found("digest", PENDING) == []
    assert database.read(subscribers.counts) == {("digest", "weekly", CONFIRMED): 3, ("alerts", "daily", PENDING): 1}


def test_readers_come_in_the_order_of_their_subscriptions(database: Database) -> None:
    """Only those of this newsletter and this frequency."""

    def work(conn: Connection) -> list[int]:
        chosen = [reader(conn, address) for address in ("b@x.org", "a@x.org")]
        reader(conn, "c@x.org", frequency="daily")
        reader(conn, "d@x.org", newsletter="alerts")
        return chosen

    chosen = database.write(work)
    assert list(database.read(lambda conn: make.readers(conn, "digest", "weekly"))) == chosen


def test_changing_the_frequency_neither_loses_nor_repeats(database: Database) -> None:
    """DESIGN §4: the cursor belongs to the subscription, whatever its frequency."""
    from publisher.store import deliveries

    stored(database, new(draft("a.md")))
    made = database.write(lambda conn: reader(conn, "a@x.org"))
    stored(database, new(draft("b.md")))
    frozen(database, [made], to_seq=2)
    epoch = database.write(lambda conn: deliveries.new_epoch(conn, NOW))
    [claimed] = database.write(lambda conn: make.claim(conn, epoch=epoch, limit=9, now=NOW))
    database.write(lambda conn: deliveries.record(conn, [outcome(claimed)], NOW))
    database.write(lambda conn: reader(conn, "a@x.org", frequency="daily", method="command"))
    [found] = database.read(lambda conn: make.readers(conn, "digest", "daily")).values()
    assert found.cursor == 2
