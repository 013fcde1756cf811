"""Errors of the commands alone.  Pure."""

from __future__ import annotations

from fluent_plugin_amp.errors import UsageError


class CapturedFileUnusable(UsageError):
    """A file for `replay` or `explain` holds something other than events, or one that is too large or cut off."""

    id = "replay.file-unusable"
    default_remedy = (
        "Give events as JSON: one object a line, an array, an answer of the API (an object with `data`), or what a "
        "consumer printed. The events before this place were sent, or with --dry-run counted."
    )


class FilesNotWritten(UsageError):
    """`init` wrote nothing: one of its files is there already, or the folder cannot be written to."""

    id = "init.not-written"
    default_remedy = "Name another folder, or move what is there away; no file was written or changed."


class CompletenessFileUnusable(UsageError):
    """A file for `verify` cannot be read, has a line that is no JSON, or holds no completeness record."""

    id = "verify.file-unusable"
    default_remedy = (
        "Export the completeness records as JSON, one object a line, with all their fields; `jq -c '.[]'` "
        "makes lines of a pretty-printed array."
    )
