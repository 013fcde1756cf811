"""An Erlang node on our pipe: it answers, says why it failed, and never outlives us."""

from __future__ import annotations

import base64
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fluent_plugin_amp.testing.erlang import ErlangNode, NodeError, clean_environment, erlang_binary
from fluent_plugin_amp.testing.ports import free_port
from fluent_plugin_amp.testing.waiting import DEADLINE_S

pytestmark = pytest.mark.skipif(shutil.which("erl") is None, reason="no erl on PATH")

OWNER = """
import sys
from pathlib import Path
from fluent_plugin_amp.testing.erlang import ErlangNode, clean_environment
from fluent_plugin_amp.testing.ports import free_port
node = ErlangNode(["erl"], name="owned@localhost", port=free_port(), folder=Path(sys.argv[1]),
    environment=clean_environment(HOME=sys.argv[1]), await_ready="ok")
node.start(60)
print(node.pid, flush=True)
sys.stdin.read()
"""


def make_node(folder: Path, await_ready: str = "ok") -> ErlangNode:
    """A bare node without any application."""
    return ErlangNode(
        ["erl"],
        name="test@localhost",
        port=free_port(),
        folder=folder,
        environment=clean_environment(HOME=str(folder)),
        await_ready=await_ready,
    )


def is_alive(pid: int) -> bool:
    """Whether the process exists and is no zombie."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes() != b""
    except OSError:
        return False


def test_expressions_are_evaluated_in_turn(tmp_path: Path) -> None:
    """A value, an error and a value again; each answer belongs to its question."""
    node = make_node(tmp_path)
    node.start(60)
    assert node.evaluate("{1 + 1,\n <<1, 2>>}.") == "{2,<<1,2>>}"
    with pytest.raises(NodeError, match="badarith"):
        node.evaluate("1 / 0")
    with pytest.raises(NodeError, match="failed"):
        node.evaluate("no erlang at all")
    assert node.evaluate('io:format("chatter~n"), lists:seq(1, 100)').startswith("[1,2,3")
    assert node.output == "chatter"
    node.kill()


@pytest.mark.parametrize("text", ["", "a", '"}>>\\', "ü \n\0"])
def test_text_goes_through_unchanged(tmp_path: Path, text: str) -> None:
    """Whatever a name or a password holds, it is data in an expression."""
    node = make_node(tmp_path)
    node.start(60)
    answer = node.evaluate(f"binary_to_list(base64:encode({erlang_binary(text)}))")
    node.kill()
    assert base64.b64decode(answer.strip('"[]')) == text.encode()


def test_a_node_needs_no_epmd(tmp_path: Path) -> None:
    """The node is alive under its name, and nothing was started but itself."""
    node = make_node(tmp_path)
    node.start(60)
    assert node.evaluate("node()") == "test@localhost"
    assert node.evaluate("is_alive()") == "true"
    children = Path(f"/proc/{node.pid}/task/{node.pid}/children").read_text().split()
    commands = {Path(f"/proc/{child}/comm").read_text().strip() for child in children}
    assert commands == {"erl_child_setup"}
    node.kill()


@pytest.mark.parametrize(
    ("await_ready", "reason"),
    [
        ('io:format("out of luck~n"), erlang:halt(1)', "ended\nout of luck"),
        ("timer:sleep(infinity)", "no answer from the node within 3 s"),
    ],
)
def test_a_node_that_cannot_start_says_why(tmp_path: Path, await_ready: str, reason: str) -> None:
    """The error ends with the node's own words, and nothing is left running."""
    node = make_node(tmp_path, await_ready)
    with pytest.raises(NodeError, match=reason):
        node.start(3)
    assert not node.running


def test_a_node_without_an_answer_is_ended(tmp_path: Path) -> None:
    """After a timeout the next answer would be the wrong one, so there is none."""
    node = make_node(tmp_path)
    node.start(60)
    with pytest.raises(NodeError, match="no answer"):
        node.evaluate("timer:sleep(infinity)", timeout_s=0.1)
    assert not node.running
    with pytest.raises(NodeError, match="not running"):
        node.evaluate("1")


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_a_node_can_be_ended_and_started_again(tmp_path: Path, end: str) -> None:
    """In order or not, twice without harm; then it starts anew."""
    node = make_node(tmp_path)
    node.start(60)
    with pytest.raises(NodeError, match="running already"):
        node.start(60)
    pid = node.pid
    getattr(node, end)()
    node.kill()
    assert not is_alive(pid)
    node.start(60)
    assert node.pid != pid
    node.kill()


def test_stopping_a_frozen_node_ends_it_too(tmp_path: Path) -> None:
    """A node that cannot see the end of its input is killed."""
    node = make_node(tmp_path)
    node.start(60)
    node.signal(signal.SIGSTOP)
    node.stop(timeout_s=0.1)
    assert not node.running


@pytest.mark.parametrize("end", ["killed", "exit", "interrupted"])
def test_the_node_ends_with_its_owner(tmp_path: Path, end: str) -> None:
    """However the process that started it ends."""
    with subprocess.Popen(
        [sys.executable, "-c", OWNER, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as owner:
        assert owner.stdin is not None
        assert owner.stdout is not None
        pid = int(owner.stdout.readline())
        assert is_alive(pid)
        match end:
            case "killed":
                owner.kill()
            case "interrupted":
                owner.terminate()
            case _:
                owner.stdin.close()
    deadline = time.monotonic() + DEADLINE_S
    while is_alive(pid):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_settings_of_other_nodes_are_not_inherited(monkeypatch: pytest.MonkeyPatch) -> None:
    """What configures Erlang or RabbitMQ on this machine does not reach a private node."""
    monkeypatch.setenv("RABBITMQ_NODENAME", "somebody@elsewhere")
    monkeypatch.setenv("ERL_FLAGS", "-name somebody")
    environment = clean_environment(HOME="/home")
    assert not [name for name in environment if name.startswith(("RABBITMQ_", "ERL_"))]
    assert environment["HOME"] == "/home"
    assert "PATH" in environment
