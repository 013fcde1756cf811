"""Errors of the fleet file.  Pure."""

from __future__ import annotations

from fluent_plugin_amp.errors import ConfigError


class FleetInvalid(ConfigError):
    """The fleet file cannot be used as it is."""

    id = "fleet.invalid"
    default_remedy = "Correct the lines named above; docs/streams.md describes every key."
