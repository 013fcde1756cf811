from __future__ import annotations

import pytest

from fluent_plugin_amp.observe import units


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (0.04, "0 s"),
        (0.44, "0.4 s"),
        (9.96, "10 s"),
        (59.4, "59 s"),
        (60, "1 min"),
        (90, "1.5 min"),
        (34 * 60, "34 min"),
        (3600, "1 h"),
        (5.5 * 3600, "5.5 h"),
        (47 * 3600, "47 h"),
        (8.2 * 86400, "8.2 days"),
        (400 * 86400, "400 days"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    """Two digits, in the unit that a person would take."""
    assert units.duration(seconds) == text


@pytest.mark.parametrize(("seconds", "text"), [(0.0036, "4 ms"), (0.85, "850 ms"), (2.5, "2.5 s")])
def test_latencies(seconds: float, text: str) -> None:
    """Milliseconds below a second."""
    assert units.milliseconds(seconds) == text


@pytest.mark.parametrize(
    ("rate", "text"), [(0, "0"), (0.01, "< 0.1"), (0.24, "0.2"), (9.94, "9.9"), (12.3, "12"), (1234.5, "1,234")]
)
def test_rates(rate: float, text: str) -> None:
    """A trickle is not nothing."""
    assert units.per_second(rate) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (1023, "1023 B"), (1024, "1 KiB"), (64 * 2**20, "64 MiB"), (5 * 2**40, "5120 GiB")],
)
def test_sizes(count: int, text: str) -> None:
    """In binary units, as the configuration writes them."""
    assert units.size(count) == text


@pytest.mark.parametrize(
    ("growth_per_s", "text"),
    [
        (None, "1,200 events wait, the oldest for about 5 min"),
        (0.0, "1,200 events wait, the oldest for about 5 min"),
        (2.0, "1,200 events wait, the oldest for about 5 min; growing by 2.0 a second"),
        (-10.0, "1,200 events wait, the oldest for about 5 min; shrinking by 10 a second, 2 min to go"),
    ],
)
def test_backlogs(growth_per_s: float | None, text: str) -> None:
    """How many, since when, and where it goes."""
    assert units.backlog(1200, 300.0, growth_per_s) == text


def test_a_backlog_of_one() -> None:
    """Is no plural."""
    assert units.backlog(1, 300.0, None) == "1 event waits, the oldest for about 5 min"


def test_moments() -> None:
    """UTC, to the second."""
    assert units.moment(1_700_000_000.9) == "2023-11-14T22:13:20Z"
    assert units.day_and_time(1_700_000_000.9) == "2023-11-14 22:13:20Z"
