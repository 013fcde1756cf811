"""Which events of the cloud were delivered: by id, and by time, type and connector where ids are rounded."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fluent_plugin_amp.history.compare import compare
from fluent_plugin_amp.model import EventIdentity
from fluent_plugin_amp.testing.recorded import rounded

ID = 6_180_352_115_244_793_857
"""Shown as 6180352115244794000 where it was rounded."""


def facts(
    event_id: int | str | None, second: int = 5, connector: str | None = "c", detection: int | None = None
) -> EventIdentity:
    """Of an event that is like all others but for these."""
    return EventIdentity(event_id, second, 619_000_000, 1090519054, connector, detection)


def delivered(*events: EventIdentity) -> list[tuple[bytes, EventIdentity]]:
    """Each with a digest of its own."""
    return [(str(number).encode(), event) for number, event in enumerate(events)]


def test_the_rounding_seen() -> None:
    """The id of the recorded answer is one that a float made."""
    assert rounded(ID) == 6180352115244794000
    assert compare([facts(6180352115244794000)], delivered(facts(ID))).missing == []


def test_an_id_alone_is_enough() -> None:
    """However its time is told."""
    assert compare([facts(ID, 5)], delivered(facts(ID, 6))).missing == []
    assert compare([facts(7, 5)], delivered(facts(7, 6))).missing == []


def test_two_exact_ids_are_two_events() -> None:
    """Although they happened at the same time, on the same computer."""
    assert compare([facts(ID), facts(ID + 2)], delivered(facts(ID))).missing == [1]


@pytest.mark.parametrize("printed", [6180352115244794000, 6180352115244793856], ids=["shortest", "all digits"])
def test_a_rounded_id_is_known_by_the_rest(printed: int) -> None:
    """Time, type and connector decide; another connector is another event."""
    assert compare([facts(printed)], delivered(facts(ID))).missing == []
    assert compare([facts(printed, connector="d")], delivered(facts(ID))).missing == [0]


@settings(deadline=None)
@given(st.integers(2**53, 2**64 - 1))
def test_every_id_that_a_float_rounded_may_be_another(event_id: int) -> None:
    """Whatever its size, printed in the shortest way or with all digits."""
    for printed in (rounded(event_id), int(float(event_id))):
        assert compare([facts(printed)], delivered(facts(event_id))).missing == []


def test_events_without_id_are_known_by_the_rest() -> None:
    """Those of accounts and of threat hunting have none, or a text."""
    assert compare([facts(None)], delivered(facts(None))).missing == []
    assert compare([facts(None)], delivered()).missing == [0]


def test_of_events_that_are_alike_all_are_candidates() -> None:
    """One of two was delivered: one is missing, and both are sent, for nobody can tell which."""
    result = compare([facts(rounded(ID)), facts(rounded(ID + 2))], delivered(facts(ID)))
    assert (len(result.missing), result.candidates) == (1, [0, 1])


def test_of_events_that_are_alike_the_detection_decides() -> None:
    """It is never rounded: only what is missing is sent."""
    cloud = [facts(rounded(ID), detection=1), facts(rounded(ID + 2), detection=2)]
    for other in (facts(ID + 2, detection=2), facts(rounded(ID), detection=2)):
        result = compare(cloud, delivered(other))
        assert (result.missing, result.candidates) == ([0], [0])
    assert compare(cloud, delivered(facts(ID, detection=3))).candidates == [0, 1]


def test_of_one_detection_that_has_several_all_are_candidates() -> None:
    """Of the other detection, of which nothing is missing, none."""
    cloud = [facts(rounded(ID), detection=each) for each in (1, 2, 2)]
    result = compare(cloud, delivered(facts(ID, detection=1), facts(ID + 2, detection=2)))
    assert (len(result.missing), result.candidates) == (1, [1, 2])


def test_what_was_remembered_without_its_detection_may_be_any() -> None:
    """By an earlier version: as many are found, and while one is missing all are candidates."""
    cloud = [facts(rounded(ID), detection=1), facts(rounded(ID + 2), detection=2)]
    result = compare(cloud, delivered(facts(ID)))
    assert (len(result.missing), result.candidates) == (1, [0, 1])
    assert compare(cloud, delivered(facts(ID), facts(ID + 2))).missing == []
    assert compare(cloud, delivered(facts(ID), facts(ID + 2, detection=2))).missing == []


def test_a_record_without_its_detection_may_be_any_delivered() -> None:
    """Also the other way about."""
    assert compare([facts(rounded(ID))], delivered(facts(ID, detection=1))).missing == []


def test_a_text_that_is_no_number_is_an_exact_id() -> None:
    """Nobody rounds it."""
    assert compare([facts("a"), facts("b")], delivered(facts("a"))).candidates == [1]


def test_an_event_recorded_twice_stands_for_one() -> None:
    """The same message, delivered again, does not hide a missing one."""
    twice = [(b"same", facts(ID)), (b"same", facts(ID))]
    assert len(compare([facts(rounded(ID)), facts(rounded(ID))], twice).missing) == 1


@pytest.mark.parametrize("size", [2**64 + 2**20, 10**400])
def test_ids_beyond_64_bits_are_exact(size: int) -> None:
    """No float was in their way."""
    assert compare([facts(size)], delivered(facts(size))).missing == []
    assert compare([facts(size)], delivered(facts(size + 1))).missing == [0]


@dataclass(frozen=True)
class Event:
    """One that happened: few ids and times, so that many are alike."""

    number: int
    second: int
    connector: int
    has_id: bool
    detection: int | None
    was_delivered: bool
    over_rest: bool
    """It was delivered by an earlier backfill: what is remembered is what REST showed."""

    def facts(self, *, is_rounded: bool) -> EventIdentity:
        """As a cloud shows it."""
        event_id = ID + self.number * 300
        shown = (rounded(event_id) if is_rounded else event_id) if self.has_id else None
        return EventIdentity(shown, self.second, 0, 1, f"c{self.connector}", self.detection)


def events() -> st.SearchStrategy[list[Event]]:
    """Some, each with a number of its own."""
    made = st.builds(
        Event,
        st.integers(0, 30),
        st.integers(0, 1),
        st.integers(0, 1),
        st.sampled_from([True, True, True, False]),
        st.sampled_from([None, 1, 2]),
        st.booleans(),
        st.booleans(),
    )
    return st.lists(made, max_size=12, unique_by=lambda event: event.number)


@settings(max_examples=150, deadline=None)
@given(events(), st.booleans())
def test_nothing_that_is_missing_is_left_out(happened: list[Event], is_rounded: bool) -> None:
    """With ids rounded or not, over whichever way it came: what was not delivered is among the candidates."""
    cloud = [event.facts(is_rounded=is_rounded) for event in happened]
    memory = [event.facts(is_rounded=is_rounded and event.over_rest) for event in happened if event.was_delivered]
    result = compare(cloud, delivered(*memory))
    assert {index for index, event in enumerate(happened) if not event.was_delivered} <= set(result.candidates)
    assert set(result.missing) <= set(result.candidates)
    assert Counter(cloud[index][1:] for index in result.missing) == Counter(
        cloud[index][1:] for index, event in enumerate(happened) if not event.was_delivered
    )


@settings(max_examples=150, deadline=None)
@given(events(), st.booleans())
def test_memories_of_an_earlier_version_hide_nothing(happened: list[Event], is_rounded: bool) -> None:
    """They have no detection: what is missing is among the candidates all the same."""
    cloud = [event.facts(is_rounded=is_rounded) for event in happened]
    memory = [event.facts(is_rounded=False)._replace(detection_id=None) for event in happened if event.was_delivered]
    result = compare(cloud, delivered(*memory))
    assert {index for index, event in enumerate(happened) if not event.was_delivered} <= set(result.candidates)


@settings(max_examples=80, deadline=None)
@given(events())
def test_with_exact_ids_the_answer_is_exact(happened: list[Event]) -> None:
    """Nothing else is sent, where every event has an id that nobody rounded."""
    whole = [event for event in happened if event.has_id]
    cloud = [event.facts(is_rounded=False) for event in whole]
    memory = [event.facts(is_rounded=False) for event in whole if event.was_delivered]
    result = compare(cloud, delivered(*memory))
    wanted = [index for index, event in enumerate(whole) if not event.was_delivered]
    assert result.candidates == result.missing == wanted
