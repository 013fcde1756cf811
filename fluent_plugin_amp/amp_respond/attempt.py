"""One action of a command: looked at, written down, done, and written down again.

What cannot be looked at or written down is not done.  What is refused beforehand is written down as such.
"""

from __future__ import annotations

from datetime import timedelta

from fluent_plugin_amp.amp_respond.actions import Stand, is_its_own, is_so, outcome_of, perform
from fluent_plugin_amp.amp_respond.comments import signature
from fluent_plugin_amp.amp_respond.entries import Json
from fluent_plugin_amp.amp_respond.errors import JournalUnusable, StateIsOld
from fluent_plugin_amp.amp_respond.journal import Journal, before_now, line
from fluent_plugin_amp.amp_respond.ready import LOOKS, Ready
from fluent_plugin_amp.amp_respond.results import Result
from fluent_plugin_amp.cisco.api import CiscoApi
from fluent_plugin_amp.errors import PluginError


class Attempt:
    """The attempt at one action; what becomes of it is told to its `Result`.

    Args:
        asked: the line `asked` of its entry, without what `Ready` tells.
    """

    def __init__(self, api: CiscoApi, journal: Journal, result: Result, ready: Ready, asked: Json) -> None:
        self._api, self._journal, self._result, self._ready = api, journal, result, ready
        self._asked = asked
        self._entry: str = asked["entry"]

    async def make(self) -> None:
        """Make it.  Where the journal cannot be written, the result has that error."""
        result = self._result
        try:
            if result.error is not None:
                raise result.error
            stand = await self._ready()
            self._journal.append(self._asked_now())
        except PluginError as error:
            self._refuse(error)
            return
        result.entry = self._entry
        answer = await self._perform(stand)
        try:
            self._journal.append(line(self._entry, "answered", **answer))
        except JournalUnusable as error:  # the entry has no answer, which is true
            if result.error is None or is_its_own(result.error):  # nothing else is done then
                result.error = error

    def _asked_now(self) -> Json:
        """The line `asked`, with what was seen, and the time of writing it: a look may have taken minutes."""
        self._asked |= {**self._ready.told, "at": before_now(timedelta())}
        return self._asked

    def _refuse(self, error: PluginError) -> None:
        """It is not done.  The journal has it where the refusal is about this action."""
        result = self._result
        result.error, result.outcome = error, outcome_of(error)
        if not is_its_own(error):
            return
        try:
            self._journal.append(
                self._asked_now(), line(self._entry, "answered", error=_brief(error), outcome=result.outcome)
            )
            result.entry = self._entry
        except JournalUnusable as unusable:
            result.error = unusable

    async def _perform(self, stand: Stand) -> Json:
        """Do it; what the journal is told of that."""
        result, told = self._result, Json()
        try:
            if self._ready.is_old:  # the disk was slow
                stand = await self._again()
            self._ready.interrupt()
            asked = self._asked
            outcome = await perform(
                self._api, result.action, signature(asked), asked["reason"], stand.state, self._again
            )
            result.outcome, result.state = outcome.result, outcome.state
            told |= {"looked_up": True} if outcome.looked_up else {}
        except PluginError as error:
            result.error, result.outcome = error, outcome_of(error)
            told["error"] = _brief(error)
        told["outcome"] = result.outcome
        return told | ({"state": result.state} if result.state else {})

    async def _again(self) -> Stand:
        """How it stands by now; what differs is written down.

        But what is so by now is left to the answer: we may have done it.
        """
        for _ in range(LOOKS):
            stand = await self._ready()
            told = self._ready.told
            if is_so(self._result.action, stand.state) or self._asked | told == self._asked:
                return stand
            self._asked |= told
            self._journal.append(line(self._entry, "looked", **told))
            if not self._ready.is_old:  # the disk was slow
                return stand
        raise StateIsOld(f"{self._result.action}: the disk is too slow")


def _brief(error: PluginError) -> Json:
    return {"id": error.id, "message": str(error)}
