"""`sink.forward.balancer`: who gets the next chunk."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from fluent_plugin_amp.sink.forward.balancer import Balancer
from fluent_plugin_amp.sink.forward.settings import ServerAddress


def server(name: str, weight: int = 60, *, standby: bool = False) -> ServerAddress:
    """A server."""
    return ServerAddress(name, weight=weight, standby=standby)


def shares(balancer: Balancer, up: str, chunks: int, ready: str | None = None) -> dict[str, int]:
    """How many of so many chunks each server gets; a letter is a server."""
    picked = [balancer.pick(set(up), set(up if ready is None else ready)) for _ in range(chunks)]
    return dict(Counter(name for name in picked if name is not None))


def test_weights_are_shares() -> None:
    """20 : 30 : 50 gives just that, also over short runs."""
    balancer = Balancer([server("a", 20), server("b", 30), server("c", 50)])
    assert shares(balancer, "abc", 10) == {"a": 2, "b": 3, "c": 5}
    assert shares(balancer, "abc", 1000) == {"a": 200, "b": 300, "c": 500}


def test_shares_are_counted_among_servers_that_are_up() -> None:
    """A server that is down leaves its share to the others in proportion."""
    balancer = Balancer([server("a", 20), server("b", 30), server("c", 50)])
    assert shares(balancer, "ab", 10) == {"a": 4, "b": 6}


def test_chunks_are_interleaved() -> None:
    """Equal servers take turns."""
    balancer = Balancer([server("a"), server("b")])
    assert [balancer.pick({"a", "b"}, {"a", "b"}) for _ in range(4)] == ["a", "b", "a", "b"]


def test_a_standby_server_is_used_only_while_no_other_is_up() -> None:
    """Being busy does not call the standby in, being down does."""
    balancer = Balancer([server("a"), server("s", standby=True)])
    assert balancer.pick({"a", "s"}, {"s"}) is None
    assert balancer.pick({"a", "s"}, {"a", "s"}) == "a"
    assert balancer.pick({"s"}, {"s"}) == "s"
    assert balancer.in_use({"a", "s"}) == ["a"]
    assert balancer.in_use({"s"}) == ["s"]
    assert balancer.in_use(set()) == []


def test_a_server_of_weight_0_is_the_last_of_its_kind() -> None:
    """It gets nothing while another one has weight, and goes before any standby server."""
    balancer = Balancer([server("z", 0), server("a"), server("s", standby=True)])
    assert shares(balancer, "zas", 10) == {"a": 10}
    assert shares(balancer, "zs", 10) == {"z": 10}
    assert shares(Balancer([server("z", 0)]), "z", 3) == {"z": 3}


def test_a_busy_server_is_skipped() -> None:
    """The others take over while it is busy; nothing is owed to it later."""
    balancer = Balancer([server("a"), server("b")])
    assert shares(balancer, "ab", 100, ready="b") == {"b": 100}
    assert shares(balancer, "ab", 100) == {"a": 50, "b": 50}


def test_a_server_to_avoid_is_the_last_choice() -> None:
    """It is picked only when no other one in use is ready."""
    balancer = Balancer([server("a"), server("b"), server("s", standby=True)])
    assert [balancer.pick({"a", "b", "s"}, {"a", "b", "s"}, avoid="a") for _ in range(3)] == ["b", "b", "b"]
    assert balancer.pick({"a", "b", "s"}, {"a", "s"}, avoid="a") == "a"
    assert balancer.pick({"a", "s"}, {"a", "s"}, avoid="a") == "a"


@given(
    st.lists(st.tuples(st.integers(0, 100), st.booleans()), min_size=1, max_size=5),
    st.lists(st.tuples(st.sets(st.integers(0, 4)), st.sets(st.integers(0, 4)), st.integers(-1, 4)), max_size=30),
)
def test_picks_are_up_and_ready_and_of_the_best_rank(
    made: list[tuple[int, bool]], steps: list[tuple[set[int], set[int], int]]
) -> None:
    """Whatever comes and goes, a pick is one that may be picked, and there is one when there can be."""
    servers = [server(str(i), weight, standby=standby) for i, (weight, standby) in enumerate(made)]
    balancer = Balancer(servers)
    names = {each.name for each in servers}
    for up_numbers, ready_numbers, avoid in steps:
        up, ready = names & set(map(str, up_numbers)), names & set(map(str, ready_numbers))
        picked = balancer.pick(up, ready, avoid=str(avoid))
        able = set(balancer.in_use(up)) & ready
        assert (picked is None) == (not able)
        assert picked is None or picked in able
        assert picked != str(avoid) or able == {picked}
