"""What `FakeFluentd` can be told to do with a chunk (a `Reaction`) or with a connection (a `Welcome`)."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

# --- what may become of a chunk ------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Ack:
    """Acknowledge it, ``delay_s`` after it arrived, ``times`` times."""

    delay_s: float = 0.0
    times: int = 1


@dataclass(frozen=True, slots=True)
class HoldAck:
    """Take it, and acknowledge it when `FakeFluentd.release` is called."""


@dataclass(frozen=True, slots=True)
class NoAck:
    """Take it and never answer, as a server with a full, blocked buffer."""


@dataclass(frozen=True, slots=True)
class WrongAck:
    """Answer with an ack for something else."""

    ack: object = "bm90LXdoYXQteW91LXNlbnQ="


@dataclass(frozen=True, slots=True)
class Answer:
    """Answer with these bytes."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Close:
    """Read it whole and close without an ack; ``reset`` sends a TCP RST."""

    reset: bool = False


@dataclass(frozen=True, slots=True)
class CloseMidChunk:
    """Close (RST) as soon as its first bytes arrive."""


@dataclass(frozen=True, slots=True)
class AckThenClose:
    """Acknowledge it, and close."""


@dataclass(frozen=True, slots=True)
class Flood:
    """Say ``first``, then ``again`` for ever, as fast as the client takes it; as a welcome, instead of HELO."""

    first: bytes
    again: bytes


@dataclass(frozen=True, slots=True)
class Drip:
    """Say these bytes one at a time, from the beginning when they are over; as a welcome, instead of HELO."""

    data: bytes
    every_s: float = 1.0


@dataclass(frozen=True, slots=True)
class CutShort:
    """Say these bytes, and close; as a welcome, instead of HELO."""

    data: bytes


Reaction = Ack | HoldAck | NoAck | WrongAck | Answer | Close | CloseMidChunk | AckThenClose | Flood | Drip | CutShort

# --- what may become of a connection -------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Serve:
    """Do what a server does."""


@dataclass(frozen=True, slots=True)
class Hang:
    """Accept it, and neither read nor write."""


@dataclass(frozen=True, slots=True)
class CloseAtOnce:
    """Accept and close it; ``reset`` sends a TCP RST."""

    reset: bool = False


@dataclass(frozen=True, slots=True)
class CloseAfterBytes:
    """Serve, and close (RST) when ``count`` bytes were read."""

    count: int


@dataclass(frozen=True, slots=True)
class Greet:
    """Say this instead of HELO, and read on without a further answer."""

    data: bytes


@dataclass(frozen=True, slots=True)
class WrongPong:
    """Accept the PING, with a digest that does not prove that the shared key is known."""


Welcome = Serve | Hang | CloseAtOnce | CloseAfterBytes | Greet | WrongPong | Flood | Drip | CutShort


# --- in which order ------------------------------------------------------------------------------


@dataclass(slots=True)
class Script:
    """What becomes of the next chunks and connections; when it has come to its end, of every further one."""

    reaction: Reaction = field(default_factory=Ack)
    welcome: Welcome = field(default_factory=Serve)
    reactions: deque[Reaction] = field(default_factory=deque)
    welcomes: deque[Welcome] = field(default_factory=deque)

    def next_welcome(self) -> Welcome:
        """For a connection that was just made."""
        return self.welcomes.popleft() if self.welcomes else self.welcome

    def next_reaction(self) -> Reaction:
        """For a chunk that arrived whole."""
        return self.reactions.popleft() if self.reactions else self.reaction

    def closes_mid_chunk(self) -> bool:
        """Whether the chunk of which the first bytes just arrived is not to arrive whole."""
        if isinstance(self.reactions[0] if self.reactions else self.reaction, CloseMidChunk):
            self.next_reaction()
            return True
        return False
