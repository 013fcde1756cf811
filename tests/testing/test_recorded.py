"""Recorded events of the local cloud: order, rounded ids, and lists that move."""

from __future__ import annotations

from fluent_plugin_amp.testing.recorded import RecordedEvents, rounded


def events(*seconds: int) -> RecordedEvents:
    """One for each second given, in this order of arrival; ids by number."""
    made = RecordedEvents()
    for number, second in enumerate(seconds):
        made.add({"id": 2**60 + number, "timestamp": second})
    return made


def ids(made: RecordedEvents, *query: tuple[str, str]) -> list[int]:
    """What is shown."""
    return [event["id"] - 2**60 for event in made.newest_first(query)[0:100]]


def test_the_newest_are_first() -> None:
    """By the time of the event; of the same time, what came last."""
    assert ids(events(5, 9, 5, 1)) == [1, 2, 0, 3]


def test_what_happens_later_is_in_lists_that_were_asked_for() -> None:
    """Also what happens late, and only where it is asked for."""
    made = events(5, 9)
    recent = ("start_date", "1970-01-01T00:00:06Z")
    assert (ids(made), ids(made, recent)) == ([1, 0], [1])
    made.add({"id": 2**60 + 7, "timestamp": 7})
    made.add({"id": 2**60 + 8, "timestamp": 3})
    assert (ids(made), ids(made, recent)) == ([1, 7, 0, 8], [1, 7])


def test_the_newest_can_be_forgotten() -> None:
    """The list becomes shorter in front."""
    made = events(1, 2, 3)
    made.newest_first(())
    made.forget_newest(2)
    assert (ids(made), len(made)) == ([0], 1)


def test_ids_come_rounded_when_asked_for() -> None:
    """As Cisco's API was seen to show them; what is recorded stays exact, and small ids do."""
    made = events(5)
    made.rounded_ids = True
    assert made.newest_first(())[0]["id"] == 1152921504606847000
    made.rounded_ids = False
    assert made.newest_first(())[0]["id"] == 2**60
    assert (rounded(6180352115244793857), rounded(2**53)) == (6180352115244794000, 2**53)
