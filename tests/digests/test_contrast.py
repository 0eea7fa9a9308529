"""Every word of a mail can be read, by day and by night, also where a program rewrites colours (WCAG 2.2 AA)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import lxml.html
import pytest

from publisher import colours
from publisher.digests.compose import Frame
from publisher.digests.notes import Note
from publisher.model import Article, Format, Status, Wishes
from tests.digests.test_segments import segment

READABLE = 4.5
NOTICES = Path(__file__).parent.parent / "golden" / "notices"

Rule = tuple[list[str], dict[str, str]]


def colour_of(value: str) -> str | None:
    found = re.search(r"#[0-9a-f]{6}\b", value)
    return found[0] if found else None


def declarations(block: str) -> dict[str, str]:
    pairs = (line.split(":", 1) for line in block.replace("!important", "").split(";") if ":" in line)
    return {name.strip().replace("background-color", "background"): value.strip() for name, value in pairs}


def rules(sheet: str, mode: str) -> Iterator[Rule]:
    """Yield what a style sheet says in a mode: each selector as the classes and tags on the way down."""
    rewritten = "".join(re.findall(r"^\[data-ogs[bc]\] [^{]*\{[^}]*\}", sheet, re.MULTILINE))
    blocks = {
        "day": "",
        "night": "".join(re.findall(r"@media \(prefers-color-scheme: dark\) \{(.*?\})\s*\}", sheet, re.DOTALL)),
        "rewritten": re.sub(r"\[data-ogs[bc]\] ", "", rewritten),
    }
    for selectors, block in re.findall(r"([^{}]+)\{([^}]*)\}", blocks[mode]):
        for selector in selectors.split(","):
            yield selector.split(), declarations(block)


def fits(element: Any, selector: list[str]) -> bool:
    def here(one: Any, part: str) -> bool:
        return part[1:] in one.get("class", "").split() if part.startswith(".") else one.tag == part

    *above, last = selector
    return here(element, last) and all(any(here(one, part) for one in element.iterancestors()) for part in above)


def pairs(html: str, mode: str) -> Iterator[tuple[str, str, str]]:
    """Yield each text with its colour and the colour behind it, as a program in this mode shows them."""
    document: Any = lxml.html.document_fromstring(html)
    special = list(rules("".join(document.xpath("//style/text()")), mode))

    def shown(element: Any, name: str) -> str:
        for one in (element, *element.iterancestors()):
            said = [block[name] for selector, block in special if name in block and fits(one, selector)]
            own = declarations(one.get("style", "")).get(name, "")
            if value := colour_of(said[-1] if said else own):
                return value
        raise AssertionError(f"nothing says the {name} of {element.tag} {element.get('class')}")

    for element in document.body.iter():
        if not isinstance(element.tag, str):
            continue
        text = " ".join(filter(None, [element.get("alt"), element.text, *(child.tail for child in element)])).strip()
        if text and element.get("aria-hidden") != "true":
            yield text, shown(element, "color"), shown(element, "background")


@pytest.fixture
def mail(make_frame: Callable[..., Frame], make_article: Callable[..., Article], news: tuple[Article, ...]) -> str:
    """A digest with everything that templates know."""
    categories = ("foreign-policy", "security", "economy", "society")
    statuses = (*Status, None)
    other = make_article("other", title="Another one")
    link = '<a href="https://news.example/x">link</a>'
    told = [
        replace(
            article,
            categories=(categories[number % 4],),
            status=statuses[number % 4],
            html=f"<p>A {link}</p>",
            related=("other",),
        )
        for number, article in enumerate(news)
    ]
    frame = replace(
        make_frame(content="full", max_per_section=2),
        notes={"": Note(html=f"<p>Dear reader, a {link}</p>", text="", links=())},
        related={"other": other},
    )
    everything = Wishes(languages=("en",), timezone="UTC", format=Format.HTML, categories=None, cursor=0)
    return segment(frame, tuple(told), everything).html


@pytest.mark.parametrize("mode", ["day", "night", "rewritten"])
def test_every_word_of_a_digest_stands_out_from_its_ground(mail: str, mode: str) -> None:
    """Issue 6: contrast of at least 4.5 to 1, measured on the mail that readers get."""
    found = list(pairs(mail, mode))
    assert {"Improved", "Worsened", "Unchanged", "Unsubscribe", "Dear reader, a"} <= {
        re.sub(r"^[\s\xa0]*", "", text) for text, _, _ in found
    }
    low = {text: round(colours.contrast(*both), 2) for text, *both in found if colours.contrast(*both) < READABLE}
    assert low == {}


@pytest.mark.parametrize("mode", ["day", "night"])
@pytest.mark.parametrize("name", sorted(path.name for path in NOTICES.glob("*.html")))
def test_every_word_of_a_notice_stands_out_from_its_ground(name: str, mode: str) -> None:
    found = list(pairs((NOTICES / name).read_text("utf-8"), mode))
    assert len(found) > 4
    assert {text: both for text, *both in found if colours.contrast(*both) < READABLE} == {}


@pytest.mark.parametrize("colour", ["#1d4ed8", "#7c3aed", "#0f766e", "#b45309", "#000000", "#ffffff", "#5b0000"])
def test_a_category_s_colour_can_be_told_from_the_ground_by_night(mail: str, colour: str) -> None:
    """WCAG 2.2 §1.4.11; a colour that can be told already stays as it is."""
    by_night = colours.lightened(colour)
    assert colours.contrast(by_night, colours.CARD_BY_NIGHT) >= colours.SEEN
    assert (by_night == colour) is (colours.contrast(colour, colours.CARD_BY_NIGHT) >= colours.SEEN)
    assert f".card {{ background-color: {colours.CARD_BY_NIGHT} !important;" in mail
    assert f".mark1 {{ color: {colours.lightened('#1d4ed8')} !important; }}" in mail


def test_contrast_is_that_of_wcag() -> None:
    """The ends of the scale, and two greys of its documentation."""
    assert colours.contrast("#000000", "#ffffff") == pytest.approx(21)
    assert colours.contrast("#123456", "#123456") == 1
    assert colours.contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.005)
    assert colours.contrast("#ffffff", "#767676") == pytest.approx(4.54, abs=0.005)
