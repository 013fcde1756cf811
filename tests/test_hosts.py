from __future__ import annotations

import pytest

from fluent_plugin_amp.hosts import is_address, is_loopback


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("localhost", True),
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("0.0.0.0", False),
        ("::", False),
        ("192.0.2.1", False),
        ("localhost.example.com", False),
        ("[::1]", False),
        ("", False),
    ],
)
def test_loopback(host: str, expected: bool) -> None:
    """By its one name and its addresses; no other name is looked up."""
    assert is_loopback(host) is expected


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("192.0.2.1", True),
        ("0.10.255.100", True),
        ("192.0.2.256", False),
        ("192.0.2.01", False),
        ("192.0.2.1\n", False),
        ("192.0.2.1.1", False),
        ("192.0.2.\u0661", False),
        ("2001:db8::1", True),
        ("[2001:db8::1]", False),
        ("localhost", False),
        ("192.0.2", False),
        ("", False),
    ],
)
def test_address(host: str, expected: bool) -> None:
    """Of either version; a name is none, and brackets belong to a URL."""
    assert is_address(host) is expected
