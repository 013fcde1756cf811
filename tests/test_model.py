"""What is pending: who waits is called once, when it is safe."""

from __future__ import annotations

import pytest

from fluent_plugin_amp.model import Pending


def test_who_waits_is_called_when_it_is_safe() -> None:
    """Once, in the order in which they began to wait."""
    called: list[int] = []
    pending = Pending()
    pending.then(lambda: called.append(1))
    pending.then(lambda: called.append(2))
    assert called == []
    pending.is_safe_now()
    pending.is_safe_now()
    assert called == [1, 2]


def test_who_comes_late_need_not_wait() -> None:
    """The call is made at once."""
    called: list[int] = []
    pending = Pending()
    pending.is_safe_now()
    pending.then(lambda: called.append(1))
    assert called == [1]


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_both_are_safe_when_the_last_one_is(order: tuple[int, int]) -> None:
    """Whichever that is."""
    called: list[int] = []
    parts = Pending(), Pending()
    both = Pending.both(*parts)
    assert both is not None
    both.then(lambda: called.append(1))
    parts[order[0]].is_safe_now()
    assert called == []
    parts[order[1]].is_safe_now()
    assert called == [1]


def test_what_is_safe_already_adds_nothing() -> None:
    """Of two the other one decides; of none there is nothing to wait for."""
    pending = Pending()
    assert Pending.both(pending, None) is pending
    assert Pending.both(None, pending) is pending
    assert Pending.both(None, None) is None
