"""Fixtures of the tests of subscribers."""

from __future__ import annotations

import pytest

from publisher.config import Config
from publisher.render import Renderer
from publisher.store.database import Database
from publisher.tokens import Keyring, Pepper
from tests.publications import load_publication
from tests.subscriptions.town import KEY, MORE, SALT, Town


@pytest.fixture(scope="session")
def publication(tmp_path_factory: pytest.TempPathFactory) -> tuple[Config, Renderer]:
    """The configuration and its templates, read once."""
    config = load_publication(tmp_path_factory.mktemp("town") / "home", {}, more=MORE)
    return config, Renderer.for_newsletter(config)


@pytest.fixture
def town(publication: tuple[Config, Renderer], database: Database) -> Town:
    """A desk over an empty database of either kind."""
    config, renderer = publication
    return Town(config, database, Keyring([KEY]), Pepper(SALT), renderer)
