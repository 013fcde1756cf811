from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from fluent_plugin_amp import facts
from fluent_plugin_amp.errors import (
    BrokerAccessRefused,
    BrokerConnectionLost,
    EventNotJson,
    EventTooDeep,
    ServerUnreachable,
)
from fluent_plugin_amp.model import Counters
from fluent_plugin_amp.observe.troubles import (
    BEHIND_FROM_S,
    EXPIRING_FROM_S,
    INTERNAL_SHOWN_S,
    SAME_TROUBLE_WITHIN_S,
    SHARED_FROM_S,
)
from fluent_plugin_amp.source.transitions import Reason, State
from tests.observe.scenes import NOW, Scene, connected, server_trouble, trouble

REFUSED = trouble(BrokerAccessRefused("no"))
LOST = trouble(BrokerConnectionLost("gone"))


def since(scene: Scene) -> float | None:
    """When the trouble of emea began, in seconds after the start."""
    noted = scene.troubles.streams["emea"].trouble
    return None if noted is None else noted.since - NOW


def test_a_trouble_is_remembered() -> None:
    """Its id, words, remedy and times; it stays when it is over."""
    scene = Scene().tell(REFUSED, after_s=5).tell(REFUSED, after_s=5).tell(connected(), after_s=5)
    memory = scene.troubles.streams["emea"]
    assert memory.trouble is not None
    assert (memory.trouble.error_id, memory.trouble.what) == ("amqp.access-refused", "no")
    assert memory.trouble.remedy == BrokerAccessRefused.default_remedy
    assert (memory.trouble.since, memory.trouble.at) == (NOW + 5, NOW + 10)
    assert memory.is_well


def test_a_trouble_that_comes_back_at_once_is_the_same() -> None:
    """A consumer that is refused after each connection has been in trouble since the first time."""
    scene = Scene()
    for _ in range(5):
        scene.tell(connected(), after_s=20).tell(REFUSED, after_s=0.1)
    assert since(scene) == pytest.approx(20.1)


def test_a_trouble_that_comes_back_later_is_another() -> None:
    """It was well for long enough in between."""
    scene = Scene().tell(LOST).tell(connected(), after_s=1).tell(LOST, after_s=SAME_TROUBLE_WITHIN_S)
    assert since(scene) == SAME_TROUBLE_WITHIN_S + 1


def test_another_error_is_another_trouble() -> None:
    """It began when it was told first."""
    assert since(Scene().tell(LOST).tell(REFUSED, after_s=3)) == 3


def test_what_is_counted() -> None:
    """Connections, errors and dead letters, by error id, of each stream for itself."""
    scene = Scene().tell(LOST, LOST, REFUSED, connected(), connected(), connected("us"))
    scene.tell(
        facts.DeadLettered("emea", EventNotJson("x"), 1, 1), facts.DeadLettered("emea", EventTooDeep("x"), 1, 1)
    )
    scene.tell(facts.DeadLettered("emea", EventNotJson("x"), 1, 1))
    memory = scene.troubles.streams["emea"]
    assert memory.connects == 2
    assert memory.errors == {"amqp.connection-lost": 2, "amqp.access-refused": 1}
    assert memory.dead_letters == {"event.not-json": 2, "event.too-deep": 1}
    assert scene.troubles.streams["us"].connects == 1


def test_servers_have_their_own_book() -> None:
    """A server and a stream of one name are two things."""
    scene = Scene().tell(server_trouble(ServerUnreachable("x"), "emea"))
    assert scene.troubles.servers["emea"].trouble is not None
    assert scene.troubles.streams["emea"].trouble is None
    scene.tell(facts.ServerConnected("emea"), after_s=2)
    assert scene.troubles.servers["emea"].well_at == NOW + 2


def test_requeued_often_ends_with_full_consumption() -> None:
    """It is remembered from the first time, until the stream consumes in full again."""
    scene = (
        Scene().tell(facts.DeliveryRequeuedOften("emea", 5)).tell(facts.DeliveryRequeuedOften("emea", 6), after_s=9)
    )
    assert scene.troubles.streams["emea"].requeued_often_at == NOW
    scene.tell(facts.StreamConsuming("emea", 10, "a server acked"))
    assert not scene.troubles.streams["emea"].requeued_often_at


def test_what_is_forgotten_is_new_when_it_returns() -> None:
    """A stream that was taken out of the configuration leaves nothing behind."""
    scene = Scene().tell(LOST)
    scene.troubles.forget("emea")
    assert scene.troubles.streams["emea"].trouble is None


# --- falling behind --------------------------------------------------------------------------------


def news(scene: Scene, oldest_waiting_s: float | None, messages_ready: int = 7) -> list[facts.Fact]:
    """What is made of a stream with this backlog; it hears of it as any observer."""
    scene.streams.clear()
    scene.add(oldest_waiting_s=oldest_waiting_s, messages_ready=messages_ready, growth_per_s=-1.0)
    told = scene.troubles.behind(scene.figures())
    scene.tell(*told)
    return told


def test_falling_behind_is_told_once() -> None:
    """When it begins and when it is over; not when it hovers around the threshold."""
    scene = Scene()
    assert news(scene, BEHIND_FROM_S - 1) == []
    assert news(scene, BEHIND_FROM_S) == [facts.StreamBehind("emea", 7, BEHIND_FROM_S, -1.0, False)]
    assert news(scene, BEHIND_FROM_S + 1) == []
    assert news(scene, BEHIND_FROM_S - 1) == []
    assert news(scene, BEHIND_FROM_S / 2 - 1) == [facts.StreamCaughtUp("emea")]
    assert news(scene, 0.0) == []


def test_what_is_not_known_changes_nothing() -> None:
    """A lost connection is not the end of a backlog."""
    scene = Scene()
    news(scene, BEHIND_FROM_S)
    assert news(scene, None) == []
    assert scene.troubles.streams["emea"].behind_at == NOW


def test_events_about_to_be_deleted_are_told_for_themselves() -> None:
    """From the seventh day of ten, once; and when it is better again."""
    scene = Scene()
    assert [type(fact) for fact in news(scene, EXPIRING_FROM_S)] == [facts.StreamBehind]
    assert scene.troubles.streams["emea"].is_expiring
    assert news(scene, EXPIRING_FROM_S + 60) == []
    (fact,) = news(scene, EXPIRING_FROM_S - 60)
    assert fact == facts.StreamBehind("emea", 7, EXPIRING_FROM_S - 60, -1.0, False)
    assert not scene.troubles.streams["emea"].is_expiring
    assert [type(fact) for fact in news(scene, 0.0, 0)] == [facts.StreamCaughtUp]


def test_a_polled_stream_may_be_later_by_its_interval() -> None:
    """Its events wait for the poll, which is no falling behind; and after a round nothing of before waits."""
    scene = Scene().add(messages_ready=9, oldest_waiting_s=3600 + BEHIND_FROM_S - 1, poll_interval_s=3600.0)
    assert scene.troubles.behind(scene.figures()) == []
    scene.streams[0] = replace(scene.streams[0], oldest_waiting_s=3600 + BEHIND_FROM_S)
    (fact,) = scene.troubles.behind(scene.figures())
    scene.tell(fact)
    assert isinstance(fact, facts.StreamBehind)
    scene.streams[0] = replace(scene.streams[0], is_resting=True, messages_ready=None, oldest_waiting_s=None)
    assert scene.troubles.behind(scene.figures()) == [facts.StreamCaughtUp("emea")]


def test_faults_of_the_plugins_own_are_counted_by_place() -> None:
    """With the beginning of those that are shown together."""
    fault = facts.InternalError("event", ZeroDivisionError())
    scene = Scene().tell(fault).tell(fault, after_s=5).tell(facts.InternalError("watch", KeyError("x")))
    event = scene.troubles.internal["event"]
    assert (event.count, event.since, event.at, event.error) == (2, NOW, NOW + 5, "ZeroDivisionError")
    assert scene.troubles.internal["watch"].count == 1
    scene.tell(fault, after_s=INTERNAL_SHOWN_S)
    assert (event.count, event.since) == (3, NOW + 5 + INTERNAL_SHOWN_S)


def test_drift_is_told_once() -> None:
    """However much there is of it."""
    scene = Scene().add(drift_sample=("field", "novelty"))
    told = scene.troubles.drifted(scene.figures())
    assert told == [facts.SchemaDrift("emea", "field", "novelty")]
    assert scene.tell(*told).troubles.drifted(scene.figures()) == []


def test_used_up_tags_are_told_once() -> None:
    """And again when there were fewer in between: the configuration was changed."""

    def told(is_used_up: bool) -> list[facts.Fact]:
        news = scene.add(tags=12, tags_used_up=is_used_up).troubles.used_up(scene.figures())
        scene.tell(*news).streams.clear()
        return news

    scene = Scene()
    assert told(False) == []
    assert told(True) == [facts.TagsUsedUp("emea", 12)]
    assert told(True) == []
    assert told(False) == []
    assert told(True) == [facts.TagsUsedUp("emea", 12)]


# --- silence ---------------------------------------------------------------------------------------


def heard(scene: Scene, received: int, *, after_s: float = 60.0, **figures: Any) -> list[facts.Fact]:
    """What is made of a stream that has brought so many events by then, and is worth a word after ten minutes."""
    scene.clock.now += after_s
    scene.streams.clear()
    scene.add(counters=Counters(received=received), **{"silent_after_s": 600.0, **figures})
    told = scene.troubles.silent(scene.figures())
    scene.tell(*told)
    return told


def test_silence_is_told_once_and_its_end() -> None:
    """A stream that is read and brings nothing for `silent_after`; an event ends it."""
    scene = Scene()
    assert heard(scene, 5) == []
    assert heard(scene, 6) == []
    assert heard(scene, 6, after_s=599) == []
    assert heard(scene, 6, after_s=1) == [facts.StreamSilent("emea", 600.0)]
    (finding,) = scene.status().warnings
    assert (finding.error_id, finding.what, finding.since) == ("stream.silent", "no event for 10 min", NOW + 120)
    assert heard(scene, 6) == []
    assert heard(scene, 7) == [facts.StreamHeard("emea", 720.0)]
    assert scene.status().warnings == ()
    assert heard(scene, 7, after_s=600) == [facts.StreamSilent("emea", 600.0)]


def test_a_stream_that_brought_nothing_yet_is_silent_since_it_is_read() -> None:
    """Not since the process began."""
    scene = Scene()
    assert heard(scene, 0, after_s=5000, is_connected=False) == []
    assert heard(scene, 0, after_s=5000) == []
    assert heard(scene, 0, after_s=600) == [facts.StreamSilent("emea", 600.0)]


@pytest.mark.parametrize("kept", [{"is_connected": False}, {"state": State.HELD, "reason": Reason.NO_SERVER}])
def test_only_the_time_counts_while_it_is_read(kept: dict[str, Any]) -> None:
    """What keeps it from its queue is told by itself; a stream that connects again and again is told all the same."""
    scene = Scene()
    heard(scene, 6)
    assert heard(scene, 6, after_s=300) == []
    assert heard(scene, 6, **kept) == []
    assert heard(scene, 6, after_s=5000) == []
    assert heard(scene, 6, after_s=299) == []
    assert heard(scene, 6, after_s=1) == [facts.StreamSilent("emea", 300.0 + 60.0 + 5000.0 + 300.0)]
    assert heard(scene, 6, after_s=5000, **kept) == []
    assert scene.troubles.streams["emea"].silent_at
    assert heard(scene, 6, after_s=5000) == []


def test_a_clock_that_is_set_back_brings_no_silence() -> None:
    """Nor does it take any away."""
    scene = Scene()
    heard(scene, 6)
    assert heard(scene, 6, after_s=599) == []
    assert heard(scene, 6, after_s=-10000) == []
    assert [type(fact) for fact in heard(scene, 6, after_s=1)] == [facts.StreamSilent]


def test_a_polled_stream_is_read_all_the_time() -> None:
    """It rests between two polls; in trouble, nobody knows."""
    polled = {"poll_interval_s": 300.0, "is_connected": False, "is_resting": True}
    scene = Scene()
    heard(scene, 6, **polled)
    assert heard(scene, 6, after_s=300, **{**polled, "is_connected": True, "is_resting": False}) == []
    assert heard(scene, 6, after_s=300, **polled) == [facts.StreamSilent("emea", 600.0)]
    scene.tell(REFUSED)
    assert heard(scene, 6, after_s=600, **polled) == []


def test_without_silent_after_nobody_is_silent() -> None:
    """Off by default."""
    scene = Scene()
    heard(scene, 6)
    assert heard(scene, 6, after_s=10**6, silent_after_s=None) == []


# --- other consumers -------------------------------------------------------------------------------


def sharing(scene: Scene, others: int, *, after_s: float = 60.0, **figures: Any) -> list[facts.Fact]:
    """What is made of a stream whose queue has so many other consumers by then."""
    scene.clock.now += after_s
    scene.streams.clear()
    scene.add(others=others, **figures)
    told = scene.troubles.shared(scene.figures())
    scene.tell(*told)
    return told


def test_a_shared_queue_is_told_once_and_its_end() -> None:
    """Others must be there for longer than a dead consumer is remembered."""
    scene = Scene()
    assert sharing(scene, 1) == []
    assert sharing(scene, 1, after_s=SHARED_FROM_S - 1) == []
    assert sharing(scene, 2, after_s=1) == [facts.StreamShared("emea", 2, SHARED_FROM_S)]
    (finding,) = scene.status().warnings
    assert (finding.error_id, finding.since) == ("stream.shared", NOW + 60)
    assert finding.what == "a part of its events goes to 2 other consumers"
    assert sharing(scene, 2) == []
    assert sharing(scene, 0) == [facts.StreamUnshared("emea")]
    assert scene.status().warnings == ()


def test_the_own_dead_consumer_is_no_other() -> None:
    """After a lost connection the broker takes it for alive for a while."""
    scene = Scene()
    assert [sharing(scene, others, after_s=90) for others in (1, 1, 0, 1, 1)] == [[]] * 5


@pytest.mark.parametrize("figures", [{"is_exclusive": True}, {"is_connected": False}])
def test_who_stands_by_shares_nothing(figures: dict[str, Any]) -> None:
    """An exclusive stream has its queue alone or not at all; of one that is not connected nothing is known."""
    scene = Scene()
    sharing(scene, 1, **figures)
    assert sharing(scene, 1, after_s=10 * SHARED_FROM_S, **figures) == []
