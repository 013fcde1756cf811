"""Text from elsewhere, made fit to be shown: nothing in it ends a line, moves a cursor, hides a letter or never ends.
Pure.

Words of a broker, a server, the cloud, names of files and streams may hold anything.  They are kept as they are, and
pass one of these functions where they are shown: in the lines of the log, on the page, in a terminal.
"""

from __future__ import annotations

import json
import traceback
from typing import Any

from fluent_plugin_amp.errors import ConfigError, PluginError

MAX_CHARS = 4000
"""Of one text.  More than that nobody reads; what is left out is its middle, since what to do stands at the end."""

_MOST_SAID = 40
"""Characters: " … 123456789 characters … "."""


def one_line(text: str) -> str:
    """``text`` without an end of line, a control character, or one that turns the direction of writing.

    They are shown as in a string of Python (``\\n``, ``\\x1b``, ``\\u202e``).  What was made so once stays as it is.
    """
    text = _shortened(text)
    if text.isprintable():
        return text
    return _shortened("".join(map(_escaped, text)))


def lines(text: str, indent: str = "") -> str:
    """The same for a text of several lines, whose ends are ours: a traceback, a list of mistakes."""
    return "\n".join(indent + one_line(line) for line in text.split("\n"))


def in_json(text: str) -> str:
    """JSON in lines, with the same values: what is not printable in it is escaped as JSON does (``\\u202e``)."""
    if text.replace("\n", "").isprintable():
        return text
    return "".join(c if c == "\n" or c.isprintable() else json.dumps(c)[1:-1] for c in text)


def of_error(error: PluginError) -> str:
    """What an error says: a list of mistakes in a configuration has several lines, words of a peer never do."""
    return lines(str(error)) if isinstance(error, ConfigError) else one_line(str(error))


def of_bug(exc: Exception) -> str:
    """What may be said of a fault of our own: its kind and its place.  Nobody checked its words for secrets."""
    return f"{type(exc).__name__} in {place_of(exc).rpartition('/')[2]}"


def place_of(exc: Exception) -> str:
    """File and line that raised it; empty when nothing did."""
    places = [f"{frame.f_code.co_filename}:{line}" for frame, line in traceback.walk_tb(exc.__traceback__)]
    return places[-1] if places else ""


def modules_of(exc: Exception) -> list[str]:
    """The modules that it passed; the last one raised it."""
    return [str(frame.f_globals.get("__name__")) for frame, _ in traceback.walk_tb(exc.__traceback__)]


def how_many(count: int, noun: str) -> str:
    """``1 event``, ``2 events``, ``0 entries``: a number with its noun, which is given as for one."""
    if count != 1:
        noun = f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}s"
    return f"{count} {noun}"


def host_and_port(host: str, port: int) -> str:
    """``host:port``, or ``[host]:port`` for an address of IPv6."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def values(fields: dict[str, Any]) -> dict[str, Any]:
    """The same for the fields of a line that a machine reads."""
    return {name: one_line(value) if isinstance(value, str) else value for name, value in fields.items()}


def _shortened(text: str) -> str:
    """Without its middle; with what is said of that it has at most `MAX_CHARS`."""
    if len(text) <= MAX_CHARS:
        return text
    kept = (MAX_CHARS - _MOST_SAID) // 2
    return f"{text[:kept]} … {len(text) - 2 * kept} characters … {text[-kept:]}"


def _escaped(character: str) -> str:
    return character if character.isprintable() else character.encode("unicode_escape").decode("ascii")
