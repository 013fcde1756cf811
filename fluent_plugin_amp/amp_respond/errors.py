"""Errors of `amp-respond` alone.  Pure."""

from __future__ import annotations

from fluent_plugin_amp.errors import RefusedError, UnavailableError, UsageError


class TooMany(UsageError):
    """More computers or files are meant than --max allows, or other than --count says: nothing was done."""

    id = "respond.too-many"
    default_remedy = "See with --dry-run who is meant; then give --max, and --count with the number of them."


class GroupWouldBeEmpty(RefusedError):
    """The move would take the last computers out of a group, or nobody can tell whether it would."""

    id = "respond.group-would-be-empty"
    default_remedy = "Look at the names again; if it is meant, give --empty-group."


class ChangedMeanwhile(RefusedError):
    """What was shown, and agreed to, was changed by somebody else before it was done."""

    id = "respond.changed-meanwhile"
    default_remedy = "See with `amp-respond status` what is so now, and give the command again if it is still meant."


class StateIsOld(UnavailableError):
    """The cloud, or this machine, is too slow: what was looked at may be otherwise before it can be acted on."""

    id = "respond.state-is-old"
    default_remedy = "Try again; if it stays so, use the console."


class JournalUnusable(UsageError):
    """The journal cannot be read or written: without it nothing is changed."""

    id = "respond.journal-unusable"
    default_remedy = "Name a file of your own with --journal or AMP_RESPOND_JOURNAL."


class JournalInUse(UnavailableError):
    """Another `amp-respond` is changing something, and writes the same journal."""

    id = "respond.journal-in-use"
    default_remedy = "Try again when it is done, or name another file with --journal."


class EntryUnknown(UsageError):
    """The journal has no such entry."""

    id = "respond.entry-unknown"
    default_remedy = "See `amp-respond journal`."


class NothingToUndo(RefusedError):
    """The entry changed nothing, or what it changed is not as it left it any more, or is of another organisation."""

    id = "respond.nothing-to-undo"
    default_remedy = "See `amp-respond journal`, and give the command that is meant."
