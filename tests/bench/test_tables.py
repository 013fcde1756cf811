"""The bench's tables say how costs grow."""

from __future__ import annotations

import pytest

from tests.bench.tables import growth_table, growths, tenfold


def test_growth_is_read_from_the_rows() -> None:
    """By what grows, in the order of its number, by the medians; other rows are none of it."""
    held = {
        "remembered": {
            "1,000 events: microseconds a look-up": [4.0],
            "0 events: microseconds a look-up": [1.0, 2.0, 9.0],
        },
        "streams": {"1 streams: events/s": [1.0], "1 streams: peak MiB": [1.0]},
    }
    grown = growths(held)
    assert grown == {"events: microseconds a look-up": {0: 2.0, 1000: 4.0}}
    assert growth_table(grown).splitlines()[2:] == [
        "| events: microseconds a look-up | 0: 2.00 | 1,000: 4.00 | 1.26 times |"
    ]


@pytest.mark.parametrize(
    ("costs", "growth"),
    [
        ({1: 1.0, 10: 2.0}, 2.0),
        ({1: 1.0, 100: 4.0}, 2.0),
        ({0: 3.0, 10: 3.0, 100: 1.5}, 1.0),
        ({0: 1.0, 1: 5.0}, 0.0),
    ],
)
def test_the_most_that_it_grows_tenfold(costs: dict[int, float], growth: float) -> None:
    """Whatever the distance between two numbers; from none to one is no growth."""
    assert tenfold(costs) == pytest.approx(growth)
