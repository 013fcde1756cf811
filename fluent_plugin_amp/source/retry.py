"""How fast a stream tries again, by what troubles it.  Pure.  `backoff.Outage` says how long to wait.

- Time mends most troubles: the tries are quick at first, and slower the longer the outage lasts.
- Time does not mend a refusal, and frees no file descriptor: the stream asks rarely from the beginning on.
- After a fault of our own it tries more rarely still: each connection that ends may requeue messages.
- An event that is too large, or a violation of the protocol, comes again with the next try.  For a quorum queue each
  try counts as a requeue, and the queue deletes what was requeued too often: at most one try a minute.
"""

from __future__ import annotations

from fluent_plugin_amp.backoff import Pace
from fluent_plugin_amp.errors import (
    BrokerViolation,
    EventTooLarge,
    InternalFault,
    PluginError,
    RefusedError,
    TooManyFiles,
)

FAULT_PACE = Pace(10.0, 300.0)
REFUSED_PACE = Pace(1.0, 300.0)
COMES_AGAIN_PACE = Pace(120.0, 3600.0)
"""The jitter takes off up to half."""
COMES_AGAIN = (BrokerViolation, EventTooLarge)


def pace_of(error: PluginError) -> Pace | None:
    """The pace of the tries after this trouble; None: time mends it."""
    if isinstance(error, InternalFault):
        return FAULT_PACE
    if isinstance(error, RefusedError | TooManyFiles):
        return REFUSED_PACE
    return COMES_AGAIN_PACE if isinstance(error, COMES_AGAIN) else None
