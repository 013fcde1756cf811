"""`fluent-plugin-amp explain`: one event after each step, its tag, its time, its bytes."""

from __future__ import annotations

import copy
import time
from dataclasses import dataclass
from typing import Any

from fluent_plugin_amp.model import Delivery, Record
from fluent_plugin_amp.pipeline.combine.member import moment
from fluent_plugin_amp.pipeline.dead_letters import dead_letter
from fluent_plugin_amp.pipeline.decode import decode, event_time
from fluent_plugin_amp.pipeline.delivered import digest_of
from fluent_plugin_amp.pipeline.invalid import NOT_PACKED, as_invalid, not_packed
from fluent_plugin_amp.pipeline.obfuscate import mask_delivery
from fluent_plugin_amp.pipeline.transform import Transform
from fluent_plugin_amp.sink.forward.protocol import entry

KEYS = ("detection_id", "sha256", "computer", "remote_ip")
"""By which an event belongs to combined records, of a `pipeline.combine.member.Member`."""


@dataclass(frozen=True, slots=True)
class Explained:
    """The way of one event.  The fields after ``steps`` are None when it is dropped or a dead letter."""

    body_bytes: int
    digest: str
    steps: list[tuple[str, Record | None]]
    tag: str | None = None
    time: str | None = None
    entry: bytes | None = None
    dead_letter: Record | None = None
    drift: tuple[tuple[str, str], ...] = ()
    """What the table of ``shape`` does not know: what it is, and its path."""

    def as_json(self) -> dict[str, Any]:
        """For ``--json``: the entry as hex."""
        return {
            "body_bytes": self.body_bytes,
            "digest": self.digest,
            "steps": [{"step": name, "record": record} for name, record in self.steps],
            "tag": self.tag,
            "time": self.time,
            "entry_bytes": None if self.entry is None else len(self.entry),
            "entry": None if self.entry is None else self.entry.hex(),
            "dead_letter": self.dead_letter,
            "drift": [{"what": what, "path": path} for what, path in self.drift],
        }


def explain(
    transform: Transform,
    body: bytes,
    dead_letter_tag: str,
    *,
    received_at: float | None = None,
    raw_dead_letters: bool = False,
    combines: bool = False,
) -> Explained:
    """Follow one event through the steps of ``transform``, to the record or the dead letter that `run` makes.

    ``received_at``: the time of a record that names none, in seconds since the epoch; None: now.
    """
    if received_at is None:
        received_at = time.time()
    digest = digest_of(body).hex()
    steps: list[tuple[str, Record | None]] = []
    try:
        record = decode(body)
        steps.append(("decode", copy.deepcopy(record)))
        seconds, nanoseconds = event_time(record, received_at)
        member = None
        if combines and transform.combine is not None:
            member = transform.combine(record, seconds, nanoseconds, digest_of(body))
        if member is not None:
            steps.append(("combine", {key: getattr(member, key) for key in KEYS}))
        steps += [(step.name, step.record) for step in transform.steps(copy.deepcopy(record), received_at)]
        transformed = transform(record, received_at)
        if transformed is None:
            return Explained(len(body), digest, steps)
        tag, sent = transformed
        try:
            packed = entry(seconds, nanoseconds, sent)
        except NOT_PACKED as exc:
            raise not_packed(exc) from exc
    except Exception as exc:  # the domain of this event, as in the conductor
        delivery = Delivery(transform.stream, _NoLedger(), 0, body, received_at=received_at)
        if transform.obfuscate is not None and not raw_dead_letters:
            mask_delivery(delivery)
        letter = dead_letter(delivery, as_invalid(exc), len(body) + 4)[0]
        return Explained(len(body), digest, steps, tag=dead_letter_tag, dead_letter=letter)
    drift = tuple(transform.schema.drift.samples) if transform.schema is not None else ()
    return Explained(len(body), digest, steps, tag, moment(seconds, nanoseconds), packed, drift=drift)


class _NoLedger:
    closed = True

    def resolve(self, delivery_tag: int) -> None:
        """Never called: the delivery goes nowhere."""
