"""Names that readers hold: a reload that keeps them all strands nobody, so that nobody needs to be asked."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from publisher.config import Category, Config, Frequency, Newsletter, Site
from publisher.config.names import keeps_names, stranded

SLUGS = ("a", "b", "c", "d")
names = st.lists(st.sampled_from(SLUGS), unique=True, min_size=1, max_size=4)


@st.composite
def configurations(draw: st.DrawFn) -> Config:
    """A configuration whose newsletters, frequencies and categories have few names and former names."""

    def parted() -> dict[str, tuple[str, ...]]:
        """Names, each with former names that nothing else has."""
        chosen = draw(names)
        number = draw(st.integers(1, len(chosen)))
        former = chosen[number:]
        return {name: tuple(former) if index == 0 else () for index, name in enumerate(chosen[:number])}

    def frequencies() -> dict[str, Frequency]:
        return {name: Frequency(days=("mon",), at="07:00", former=former) for name, former in parted().items()}

    return Config(
        site=Site(title="The Ledger", url="https://ledger.example/"),
        categories=tuple(Category(slug=name, title=name, former=former) for name, former in parted().items()),
        newsletters=tuple(
            Newsletter(slug=name, title=name, from_address="e@ledger.example", frequencies=frequencies(), former=former)
            for name, former in parted().items()
        ),
    )


held = st.dictionaries(st.tuples(st.sampled_from(SLUGS), st.sampled_from(SLUGS)), st.integers(1, 5))


@given(configurations(), configurations(), held, held)
def test_a_reload_that_keeps_every_name_strands_nobody(
    before: Config, after: Config, frequencies: dict[tuple[str, str], int], categories: dict[tuple[str, str], int]
) -> None:
    """Whatever readers hold; and the other way round, a name that is gone would strand whoever holds it."""
    everything = {(one, other): 1 for one in SLUGS for other in SLUGS}
    if keeps_names(before, after):
        assert stranded(before, after, frequencies, categories) == []
    else:
        assert stranded(before, after, everything, everything) != []


@given(configurations())
def test_the_same_configuration_keeps_its_names(config: Config) -> None:
    assert keeps_names(config, config)
