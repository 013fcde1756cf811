"""The bench's tables say how costs grow."""

from __future__ import annotations

import pytest

from tests.bench.tables import growth_table, growths, parts, tenfold


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


def test_sizes_grow_by_what_a_kilobyte_costs() -> None:
    """In bytes, whatever the unit: a larger event costs more, and may."""
    cost = "microseconds of processor an event"
    held = {"sizes": {f"1 MiB: {cost}": [2097.152], f"1.5 kB: {cost}": [30.0], f"256 B: {cost}": [25.6]}}
    (costs,) = growths(held).values()
    assert {size: round(cost, 3) for size, cost in costs.items()} == {256: 100.0, 1500: 20.0, 1024 * 1024: 2.0}


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


def test_the_parts_of_a_run() -> None:
    """A table for each measure, README's rows of those that were measured, and what it was measured on."""
    conditions = {
        "date": "2026-03-02",
        "load": 0.25,
        "minutes": 27.4,
        "machine": "2 x Xeon, Debian",
        "versions": ["CPython 3.11.7", "RabbitMQ 3.10.8"],
        "sizes": "100,000 events and 5 turns for the first table.",
    }
    held = {
        "start": {"start to first event, s": [0.5, 0.4, 0.61], "import of the command line, s": [0.123]},
        "open_detections": {"0 open detections: microseconds a further one": [16.5]},
    }
    assert parts(conditions, held) == {
        "start": """\
| start | min | median | max |
|---|---|---|---|
| start to first event, s | 0.40 | 0.50 | 0.61 |
| import of the command line, s |  | 0.12 |  |
""",
        "open detections": """\
| open detections | min | median | max |
|---|---|---|---|
| 0 open detections: microseconds a further one |  | 16.5 |  |
""",
        "tenfold": """\
| what grows, and what it costs | from | to | tenfold, at most |
|---|---|---|---|

![Growth](images/bench/growth.png)
""",
        "head": """\
|  | min | median | max |
|---|---|---|---|
| start to first event, s | 0.40 | 0.50 | 0.61 |
""",
        "conditions": (
            "Taken 2026-03-02 in one run of 27 minutes, on 2 x Xeon, Debian; CPython 3.11.7, RabbitMQ 3.10.8. "
            "100,000 events and 5 turns for the first table. When it began, the load of the machine was 0.2."
        ),
    }
