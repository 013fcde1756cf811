"""Bodies unpacked within bounds."""

from __future__ import annotations

import contextlib
import gzip

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fluent_plugin_amp.cisco.unpacking import NotUnpacked, Unpacking

BODY = b'{"data": []}' * 50
PACKED = gzip.compress(BODY, mtime=0)  # without a time, for the names of the tests are made from it


def unpack(parts: list[bytes], *codings: str, max_bytes: int = 10_000) -> bytes:
    """The body that arrives in these parts."""
    unpacking = Unpacking(codings, max_bytes=max_bytes)
    for part in parts:
        unpacking.take(part)
    return unpacking.end()


@pytest.mark.parametrize("codings", [(), ("",), ("identity",), ("Identity, ",)])
def test_what_is_not_packed_is_taken_as_it_is(codings: tuple[str, ...]) -> None:
    """Without a coding, or with one that is none."""
    assert unpack([BODY[:7], BODY[7:]], *codings) == BODY


@given(st.integers(0, len(PACKED)), st.sampled_from(["gzip", " GZIP ", "x-gzip", "identity, gzip"]))
def test_gzip_is_unpacked_wherever_it_is_cut(cut: int, coding: str) -> None:
    """Part by part, as it arrives."""
    assert unpack([PACKED[:cut], PACKED[cut:]], coding) == BODY
    assert unpack([bytes([byte]) for byte in PACKED], coding) == BODY


@pytest.mark.parametrize(
    ("codings", "said"),
    [
        (("gzip, gzip",), "is compressed 2 times"),
        (("gzip", "identity", "gzip"), "is compressed 2 times"),
        (("gzip,br,gzip",), "is compressed 3 times"),
        (("br",), "is compressed as 'br', which was not asked for"),
        (("deflate",), "'deflate'"),
        (("x" * 1000,), "'x{40}'"),
    ],
)
def test_what_was_not_asked_for_is_refused_unread(codings: tuple[str, ...], said: str) -> None:
    """Codings on top of each other, and those that the client does not take."""
    with pytest.raises(NotUnpacked, match=said):
        Unpacking(codings, max_bytes=10)


@pytest.mark.parametrize(
    ("packed", "said"),
    [
        (b"no gzip", "cannot be unpacked$"),
        (PACKED[:-9], "its end is missing"),
        (PACKED[:-1] + b"x", "cannot be unpacked"),
        (PACKED * 2, "something follows"),
        (PACKED + b"x", "something follows"),
    ],
)
def test_what_is_broken_is_refused(packed: bytes, said: str) -> None:
    """Half an answer is none."""
    with pytest.raises(NotUnpacked, match=said):
        unpack([packed], "gzip")


def test_an_empty_body_is_empty_however_it_is_packed() -> None:
    """As after 204."""
    assert unpack([], "gzip") == b""


@pytest.mark.parametrize("coding", ["gzip", "identity"])
def test_no_more_is_held_than_the_limit(coding: str) -> None:
    """A limit of exactly the body is enough; one byte less is not, and little more is ever made of it."""
    parts = [PACKED] if coding == "gzip" else [BODY]
    assert unpack(parts, coding, max_bytes=len(BODY)) == BODY
    with pytest.raises(NotUnpacked, match="is too large"):
        unpack(parts, coding, max_bytes=len(BODY) - 1)
    unpacking = Unpacking(["gzip"], max_bytes=1000)
    with pytest.raises(NotUnpacked, match="is too large"):
        unpacking.take(gzip.compress(b" " * (16 << 20)))
    assert len(unpacking._body) == 1001


@pytest.mark.parametrize("coding", ["gzip", "identity"])
def test_no_more_values_are_taken_than_the_limit(coding: str) -> None:
    """Each takes memory when it is decoded, be it as short as it may."""
    body = b'[[],[],{"a":{}},"' + b"x" * 100 + b'"]'
    parts = [gzip.compress(body)] if coding == "gzip" else [body[:7], body[7:]]
    for max_values in (8, 7):
        unpacking = Unpacking([coding], max_bytes=1000, max_values=max_values)
        with contextlib.nullcontext() if max_values == 8 else pytest.raises(NotUnpacked, match="more than 7 values"):
            for part in parts:
                unpacking.take(part)
            assert unpacking.end() == body


def test_a_body_that_grows_while_nothing_comes_out_is_refused() -> None:
    """Empty blocks without end unpack to nothing."""
    unpacking = Unpacking(["gzip"], max_bytes=1000)
    unpacking.take(PACKED[:10])
    unpacking.take(b"\0\0\0\xff\xff" * 190)
    with pytest.raises(NotUnpacked, match="is too large"):
        unpacking.take(b"\0\0\0\xff\xff" * 10)
    assert unpacking._body == b""


@given(st.lists(st.binary(max_size=50), max_size=5), st.lists(st.sampled_from(["gzip", "br", "", "identity"])))
def test_nothing_is_too_strange(parts: list[bytes], codings: list[str]) -> None:
    """Whatever arrives: a body, or the error."""
    with contextlib.suppress(NotUnpacked):
        assert len(unpack(parts, *codings, max_bytes=100)) <= 100
