"""The keys that all workers of one database share: a worker that holds others does not start."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from publisher.clock import key
from publisher.config import Config
from publisher.errors import ConfigurationError, Problem, RefusedError
from publisher.store import meta, workers
from publisher.store.database import Connection, Database
from publisher.store.lock import DirectoryLock
from publisher.tokens import Keyring, Pepper

LINKS, ERASURES = "key of links", "key of erasures"
"""Where the database remembers the names of the keys; the keys themselves are never in it, nor in its dumps."""

_WAY_OUT = (
    "copy secret.key and erasure.key from a worker of this database or from a backup; "
    "if they are lost for good, `publisher keys accept` says what follows"
)


@dataclass(frozen=True, slots=True)
class Keys:
    """What signs links, and what erased people are known by."""

    links: Keyring
    erasures: Pepper

    @property
    def names(self) -> Mapping[str, str]:
        """What the database remembers of them."""
        return {LINKS: self.links.current, ERASURES: self.erasures.name}


def key_file(config: Config) -> Path:
    """Return the file with the keys that sign the links in mail."""
    return config.data_dir / "secret.key"


def erasure_file(config: Config) -> Path:
    """Return the file with the key by which erased people are known again."""
    return config.data_dir / "erasure.key"


def read_keys(config: Config) -> Keys:
    """Read the key files, made when there are none. Raises ConfigurationError for one that cannot be used."""
    links = Keyring.load_or_create(key_file(config), key())
    return Keys(links, Pepper.load_or_create(erasure_file(config), key()))


def open_keys(database: Database, config: Config) -> Keys:
    """Read the keys and see that they are those of this database, which takes a new publication's as its own. Blocking.

    A new key on top of the one that signed so far takes over (F13). Raises ConfigurationError when a file is missing or
    holds others, RefusedError when other workers run that do not know the new one.
    """
    known = database.read(_known)
    files = {LINKS: key_file(config), ERASURES: erasure_file(config)}
    _refuse(
        {
            files[what]: f"is missing, and with it {_words(what, name)}"
            for what, name in known.items()
            if name and not files[what].exists()
        }
    )
    keys = read_keys(config)

    def work(conn: Connection) -> dict[str, str]:
        stand = {what: meta.keep(conn, what, name) for what, name in keys.names.items()}
        # One that signed before was followed by another, whose file was edited or whose rotation was broken off.
        if stand[LINKS] != keys.links.current and stand[LINKS] in keys.links.names:
            alone(conn)
            meta.put(conn, LINKS, keys.links.current)
            stand[LINKS] = keys.links.current
        return stand

    stand = database.write(work)
    _refuse(
        {
            files[what]: f"does not hold {_words(what, stand[what])}"
            for what, name in keys.names.items()
            if stand[what] != name
        }
    )
    return keys


def rotated(conn: Connection, keys: Keyring) -> None:
    """Note the key that signs from now on."""
    meta.put(conn, LINKS, keys.current)


def alone(conn: Connection, own: int | None = None) -> None:
    """See that no worker but our `own` runs, which would not know a new key. Raises RefusedError."""
    if others := workers.living(conn, own=own):
        number = "another worker runs" if len(others) == 1 else f"{len(others)} other workers run"
        raise RefusedError(
            f"{number} on this database and would not know the new key: stop all but one, change the key there, copy "
            "secret.key to the others, and start them again"
        )


def accept(config: Config) -> dict[str, Any]:
    """Take the keys of this data directory, made when there are none, for those of the database. Blocking.

    Raises BusyError while a service runs here, RefusedError while another worker of the database runs.
    """
    with DirectoryLock(config.data_dir), Database.open(config.database_url, data_dir=config.data_dir) as database:
        database.write(alone)
        keys = read_keys(config)

        def work(conn: Connection) -> dict[str, str | None]:
            before = {what: meta.get(conn, what) for what in keys.names}
            for what, name in keys.names.items():
                meta.put(conn, what, name)
            return before

        before = database.write(work)
    return {
        "links": {"file": str(key_file(config)), "before": before[LINKS], "now": keys.links.current},
        "erasures": {"file": str(erasure_file(config)), "before": before[ERASURES], "now": keys.erasures.name},
    }


def _known(conn: Connection) -> dict[str, str | None]:
    return {what: meta.get(conn, what) for what in (LINKS, ERASURES)}


def _words(what: str, name: str | None) -> str:
    if what == LINKS:
        return f"the key {name}, by which the links in mail of this database are signed"
    return f"the key {name}, by which this database knows erased people again"


def _refuse(wrong: Mapping[Path, str]) -> None:
    if wrong:
        raise ConfigurationError(tuple(Problem(str(path), None, "", text, _WAY_OUT) for path, text in wrong.items()))
