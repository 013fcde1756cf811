"""Which kind of record it is, as the tables of an organisation say: an audit log, a computer and so on.  Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Generic, TypeVar

from fluent_plugin_amp.model import Record
from fluent_plugin_amp.pipeline.decode import event_time
from fluent_plugin_amp.pipeline.shape.ocsf_organisation_table import RECORDS
from fluent_plugin_amp.pipeline.shape.tables import rows

EVENTS = "events"
"""The kind of record that comes from a stream."""

KINDS = (EVENTS, *(columns[0] for columns in rows(RECORDS)))
"""What can be shaped."""

Row = TypeVar("Row")


class Finder(Generic[Row]):
    """Finds the row of a record.

    Args:
        records: the kind of record, one of `KINDS` but events.
        table: by the words of the columns *type* and *done*; several words, or ``*``.
    """

    def __init__(self, records: str, table: Iterable[tuple[str, str, Row]]) -> None:
        (columns,) = (columns for columns in rows(RECORDS) if columns[0] == records)
        self._type, self.done, when = columns[1:]
        self._when, _, self._as = when.partition(" ")
        self._rows: Mapping[tuple[str, str], Row] = {
            (type_, word): row for type_, words, row in table for word in words.split()
        }

    def __call__(self, record: Record) -> tuple[Row, bool]:
        """The row, and whether the table knows what was done."""
        type_, word = _word(record, self._type), _word(record, self.done)
        for each in ((type_, word), ("*", word)):
            if each in self._rows:
                return self._rows[each], True
        return self._rows["*", "*"], word == "*" or not any(map(str.isalpha, word))

    def when(self, record: Record, received_at: float) -> tuple[int, int]:
        """The time of the record, as `event_time`."""
        return event_time({self._as: record.get(self._when)}, received_at)


def _word(record: Record, field: str) -> Any:
    word = record.get(field) if field else None
    return word if type(word) is str and word else "*"
