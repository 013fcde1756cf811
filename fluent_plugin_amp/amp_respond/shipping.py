"""Sends the journal's entries through the plugin's own servers, as records that are acknowledged like events.

An entry is marked as shipped after a server acknowledged it.  So one may come twice, and none is left out; one that
has changed since is sent again.  One without an answer is sent as `unknown`: the entries are read while the journal
is ours, so nobody is at it any more.  While they are sent others may write: a server that is away keeps nobody from
isolating a computer.
"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from fluent_plugin_amp.amp_respond.journal import Journal, line
from fluent_plugin_amp.commands.console import load_config, pick_stream
from fluent_plugin_amp.commands.delivering import Delivering
from fluent_plugin_amp.commands.replay import replay
from fluent_plugin_amp.config import Config
from fluent_plugin_amp.errors import ConfigUnreadable
from fluent_plugin_amp.observe import logs

TAG = "edr.cisco.amp.responses"


def read_config(path: Path) -> Config:
    """The configuration that --ship names.  Raises ConfigError."""
    try:
        return load_config(path)
    except ConfigUnreadable as error:
        remedy = "Give --ship a configuration of the plugin that your user may read."
        raise ConfigUnreadable(str(error), remedy=remedy) from error


def ship(config_path: Path, journal: Journal) -> int:
    """Send every entry that is not shipped; how many that were.

    Raises:
        ConfigError, NoProgress, JournalInUse
    """
    config = read_config(config_path)
    stream = pick_stream(config, None)
    transform = stream.transform.model_copy(update={"drop_event_types": (), "shape": None, "links": False})
    stream = stream.model_copy(update={"name": "responses", "tag": TAG, "transform": transform})
    logs.set_up("warning", config.logging.format)
    with journal.writing():
        waiting = {entry.id: entry for entry in journal.entries()[0] if not entry.is_shipped}
    bodies = [json.dumps({"date": entry.at, **entry.as_json()}).encode() for entry in waiting.values()]

    async def go() -> None:
        await replay(Delivering(config, stream, logs.LogObserver(), None), bodies)

    if waiting:
        asyncio.run(go())
        with journal.writing():
            unchanged = [entry for entry in journal.entries()[0] if waiting.get(entry.id) == entry]
            journal.append(*(line(entry.id, "shipped") for entry in unchanged))
    return len(waiting)
