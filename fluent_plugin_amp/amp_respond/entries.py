"""Entries of the journal: what was to be done, and what became of it.  Pure.

Each is written in several lines, one JSON object each, that are never changed::

    asked      before the request: who, when, where, what, why, and how it stood `before`
    looked     how it stood by then, where the request had to wait and that differs
    answered   after it: done | already | refused | not done | in doubt
    seen       a state that was reached later
    shipped    a server acknowledged the entry as a record

An entry that was asked and not answered is `UNKNOWN`: the program was killed in between.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

DONE, ALREADY, REFUSED, NOT_DONE, IN_DOUBT = "done", "already", "refused", "not done", "in doubt"
UNKNOWN = "unknown"
"""Asked, and no answer was written: it may have been done or not."""

INVERSE = {"isolate": "release", "release": "isolate", "block": "unblock", "unblock": "block", "move": "move"}

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Ref:
    """A computer, a group or a list, by GUID, with its name at that time."""

    guid: str
    name: str
    type: str = ""
    """Of a list."""

    @classmethod
    def of(cls, value: object) -> Ref | None:
        """From JSON; None where it is none."""
        if not isinstance(value, dict) or not isinstance(value.get("guid"), str):
            return None
        return cls(value["guid"], str(value.get("name", "")), str(value.get("type", "")))

    def as_json(self) -> Json:
        """For the journal."""
        return {"guid": self.guid, "name": self.name, **({"type": self.type} if self.type else {})}


@dataclass(frozen=True, slots=True)
class Action:
    """One thing to do: to a computer, or to a file on a list."""

    kind: str
    """isolate, release, move: a computer; block, unblock: a file."""
    computer: Ref | None = None
    sha256: str = ""
    list: Ref | None = None
    from_group: Ref | None = None
    to_group: Ref | None = None
    description: str = ""
    """Of a file that was on the list: it goes back with it."""

    def __str__(self) -> str:
        if self.computer is None:
            return f"{self.kind} {self.sha256} on {self.list.name if self.list else '?'}"
        to = f" to {self.to_group.name}" if self.to_group else ""
        return f"{self.kind} {self.computer.name} ({self.computer.guid}){to}"

    @property
    def is_of_isolation(self) -> bool:
        """It begins or ends an isolation, which a computer may hear of later."""
        return self.kind in ("isolate", "release")

    @property
    def inverse(self) -> Action:
        """What takes it back."""
        return replace(self, kind=INVERSE[self.kind], from_group=self.to_group, to_group=self.from_group)

    def as_json(self) -> Json:
        """For the journal."""
        told: Json = {"action": self.kind}
        for name in ("computer", "list", "from_group", "to_group"):
            ref = getattr(self, name)
            if ref is not None:
                told[name] = ref.as_json()
        texts = {"sha256": self.sha256, "description": self.description}
        return told | {name: text for name, text in texts.items() if text}

    @classmethod
    def of(cls, line: Mapping[str, Any]) -> Action:
        """From a line of the journal."""
        refs = {name: Ref.of(line.get(name)) for name in ("computer", "list", "from_group", "to_group")}
        kind, sha256, description = (str(line.get(name, "")) for name in ("action", "sha256", "description"))
        return cls(kind, sha256=sha256, description=description, **refs)


@dataclass(frozen=True, slots=True)
class Entry:
    """One action, as the journal tells it."""

    id: str
    asked: Json
    """The line that was written before the request."""
    outcome: str = UNKNOWN
    answered: Json = field(default_factory=dict)
    state: str = ""
    """The last that was seen."""
    is_shipped: bool = False

    @property
    def action(self) -> Action:
        """What was to be done."""
        return Action.of(self.asked)

    @property
    def before(self) -> str:
        """How it stood before the request: `actions.Stand.state`; empty where that was not written."""
        return str(self.asked.get("before", ""))

    @property
    def target(self) -> tuple[object, ...]:
        """What it changes: two entries with the same undo or repeat each other.  A move is no isolation."""
        action, asked = self.action, self.asked
        where = action.computer or action.list
        kinds = {action.kind, INVERSE[action.kind]}
        return asked.get("cloud"), kinds, where and where.guid.lower(), action.sha256

    @property
    def at(self) -> str:
        """When it was asked: ISO 8601, UTC."""
        return str(self.asked.get("at", ""))

    def as_json(self) -> Json:
        """The whole entry as one object, for ``--json`` and as a record."""
        shown = {key: value for key, value in self.asked.items() if key != "phase"}
        shown |= {"outcome": self.outcome, "answered_at": self.answered.get("at")}
        shown |= {key: self.answered[key] for key in ("looked_up", "error") if key in self.answered}
        return shown | ({"state": self.state} if self.state else {})


def entries(lines: Iterable[Mapping[str, Any]]) -> list[Entry]:
    """The entries of a journal's lines, in the order in which they were asked."""
    found: dict[str, Entry] = {}
    for line in lines:
        id_, phase = str(line.get("entry", "")), line.get("phase")
        entry = found.get(id_)
        if phase == "asked" and entry is None and str(line.get("action")) in INVERSE:
            found[id_] = Entry(id_, dict(line))
        elif entry is None:
            continue
        elif phase == "looked":
            now = {key: line[key] for key in ("before", "group_was_empty", "description") if key in line}
            found[id_] = replace(entry, asked=entry.asked | now)
        elif phase == "answered":
            state = str(line.get("state", "")) or entry.state
            found[id_] = replace(entry, outcome=str(line.get("outcome", "")), answered=dict(line), state=state)
        elif phase == "seen":
            found[id_] = replace(entry, state=str(line.get("state", "")), is_shipped=False)
        elif phase == "shipped":
            found[id_] = replace(entry, is_shipped=True)
    return list(found.values())


def who_left(entries: Iterable[Entry], group_guid: str, since: str) -> set[str]:
    """GUIDs of computers that were moved out of a group since a time (ISO 8601, UTC), or may have been."""
    left, wanted = set[str](), group_guid.lower()
    for entry in entries:
        action = entry.action
        if action.kind != "move" or action.computer is None or entry.outcome not in (DONE, IN_DOUBT, UNKNOWN):
            continue
        from_, to = (ref.guid.lower() if ref else "" for ref in (action.from_group, action.to_group))
        if from_ == wanted and str(entry.answered.get("at") or entry.at) >= since:
            left.add(action.computer.guid.lower())
        elif to == wanted and entry.outcome == DONE:
            left.discard(action.computer.guid.lower())
    return left


def parse(text: bytes) -> tuple[list[Json], int]:
    """The lines of a journal; and how many could not be read: what a crash left of one, or what is none."""
    found, broken = [], 0
    for line in filter(None, text.split(b"\n")):
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):
            value = None
        if isinstance(value, dict) and isinstance(value.get("entry"), str):
            found.append(value)
        else:
            broken += 1
    return found, broken
