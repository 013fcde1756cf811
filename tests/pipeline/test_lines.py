"""What is kept for each stream: nothing is forgotten while it is on its way, and the bytes add up."""

from __future__ import annotations

from fluent_plugin_amp.model import Delivery
from fluent_plugin_amp.pipeline.lines import Lines
from fluent_plugin_amp.pipeline.transform import Transform
from tests.ledgers import FakeLedger


def delivery(body: bytes = b"x") -> Delivery:
    """One of emea."""
    return Delivery("emea", FakeLedger(), 1, body)


def test_a_stream_goes_on_with_another_transform() -> None:
    """What was counted and held stays."""
    lines = Lines({"emea": Transform("emea")})
    lines.counters("emea").received = 7
    lines.open("emea", Transform("emea", tag="other"))
    lines.open("apjc", Transform("apjc"))
    assert lines.counters("emea").received == 7
    assert lines.line_of("emea").transform.tag == "other"
    assert lines.counters("apjc").received == 0


def test_a_stream_that_has_gone_is_forgotten_when_nothing_of_it_is_on_its_way() -> None:
    """Neither bytes nor a first copy."""
    lines = Lines({"emea": Transform("emea")})
    line, first = lines.line_of("emea"), delivery()
    lines.hold(line, first, 100)
    assert not lines.close("emea")
    line.in_flight[first.digest] = first
    lines.hold(line, first, 0)
    assert not lines.close("emea")
    lines.release(line, first)
    assert lines.close("emea")
    assert lines.lines == {}


def test_a_stream_that_is_configured_no_more_has_a_line_when_it_needs_one() -> None:
    """A kept dead letter of it, or a detection that is open, goes the way of every event."""
    lines = Lines({})
    assert lines.line_of("gone") is lines.line_of("gone")
    assert lines.line_of("gone").transform == Transform("gone")


def test_bytes_are_those_of_all_streams() -> None:
    """A delivery that takes more, less or nothing changes them by the difference."""
    lines = Lines({"emea": Transform("emea"), "apjc": Transform("apjc")})
    one, other = delivery(), delivery()
    for held in (10, 30, 20):
        lines.hold(lines.line_of("emea"), one, held)
        assert (lines.held_bytes("emea"), lines.total_held_bytes) == (held, held)
    lines.hold(lines.line_of("apjc"), other, 5)
    assert (lines.held_bytes("emea"), lines.held_bytes("apjc"), lines.total_held_bytes) == (20, 5, 25)
    lines.release(lines.line_of("emea"), one)
    assert (lines.held_bytes("emea"), lines.total_held_bytes) == (0, 5)


def test_a_copy_is_no_first_copy() -> None:
    """Its end leaves the first one on its way."""
    lines = Lines({"emea": Transform("emea")})
    line, first, copy = lines.line_of("emea"), delivery(), delivery()
    assert first.digest == copy.digest
    line.in_flight[first.digest] = first
    lines.no_longer_in_flight(line, copy)
    assert line.in_flight == {first.digest: first}
    lines.no_longer_in_flight(line, first)
    assert line.in_flight == {}
