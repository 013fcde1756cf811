"""Event streams as people read them: types and groups by name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fluent_plugin_amp.admin.screen import Screen
from fluent_plugin_amp.cisco.address import address_of
from fluent_plugin_amp.cisco.answers import EventStream
from fluent_plugin_amp.cisco.api import CiscoApi
from fluent_plugin_amp.cisco.errors import CloudAnswerNotUnderstood
from fluent_plugin_amp.cisco.names import Id, Names
from fluent_plugin_amp.cisco.regions import Cloud
from fluent_plugin_amp.cisco.streams import event_type_names, group_names
from fluent_plugin_amp.text import one_line


@dataclass(frozen=True, slots=True)
class Description:
    """A stream with the names of what it carries; None means all."""

    stream: EventStream
    event_types: tuple[tuple[int, str], ...] | None
    groups: tuple[tuple[str, str], ...] | None
    url: str
    """``amqps://host:port``; empty where the cloud tells no address."""

    @property
    def queue(self) -> str:
        """The queue's name; empty where the cloud does not tell it."""
        return self.stream.amqp.queue_name if self.stream.amqp else ""

    @property
    def username(self) -> str:
        """The user who may read the queue; empty where the cloud does not tell it."""
        return self.stream.amqp.user_name if self.stream.amqp else ""

    def as_json(self) -> dict[str, Any]:
        """For ``--json``; null means all."""
        return {
            "id": self.stream.id,
            "name": self.stream.name,
            "event_types": _named("id", self.event_types),
            "groups": _named("guid", self.groups),
            "url": self.url,
            "username": self.username,
            "queue": self.queue,
        }


def _named(key: str, pairs: Sequence[tuple[object, str]] | None) -> list[dict[str, object]] | None:
    return None if pairs is None else [{key: id_, "name": name} for id_, name in pairs]


async def describe(api: CiscoApi, streams: Sequence[EventStream]) -> list[Description]:
    """Describe ``streams``; names are asked for only where a stream is restricted."""
    types: Names[int] | None = None
    groups: Names[str] | None = None
    if any(stream.event_types for stream in streams):
        types = await event_type_names(api)
    if any(stream.group_guids for stream in streams):
        groups = await group_names(api)
    return [
        Description(
            stream,
            _with_names(stream.event_types, types),
            _with_names(stream.group_guids, groups),
            _url(stream, api.cloud),
        )
        for stream in streams
    ]


def _with_names(ids: Sequence[Id] | None, names: Names[Id] | None) -> tuple[tuple[Id, str], ...] | None:
    return tuple((id_, names.name_of(id_)) for id_ in ids) if ids and names is not None else None


def _url(stream: EventStream, cloud: Cloud) -> str:
    try:
        return address_of(stream, cloud).url
    except CloudAnswerNotUnderstood:
        return ""


# --- as text -------------------------------------------------------------------------------------


def show_all(screen: Screen, found: Sequence[Description]) -> None:
    """Event streams, a row each."""
    rows = [(str(one.stream.id), one.stream.name, few(one.event_types), few(one.groups), one.queue) for one in found]
    screen.table(("ID", "NAME", "EVENT TYPES", "GROUPS", "QUEUE"), rows)


def show_one(screen: Screen, each: Description) -> None:
    """One event stream, everything about it."""
    rows = [
        ("id", str(each.stream.id)),
        ("name", each.stream.name),
        *_listed("event types", each.event_types),
        *_listed("groups", each.groups),
        ("url", each.url),
        ("username", each.username),
        ("queue", each.queue),
    ]
    screen.data("".join(f"{label:<13}{one_line(value)}\n" for label, value in rows))


def few(named: Sequence[tuple[object, str]] | None, most: int = 4) -> str:
    """The first names, and how many more there are; "all" where nothing is restricted."""
    if named is None:
        return "all"
    more = f" and {len(named) - most} more" if len(named) > most else ""
    return ", ".join(name for _, name in named[:most]) + more


def _listed(label: str, named: Sequence[tuple[object, str]] | None) -> list[tuple[str, str]]:
    if named is None:
        return [(label, "all")]
    return [(label if n == 0 else "", f"{name} ({id_})") for n, (id_, name) in enumerate(named)]
