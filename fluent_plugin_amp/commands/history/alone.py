"""Lets one `backfill` or `reconcile --repair` of a stream run at a time: two would send the same events.

The lock is a file beside the state file.  Without a state file it is in the folder of the user's session, or of
temporary files, and holds for one user on one machine.  The kernel releases it when the process ends.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from fluent_plugin_amp.config import Config, StreamConfig
from fluent_plugin_amp.errors import HistoryInProgress
from fluent_plugin_amp.state.lock import take


@contextlib.contextmanager
def alone(config: Config, stream: StreamConfig, environ: Mapping[str, str]) -> Iterator[None]:
    """Within the block no other of these commands works on this stream.

    Raises:
        HistoryInProgress: one does.
        StateUnusable: there can be no lock.
    """
    descriptor = take(
        _lock_file(config, stream, environ),
        lambda holder: HistoryInProgress(f"stream {stream.name}: events of the past are being delivered by {holder}"),
    )
    try:
        yield
    finally:
        os.close(descriptor)


def _lock_file(config: Config, stream: StreamConfig, environ: Mapping[str, str]) -> Path:
    path = config.state.path
    if path is not None:
        return path.with_name(f"{path.name}.history-{_key(stream.name)}.lock")
    broker = stream.host if stream.url else ""  # the URL may hold a password
    key = _key(stream.name, broker, stream.queue or "", stream.event_stream_name or "")
    folder = environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir()
    return Path(folder) / f"fluent-plugin-amp-{os.geteuid()}-{key}.lock"


def _key(*words: str) -> str:
    return hashlib.sha256("\0".join(words).encode()).hexdigest()[:12]
