"""Lets one `backfill` or `reconcile --repair` of a stream or a source run at a time: two would send the same.

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

from fluent_plugin_amp.commands.history.past import Past
from fluent_plugin_amp.config import Config
from fluent_plugin_amp.errors import HistoryInProgress
from fluent_plugin_amp.state.lock import take


@contextlib.contextmanager
def alone(config: Config, past: Past, environ: Mapping[str, str]) -> Iterator[None]:
    """Within the block no other of these commands works on this stream or source.

    Raises:
        HistoryInProgress: one does.
        StateUnusable: there can be no lock.
    """
    descriptor = take(
        _lock_file(config, past, environ),
        lambda holder: HistoryInProgress(
            f"{past.kind} {past.name}: {past.noun} of the past are being delivered by {holder}"
        ),
    )
    try:
        yield
    finally:
        os.close(descriptor)


def _lock_file(config: Config, past: Past, environ: Mapping[str, str]) -> Path:
    path = config.state.path
    if path is not None:
        return path.with_name(f"{path.name}.history-{_key(past.name)}.lock")
    folder = environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir()
    return Path(folder) / f"fluent-plugin-amp-{os.geteuid()}-{_key(*past.lock_words)}.lock"


def _key(*words: str) -> str:
    return hashlib.sha256("\0".join(words).encode()).hexdigest()[:12]
