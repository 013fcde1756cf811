"""What it costs to ask about every hour, in requests."""

from __future__ import annotations

from fluent_plugin_amp.cisco.walk import Entry, Walk
from fluent_plugin_amp.completeness.record import HOUR_S
from fluent_plugin_amp.completeness.schedule import AGAIN_CLEAN_S, SETTLED_S

EVENTS_A_DAY = 100_000
APART_S = 86400 / EVENTS_A_DAY
ALLOWED = 0.05 * 3000
"""In each hour."""
TO_FIND_THE_STREAM = 1
FOR_A_TOTAL = 3
"""See `cisco.history.total_between`."""


def requests_for(hour: int, now: int) -> int:
    """Requests for one look at an hour, with events at equal distances up to now."""
    walk: Walk[None] = Walk(hour + HOUR_S - 1)
    first, last = int((hour - 1) / APART_S), int(now / APART_S)
    requests, found = TO_FIND_THE_STREAM, 0
    while (ask := walk.ask) is not None:
        requests += 1
        numbers = range(max(first, last - ask.offset), max(first, last - ask.offset - ask.limit), -1)
        entries = [Entry(int(number * APART_S), b"%d" % number, None) for number in numbers]
        found += sum(entry.second >= hour for entry in walk.take(entries, is_last=len(entries) < ask.limit))
    assert found in range(EVENTS_A_DAY // 24 - 2, EVENTS_A_DAY // 24 + 3)
    return requests


def test_a_day_of_100_000_events() -> None:
    """Each hour is looked at when it is two hours old, and a day later: a twentieth of the limit is enough.

    A hundredth is, where the total says a day later that nothing has changed.
    """
    begin = 1_699_999_200
    (again_s,) = AGAIN_CLEAN_S
    spent, least = [], []
    for now in range(begin + 30 * HOUR_S, begin + 54 * HOUR_S, HOUR_S):
        first, again = (requests_for(now - HOUR_S - age_s, now) for age_s in (SETTLED_S, again_s))
        spent.append(first + FOR_A_TOTAL + again + FOR_A_TOTAL)
        least.append(first + FOR_A_TOTAL + TO_FIND_THE_STREAM + FOR_A_TOTAL)
    assert max(spent) <= ALLOWED
    assert max(least) <= 0.01 * 3000
