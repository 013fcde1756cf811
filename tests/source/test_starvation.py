"""`source.starvation`: a consumer that the broker has forgotten is told from one that has nothing to do."""

from __future__ import annotations

from typing import Any

import pytest

from fluent_plugin_amp.source.starvation import LOOKS, Starvation

STARVES: dict[str, Any] = {"messages": 1, "consumers": 1, "idle": True, "progress_at": 5.0}


def test_messages_that_nobody_delivers() -> None:
    """They wait, look after look, while nothing is under way."""
    starvation = Starvation()
    assert [starvation.looked(**STARVES) for _ in range(LOOKS + 1)] == [False] * LOOKS + [True]


def test_a_queue_without_a_consumer() -> None:
    """The broker may not even count it."""
    starvation = Starvation()
    assert [starvation.looked(**STARVES | {"consumers": 0}) for _ in range(LOOKS + 1)][-1]


@pytest.mark.parametrize(
    "fed",
    [{"messages": 0}, {"consumers": 2}, {"idle": False}, {"progress_at": 6.0}],
    ids=["an empty queue", "others consume too", "something is held", "something was acked"],
)
def test_one_look_that_is_well_begins_anew(fed: dict[str, Any]) -> None:
    """Nothing of that kind is cut off."""
    starvation = Starvation()
    looks = [STARVES] * LOOKS + [STARVES | fed] + [STARVES] * (LOOKS - 1)
    assert not any(starvation.looked(**look) for look in looks)
