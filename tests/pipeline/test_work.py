"""What an ordinary event takes of Python, counted in lines that run: what was won is not lost unseen.

A limit is a little above what the step took when it was written.  If a change exceeds it, measure the step with
`make bench BENCH_ARGS="--only steps"`, and raise the limit if it is no slower.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from fluent_plugin_amp.pipeline.combine.detections import Detections
from fluent_plugin_amp.pipeline.combine.incidents import GROUPINGS, Incidents
from fluent_plugin_amp.pipeline.combine.member import MemberMaker
from fluent_plugin_amp.pipeline.flatten import Flattener
from fluent_plugin_amp.pipeline.links import Links
from fluent_plugin_amp.pipeline.obfuscate import Obfuscation, Rule
from fluent_plugin_amp.testing.events import THREAT_DETECTED, EventGenerator
from tests.pipeline.steps import steps

HIDDEN = Obfuscation(
    [
        Rule("computer.hostname", "hash", b"key"),
        Rule("computer.user", "mask"),
        Rule("computer.network_addresses[].ip", "mask"),
    ]
)


def lines(work: Callable[[dict[str, Any]], object]) -> float:
    """For a Threat Detected, on average, once what is made only once is there."""
    generator = EventGenerator(seed=1)
    events = [generator.event(THREAT_DETECTED) for _ in range(20)]
    for event in copy.deepcopy(events):
        work(event)
    return steps(lambda: [work(event) for event in events]) / len(events)


@pytest.mark.parametrize(
    ("work", "limit"),
    [(Links("console.example.com"), 81), (HIDDEN, 86), (Flattener(), 286)],
    ids=["links", "obfuscate", "flatten"],
)
def test_a_transform(work: Callable[[dict[str, Any]], object], limit: int) -> None:
    """Links took 134 lines when each value was looked for from the record's top."""
    assert lines(work) <= limit


def test_an_incident() -> None:
    """One in each of the three groupings, opened and written, of one event each: 18 of the lines look for names."""
    generator = EventGenerator(seed=1)
    maker = MemberMaker(None, None, b"")
    members = []
    for number in range(20):
        member = maker(generator.event(THREAT_DETECTED), 1_600_000_000 + number * 1000, 0, bytes([number]) * 16)
        assert member is not None
        members.append(member)
    incidents = Incidents(300.0, 60.0, tuple(GROUPINGS), 1000)

    def work() -> None:
        for member in members:
            incidents.add("s", member, 2e9)
        incidents.flush()

    taken = steps(work) / len(members)
    assert len(incidents.emissions) == 3 * len(members)
    assert taken <= 298


def test_what_is_open_costs_nothing_further() -> None:
    """However many detections and incidents are open, a further one takes the same, and so does the clock."""
    whole = MemberMaker(None, None, b"")(EventGenerator(seed=1).event(THREAT_DETECTED), 1_600_000_000, 0, b"")
    assert whole is not None

    def taken(open_already: int) -> int:
        detections, incidents = Detections(60.0, 10_000), Incidents(300.0, 60.0, tuple(GROUPINGS), 40_000)

        def add(numbers: range) -> None:
            for number in numbers:
                member = whole._replace(
                    digest=number.to_bytes(16, "big"),
                    detection_id=str(number),
                    sha256=f"{number:064x}",
                    computer=f"{number}",
                )
                detections.add("s", member, 1_600_000_000)
                incidents.add("s", member, 1_600_000_000)

        def tick() -> None:
            detections.tick(1_600_000_001)
            incidents.close_quiet("s", 0.0)

        add(range(open_already))
        return steps(lambda: add(range(open_already, open_already + 10))) + steps(tick)

    assert taken(2000) == taken(10)
