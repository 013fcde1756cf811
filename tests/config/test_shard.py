"""`shard`: which streams a process takes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from fluent_plugin_amp.config.models import ShardConfig


@given(st.text(min_size=1), st.integers(1, 50))
def test_each_stream_belongs_to_exactly_one_process(name: str, of: int) -> None:
    """Whatever its name and however many processes, one of them takes it."""
    assert sum(ShardConfig(of=of, index=index).has(name) for index in range(of)) == 1


def test_the_division_is_fixed_for_ever() -> None:
    """It follows from the name alone, and is the same in every version."""
    mine = [ShardConfig(of=3, index=0).has(f"tenant-{number}") for number in range(6)]
    assert mine == [False, False, False, True, True, True]


def test_an_index_beyond_the_last_is_refused() -> None:
    """It counts from 0."""
    with pytest.raises(ValidationError, match="counts from 0"):
        ShardConfig(of=2, index=2)
