"""The event types of the Cisco cloud that are known without asking it.  Pure but for reading its own catalogue.

``event_types.json`` beside this module holds ids with their names, and as aliases the names they bore earlier or
bear elsewhere.  ``GET /v1/event_types`` is authoritative for one organisation, so an id that is not in the
catalogue is taken as it is.
"""

from __future__ import annotations

import functools
import json
from importlib import resources

from fluent_plugin_amp.cisco.names import Named, Names


@functools.cache
def catalogue() -> Names[int]:
    """Every event type known so far; ids may exceed 2^31, a few have no name."""
    entries = json.loads(resources.files(__package__).joinpath("event_types.json").read_text("utf-8"))["data"]
    return Names(
        "event type",
        (Named(entry["id"], entry["name"] or "", tuple(entry["aliases"])) for entry in entries),
    )


def resolve(text: str) -> int:
    """The id of an event type given by id, name or alias.

    Raises NameUnknown or NameAmbiguous (for the beginning of a name too), both with the candidates in their message.
    """
    number = text.strip()
    return int(number) if number.isascii() and number.isdecimal() else catalogue().find(text).id
