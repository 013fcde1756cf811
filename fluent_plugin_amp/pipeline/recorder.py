"""From a server's ack to the ledger: the one place that waits for what must be safe before the ack to the broker.

Invariants:

* A delivery is resolved once, with all copies that came until then.
* A memory that fails holds nobody up: what servers have is resolved all the same.
"""

from __future__ import annotations

from functools import partial

from fluent_plugin_amp.facts import InternalError, Observer
from fluent_plugin_amp.model import Delivered, Delivery
from fluent_plugin_amp.pipeline.lines import Lines


class Recorder:
    """Has deliveries remembered that servers have, and resolves them when that is safe.

    Args:
        lines: of all streams.
        delivered: remembers them.
        observer: hears of what nobody foresaw.
        combines: some take part in combined records.
    """

    def __init__(self, lines: Lines, delivered: Delivered, observer: Observer, *, combines: bool) -> None:
        self._lines = lines
        self._delivered = delivered
        self._observer = observer
        self._combines = combines
        self._finished: list[Delivery] = []  # not given to `delivered` yet
        self._asking: list[Delivery] = []  # of these, those that ask for a hunt
        self._pending = 0

    def __bool__(self) -> bool:
        """Something is not safe yet."""
        return self._pending > 0

    def finished(self, delivery: Delivery) -> None:
        """Servers have all of it: the next `record` takes it.  Copies that arrive until then share its outcome."""
        line = self._lines.lines[delivery.stream]
        if delivery.is_combined:
            self._lines.release(line, delivery)
            delivery.ledger.resolve(delivery.delivery_tag)
            return
        self._lines.hold(line, delivery, 0)
        delivery.body = b""
        (self._finished if delivery.ask is None else self._asking).append(delivery)

    def record_one(self, delivery: Delivery) -> None:
        """Its dead letter is safe: it counts as delivered."""
        self.finished(delivery)
        self.record()

    def record(self) -> None:
        """Have what is finished remembered; apart what asks for a hunt, or takes part in combined records.

        That may take longer.
        """
        finished, self._finished = self._finished, []
        if self._asking:
            asking, self._asking = self._asking, []
            self._record(asking)
        if self._combines:
            self._record([delivery for delivery in finished if delivery.member is None])
            self._record([delivery for delivery in finished if delivery.member is not None])
        else:
            self._record(finished)

    def _record(self, deliveries: list[Delivery]) -> None:
        if not deliveries:
            return
        try:
            pending = self._delivered.record(deliveries)
        except Exception as exc:  # the domain of the memory: servers have them, so they are acked all the same
            self._observer(InternalError("memory", exc))
            pending = None
        if pending is None:
            self._resolve(deliveries)
        else:
            self._pending += 1
            pending.then(partial(self._resolve_pending, deliveries))

    def _resolve_pending(self, deliveries: list[Delivery]) -> None:
        self._pending -= 1
        self._resolve(deliveries)

    def _resolve(self, deliveries: list[Delivery]) -> None:
        for delivery in deliveries:
            try:
                self._lines.no_longer_in_flight(self._lines.lines[delivery.stream], delivery)
                delivery.ledger.resolve(delivery.delivery_tag)
                for twin in delivery.twins:
                    twin.ledger.resolve(twin.delivery_tag)
            except Exception as exc:  # the domain of this delivery: it stays unacked, and others do not
                self._observer(InternalError("answer", exc))
