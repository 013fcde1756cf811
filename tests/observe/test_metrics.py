from __future__ import annotations

import asyncio

from prometheus_client.parser import text_string_to_metric_families

from fluent_plugin_amp import __version__, facts
from fluent_plugin_amp.errors import (
    BrokerConnectionLost,
    BrokerCredentialsRefused,
    EventNotJson,
    ServerConnectionLost,
)
from fluent_plugin_amp.histogram import Histogram
from fluent_plugin_amp.model import Counters
from fluent_plugin_amp.observe.metrics import PREFIX, STREAMS_AT_ONCE, Metrics
from fluent_plugin_amp.observe.snapshot import HuntsSnapshot, Proof
from fluent_plugin_amp.source.transitions import Reason, State
from fluent_plugin_amp.state.errors import StateCorrupt, StateDiskFull
from tests.observe.scenes import NOW, Scene, connected, server_trouble, trouble

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]

HUNTS = (HuntsSnapshot("acme/hunts", waiting=2, done=7, left_out=1),)

BY_DESIGN = {
    "events_received_total": ["stream"],
    "events_delivered_total": ["stream"],
    "events_duplicate_total": ["stream"],
    "events_dropped_total": ["stream"],
    "dead_letters_total": ["error_id", "stream"],
    "stream_errors_total": ["error_id", "stream"],
    "schema_drift_total": ["stream", "what"],
    "completeness_missing": ["stream"],
    "completeness_age_seconds": ["stream"],
    "completeness_requests_total": ["stream"],
    "delivery_duration_seconds_bucket": ["le", "stream"],
    "delivery_duration_seconds_count": ["stream"],
    "delivery_duration_seconds_sum": ["stream"],
    "last_event_timestamp_seconds": ["stream"],
    "queue_messages_ready": ["stream"],
    "messages_unacked": ["stream"],
    "stream_up": ["stream"],
    "stream_connects_total": ["stream"],
    "forward_up": ["server"],
    "chunks_in_flight": [],
    "chunk_retries_total": ["server"],
    "memory_bytes": [],
    "build_info": ["python", "version"],
    "internal_errors_total": ["where"],
    # beyond the design, for alerts
    "stream_standing_by": ["stream"],
    "tags": ["stream"],
    "oldest_waiting_event_age_seconds": ["stream"],
    "memory_limit_bytes": [],
    "events_requeued_total": ["stream"],
    "stream_paused": ["stream"],
    "ready": [],
    "finding": ["id", "subject"],
    "state_up": [],
    "state_errors_total": ["error_id"],
    "forward_errors_total": ["error_id", "server"],
    "hunts_waiting": ["source"],
    "hunts_total": ["source"],
    "hunts_left_out_total": ["source"],
    "source_records_total": ["source"],
    "source_last_success_timestamp_seconds": ["source"],
    "source_requests_left": ["source"],
    "source_odd_entries_total": ["source"],
    "source_unknown_names_total": ["source"],
}
"""The names and labels that dashboards rely on."""


def scrape(scene: Scene) -> Samples:
    """What Prometheus reads: name without prefix and labels → value."""
    metrics = Metrics(lambda: scene.figures(chunks_in_flight=3, held_bytes=4096, hunts=HUNTS), scene.troubles)
    text = asyncio.run(metrics.exposition()).decode()
    found: Samples = {}
    for family in text_string_to_metric_families(text):
        assert family.documentation, f"{family.name} has no help text"
        for sample in family.samples:
            key = (sample.name.removeprefix(PREFIX), tuple(sorted(sample.labels.items())))
            assert key not in found, "twice"
            found[key] = sample.value
    return found


def busy() -> Scene:
    """A scene in which every metric has a sample."""
    histogram = Histogram((0.1, 1.0))
    histogram.observe([0.0, 9.5], 10.0)
    counters = Counters(received=9, delivered=5, duplicates=2, dropped=1, dead_letters=1, newest_event_at=1234)
    scene = Scene().add(
        counters=counters,
        durations=histogram,
        is_exclusive=True,
        unacked=4,
        messages_ready=7,
        oldest_waiting_s=60.5,
        requeued=3,
        tags=12,
        drift={"field": 6},
        proof=Proof(int(NOW) - 9000, int(NOW), 8, int(NOW) - 20_000, {}, 44),
    )
    scene.add_server(retries=2, owes_ack_s=7.0).tell(connected(), trouble(BrokerConnectionLost("x")), connected())
    scene.tell(*[server_trouble(ServerConnectionLost("x"))] * 2, facts.ServerConnected("a:24224"))
    polled = {"polled_at": 1200.0, "requests_left": 2900, "odd": 2, "unknown_names": 8}
    scene.add_source("acme/computers", counters=Counters(delivered=70), **polled)
    scene.tell(facts.StateTrouble("state.db", StateDiskFull("x"), None))
    scene.tell(facts.InternalError("watch", KeyError()), facts.InternalError("watch", ValueError()))
    return scene.tell(facts.DeadLettered("emea", EventNotJson("x"), 1, 1))


def test_names_and_labels() -> None:
    """Those of the design, and no others with our prefix."""
    found: dict[str, set[tuple[str, ...]]] = {}
    for name, labels in scrape(busy()):
        if not name.startswith(("process_", "python_")):
            found.setdefault(name, set()).add(tuple(key for key, _ in labels))
    assert found == {name: {tuple(labels)} for name, labels in BY_DESIGN.items()}


def test_values() -> None:
    """Each figure arrives under its name."""
    samples = scrape(busy())
    emea = (("stream", "emea"),)
    expected: Samples = {
        ("events_received_total", emea): 9,
        ("events_delivered_total", emea): 5,
        ("events_duplicate_total", emea): 2,
        ("events_dropped_total", emea): 1,
        ("schema_drift_total", (*emea, ("what", "field"))): 6,
        ("completeness_missing", emea): 8,
        ("completeness_age_seconds", emea): 9000,
        ("completeness_requests_total", emea): 44,
        ("dead_letters_total", (("error_id", "event.not-json"), *emea)): 1,
        ("stream_errors_total", (("error_id", "amqp.connection-lost"), *emea)): 1,
        ("stream_connects_total", emea): 2,
        ("internal_errors_total", (("where", "watch"),)): 2,
        ("last_event_timestamp_seconds", emea): 1234,
        ("tags", emea): 12,
        ("queue_messages_ready", emea): 7,
        ("oldest_waiting_event_age_seconds", emea): 60.5,
        ("messages_unacked", emea): 4,
        ("stream_up", emea): 1,
        ("stream_standing_by", emea): 0,
        ("stream_paused", emea): 0,
        ("events_requeued_total", emea): 3,
        ("ready", ()): 1,
        ("finding", (("id", "forward.slow-ack"), ("subject", "a:24224"))): 1,
        ("forward_up", (("server", "a:24224"),)): 1,
        ("chunk_retries_total", (("server", "a:24224"),)): 2,
        ("forward_errors_total", (("error_id", "forward.connection-lost"), ("server", "a:24224"))): 2,
        ("chunks_in_flight", ()): 3,
        ("memory_bytes", ()): 4096,
        ("delivery_duration_seconds_bucket", (("le", "0.1"), *emea)): 0,
        ("delivery_duration_seconds_bucket", (("le", "1.0"), *emea)): 1,
        ("delivery_duration_seconds_bucket", (("le", "+Inf"), *emea)): 2,
        ("delivery_duration_seconds_count", emea): 2,
        ("delivery_duration_seconds_sum", emea): 10.5,
    }
    assert expected.items() <= samples.items()
    assert next(labels for name, labels in samples if name == "build_info")[1] == ("version", __version__)


def test_what_is_not_known_has_no_sample() -> None:
    """A missing sample is honest, a zero would not be."""
    scene = Scene().add(is_connected=False, messages_ready=None, oldest_waiting_s=None)
    names = {name for name, _ in scrape(scene)}
    assert not names & {
        "queue_messages_ready",
        "oldest_waiting_event_age_seconds",
        "last_event_timestamp_seconds",
        "stream_standing_by",
        "tags",
    }
    assert scrape(scene)["stream_up", (("stream", "emea"),)] == 0


def test_a_polled_source() -> None:
    """What is not known, or none of its business, has no sample; without sources there are no such metrics."""
    found = scrape(busy().add_source())
    computers, audit_logs = (("source", "acme/computers"),), (("source", "acme/audit_logs"),)
    assert found["source_records_total", computers] == 70
    assert found["source_last_success_timestamp_seconds", computers] == 1200
    assert found["source_requests_left", computers] == 2900
    assert found["source_odd_entries_total", computers] == 2
    assert found["source_unknown_names_total", computers] == 8
    assert {name for name, labels in found if labels == audit_logs} == {
        "source_records_total",
        "source_odd_entries_total",
    }
    assert not any(name.startswith("source_") for name, _ in scrape(Scene().add()))


def test_standing_by() -> None:
    """1 on the process that would take over, 0 on the one that consumes: their sum tells whether there is one."""
    held = Scene().add(is_exclusive=True, state=State.HELD, reason=Reason.STANDING_BY)
    assert scrape(held)["stream_standing_by", (("stream", "emea"),)] == 1
    away = Scene().add(is_exclusive=True, is_connected=False, state=State.HELD, reason=Reason.STANDING_BY)
    assert scrape(away)["stream_standing_by", (("stream", "emea"),)] == 0


def test_why_it_is_not_ready() -> None:
    """A sample for each finding and each stream that it is about: a dashboard lists them."""
    scene = Scene().add("a", state=State.HELD, reason=Reason.PAUSED).add("b", state=State.HELD, reason=Reason.PAUSED)
    scene.add("c", is_connected=False).tell(trouble(BrokerCredentialsRefused("no"), "c")).add_server()
    scene.tell(facts.StateTrouble("/var/lib/state", StateDiskFull("full"), 5.0))
    scene.tell(facts.InternalError("statistics", RuntimeError("x")))
    samples = scrape(scene)
    assert samples["ready", ()] == 0
    assert {labels for name, labels in samples if name == "finding"} == {
        (("id", error_id), ("subject", subject))
        for error_id, subject in [
            ("stream.paused", "a"),
            ("stream.paused", "b"),
            ("amqp.credentials-refused", "c"),
            ("state.disk-full", "/var/lib/state"),
            ("internal.error", "statistics"),
        ]
    }
    assert [samples["stream_paused", (("stream", name),)] for name in "abc"] == [1, 1, 0]


def test_ready_as_configured() -> None:
    """The same as /readyz says."""
    scene = Scene().add("a").add("b", is_connected=False).tell(trouble(BrokerConnectionLost("x"), "b")).add_server()
    for ready, value in (("all", 0), ("any", 1)):
        metrics = Metrics(scene.figures, scene.troubles, lambda ready=ready: ready)  # type: ignore[misc]
        assert f"cisco_amp_ready {value}.0" in asyncio.run(metrics.exposition()).decode()


def test_a_server_in_doubt_is_not_up() -> None:
    """Connected is not enough."""
    scene = Scene().add_server("a", is_doubtful=True).add_server("b", is_up=False).add_server("c")
    assert [value for (name, _), value in scrape(scene).items() if name == "forward_up"] == [0, 0, 1]


def test_a_state_file_is_up_while_it_is_in_use() -> None:
    """Where there is none there is no sample; troubles and damage are counted by their ids."""
    assert not any(name.startswith("state_") for name, _ in scrape(Scene()))
    scene = Scene().tell(facts.StateOpened("state.db", 0))
    assert scrape(scene)["state_up", ()] == 1
    scene.tell(facts.StateTrouble("state.db", StateDiskFull("x"), 1.0))
    assert scrape(scene)["state_up", ()] == 0
    scene.tell(facts.StateRecovered("state.db"), facts.StateSetAside("state.db", StateCorrupt("x")))
    found = scrape(scene)
    assert found["state_up", ()] == 1
    assert {labels: value for (name, labels), value in found.items() if name == "state_errors_total"} == {
        (("error_id", "state.disk-full"),): 1,
        (("error_id", "state.corrupt"),): 1,
    }


def test_any_name_is_a_label() -> None:
    """Quotes and line ends are escaped."""
    name = 'a"b\\c\nd'
    assert scrape(Scene().add(name))["stream_up", (("stream", name),)] == 1


def test_the_process_is_told_too() -> None:
    """Its memory, processor time and descriptors, under the usual names."""
    assert {"process_resident_memory_bytes", "process_open_fds"} <= {name for name, _ in scrape(Scene())}


MANY = 10 * STREAMS_AT_ONCE + 1


def test_the_lines_of_a_family_stand_together() -> None:
    """However many streams there are: one head each, as Prometheus demands, and every stream below it."""
    scene = Scene()
    for number in range(MANY):
        scene.add(f"tenant-{number}")
    text = asyncio.run(Metrics(scene.figures, scene.troubles).exposition()).decode()
    heads = [line for line in text.splitlines() if line.startswith("# ")]
    assert len(heads) == len(set(heads))
    samples = scrape(scene)
    for name in ("events_received_total", "stream_up", "delivery_duration_seconds_count", "stream_connects_total"):
        assert sum(each == name for each, _ in samples) == MANY


async def test_the_loop_goes_on_meanwhile() -> None:
    """It turns once at least for every few streams; with all of them in one go it would not turn at all."""
    scene = Scene()
    for number in range(MANY):
        scene.add(f"tenant-{number}")
    scrape = asyncio.create_task(Metrics(scene.figures, scene.troubles).exposition())
    turns = 0
    while not scrape.done():
        await asyncio.sleep(0)
        turns += 1
    assert turns >= MANY // STREAMS_AT_ONCE


async def test_a_stream_that_goes_during_a_scrape() -> None:
    """It is written as it was, and `Troubles` does not remember it again."""
    scene = Scene()
    for number in range(MANY):
        scene.add(f"tenant-{number}")
    scrape = asyncio.create_task(Metrics(scene.figures, scene.troubles).exposition())
    await asyncio.sleep(0)
    last = f"tenant-{MANY - 1}"
    scene.troubles.forget(last)
    assert f'cisco_amp_stream_up{{stream="{last}"}} 1.0' in (await scrape).decode()
    assert last not in scene.troubles.streams


def test_a_stream_that_rests_is_up() -> None:
    """It is not connected between two polls, and nothing is wrong with that."""
    scene = Scene().add(is_connected=False, is_resting=True, poll_interval_s=60.0)
    assert scrape(scene)["stream_up", (("stream", "emea"),)] == 1
