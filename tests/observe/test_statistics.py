from __future__ import annotations

import logging

from fluent_plugin_amp.model import Counters
from fluent_plugin_amp.observe.statistics import lines, resident_bytes
from tests.observe.scenes import Scene

DAY_S = 86400.0


def test_a_total_and_a_line_for_each_stream_that_did_something() -> None:
    """What happened between the two moments; an idle stream is not told."""
    before = Scene().add("a", counters=Counters(received=10, delivered=10)).add("idle").figures()
    after = Scene()
    after.clock.now += 10
    after.add("a", counters=Counters(received=40, delivered=35, duplicates=1, dropped=2, dead_letters=3), unacked=4)
    after.add("idle").add("new", counters=Counters(received=5, delivered=5))
    total, *streams = lines(before, after.figures(held_bytes=2**20))
    assert total.text == (
        "total of 3 streams: 35 received, 30 delivered (3.0/s), 1 duplicate, 2 dropped, 3 dead letters, "
        "4 unacked, 0 waiting, 1 MiB held of 64 MiB, 50 MiB resident"
    )
    assert [line.text for line in streams] == [
        "stream a: 30 received, 25 delivered (2.5/s), 1 duplicate, 2 dropped, 3 dead letters, 4 unacked, 0 waiting",
        "stream new: 5 received, 5 delivered (0.5/s), 0 duplicates, 0 dropped, 0 dead letters, 0 unacked, 0 waiting",
    ]
    assert {line.level for line in (total, *streams)} == {logging.INFO}


def test_machines_get_the_figures() -> None:
    """Each under its name, memory with the total."""
    total, stream = lines(None, Scene().add("a", unacked=1, messages_ready=7, oldest_waiting_s=60.4).figures())
    assert stream.fields == {
        "event": "StreamStatistics",
        "stream": "a",
        **dict.fromkeys(("received", "delivered", "duplicates", "dropped", "dead_letters", "requeued"), 0),
        "per_second": 0.0,
        "unacked": 1,
        "waiting": 7,
        "oldest_waiting_s": 60,
    }
    assert total.fields["event"] == "Statistics"
    assert total.fields["held_bytes"] == 0
    assert total.fields["resident_bytes"] == 50 * 2**20


def test_what_went_back_to_the_queue_is_told() -> None:
    """After an outage more was received than delivered: nothing of it is lost, and the line says where it is."""
    before = Scene().add("a", counters=Counters(received=10, delivered=10), requeued=3).figures()
    after = Scene().add("a", counters=Counters(received=2210, delivered=2010), requeued=203).figures()
    total, stream = lines(before, after)
    assert "2200 received, 2000 delivered" in total.text
    assert "0 dead letters, 200 requeued, 0 unacked" in total.text
    assert "200 requeued" in stream.text
    assert stream.fields["requeued"] == 200


def test_a_rate_since_the_start() -> None:
    """The last line of a process is about all of its life."""
    scene = Scene().add("a", counters=Counters(received=3000, delivered=3000))
    total, *_ = lines(None, scene.figures(), started_at=scene.clock.now - 20)
    assert "3000 delivered (150.0/s)" in total.text


def test_a_stream_that_only_waits_is_told() -> None:
    """Its queue is not empty, and nothing happens."""
    _, stream = lines(None, Scene().add("a", messages_ready=7, oldest_waiting_s=2000.0).figures())
    assert stream.text.endswith("7 waiting, the oldest for about 33 min")


def test_what_is_not_known_is_said_so() -> None:
    """Of a stream without a connection; in total only when no depth is known."""
    scene = Scene().add("a", unacked=1, messages_ready=None, oldest_waiting_s=None)
    before = Scene().figures()
    total, stream = lines(before, scene.figures())
    assert "unknown waiting" in total.text
    assert "unknown waiting" in stream.text
    total, *_ = lines(None, scene.figures())
    assert "waiting" not in total.text, "at the end of a run nothing is connected"
    total, *_ = lines(before, scene.add("b", messages_ready=3, oldest_waiting_s=1.0).figures())
    assert "3 waiting" in total.text


def test_a_warning_from_the_seventh_day_on() -> None:
    """Of the stream and of the total, while other streams stay as they are."""
    scene = Scene().add("old", messages_ready=1, oldest_waiting_s=7 * DAY_S).add("b", messages_ready=1)
    total, old, other = lines(None, scene.figures())
    assert (total.level, old.level, other.level) == (logging.WARNING, logging.WARNING, logging.INFO)
    assert old.text.endswith("the oldest for about 7 days (Cisco deletes events after 10 days)")
    young = Scene().add(messages_ready=1, oldest_waiting_s=6.9 * DAY_S)
    assert {line.level for line in lines(None, young.figures())} == {logging.INFO}


def test_memory_of_this_process() -> None:
    """A Python process takes a few MiB at least."""
    assert resident_bytes() > 4 * 2**20


def test_polled_sources() -> None:
    """Each has a line, also when nothing came: it was asked."""
    before = Scene().add_source("acme/computers", counters=Counters(delivered=10)).figures()
    scene = Scene().add_source()
    scene.add_source(
        "acme/computers",
        counters=Counters(delivered=52, duplicates=3),
        polled_at=scene.clock.now - 12,
        requests_left=2900,
        read=500,
        total=1700,
    )
    _, quiet, computers = lines(before, scene.figures())
    assert quiet.text == "source acme/audit_logs: 0 records delivered, 0 known before, 0 dead letters, not polled yet"
    assert computers.text == (
        "source acme/computers: 42 records delivered, 3 known before, 0 dead letters, polled 12 s ago, "
        "has read 500 of 1700, 2900 requests left"
    )
    assert computers.fields["event"] == "SourceStatistics"
    assert (computers.fields["source"], computers.fields["delivered"]) == ("acme/computers", 42)
    _, unknown = lines(None, Scene().add_source(read=5).figures())
    assert "has read 5 of ?" in unknown.text
