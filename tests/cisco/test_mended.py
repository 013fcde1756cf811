"""JSON in which texts are broken."""

from __future__ import annotations

import msgspec
import pytest

from fluent_plugin_amp.cisco import mended as module
from fluent_plugin_amp.cisco.mended import decode_mended, mended

decode = msgspec.json.Decoder(list[str]).decode


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


@pytest.mark.parametrize("body", [b"", b"<html>", b'["a"', b"[7]", b'["\xff"'])
def test_what_is_no_json_raises_what_it_would(body: bytes) -> None:
    """Texts are mended, brackets are not."""
    with pytest.raises(msgspec.DecodeError):
        decode_mended(decode, body)


def test_the_work_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The event loop waits for it."""
    monkeypatch.setattr(module, "MAX_PLACES", 2)
    monkeypatch.setattr(module, "MAX_BYTES", 20)
    assert mended(rb"\ud800" * 3) == rb"\ufffd\ufffd\ud800"
    assert mended(b"\xff") == "\ufffd".encode()
    assert mended(b"\xff" * 21) == b"\xff" * 21
