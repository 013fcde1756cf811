from __future__ import annotations

import msgspec
import pytest

from fluent_plugin_amp.completeness.presence import DID_NOT_RUN, MAX_KEPT_GAPS, Counted, Presence, decode
from fluent_plugin_amp.completeness.record import HOUR_S, Gap
from fluent_plugin_amp.model import Counters
from tests.completeness.chains import BEGIN

NONE = Counters()


def seen(*states: tuple[int, str | None]) -> Presence:
    """Told at these seconds after `BEGIN` why it cannot work."""
    presence = Presence()
    for at, trouble in states:
        presence.observe(BEGIN + at, trouble, NONE)
    return presence


def test_a_trouble_is_one_gap_for_as_long_as_it_lasts() -> None:
    """From when it was seen first to when it was seen no more; another reason is another gap."""
    presence = seen((0, None), (15, "a"), (30, "a"), (45, "b"), (60, None), (75, None), (90, "a"), (105, None))
    assert presence.gaps == [
        Gap(BEGIN + 15, BEGIN + 45, "a"),
        Gap(BEGIN + 45, BEGIN + 60, "b"),
        Gap(BEGIN + 90, BEGIN + 105, "a"),
    ]


def test_silence_is_absence() -> None:
    """After a crash, a suspended machine, an upgrade; short ones are none."""
    assert seen((0, None), (60, None)).gaps == []
    assert seen((0, "a"), (61, None)).gaps == [Gap(BEGIN, BEGIN + 61, DID_NOT_RUN)]


def test_a_gap_belongs_to_each_hour_that_it_touches() -> None:
    """With its part of it."""
    presence = seen((0, None), (3 * HOUR_S // 2, None))
    assert presence.gaps_of(BEGIN) == (Gap(BEGIN, BEGIN + HOUR_S, DID_NOT_RUN),)
    assert presence.gaps_of(BEGIN + HOUR_S) == (Gap(BEGIN + HOUR_S, BEGIN + 3 * HOUR_S // 2, DID_NOT_RUN),)
    assert presence.gaps_of(BEGIN + 2 * HOUR_S) == presence.gaps_of(BEGIN - HOUR_S) == ()


def test_it_counts_by_the_hour() -> None:
    """The newest event stays known while none comes."""
    presence = Presence()
    presence.observe(BEGIN, None, Counters(dead_letters=1, duplicates=2, newest_event_at=BEGIN))
    presence.observe(BEGIN + 15, None, Counters(dead_letters=1))
    presence.observe(BEGIN + HOUR_S, None, Counters(duplicates=5))
    assert presence.hours == {BEGIN: Counted(2, 2, BEGIN), BEGIN + HOUR_S: Counted(0, 5, None)}
    assert decode(presence.encode()) == presence


def test_it_is_bounded() -> None:
    """Ten days, and some hundred gaps: neighbours become one."""
    presence = Presence()
    for number in range(4 * MAX_KEPT_GAPS):
        presence.observe(BEGIN + 30 * number, None if number % 2 else "a", NONE)
    assert len(presence.gaps) <= MAX_KEPT_GAPS
    assert (presence.gaps[0].since, presence.gaps[-1].until) == (BEGIN, BEGIN + 30 * (4 * MAX_KEPT_GAPS - 1))
    presence.observe(BEGIN + 20 * 24 * HOUR_S, None, NONE)
    assert [gap.why for gap in presence.gaps] == [DID_NOT_RUN]
    assert list(presence.hours) == [BEGIN + 20 * 24 * HOUR_S]


def test_a_clock_that_was_ahead_leaves_no_gap_in_the_future() -> None:
    """What it made of the time until now ends now; what it saw later is forgotten."""
    ahead = 40 * 24 * HOUR_S
    presence = seen((0, None), (ahead, "a"), (ahead + 15, "a"), (600, "a"), (615, None))
    assert presence.gaps == [Gap(BEGIN, BEGIN + 600, DID_NOT_RUN), Gap(BEGIN + 600, BEGIN + 615, "a")]
    assert list(presence.hours) == [BEGIN]


def test_a_clock_that_goes_back_a_little_makes_no_gap_that_ends_before_it_begins() -> None:
    """As a time server sets it."""
    assert seen((60, "a"), (30, "a"), (45, None)).gaps == [Gap(BEGIN + 30, BEGIN + 45, "a")]


@pytest.mark.parametrize("row", [{"seen_at": -1}, {"hours": {"0": {"newest_event": 10**15}}}])
def test_a_presence_of_times_that_are_none_is_none(row: dict[str, object]) -> None:
    """Whatever wrote it: a record cannot say them, and there would be no record any more."""
    with pytest.raises(ValueError, match="time"):
        decode(msgspec.json.encode(row))
