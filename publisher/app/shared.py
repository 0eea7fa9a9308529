"""What the stories of one publication share: its configuration, its database, the signs to wake up and to stop."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from publisher.app.keys import Keys
from publisher.app.prints import Prints, key_files, prints_of, template_folders
from publisher.clock import now
from publisher.config import Config, Newsletter
from publisher.control import silent as silent  # where every story finds it
from publisher.errors import NotFoundError
from publisher.feeds.announce import Announcer
from publisher.http import Fetcher
from publisher.mail.dkim import Signer
from publisher.render import Renderer
from publisher.store.database import Database


@dataclass(frozen=True, slots=True)
class Made:
    """What is made of one configuration; a story of several steps keeps to the one that it began with."""

    config: Config
    renderer: Renderer
    renderers: Mapping[str, Renderer]
    """Of each newsletter, by slug."""
    signer: Signer | None
    templates: Prints
    """The files that the renderers were compiled from."""
    keys: Prints
    """The files that the signer was read from."""
    tried: str = ""
    """The state in which its templates were tried (see `trials`); "" when they were not."""

    @classmethod
    def of(cls, config: Config, before: Self | None = None) -> Self:
        """Make the parts; what would be made of the same files as `before` is taken over. Blocking.

        Raises RenderError and ConfigurationError when one cannot be made.
        """
        # Most newsletters have no templates of their own, and compiling all of them takes a quarter of a second.
        templates = prints_of(template_folders(config))
        kept = before if before is not None and before.templates == templates else None
        same = kept is not None and kept.config.templates == config.templates
        usual = kept.renderer if kept is not None and same else Renderer.for_newsletter(config)
        own = {n.slug: n.templates for n in kept.config.newsletters} if kept is not None and same else {}
        renderers = {
            n.slug: kept.renderers[n.slug]
            if kept is not None and n.templates and own.get(n.slug) == n.templates
            else renderer_of(config, n, usual)
            for n in config.newsletters
        }
        keys = prints_of(key_files(config))
        signing = before is not None and (before.config.dkim, before.keys) == (config.dkim, keys)
        signer = before.signer if before is not None and signing else Signer.load(config)
        return cls(config, usual, renderers, signer, templates, keys)

    def compile_all(self) -> None:
        """Compile the templates that nobody has needed yet. Blocking. Raises RenderError."""
        for renderer in {id(one): one for one in (self.renderer, *self.renderers.values())}.values():
            renderer.compile_all()


class Shared:
    """What lasts as long as the process, and what is made of the configuration that it has at present."""

    def __init__(self, made: Made, database: Database, fetcher: Fetcher, keys: Keys) -> None:
        self.made = made
        self.database = database
        self.keyring, self.pepper = keys.links, keys.erasures
        self.announcer = Announcer(database, made.config, fetcher, now)
        self.stop = asyncio.Event()
        self.woken = asyncio.Event()
        """Set when there may be deliveries to send."""
        self.paused = ""
        """Why nothing at all is sent (K8); "" when it may be."""

    @property
    def config(self) -> Config:
        """The configuration at this moment: between two waits another one may have taken its place."""
        return self.made.config

    @property
    def renderer(self) -> Renderer:
        """The templates of pages and notices."""
        return self.made.renderer

    @property
    def signer(self) -> Signer | None:
        """What signs mail; None when nothing does."""
        return self.made.signer


def paused_because(reason: str) -> str:
    """Say that nothing is sent, why, and what to do."""
    return f"{reason}; nothing is sent until `publisher resume`"


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
