"""Numbers of JSON."""

from __future__ import annotations

import msgspec
import pytest

from fluent_plugin_amp.numbers import float_of


@pytest.mark.parametrize("text", ["1e308", "-4.9e-324", "1e-400", "-0.0", "1E+5", "0.1", "123456789.0123456789"])
def test_a_number_is_what_msgspec_makes_of_it(text: str) -> None:
    """To the last bit."""
    decoded = msgspec.json.decode(text)
    assert (float_of(text), str(float_of(text))) == (decoded, str(decoded))


@pytest.mark.parametrize("text", ["1e309", "-1e309"])
def test_what_is_larger_than_any_float_is_refused(text: str) -> None:
    """As msgspec refuses it."""
    with pytest.raises(msgspec.ValidationError):
        float_of(text)
