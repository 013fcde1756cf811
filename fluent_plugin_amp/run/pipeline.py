"""The pipeline of some streams, assembled: transforms, memory, combined records, conductor, and their sink.

It is the same wherever events come from: a broker (`run`), a file (`replay`) or Cisco's cloud (`backfill`,
`reconcile`).

The parts know each other in a circle: the conductor gives to the memory and to the shelf, and both send through the
conductor.  So they are given methods of this class, and call none of them before the conductor is there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from fluent_plugin_amp.config import Config, StreamConfig
from fluent_plugin_amp.errors import InvalidEvent
from fluent_plugin_amp.facts import Observer
from fluent_plugin_amp.model import Delivered, Delivery, Record
from fluent_plugin_amp.organisation.hunt_notes import HuntNotes
from fluent_plugin_amp.pipeline.batcher import Batcher
from fluent_plugin_amp.pipeline.conductor import Conductor
from fluent_plugin_amp.pipeline.delivered import DeliveredMemory
from fluent_plugin_amp.pipeline.names import Names
from fluent_plugin_amp.run.build import ClosableSink, hunt_lines, hunted, make_names, make_transform
from fluent_plugin_amp.run.combining import Combining, make_combiner
from fluent_plugin_amp.sink.forward.client import new_chunk_id
from fluent_plugin_amp.sink.forward.protocol import entry

if TYPE_CHECKING:
    from fluent_plugin_amp.state.file import StateFile


class Pipeline:
    """Conductor, state file and combined records, joined; the caller starts and closes them.

    Args:
        config: as loaded.
        streams: whose events come.
        sink: where chunks go.
        observer: hears what happens.
        delivered: remembers what was delivered; None: the state file does, or else the process.
        with_state: use the state file, where one is configured.
        with_combined: make combined records, where they are configured.
        on_available: called when the sink becomes available, or ceases to be.
    """

    def __init__(
        self,
        config: Config,
        streams: Iterable[StreamConfig],
        sink: ClosableSink,
        observer: Observer,
        *,
        delivered: Delivered | None = None,
        with_state: bool = False,
        with_combined: bool = True,
        on_available: Callable[[], None] = lambda: None,
    ) -> None:
        self.names: dict[str, Names] = {}
        """What is known of organisations, for the events of their streams."""
        make_names(config, self.names)
        self.state = self._make_state(config, observer) if with_state else None
        """The state file: to be started before the first event comes, and closed after the last."""
        hunts = hunted(config) if self.state is not None else {}
        transforms = {stream.name: make_transform(stream, self.names, hunts) for stream in streams}
        if delivered is None:
            delivered = self.state.delivered if self.state else DeliveredMemory.shared_by(len(transforms))
        keeper = self.state.combined if self.state else None
        combiner = None
        if with_combined:
            combiner = make_combiner(config, delivered, keeper, post=self._post_combined, tell=observer)
        if combiner is not None:
            delivered = combiner
        self.hunts: HuntNotes | None = None
        """What events asked for; None: without a state file nobody may ask."""
        if self.state is not None:
            delivered = self.hunts = HuntNotes(delivered, self.state.kept, observer)
            self.hunts.follow(hunt_lines(hunts))
        limit_bytes = config.forward.chunk_limit_size
        self.conductor = Conductor(
            transforms,
            sink,
            entry,
            Batcher(limit_bytes, new_chunk_id),
            observer,
            dead_letter_tag=config.dead_letters.tag,
            raw_dead_letters=config.dead_letters.raw,
            dead_letter_part_bytes=limit_bytes // 2,
            delivered=delivered,
            combines=combiner is not None,
            shelf=self.state.dead_letters if self.state else None,
            on_available=on_available,
        )
        self.combining = Combining(combiner, self.conductor, keeper, observer) if combiner is not None else None

    def _make_state(self, config: Config, observer: Observer) -> StateFile | None:
        if config.state.path is None:
            return None
        from fluent_plugin_amp.state.file import StateFile

        return StateFile(
            config.state.path,
            config.state.remember,
            observer,
            post=self._post_kept,
            is_available=lambda: self.conductor.available,
            on_reset=self._forget_combined,
        )

    def _post_kept(self, delivery: Delivery, error: InvalidEvent) -> None:
        self.conductor.post_kept(delivery, error)

    def _post_combined(self, delivery: Delivery, tag: str, seconds: int, nanoseconds: int, record: Record) -> None:
        self.conductor.post_combined(delivery, tag, seconds, nanoseconds, record)

    def _forget_combined(self, stream: str) -> None:
        if self.combining is not None:
            self.combining.combiner.forget(stream)
