"""The batcher keeps everything, in order within a tag, within its bounds, and fair between tags."""

from __future__ import annotations

from collections import defaultdict
from itertools import count

from hypothesis import given
from hypothesis import strategies as st

from fluent_plugin_amp.model import Chunk, Delivery
from fluent_plugin_amp.pipeline.batcher import Batcher
from fluent_plugin_amp.source.ledger import Ledger


def new_batcher(limit_bytes: int = 100, limit_entries: int = 10) -> Batcher:
    """A batcher whose chunks are named 1, 2, …"""
    numbers = count(1)
    return Batcher(limit_bytes, lambda: str(next(numbers)), limit_entries)


def delivery(ledger: Ledger | None = None) -> Delivery:
    """Some delivery."""
    return Delivery("emea", ledger or Ledger(), 1, b"")


def drain(batcher: Batcher) -> list[Chunk]:
    """All chunks, in the order in which they are handed out."""
    chunks = []
    while (chunk := batcher.take()) is not None:
        chunks.append(chunk)
    assert not batcher
    assert batcher.pending_bytes == 0
    return chunks


def test_one_tag_fills_one_chunk_in_order() -> None:
    """What arrives together goes out together, with the deliveries beside their entries."""
    batcher = new_batcher()
    deliveries = [delivery() for _ in range(3)]
    for number, one in enumerate(deliveries):
        batcher.add("a", b"%d" % number, one)
    (chunk,) = drain(batcher)
    assert (chunk.tag, chunk.entries, chunk.deliveries) == ("a", [b"0", b"1", b"2"], deliveries)


def test_a_chunk_ends_at_its_bytes() -> None:
    """An entry that would exceed the limit begins the next chunk; one that fits exactly does not."""
    batcher = new_batcher(limit_bytes=10)
    for size in (4, 6, 1):
        batcher.add("a", b"x" * size, delivery())
    assert [chunk.bytes for chunk in drain(batcher)] == [10, 1]


def test_a_chunk_ends_at_its_count() -> None:
    """However small the entries."""
    batcher = new_batcher(limit_entries=2)
    for _ in range(5):
        batcher.add("a", b"x", delivery())
    assert [len(chunk.entries) for chunk in drain(batcher)] == [2, 2, 1]


def test_an_entry_above_the_limit_goes_alone() -> None:
    """Nothing is refused for its size."""
    batcher = new_batcher(limit_bytes=10)
    for size in (1, 50, 1):
        batcher.add("a", b"x" * size, delivery())
    assert [chunk.bytes for chunk in drain(batcher)] == [1, 50, 1]


def test_dead_letters_keep_to_themselves() -> None:
    """Even under the tag of events, so that a refused letter is known to be one."""
    batcher = new_batcher()
    batcher.add("a", b"1", delivery())
    batcher.add("a", b"2", delivery(), is_dead_letter=True)
    batcher.add("a", b"3", delivery())
    assert [(chunk.entries, chunk.is_dead_letters) for chunk in drain(batcher)] == [
        ([b"1", b"3"], False),
        ([b"2"], True),
    ]


def test_a_busy_tag_does_not_starve_a_quiet_one() -> None:
    """A tag that fills chunk after chunk must not keep another tag's entry, waiting for longer, from going out."""
    batcher = new_batcher(limit_bytes=10)
    batcher.add("busy", b"x" * 10, delivery())
    batcher.add("quiet", b"q", delivery())
    taken = []
    for _ in range(3):
        batcher.add("busy", b"x" * 10, delivery())
        batcher.add("busy", b"x" * 10, delivery())
        chunk = batcher.take()
        assert chunk is not None
        taken.append(chunk.tag)
    assert taken == ["busy", "quiet", "busy"]


def test_what_is_held_was_not_handed_out() -> None:
    """A chunk that was taken is no longer here."""
    batcher = new_batcher()
    for tag in ("a", "b"):
        batcher.add(tag, b"x", delivery())
    assert [chunk.tag for chunk in batcher.held()] == ["a", "b"]
    batcher.take()
    assert [chunk.tag for chunk in batcher.held()] == ["b"]


def test_returned_entries_are_discarded() -> None:
    """Entries of a closed channel leave the batches, those of others stay, in order."""
    batcher = new_batcher()
    gone, here = Ledger(), Ledger()
    requeued = [delivery(gone), delivery(gone)]
    batcher.add("a", b"1", delivery(here))
    batcher.add("a", b"2", requeued[0])
    batcher.add("b", b"3", requeued[1])
    batcher.add("a", b"4", delivery(here))
    gone.close()
    assert batcher.discard_requeued() == requeued
    assert batcher.pending_bytes == 2
    assert [(chunk.tag, chunk.entries) for chunk in drain(batcher)] == [("a", [b"1", b"4"])]


operations = st.lists(
    st.one_of(
        st.tuples(st.sampled_from("abc"), st.integers(1, 14), st.booleans(), st.sampled_from([0, 1])),
        st.just("take"),
        st.just("close"),
    ),
    max_size=60,
)


@given(operations)
def test_every_entry_leaves_exactly_once(walk: list[object]) -> None:
    """Whatever comes and goes: each entry is handed out or discarded once, in order within its tag, in bounds."""
    batcher = new_batcher(limit_bytes=30, limit_entries=4)
    ledgers = [Ledger(), Ledger()]
    numbers = count()
    added: dict[tuple[str, bool], list[bytes]] = defaultdict(list)
    taken: dict[tuple[str, bool], list[bytes]] = defaultdict(list)
    discarded: list[Delivery] = []
    doomed: list[Delivery] = []
    ids = set()

    def take() -> None:
        chunk = batcher.take()
        if chunk is None:
            return
        assert chunk.id not in ids
        ids.add(chunk.id)
        assert chunk.entries
        assert len(chunk.entries) == len(chunk.deliveries) <= 4
        assert chunk.bytes <= 30
        for entry, one in zip(chunk.entries, chunk.deliveries, strict=True):
            assert entry == one.body, "an entry beside another's delivery"
        taken[chunk.tag, chunk.is_dead_letters] += chunk.entries

    for operation in walk:
        match operation:
            case (str(tag), int(size), bool(is_letter), int(which)):
                entry = b"%06d" % next(numbers) + b"x" * size
                one = Delivery("emea", ledgers[which], 1, entry)
                batcher.add(tag, entry, one, is_dead_letter=is_letter)
                added[tag, is_letter].append(entry)
            case "take":
                take()
            case "close":
                ledgers[0].close()
                discarded += batcher.discard_requeued()
                doomed = [one for one in discarded if not one.ledger.closed]
                ledgers[0] = Ledger()
        pending = sum(map(len, (e for es in added.values() for e in es))) - sum(
            map(len, [e for es in taken.values() for e in es] + [one.body for one in discarded])
        )
        assert batcher.pending_bytes == pending
        assert bool(batcher) is (pending > 0)
    while batcher:
        take()
    assert not doomed
    gone = {one.body for one in discarded}
    for key, entries in added.items():
        assert taken[key] == [entry for entry in entries if entry not in gone]
