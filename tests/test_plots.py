"""Plots are numbers that stay inside their frame and say what they show."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from publisher.web.plots import HEIGHT, WIDTH, Bar, bars, nice, shares

NUMBERS = st.integers(0, 10**9)


@given(st.lists(st.tuples(NUMBERS, NUMBERS), min_size=1, max_size=120))
def test_every_bar_stands_in_its_frame_on_the_line(pairs: list[tuple[int, int]]) -> None:
    points = [(f"day {number}", up) for number, (up, _) in enumerate(pairs)]
    plot = bars(points, below=[down for _, down in pairs], summary="")
    assert len(plot.bars) == sum((up > 0) + (down > 0) for up, down in pairs)
    for bar in plot.bars:
        assert 0 <= bar.x <= bar.x + bar.width <= WIDTH + 0.1
        assert -0.7 <= bar.y <= bar.y + bar.height <= HEIGHT + 0.7
        assert abs((bar.y if bar.below else bar.y + bar.height) - plot.zero) < 0.02
    assert (plot.columns[0], plot.columns[-1]) == (points[0][0], points[-1][0])


def test_a_plot_of_a_few_numbers_is_drawn_to_scale() -> None:
    plot = bars([("Mon", 3), ("Tue", 0), ("Wed", 10)], summary="13 sent", names=("sent", ""))
    assert (plot.rows, plot.columns, plot.summary) == (("10", "0"), ("Mon", "Tue", "Wed"), "13 sent")
    assert plot.bars == (
        Bar(30.0, 70.0, 273.33, 30.0, "Mon: 3 sent"),
        Bar(696.67, 0.0, 273.33, 100.0, "Wed: 10 sent"),
    )


@given(st.integers(0, 10**12))
def test_a_scale_ends_at_a_round_number_that_is_not_far(number: int) -> None:
    top = nice(number)
    assert number <= top <= max(1, number * 5 // 2)
    assert str(top).rstrip("0") in ("1", "2", "5")


@given(st.lists(st.tuples(st.text(max_size=3), NUMBERS), max_size=8))
def test_the_parts_of_a_bar_fill_it_and_each_is_seen(parts: list[tuple[str, int]]) -> None:
    found = shares(parts)
    assert [(name, number) for name, number, _, _ in found] == [one for one in parts if one[1]]
    assert not found or abs(sum(width for _, _, _, width in found) - 100) < 0.1
    assert all(width > 0.4 for _, _, _, width in found)
