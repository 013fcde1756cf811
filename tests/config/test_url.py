from __future__ import annotations

from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fluent_plugin_amp.config.url import BrokerUrl, take_credentials


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("amqps://h", ("amqps", "h", 443, "/")),
        ("amqp://h", ("amqp", "h", 5672, "/")),
        ("amqps://H.example:5671", ("amqps", "h.example", 5671, "/")),
        ("amqps://h/", ("amqps", "h", 443, "/")),
        ("amqps://h/%2F", ("amqps", "h", 443, "/")),
        ("amqps://h/a%2Fb%20c", ("amqps", "h", 443, "a/b c")),
        ("amqps://[::1]:5671/v", ("amqps", "::1", 5671, "v")),
    ],
)
def test_addresses(text: str, expected: tuple[str, str, int, str]) -> None:
    """Host, port and virtual host are read, with the defaults of each scheme."""
    url = BrokerUrl.parse(text)
    assert (url.scheme, url.host, url.port, url.vhost) == expected


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "must begin with amqps://"),
        ("https://hunter2", "must begin with amqps://"),
        ("hunter2:5671", "must begin with amqps://"),
        ("amqps://", "names no host"),
        ("amqps://:5671", "names no host"),
        ("amqps://h:hunter2", "no valid host and port"),
        ("amqps://h:70000", "no valid host and port"),
        ("amqps://h:0", "port 0"),
        ("amqps://[::1", "no valid host and port"),
        ("amqps://user@h", "contains a user: give `username` and `password`"),
        ("amqps://user:hunter2/x@h", "no valid host and port"),
        ("amqps://h/hunter2/b", "write %2F"),
        ("amqps://a..hunter2", "no part of a name is empty or longer than 63 bytes"),
        ("amqps://" + "hunter2" * 10, "no part of a name is empty or longer than 63 bytes"),
        ("amqps://h\0hunter2", "no part of a name"),
        ("amqps://h/" + "hunter2" * 50, "a virtual host of more than 255 bytes"),
        ("amqps://h?hunter2=10", r"takes no \?options"),
        ("amqps://h#hunter2", r"takes no \?options"),
    ],
)
def test_refusals(text: str, words: str) -> None:
    """What cannot be an address is refused without a word of it: it may hold a piece of a password."""
    with pytest.raises(ValueError, match=words) as refusal:
        BrokerUrl.parse(text)
    assert "hunter2" not in str(refusal.value)
    assert refusal.value.__cause__ is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("amqps://h/v", ("amqps://h/v", None, None)),
        ("amqps://u:p@h/v", ("amqps://h/v", "u", "p")),
        ("amqps://u@h", ("amqps://h", "u", None)),
        ("amqps://:p@h", ("amqps://h", None, "p")),
        ("amqps://u:@h", ("amqps://h", "u", None)),
        ("amqps://u:p@q@h", ("amqps://h", "u", "p@q")),
        ("amqps://h/a@b", ("amqps://h/a@b", None, None)),
        ("no url", ("no url", None, None)),
    ],
)
def test_credentials_are_taken_out(text: str, expected: tuple[str, str | None, str | None]) -> None:
    """User and password leave the url; what stands behind the host is none of them."""
    assert take_credentials(text) == expected


@settings(deadline=None)
@given(st.text(min_size=1), st.text(min_size=1))
def test_credentials_are_percent_decoded(user: str, password: str) -> None:
    """Any user and password can be written in a url."""
    url = f"amqps://{quote(user, safe='')}:{quote(password, safe='')}@h:5671"
    assert take_credentials(url) == ("amqps://h:5671", user, password)
