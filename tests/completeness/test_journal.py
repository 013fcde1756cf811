from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest

from fluent_plugin_amp.completeness.journal import Journal, decode
from fluent_plugin_amp.completeness.record import HOUR_S, Figures
from fluent_plugin_amp.completeness.schedule import BACK_S, LONGEST_S, LOST_S, Due, due, first_hour
from tests.completeness.chains import BEGIN, EMEA, KEY, clean

NOW = BEGIN + 3 * HOUR_S
FIRST = Due(BEGIN, NOW)


def test_the_chain_advances_when_a_server_has_the_record() -> None:
    """Not before: what is under way stays the same."""
    journal = Journal(BEGIN, BEGIN)
    assert journal.note(EMEA, FIRST, clean(), NOW, KEY)
    assert journal.under_way is not None
    assert (journal.link.sequence, journal.hours) == (0, {})
    under_way = journal.under_way
    journal.acknowledged(NOW)
    assert journal.link == under_way.link
    assert journal.hours == {BEGIN: under_way.looked}
    assert journal.under_way is None
    assert journal.note(EMEA, Due(BEGIN + HOUR_S, NOW), clean(), NOW, KEY)
    under_way, before = journal.under_way, under_way
    assert under_way is not None
    assert f'"previous":"{before.link.hash}"' in under_way.body
    assert '"sequence":2' in under_way.body


def test_what_is_kept_is_the_same_again() -> None:
    """To the byte, the record under way included."""
    journal = Journal.new(NOW)
    journal.note(EMEA, FIRST, Figures(in_cloud=3, missing=1, not_known=0), NOW, None)
    journal.acknowledged(NOW)
    journal.note(EMEA, Due(BEGIN + HOUR_S, NOW), clean(), NOW, KEY)
    again = decode(journal.encode())
    assert again == journal
    assert again.encode() == journal.encode()
    with pytest.raises(ValueError, match="truncated"):
        decode(b"{")


def test_another_look_that_finds_the_same_is_no_record() -> None:
    """But the hour was looked at, and is not due again at once."""
    journal = Journal(BEGIN, BEGIN)
    missing = Figures(in_cloud=3, missing=1, not_known=0)
    journal.note(EMEA, FIRST, missing, NOW, KEY)
    journal.acknowledged(NOW)
    later = BEGIN + 7 * HOUR_S
    (again,) = [each for each in due(journal.hours, BEGIN, later) if each.hour == BEGIN]
    assert not journal.note(EMEA, again, missing, later, KEY)
    assert [each for each in due(journal.hours, BEGIN, later) if each.hour == BEGIN] == []
    day = BEGIN + 25 * HOUR_S
    assert journal.note(EMEA, Due(BEGIN, day), clean(3), day, KEY)
    assert journal.under_way is not None
    assert journal.under_way.looked.revision == 2


def test_an_hour_that_is_as_it_was_has_no_other_record() -> None:
    """Only a clean one has a total to compare; noted, it is not due again at once."""
    journal, totalled = Journal(BEGIN, BEGIN), replace(clean(), cloud_total=7)
    assert journal.total_when_clean(FIRST) is None
    journal.note(EMEA, FIRST, totalled, NOW, KEY)
    assert journal.under_way is not None
    assert "cloud_total" not in journal.under_way.body
    journal.acknowledged(NOW)
    assert decode(journal.encode()).total_when_clean(FIRST) == 7
    day = BEGIN + 25 * HOUR_S
    (again,) = [each for each in due(journal.hours, BEGIN, day) if each.hour == BEGIN]
    journal.note_unchanged(again, day)
    assert journal.under_way is None
    assert [each for each in due(journal.hours, BEGIN, day) if each.hour == BEGIN] == []
    journal.note(EMEA, FIRST, Figures(in_cloud=7, missing=1, not_known=0, cloud_total=7), day, KEY)
    journal.acknowledged(day)
    assert journal.total_when_clean(FIRST) is None


def test_what_is_over_is_forgotten() -> None:
    """So that the journal does not grow: it has the hours of ten days."""
    journal = Journal(BEGIN, BEGIN)
    for number in range(400):
        now = BEGIN + (number + 3) * HOUR_S
        for each in list(due(journal.hours, journal.begins, now)):
            journal.note(EMEA, each, clean(), now, KEY)
            journal.acknowledged(now)
    assert len(journal.hours) <= LOST_S // HOUR_S
    assert journal.begins == BEGIN + (402 - LOST_S // HOUR_S) * HOUR_S
    assert journal.link.sequence == 400
    assert len(journal.encode()) < 30_000
    journal.acknowledged(BEGIN + 500 * HOUR_S)  # nothing is under way
    assert journal.link.sequence == 400


def test_up_to_where_each_hour_has_its_record() -> None:
    """The first hole counts, and what was missing at one look is remembered."""
    journal = Journal(BEGIN, BEGIN)
    assert journal.until == BEGIN
    for hour in (BEGIN, BEGIN + 2 * HOUR_S):
        journal.note(EMEA, Due(hour, NOW), Figures(in_cloud=3, missing=1, not_known=0), NOW, None)
        journal.acknowledged(NOW)
    assert journal.until == BEGIN + HOUR_S
    journal.note(EMEA, FIRST, clean(), NOW, None)
    journal.acknowledged(NOW)
    assert journal.hours[BEGIN].was_missing


def test_a_chain_of_a_clock_that_was_ahead_begins_anew() -> None:
    """With the nine days before, and what the state file knows; a clock that goes back an hour is none."""
    journal = Journal(BEGIN, BEGIN)
    journal.note(EMEA, FIRST, clean(), NOW, KEY)
    journal.acknowledged(NOW)
    assert not journal.is_off(NOW - HOUR_S)
    assert journal.is_off(NOW - HOUR_S - 1)
    assert Journal(BEGIN, 0).is_off(BEGIN - HOUR_S - 1)
    assert Journal(BEGIN - 2 * HOUR_S, BEGIN).is_off(BEGIN - HOUR_S - 1)
    now = BEGIN - 2 * HOUR_S
    assert journal.anew(now, "new") == Journal(first_hour(now - BACK_S), now, instance="new")
    assert journal.anew(NOW, "new").since == BEGIN
    assert decode(journal.anew(now, "new").encode()).instance == "new"


def test_no_hour_is_lost_to_a_clock_that_was_ahead_for_days() -> None:
    """All that can still be looked at are, and half a day is left to do it."""
    made = Journal(BEGIN + 30 * 24 * HOUR_S, BEGIN).anew(NOW, "new")
    again = [*due({}, made.begins, NOW + 12 * HOUR_S - HOUR_S)]
    assert not any(each.is_lost for each in again)
    assert len(again) > 9 * 24
    assert next(due({}, made.begins, NOW + 13 * HOUR_S)).is_lost


def test_a_chain_that_is_far_behind_begins_anew() -> None:
    """Else each hour since 1970 would have a record which says that it is lost; three months have one."""
    assert decode(b'{"begins":0,"since":0}').is_off(NOW)
    assert Journal(BEGIN, BEGIN).is_off(BEGIN + LONGEST_S + 1)
    assert not Journal(BEGIN, BEGIN).is_off(BEGIN + LONGEST_S)


def test_an_hour_that_is_none_is_none() -> None:
    """All hours of a chain would be."""
    with pytest.raises(ValueError, match="hour"):
        decode(b'{"begins":1700000001,"since":0}')


@pytest.mark.parametrize("row", [{"begins": -(10**18), "since": 0}, {"begins": 0, "since": 2**40}])
def test_a_journal_of_times_that_are_none_is_none(row: dict[str, int]) -> None:
    """Whatever wrote it: the hours since then would take all memory."""
    with pytest.raises(ValueError, match="time"):
        decode(msgspec.json.encode(row))
