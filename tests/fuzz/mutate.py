"""Good bytes made bad: what a broken network, a broken peer or an enemy makes of frames and messages.  Pure.

Everything is drawn from the `random.Random` that is given, so that a seed repeats it.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from random import Random

FRAME_HEAD = struct.Struct(">BHI")
"""Type, channel and size of the payload of an AMQP frame."""
FRAME_END = b"\xce"
SIZES = (0, 1, 7, 8, 255, 65_535, 131_064, 131_065, 1 << 20, 1 << 27, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
"""What a length field may say: too little, just enough, too much, negative where somebody takes it for signed."""
INTERESTING = (b"\x00", b"\xff", b"\x7f", b"\x80", b"\xce", b"\x93", b"\xdf\xff\xff\xff\xff", b"\xdd\x7f\xff\xff\xff")
MOST_INSERTED = 64

Mutation = Callable[[Random, bytes], bytes]


def split_frames(data: bytes) -> tuple[list[bytes], bytes]:
    """The whole AMQP frames at the beginning, and the rest."""
    frames, at = [], 0
    while len(data) - at >= FRAME_HEAD.size:
        end = at + FRAME_HEAD.size + FRAME_HEAD.unpack_from(data, at)[2] + len(FRAME_END)
        if end > len(data):
            break
        frames.append(data[at:end])
        at = end
    return frames, data[at:]


def mutate(random: Random, data: bytes, most: int = 4) -> bytes:
    """One to ``most`` mutations, one on the other."""
    for _ in range(random.randint(1, most)):
        data = random.choice(MUTATIONS)(random, data)
    return data


def mutate_frame(random: Random, frame: bytes) -> bytes:
    """A frame with a wrong type, channel, size or end, or anything else wrong in it."""
    kind, channel, size = FRAME_HEAD.unpack_from(frame)
    payload = frame[FRAME_HEAD.size : -1]
    match random.randrange(6):
        case 0:
            kind = random.choice((0, 1, 2, 3, 4, 8, 9, 65, 255))
        case 1:
            channel = random.choice((0, 1, 2, 3, 255, 65_535))
        case 2:
            size = random.choice(SIZES)
        case 3:
            return frame[:-1] + bytes([random.randrange(256)])
        case 4:
            payload = mutate(random, payload)
            size = len(payload)
        case _:
            return mutate(random, frame)
    return FRAME_HEAD.pack(kind, channel, size) + payload + FRAME_END


def mangle(random: Random, frames: Sequence[bytes], chance: float, seen: Sequence[bytes] = ()) -> list[bytes]:
    """Frames, each spoilt with this ``chance``: changed, repeated, left out, or followed by an older one."""
    mangled: list[bytes] = []
    for frame in frames:
        if random.random() >= chance:
            mangled.append(frame)
            continue
        match random.randrange(8):
            case 0:
                mangled += [frame, frame]
            case 1:
                pass
            case 2 if mangled:
                mangled.insert(-1, frame)
            case 3 if seen:
                mangled += [frame, random.choice(seen)]
            case 4:
                mangled.append(frame[: random.randrange(len(frame))])
            case _:
                mangled.append(mutate_frame(random, frame))
    return mangled


def _place(random: Random, data: bytes, width: int = 1) -> int:
    return random.randrange(max(1, len(data) - width + 1))


def _flip_bit(random: Random, data: bytes) -> bytes:
    if not data:
        return data
    at = _place(random, data)
    return data[:at] + bytes([data[at] ^ 1 << random.randrange(8)]) + data[at + 1 :]


def _set_byte(random: Random, data: bytes) -> bytes:
    at = _place(random, data)
    return data[:at] + random.choice(INTERESTING) + data[at + 1 :]


def _set_size(random: Random, data: bytes) -> bytes:
    """Four bytes, as if there were a length."""
    at = _place(random, data, 4)
    return data[:at] + struct.pack(">I", random.choice(SIZES)) + data[at + 4 :]


def _cut(random: Random, data: bytes) -> bytes:
    return data[: _place(random, data)]


def _cut_out(random: Random, data: bytes) -> bytes:
    at = _place(random, data)
    return data[:at] + data[at + random.randint(1, MOST_INSERTED) :]


def _repeat(random: Random, data: bytes) -> bytes:
    at, size = _place(random, data), random.randint(1, MOST_INSERTED)
    return data[:at] + data[at : at + size] * random.randint(2, 4) + data[at + size :]


def _insert(random: Random, data: bytes) -> bytes:
    at = _place(random, data)
    return data[:at] + random.randbytes(random.randint(1, MOST_INSERTED)) + data[at:]


def _swap(random: Random, data: bytes) -> bytes:
    at = _place(random, data)
    return data[at:] + data[:at]


MUTATIONS: tuple[Mutation, ...] = (
    *(_flip_bit, _flip_bit, _set_byte, _set_size),
    *(_cut, _cut_out, _repeat, _insert, _swap),
)
