from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fluent_plugin_amp.config.variables import expand, has_variable

ENVIRON = {"A": "alpha", "EMPTY": "", "ODD": "${A} $${ }"}


@pytest.mark.parametrize(
    ("text", "expanded"),
    [
        ("plain", "plain"),
        ("${A}", "alpha"),
        ("<${A}-${A}>", "<alpha-alpha>"),
        ("${NONE:-default: x}", "default: x"),
        ("${NONE:-}", ""),
        ("${EMPTY:-default}", "default"),
        ("${EMPTY}", ""),
        ("${A:-unused}", "alpha"),
        ("$${A}", "${A}"),
        ("$$${A}", "$${A}"),
        ("5$ $A $ $$ }", "5$ $A $ $$ }"),
        ("${ODD}", "${A} $${ }"),
    ],
)
def test_expansion(text: str, expanded: str) -> None:
    """Variables, defaults and the escape are replaced once; every other $ stands for itself."""
    assert expand(text, ENVIRON) == expanded


def test_every_missing_variable_is_named() -> None:
    """One text may lack several variables; all are said at once."""
    with pytest.raises(ValueError, match=r"the environment variables ONE and TWO are not set"):
        expand("${ONE} ${A} ${TWO}", ENVIRON)


@pytest.mark.parametrize("text", ["${", "${A", "${}", "${a-b}", "${1A}", "${A:x}", "${A:-${B}}", "hunter2${"])
def test_malformed_variables_are_refused(text: str) -> None:
    """A `${` that begins no variable is refused, without a word of the text, and the escape is explained."""
    with pytest.raises(ValueError, match=r"write `\$\$\{`$") as refusal:
        expand(text, ENVIRON)
    assert "hunter2" not in str(refusal.value)


@settings(deadline=None)
@given(st.text())
def test_any_value_comes_through(value: str) -> None:
    """A value is taken as it is, whatever it holds, and the escape writes any text."""
    assert expand("${V}", {"V": value}) == value
    assert expand(value.replace("${", "$${"), {}) == value


def test_has_variable() -> None:
    """An escaped variable is none."""
    assert has_variable("a${A}")
    assert not has_variable("a$${A}")
    assert not has_variable("a$A")
