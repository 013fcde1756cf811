from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fluent_plugin_amp.histogram import Histogram

BOUNDS = (0.1, 1.0, 10.0)


@pytest.mark.parametrize(
    ("took_s", "bucket"), [(0.0, 0), (0.1, 0), (0.11, 1), (1.0, 1), (10.0, 2), (10.5, 3), (1e9, 3)]
)
def test_a_bound_belongs_to_its_bucket(took_s: float, bucket: int) -> None:
    """Less or equal, as Prometheus counts; what exceeds all bounds has a place too."""
    histogram = Histogram(BOUNDS)
    histogram.observe([0.0], took_s)
    assert histogram.counts.index(1) == bucket
    assert histogram.sum_s == took_s


@given(st.lists(st.lists(st.floats(0.0, 100.0), min_size=1, max_size=20), max_size=5))
def test_a_run_counts_as_its_parts(runs: list[list[float]]) -> None:
    """However things are observed, together or one by one, the figures are the same."""
    together, alone = Histogram(BOUNDS), Histogram(BOUNDS)
    for run in runs:
        began_at = sorted(run)
        together.observe(began_at, 100.0)
        for moment in began_at:
            alone.observe([moment], 100.0)
    assert together.counts == alone.counts
    assert sum(together.counts) == sum(map(len, runs))
    assert together.sum_s == pytest.approx(alone.sum_s)
