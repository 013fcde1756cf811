"""The form of a hash."""

from __future__ import annotations

import pytest

from fluent_plugin_amp.hashes import is_sha256

SHA256 = "0123456789abcdef" * 4


@pytest.mark.parametrize("text", [SHA256, SHA256.upper(), SHA256[:32] + SHA256[32:].upper()])
def test_a_sha256_has_64_hexadecimal_digits(text: str) -> None:
    """In either case."""
    assert is_sha256(text)


@pytest.mark.parametrize(
    "text", ["", SHA256[1:], SHA256 + "0", SHA256 + "\n", " " + SHA256[1:], "g" + SHA256[1:], "\u0660" * 64]
)
def test_nothing_else_is_one(text: str) -> None:
    """Neither a longer text in which one stands, nor digits of another script."""
    assert not is_sha256(text)
