from __future__ import annotations

import inspect
import json
import logging
from collections.abc import Iterator
from typing import Any, Literal

import pytest
from msgspec.structs import replace

from fluent_plugin_amp import facts
from fluent_plugin_amp.cisco.errors import CloudRateLimited
from fluent_plugin_amp.errors import (
    BrokerChannelClosed,
    BrokerConnectionLost,
    BrokerCredentialsRefused,
    EventNotJson,
    IncludeBroken,
    ServerUnreachable,
)
from fluent_plugin_amp.model import Counters
from fluent_plugin_amp.observe import logs
from fluent_plugin_amp.observe.logs import LOGGER, LogObserver, describe
from fluent_plugin_amp.observe.news import REPEAT_AFTER_S
from tests.observe.scenes import Clock, connected, server_trouble, trouble

CONNECTED = connected()
LOST = BrokerConnectionLost("gone", remedy="Wait.")
EXAMPLES: dict[type[facts.Fact], tuple[facts.Fact, int, str]] = {
    facts.StreamConnected: (connected(), logging.INFO, "stream emea: connected to queue queue, 0 messages waiting"),
    facts.StreamConsuming: (
        facts.StreamConsuming("emea", 9, "a server acked"),
        logging.INFO,
        "stream emea: consuming, prefetch 9 (a server acked)",
    ),
    facts.StreamPolled: (
        facts.StreamPolled("emea", Counters(received=12, delivered=10, duplicates=2), 0.5, 59.5),
        logging.INFO,
        "stream emea: polled in 0.50 s: 12 received, 10 delivered (20.0/s), 2 duplicates, 0 dropped, 0 dead letters; "
        "next run in 59.5 s",
    ),
    facts.StreamHeld: (facts.StreamHeld("emea", "no"), logging.INFO, "stream emea: waiting: no"),
    facts.StreamTrouble: (
        facts.StreamTrouble("emea", LOST, 1.5),
        logging.WARNING,
        "stream emea: [amqp.connection-lost] gone. Wait. Next try in 1.5 s.",
    ),
    facts.StreamPaused: (facts.StreamPaused("emea", 600, 7), logging.WARNING, "paused: the oldest event stayed"),
    facts.DeliveryRequeuedOften: (facts.DeliveryRequeuedOften("emea", 6), logging.ERROR, "6 times"),
    facts.EventsVanished: (facts.EventsVanished("emea", 3), logging.ERROR, "3 events left the queue"),
    facts.MemoryBrake: (facts.MemoryBrake("emea", 99, 3), logging.WARNING, "99 bytes held"),
    facts.StreamBehind: (
        facts.StreamBehind("emea", 1200, 300.0, 2.0, False),
        logging.WARNING,
        "stream emea: [stream.falling-behind] 1,200 events wait, the oldest for about 5 min; growing by 2.0 a second",
    ),
    facts.StreamCaughtUp: (facts.StreamCaughtUp("emea"), logging.INFO, "stream emea: has caught up"),
    facts.StreamSilent: (
        facts.StreamSilent("emea", 7200.0),
        logging.WARNING,
        "stream emea: [stream.silent] no event for 2 h. See in Cisco's console",
    ),
    facts.StreamHeard: (
        facts.StreamHeard("emea", 7200.0),
        logging.INFO,
        "stream emea: events again, after 2 h without",
    ),
    facts.StreamShared: (
        facts.StreamShared("emea", 1, 180.0),
        logging.WARNING,
        "stream emea: [stream.shared] a part of its events has gone to 1 other consumer for 3 min. Find",
    ),
    facts.StreamUnshared: (
        facts.StreamUnshared("emea"),
        logging.INFO,
        "stream emea: has its queue to itself again",
    ),
    facts.TagsUsedUp: (
        facts.TagsUsedUp("emea", 1001),
        logging.WARNING,
        "stream emea: [stream.tags-used-up] 1001 different tags",
    ),
    facts.SchemaDrift: (
        facts.SchemaDrift("emea", "field", "file.novelty"),
        logging.WARNING,
        "stream emea: [stream.schema-drift] field file.novelty is not in the table",
    ),
    facts.DeadLettered: (
        facts.DeadLettered("emea", EventNotJson("no"), 9, 2),
        logging.WARNING,
        "dead letter, 9 bytes in 2 records: [event.not-json] no.",
    ),
    facts.ServerConnected: (facts.ServerConnected("a:1"), logging.INFO, "server a:1: connected"),
    facts.ServerTrouble: (
        facts.ServerTrouble("a:1", ServerUnreachable("no"), 3, 1.0),
        logging.WARNING,
        "3 chunks in doubt will be sent again. Next try in 1.0 s.",
    ),
    facts.ChunkSplit: (facts.ChunkSplit("x", 8, LOST), logging.WARNING, "chunk of 8 events split"),
    facts.InternalError: (
        facts.InternalError("event", ZeroDivisionError("secret")),
        logging.ERROR,
        "event: [internal.error] ZeroDivisionError, contained. Report it",
    ),
    facts.SourcePolled: (
        facts.SourcePolled("acme/audit_logs", 0.5, 299.5, 60.0),
        logging.INFO,
        "source acme/audit_logs: polled in 0.50 s, after 1 min of trouble; next in 299.5 s",
    ),
    facts.SourceTrouble: (
        facts.SourceTrouble("acme/audit_logs", CloudRateLimited("429"), 5.0),
        logging.WARNING,
        "source acme/audit_logs: [cloud.rate-limited] 429. ",
    ),
    facts.SourceEnded: (facts.SourceEnded("acme/audit_logs"), logging.INFO, "source acme/audit_logs: ended"),
    facts.SourceWaits: (
        facts.SourceWaits("acme/audit_logs", 60.0, "the rate limit is used up"),
        logging.INFO,
        "source acme/audit_logs: waits 1 min: the rate limit is used up",
    ),
    facts.Reloaded: (facts.Reloaded("added: a"), logging.INFO, "reloaded: added: a"),
    facts.ReloadTrouble: (
        facts.ReloadTrouble(IncludeBroken("d/a.yml:1: wrong")),
        logging.ERROR,
        "reloaded only in part: [config.include-broken] d/a.yml:1: wrong. Correct",
    ),
    facts.StateOpened: (facts.StateOpened("/s", 2), logging.INFO, "2 dead letters kept"),
    facts.StateTrouble: (facts.StateTrouble("/s", LOST, None), logging.ERROR, "Events are delivered without it"),
    facts.StateSetAside: (facts.StateSetAside("/s", LOST), logging.ERROR, f"[{LOST.id}]"),
    facts.StateRecovered: (facts.StateRecovered("/s"), logging.INFO, "in use again"),
    facts.LetterKept: (facts.LetterKept("emea", EventNotJson("no"), 9, 2), logging.ERROR, "2 in all"),
    facts.KeptLettersSent: (facts.KeptLettersSent(2, 3), logging.INFO, "3 left"),
}
"""A fact of each kind, its level, and what its line holds."""


@pytest.mark.parametrize(
    "kind", [each for _, each in inspect.getmembers(facts, inspect.isclass) if each.__module__ == facts.__name__]
)
def test_every_fact_has_a_line(kind: type[facts.Fact]) -> None:
    """With a level, and a text that begins with what it is about."""
    if kind is facts.Fact:
        return
    fact, level, text = EXAMPLES[kind]
    said_level, said, _ = describe(fact)
    assert said_level == level
    assert text in said


def test_somebody_else_on_the_queue_is_a_warning() -> None:
    """They split the stream."""
    level, text, fields = describe(facts.StreamConnected("emea", "q", 5, 2))
    assert level == logging.WARNING
    assert "2 other consumers attached" in text
    assert fields["consumers"] == 2


def test_what_a_standby_stands_by_for_is_no_warning() -> None:
    """It splits nothing: it has the queue, and this one waits for its turn."""
    level, text, fields = describe(facts.StreamConnected("emea", "q", 5, 1, is_exclusive=True))
    assert level == logging.INFO
    assert text == "stream emea: connected to queue q, 5 messages waiting; another consumer has it"
    assert fields["consumers"] == 1


def test_events_about_to_be_deleted_are_an_error() -> None:
    """Louder than falling behind."""
    level, text, _ = describe(facts.StreamBehind("emea", 1, 8 * 86400.0, None, True))
    assert level == logging.ERROR
    assert "[stream.expiring] 1 event waits, the oldest for about 8 days" in text


@pytest.fixture(autouse=True)
def own_log(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What a test sets up is gone after it."""
    monkeypatch.setattr(LOGGER, "handlers", [])
    monkeypatch.setattr(LOGGER, "propagate", False)
    level = LOGGER.level
    yield
    LOGGER.setLevel(level)


def test_lines_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    """Time, level, text; a traceback where there is one."""
    logs.set_up("info", "text")
    LogObserver()(trouble(LOST))
    line = capsys.readouterr().err
    assert line.endswith(" warning stream emea: [amqp.connection-lost] gone. Wait. Next try in 1.0 s.\n")
    assert line[10] == "T"
    assert line[23] == "Z"
    try:
        raise RuntimeError("a bug")
    except RuntimeError:
        LOGGER.exception("crashed")
    assert "RuntimeError: a bug" in capsys.readouterr().err


def test_of_many_streams_only_trouble_has_lines(capsys: pytest.CaptureFixture[str]) -> None:
    """Three hundred that start, or come back after an outage, are not six hundred lines."""
    usual = (CONNECTED, facts.StreamConsuming("emea", 9, "a server acked"), facts.StreamHeld("emea", "no"))
    shared = replace(CONNECTED, consumers=1)
    said = {}
    for streams in (1, logs.MANY_STREAMS + 1):
        logs.set_up("info", "text")
        observer = LogObserver(streams=streams)
        for fact in (*usual, shared, trouble(LOST)):
            observer(fact)
        said[streams] = len(capsys.readouterr().err.splitlines())
    assert list(said.values()) == [5, 2]


def test_lines_for_machines(capsys: pytest.CaptureFixture[str]) -> None:
    """One JSON object each, with the fact's fields."""
    logs.set_up("info", "json")
    LogObserver()(server_trouble(ServerUnreachable("no")))
    said: dict[str, Any] = json.loads(capsys.readouterr().err)
    assert said["level"] == "warning"
    assert said["event"] == "ServerTrouble"
    assert (said["server"], said["error_id"], said["error"]) == ("a:24224", "forward.unreachable", "no")
    assert said["remedy"] == ServerUnreachable.default_remedy
    assert said["message"].startswith("server a:24224: [forward.unreachable]")


def test_setting_up_twice_logs_once(capsys: pytest.CaptureFixture[str]) -> None:
    """A reload takes the place of what was set up before."""
    logs.set_up("info", "text")
    logs.set_up("warning", "json")
    LOGGER.info("not any more")
    LOGGER.warning("once")
    assert json.loads(capsys.readouterr().err)["message"] == "once"


def test_what_fails_again_and_again_does_not_read_as_connected(capsys: pytest.CaptureFixture[str]) -> None:
    """A consumer timeout after each connection: both lines are said at the same rate."""
    logs.set_up("info", "text")
    clock = Clock()
    observe = LogObserver(clock)

    def said(after_s: float) -> list[str]:
        clock.now += after_s
        observe(trouble(BrokerChannelClosed("406 PRECONDITION_FAILED - delivery acknowledgement timed out")))
        observe(facts.StreamConnected("emea", "queue", 1, 0))
        return [line.split(" ", 1)[1].split(":")[0] for line in capsys.readouterr().err.splitlines()]

    both = ["warning stream emea", "info    stream emea"]
    assert said(1.0) == both
    assert said(60.0) == []
    assert said(60.0) == []
    assert said(REPEAT_AFTER_S) == both
    assert said(60.0) == []
    observe(facts.StreamConsuming("emea", 100, "a server acked"))
    capsys.readouterr()
    assert said(60.0) == both


def test_a_connection_after_a_long_outage_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    """Although most tries of the outage were not."""
    logs.set_up("info", "text")
    clock = Clock()
    observe = LogObserver(clock)
    for fact in (CONNECTED, *(trouble(LOST) for _ in range(5))):
        clock.now += 10.0
        observe(fact)
    capsys.readouterr()
    observe(CONNECTED)
    assert "connected to queue" in capsys.readouterr().err


def test_a_trouble_that_lasts_is_said_now_and_then(capsys: pytest.CaptureFixture[str]) -> None:
    """When it begins, when it changes, and every `REPEAT_AFTER_S`."""
    logs.set_up("info", "text")
    clock = Clock()
    observe = LogObserver(clock)

    def said(fact: facts.Fact, after_s: float = 1.0) -> bool:
        clock.now += after_s
        observe(fact)
        return bool(capsys.readouterr().err)

    refused = trouble(BrokerCredentialsRefused("no"))
    assert said(trouble(LOST))
    assert not said(trouble(LOST))
    assert said(trouble(LOST, "us"))
    assert said(refused)
    assert not said(refused, REPEAT_AFTER_S - 1)
    assert said(refused, 1.0)
    assert said(facts.StreamConsuming("emea", 1, "x"))
    assert said(refused)
    assert said(server_trouble(ServerUnreachable("no"), "emea"))
    assert said(facts.ServerConnected("emea"))
    assert said(server_trouble(ServerUnreachable("no"), "emea"), logs.SERVER_QUIET_S)


def test_the_end_of_an_outage_is_said_with_its_length(capsys: pytest.CaptureFixture[str]) -> None:
    """Of a stream and of a server, for people and for machines."""
    for outage_s, said in ((0.0, ""), (754.0, ", after 13 min of trouble")):
        _, text, fields = describe(facts.StreamConnected("emea", "q", 5, 0, outage_s=outage_s))
        assert text == f"stream emea: connected to queue q, 5 messages waiting{said}"
        _, text, of_server = describe(facts.ServerConnected("a:1", outage_s))
        assert text == f"server a:1: connected{said}"
        assert fields.get("outage_s", 0.0) == of_server.get("outage_s", 0.0) == outage_s


def test_chunks_in_doubt_are_counted_since_the_last_line(capsys: pytest.CaptureFixture[str]) -> None:
    """Those of troubles that had no line are in the next one."""
    logs.set_up("info", "text")
    observe = LogObserver(Clock())
    for error, in_doubt in ((LOST, 2), (LOST, 1), (LOST, 1), (ServerUnreachable("no"), 0), (LOST, 1)):
        observe(facts.ServerTrouble("a:1", error, in_doubt, 1.0))
    first, second, third = capsys.readouterr().err.splitlines()
    assert "2 chunks in doubt" in first
    assert "2 chunks in doubt" in second
    assert "1 chunk in doubt" in third


def test_a_server_that_acks_and_closes_does_not_fill_the_log(capsys: pytest.CaptureFixture[str]) -> None:
    """As in the search for an event that it refuses: once a minute, unless it stays away."""
    logs.set_up("info", "text")
    clock = Clock()
    observe = LogObserver(clock)
    for _ in range(90):
        clock.now += 1.0
        observe(server_trouble(ServerUnreachable("no")))
        observe(facts.ServerConnected("a:24224", 0.2))
    assert len(capsys.readouterr().err.splitlines()) == 4
    for attempts in range(1, 10):
        observe(facts.ServerTrouble("a:24224", ServerUnreachable("no"), 0, 1.0, attempts))
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_a_poll_is_one_line() -> None:
    """That it connected, and began to consume, is said at debug level only; the last round names no next one."""
    for fact in (replace(CONNECTED, is_poll=True), facts.StreamConsuming("emea", 9, "a server acked", is_poll=True)):
        assert describe(fact)[0] == logging.DEBUG
    _, text, fields = describe(facts.StreamPolled("emea", Counters(), 0.0, None))
    assert (
        text
        == "stream emea: polled in 0.00 s: 0 received, 0 delivered (0.0/s), 0 duplicates, 0 dropped, 0 dead letters"
    )
    assert "next_in_s" not in fields
    assert fields["received"] == 0
    _, text, fields = describe(facts.StreamPolled("emea", Counters(received=9, delivered=6), 1.0, None, requeued=3))
    assert text.endswith("0 dead letters, 3 requeued")
    assert fields["requeued"] == 3


def test_others_on_a_polled_queue_are_a_warning_all_the_same() -> None:
    """They take events away."""
    assert describe(replace(CONNECTED, consumers=1, is_poll=True))[0] == logging.WARNING


def test_others_on_a_polled_queue_are_told_once_in_a_while(capsys: pytest.CaptureFixture[str]) -> None:
    """Not with each poll; a stream that stays connected tells it with each connection."""
    logs.set_up("info", "text")
    clock = Clock(0.0)
    observer = LogObserver(clock)

    def told(fact: facts.Fact) -> bool:
        observer(fact)
        return "a part of the stream" in capsys.readouterr().err

    shared = replace(CONNECTED, consumers=1, is_poll=True)
    assert [told(shared), told(shared)] == [True, False]
    clock.now += REPEAT_AFTER_S
    assert told(shared)
    stays = replace(CONNECTED, consumers=1)
    assert [told(stays), told(stays)] == [True, True]


def raised(words: str) -> Exception:
    """An exception with a traceback that always ends here."""
    try:
        raise ValueError(words)
    except ValueError as exc:
        return exc


def test_a_traceback_is_logged_once_per_kind(capsys: pytest.CaptureFixture[str]) -> None:
    """And again after a while; another kind, or another place, has its own."""
    logs.set_up("info", "text")
    clock = Clock()
    observer = LogObserver(clock)
    for words in ("one", "two"):
        observer(facts.InternalError("notifier", raised(words)))
    observer(facts.InternalError("watch", raised("three")))
    said = capsys.readouterr().err
    assert said.count("Traceback") == 2
    assert "ValueError: one" in said
    assert "two" not in said
    clock.now += REPEAT_AFTER_S
    observer(facts.InternalError("notifier", raised("four")))
    assert "ValueError: four" in capsys.readouterr().err


@pytest.mark.parametrize("where", sorted(logs.NEAR_EVENTS))
@pytest.mark.parametrize("format", ["text", "json"])
def test_a_traceback_near_an_event_has_no_values(
    capsys: pytest.CaptureFixture[str], where: str, format: Literal["text", "json"]
) -> None:
    """The words of an exception may hold what obfuscation hides; where it was raised is said all the same."""
    logs.set_up("info", format)
    LogObserver()(facts.InternalError(where, raised("johndoe")))
    said = capsys.readouterr().err
    assert "johndoe" not in said
    assert "in raised" in said
    assert "ValueError" in said


def test_a_flood_of_dead_letters_does_not_fill_the_log(capsys: pytest.CaptureFixture[str]) -> None:
    """Some of each kind are said, the last of them says that there may be more; after a while again."""
    logs.set_up("info", "text")
    clock = Clock()
    observer = LogObserver(clock)
    for _ in range(1000):
        observer(facts.DeadLettered("emea", EventNotJson("no"), 9, 1))
    observer(facts.DeadLettered("us", EventNotJson("no"), 9, 1))
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == logs.LETTERS_TOLD + 1
    assert "Further ones of this kind" in lines[logs.LETTERS_TOLD - 1]
    assert "stream us" in lines[-1]
    clock.now += REPEAT_AFTER_S
    observer(facts.DeadLettered("emea", EventNotJson("no"), 9, 1))
    assert "dead letter" in capsys.readouterr().err
