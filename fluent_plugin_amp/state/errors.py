"""Errors of the state file.  Pure."""

from __future__ import annotations

from fluent_plugin_amp.errors import ConfigError, UnavailableError


class StateInUse(ConfigError):
    """Another process has the state file: each needs one of its own."""

    id = "state.in-use"
    default_remedy = "Stop the other process, or give this one a `state.path` of its own."


class StateUnusable(UnavailableError):
    """The state file cannot be opened, read or written: events are delivered, but not remembered across restarts."""

    id = "state.unusable"
    default_remedy = (
        "Let the plugin's user create and write the file, its folder and the files beside it; "
        "delivery goes on meanwhile, and the file is tried again."
    )


class StateCorrupt(StateUnusable):
    """The state file, or a part of it, is damaged or written by another program, or is no state file at all.

    Damaged rows are set aside within the file.  A file that is damaged as a whole is kept as ``….corrupt``, unless
    there is one already.
    """

    id = "state.corrupt"
    default_remedy = (
        "Look for a failing disk. If it stays: move the file and those beside it (-wal, -shm) away, and a new one is "
        "made. What it remembered is forgotten, so events that the broker delivers again may arrive twice."
    )


class StateValueRefused(StateUnusable):
    """A value cannot be written into the state file, though the file is well: it is left out."""

    id = "state.value-refused"
    default_remedy = "Nothing to do: the event is delivered. Report the message if you see it often."


class StateDiskFull(StateUnusable):
    """The disk, or the quota, of the state file is full."""

    id = "state.disk-full"
    default_remedy = "Make room, or lower `state.remember`; delivery goes on meanwhile, and the file is tried again."


class StateTooNew(StateUnusable):
    """The state file was written by a newer version of the plugin."""

    id = "state.too-new"
    default_remedy = "Run the newer version, or name another file as `state.path`."


class StateOutdated(StateUnusable):
    """The state file was written by an older version of the plugin, and was not brought up to date yet."""

    id = "state.outdated"
    default_remedy = "`fluent-plugin-amp run` brings it up to date."


class StateSlow(StateUnusable):
    """The disk of the state file does not answer in time."""

    id = "state.slow"
    default_remedy = "Look for a disk or a network file system that hangs; delivery goes on meanwhile."
