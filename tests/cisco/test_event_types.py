from __future__ import annotations

import pytest

from fluent_plugin_amp.cisco.errors import NameAbbreviated, NameAmbiguous, NameUnknown
from fluent_plugin_amp.cisco.event_types import catalogue, resolve


def test_catalogue() -> None:
    """Over a hundred kinds are known, ids beyond 2^31 among them, exact."""
    assert len(catalogue()) > 100
    assert catalogue().name_of(2164260880) == "Quarantine Failure"


@pytest.mark.parametrize(
    ("text", "event_type_id"),
    [
        ("Threat Detected", 1090519054),
        ("  threat   DETECTED ", 1090519054),
        ("Retrospective Detection", 553648147),
        ("Rootkit Detection", 1090519081),
        ("2164260880", 2164260880),
        (" 1003 ", 1003),
        ("4711", 4711),
    ],
)
def test_resolving(text: str, event_type_id: int) -> None:
    """Name, older name and id; an id that is not known is taken as it is."""
    assert resolve(text) == event_type_id


def test_a_beginning_that_fits_several() -> None:
    """A wrong guess would lose events: the candidates are listed instead."""
    with pytest.raises(NameAmbiguous, match=r"Threat Detected \(1090519054\)"):
        resolve("Threat Det")


@pytest.mark.parametrize("text", ["Rootkit", "all fault", "All Fault Cleare"])
def test_a_beginning_is_no_name(text: str) -> None:
    """Though it fits only one: a name that is new tomorrow could begin like it."""
    with pytest.raises(NameAbbreviated, match="only the beginning of a name; meant perhaps: "):
        resolve(text)


@pytest.mark.parametrize("text", ["all", "ALL", "Treat Detected", "", "-5", "٣"])
def test_an_unknown_name(text: str) -> None:
    """What fits nothing is an error."""
    with pytest.raises(NameUnknown):
        resolve(text)
