"""The journal tells the truth, also when the program is killed at any step of an action."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fluent_plugin_amp.amp_respond.journal import Journal
from fluent_plugin_amp.testing.organisation import Organisation
from fluent_plugin_amp.testing.responses import LocalComputer, Responses
from tests.amp_respond.conftest import SHA256, Run

KILLED = """
import json, os, signal, sys
import httpx
from fluent_plugin_amp.amp_respond import attempt, cli, journal, tasks
from fluent_plugin_amp.config import access
from fluent_plugin_amp.run import lookup

def kill():
    os.kill(os.getpid(), signal.SIGKILL)

def killing(do, before, left):
    def wrapped(*arguments, **options):
        nonlocal left
        left -= 1
        if before and left == 0:
            kill()
        done = do(*arguments, **options)
        if not before and left == 0:
            kill()
        return done
    return wrapped

def prepare(where):
    step, number = where.rsplit("-", 1)
    if step.endswith("append"):
        journal.Journal.append = killing(journal.Journal.append, step.startswith("before"), int(number))
    elif step == "torn":
        write = os.write
        def torn(descriptor, data):
            if not data.startswith(b'{"entry":'):
                return write(descriptor, data)
            write(descriptor, data[:20])
            kill()
        os.write = torn
    else:
        perform = attempt.perform
        async def performed(*arguments):
            await perform(*arguments)
            kill()
        attempt.perform = performed

for line in sys.stdin:
    where, arguments, environ = json.loads(line)
    child = os.fork()
    if child == 0:
        os.dup2(2, 1)
        os.environ.update(environ)
        sys.argv[1:] = arguments
        prepare(where)
        cli.main()
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""
"""Reads commands, and runs each in a process of its own that is killed at a step: the program is loaded once."""

KINDS = {
    "isolate": ["desk-014"],
    "release": ["desk-014"],
    "block": [SHA256, "--list", "SOC list"],
    "unblock": [SHA256, "--list", "SOC list"],
    "move": ["desk-014", "--group", "Triage"],
    "undo": [],
}
CHANGED: dict[str, object] = {
    "isolate": "pending_start",
    "release": "pending_stop",
    "block": [SHA256],
    "unblock": [],
    "move": "Triage",
    "undo": "pending_stop",
}
"""What is to be seen right after the action."""


@pytest.fixture(scope="module")
def killed() -> Iterator[Callable[..., int]]:
    """``killed(where, *arguments)``: the exit status of `amp-respond` that is killed at this step."""
    server = subprocess.Popen(
        [sys.executable, "-c", KILLED], stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8"
    )

    def killed(where: str, *arguments: str) -> int:
        assert server.stdin is not None
        assert server.stdout is not None
        print(json.dumps([where, arguments, dict(os.environ)]), file=server.stdin, flush=True)
        return int(server.stdout.readline())

    with server:
        yield killed
        server.communicate(timeout=60)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("where", "is_done", "outcomes"),
    [
        ("before-append-1", False, []),
        ("torn-1", False, []),
        ("after-append-1", False, ["unknown"]),
        ("performed-1", True, ["unknown"]),
        ("before-append-2", True, ["unknown"]),
        ("after-append-2", True, ["done"]),
    ],
)
def test_a_killed_program_leaves_a_journal_that_is_true(
    killed: Callable[..., int],
    run: Run,
    computer: LocalComputer,
    organisation: Organisation,
    responses: Responses,
    kind: str,
    where: str,
    is_done: bool,
    outcomes: list[str],
) -> None:
    """Nothing was changed that is not asked in it; `done` stands there only for what was; `unknown` is no lie.

    What was or may have been done can be undone; then it is as it was before.
    """
    soc = responses.add_list("SOC list")
    if kind == "release":
        computer.status = "isolated"
    if kind == "unblock":
        soc.files[SHA256] = ""
    journal = Journal(Path(os.environ["AMP_RESPOND_JOURNAL"]))
    arguments = KINDS[kind]
    if kind == "undo":
        run("isolate", "desk-014", "--yes", "--reason", "case 77")
        arguments = [journal.entries()[0][0].id]

    def state() -> object:
        if kind == "move":
            return organisation.groups[computer.group_guid]
        return list(soc.files) if kind in ("block", "unblock") else computer.status

    before = state()
    assert killed(where, kind, *arguments, "--yes", "--reason", "case 77") == -signal.SIGKILL
    assert state() == (CHANGED[kind] if is_done else before)
    found, broken = journal.entries()
    assert [entry.outcome for entry in found] == [*(["done"] if kind == "undo" else []), *outcomes]
    assert broken == (where == "torn-1")
    if outcomes:  # the lock went with the process
        left = kind == "move" and not is_done
        said = run("undo", found[-1].id, "--yes", code=77 if left else 0)
        assert ("respond.nothing-to-undo" in said.stderr) is left
        assert state() == before
    else:
        with journal.writing():
            pass


@pytest.mark.parametrize("kind", ["isolate", "release", "block", "unblock"])
def test_a_killed_program_that_had_nothing_to_do_changed_nothing(
    killed: Callable[..., int], run: Run, computer: LocalComputer, responses: Responses, kind: str
) -> None:
    """Its entry is `unknown`, and says that it was so before: undo leaves alone what a colleague did."""
    soc = responses.add_list("SOC list")
    if kind == "isolate":
        computer.status = "isolated"
    if kind == "block":
        soc.files[SHA256] = "by somebody else"
    before = (computer.status, dict(soc.files))
    assert killed("after-append-1", kind, *KINDS[kind], "--yes", "--reason", "case 77") == -signal.SIGKILL
    (entry,) = Journal(Path(os.environ["AMP_RESPOND_JOURNAL"])).entries()[0]
    assert entry.outcome == "unknown"
    assert "it was so already" in run("undo", entry.id, "--yes", code=77).stderr
    assert (computer.status, soc.files) == before
