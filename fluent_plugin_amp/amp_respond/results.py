"""What became of each action of a command, and how that is shown."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass

from fluent_plugin_amp.admin.screen import Screen, Unprintable, error_json
from fluent_plugin_amp.amp_respond.entries import Action, Json
from fluent_plugin_amp.cisco import isolation
from fluent_plugin_amp.cisco.hunting import INCOMPLETE
from fluent_plugin_amp.commands.console import shared_code
from fluent_plugin_amp.errors import EXIT_NO, EXIT_OK, Interrupted, PluginError
from fluent_plugin_amp.text import one_line


@dataclass(slots=True)
class Result:
    """What became of one action."""

    action: Action
    entry: str = ""
    outcome: str = ""
    state: str = ""
    error: PluginError | None = None

    @property
    def is_reached(self) -> bool:
        """An isolation is in the state that it was to come to."""
        return self.state == {"isolate": isolation.ISOLATED, "release": isolation.NOT_ISOLATED}.get(self.action.kind)

    def as_json(self) -> Json:
        """For ``--json``."""
        told = {"entry": self.entry or None, **self.action.as_json(), "outcome": self.outcome}
        return told | {"state": self.state or None, "error": error_json(self.error)}


def show(screen: Screen, results: Sequence[Result], *, as_json: bool, is_complete: bool, is_waited: bool) -> int:
    """What became of each, and what is still to come; the exit code.

    Args:
        is_complete: whoever looked for the actions found all of them.
        is_waited: an isolation that is not as it was wanted is told.
    """
    with contextlib.suppress(Unprintable):  # `Screen.refuse_unread` tells it
        if as_json:
            show_json(screen, results, is_complete)
        else:
            rows = [(r.entry or "-", str(r.action), r.outcome, r.state or "-") for r in results]
            screen.table(("ENTRY", "ACTION", "OUTCOME", "STATE"), rows)
    code = show_errors(screen, results)
    unreached = [result for result in results if result.state and not result.is_reached] if is_waited else []
    pending = [result for result in unreached if result.state.startswith("pending")]
    if pending:
        screen.note(f"{len(pending)} pending: a computer hears of it when it is online; see amp-respond status")
    for result in unreached:
        if result not in pending and result.action.computer:
            screen.note(one_line(f"{result.action.computer.name}: {result.state}, which was not asked for"))
    if not is_complete:
        screen.note(INCOMPLETE)
    return code or (EXIT_NO if unreached else EXIT_OK)


def show_errors(screen: Screen, results: Sequence[Result]) -> int:
    """One of each kind, with what to do; the exit code of them all.

    An interruption is told by whoever ends the command.
    """
    for error in {result.error.id: result.error for result in results if result.error}.values():
        if not isinstance(error, Interrupted):
            screen.error(error, debug=False)
    return shared_code(result.error.exit_code for result in results if result.error)


def show_json(screen: Screen, results: Sequence[Result], is_complete: bool) -> None:
    """An object for each."""
    screen.json([result.as_json() | {"complete": is_complete} for result in results])
