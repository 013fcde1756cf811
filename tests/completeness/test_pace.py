"""How fast the cloud's events are looked at."""

from __future__ import annotations

import pytest

from fluent_plugin_amp.completeness.pace import EVENTS_A_SECOND, OF_A_REQUEST, SharedPace


def test_a_look_keeps_to_the_pace() -> None:
    """Of the events, and of the requests; what was waited for already counts."""
    pace = SharedPace()
    assert pace.pause_s(EVENTS_A_SECOND - OF_A_REQUEST, 100.0) == pytest.approx(1.0)
    assert pace.pause_s(EVENTS_A_SECOND - OF_A_REQUEST, 100.5) == pytest.approx(1.5)
    assert pace.pause_s(0, 200.0, requests=3) == pytest.approx(3 * OF_A_REQUEST / EVENTS_A_SECOND)


def test_all_streams_have_one_pace() -> None:
    """Ten that look at once are ten times as slow."""
    pace = SharedPace()
    waits = [pace.pause_s(EVENTS_A_SECOND, 5.0) for _ in range(10)]
    assert waits[-1] == pytest.approx(10 * waits[0])
