"""Names for what an event has only GUIDs of: its groups, policy, operating system and connector version.  Pure.

`Names` is what is known of one organisation, in memory; whoever polls the cloud teaches it.  An event is never held
up, and nothing is asked for it: what is not known is left out, and counted.  The knowledge is of the moment
`Names.as_of`, not of the event's time.  What the event itself says goes before it.

`Naming` makes the field `FIELD` of one stream's events.  It comes before obfuscate, so that a hidden host name is
hidden in a group's name, too.  Of what `SOURCES` names it leaves out what the stream hides.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NamedTuple

from fluent_plugin_amp.model import Record

FIELD = "names"

SOURCES: Mapping[str, str] = MappingProxyType(
    {
        "groups": "group_guids",
        "policy": "computer.policy",
        "operating_system": "computer.operating_system",
        "connector_version": "computer.connector_version",
    }
)
"""Each name, and the field of the event that tells the same: whoever hides that hides this."""

MAX_NAME = 256
"""Characters of a name; the rest is cut off."""
MAX_GROUPS = 1000
"""GUIDs of one event's groups that are looked up; Cisco's events have a few."""
MAX_KNOWN = 100_000
"""Groups, and policies, that are remembered; the first ones of a longer list."""
MAX_MADE = 5000
"""Computers whose names are made already: most events come from a few."""
MAX_COMPUTERS = 500_000
"""Computers that are remembered: some 100 MB."""


class Computer(NamedTuple):
    """What is known of a computer; None: it is not known."""

    group_guids: tuple[str, ...] = ()
    policy: str | None = None
    operating_system: str | None = None
    connector_version: str | None = None


@dataclass(slots=True)
class Unknown:
    """How often something was not known, since the start of the process."""

    groups: int = 0
    computers: int = 0


class Names:
    """What is known of one organisation.

    Args:
        organisation: its label.
    """

    def __init__(self, organisation: str) -> None:
        self.organisation = organisation
        self.version = 0
        """Another one whenever something has become known, or known otherwise."""
        self.groups: dict[str, str] = {}
        """Name by GUID, which is in lower case, as in all of these."""
        self.policies: dict[str, str] = {}
        self.computers: dict[str, Computer] = {}
        self.unknown = Unknown()
        self._shared: dict[Computer, Computer] = {}
        self._as_of: str | None = None

    @property
    def as_of(self) -> str | None:
        """ISO 8601: since then all of it was looked at; None: nothing is known yet."""
        return self._as_of

    @as_of.setter
    def as_of(self, moment: str) -> None:
        self._as_of = moment
        self.version += 1

    def learn_groups(self, named: Iterable[tuple[str, str]]) -> None:
        """These are all groups: GUID and name."""
        self.groups = _bounded(named)
        self.version += 1

    def learn_policies(self, named: Iterable[tuple[str, str]]) -> None:
        """These are all policies: GUID and name."""
        self.policies = _bounded(named)
        self.version += 1

    def learn_computer(self, guid: str, computer: Computer) -> None:
        """A computer is, or has become, like this; most are like many others, and share what is known."""
        guid = guid.lower()
        if guid in self.computers or len(self.computers) < MAX_COMPUTERS:
            if len(self._shared) > MAX_KNOWN:
                self._shared.clear()
            self.computers[guid] = self._shared.setdefault(computer, computer)
            self.version += 1

    def forget_computer(self, guid: str) -> None:
        """A computer has gone."""
        self.computers.pop(guid.lower(), None)
        self.version += 1


class Naming:
    """Makes `FIELD` of one stream's events.

    Args:
        names: what is known, now and later.
        is_hidden: whether the stream hides this field of the event, one of `SOURCES`.
    """

    def __init__(self, names: Names, is_hidden: Callable[[str], bool] = lambda source: False) -> None:
        self.names = names
        self._has_groups, self._has_policy, self._has_system, self._has_version = (
            not is_hidden(source) for source in SOURCES.values()
        )
        self._made: dict[tuple[str, str], dict[str, Any]] = {}  # of those of which everything is known
        self._version = names.version

    def __call__(self, record: Record) -> dict[str, Any]:
        """The names for one event; what is not known is counted."""
        described = record.get("computer")
        guid: Any = record.get("connector_guid")
        guids: Any = record.get("group_guids")
        is_usual = (
            type(guid) is str
            and type(guids) is list
            and len(guids) == 1
            and type(guids[0]) is str
            and not (type(described) is dict and ("policy" in described or "operating_system" in described))
        )
        if not is_usual:
            return self._make(record, self.names.unknown)
        if self._version != self.names.version or len(self._made) >= MAX_MADE:
            self._made.clear()
            self._version = self.names.version
        key = (guid, guids[0])
        known = self._made.get(key)
        if known is None:
            known = self._make(record, unknown := Unknown())
            self.names.unknown.groups += unknown.groups
            self.names.unknown.computers += unknown.computers
            if not unknown.groups and not unknown.computers:
                self._made[key] = known
        made = known.copy()  # steps that follow change it
        if "groups" in made:
            made["groups"] = made["groups"].copy()
        return made

    def of(self, record: Record) -> dict[str, Any]:
        """The same for an event that is counted already."""
        return self._make(record, Unknown())

    def _make(self, record: Record, unknown: Unknown) -> dict[str, Any]:
        names = self.names
        described = record.get("computer")
        if type(described) is not dict:
            described = _NOTHING
        guid: Any = record.get("connector_guid") or described.get("connector_guid")
        known = _NOBODY
        if isinstance(guid, str):
            known = names.computers.get(guid) or names.computers.get(guid.lower(), _NOBODY)
            unknown.computers += known is _NOBODY
        made: dict[str, Any] = {"organisation": names.organisation}
        if self._has_groups:
            guids = record.get("group_guids")
            if found := self._groups(guids if type(guids) is list and guids else known.group_guids, unknown):
                made["groups"] = found
        if self._has_policy and (policy := self._policy(described.get("policy")) or known.policy):
            made["policy"] = policy
        if self._has_system:
            system = described.get("operating_system")
            system = system[:MAX_NAME] if type(system) is str and system else known.operating_system
            if system:
                made["operating_system"] = system
        if self._has_version and known.connector_version:
            made["connector_version"] = known.connector_version
        if names.as_of is not None:
            made["as_of"] = names.as_of
        return made

    def _groups(self, guids: Sequence[Any], unknown: Unknown) -> list[str]:
        known = self.names.groups
        found = []
        for guid in guids[:MAX_GROUPS]:
            name = known.get(guid) or known.get(guid.lower()) if type(guid) is str else None
            if name is not None:
                found.append(name)
            else:
                unknown.groups += 1
        return found

    def _policy(self, policy: Any) -> str | None:
        """What the event says of it: its name, or the name of its GUID."""
        if type(policy) is not dict:
            return None
        name, guid = policy.get("name"), policy.get("guid")
        if type(name) is str and name:
            return name[:MAX_NAME]
        return self.names.policies.get(guid.lower()) if isinstance(guid, str) else None


def computer_of(item: Mapping[str, Any]) -> Computer:
    """What an entry of ``GET /v1/computers`` tells; what is not as documented counts as not told."""
    groups = item.get("groups")
    guids = [item.get("group_guid")]
    guids += [group.get("guid") for group in groups if type(group) is dict] if type(groups) is list else []
    policy = item.get("policy")
    return Computer(
        tuple(dict.fromkeys(str(guid).lower() for guid in guids[:MAX_GROUPS] if _is_name(guid))),
        _name(policy.get("name")) if type(policy) is dict else None,
        _name(item.get("operating_system")),
        _name(item.get("connector_version")),
    )


def group_of(record: Record) -> Any:
    """The first of an event's groups, for its tag; None where none is known."""
    made = record.get(FIELD)
    groups = made.get("groups") if type(made) is dict else None
    return groups[0] if type(groups) is list and groups else None


def is_made(names: Any) -> bool:
    """It may be what a `Naming` made: for what was kept elsewhere."""
    if type(names) is not dict or type(names.get("as_of", "")) is not str:
        return False
    groups = names.get("groups", [])
    return type(groups) is list and all(type(group) is str for group in groups)


def together(each: Iterable[Mapping[str, Any] | None]) -> dict[str, Any] | None:
    """The names of several events: all groups, of the rest what all agree on, and the oldest ``as_of``."""
    made = [names for names in each if names]
    if not made:
        return None
    first = made[0]
    groups = sorted({group for names in made for group in names.get("groups", ())})
    agreed = {
        name: value
        for name, value in first.items()
        if name not in ("groups", "as_of") and all(names.get(name) == value for names in made)
    }
    dates = [names["as_of"] for names in made if "as_of" in names]
    return agreed | ({"groups": groups} if groups else {}) | ({"as_of": min(dates)} if dates else {})


_NOBODY = Computer()
_NOTHING: dict[str, Any] = {}


def _bounded(named: Iterable[tuple[str, str]]) -> dict[str, str]:
    known: dict[str, str] = {}
    for guid, name in named:
        if len(known) >= MAX_KNOWN:
            break
        if name:
            known[guid.lower()] = name[:MAX_NAME]
    return known


def _is_name(value: Any) -> bool:
    return type(value) is str and 0 < len(value) <= MAX_NAME


def _name(value: Any) -> str | None:
    return value[:MAX_NAME] if type(value) is str and value else None
