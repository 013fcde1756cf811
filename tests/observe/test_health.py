from __future__ import annotations

import asyncio

from fluent_plugin_amp import __version__, facts
from fluent_plugin_amp.errors import BrokerCredentialsRefused, ServerUnreachable
from fluent_plugin_amp.observe.health import STUCK_AFTER_S, Heart, healthz, readyz
from fluent_plugin_amp.source.transitions import Reason, State
from fluent_plugin_amp.state.errors import StateDiskFull
from tests.observe.scenes import Clock, Scene, server_trouble, trouble


async def test_a_loop_that_turns() -> None:
    """The heart beats in it."""
    clock = Clock()
    heart = Heart(clock)
    clock.now += STUCK_AFTER_S
    beating = asyncio.create_task(heart.beat())
    await asyncio.sleep(0)
    assert healthz(heart) == (True, {"alive": True, "loop_silent_s": 0.0, "version": __version__})
    beating.cancel()


def test_a_loop_that_was_stuck() -> None:
    """No beat for too long."""
    clock = Clock()
    heart = Heart(clock)
    clock.now += STUCK_AFTER_S - 0.001
    assert healthz(heart)[0]
    clock.now += 0.001
    assert healthz(heart) == (False, {"alive": False, "loop_silent_s": STUCK_AFTER_S, "version": __version__})


def test_ready() -> None:
    """Nothing to say."""
    said = {"ready": True, "state": "ready", "reasons": [], "warnings": []}
    assert readyz(Scene().add().add_server().status()) == (True, said)


def test_not_ready() -> None:
    """Each reason with what it is about, id, words, remedy and time; warnings apart."""
    scene = (
        Scene().add("a", state=State.HELD, reason=Reason.NO_SERVER).add("b", messages_ready=3, oldest_waiting_s=90)
    )
    scene.add_server(is_up=False).tell(server_trouble(ServerUnreachable("no connection", remedy="Start it.")))
    scene.tell(facts.StreamHeld("a", Reason.NO_SERVER.value), facts.StreamBehind("b", 3, 90, None, False))
    ready, body = readyz(scene.status(is_available=False))
    assert not ready
    assert body["ready"] is False
    server, streams = body["reasons"]
    assert server == {
        "server": "a:24224",
        "error_id": "forward.unreachable",
        "what": "no connection",
        "remedy": "Start it.",
        "since": "2023-11-14T22:13:20Z",
    }
    assert (streams["streams"], streams["error_id"]) == (["a", "b"], "stream.no-server")
    assert [warning["error_id"] for warning in body["warnings"]] == ["stream.falling-behind"]


def test_degraded() -> None:
    """One of three hundred passwords is wrong: events of the others flow, and that may be enough for a probe."""
    scene = Scene().add("well").add("bad", is_connected=False).add_server()
    scene.tell(trouble(BrokerCredentialsRefused("refused"), "bad"))
    assert (readyz(scene.status())[0], readyz(scene.status(), "any")[0]) == (False, True)
    body = readyz(scene.status(), "any")[1]
    assert (body["ready"], body["state"]) == (True, "degraded")
    assert [reason["error_id"] for reason in body["reasons"]] == ["amqp.credentials-refused"]


def test_nothing_flows() -> None:
    """No stream consumes, or no server takes events: that is not ready by any measure."""
    scene = Scene().add("bad", is_connected=False).add_server()
    scene.tell(trouble(BrokerCredentialsRefused("refused"), "bad"))
    assert readyz(scene.status(), "any")[0] is False
    assert readyz(scene.status(), "any")[1]["state"] == "not ready"
    scene = Scene().add("well").add_server(is_up=False)
    assert readyz(scene.status(is_available=False), "any")[0] is False


def test_a_warning_about_the_state_file() -> None:
    """Named by its path."""
    scene = Scene().add().tell(facts.StateTrouble("/s", StateDiskFull("no space left"), 5.0))
    assert readyz(scene.status())[1]["warnings"][0]["state_file"] == "/s"


def test_a_warning_about_the_plugin_itself() -> None:
    """Named by the part."""
    scene = Scene().add().tell(facts.InternalError("watch", KeyError()))
    ready, body = readyz(scene.status())
    assert ready
    assert (body["warnings"][0]["part"], body["warnings"][0]["error_id"]) == ("watch", "internal.error")


def test_warnings_alone_are_ready() -> None:
    """A restart would not help."""
    ready, body = readyz(Scene().add(state=State.BRAKED).status())
    assert ready
    assert [warning["error_id"] for warning in body["warnings"]] == ["stream.slowed"]
