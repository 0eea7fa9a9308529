"""JSON Feeds keep the schema that others published; our own, which is stricter, is in `jsonfeed-1.1.schema.json`.

It is in npm's package jsonfeed-schema, which CI fetches; JSONFEED_SCHEMA is the path of its schema-v1.1.json.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings

from publisher.config import Config
from publisher.feeds import feeds_of
from publisher.feeds.documents import build_feed, documents
from publisher.feeds.entry import entry_of
from publisher.feeds.spec import FeedSpec
from publisher.model import Article
from tests.feeds.test_atom_schema import AROUND
from tests.feeds.test_read_back import ARTICLES

Check = Callable[[bytes], None]


@pytest.fixture(scope="session")
def check() -> Check:
    """Raise ValidationError for a document that is no JSON Feed 1.1."""
    path = os.environ.get("JSONFEED_SCHEMA")
    if not path:
        pytest.skip("JSONFEED_SCHEMA is not set: `npm pack jsonfeed-schema`, and .ci/run does it where npm is")
    schema = json.loads(Path(path).read_text(encoding="utf-8"))
    kind: Any = jsonschema.validators.validator_for(schema)
    kind.check_schema(schema)
    assert schema["description"] == "JSON Feed Version 1.1"
    return lambda document: kind(schema).validate(json.loads(document))


@pytest.mark.parametrize("kind", AROUND)
@pytest.mark.parametrize("count", [0, 1, 6])
def test_every_kind_of_json_feed_keeps_the_published_schema(
    check: Check, config: Config, rich: tuple[Article, ...], kind: str, count: int
) -> None:
    """§1.4: feeds, archives, with and without articles, of every kind of feed."""
    for spec in feeds_of(config):
        spec = replace(
            spec,
            hubs=("https://hub.example/",),
            icon="https://example.org/i.png",
            rights="© & <x>",
            license="https://license.example/",
        )
        entries = [entry_of(article, spec, config) for article in rich[:count]]
        check(documents(spec, "urn:uuid:1", entries, AROUND[kind])[spec.file("json")])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ARTICLES)
def test_any_article_keeps_the_published_schema(check: Check, spec: FeedSpec, config: Config, odd: Article) -> None:
    """§1.4, FR-X2."""
    built = build_feed(spec, "urn:x", (odd,), config)
    assert built.left_out == ()
    check(built.files["all.json"])


def test_the_published_schema_refuses_what_is_no_json_feed(
    check: Check, rich: tuple[Article, ...], config: Config
) -> None:
    """The checks above can fail."""
    spec = feeds_of(config)[0]
    document = json.loads(build_feed(spec, "urn:x", rich, config).files["all.json"])
    changes: list[dict[str, Any]] = [
        {"version": "1.0"},
        {"items": [{"url": "https://example.org/"}]},
        {"title": None},
        {"hubs": [{}]},
    ]
    for change in changes:
        with pytest.raises(jsonschema.ValidationError):
            check(json.dumps(document | change).encode())
