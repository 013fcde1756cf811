"""The walk through a list that moves: nothing left out, nothing twice, and an end."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from itertools import count

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fluent_plugin_amp.cisco.walk import PATIENCE, PATIENCE_FOR_NEWS, Ask, Entry, PagesDoNotGoOn, Walk

PAGE = 6
KEEP = 8
DEADLINE = 5000
"""Requests; far more than any walk here may need."""


@dataclass
class Cloud:
    """Events of a cloud, newest first, that happen, come in late, and are forgotten."""

    seconds: list[int]
    page: int = PAGE
    says_last: bool = True
    names: count[int] = field(default_factory=count)
    entries: list[Entry[int]] = field(default_factory=list)
    asked: list[Ask] = field(default_factory=list)

    def __post_init__(self) -> None:
        for second in self.seconds:
            self.add(second)

    def add(self, second: int) -> None:
        """An event happened in this second, newer than all others of it."""
        name = next(self.names)
        self.entries.append(Entry(second, str(name).encode(), name))
        self.entries.sort(key=lambda entry: (-entry.second, -entry.item))

    def answer(self, ask: Ask) -> tuple[list[Entry[int]], bool]:
        """A page, and whether it is the last one."""
        self.asked.append(ask)
        limit = min(ask.limit, self.page)
        is_last = self.says_last and ask.offset + limit >= len(self.entries)
        return self.entries[ask.offset : ask.offset + limit], is_last

    def walk(self, walk: Walk[int], changes: list[Change] | None = None) -> list[int]:
        """Walk to the end, with one change before each answer; names of what was found."""
        found: list[int] = []
        todo = list(changes or ())
        while (ask := walk.ask) is not None:
            assert len(self.asked) < DEADLINE, "the walk does not end"
            if todo:
                todo.pop(0).happen(self)
            entries, is_last = self.answer(ask)
            found += [entry.item for entry in walk.take(entries, is_last=is_last)]
        return found


@dataclass(frozen=True)
class Change:
    """What happens in the cloud between two requests."""

    new: int = 0
    late: tuple[int, ...] = ()
    forgotten: int = 0

    def happen(self, cloud: Cloud) -> None:
        """New events are later than all; late ones have the seconds given; the newest are forgotten."""
        del cloud.entries[: self.forgotten]
        newest = max((entry.second for entry in cloud.entries), default=0)
        for number in range(self.new):
            cloud.add(newest + 1 + number % 2)
        for second in self.late:
            cloud.add(second)


seconds = st.lists(st.integers(0, 40), max_size=80)
changes = st.lists(
    st.builds(
        Change,
        new=st.integers(0, 25),
        late=st.lists(st.integers(0, 40), max_size=2).map(tuple),
        forgotten=st.integers(0, 4),
    ),
    max_size=12,
)
growth = st.lists(st.builds(Change, new=st.integers(0, 25)), max_size=12)


@settings(max_examples=150, deadline=None)
@given(seconds, st.integers(-1, 50), st.integers(0, 100), changes)
def test_what_stays_is_found_once(seconds: list[int], ceiling: int, offset: int, changes: list[Change]) -> None:
    """However the list moves: each wanted event that is there from first to last is found, none is found twice."""
    cloud = Cloud(seconds)
    before = {entry.item for entry in cloud.entries if entry.second <= ceiling}
    found = cloud.walk(Walk(ceiling, offset=offset, page=PAGE, keep=KEEP), changes)
    after = {entry.item for entry in cloud.entries}
    assert before & after <= set(found)
    assert max(Counter(found).values(), default=1) == 1


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 40), max_size=60), changes)
def test_a_list_without_order_is_read_all_the_same(seconds: list[int], changes: list[Change]) -> None:
    """A cloud that does not sort by time: from where that shows, nothing is left out."""
    cloud = Cloud([])
    cloud.entries = [Entry(second, str(number).encode(), number) for number, second in enumerate(seconds)]
    found = cloud.walk(Walk(100, page=len(seconds) + 1, keep=KEEP))
    assert set(found) == set(range(len(seconds)))


def test_a_list_that_loses_its_order_later_is_read_to_the_end() -> None:
    """Old events among new ones, as of computers that were away, do not make it skip what is between."""
    order = [100 - number for number in range(30)] + [70, 3, 69, 2, 68, 1] * 10
    cloud = Cloud([])
    cloud.entries = [Entry(second, str(number).encode(), number) for number, second in enumerate(order)]
    walk: Walk[int] = Walk(1000, page=PAGE, keep=KEEP)
    assert set(cloud.walk(walk)) == set(range(len(order)))
    assert not walk.is_sorted


def test_a_million_events_are_passed_over_by_a_search() -> None:
    """A walk that begins long ago asks for some dozens of single entries, not for two thousand pages."""
    seconds = range(1_000_000, 0, -1)
    walk: Walk[int] = Walk(700)
    found: list[int] = []
    asked = 0
    while (ask := walk.ask) is not None:
        asked += 1
        page = [Entry(second, b"%d" % second, second) for second in seconds[ask.offset : ask.offset + ask.limit]]
        found += [entry.item for entry in walk.take(page, is_last=ask.offset + ask.limit >= len(seconds))]
    assert found == list(range(700, 0, -1))
    assert asked < 40


def test_it_remembers_little() -> None:
    """As many entries as it was told to keep, and those of one second, however long the list."""
    walk: Walk[int] = Walk(10**9, page=PAGE, keep=KEEP)
    Cloud(list(range(500))).walk(walk)
    assert len(walk._seen) <= KEEP + PAGE


def test_a_second_with_many_events_is_read_whole() -> None:
    """More events in one second than are kept otherwise."""
    cloud = Cloud([5] * 100 + [4, 6])
    assert sorted(cloud.walk(Walk(6, page=PAGE, keep=KEEP), [Change(new=9)] * 5)) == list(range(102))


def test_smaller_pages_than_asked_for_are_no_end() -> None:
    """A cloud may give 3 where 6 were asked for."""
    cloud = Cloud(list(range(50)), page=3)
    assert sorted(cloud.walk(Walk(100, page=PAGE, keep=KEEP))) == list(range(50))


@pytest.mark.parametrize("ceiling", [100, 1])
@pytest.mark.parametrize("order", [1, -1], ids=["sorted", "not sorted"])
def test_a_cloud_that_ignores_the_offset_is_refused(ceiling: int, order: int) -> None:
    """The same page for ever is an error, whether the walk reads or searches."""
    walk: Walk[int] = Walk(ceiling, page=PAGE, keep=KEEP)
    page = [Entry(second, b"%d" % second, second) for second in range(20, 20 - PAGE, -1)]

    def go_on() -> None:
        for _ in range(PATIENCE + 60):
            assert walk.ask is not None
            walk.take(page[: walk.ask.limit], is_last=False)

    with pytest.raises(PagesDoNotGoOn):
        go_on()


@settings(max_examples=150, deadline=None)
@given(seconds, st.integers(-1, 50), st.integers(0, 100), growth)
def test_a_list_whose_every_page_has_a_next_ends_all_the_same(
    seconds: list[int], ceiling: int, offset: int, changes: list[Change]
) -> None:
    """No page says that it is the last: the walk ends behind what it knows, with everything that stays, once.

    Not so where such a list becomes shorter in front as well: there an end cannot be told from a loss.
    """
    cloud = Cloud(seconds, says_last=False)
    before = {entry.item for entry in cloud.entries if entry.second <= ceiling}
    found = cloud.walk(Walk(ceiling, offset=offset, page=PAGE, keep=KEEP), changes)
    after = {entry.item for entry in cloud.entries}
    assert before & after <= set(found)
    assert max(Counter(found).values(), default=1) == 1


def test_the_empty_page_behind_the_last_is_asked_for_twice() -> None:
    """Fourteen events, seven a page: the walk does not begin again and again."""
    cloud = Cloud(list(range(14)), page=7, says_last=False)
    assert len(cloud.walk(Walk(100, page=7, keep=KEEP))) == 14
    assert [ask.offset for ask in cloud.asked] == [0, 4, 8, 11, 13, 14, 7, 11, 13, 14]


def test_pages_that_bring_nothing_new_for_ever_are_refused() -> None:
    """Two pages in turns, of a list without order, whatever offset is asked for."""
    walk: Walk[int] = Walk(100, page=PAGE, keep=2 * PAGE)
    pages = [[Entry(n, b"%d" % (PAGE * side + n), n) for n in range(PAGE)] for side in (0, 1)]

    def go_on() -> None:
        for number in range(PATIENCE_FOR_NEWS + 10):
            walk.take(pages[number % 2], is_last=False)

    with pytest.raises(PagesDoNotGoOn, match="brought nothing new"):
        go_on()


def test_an_empty_list_is_the_end() -> None:
    """Nothing was recorded; or nothing any more where the walk was to begin."""
    assert Cloud([]).walk(Walk(10)) == []
    assert Cloud([]).walk(Walk(10, offset=5000)) == []
