"""Makes an action ready: sees, right before its request, how it stands and that it may be done."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from fluent_plugin_amp.amp_respond.actions import Stand, is_so, look
from fluent_plugin_amp.amp_respond.entries import Action, Json
from fluent_plugin_amp.amp_respond.errors import StateIsOld
from fluent_plugin_amp.cisco import computers
from fluent_plugin_amp.cisco.api import CiscoApi

OLD_S = 10.0
"""So much later what was looked at may not be so any more."""
LOOKS = 3
"""So often it is looked at, until nothing of it is old."""

_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


@dataclass(frozen=True, slots=True)
class Checks:
    """What is asked of an action; each check raises where it must not be done."""

    last: Callable[[CiscoApi, Action, Stand], Awaitable[None]]
    """Asked last, right before the request: of the computer or list, as it stands now."""
    lists: Callable[[CiscoApi, Action, Sequence[Action]], Awaitable[None]] | None = None
    """What takes long, as it reads lists: asked first, of the action and all that are still to be done."""


class Ready:
    """How it stands with an action, as often as somebody asks.

    Nobody else writes the journal meanwhile, and much can happen while a prompt or the rate limit is waited for.

    Args:
        left: the actions that are still to be done, this one too.
        interrupt: raises where the user asked to stop; called after each look.
    """

    def __init__(
        self,
        api: CiscoApi,
        action: Action,
        checks: Checks,
        left: Sequence[Action],
        interrupt: Callable[[], None] = lambda: None,
    ) -> None:
        self.told: Json = {}
        """What the journal is told: ``before``; of a move ``group_was_empty``, of an unblock ``description``."""
        self._api, self._action, self._checks, self._left = api, action, checks, left
        self._since_s = 0.0
        self.interrupt = interrupt

    async def __call__(self) -> Stand:
        """How it stands now, and it may be done.  All is asked again where the cloud was slow, or let it wait.

        A cloud that is slow each time forbids nothing: at last only what is asked last must not be old.

        Raises:
            StateIsOld: that is old, too.
            Interrupted, PluginError: it must not be done, or nobody can see whether it may.
        """
        for tries in range(1, LOOKS + 1):
            self._since_s = seconds()
            was_so = self._checks.lists is not None
            if self._checks.lists is not None and not is_so(self._action, (await self._look()).state):
                if self._action.to_group is not None:  # whether undo may leave it so
                    group = self._action.to_group.guid
                    self.told["group_was_empty"] = await computers.is_anybody_in(self._api, group) is False
                await self._checks.lists(self._api, self._action, self._left)
                was_so = False
            if tries == LOOKS:
                self._since_s = seconds()
            now = await self._look()
            if self._action.list is not None:
                self._since_s = seconds()  # a list of thousands takes long; a file that comes meanwhile does no harm
            if is_so(self._action, now.state):
                return now
            if was_so:  # a moment ago: nobody asked the lists
                continue
            await self._checks.last(self._api, self._action, now)
            self.interrupt()
            if not self.is_old:
                return now
        raise StateIsOld(f"{self._action}: how it stands cannot be seen, or changes, within {OLD_S:.0f} s")

    @property
    def is_old(self) -> bool:
        """What was seen may not be so any more."""
        return seconds() - self._since_s >= OLD_S

    async def _look(self) -> Stand:
        now = await look(self._api, self._action, at_computer=True)
        self.interrupt()
        self.told["before"] = now.state
        if self._action.kind == "unblock":  # undo puts it back
            self.told["description"] = now.comment
        return now


def seconds() -> float:
    """A clock that goes on while this process is stopped and, where there is such a clock, the machine sleeps."""
    return time.clock_gettime(_CLOCK)
