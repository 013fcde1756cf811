"""`fluent-plugin-amp state`: shows the state file, or makes it forget a stream, also while a daemon uses it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fluent_plugin_amp.commands.console import new_table
from fluent_plugin_amp.config import Config
from fluent_plugin_amp.errors import UsageError
from fluent_plugin_amp.observe import units
from fluent_plugin_amp.organisation.audit_logs import cursor_of
from fluent_plugin_amp.pipeline.combine.rows import UNSENT
from fluent_plugin_amp.state.check import size_on_disk
from fluent_plugin_amp.state.lock import holder
from fluent_plugin_amp.state.store import Store
from fluent_plugin_amp.state.values import KeptSummary, StreamSummary
from fluent_plugin_amp.text import how_many, one_line

if TYPE_CHECKING:
    from rich.table import Table


@dataclass(frozen=True, slots=True)
class Report:
    """The file at one moment."""

    path: Path
    size_bytes: int
    """With the log beside it."""
    holder: str | None
    """The process that uses it."""
    streams: tuple[StreamSummary, ...]
    kept: tuple[KeptSummary, ...] = ()
    """What the daemon's parts keep, such as how far a polled source has come."""
    delivered_to: Mapping[str, int] = field(default_factory=dict)
    """By source, of audit logs: everything before is delivered, in seconds since the epoch."""

    @property
    def letters(self) -> int:
        """Dead letters kept, of all streams."""
        return sum(stream.letters for stream in self.streams)

    def as_json(self) -> dict[str, Any]:
        """For ``--json``."""
        return {
            "path": str(self.path),
            "size_bytes": self.size_bytes,
            "holder": self.holder,
            "letters": self.letters,
            "streams": [stream._asdict() for stream in self.streams],
            "kept": [
                {**source._asdict(), "delivered_to": self.delivered_to.get(source.source)} for source in self.kept
            ],
        }


def state_path(config: Config) -> Path:
    """The configured state file.

    Raises:
        UsageError: there is none.
    """
    if config.state.path is None:
        raise UsageError("no state file is configured", remedy="Name one as `state.path`.")
    return config.state.path


def show(path: Path, now: float) -> Report:
    """Look at the file.  ``now``: seconds since the epoch.

    Raises:
        StateUnusable: it cannot be read.
    """
    store = Store.open(path)
    try:
        streams, kept = tuple(store.summary(int(now))), tuple(store.kept_summary())
        logs = [source.source for source in kept if source.source.endswith("/audit_logs")]
        rows = {log: {name: data for (_, name), data in store.rows("kept", log).items()} for log in logs}
    finally:
        store.close()
    delivered_to = {log: second for log in logs if (second := cursor_of(rows[log])) is not None}
    return Report(path, size_on_disk(path), holder(path), streams, kept, delivered_to)


def reset(path: Path, stream: str) -> None:
    """Forget everything that was delivered from a stream, and its open detections and incidents, in small steps.

    What is still to be sent stays: dead letters, and combined records that no server has.  A daemon that uses the
    file does the same in its memory, within a minute.

    Raises:
        UsageError: nothing is known of such a stream.
        StateUnusable: the file cannot be written.
    """
    store = Store.open(path)
    try:
        if stream not in store.resets():
            names = ", ".join(sorted(store.resets())) or "none at all"
            raise UsageError(f"nothing was delivered from a stream named {stream!r}; known are: {names}", remedy="")
        is_left = True
        while is_left:
            with store.transaction():
                is_left = store.forget(stream) or store.forget_combined(stream, but=UNSENT)
    finally:
        store.close()


def heading(report: Report) -> str:
    """The file itself, in one line."""
    letters = f", {how_many(report.letters, 'dead letter')} kept" if report.letters else ""
    size = units.size(report.size_bytes)
    use = "not in use" if report.holder is None else f"in use by {report.holder}"
    return one_line(f"{report.path}: {size}{letters}, {use}")


def table(report: Report) -> Table:
    """A row for each stream."""
    from rich.text import Text

    columns = ("stream", "delivered", "last hour", "last day", "oldest", "newest", "dead letters kept")
    made = new_table(*columns)
    for stream in report.streams:
        counts = (stream.events, stream.last_hour, stream.last_day)
        times = (_moment(stream.oldest_at), _moment(stream.newest_at))
        made.add_row(Text(one_line(stream.stream)), *map(str, counts), *times, str(stream.letters))
    return made


def kept_table(report: Report) -> Table:
    """A row for each source that keeps values."""
    from rich.text import Text

    made = new_table("source", "values kept", "size", "delivered to")
    for source in report.kept:
        figures = (str(source.values), units.size(source.size_bytes), _moment(report.delivered_to.get(source.source)))
        made.add_row(Text(one_line(source.source)), *figures)
    return made


def _moment(at: int | None) -> str:
    return "" if at is None else units.day_and_time(at)
