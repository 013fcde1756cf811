"""The classes of OCSF and the kinds of events, as they are compiled from the tables."""

from __future__ import annotations

from typing import Any

import pytest

from fluent_plugin_amp.pipeline.shape import ocsf_table as table
from fluent_plugin_amp.pipeline.shape.ocsf_class import FINDING, OcsfClass, make_kind


def finding(version: str = "1.6.0") -> OcsfClass:
    """The class of detections."""
    return OcsfClass(FINDING, version, table.FIELDS, table.DEFAULTS)


@pytest.mark.parametrize(
    "ends",
    [("src_endpoint", "dst_endpoint"), ("src_endpoint",), ("dst_endpoint",), ()],
)
def test_of_an_incoming_connection_the_ends_change_places(ends: tuple[str, ...]) -> None:
    """As many as are there, in the evidence and among the objects that observables are taken from."""
    made = finding()
    there: dict[str, dict[str, Any]] = {end: {"ip": end} for end in ends}
    objects: list[Any] = [{} for _ in range(100)]
    for end, value in there.items():
        objects[made.plan.number(f"evidences[].{end}")] = value
    evidence: dict[str, Any] = {"connection_info": {"direction_id": 1}, **there}
    made.turn(evidence, objects)
    other = {"src_endpoint": "dst_endpoint", "dst_endpoint": "src_endpoint"}
    for end, value in there.items():
        assert evidence[other[end]] is value
        assert objects[made.plan.number(f"evidences[].{other[end]}")] is value
    assert len(evidence) == 1 + len(ends)


@pytest.mark.parametrize("connection", [{}, {"connection_info": {}}, {"connection_info": {"direction_id": 2}}])
def test_of_every_other_connection_they_stay(connection: dict[str, Any]) -> None:
    """Outgoing, or of no direction."""
    evidence = {**connection, "src_endpoint": {"ip": "192.0.2.1"}}
    finding().turn(evidence, [])
    assert evidence["src_endpoint"] == {"ip": "192.0.2.1"}


def test_an_action_that_had_no_name_is_another_one() -> None:
    """In OCSF 1.1 there were two; what it was is told beside it."""
    columns = ["x", "2004", "1", "", "3", "1", "yes", "1", ""]
    old, new = (make_kind(columns, finding(version)).record for version in ("1.1.0", "1.6.0"))
    assert (old["action_id"], old["action"]) == (99, new["action"])
    assert new["action_id"] == 3
    assert ("is_alert" in old, new["is_alert"]) == (False, True)
