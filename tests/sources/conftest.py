"""A folder to write files in, and the two kinds of source behind one handle."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from publisher.config import Category, Config, FolderSource, PagesSource, Site
from publisher.model import Collected, Draft
from publisher.sources import Source, open_source

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)

CATEGORIES = (
    Category(slug="politics", title={"en": "Politics", "ru": "Политика"}, aliases=("Foreign policy",)),
    Category(slug="economy", title="Economy", keywords=("market", "рубль")),
    Category(slug="culture", title="Culture", paths=("arts/**",), former=("theatre",)),
)


@dataclass
class Place:
    """A folder of files, and collections from it that remember each other."""

    root: Path
    settings: dict[str, Any]
    site: dict[str, Any] = field(default_factory=dict)
    now: datetime = NOW
    state: Mapping[str, Any] = field(default_factory=dict)

    def write(self, path: str, text: str | bytes, *, age: float = 3600) -> Path:
        """Write a file as if that many seconds ago."""
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
        when = (self.now - timedelta(seconds=age)).timestamp()
        os.utime(file, (when, when))
        return file

    def source(self) -> Source:
        site = {
            "title": "News",
            "url": "https://news.example/",
            "languages": ("en", "ru", "be"),
            "timezone": "Europe/Minsk",
        }
        kind = FolderSource if self.settings["kind"] == "folder" else PagesSource
        settings = kind(**{"name": "news", "path": self.root, **self.settings})
        return open_source(settings, Config(site=Site(**site | self.site), categories=CATEGORIES, sources=(settings,)))

    def collect(self, settle: Callable[[float], None] | None = None) -> Collected:
        """Collect, remembering the state as the store does; an hour passes."""
        collected = self.source().collect(self.state, now=self.now, settle=settle)
        self.state = collected.state
        self.now += timedelta(hours=1)
        return collected

    def only(self, path: str, text: str | bytes) -> Draft:
        """Write one file and return the draft it gives."""
        self.write(path, text)
        collected = self.collect()
        assert collected.skipped == ()
        (draft,) = collected.drafts
        return draft

    def refusal(self, path: str, text: str | bytes) -> str:
        """Write one file and return why it is skipped."""
        self.write(path, text)
        collected = self.collect()
        assert collected.drafts == ()
        (skipped,) = collected.skipped
        assert skipped.path == path
        return skipped.reason


@pytest.fixture
def folder(tmp_path: Path) -> Place:
    """A source of Markdown and HTML files."""
    (tmp_path / "articles").mkdir()
    return Place(tmp_path / "articles", {"kind": "folder"})


@pytest.fixture
def pages(tmp_path: Path) -> Place:
    """A source of saved pages."""
    (tmp_path / "articles").mkdir()
    return Place(tmp_path / "articles", {"kind": "pages"})
