"""The reference of the errors, ``docs/errors.md``, made from the errors of every room.  Pure.

``python -m fluent_plugin_amp.commands.errors_reference`` prints the page.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator

from fluent_plugin_amp import errors
from fluent_plugin_amp.admin import errors as admin_errors
from fluent_plugin_amp.amp_respond import errors as amp_respond_errors
from fluent_plugin_amp.cisco import errors as cisco_errors
from fluent_plugin_amp.commands import errors as commands_errors
from fluent_plugin_amp.errors import InvalidEvent, PluginError
from fluent_plugin_amp.state import errors as state_errors

MODULES = (errors, state_errors, cisco_errors, commands_errors, admin_errors, amp_respond_errors)
"""Where errors are defined, in the order of the page."""

_INTRODUCTION = """\
# Errors

Every error has an id that stays the same from release to release: log lines, dead letters, metrics and the commands'
messages carry it. A message says what happened; what to do about it stands below, and behind the message.

| Exit code | Meaning |
|---|---|
| {EXIT_OK} | done |
| {EXIT_NO} | the answer is no: something is not well (`check`), or missing (`reconcile`) |
| {EXIT_USAGE} | the command line is wrong |
| {EXIT_UNAVAILABLE} | a peer is away, or does not answer: try again later |
| {EXIT_BUG} | a fault of the plugin's own; `--debug` shows where |
| {EXIT_REFUSED} | a peer answered, and refused |
| {EXIT_CONFIG} | the configuration is wrong |
| {EXIT_INTERRUPTED} | interrupted: Ctrl-C, or another signal to stop, before the work of a command was done |

`fluent-plugin-amp run` ends with one of these only where nothing can be retried: what a peer can mend, or an operator
at the peer, is tried again with growing pauses, for ever.

This page is made from the code: `make docs`.
"""


def reference() -> str:
    """The whole page: a chapter for each kind of reaction, an entry for each error."""
    exit_codes = {name: code for name, code in vars(errors).items() if name.startswith("EXIT_")}
    chapters = [_chapter(kind) for kind in _below(PluginError)]
    return "\n".join([_INTRODUCTION.format(**exit_codes), *chapters])


def _chapter(kind: type[PluginError]) -> str:
    return "\n".join([f"## {_text(kind).rstrip('.')}", "", *(_entry(each) for each in _tree(kind))])


def _tree(kind: type[PluginError]) -> Iterator[type[PluginError]]:
    yield kind
    for inner in _below(kind):
        yield from _tree(inner)


def _below(kind: type[PluginError]) -> list[type[PluginError]]:
    """In the order of `MODULES`, which is not the order in which a process happens to import them."""
    place = {module.__name__: number for number, module in enumerate(MODULES)}
    ours = [inner for inner in kind.__subclasses__() if inner.__module__ in place]
    return sorted(ours, key=lambda inner: place[inner.__module__])


def _entry(error: type[PluginError]) -> str:
    lines = [f"### `{error.id}`", "", _text(error), ""]
    if error.default_remedy:
        lines += [f"- **What to do:** {error.default_remedy}"]
    if issubclass(error, InvalidEvent):
        lines += ["- **Exit code:** none; the event becomes a dead letter"]
    else:
        lines += [f"- **Exit code:** {error.exit_code}"]
    return "\n".join([*lines, ""])


def _text(error: type[PluginError]) -> str:
    return " ".join(inspect.cleandoc(error.__doc__ or "").split())


if __name__ == "__main__":
    print(reference(), end="")
