"""What combined records are kept as: rows with a stream and a name, written here and read again.  Pure.

A detection is a ``head`` and a ``part`` for each event; an event in open incidents is a ``place``; each stream has a
``clock``; a record that no server has is ``unsent``.  The event's second comes first in a name: what comes together
is on the same pages of the file, and a commit writes few of them.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from fluent_plugin_amp.pipeline.combine.detections import Head
from fluent_plugin_amp.pipeline.combine.incidents import GROUPINGS
from fluent_plugin_amp.pipeline.combine.member import MAX_SECONDS, Emission, Member

Rows = dict[tuple[str, str], bytes | None]
"""What is to be kept: by stream and name; None: no longer."""

HEAD, PART, PLACE, CLOCK = "head ", "part ", "place ", "clock"
UNSENT = "unsent "
"""So begin the names of the rows of records that no server has yet."""

_SECOND = 10**9

_decode_head = msgspec.msgpack.Decoder(tuple[float, int]).decode
_decode_clock = msgspec.msgpack.Decoder(int).decode
_decode_member = msgspec.json.Decoder(tuple[Member, tuple[str, ...]]).decode
_decode_emission = msgspec.json.Decoder(Emission).decode


class KeptRows:
    """What rows say; a row that says nothing, or nothing that fits the others, is garbled.

    Args:
        rows: by stream and name.
        latest_ns: no stream's clock can be later.
    """

    def __init__(self, rows: Mapping[tuple[str, str], bytes], latest_ns: int) -> None:
        self.clocks: dict[str, int] = {}
        self.places: list[tuple[str, Member, tuple[str, ...]]] = []
        self.heads: list[tuple[str, str, Head]] = []
        """In the order in which they were opened; of each there are `parts`."""
        self.parts: dict[tuple[str, str], list[Member]] = {}
        self.emissions: list[Emission] = []
        self.garbled: list[tuple[str, str]] = []
        self.renamed: Rows = {}
        """Rows that an earlier version named: to be removed, and kept under the names of today."""
        self._latest_ns = latest_ns
        self._part_keys: dict[tuple[str, str], list[tuple[str, str]]] = {}
        names: dict[tuple[str, str], str] = {}
        for key, data in rows.items():
            try:
                names[key] = self._read(key, data)
            except (msgspec.MsgspecError, ValueError, OverflowError, RecursionError):
                self.garbled.append(key)
        self._join()
        for key in names.keys() - {*self.garbled}:
            if names[key] != key[1]:
                self.renamed |= {key: None, (key[0], names[key]): rows[key]}

    def _read(self, key: tuple[str, str], data: bytes) -> str:
        """Returns the row's name of today; raises what tells that it is garbled."""
        stream, name = key
        if name.startswith(PART):
            member, _ = _whole_member(data, PART, name)
            if member.detection_id is None or not member.details:
                raise ValueError("no part of a detection")
            detection = stream, member.detection_id
            self.parts.setdefault(detection, []).append(member)
            self._part_keys.setdefault(detection, []).append(key)
            return member_name(PART, member)
        if name.startswith(HEAD):
            head = Head(*_decode_head(data))
            if not (0 <= head.first_arrival <= MAX_SECONDS and 0 <= head.revision < MAX_SECONDS):
                raise ValueError("no such time, or revision")
            self.heads.append((stream, name.removeprefix(HEAD), head))
            return name
        if name.startswith(UNSENT):
            emission = _decode_emission(data)
            is_time = 0 <= emission.seconds <= MAX_SECONDS and 0 <= emission.nanoseconds < _SECOND
            today = unsent_name(emission)
            if not is_time or emission.stream != stream or name not in (today, _earlier(today)):
                raise ValueError("no such time, or the name of another")
            self.emissions.append(emission)
            return today
        if name == CLOCK:
            clock = _decode_clock(data)
            if not 0 <= clock <= self._latest_ns:
                raise ValueError("no such time")
            self.clocks[stream] = clock
            return name
        if name.startswith(PLACE):
            member, by = _whole_member(data, PLACE, name)
            if not by or not all(each in GROUPINGS and GROUPINGS[each](member) is not None for each in by):
                raise ValueError("no place in an incident")
            self.places.append((stream, member, by))
            return member_name(PLACE, member)
        raise ValueError("no such row")

    def _join(self) -> None:
        """Heads and parts belong together: a transaction has both or neither."""
        self.heads.sort(key=lambda kept: kept[2].first_arrival)
        known = {(stream, detection_id) for stream, detection_id, _ in self.heads}
        for detection in self.parts.keys() - known:
            self.garbled += self._part_keys[detection]
        for stream, detection_id in known - self.parts.keys():
            self.garbled.append((stream, HEAD + detection_id))
        self.heads = [kept for kept in self.heads if kept[:2] in self.parts]


def _whole_member(data: bytes, kind: str, name: str) -> tuple[Member, tuple[str, ...]]:
    member, by = _decode_member(data)
    today = member_name(kind, member)
    if not member.is_whole or name not in (today, _earlier(today)):
        raise ValueError("not as it was made")
    return member, by


def member_name(kind: str, member: Member) -> str:
    """Of a `PART` or a `PLACE`."""
    return f"{kind}{member.seconds:08x} {member.digest.hex()}"


def unsent_name(emission: Emission) -> str:
    """Of a record that no server has."""
    return f"{UNSENT}{emission.seconds:08x} {emission.kind} {emission.name}"


def _earlier(name: str) -> str:
    """What earlier versions called the same row: its name without the second."""
    kind, _, of = name.split(" ", 2)
    return f"{kind} {of}"


def encode_member(member: Member, by: tuple[str, ...] = ()) -> bytes:
    """A `PART`, or a `PLACE` in these groupings."""
    return msgspec.json.encode((member, by))
