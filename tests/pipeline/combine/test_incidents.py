"""Incidents: three groupings, a window from the first event, event time."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fluent_plugin_amp.pipeline.combine import incidents as module
from fluent_plugin_amp.pipeline.combine.incidents import GROUPINGS, LISTED, Incidents
from fluent_plugin_amp.pipeline.combine.member import Member, MemberMaker
from tests.pipeline.steps import grows_linearly

DAY = 1_600_000_000 // 86400 * 86400
NOW = DAY + 365.0 * 86400
ALL = tuple(GROUPINGS)


def at(clock: str) -> int:
    """Seconds since the epoch of a time of that day."""
    hours, minutes, seconds = map(int, clock.split(":"))
    return DAY + hours * 3600 + minutes * 60 + seconds


def member(seconds: int, *, sha256: str = "f", computer: str = "c", number: int = 0, **fields: Any) -> Member:
    """A detection."""
    record = {
        "id": number or seconds,
        "detection": "x",
        "connector_guid": computer,
        "file": {"identity": {"sha256": sha256}},
        **fields,
    }
    made = MemberMaker(None, None, b"")(record, seconds, 0, f"{seconds} {sha256} {computer} {number}".encode())
    assert made is not None
    return made


def incidents(members: list[Member], by: tuple[str, ...] = ALL, lateness_s: float = 60.0) -> list[dict[str, Any]]:
    """All incidents of a stream that ends with these."""
    made = Incidents(300, lateness_s, by, 1000)
    for each in members:
        made.add("s", each, NOW)
    made.flush()
    assert len(made) == 0
    return [emission.record for emission in made.emissions]


def test_ciscos_example_of_the_window() -> None:
    """Events from 18:00:00 to 18:04:44 are one incident, 18:09:13 opens the next: N = 5 minutes from the first."""
    members = [member(at(clock)) for clock in ("18:00:00", "18:02:30", "18:04:44", "18:09:13")]
    for by in ALL:
        first, second = incidents(members, (by,))
        assert (first["count"], first["first_seen"], first["last_seen"]) == (
            3,
            "2020-09-13T18:00:00.000000000Z",
            "2020-09-13T18:04:44.000000000Z",
        )
        assert (second["count"], second["first_seen"]) == (1, "2020-09-13T18:09:13.000000000Z")


def test_the_window_is_counted_from_the_first_event_not_the_last() -> None:
    """A steady trickle does not make one endless incident; five minutes on is the next."""
    made = incidents([member(at("18:00:00") + 100 * step) for step in range(7)], ("computer",))
    assert [record["count"] for record in made] == [3, 3, 1]


def test_the_same_file_on_any_computers() -> None:
    """Cisco's first grouping."""
    made = incidents([member(at("18:00:00"), computer="c1"), member(at("18:01:00"), computer="c2")], ("sha256",))
    assert [(record["key"], record["computers"]) for record in made] == [("f", ["c1", "c2"])]


def test_the_same_file_on_one_computer() -> None:
    """Cisco's second grouping."""
    members = [
        member(at("18:00:00"), computer="c1"),
        member(at("18:01:00"), computer="c2"),
        member(at("18:02:00"), computer="c1"),
    ]
    made = incidents(members, ("sha256_and_computer",))
    assert sorted((record["key"], record["count"]) for record in made) == [("f/c1", 2), ("f/c2", 1)]


def test_any_detections_on_one_computer() -> None:
    """Cisco's third grouping: by hash or by address."""
    network = member(at("18:01:00"), sha256="", network_info={"remote_ip": "192.0.2.1"})
    neither = member(at("18:02:00"), sha256="")
    (made,) = incidents([member(at("18:00:00")), network, neither], ("computer",))
    assert (made["count"], made["sha256s"], made["ips"]) == (2, ["f"], ["192.0.2.1"])


def test_several_groupings_at_once() -> None:
    """Each event is in each incident that it has a key for."""
    made = incidents([member(at("18:00:00"), detection_id="D")])
    assert [record["by"] for record in made] == list(ALL)
    assert all(record["detections"] == ["d"] for record in made)
    assert len({record["incident_id"] for record in made}) == 3


def test_an_incident_is_written_when_nothing_more_is_to_be_expected() -> None:
    """When window and lateness have passed by the time of the events of its key, and of no others."""
    made = Incidents(300, 60, ("computer",), 10)
    made.add("s", member(at("18:00:00")), NOW)
    made.add("s", member(at("18:05:59")), NOW)
    made.add("s", member(at("23:00:00"), computer="d"), NOW)
    assert made.emissions == []
    made.add("s", member(at("18:06:00")), NOW)
    assert [emission.record["key"] for emission in made.emissions] == ["c"]


@pytest.mark.parametrize("by", ["computer", "sha256", "sha256_and_computer"])
@pytest.mark.parametrize("shared", ["f", ""])
def test_a_computer_that_was_away_brings_its_events_late(by: str, shared: str) -> None:
    """Sorted by time or as they come: its six events of an hour ago are one incident, not six of one each."""
    late = [member(at("17:00:00") + n, computer="b", sha256=shared or "g") for n in range(6)]
    others = [member(at("18:00:00") + n, computer="a", sha256="f") for n in (0, 1, 2, 30)]
    arrival = [*others[:3], *late, others[3]]
    made = incidents(arrival, (by,))
    assert sorted(record["count"] for record in made) == [4, 6]
    assert sorted(made, key=str) == sorted(incidents([*late, *others], (by,)), key=str)


def test_late_events_of_a_busy_key_wait_for_each_other() -> None:
    """A hash that many computers have goes on; what one of them brings late is one incident, closed in its time."""
    made = Incidents(300, 60, ("sha256",), 10)
    for second in range(0, 1200, 10):
        made.add("s", member(at("18:00:00") + second), NOW)
        if 600 <= second < 700:
            made.add("s", member(at("17:00:00") + second, computer="b"), NOW)
    found = [(emission.record["first_seen"][11:19], emission.record["count"]) for emission in made.emissions]
    assert found == [("18:00:00", 30), ("17:10:00", 10), ("18:05:00", 30), ("18:10:00", 30)]


def test_a_key_of_which_nothing_comes_is_closed() -> None:
    """By the watch, and by the stream's clock: so long must the stream have been consumed, and have gone on."""
    made = Incidents(300, 60, ("computer",), 10)
    made.watch_s = 1000.0
    made.add("s", member(at("18:00:00")), NOW)
    for watch_s, since_s, clock, closed in (
        (1360.0, 900.0, "18:05:59", 0),  # a backlog is worked off slowly
        (1360.0, 1001.0, "18:06:00", 0),  # the stream was away
        (1359.0, 900.0, "18:06:00", 0),  # a backlog is worked off fast
        (1360.0, 900.0, "18:06:00", 1),
    ):
        made.add("s", member(at(clock), computer="d"), NOW)
        made.watch_s = watch_s
        made.close_quiet("s", since_s)
        assert [emission.record["key"] for emission in made.emissions] == ["c"] * closed
    made.close_quiet("t", 0.0)
    assert len(made) == 1


def test_streams_have_clocks_of_their_own() -> None:
    """One stream's events close nothing of another's."""
    made = Incidents(300, 60, ("sha256",), 10)
    made.add("a", member(at("18:00:00")), NOW)
    made.add("b", member(at("19:00:00")), NOW)
    assert made.emissions == []
    made.close_idle("a")
    assert [emission.stream for emission in made.emissions] == ["a"]


def test_an_event_from_the_future_moves_no_clock() -> None:
    """A computer whose clock is wrong does not close everybody's incidents."""
    made = Incidents(300, 60, ("sha256",), 10)
    made.add("s", member(at("18:00:00")), at("18:00:10"))
    made.add("s", member(at("23:00:00"), sha256="g"), at("18:00:20"))
    assert made.emissions == []


def test_what_comes_too_late_is_not_lost() -> None:
    """It makes an incident of its own."""
    made = Incidents(300, 60, ("sha256",), 10)
    for clock in ("18:00:00", "18:10:00", "18:01:00"):
        made.add("s", member(at(clock)), NOW)
    assert [emission.record["count"] for emission in made.emissions] == [1]
    made.flush()
    assert [emission.record["count"] for emission in made.emissions] == [1, 1, 1]


def test_what_is_quiet_for_longest_is_closed_early_when_there_are_too_many() -> None:
    """It is written, and counted."""
    made = Incidents(300, 60, ("sha256",), 2)
    for number in (0, 1, 0, 2):
        made.add("s", member(at("18:00:00") + len(made.changes), sha256=str(number)), NOW)
    assert [emission.record["key"] for emission in made.emissions] == ["1"]
    assert (made.closed_early, len(made)) == (1, 2)


def test_while_a_backlog_is_worked_off_what_is_over_by_the_streams_clock_is_not_early() -> None:
    """Hours of events in a minute: room is made of what nothing more is to be expected of."""
    made = Incidents(300, 60, ("sha256",), 2)
    for number in range(100):
        made.add("s", member(at("00:00:00") + 600 * number, sha256=str(number)), NOW)
    assert (len(made.emissions), made.closed_early, len(made)) == (98, 0, 2)


def test_events_that_wait_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of one key and of all, however few incidents there are: written early, and counted."""
    monkeypatch.setattr(module, "MAX_EVENTS", 20)
    made = Incidents(300, 60, ("sha256",), 5)
    for number in range(50):
        made.add("s", member(at("18:00:00"), number=number + 1), NOW)
    assert [emission.record["count"] for emission in made.emissions] == [21, 21]
    for number in range(100):
        made.add("s", member(at("18:00:00"), number=number + 1, sha256=str(number % 4)), NOW)
    assert made._events <= 20 + module.EVENTS_EACH * 5
    made.flush()
    assert sum(emission.record["count"] for emission in made.emissions) == 150
    assert (made._events, len(made), made._of_stream) == (0, 0, {"s": {}})


def test_the_work_does_not_grow_with_what_is_open() -> None:
    """Many incidents of one key, and many streams that are idle."""

    def one_key(size: int) -> Callable[[], object]:
        members = [member(DAY + 400 * number) for number in range(size)]

        def work() -> None:
            made = Incidents(300, 80_000, ("sha256",), 10)
            for each in members:
                made.add("s", each, NOW)
            made.flush()

        return work

    def idle_streams(size: int) -> Callable[[], object]:
        made = Incidents(300, 60, ("sha256",), 10_000)
        for number in range(size):
            made.add(f"stream {number % 20}", member(DAY, sha256=str(number)), NOW)

        def work() -> None:
            for number in range(20, 20 + size):
                made.close_idle(f"stream {number}")

        return work

    assert grows_linearly(one_key, 200)
    assert grows_linearly(idle_streams, 200)


def test_a_record_stays_small_however_many_events() -> None:
    """The lists end somewhere, the count does not."""
    (made,) = incidents([member(at("18:00:00"), number=number) for number in range(1, LISTED + 6)], ("sha256",))
    assert (len(made["event_ids"]), made["count"]) == (LISTED, LISTED + 5)


@pytest.mark.parametrize("lateness_s", [0, 60])
@given(
    st.lists(
        st.tuples(st.integers(0, 2000), st.sampled_from("fg"), st.sampled_from("cd"), st.integers(1, 3)),
        max_size=25,
        unique=True,
    ),
    st.data(),
)
def test_the_incidents_are_the_same_for_any_order_within_the_lateness(
    lateness_s: int, events: list[tuple[int, str, str, int]], data: st.DataObject
) -> None:
    """Arrival may differ from event time by less than the lateness, in any way."""
    members = [member(DAY + s, sha256=file, computer=computer, number=n) for s, file, computer, n in events]

    def delayed() -> list[Member]:
        delays = data.draw(st.lists(st.integers(0, lateness_s), min_size=len(members), max_size=len(members)))
        arrivals = sorted(range(len(members)), key=lambda n: (members[n].seconds + delays[n], delays[n], n))
        return [members[n] for n in arrivals]

    def found(order: list[Member]) -> list[dict[str, Any]]:
        made = incidents(order, lateness_s=lateness_s)
        assert sum(record["count"] for record in made) == 3 * len(members)
        return sorted(made, key=lambda record: record["incident_id"])

    assert found(delayed()) == found(delayed())


@given(
    st.lists(
        st.tuples(st.integers(0, 2000), st.integers(0, 60), st.sampled_from("cde"), st.integers(1, 2)),
        max_size=30,
        unique_by=lambda each: (each[0], each[2], each[3]),
    ),
    st.randoms(use_true_random=False),
)
def test_keys_may_come_in_any_order_among_each_other(events: list[tuple[int, int, str, int]], random: Random) -> None:
    """As long as each key's events are late by the lateness at most, by that key's own, all is as if sorted."""
    members = {each: member(DAY + each[0], computer=each[2], number=each[3]) for each in events}
    of_key = {
        key: sorted((each for each in events if each[2] == key), key=lambda each: each[0] + each[1]) for key in "cde"
    }
    turns = [key for key, of in of_key.items() for _ in of]
    random.shuffle(turns)
    arrival = [members[of_key[key].pop(0)] for key in turns]
    made = incidents(arrival, ("computer",))
    assert sorted(made, key=str) == sorted(
        incidents(sorted(arrival, key=lambda each: each.order), ("computer",)), key=str
    )


def test_an_incident_has_the_groups_of_all_its_computers() -> None:
    """And what else their names agree on."""
    named = [
        member(at(f"18:00:0{number}"), computer=group)._replace(names={"groups": [group], "policy": "Protect"})
        for number, group in enumerate(("Server", "Finance"))
    ]
    (record,) = incidents(named, ("sha256",))
    assert record["names"] == {"policy": "Protect", "groups": ["Finance", "Server"]}
    assert "names" not in incidents([member(at("18:00:00"))], ("sha256",))[0]
