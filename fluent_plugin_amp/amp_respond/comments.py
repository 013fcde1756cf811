"""The comment that the cloud keeps of an action: whose it is, and why.  Pure.

It tells an action of ours from the same one of a colleague, after a lost answer and before an undo.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fluent_plugin_amp.amp_respond.entries import Action
from fluent_plugin_amp.errors import UsageError

MAX_REASON = 200
"""Characters: the journal and the comment have it, and the comment has room for the signature, too."""
MAX_COMMENT = 255
"""Characters: a cloud may cut what is longer, or refuse it."""
COMMENTED = ("isolate", "release", "block")
"""The cloud keeps the comment of these."""


def checked_reason(reason: str) -> str:
    """The reason, on one line.  Raises UsageError."""
    reason = " ".join(reason.split())
    if not reason or len(reason) > MAX_REASON or not reason.isprintable():
        raise UsageError(f"--reason: say why, in {MAX_REASON} characters at most")
    return reason


def signature(asked: Mapping[str, Any]) -> str:
    """The start of the comment of an action, by the line `asked` of its entry.

    It stands first, as a cloud may cut the end.
    """
    return f"[{asked.get('by')}, {asked.get('entry')}]"


def comment(action: Action, signed: str, reason: str) -> str:
    """What the cloud is given: signature and reason, but a file goes back on its list with its description."""
    return action.description or f"{signed} {reason}"[:MAX_COMMENT]


def is_ours(action: Action, found: str, signed: str) -> bool:
    """The comment that was found is the one that the action gave, and nobody else's."""
    return found == action.description if action.description else found.startswith(signed)
