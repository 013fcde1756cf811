"""Reads captured events from a file, in any of the forms that people have, as the broker would deliver them.

========================  ======================================================================================
one JSON object a line    each line is an event; one that cannot be read becomes a dead letter later on
a JSON array              its elements, pretty-printed or not
an answer of the API      the elements of ``data``; also several answers, one behind the other
JSON objects              one behind the other, pretty-printed
text of a consumer        what a script printed: lines of headers, then the event (``Received {…}``, ``b'{…}'``)
========================  ======================================================================================

``time`` and ``tag``, which `run --stdout json` puts in front of each record, are no fields of it: they are left out.

The first line that is not blank decides.  Anything else is an error at that line, so that no other kind of file is
sent line by line.  A file may be larger than memory: only one event is held, of at most `MAX_EVENT_BYTES`.
"""

from __future__ import annotations

import ast
import codecs
import re
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO, ClassVar

import msgspec

from fluent_plugin_amp.commands.errors import CapturedFileUnusable

MAX_EVENT_BYTES = 32 * 1024 * 1024
MAX_HEADER_LINES = 100
"""Lines of a text that may come before its first event."""
_READ_BYTES = 64 * 1024

_EVENT_KEYS = ("id", "event_type", "event_type_id", "timestamp", "change")
"""An object with one of these keys is an event, or a record of a computer or a program, and no answer of the API."""
_QUOTED_KEYS = {f'"{key}"'.encode() for key in _EVENT_KEYS}
_TOKEN = re.compile(rb'"(?:[^"\\]+|\\.)*("?)|[\[\]{}]', re.DOTALL)
_HEADER = re.compile(rb"\s*(\[[*x ]\]|<\w|[-=]{3}|[A-Za-z][\w .-]{0,60}[:=]|(Received|Connected|Waiting)\b)")
_STDOUT = re.compile(rb'\{"time":"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z","tag":"[^"]+"(,|(?=\}))')
"""How a line of `sink/stdout.py` begins."""
_OBJECT_BEGINS = re.compile(rb'\{\s*("|\}|$)')

_decode = msgspec.json.Decoder().decode


def one_event(file: BinaryIO, name: str) -> bytes:
    """The whole file, without blanks around it.

    Raises:
        CapturedFileUnusable: it is too large for an event.
    """
    return _record(_bounded(_read(file.read, MAX_EVENT_BYTES + 1, name), name).strip())


def events(file: BinaryIO, name: str) -> Iterator[bytes]:
    """The body of each event.

    Raises:
        CapturedFileUnusable: there is something else in it, perhaps after some events.
    """
    number, line = _first_line(file, name)
    if not line:
        return
    kind = _kind(line)
    if kind == "lines":
        yield _record(line)
        while line := _line(file, name, number := number + 1):
            if line := line.strip():
                yield _record(line)
    elif kind == "values":
        yield from _Values(file, name, line).events()
    elif kind == "text":
        yield from _printed(file, name, number, line)
    else:
        raise CapturedFileUnusable(f"{name}, line {number}: {_shown(line)} is no event, and not the beginning of any")


def _first_line(file: BinaryIO, name: str) -> tuple[int, bytes]:
    """The first that is not blank, and its number; empty at the end of the file."""
    number = 0
    while line := _line(file, name, number := number + 1):
        if number == 1 and line.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            raise CapturedFileUnusable(f"{name} is UTF-16", remedy="Write it as UTF-8.")
        if number == 1 and line.startswith(b"\x1f\x8b"):
            raise CapturedFileUnusable(
                f"{name} is compressed", remedy="Try `zcat FILE | fluent-plugin-amp replay -`."
            )
        line = line.removeprefix(codecs.BOM_UTF8) if number == 1 else line
        if line.strip():
            return number, line.strip()
    return number, b""


def _line(file: BinaryIO, name: str, number: int) -> bytes:
    place = f"{name}, line {number}"
    return _bounded(_read(file.readline, MAX_EVENT_BYTES + 1, place), place)


def _record(line: bytes) -> bytes:
    """Without what `run --stdout json` put in front of it."""
    begin = _STDOUT.match(line)
    return b"{" + line[begin.end() :] if begin else line


def _read(read: Callable[[int], bytes], size: int, place: str) -> bytes:
    try:
        return read(size)
    except OSError as error:
        raise CapturedFileUnusable(f"{place}: {error.strerror}") from error


def _bounded(read: bytes, place: str) -> bytes:
    if len(read) > MAX_EVENT_BYTES:
        raise CapturedFileUnusable(f"{place}: longer than {MAX_EVENT_BYTES} bytes")
    return read


def _kind(line: bytes) -> str:
    """What a file is that begins with this line."""
    if line.startswith(b"["):
        return "text" if _HEADER.match(line) else "values"
    if line.startswith(b"{"):
        value = _object(line)
        if value is None:
            return "values" if _OBJECT_BEGINS.match(line) else ""
        if _is_answer(value):
            return "values"
        is_other_answer = ("errors" in value or "version" in value) and not any(key in value for key in _EVENT_KEYS)
        return "" if is_other_answer else "lines"
    return "text" if _HEADER.match(line) or _OBJECT_BEGINS.search(line) else ""


def _object(text: bytes) -> dict[str, Any] | None:
    try:
        value = _decode(text)
    except (msgspec.DecodeError, ValueError, RecursionError):
        return None
    return value if type(value) is dict else None


def _is_answer(value: dict[str, Any]) -> bool:
    return type(value.get("data")) is list and not any(key in value for key in _EVENT_KEYS)


# --- arrays, answers, objects --------------------------------------------------------------------


class _Values:
    """JSON values, one after another, read piece by piece.  It looks only for where events begin and end.

    ``_outside`` says what stands around the events: nothing, an array, or an answer's ``data``.  An event ends where
    the depth is again what `_LEVELS` has for that.
    """

    _LEVELS: ClassVar = {"": 0, "object": 0, "array": 1, "data": 2, "after data": -1}

    def __init__(self, file: BinaryIO, name: str, begun: bytes) -> None:
        self._file = file
        self._name = name
        self._text = begun + b"\n"
        self._at = 0  # what is before was looked at
        self._begin: int | None = None  # of the event
        self._depth = 0
        self._outside = ""
        self._before = b""  # the last string
        self._is_event = False  # the object at the top has a key of events

    def events(self) -> Iterator[bytes]:
        """Each event, as it stands there."""
        is_left = True
        while is_left:
            yield from self._tokens()
            keep_from = self._at if self._begin is None else self._begin
            self._text = self._text[keep_from:]
            self._at -= keep_from
            self._begin = None if self._begin is None else 0
            if len(self._text) > MAX_EVENT_BYTES:
                raise self._wrong(f"an event is longer than {MAX_EVENT_BYTES} bytes")
            size = max(_READ_BYTES, len(self._text))  # so that nothing is looked at very often
            more = _read(self._file.read, size, self._name)
            is_left = bool(more)
            self._text += more
        if self._depth:
            raise self._wrong("it ends in the middle of an event")
        if rest := self._text[self._at :].strip(b" \t\r\n,"):
            raise self._wrong(f"{_shown(rest)} is no event")

    def _tokens(self) -> Iterator[bytes]:
        for token in _TOKEN.finditer(self._text, self._at):
            text = token[0]
            if text[:1] == b'"' and not token[1]:
                return  # its end is still to come
            is_between = self._begin is None and self._depth == self._LEVELS[self._outside]
            if is_between and (between := self._text[self._at : token.start()].strip(b" \t\r\n,")):
                raise self._wrong(f"{_shown(between)} is no event")
            self._at = token.end()
            if text in b"[{":
                self._open(text, token.start())
            elif text in b"]}":
                if (event := self._close(token.end())) is not None:
                    yield event
            elif is_between:
                raise self._wrong(f"{_shown(text)} is no event")
            elif self._outside == "object" and self._depth == 1:
                self._is_event = self._is_event or text in _QUOTED_KEYS
            self._before = text

    def _open(self, text: bytes, at: int) -> None:
        is_object = text == b"{"
        if not self._depth:
            self._outside, self._is_event = ("object" if is_object else "array"), False
            self._begin = at if is_object else None
        elif self._outside == "object" and self._depth == 1 and not is_object:
            if self._before == b'"data"' and not self._is_event:
                self._outside, self._begin = "data", None
        elif self._begin is None and self._depth == self._LEVELS[self._outside]:
            if not is_object:
                raise self._wrong("an array within the array of events")
            self._begin = at
        self._depth += 1

    def _close(self, end: int) -> bytes | None:
        self._depth -= 1
        event = None
        if self._depth < 0:
            raise self._wrong("a bracket closes that was not opened")
        if self._begin is not None and self._depth == self._LEVELS[self._outside]:
            event, self._begin = self._text[self._begin : end], None
        elif self._outside == "data" and self._depth == 1:
            self._outside = "after data"
        return event

    def _wrong(self, what: str) -> CapturedFileUnusable:
        return CapturedFileUnusable(f"{self._name}: {what}")


# --- text ----------------------------------------------------------------------------------------


def _printed(file: BinaryIO, name: str, number: int, line: bytes) -> Iterator[bytes]:
    """The events among lines of other text."""
    found = False
    begun: list[bytes] = []
    depth = length = 0
    while line:
        if not begun:
            line = _body_in(line)
        length = length + len(line) if begun else len(line)
        if length > MAX_EVENT_BYTES:
            raise CapturedFileUnusable(f"{name}, line {number}: an event is longer than {MAX_EVENT_BYTES} bytes")
        if line:
            end, depth = _end_in(line, depth)
            begun.append(line[:end] if end is not None else line)
            if end is not None:
                body = b"".join(begun)
                begun, depth = [], 0
                value = _object(body)
                if value is None or any(key in value for key in _EVENT_KEYS):  # or else it is a header
                    found = True
                    yield body
        if not found and number > MAX_HEADER_LINES and not begun:
            break
        line = _line(file, name, number := number + 1)
    if begun or not found:
        what = "it ends in the middle of an event" if begun else f"no event in the first {number} lines"
        raise CapturedFileUnusable(f"{name}: {what}")


def _body_in(line: bytes) -> bytes:
    """The part of a line that may begin an event, or be one; empty: there is none."""
    if literal := _python_literal(line):
        try:
            value = ast.literal_eval(literal.decode())
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            return b""
        return value if type(value) is bytes else str(value).encode(errors="replace")
    begin = _OBJECT_BEGINS.search(line.rstrip())
    return line[begin.start() :] if begin is not None else b""


def _python_literal(line: bytes) -> bytes:
    """``b'{…}'`` or ``"{…}"`` as Python prints it, perhaps with an escaped end of line; empty: there is none.

    From the first beginning to the last end.  A pattern would try every beginning with every end.
    """
    found = []
    for quote in (b"'", b'"'):
        begin = line.find(quote + b"{")
        brace, end = max((line.rfind(tail), tail) for tail in (b"}" + quote, b"}\\n" + quote))
        if 0 <= begin < brace:
            found.append((begin - (line[begin - 1 : begin] == b"b"), brace + len(end)))
    return line[slice(*min(found))] if found else b""


def _end_in(line: bytes, depth: int) -> tuple[int | None, int]:
    """Where the object ends that has this depth where the line begins, and the depth; None: not in this line."""
    for token in _TOKEN.finditer(line):
        depth += {b"{": 1, b"[": 1, b"}": -1, b"]": -1}.get(token[0], 0)
        if not depth:
            return token.end(), 0
    return None, depth


def _shown(text: bytes) -> str:
    """A little of it, for a message."""
    return repr(text[:40].decode(errors="replace")) + (" …" if len(text) > 40 else "")
