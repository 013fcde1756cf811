"""The answers of the probes: whether the event loop turns, and whether events can flow.

`Heart` is the sign of life behind ``/healthz``.  It beats in the event loop, so it shows that the loop was stuck.  A
loop that is stuck *now* does not answer at all, and a probe treats that alike.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any, Literal

from fluent_plugin_amp import __version__
from fluent_plugin_amp.observe import units
from fluent_plugin_amp.observe.status import Finding, Readiness, Status

BEAT_S = 1.0
STUCK_AFTER_S = 10.0


class Heart:
    """The sign of life."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._beat_at = clock()

    async def beat(self) -> None:
        """Beat until cancelled."""
        while True:
            self._beat_at = self._clock()
            await asyncio.sleep(BEAT_S)

    @property
    def silent_s(self) -> float:
        """Seconds since the last beat."""
        return self._clock() - self._beat_at


def healthz(heart: Heart) -> tuple[bool, dict[str, Any]]:
    """``/healthz``: whether the loop turns, and the JSON that says so."""
    alive = heart.silent_s < STUCK_AFTER_S
    return alive, {"alive": alive, "loop_silent_s": round(heart.silent_s, 3), "version": __version__}


def is_ready(status: Status, streams: Literal["all", "any"]) -> bool:
    """Whether a server acknowledges, and ``all`` streams (or at least ``any``) consume or stand by."""
    return status.readiness is Readiness.READY or (streams == "any" and status.readiness is Readiness.DEGRADED)


def readyz(status: Status, streams: Literal["all", "any"] = "all") -> tuple[bool, dict[str, Any]]:
    """``/readyz``: whether the plugin is ready (`is_ready`), and the JSON that says so.

    Its ``reasons`` say why the plugin, or some of its streams, are not ready; its ``warnings`` are about other
    things.
    """
    ready = is_ready(status, streams)
    return ready, {
        "ready": ready,
        "state": status.readiness.value,
        "reasons": [_as_json(finding) for finding in status.reasons],
        "warnings": [_as_json(finding) for finding in status.warnings],
    }


def _as_json(finding: Finding) -> dict[str, Any]:
    subject: dict[str, Any] = {"streams": list(finding.streams)}
    if finding.server:
        subject = {"server": finding.server}
    elif finding.state_file:
        subject = {"state_file": finding.state_file}
    elif finding.part:
        subject = {"part": finding.part}
    return {
        **subject,
        "error_id": finding.error_id,
        "what": finding.what,
        "remedy": finding.remedy,
        "since": units.moment(finding.since),
    }
