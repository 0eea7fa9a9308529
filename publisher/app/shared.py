"""What the stories of one publication share: its configuration, its database, the signs to wake up and to stop."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from publisher.app.clock import key, now
from publisher.config import Config, Newsletter
from publisher.errors import NotFoundError
from publisher.feeds.announce import Announcer
from publisher.http import Fetcher
from publisher.mail.dkim import Signer
from publisher.render import Renderer
from publisher.store.database import Database
from publisher.tokens import Keyring


def silent(label: str, done: int, total: int | None) -> None:
    """Report progress to nobody."""


class Shared:
    """The parts that are made once from a configuration. Raises RenderError and ConfigurationError when one cannot."""

    def __init__(self, config: Config, database: Database, fetcher: Fetcher) -> None:
        self.config = config
        self.database = database
        self.renderer = Renderer.for_newsletter(config)
        # Most newsletters have no templates of their own, and compiling all of them takes a quarter of a second.
        self.renderers = {n.slug: renderer_of(config, n, self.renderer) for n in config.newsletters}
        self.keyring = Keyring.load_or_create(config.data_dir / "secret.key", key())
        self.announcer = Announcer(database, config, fetcher, now)
        self.signer = Signer.load(config)
        self.stop = asyncio.Event()
        self.woken = asyncio.Event()
        """Set when there may be deliveries to send."""


class Stories:
    """Where stories of one kind are told, over what all of them share."""

    def __init__(self, shared: Shared) -> None:
        self.shared = shared

    @property
    def config(self) -> Config:
        """The configuration."""
        return self.shared.config

    @property
    def database(self) -> Database:
        """The open database."""
        return self.shared.database


def renderer_of(config: Config, newsletter: Newsletter, usual: Renderer) -> Renderer:
    """Return the renderer of a newsletter: `usual` unless it has templates of its own."""
    return Renderer.for_newsletter(config, newsletter) if newsletter.templates else usual


def named(things: Sequence[Any], names: Sequence[str], word: str) -> list[Any]:
    """Return the things with these names, all of them when none is named. Raises NotFoundError naming what exists."""
    known = {thing.name: thing for thing in things}
    if unknown := [name for name in names if name not in known]:
        raise NotFoundError(f"there is no {word} {unknown[0]!r}; there are: {', '.join(known) or 'none'}")
    return [known[name] for name in names] if names else list(known.values())
