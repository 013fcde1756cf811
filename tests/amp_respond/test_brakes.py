"""Whether an action is shown, asked about, or done."""

from __future__ import annotations

import pytest

from fluent_plugin_amp.amp_respond.brakes import Brakes, Way
from fluent_plugin_amp.amp_respond.errors import TooMany
from fluent_plugin_amp.errors import UsageError


@pytest.mark.parametrize(
    ("brakes", "targets", "named", "way"),
    [
        (Brakes(), 1, True, "ask"),
        (Brakes(), 1, False, "show"),
        (Brakes(), 2, True, "show"),
        (Brakes(yes=True), 1, True, "do"),
        (Brakes(yes=True), 10, False, "do"),
        (Brakes(yes=True), 11, True, "type"),
        (Brakes(yes=True, count=11), 11, True, "do"),
        (Brakes(yes=True, dry_run=True), 1, True, "show"),
        (Brakes(dry_run=True), 26, True, "show"),
        (Brakes(yes=True, max=40, count=26), 26, False, "do"),
    ],
)
def test_the_table(brakes: Brakes, targets: int, named: bool, way: Way) -> None:
    """One that was named is asked about, several are shown, ten are done with --yes, more need their number."""
    assert brakes.way(targets, named=named) == way


@pytest.mark.parametrize(
    ("brakes", "targets", "error"),
    [
        (Brakes(yes=True), 26, TooMany),
        (Brakes(), 26, TooMany),
        (Brakes(yes=True, count=1), 2, TooMany),
        (Brakes(yes=True, count=3), 2, TooMany),
        (Brakes(yes=True), 0, UsageError),
    ],
)
def test_what_is_refused(brakes: Brakes, targets: int, error: type[Exception]) -> None:
    """More than --max, another number than --count, and nothing."""
    with pytest.raises(error):
        brakes.way(targets)


def test_so_many_names_are_not_looked_up() -> None:
    """Each would be a request; what is only shown may be any number."""
    with pytest.raises(TooMany, match="26 names are given, --max allows 25"):
        Brakes().refuse_more(26)
    Brakes().refuse_more(25)
    Brakes(dry_run=True).refuse_more(1000)
