"""The chaos suite's own books: which second arrivals it accepts."""

from __future__ import annotations

import pytest

from tests.chaos.faults import FAULTS
from tests.chaos.run import WRITTEN_S, Strike, culprit, rewriter
from tests.chaos.world import Arrival

KINDS = {fault.name: fault for fault in FAULTS}
FIRST = Arrival(1, 100.0, "a")


def strike(name: str, began_at: float, healed_at: float) -> Strike:
    """One of that kind."""
    return Strike(KINDS[name], began_at, healed_at, published=0)


@pytest.mark.parametrize(
    ("strikes", "is_part", "explained_by"),
    [
        ([], True, None),
        ([strike("Forward connection cut", 99.0, 99.1)], True, "Forward connection cut"),
        ([strike("Forward connection cut", 99.0, 99.1)], False, None),
        ([strike("Forward connection cut", 90.0, 91.0)], True, None),
        ([strike("Forward connection cut", 104.0, 105.0)], True, None),
        ([strike("AMQP connection cut", 100.1, 100.2)], True, None),
        ([strike("disk of the state file full", 95.0, 105.0)], False, None),
        ([strike("kill -9 of the plugin", 100.3, 100.4)], False, "kill -9 of the plugin"),
        ([strike("kill -9 of the plugin", 104.0, 104.1)], False, None),
        ([strike("SIGTERM of the plugin", 100.3, 100.4)], False, None),
        (
            [strike("Forward half open", 99.0, 101.0), strike("SIGTERM of the plugin", 102.0, 103.0)],
            False,
            "Forward half open",
        ),
    ],
    ids=[
        "nothing happened",
        "its ack was lost",
        "an ack was lost, but it came in another chunk",
        "long before",
        "long after",
        "a fault that puts no chunk in doubt",
        "a full disk alone",
        "killed before it knew",
        "killed after it must have known",
        "told to stop",
        "told to stop while in doubt",
    ],
)
def test_what_explains_a_second_arrival(strikes: list[Strike], is_part: bool, explained_by: str | None) -> None:
    """A chunk whose ack may be lost, and for other chunks a process that began anew."""
    later = Arrival(1, 110.0, "a" if is_part else "b")
    found = culprit(strikes, FIRST, later, is_part=is_part)
    assert (found and found.fault.name) == explained_by


def test_what_explains_a_second_writing() -> None:
    """A real receiver that restarted before it noted what it had written, and nothing else."""
    killed = strike("kill -9 of the receiver", 101.0, 102.0)
    assert rewriter([strike("Forward connection cut", 101.0, 102.0), killed], FIRST) == killed
    assert rewriter([strike("kill -9 of the plugin", 101.0, 102.0)], FIRST) is None
    assert rewriter([killed], Arrival(1, 101.0 - WRITTEN_S - 1.0, "a")) is None
    assert rewriter([killed], Arrival(1, 104.0, "a")) is None
