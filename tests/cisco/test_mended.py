"""JSON in which texts are broken, or numbers beyond reading."""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fluent_plugin_amp.cisco import mended as module
from fluent_plugin_amp.cisco.mended import MAX_DIGITS, decode_mended, mended
from fluent_plugin_amp.numbers import float_of

decode = msgspec.json.Decoder(list[str]).decode
decode_any = msgspec.json.Decoder(float_hook=float_of).decode


@pytest.mark.parametrize(
    ("body", "texts"),
    [
        (rb'["\ud800.exe", "\uDC00", "\udbff\ud83d\ude00"]', ["\ufffd.exe", "\ufffd", "\ufffd😀"]),
        (rb'["\ud83d\uDE00", "\\ud800", "\\\ud800", "\u00e9"]', ["😀", r"\ud800", "\\\ufffd", "é"]),
        (b'["\xff.exe", "\xed\xa0\x80", "\xc3\xa9"]', ["\ufffd.exe", "\ufffd" * 3, "é"]),
        (b'\xef\xbb\xbf["\xff"]', ["\ufffd"]),
        (b'\xef\xbb\xbf["a"]', ["a"]),
    ],
)
def test_what_is_no_character_is_mended(body: bytes, texts: list[str]) -> None:
    """And nothing else, a backslash before the letter u least of all."""
    assert decode_mended(decode, body) == texts


@pytest.mark.parametrize(
    ("number", "read"),
    [
        (b"7" * (MAX_DIGITS + 1), None),
        (b"-" + b"7" * MAX_DIGITS, None),
        (b"7" * MAX_DIGITS, int("7" * MAX_DIGITS)),
        (b"-" + b"7" * (MAX_DIGITS - 1), -int("7" * (MAX_DIGITS - 1))),
        (b"1e309", None),
        (b"-1E+309", None),
        (b"7" * 310 + b".5", None),
        (b"1e308", 1e308),
        (b"1e-4000", 0.0),
        (b'"' + b"7" * (MAX_DIGITS + 1) + b'"', "7" * (MAX_DIGITS + 1)),
        (rb'"\\\"1e309"', '\\"1e309'),
    ],
    ids=lambda value: repr(value)[:12],
)
def test_a_number_that_nobody_reads_is_null(number: bytes, read: object) -> None:
    """And nothing beside it is changed: no other number, and no text in which one stands."""
    assert decode_any(mended(b'{"a":' + number + b',"b":1.5}')) == {"a": read, "b": 1.5}
    assert decode_mended(decode_any, b"[1e400,7," + number + b"]") == [None, 7, read]


@pytest.mark.parametrize("body", [b"", b"<html>", b"[1e309-]", b'["a"', b"[7]", b'["\xff"'])
def test_what_is_no_json_raises_what_it_would(body: bytes) -> None:
    """Texts and numbers are mended, brackets are not."""
    with pytest.raises(msgspec.DecodeError):
        decode_mended(decode, body)


def test_the_work_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The event loop waits for it: of what is long, only surrogates are looked at."""
    monkeypatch.setattr(module, "MAX_PLACES", 2)
    monkeypatch.setattr(module, "MAX_BYTES", 20)
    assert mended(rb"\ud800" * 3) == rb"\ufffd\ufffd\ud800"
    assert mended(b"\xff") == "\ufffd".encode()
    assert mended(b"1e400," * 3) == b"null,null,1e400,"
    assert mended(b"\xff" * 21) == b"\xff" * 21
    assert mended(b"1e400," * 4) == b"1e400," * 4
    assert mended(b"1e400," * 3 + rb"\ud800") == b"1e400," * 3 + rb"\ufffd"


def test_backslashes_cost_no_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """A page of paths has hundreds of thousands, and perhaps one name with half a character behind them."""
    monkeypatch.setattr(module, "MAX_PLACES", 2)
    assert mended(rb'"C:\\Users\\all\\\ud800"') == rb'"C:\\Users\\all\\\ufffd"'


@given(st.lists(st.sampled_from([r"\\", r"\ud800", r"\uDC00", r"\"", r"\n", "ud800", "d8", "é"])).map("".join))
@example(r"\\ud800\uDC00")
def test_surrogates_are_found_as_a_reader_finds_them(escaped: str) -> None:
    """Whatever stands around them: only halves are replaced."""
    read = json.loads(f'"{escaped}"')
    whole = "".join("\ufffd" if "\ud800" <= each <= "\udfff" else each for each in read)
    assert json.loads(mended(f'"{escaped}"'.encode())) == whole
