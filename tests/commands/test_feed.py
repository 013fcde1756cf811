"""A feed knows how many of the first events are safe, in whatever order they become so."""

from __future__ import annotations

from typing import cast

from hypothesis import given
from hypothesis import strategies as st

from fluent_plugin_amp.commands.feed import Feed
from fluent_plugin_amp.pipeline.conductor import Conductor


@given(st.permutations(range(1, 12)))
def test_safe_is_what_has_no_gap_before_it(order: list[int]) -> None:
    """One that is resolved behind another that is not counts for nothing yet."""
    feed = Feed(cast(Conductor, None), "emea", max_held_bytes=0, patience_s=1.0)
    resolved: set[int] = set()
    for tag in order:
        feed.resolve(tag)
        resolved.add(tag)
        assert feed.safe == next(number for number in range(12) if number + 1 not in resolved)
    assert (feed.resolved, feed.safe) == (11, 11)
