from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import pytest

from fluent_plugin_amp import facts
from fluent_plugin_amp.cisco.errors import CloudRateLimited
from fluent_plugin_amp.errors import (
    AckTimeout,
    BrokerCredentialsRefused,
    ConfigError,
    IncludeBroken,
    ServerUnreachable,
)
from fluent_plugin_amp.observe import conditions
from fluent_plugin_amp.observe.conditions import LATE_FROM_S, Level
from fluent_plugin_amp.observe.snapshot import HuntsSnapshot, Proof
from fluent_plugin_amp.observe.status import Finding, Readiness, Status
from fluent_plugin_amp.observe.troubles import INTERNAL_SHOWN_S
from fluent_plugin_amp.source.transitions import Reason, State
from fluent_plugin_amp.state.errors import StateCorrupt, StateDiskFull
from tests.observe.scenes import NOW, Scene, connected, server_trouble, trouble

REFUSED = BrokerCredentialsRefused("broker:443 refused the user name or the password")
UNREACHABLE = ServerUnreachable("no connection: Connection refused")


def ids(findings: tuple[Finding, ...]) -> list[str]:
    """The error ids of these."""
    return [finding.error_id for finding in findings]


def well() -> Scene:
    """One stream and one server, both well."""
    return Scene().add().add_server()


def only_stream(status: Status) -> tuple[str, Level, list[str]]:
    """Word, level and findings of the only stream."""
    (stream,) = status.streams
    return stream.word, stream.level, ids(stream.findings)


def test_all_is_well() -> None:
    """A stream that consumes, a server that acks: nothing to tell."""
    status = well().status()
    assert (status.findings, status.level) == ((), Level.OK)
    assert only_stream(status) == ("consuming", Level.OK, [])
    assert status.servers[0].word == "acknowledging"


@pytest.mark.parametrize("state", [State.TRIAL, State.FULL])
def test_an_idle_stream_consumes(state: State) -> None:
    """It waits for its first event, for days perhaps, with a consumer on the queue."""
    assert only_stream(Scene().add(state=state).status()) == ("consuming", Level.OK, [])


def test_between_trial_and_full_it_consumes() -> None:
    """The consumer is changed for one with more prefetch."""
    status = Scene().add(state=State.PROVEN, reason=Reason.TRIAL).status()
    assert only_stream(status) == ("consuming", Level.OK, [])


@pytest.mark.parametrize(
    ("state", "reason", "word", "condition"),
    [
        (State.HELD, Reason.NO_SERVER, "waiting", conditions.NO_SERVER),
        (State.HELD, Reason.PAUSED, "paused", conditions.PAUSED),
        (State.HELD, Reason.MEMORY_LIMIT, "waiting", conditions.WAITS_FOR_MEMORY),
        (State.BRAKED, Reason.MEMORY_LIMIT, "slowed", conditions.SLOWED),
        (State.STOPPING, Reason.SERVER_ACKED, "stopping", conditions.STOPPING),
    ],
)
def test_a_state_that_is_worth_telling(
    state: State, reason: Reason, word: str, condition: conditions.Condition
) -> None:
    """The word for the row, the condition's id, remedy and level."""
    status = Scene().add(state=state, reason=reason).status()
    assert only_stream(status) == (word, condition.level, [condition.id])
    assert status.findings[0].remedy == condition.remedy
    assert bool(status.reasons) == condition.blocks


def test_standing_by_is_well() -> None:
    """Another process has the queue; this one is ready to take over."""
    status = Scene().add(is_exclusive=True, state=State.HELD, reason=Reason.STANDING_BY).status()
    assert only_stream(status) == ("standing by", Level.OK, [])


def test_a_stream_that_has_ended_is_not_about_to_connect() -> None:
    """The process is stopping: that is what is told of it."""
    status = Scene().add(is_connected=False, state=State.STOPPING).status()
    assert only_stream(status) == ("stopping", Level.WARNING, ["stream.stopping"])
    assert (status.stopping, status.connecting) == (1, 0)


def test_a_refused_password() -> None:
    """The stream's error, since when, and what to do."""
    scene = Scene().add(is_connected=False, messages_ready=None, oldest_waiting_s=None)
    scene.tell(trouble(REFUSED), after_s=3).tell(trouble(REFUSED), after_s=7)
    status = scene.status()
    assert only_stream(status) == ("not connected", Level.TROUBLE, ["amqp.credentials-refused"])
    (reason,) = status.reasons
    assert (reason.what, reason.remedy, reason.since) == (str(REFUSED), REFUSED.remedy, NOW + 3)
    assert (reason.streams, reason.server) == (("emea",), "")


def test_not_connected_yet() -> None:
    """No error so far: it is about to begin."""
    status = Scene().add(is_connected=False, messages_ready=None).status()
    assert only_stream(status) == ("connecting", Level.WARNING, ["stream.connecting"])
    assert status.reasons


def test_a_trouble_that_is_over_is_told_as_the_last_one() -> None:
    """It is no finding any more."""
    status = Scene().add().tell(trouble(REFUSED), connected()).status()
    assert status.findings == ()
    assert status.streams[0].last_trouble is not None


def test_falling_behind() -> None:
    """A warning that says how many wait, how old they are and where it goes; the stream stays ready."""
    behind = facts.StreamBehind("emea", 5, 5, 5, False)
    scene = Scene().tell(behind).add(messages_ready=1200, oldest_waiting_s=300, growth_per_s=12.5)
    status = scene.status()
    assert only_stream(status) == ("falling behind", Level.WARNING, ["stream.falling-behind"])
    assert status.warnings[0].what == "1,200 events wait, the oldest for about 5 min; growing by 12 a second"
    assert not status.reasons
    scene = Scene().tell(behind).add(messages_ready=1200, oldest_waiting_s=300, growth_per_s=-10.0)
    assert only_stream(scene.status())[0] == "catching up"


@pytest.mark.parametrize(
    ("growth_per_s", "remedy"),
    [
        (12.5, "raise forward.max_in_flight"),
        (0.0, "raise forward.max_in_flight"),
        (-3.0, "Nothing to do"),
        (None, "See"),
    ],
)
def test_advice_only_for_a_queue_that_does_not_shrink(growth_per_s: float | None, remedy: str) -> None:
    """Right after an outage there is a backlog, and nothing to be tuned."""
    scene = Scene().tell(facts.StreamBehind("emea", 5, 5, 5, False))
    status = scene.add(messages_ready=1200, oldest_waiting_s=300, growth_per_s=growth_per_s).status()
    assert remedy in status.warnings[0].remedy
    assert ids(status.findings) == ["stream.falling-behind"]


def test_a_queue_behind_a_server_that_takes_nothing() -> None:
    """It shrank a minute ago, and will not: "nothing to do" would be wrong, and the server is where to look."""
    scene = Scene().tell(facts.StreamBehind("emea", 5, 5, 5, False))
    scene.add(messages_ready=1200, oldest_waiting_s=300, growth_per_s=-3.0)
    scene.add_server(owes_ack_s=conditions.SLOW_ACK_FROM_S + 25)
    findings = [finding for finding in scene.status().findings if finding.error_id == "stream.falling-behind"]
    assert [finding.remedy for finding in findings] == [conditions.BEHIND_OTHERS.remedy]


@pytest.mark.parametrize(
    ("hunts", "condition"),
    [((HuntsSnapshot("acme/hunts", 1, 0, 0),), conditions.BEHIND_OTHERS), ((), conditions.FALLING_BEHIND)],
)
def test_a_queue_behind_a_state_file_in_trouble(
    hunts: tuple[HuntsSnapshot, ...], condition: conditions.Condition
) -> None:
    """Events that ask for a hunt wait for it: "raise forward.max_in_flight" would be wrong."""
    scene = Scene().tell(facts.StreamBehind("emea", 5, 5, 5, False)).add_server()
    scene.add(messages_ready=1200, oldest_waiting_s=300, growth_per_s=12.5)
    scene.tell(facts.StateTrouble("/var/lib/state", StateDiskFull("no space left"), 5.0))
    found = scene.status(hunts=hunts).findings
    assert [each.remedy for each in found if each.error_id == "stream.falling-behind"] == [condition.remedy]


def test_events_about_to_be_deleted() -> None:
    """More than a warning, on top of what keeps the stream from being emptied."""
    scene = Scene().tell(facts.StreamBehind("emea", 5, 5, 5, True))
    scene.add(state=State.HELD, reason=Reason.NO_SERVER, messages_ready=5, oldest_waiting_s=8 * 86400.0)
    assert only_stream(scene.status()) == ("waiting", Level.TROUBLE, ["stream.no-server", "stream.expiring"])


def test_tags_used_up() -> None:
    """A warning that keeps nothing from being ready."""
    scene = Scene().add(tags=12, tags_used_up=True).tell(facts.TagsUsedUp("emea", 12))
    status = scene.status()
    assert ([finding.error_id for finding in status.warnings], status.reasons) == (["stream.tags-used-up"], ())


def test_completeness() -> None:
    """What is missing is a finding since its hour; so is a record that is due for an hour. Neither blocks."""
    now, late_s = int(NOW), int(LATE_FROM_S)
    proof = Proof(now - 9000, now - late_s + 1, 0, 0, {})
    assert Scene().add(proof=proof).status().findings == ()
    late = replace(proof, due_at=now - late_s, missing=2, missing_since=now - 20_000)
    status = Scene().add(proof=late).status()
    assert [(each.error_id, each.since) for each in status.findings] == [
        ("completeness.missing", now - 20_000),
        ("completeness.late", now - late_s),
    ]
    assert status.readiness is Readiness.READY
    assert "2 events" in status.findings[0].what


def test_schema_drift() -> None:
    """A warning with the first path."""
    scene = (
        Scene().add(drift_sample=("field", "file.novelty")).tell(facts.SchemaDrift("emea", "field", "file.novelty"))
    )
    (finding,) = scene.status().warnings
    assert (finding.error_id, "field file.novelty" in finding.what) == ("stream.schema-drift", True)


def test_requeued_often() -> None:
    """The queue's delivery limit is near: that is told while the stream consumes one event at a time."""
    scene = Scene().add(state=State.TRIAL).tell(facts.DeliveryRequeuedOften("emea", 7))
    assert only_stream(scene.status()) == ("consuming", Level.TROUBLE, ["stream.requeued-often"])


# --- servers ---------------------------------------------------------------------------------------


def test_the_only_server_is_down() -> None:
    """The reason stands before its consequence, which is told once for all streams."""
    scene = Scene().add_server(is_up=False).tell(server_trouble(UNREACHABLE), after_s=4)
    scene.add("d", state=State.FULL)
    for name in ("a", "b", "c"):
        scene.add(name, state=State.HELD, reason=Reason.NO_SERVER)
        scene.tell(facts.StreamHeld(name, Reason.NO_SERVER.value), after_s=1)
    status = scene.status(is_available=False)
    assert ids(status.reasons) == ["forward.unreachable", "stream.no-server"]
    server, streams = status.reasons
    assert (server.server, server.streams, server.since) == ("a:24224", (), NOW + 4)
    assert (streams.server, streams.streams, streams.since) == ("", ("d", "a", "b", "c"), NOW + 4)
    assert status.servers[0].word == "down"


def test_one_of_two_servers_is_down() -> None:
    """A warning: the other one acks."""
    scene = well().add_server("b:24224", is_up=False).tell(server_trouble(UNREACHABLE, "b:24224"))
    status = scene.status()
    assert not status.reasons
    assert ids(status.warnings) == ["forward.unreachable"]
    assert status.level is Level.WARNING


def test_a_server_that_is_up_and_does_not_ack() -> None:
    """Connected and in doubt, with the error that put it there."""
    scene = Scene().add_server(is_doubtful=True).tell(server_trouble(AckTimeout("no ack within 60 s")))
    scene.tell(facts.ServerConnected("a:24224"))
    status = scene.status(is_available=False)
    assert status.servers[0].word == "in doubt"
    assert ids(status.reasons) == ["forward.ack-timeout"]


def test_a_server_that_was_never_connected() -> None:
    """No error so far."""
    status = Scene().add_server(is_up=False).status(is_available=False)
    assert (status.servers[0].word, ids(status.reasons)) == ("connecting", ["forward.connecting"])


def test_a_server_that_owes_an_ack() -> None:
    """Told before the timeout is over, and not a reason for being unready."""
    status = Scene().add_server(in_flight=1, owes_ack_s=conditions.SLOW_ACK_FROM_S).status()
    assert (status.servers[0].word, ids(status.warnings)) == ("slow", ["forward.slow-ack"])
    assert not status.reasons
    assert Scene().add_server(in_flight=1, owes_ack_s=conditions.SLOW_ACK_FROM_S - 0.1).status().findings == ()


def test_a_standby_server_is_called_so() -> None:
    """Unless it has something to do."""
    scene = well().add_server("b", is_standby=True).add_server("c", is_standby=True, in_flight=1)
    assert [server.word for server in scene.status().servers] == ["acknowledging", "standing by", "acknowledging"]


# --- the state file --------------------------------------------------------------------------------


def test_a_state_file_in_trouble() -> None:
    """A warning: events are delivered without it; over when the file is in use again."""
    scene = well().tell(facts.StateTrouble("/var/lib/state", StateDiskFull("no space left"), 5.0), after_s=2)
    status = scene.status()
    assert (ids(status.warnings), status.reasons, status.level) == (["state.disk-full"], (), Level.WARNING)
    assert (status.findings[0].who, status.findings[0].since) == ("State file /var/lib/state", NOW + 2)
    assert scene.tell(facts.StateRecovered("/var/lib/state")).status().findings == ()


def test_a_state_file_that_events_wait_for() -> None:
    """With combined records it blocks: those events are not acknowledged before their part is safe."""
    scene = well().tell(facts.StateTrouble("/var/lib/state", StateCorrupt("malformed"), 5.0))
    status = scene.status(incidents_open=0)
    assert (ids(status.reasons), status.level) == (["state.corrupt"], Level.TROUBLE)
    assert "wait for it, unacknowledged" in status.findings[0].what
    assert scene.tell(facts.StateRecovered("/var/lib/state")).status(incidents_open=0).findings == ()


def test_what_was_set_aside_stays_a_finding() -> None:
    """Nobody has looked at it yet; it does not block. The same words are one finding, and there is an end."""
    scene = well()
    for table in range(50):
        for _ in range(3):
            scene.tell(facts.StateSetAside("/var/lib/state", StateCorrupt(f"garbled {table}", remedy="look")))
    status = scene.status()
    assert (status.reasons, status.level) == ((), Level.WARNING)
    assert [each.what for each in status.findings] == [f"garbled {table}" for table in range(8)]
    assert {(each.error_id, each.remedy, each.who) for each in status.findings} == {
        ("state.corrupt", "look", "State file /var/lib/state")
    }


# --- the plugin itself -----------------------------------------------------------------------------


def test_a_fault_of_the_plugins_own() -> None:
    """A warning with the place, for an hour after the last time."""
    fault = facts.InternalError("combining", KeyError("a value"))
    scene = well().tell(fault, fault, after_s=2)
    (finding,) = scene.status().warnings
    assert (finding.error_id, finding.level, finding.since) == ("internal.error", Level.WARNING, NOW + 2)
    assert (finding.who, finding.what) == ("The plugin itself (combining)", "KeyError, contained; 2 in all")
    assert scene.status().reasons == ()
    assert scene.tell(after_s=INTERNAL_SHOWN_S).status().findings == ()


def test_faults_in_two_places_are_two_findings() -> None:
    """Each is to be reported."""
    scene = well().tell(*(facts.InternalError(where, KeyError()) for where in ("event", "watch")))
    assert [finding.part for finding in scene.status().findings] == ["event", "watch"]


@pytest.mark.parametrize("error", [IncludeBroken("d/a.yml:1: wrong"), ConfigError("c.yml:1: wrong")])
def test_a_reload_that_left_something_out_is_told_until_one_does_not(error: ConfigError) -> None:
    """A warning since the first of them: events flow, and the next start is refused."""
    scene = well().tell(facts.ReloadTrouble(error), after_s=2)
    scene.tell(facts.Reloaded("nothing changed"), facts.ReloadTrouble(error), after_s=3600)
    (finding,) = scene.status().warnings
    assert (finding.error_id, finding.what, finding.remedy) == (error.id, str(error), error.remedy)
    assert (finding.who, finding.since) == ("The last reload", NOW + 2)
    assert scene.status().reasons == ()
    assert scene.tell(facts.Reloaded("nothing changed")).status().findings == ()


def test_a_source_in_trouble_is_told_until_a_round_is_done_or_it_ends() -> None:
    """It holds up no stream, so the plugin is ready all the same."""
    for end in (facts.SourcePolled("acme/audit_logs", 0.1, 300.0), facts.SourceEnded("acme/audit_logs")):
        scene = well().tell(facts.SourceTrouble("acme/audit_logs", CloudRateLimited("429"), 5.0), after_s=2)
        (finding,) = scene.status().warnings
        assert (finding.who, finding.error_id) == ("Source acme/audit_logs", "cloud.rate-limited")
        assert finding.since == NOW + 2
        assert scene.status().reasons == ()
        assert scene.tell(end).status().findings == ()


# --- together --------------------------------------------------------------------------------------


def test_streams_with_different_errors_are_told_apart() -> None:
    """And those with the same are told together, since the first of them."""
    scene = Scene()
    for number, name in enumerate("abcd"):
        scene.add(name, is_connected=False)
        scene.tell(trouble(BrokerCredentialsRefused(f"broker {number % 2}"), name), after_s=1)
    assert [(each.what, each.streams, each.since) for each in scene.status().findings] == [
        ("broker 0", ("a", "c"), NOW + 1),
        ("broker 1", ("b", "d"), NOW + 2),
    ]


def test_the_worst_stands_first() -> None:
    """What blocks, then what is trouble, then warnings; servers before streams."""
    scene = Scene().add("slow").add("refused", is_connected=False).add("often", state=State.TRIAL)
    scene.tell(facts.StreamBehind("slow", 1, 1, 1, False), facts.DeliveryRequeuedOften("often", 5))
    scene.tell(trouble(REFUSED, "refused"))
    scene.add_server().add_server("b", is_up=False).tell(server_trouble(UNREACHABLE, "b"))
    assert ids(scene.status().findings) == [
        "amqp.credentials-refused",
        "stream.requeued-often",
        "forward.unreachable",
        "stream.falling-behind",
    ]


def test_degraded_is_not_the_same_as_not_ready() -> None:
    """Some streams consume and others do not; or none does."""
    scene = well()
    assert scene.status().readiness is Readiness.READY
    scene.add("bad", is_connected=False).tell(trouble(REFUSED, "bad"))
    assert scene.status().readiness is Readiness.DEGRADED
    assert scene.status(is_available=False).readiness is Readiness.NOT_READY
    scene.streams.pop(0)
    assert scene.status().readiness is Readiness.NOT_READY


def test_a_summary_of_many_streams() -> None:
    """How many do what, in one line."""
    scene = Scene()
    for number in range(298):
        scene.add(f"s{number}")
    assert scene.status().summary == "298 of 298 streams consuming"
    scene.add("bad", is_connected=False).tell(trouble(REFUSED, "bad"))
    assert scene.status().summary == "298 of 299 streams consuming, 1 in trouble"
    scene.add("new", is_connected=False)
    assert scene.status().summary == "298 of 300 streams consuming, 1 in trouble, 1 connecting"


def test_conditions_have_ids_of_their_own() -> None:
    """No two of them, and none that an error has; `ALL` has every one, and so has docs/operations.md."""
    from fluent_plugin_amp.commands.errors_reference import MODULES

    of_errors = {getattr(value, "id", None) for module in MODULES for value in vars(module).values()}
    assert len({condition.id for condition in conditions.ALL}) == len(conditions.ALL)
    assert not of_errors & {condition.id for condition in conditions.ALL}
    assert all(len(condition.remedy) > 20 for condition in conditions.ALL)
    written = {value.id for value in vars(conditions).values() if isinstance(value, conditions.Condition)}
    assert written == {condition.id for condition in conditions.ALL}


def test_every_state_has_a_word() -> None:
    """Whatever the flow says, the page can tell."""
    for state, reason, is_connected in itertools.product(State, Reason, (True, False)):
        status = Scene().add(state=state, reason=reason, is_connected=is_connected).status()
        assert only_stream(status)[0]


@pytest.mark.parametrize(
    ("figures", "word"),
    [
        ({"is_connected": False, "is_resting": True}, "resting"),
        ({"is_connected": False}, "connecting"),
        ({"state": State.ROUND_OVER}, "consuming"),
    ],
    ids=["between two polls", "as a poll begins", "as a poll ends"],
)
def test_a_polled_stream_is_well(figures: dict[str, Any], word: str) -> None:
    """It comes and goes; a probe that asks at any moment of it hears that all is well."""
    scene = Scene().tell(connected(), after_s=1).add(poll_interval_s=60.0, **figures).add_server()
    status = scene.status()
    assert (status.streams[0].word, status.findings) == (word, ())


def test_a_polled_stream_in_trouble() -> None:
    """As any other; and before it was ever connected it is not ready."""
    scene = Scene().add(is_connected=False, poll_interval_s=60.0).add_server()
    assert [finding.error_id for finding in scene.status().reasons] == ["stream.connecting"]
    scene.tell(trouble(BrokerCredentialsRefused("no")))
    assert [finding.error_id for finding in scene.status().reasons] == ["amqp.credentials-refused"]


def test_what_a_polled_source_does() -> None:
    """In a word, and the worst first: trouble, a wait for the rate limit, a long list, or nothing to do."""
    scene = (
        Scene().add_source("a/new").add_source("b/idle", polled_at=NOW).add_source("c/reads", polled_at=NOW, read=1)
    )
    scene.add_source("d/waits", read=1, waits_until=NOW + 60).add_source("e/troubled", polled_at=NOW)
    scene.tell(facts.SourceTrouble("e/troubled", ServerUnreachable("x"), 5.0))
    found = scene.status()
    assert [source.word for source in found.sources] == ["starting", "polled", "reading", "waiting", "in trouble"]
    assert [source.level for source in found.sources] == [Level.OK] * 4 + [Level.WARNING]
    assert found.findings == found.sources[-1].findings


def test_events_that_ask_for_a_hunt_wait_for_the_state_file() -> None:
    """It is said; the plugin stays ready, since all other events go on."""
    scene = well().tell(facts.StateTrouble("/var/lib/state", StateDiskFull("no space left"), 5.0))
    status = scene.status(hunts=(HuntsSnapshot("acme/hunts", 1, 0, 0),))
    (finding,) = status.findings
    assert "events that ask for a hunt wait" in finding.what
    assert status.reasons == ()
