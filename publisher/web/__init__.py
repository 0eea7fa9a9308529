"""The doors to the world: feeds as raw ASGI, pages for people, the inbox on the admin listener."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from publisher.config import Config
from publisher.feeds.routes import NOWHERE, Routes
from publisher.mail.inbox import Inbox
from publisher.metrics import Values
from publisher.render import Renderer
from publisher.store.database import Database
from publisher.subscriptions.desk import Desk
from publisher.tokens import Keyring
from publisher.web.polls import Polls

__all__ = ["Parts"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What the pages need of the running service."""

    config: Config
    database: Database
    renderer: Renderer
    keyring: Keyring
    desk: Desk
    data_dir: Path
    inbox: Inbox | None
    clock: Callable[[], datetime]
    readiness: Callable[[], Mapping[str, Any]]
    """Names of what is not ready, with the reason; empty when all is well."""
    metrics: Callable[[], Values] = dict
    """The numbers of this moment, by metric."""
    routes: Callable[[], Routes] = lambda: NOWHERE
    """Where feeds are, at this moment."""
    polls: Polls = field(default_factory=Polls)
    """Who polls them."""
