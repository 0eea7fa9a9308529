"""Licenses are found in what people write, and an article is under none that its author did not choose."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as some

from publisher.licenses import address_of, license_of, name_of
from publisher.model import UNSPECIFIED_LICENSE, Origin
from tests.feeds.conftest import make_article

COMMONS = "https://creativecommons.org/"
SITE = "https://example.org"


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("CC-BY-4.0", f"{COMMONS}licenses/by/4.0/"),
        ("cc by-sa 3.0", f"{COMMONS}licenses/by-sa/3.0/"),
        ("CC BY-NC-ND 4.0 International", f"{COMMONS}licenses/by-nc-nd/4.0/"),
        ("CC BY NC SA v2.5", f"{COMMONS}licenses/by-nc-sa/2.5/"),
        ("CC0", f"{COMMONS}publicdomain/zero/1.0/"),
        ("CC0-1.0", f"{COMMONS}publicdomain/zero/1.0/"),
        ("CC0 1.0 Universal", f"{COMMONS}publicdomain/zero/1.0/"),
        (" https://license.example/ü ", "https://license.example/%C3%BC"),
        ("/terms", "https://example.org/terms"),
        (f'<a rel="license" href="{COMMONS}licenses/by-nc/4.0/">CC BY-NC 4.0</a>', f"{COMMONS}licenses/by-nc/4.0/"),
        (f"[CC BY]({COMMONS}licenses/by/4.0/)", f"{COMMONS}licenses/by/4.0/"),
        (f"Terms: {COMMONS}licenses/by/4.0/.", f"{COMMONS}licenses/by/4.0/"),
        ("see ftp://x.example/ for more", None),
        ("CC BY", None),  # of which version?
        ("© 2026 The Example", None),
        ("MIT", None),
    ],
)
def test_an_address_is_found_for_what_has_one(text: str, address: str | None) -> None:
    """FR-A6."""
    assert address_of(text, SITE) == address


@given(some.text() | some.from_regex(r"https?://\S+") | some.from_regex(r"CC.BY.*", fullmatch=True))
def test_whatever_is_written_gives_an_absolute_address_or_none_or_is_refused(text: str) -> None:
    """FR-X10, FR-X11: the text is foreign."""
    try:
        found = address_of(text, SITE)
    except ValueError:
        return
    if found is not None:
        assert urlsplit(found).scheme in ("http", "https")
        assert urlsplit(found).hostname


@pytest.mark.parametrize(
    ("url", "name"),
    [
        (f"{COMMONS}licenses/by-sa/4.0/", "CC BY-SA 4.0"),
        ("http://creativecommons.org/licenses/by/2.5/it/legalcode", "CC BY 2.5 IT"),
        (f"{COMMONS}publicdomain/zero/1.0/deed.en", "CC0 1.0"),
        (f"{COMMONS}about", "creativecommons.org"),
        ("https://www.license.example/x", "license.example"),
    ],
)
def test_a_license_has_a_name_for_people(url: str, name: str) -> None:
    assert name_of(url) == name


@pytest.mark.parametrize("publication", ["", "https://license.example/"])
def test_a_license_is_the_articles_own_or_that_of_the_publication(publication: str) -> None:
    """FR-A6, RFC 4946 §2.1: others' articles and those under other words are not under the publication's."""
    other = UNSPECIFIED_LICENSE if publication else ""
    origin = Origin("Rivers", "https://rivers.example/")
    assert license_of(make_article(), publication) == publication
    assert license_of(make_article(license="https://own.example/"), publication) == "https://own.example/"
    assert (
        license_of(make_article(license="https://own.example/", origin=origin), publication) == "https://own.example/"
    )
    assert license_of(make_article(license=UNSPECIFIED_LICENSE), publication) == other
    assert license_of(make_article(origin=origin), publication) == other
