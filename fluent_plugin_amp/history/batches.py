"""The events that the cloud has for a stream, in batches, each compared with what was delivered.

`backfill`, `reconcile` and completeness records differ in what they do with a batch.  A batch holds whole seconds,
because events of one second can be alike.  It has about a page of events, so that memory does not grow with the span.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

from fluent_plugin_amp.cisco.answers import EventStream
from fluent_plugin_amp.cisco.api import CiscoApi, Wait
from fluent_plugin_amp.cisco.errors import EventStreamNotFound
from fluent_plugin_amp.cisco.history import Json, Recorded, filters_of, read
from fluent_plugin_amp.cisco.regions import CLOUDS, Cloud
from fluent_plugin_amp.cisco.streams import find
from fluent_plugin_amp.cisco.walk import Entry, Walk
from fluent_plugin_amp.config import StreamConfig
from fluent_plugin_amp.history.compare import Comparison, compare
from fluent_plugin_amp.history.span import Bookmark
from fluent_plugin_amp.model import EventIdentity
from fluent_plugin_amp.pipeline.decode import event_time
from fluent_plugin_amp.pipeline.delivered import identity_of, number_of
from fluent_plugin_amp.pipeline.feed import Feed
from fluent_plugin_amp.state.store import Store

MAX_HELD = 5000
"""Events of one second that are compared together."""
MAX_HELD_BYTES = 32 << 20
"""The same, of their bodies; and a page."""
NEIGHBOURS_S = 3600
"""Events farther apart than this are looked up one by one."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the work has come."""

    read: int
    """Events of the span that came from the cloud."""
    left: int | None
    """About how many are still to come; None: the cloud does not tell."""
    left_s: float | None
    """About how long that will take."""


@dataclass(slots=True)
class Batch:
    """Some events of the cloud, later ones first; or some entries of an audit log."""

    bodies: list[bytes] = field(default_factory=list)
    facts: list[EventIdentity] = field(default_factory=list)
    gives_time: bool = False
    """The time of a record is that of its facts: the pipeline cannot read it from the body."""
    unknown: Comparison = field(default_factory=Comparison)
    """Those that were not delivered, as far as is known."""
    dropped: int = 0
    """That `drop_event_types` keeps from being delivered: they are not among the bodies."""
    edges: int = 0
    """In the last second before the span, of which the cloud tells as well or not, and in the last one of it."""
    mark: Bookmark | None = None
    """How far the walk has come, once all this is dealt with; None: the cloud keeps no order, so nobody can say."""
    progress: Progress = Progress(0, None, None)
    is_cut: bool = False
    """The last one: the list has ended before as many events as the cloud says it has."""

    async def put_into(self, feed: Feed, indices: Sequence[int]) -> None:
        """Hand in these.  Raises NoProgress."""
        for index in indices:
            facts = self.facts[index]
            await feed.put(self.bodies[index], facts, received_at=facts.seconds if self.gives_time else None)


def cloud_of(stream: StreamConfig) -> Cloud | None:
    """The cloud that a stream names; a public one is known by its broker."""
    if stream.cloud is not None:
        return stream.cloud.cloud
    return next((each for each in CLOUDS.values() if stream.url and each.broker_host == stream.host.lower()), None)


async def find_stream(api: CiscoApi, stream: StreamConfig) -> EventStream:
    """The event stream as the cloud has it, with its event types and groups.

    Raises:
        EventStreamNotFound: the cloud has none with this name, or with this queue.
    """
    if stream.event_stream_name is not None:
        return await find(api, stream.event_stream_name)
    for each in await api.event_streams():
        if each.amqp is not None and each.amqp.queue_name == stream.queue:
            return each
    raise EventStreamNotFound(
        f"{api.cloud.name}: this key sees no event stream with the queue {stream.queue!r}",
        remedy="Its event types and groups say which events to ask for. See `amp-streams list` with the same key.",
    )


def _delivered(store: Store, stream: str, first: int, last: int) -> list[tuple[bytes, EventIdentity]]:
    """What was delivered of a stream between two seconds, both included: digests and facts."""
    return [(digest, _as_numbers(facts)) for digest, facts in store.delivered_between(stream, first, last)]


def _as_numbers(facts: EventIdentity) -> EventIdentity:
    """Ids that the state file keeps as texts, since they have more than 64 bits, are numbers again."""
    if type(facts.event_id) is not str and type(facts.detection_id) is not str:
        return facts
    return facts._replace(event_id=number_of(facts.event_id), detection_id=number_of(facts.detection_id))


async def batches(
    api: CiscoApi,
    stream: EventStream,
    leg: Bookmark,
    configured: StreamConfig,
    store: Store | None,
    wait: Wait,
) -> AsyncIterator[Batch]:
    """What is left of ``leg``, later events first; empty batches too, to show progress.

    Args:
        api: of the organisation.
        stream: the event stream, whose filters are applied.
        leg: what is to be done.
        configured: the same stream here; what its ``drop_event_types`` names is left out.
        store: tells what was delivered; None: nothing was, as far as is known.
        wait: shows why it waits.
    """
    walk: Walk[Recorded] = Walk(leg.floor - 1, offset=leg.offset)
    held: list[Entry[Recorded]] = []
    count = 0
    async for stretch in read(api, filters_of(stream, leg.down_to), walk, _second_of, wait):
        held += [entry for entry in stretch.entries if entry.second >= leg.down_to]
        count += len(stretch.entries)
        cut = len(held)
        floor = leg.down_to
        if walk.ask is not None:
            floor = held[-1].second + 1 if held else walk.ceiling + 1
            while len(held) < MAX_HELD and cut and held[cut - 1].second < floor:
                cut -= 1
            if sum(len(entry.item.body) for entry in held[cut:]) > MAX_HELD_BYTES:
                cut = len(held)
        batch, held = _batch(held[:cut], configured, store), held[cut:]
        batch.edges = sum(entry.second in (leg.down_to - 1, leg.floor - 1) for entry in stretch.entries)
        if stretch.is_sorted:
            batch.mark = Bookmark(leg.since, leg.until, leg.down_to, min(leg.floor, floor), stretch.offset)
        batch.progress = Progress(count, stretch.left, stretch.left_s)
        batch.is_cut = stretch.is_cut
        yield batch


def _batch(entries: Sequence[Entry[Recorded]], configured: StreamConfig, store: Store | None) -> Batch:
    batch, to_drop = Batch(), frozenset(configured.transform.drop_event_types)
    for entry in entries:
        event = entry.item.event
        facts = identity_of(event, *event_time(event, entry.second))
        if facts.event_type_id in to_drop:
            batch.dropped += 1
        else:
            batch.bodies.append(entry.item.body)
            batch.facts.append(facts)
    known: list[tuple[bytes, EventIdentity]] = []
    if store is not None:
        for first, last in clusters([facts.seconds for facts in batch.facts]):
            known += _delivered(store, configured.name, first, last)
    batch.unknown = compare(batch.facts, known)
    return batch


def clusters(seconds: Sequence[int]) -> list[tuple[int, int]]:
    """The first and last of those that are close together: what is asked for at once should not hold much else."""
    found: list[tuple[int, int]] = []
    for second in sorted(set(seconds)):
        if found and second - found[-1][1] <= NEIGHBOURS_S:
            found[-1] = (found[-1][0], second)
        else:
            found.append((second, second))
    return found


def _second_of(event: Json, otherwise: int) -> int:
    return event_time(event, otherwise)[0]
