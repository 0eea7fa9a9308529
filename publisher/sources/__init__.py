"""Where articles come from: one module for each kind of source, behind one small protocol."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Protocol

from publisher.config import Config, FolderSource, PagesSource
from publisher.model import Collected


class Source(Protocol):
    """Something that holds articles."""

    @property
    def kind(self) -> str:
        """The kind of source, as the configuration calls it."""

    @property
    def name(self) -> str:
        """The name the configuration gives this one."""

    def collect(
        self, state: Mapping[str, Any], *, now: datetime, settle: Callable[[float], None] | None = None
    ) -> Collected:
        """Return what is new or changed since the collection that returned `state` ({} at the first). Blocking.

        `now` is aware. `settle(seconds)`, when given, waits: files just being written are then waited for instead of
        postponed (A3). Raises SourceError when the source as a whole cannot be read; one bad file is only skipped.
        """


def open_source(settings: FolderSource | PagesSource, config: Config) -> Source:
    """Return the source that a table `[[sources]]` describes; nothing is read yet."""
    # Each brings its own readers of files, and takes a while to load: not before one is opened.
    if isinstance(settings, FolderSource):
        from publisher.sources.folder import Folder

        return Folder(settings, config)
    from publisher.sources.pages import Pages

    return Pages(settings, config)
