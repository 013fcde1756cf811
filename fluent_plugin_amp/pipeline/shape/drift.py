"""What Cisco sends that a table does not know: counted, with a sample of each.  Pure.

Nothing is lost by it; the table, or a newer release, may have a better place for it.
"""

from __future__ import annotations

from typing import Any

from fluent_plugin_amp.model import Record
from fluent_plugin_amp.pipeline.shape.convert import SEVERITIES, direction
from fluent_plugin_amp.text import one_line

OURS = frozenset({"console_links", "@devo_pulling_id", "names"})
"""Fields that are not Cisco's; captured events may have them."""

MAX_SAMPLES = 100
MAX_SAMPLE = 200
"""Characters of a path: a hostile event may have long names."""

_SEVERITIES = frozenset({*SEVERITIES, *map(str.capitalize, SEVERITIES)})


class Drift:
    """Of one stream, since the start of the process."""

    def __init__(self) -> None:
        self.counts = {"event_type": 0, "field": 0, "value": 0}
        """How often: an event type, a field, a word in a field whose words are known."""
        self.samples: dict[tuple[str, str], None] = {}
        """What of these, and where in the event; never a value.  Event types by their number."""

    def note_type(self, event: Record) -> None:
        """The table does not know the event's type."""
        type_id = event.get("event_type_id")
        self._add("event_type", str(type_id) if type(type_id) is int and abs(type_id) < 2**64 else "event_type_id")

    def note_word(self, path: str) -> None:
        """The table does not know the word at this path."""
        self._add("value", path)

    def note(self, event: Record, unknown: list[str]) -> None:
        """An event was shaped; ``unknown`` are the paths without a row."""
        for path in unknown:
            if path.partition(".")[0] not in OURS:
                self._add("field", path)
        severity = event.get("severity")
        if type(severity) is str and severity not in _SEVERITIES:
            self._word("severity", severity, severity.lower() in SEVERITIES)
        network = event.get("network_info")
        if type(network) is dict and type(nfm := network.get("nfm")) is dict:
            word = nfm.get("direction")
            self._word("network_info.nfm.direction", word, direction(word) is not None)

    def _word(self, path: str, word: Any, is_known: bool) -> None:
        if type(word) is str and not is_known and any(map(str.isalpha, word)):  # *** says nothing
            self._add("value", path)

    def _add(self, what: str, path: str) -> None:
        self.counts[what] += 1
        if len(self.samples) < MAX_SAMPLES:
            self.samples[what, one_line(path[:MAX_SAMPLE])] = None
