"""How long a stream waits before it tries again.  Pure.

An outage begins with the first trouble after things went well.  The longer it lasts, the more slowly tries follow
each other, so that it ends soon after the broker is back, see `backoff.outage_cap_s`.  A refusal is not mended by
time: the peer is asked rarely from the beginning on.  Nor does time bring a file descriptor.  A fault of our own is
tried again more rarely still, since each connection that ends may requeue messages to the queue.

What the broker will send again just so, an event that is too large or a violation of the protocol, is asked for at
most once a minute, and ever more rarely: for a quorum queue each time counts as a requeue, and it deletes what was
requeued too often.
"""

from __future__ import annotations

from fluent_plugin_amp.backoff import backoff_s, outage_cap_s
from fluent_plugin_amp.errors import (
    BrokerViolation,
    EventTooLarge,
    InternalFault,
    PluginError,
    RefusedError,
    TooManyFiles,
)

QUICK_RETRY_CAP_S = 1.0
LONG_RETRY_CAP_S = 30.0
REFUSED_RETRY_FIRST_S = 1.0
REFUSED_RETRY_CAP_S = 300.0
FAULT_RETRY_FIRST_S = 10.0
FAULT_RETRY_CAP_S = 300.0
COMES_AGAIN_RETRY_FIRST_S = 120.0
"""Of which chance takes off up to half."""
COMES_AGAIN_RETRY_CAP_S = 3600.0
COMES_AGAIN = (BrokerViolation, EventTooLarge)
STEADY_AFTER_S = 10.0
"""A connection that lasted this long, or over which anything was acked, begins the back-off anew when it is lost."""


class Retry:
    """The outages of one stream, one after the other.  Times in seconds, of one clock."""

    def __init__(self) -> None:
        self._attempt = 0
        self._outage_began: float | None = None

    def delay_s(
        self, error: PluginError, now: float, *, progress_at: float, connected_at: float | None, jitter: float
    ) -> float:
        """There is trouble ``now``: seconds until the next try.

        Args:
            error: the trouble.
            now: the time.
            progress_at: when anything was acked last.
            connected_at: when the connection that was lost was opened; None: there was none.
            jitter: 0 … 1, see `backoff.backoff_s`.
        """
        if (
            self._outage_began is None
            or progress_at > self._outage_began
            or (connected_at is not None and now - connected_at > STEADY_AFTER_S)
        ):
            self._attempt, self._outage_began = 0, now
        self._attempt += 1
        if isinstance(error, InternalFault):
            return backoff_s(self._attempt, jitter, first_s=FAULT_RETRY_FIRST_S, cap_s=FAULT_RETRY_CAP_S)
        if isinstance(error, RefusedError | TooManyFiles):
            return backoff_s(self._attempt, jitter, first_s=REFUSED_RETRY_FIRST_S, cap_s=REFUSED_RETRY_CAP_S)
        if isinstance(error, COMES_AGAIN):
            return backoff_s(self._attempt, jitter, first_s=COMES_AGAIN_RETRY_FIRST_S, cap_s=COMES_AGAIN_RETRY_CAP_S)
        cap_s = outage_cap_s(now - self._outage_began, least_s=QUICK_RETRY_CAP_S, most_s=LONG_RETRY_CAP_S)
        return backoff_s(self._attempt, jitter, cap_s=cap_s)
