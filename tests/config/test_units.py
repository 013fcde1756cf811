from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fluent_plugin_amp.config.units import MIB, Duration, Quantity, Size, Whole

DURATION = Duration("0s")
SIZE = Size("0B")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("250ms", 0.25),
        ("10s", 10),
        ("5m", 300),
        ("1.5h", 5400),
        ("2d", 172800),
        ("7", 7),
        (7, 7),
        (0.5, 0.5),
        (" 3 s ", 3),
    ],
)
def test_durations(text: object, seconds: float) -> None:
    """Each unit is read, a bare number counts seconds, and white space does not matter."""
    assert DURATION.check(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("16KiB", 16384),
        ("1MiB", MIB),
        ("1GiB", 1024 * MIB),
        ("0.5MiB", MIB // 2),
        ("2kB", 2000),
        ("2kb", 2000),
        ("3 MB", 3_000_000),
        ("1GB", 10**9),
        ("12B", 12),
        ("12", 12),
        (12, 12),
    ],
)
def test_sizes(text: object, size: int) -> None:
    """Each unit is read in any case, a bare number counts bytes, and the result is a whole number."""
    assert SIZE.check(text) == size
    assert isinstance(SIZE.check(text), int)


@pytest.mark.parametrize(
    "value", ["", "s", "10 parsecs", "1h30m", "-5s", "1e3", "5M", True, None, [], float("nan"), "٣s"]
)
def test_no_duration(value: object) -> None:
    """What is no duration is refused with an example of one."""
    with pytest.raises(ValueError, match="must be a duration, such as 250ms"):
        DURATION.check(value)


@pytest.mark.parametrize("value", ["", "MiB", "1m", "8k", "1TiB", "-1KiB", False, None, {}, float("inf")])
def test_no_size(value: object) -> None:
    """What is no size is refused, Fluentd's `8k` and `1m` too: they would be a guess."""
    with pytest.raises(ValueError, match="must be a size, such as 64KiB"):
        SIZE.check(value)


@pytest.mark.parametrize("value", ["", "x", "1.0", 1.0, True, None, "12 13", "0x10"])
def test_no_whole_number(value: object) -> None:
    """Truth values, fractions and texts are no whole numbers."""
    with pytest.raises(ValueError, match="must be a whole number"):
        Whole("1").check(value)


def test_digits_are_a_number() -> None:
    """A variable's value is always a text: its digits count."""
    assert Whole("1", "65535").check("24224") == 24224


@pytest.mark.parametrize(
    ("quantity", "value", "message"),
    [
        (Duration("1s", "10m"), "999ms", "must be at least 1s"),
        (Duration("1s", "10m", why="or else"), 601, "must be at most 10m: or else"),
        (Duration("1s"), -1, "must be at least 1s"),
        (Size("16KiB", "64MiB"), "65MiB", "must be at most 64MiB"),
        (Whole("1", "64"), 65, "must be at most 64"),
        (Whole("1", "64"), "0", "must be at least 1"),
    ],
)
def test_range(quantity: Quantity, value: object, message: str) -> None:
    """What is out of range is refused in the units of the one who wrote it, with the reason."""
    with pytest.raises(ValueError, match=f"^{message}$"):
        quantity.check(value)


def test_bounds_belong_to_the_range() -> None:
    """Both ends of a range may be used."""
    quantity = Duration("1s", "10m")
    assert [quantity.check("1s"), quantity.check("10m")] == [1, 600]


def test_word_instead_of_a_number() -> None:
    """A word stands in place of the number where it is allowed, and a refusal says so."""
    quantity = Whole("1", word="auto")
    assert quantity.check("auto") == "auto"
    with pytest.raises(ValueError, match="must be `auto` or a whole number"):
        quantity.check("automatic")
    with pytest.raises(ValueError, match="must be a whole number"):
        Whole("1").check("auto")


@pytest.mark.parametrize(
    ("quantity", "number", "text"),
    [
        (DURATION, 600.0, "10m"),
        (DURATION, 90.0, "90s"),
        (DURATION, 0.25, "250ms"),
        (DURATION, 0.0, "0s"),
        (SIZE, MIB, "1MiB"),
        (SIZE, 1000, "1000B"),
        (SIZE, 0, "0B"),
        (Whole("0"), 7, "7"),
    ],
)
def test_writing(quantity: Quantity, number: float, text: str) -> None:
    """Numbers are written in the largest unit that fits."""
    assert quantity.write(number) == text


@settings(deadline=None)
@given(st.integers(0, 10**9))
def test_what_is_written_can_be_read(number: int) -> None:
    """Reading undoes writing."""
    assert SIZE.read(SIZE.write(number)) == number
    assert DURATION.read(DURATION.write(number / 1000)) == pytest.approx(number / 1000)
