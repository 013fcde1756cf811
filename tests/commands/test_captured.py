"""Captured events are found in every form that people have them in, and nothing else is taken for one."""

from __future__ import annotations

import errno
import io
import json
import os
import re
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fluent_plugin_amp.commands import captured
from fluent_plugin_amp.commands.errors import CapturedFileUnusable

EVENTS: list[dict[str, Any]] = [
    {
        "id": number,
        "event_type": 'a "quoted" {name} [x]\\',
        "computer": {"data": [{"id": 1}], "x": [[], [{}]]},
        "ü": "\N{GRINNING FACE}",
    }
    for number in range(5)
]
ANSWER = {"version": "v1.2.0", "metadata": {"links": {"self": "x"}, "results": {"total": 5}}, "data": EVENTS}


class Slow(io.BytesIO):
    """Gives little at a time."""

    step = 1

    def read(self, size: int | None = -1) -> bytes:
        """So much at most."""
        return super().read(self.step)


def found_in(text: str | bytes, step: int | None = None) -> list[Any]:
    """The events, decoded."""
    data = text if isinstance(text, bytes) else text.encode()
    file = io.BytesIO(data)
    if step is not None:
        file = Slow(data)
        file.step = step
    return [json.loads(body) for body in captured.events(file, "file")]


def pretty(value: Any) -> str:
    """On many lines."""
    return json.dumps(value, indent=4, ensure_ascii=False)


FORMS = {
    "lines": "\n".join(map(json.dumps, EVENTS)),
    "lines with blank ones": "\n\n  " + "\r\n\r\n".join(map(json.dumps, EVENTS)) + "\n\n",
    "lines after a mark": "\ufeff" + "\n".join(map(json.dumps, EVENTS)),
    "an array": json.dumps(EVENTS),
    "an array, one a line": "[\n" + ",\n".join(map(json.dumps, EVENTS)) + "\n]\n",
    "an array, pretty": pretty(EVENTS),
    "arrays": json.dumps(EVENTS[:2]) + "\n" + pretty(EVENTS[2:]),
    "an answer": json.dumps(ANSWER),
    "an answer, pretty": pretty(ANSWER),
    "an answer that begins with its data": pretty(dict(reversed(ANSWER.items()))),
    "answers": "\n".join(json.dumps({**ANSWER, "data": [event]}) for event in EVENTS),
    "answers, pretty": "\n".join(pretty({**ANSWER, "data": EVENTS[at : at + 2]}) for at in (0, 2, 4)),
    "objects, pretty": "\n".join(map(pretty, EVENTS)),
    "objects, pretty, with commas": ",\n".join(map(pretty, EVENTS)),
    "received": "\n".join(f"Received {json.dumps(event)}" for event in EVENTS),
    "received, pretty": "\n".join(f"Received {pretty(event)}" for event in EVENTS),
    "Python's bytes": " [*] Waiting for messages. To exit press CTRL+C\n"
    + "\n".join(f" [x] a.b.c:{json.dumps(event, ensure_ascii=False).encode()!r}" for event in EVENTS),
    "headers": "\n".join(
        f"exchange: events_api_stream\nrouting_key: a.b.{number}\nheaders: {{'CC': ['a.b']}}\n"
        f'properties: {{"headers": {{"CC": ["a.b.{{c}}"]}}}}\n\n{pretty(event)}\n---'
        for number, event in enumerate(EVENTS)
    ),
    "Python's objects": "\n".join(
        f"<Basic.Deliver(['tag={number}'])> <BasicProperties(['headers={{}}'])> {json.dumps(event).encode()!r}"
        for number, event in enumerate(EVENTS)
    ),
}


@pytest.mark.parametrize("step", [None, 1, 7, 1000])
@pytest.mark.parametrize("form", FORMS)
def test_each_form_gives_the_same_events(form: str, step: int | None) -> None:
    """However the file is cut into pieces."""
    assert found_in(FORMS[form], step) == EVENTS


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.dictionaries(st.sampled_from(["a", "data", "version", '"', "{"]), JSON), max_size=4),
    st.sampled_from([None, 2]),
    st.integers(1, 9),
)
def test_any_events_are_found_again(made: list[dict[str, Any]], indent: int | None, step: int) -> None:
    """Whatever is in them, in an array, in an answer and one behind the other."""
    events = [{"id": 1, **event} for event in made]
    for value in (events, {"version": "v1", "data": events, "more": events}):
        assert found_in(json.dumps(value, indent=indent), step) == events
    assert found_in("\n".join(json.dumps(event, indent=indent) for event in events), step) == events


STDOUT = '{"time":"2024-01-31T23:59:59.000000007Z","tag":"edr.cisco.amp.events"'
"""What `run --stdout json` puts in front of a record, as golden bytes of tests/sink/test_stdout.py have it."""


def test_what_standard_output_put_in_front_is_left_out() -> None:
    """The rest of the line stays to the byte; an event's own fields of these names, or of another form, stay."""
    lines = [f'{STDOUT},"id":6159258594551267593,"x":1e2}}', f"{STDOUT}}}", '{"time":1,"tag":"own","id":2}']
    expected = [b'{"id":6159258594551267593,"x":1e2}', b"{}", lines[2].encode()]
    assert list(captured.events(io.BytesIO("\n".join(lines).encode()), "file")) == expected
    assert captured.one_event(io.BytesIO(lines[0].encode()), "file") == expected[0]


def test_a_line_that_is_no_event_is_handed_on() -> None:
    """It becomes a dead letter, as it would from a broker: the lines before it were events."""
    lines = [b'{"id": 1}', b"no JSON", b"[1]", b'{"id": 2']
    assert list(captured.events(io.BytesIO(b"\n".join(lines)), "file")) == lines


def test_a_file_with_nothing_in_it() -> None:
    """Has no events."""
    for text in ("", "\n \n", "\ufeff", "[]", "[\n]\n", '{"version": "v1", "data": []}'):
        assert found_in(text) == []


OTHER: dict[str, str | bytes] = {
    "words": "hello\nworld\n" * 50,
    "a configuration": "streams:\n  - name: emea\n" * 60,
    "numbers": "1\n2\n",
    "an array of numbers": "[1, 2, 3]",
    "an array of arrays": "[[]]",
    "an array of texts": '["a", "b"]',
    "HTML": "<!DOCTYPE html>\n<html><body>{}</body></html>\n" * 60,
    "an error of the API": '{"version": "v1.2.0", "data": {}, "errors": [{"error_code": 401}]}',
    "CSV": "id,event_type,date\n1,x,2020\n" * 60,
    "a log": "2026-11-22T05:35:14Z info started {not an event}\n" * 200,
    "UTF-16": '{"id": 1}'.encode("utf-16"),
    "gzip": b"\x1f\x8b\x08\x00garbage",
    "binary": bytes(range(256)),
    "JavaScript": "{id: 1}\n",
    "a bracket": "}",
}


@pytest.mark.parametrize("name", OTHER)
def test_anything_else_is_an_error_and_no_event(name: str) -> None:
    """Told with the file's name, before anything is sent."""
    text = OTHER[name]
    data = text if isinstance(text, bytes) else text.encode()
    with pytest.raises(CapturedFileUnusable, match=r"^file"):
        next(captured.events(io.BytesIO(data), "file"))


@pytest.mark.parametrize("form", ["an array, pretty", "an answer", "objects, pretty", "received, pretty"])
def test_a_file_that_was_cut_off_is_told(form: str) -> None:
    """What is whole before the end is handed out first."""
    text = FORMS[form].encode()
    bodies = captured.events(io.BytesIO(text[: text.rindex(b'"event_type"')]), "file")
    assert [json.loads(next(bodies)) for _ in range(4)] == EVENTS[:4]
    with pytest.raises(CapturedFileUnusable, match="in the middle of an event"):
        next(bodies)


def test_what_follows_an_array_must_be_events() -> None:
    """Not words."""
    with pytest.raises(CapturedFileUnusable, match="'words'"):
        found_in(json.dumps(EVENTS) + "words")


@pytest.mark.parametrize("form", ["[{", '{"id": 1,\n', "Received {", '{"id": 1}\n'])
def test_what_is_held_is_bounded(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An event without an end is given up at the limit."""
    monkeypatch.setattr(captured, "MAX_EVENT_BYTES", 100_000)
    monkeypatch.setattr(captured, "_READ_BYTES", 1000)
    file = io.BytesIO(form.encode() + b'"' + b"x" * 1_000_000)
    with pytest.raises(CapturedFileUnusable, match="longer than 100000 bytes"):
        list(captured.events(file, "file"))
    assert file.tell() <= 210_000


def test_a_line_of_nothing_but_beginnings_is_looked_at_once() -> None:
    """Whoever tries an end for each beginning never comes to the end of such a line."""
    with pytest.raises(CapturedFileUnusable, match="no event in the first"):
        found_in("Received " + "'{" * (1 << 21) + "x")


PRINTED = re.compile(rb"""b?('\{.*\}(\\n)?'|"\{.*\}(\\n)?")""")
"""What Python prints of bytes and text that hold an object: in plain words, but slow."""


@given(st.lists(st.sampled_from(["'{", '"{', "}'", '}"', "}\\n'", '}\\n"', "b", "'", "{", "}", "x"])))
def test_what_python_prints_is_found_from_the_first_beginning_to_the_last_end(parts: list[str]) -> None:
    """As the pattern finds it."""
    line = "".join(parts).encode()
    found = PRINTED.search(line)
    assert captured._python_literal(line) == (found[0] if found else b"")


def test_one_event_is_read_up_to_the_limit_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """For `explain`: a device that never ends is given up."""
    monkeypatch.setattr(captured, "MAX_EVENT_BYTES", 10)
    assert captured.one_event(io.BytesIO(b' {"id": 1}'), "file") == b'{"id": 1}'
    file = io.BytesIO(b"x" * 100)
    with pytest.raises(CapturedFileUnusable, match="file: longer than 10 bytes"):
        captured.one_event(file, "file")
    assert file.tell() == 11


class Endless(io.BytesIO):
    """An array that never ends; counts what was read."""

    size = 0

    def readline(self, size: int | None = -1) -> bytes:
        """One element, the first after a bracket."""
        piece = (b"" if self.size else b"[") + json.dumps(EVENTS[0]).encode() + b",\n"
        self.size += len(piece)
        return piece

    read = readline


@pytest.mark.parametrize("begins", [b"", b'{"id": 1}\n', b"["])
def test_a_file_that_cannot_be_read_to_its_end(begins: bytes) -> None:
    """Of a broken disk, or a network that went away: no bug of ours."""

    class Broken(io.RawIOBase):
        """Has some bytes, and then an error."""

        left = begins

        def readable(self) -> bool:
            return True

        def readinto(self, buffer: Any) -> int:
            data, self.left = self.left, b""
            if not data:
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            buffer[: len(data)] = data
            return len(data)

    for read in (captured.events, captured.one_event):
        with pytest.raises(CapturedFileUnusable, match=r"^f\.ndjson.*: Input/output error$"):
            list(read(io.BufferedReader(Broken()), "f.ndjson"))


def test_an_array_is_not_read_to_its_end_first() -> None:
    """A file may be larger than memory."""
    file = Endless()
    bodies = captured.events(file, "file")
    for _ in range(1000):
        next(bodies)
    assert file.size <= 1002 * (len(json.dumps(EVENTS[0])) + 2)


class Counting:
    """The pattern; counts the bytes that are given to the search."""

    def __init__(self) -> None:
        self.pattern = captured._TOKEN
        self.searched = 0

    def finditer(self, text: bytes, at: int) -> Iterator[Any]:
        """See `re`."""
        self.searched += len(text) - at
        return self.pattern.finditer(text, at)


def test_a_long_event_is_not_looked_at_again_and_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """The work is near-linear in its bytes."""
    counting = Counting()
    monkeypatch.setattr(captured, "_READ_BYTES", 1000)
    monkeypatch.setattr(captured, "_TOKEN", counting)
    event = {"id": 1, "a": "x" * 4_000_000}
    assert found_in("[\n" + json.dumps(event) + "]") == [event]
    assert counting.searched < 4 * 4_000_000
