"""Incidents: three groupings, a window from the first event, event time."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fluent_plugin_amp.pipeline.incidents import GROUPINGS, LISTED, Incidents
from fluent_plugin_amp.pipeline.member import Member, MemberMaker

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
    assert [(record["key"], record["count"]) for record in made] == [("f/c1", 2), ("f/c2", 1)]


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
    """When window and lateness have passed by the time of the events."""
    made = Incidents(300, 60, ("sha256",), 10)
    made.add("s", member(at("18:00:00")), NOW)
    made.add("s", member(at("18:05:59"), sha256="g"), NOW)
    assert made.emissions == []
    made.add("s", member(at("18:06:00"), sha256="g"), NOW)
    assert [emission.record["key"] for emission in made.emissions] == ["f"]


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
    for each in (member(at("18:00:00")), member(at("18:10:00"), sha256="g"), member(at("18:01:00"))):
        made.add("s", each, NOW)
    assert [emission.record["count"] for emission in made.emissions] == [1, 1]


def test_the_oldest_is_closed_early_when_there_are_too_many() -> None:
    """It is written, and counted."""
    made = Incidents(300, 60, ("sha256",), 2)
    for number in range(3):
        made.add("s", member(at("18:00:00"), sha256=str(number)), NOW)
    assert [emission.record["key"] for emission in made.emissions] == ["0"]
    assert (made.closed_early, len(made)) == (1, 2)


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
