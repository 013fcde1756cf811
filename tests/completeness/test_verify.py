from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import pytest

from fluent_plugin_amp.completeness import verify as module
from fluent_plugin_amp.completeness.record import HOUR_S, Figures, Origin, Record, moment, seal
from fluent_plugin_amp.completeness.verify import Mark, Report, verify
from tests.completeness.chains import BEGIN, KEY, Chain, clean, copied, two_days

END = BEGIN + 48 * HOUR_S
APAC = Origin("apac", "acme", "0.1.0", "b1946ac9")
OTHER = Origin("emea", "acme", "0.1.0", "00000000")


def check(
    records: list[Record], key: bytes | None = KEY, until: int | None = END, since: int | None = None
) -> Report:
    """What is found in them."""
    placed = [(f"line {number}", record) for number, record in enumerate(records, start=1)]
    return verify(placed, key=key, until=until, since=since)


def test_what_the_plugin_writes_is_good() -> None:
    """The calendar says of each hour what its last record says."""
    report = check(two_days())
    assert report.is_good
    assert report.notes == []
    (stream,) = report.streams
    assert stream.records == 49
    assert {(start - BEGIN) // HOUR_S: hour.mark for start, hour in stream.hours.items()} == {
        number: Mark.REPAIRED if number == 10 else Mark.CLEAN for number in range(48)
    }
    hour = stream.hours[BEGIN + 10 * HOUR_S]
    assert (hour.in_cloud, hour.delivered, hour.missing, hour.revision) == (110, 110, 0, 2)


def test_the_order_of_the_lines_does_not_matter() -> None:
    """A SIEM sorts as it likes."""
    records = two_days()
    assert check(records[::-1]).is_good


def test_a_record_that_comes_twice_is_one() -> None:
    """After a crash it is sent again, the same to the byte."""
    records = two_days()
    report = check([*records, *copied(records[5:8])])
    assert report.is_good
    assert (report.streams[0].records, report.streams[0].repeated) == (49, 3)


def test_streams_are_checked_apart() -> None:
    """Each has a chain of its own."""
    mixed = [record for both in zip(two_days(), two_days(APAC), strict=True) for record in both]
    report = check(mixed)
    assert report.is_good
    assert [stream.name for stream in report.streams] == ["apac", "emea"]


def test_a_new_state_file_is_told_and_no_fault() -> None:
    """The hours before it, that it looks at again, are judged by what the old one knew."""
    records = [record for record in two_days() if record["hour"] < moment(BEGIN + 24 * HOUR_S)]
    chain = Chain(OTHER)
    for hour in range(20, 48):
        chain.add(hour, clean(100 + hour) if hour >= 26 else Figures(in_cloud=100, missing=0, not_known=4))
    report = check([*records, *chain.records])
    assert report.is_good
    assert "new chain begins at 2025-11-28T20:00:00Z" in report.notes[0]
    marks = [hour.mark for hour in report.streams[0].hours.values()]
    assert marks[20:27] == [*[Mark.CLEAN] * 4, Mark.NOT_KNOWN, Mark.NOT_KNOWN, Mark.CLEAN]


@pytest.mark.parametrize(
    ("figures", "mark"),
    [
        (Figures(in_cloud=5, missing=2, not_known=0), Mark.MISSING),
        (Figures(in_cloud=5, missing=2, not_known=0, repaired=1), Mark.MISSING),
        (Figures(in_cloud=5, missing=2, not_known=0, repaired=2), Mark.REPAIRED),
        (Figures(in_cloud=5, missing=2, not_known=0, repaired=4), Mark.REPAIRED),
        (Figures(in_cloud=5, missing=0, not_known=1), Mark.NOT_KNOWN),
        (Figures(not_known_why="too late"), Mark.NO_ANSWER),
        (Figures(in_cloud=5, missing=0, not_known=0), Mark.CLEAN),
    ],
)
def test_each_hour_has_its_mark(figures: Figures, mark: Mark) -> None:
    """And what is missing is a fault, with its number."""
    chain = Chain()
    chain.add(0, figures)
    report = check(chain.records, until=None)
    assert report.streams[0].hours[BEGIN].mark is mark
    assert report.is_good is (mark not in (Mark.NO_ANSWER, Mark.MISSING))


# --- tamperings ------------------------------------------------------------------------------------------------


def changed(index: int, **fields: object) -> Callable[[list[Record]], list[Record]]:
    """A field of one record has another value."""

    def tamper(records: list[Record]) -> list[Record]:
        records[index].update(fields)
        return records

    return tamper


def rehashed(index: int, **fields: object) -> Callable[[list[Record]], list[Record]]:
    """The same, with a hash that fits, and no HMAC."""

    def tamper(records: list[Record]) -> list[Record]:
        records[index] = seal({**records[index], **fields}, None)
        return records

    return tamper


def without(first: int, count: int = 1) -> Callable[[list[Record]], list[Record]]:
    """Some records are gone."""

    def tamper(records: list[Record]) -> list[Record]:
        del records[first : first + count]
        return records

    return tamper


def joined_anew(records: list[Record], key: bytes | None = None) -> list[Record]:
    """All records sealed again, one behind the other: the best that can be done without the key."""
    records[0] = seal({**records[0], "sequence": 1, "previous": None}, key)
    for place, (before, _) in enumerate(pairwise(list(records)), start=1):
        before = records[place - 1]
        sequence = before["sequence"] + 1
        records[place] = seal({**records[place], "sequence": sequence, "previous": before["hash"]}, key)
    return records


def exchanged(records: list[Record]) -> list[Record]:
    """Two hours have each other's figures."""
    for name in ("in_cloud", "delivered"):
        records[3][name], records[4][name] = records[4][name], records[3][name]
    return records


def forked(records: list[Record]) -> list[Record]:
    """One record has a second face."""
    return [*records, seal({**records[5], "in_cloud": 1, "delivered": 1}, KEY)]


def beautified(records: list[Record]) -> list[Record]:
    """What was missing was never missing, and all hashes fit."""
    records[10].update(missing=0, delivered=110)
    return joined_anew(records)


def beautified_with_another_key(records: list[Record]) -> list[Record]:
    """The same, sealed by somebody with a key of his own."""
    records[10].update(missing=0, delivered=110)
    return joined_anew(records, b"another key of 16")


def shortened(records: list[Record]) -> list[Record]:
    """The record that tells of missing events is gone, its second look is the first, and all hashes fit."""
    del records[10]
    for record in records:
        record["revision"] = 1
    return joined_anew(records)


def _number(record: Record) -> Record:
    """The fields that say where a record stands in its chain."""
    return {name: record[name] for name in ("sequence", "previous")}


TAMPERINGS: dict[str, Callable[[list[Record]], list[Record]]] = {
    "1 a figure": changed(10, missing=0, delivered=110),
    "2 a figure and its hash": rehashed(10, missing=0, delivered=110),
    "3 a figure and all hashes": beautified,
    "4 the same with another key": beautified_with_another_key,
    "5 a record in the middle taken away": without(25),
    "6 the first record taken away": without(0),
    "7 the last record taken away": without(48),
    "8 a whole day taken away": without(12, 24),
    "9 the second look taken away": without(17),
    "10 the look that found something missing taken away, all hashes made to fit": shortened,
    "11 two hours exchanged": exchanged,
    "12 a second record with the same number": forked,
    "13 a gap taken out": changed(12, gaps=[]),
    "14 a gap made shorter": changed(
        12, gaps=[{"from": "2025-11-28T12:00:00Z", "to": "2025-11-28T12:00:01Z", "why": "no server"}]
    ),
    "15 the record of another hour": changed(7, hour="2025-11-28T08:00:00Z"),
    "16 moved to another stream": changed(7, stream="apac"),
    "17 of another instance": rehashed(7, plugin={"version": "0.1.0", "instance": "00000000"}),
    "18 the HMAC taken off": changed(7, hmac=None),
    "19 joined to another record": rehashed(7, previous="0" * 64),
    "20 another number": changed(7, sequence=70),
    "21 never late": changed(21, delayed_by=None),
    "22 another consumer hidden": changed(7, other_consumers=1),
    "23 a field taken out": changed(10, missing=None),
    "24 another format": changed(7, format=2),
    "25 everything taken away": without(0, 49),
    "26 the HMAC of another record": lambda records: changed(7, hmac=records[8]["hmac"])(records),
    "27 another version of the plugin": changed(7, plugin={"version": "0.2.0", "instance": "b1946ac9"}),
    "28 looked at in time": changed(20, looked_at="2025-11-28T23:00:00Z"),
    "29 the second look in the place of the first": lambda records: changed(10, **records[17])(records),
    "30 the last record replaced by the one before": lambda records: [*records[:-1], records[-2]],
    "31 two records with each other's number": lambda records: changed(8, **_number(records[7]))(
        changed(7, **_number(records[8]))(records)
    ),
}


@pytest.mark.parametrize("tampering", TAMPERINGS)
def test_every_tampering_is_found(tampering: str) -> None:
    """Whoever does it, and however well, without the key."""
    tampered = TAMPERINGS[tampering](copied(two_days()))
    placed = [(f"line {number}", record) for number, record in enumerate(tampered, start=1)]
    report = verify(placed, key=KEY, until=END, streams=["emea"])
    assert not report.is_good


NEED_THE_KEY = ("3", "4", "10", "18", "26")


@pytest.mark.parametrize("tampering", TAMPERINGS)
def test_without_the_key_what_was_not_made_to_fit_is_found(tampering: str) -> None:
    """Who can write all records anew, can change them unseen; and that is said."""
    tampered = TAMPERINGS[tampering](copied(two_days()))
    placed = [(f"line {number}", record) for number, record in enumerate(tampered, start=1)]
    report = verify(placed, until=END, streams=["emea"])
    assert report.is_good is (tampering.split()[0] in NEED_THE_KEY)
    assert "No key was given" in report.notes[-1]


def test_what_was_altered_is_marked_in_the_calendar() -> None:
    """The hour of the record, or that of the one that shows it."""
    altered = check(changed(10, missing=0)(copied(two_days()))).streams[0].hours
    assert altered[BEGIN + 10 * HOUR_S].mark is Mark.ALTERED
    gone = check(without(25)(copied(two_days()))).streams[0].hours
    assert gone[BEGIN + 24 * HOUR_S].mark is Mark.NO_RECORD
    only = check([{**two_days()[0], "in_cloud": 5}], until=None).streams[0].hours
    assert only[BEGIN].mark is Mark.ALTERED


# --- windows, odd records --------------------------------------------------------------------------------------


def test_a_window_of_a_chain_is_good_where_it_is_asked_for() -> None:
    """An export begins somewhere; then whoever checks says where."""
    later = two_days()[12:]
    assert "begins with the sequence 13" in check(later).problems[0].what
    report = check(later, since=BEGIN + 12 * HOUR_S)
    assert report.is_good
    assert min(report.streams[0].hours) == BEGIN + 10 * HOUR_S  # looked at again in the window
    assert len(report.streams[0].hours) == 37
    assert not check(later, since=BEGIN + 11 * HOUR_S).is_good
    assert "there is no record of this hour" in check(later, since=BEGIN + 11 * HOUR_S).problems[0].what


def test_hours_in_a_row_without_a_record_are_one_problem() -> None:
    """So the mistyped name of a stream is one line, and each hole another."""
    report = verify([], key=KEY, since=BEGIN, until=BEGIN + 72 * HOUR_S, streams=["us"])
    assert [(each.stream, each.where, each.what) for each in report.problems] == [
        ("us", "2025-11-28T00:00:00Z", "there is no record up to 2025-12-01T00:00:00Z (72 hours)")
    ]
    records = two_days()
    holes = check([*records[:3], *records[4:6], *records[8:]]).problems
    assert [each.what for each in holes if "there is no record" in each.what] == [
        "there is no record of this hour",
        "there is no record up to 2025-11-28T08:00:00Z (2 hours)",
    ]


def test_a_later_chain_begins_with_its_first_record_in_a_window_too() -> None:
    """What was cut off it could be the record that something is missing in an hour that the chain before has, too."""
    before, after = Chain(), Chain(OTHER)
    for hour in range(24):
        before.add(hour, clean())
    for hour in range(20, 48):
        figures = Figures(in_cloud=107, missing=7, not_known=0) if hour == 20 else clean()
        after.add(hour, figures, late_s=6 * HOUR_S)
    assert "7 of 107" in check(before.records + after.records, since=BEGIN).problems[0].what
    (problem,) = check(before.records + after.records[1:], since=BEGIN).problems
    assert "begins with the sequence 2" in problem.what
    assert check(before.records[5:] + before.records[5:], since=BEGIN + 5 * HOUR_S, until=None).is_good


def test_an_earlier_look_does_not_answer_for_what_came_later() -> None:
    """Of events that the cloud has had since, nobody knows."""
    before, after = Chain(), Chain(OTHER)
    before.add(0, clean(10))
    after.add(0, Figures(in_cloud=25, missing=0, not_known=25), late_s=HOUR_S)
    (hour,) = check(before.records + after.records, until=None).streams[0].hours.values()
    assert (hour.mark, hour.in_cloud, hour.not_known) == (Mark.NOT_KNOWN, 25, 25)


def test_all_hours_together_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two records are twenty years apart in a moment; some hundred streams of them would fill the memory."""
    monkeypatch.setattr(module, "MAX_ALL_HOURS", 100)
    records = [record for name in "abc" for record in two_days(Origin(name, "acme", "0.1.0", "b1946ac9"))]
    report = check(records)
    assert [len(stream.hours) for stream in report.streams] == [48, 48, 0]
    assert "more than 100 hours" in report.problems[0].what


def test_what_a_forged_record_says_is_bounded() -> None:
    """A name or an hour of many MiB is not kept for each problem."""
    long = "x" * 1_000_000
    forged = [seal({**two_days()[0], name: long}, None) for name in ("stream", "hour", "looked_at", "not_known_why")]
    forged.append({**two_days()[0], "hour": long, "format": long})
    forged.append({**two_days()[0], "hour": long})
    report = check(forged, key=None, until=None)
    assert len(report.problems) == 4
    assert max(len(problem.what) + len(problem.stream) for problem in report.problems) < 500
    assert max(len(stream.name) for stream in report.streams) < 500


def test_the_end_is_the_last_record_where_nobody_says_otherwise() -> None:
    """With ``until`` the hours that lack their records are found."""
    records = two_days()[:40]
    assert check(records, until=None).is_good
    assert [(problem.where, problem.what) for problem in check(records, until=END - 7 * HOUR_S).problems] == [
        ("2025-11-29T15:00:00Z", "there is no record up to 2025-11-29T17:00:00Z (2 hours)")
    ]


def test_a_stream_that_has_to_be_there_is_missed() -> None:
    """Nobody sees from the records of others that one is gone."""
    report = verify([("line 1", two_days()[0])], key=KEY, streams=["apac", "emea"])
    assert [(problem.stream, problem.what) for problem in report.problems] == [
        ("apac", "there is no record of this stream")
    ]


@pytest.mark.parametrize(
    "fields",
    [
        {"hour": "2025-11-28T00:30:00Z"},
        {"hour": "yesterday"},
        {"hour": None},
        {"sequence": "1"},
        {"revision": None},
        {"repaired": "1"},
        {"plugin": "x"},
        {"stream": None},
        {"in_cloud": -5},
        {"in_cloud": True},
        {"delivered": None},
        {"missing": "3"},
        {"not_known": [1]},
        {"repaired": 1.5},
        {"repaired": -1},
        {"sequence": 2**60},
        {"in_cloud": 2**60, "delivered": 2**60},
        {"in_cloud": 5},
        {"revision": 2},
        {"hour": "0001-01-01T00:00:00Z"},
        {"hour": "9999-12-31T23:00:00Z"},
    ],
)
def test_a_record_that_only_seems_to_be_one_is_told(fields: dict[str, object]) -> None:
    """Whoever sealed it."""
    records = copied(two_days())[:2]
    records[1] = seal({**records[1], **fields}, KEY)
    assert not check(records, until=BEGIN + HOUR_S).is_good


def test_problems_are_counted_beyond_some(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not all can be read."""
    monkeypatch.setattr(module, "MAX_PROBLEMS", 3)
    report = check([{**record, "in_cloud": -1} for record in two_days()])
    assert (len(report.problems), report.more_problems) == (3, 46)
