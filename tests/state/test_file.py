"""A state file in use: what a killed process committed is there, and trouble with the disk stops nothing."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from fluent_plugin_amp.backoff import Pace
from fluent_plugin_amp.errors import PluginError
from fluent_plugin_amp.facts import Fact, StateOpened, StateRecovered, StateTrouble
from fluent_plugin_amp.model import Delivery, EventIdentity
from fluent_plugin_amp.pipeline.delivered import digest_of
from fluent_plugin_amp.state import lock
from fluent_plugin_amp.state.errors import StateCorrupt, StateInUse, StateTooNew, StateUnusable
from fluent_plugin_amp.state.file import StateFile
from fluent_plugin_amp.state.schema import MIGRATIONS
from fluent_plugin_amp.state.store import Store
from fluent_plugin_amp.testing.waiting import DEADLINE_S
from tests.ledgers import FakeLedger


def batch(number: int, size: int = 5) -> list[Delivery]:
    """Events that are recorded together."""
    return [
        Delivery(
            "a",
            FakeLedger(),
            1,
            b"",
            digest=digest_of(b"%d.%d" % (number, each)),
            facts=EventIdentity(number, each, 0, 0, ""),
        )
        for each in range(size)
    ]


def state_file(path: Path, facts: list[Fact]) -> StateFile:
    """One that tries again soon."""
    file = StateFile(path, 1000.0, facts.append)
    file.writer._pace = Pace(0.01, 30.0)
    return file


async def until(condition: Callable[[], object]) -> None:
    """Wait for it."""
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.001)


def in_file(path: Path) -> dict[int, int]:
    """How many events of each batch the file has."""
    tool = Store.open(path)
    counts: dict[int, int] = {}
    for event in tool.delivered_between("a", 0, 10**9):
        number = event.facts.event_id
        assert isinstance(number, int)
        counts[number] = counts.get(number, 0) + 1
    tool.close()
    return counts


# --- kill -9 -------------------------------------------------------------------------------------

RECORD_FOR_EVER = """
import asyncio, sys
from functools import partial
from pathlib import Path
sys.path.insert(0, {root!r})
from tests.state.test_file import batch, state_file

async def main():
    file = state_file(Path(sys.argv[1]), [])
    await file.start()
    number = int(sys.argv[2])
    for number in range(number, number + 10**9):
        print("recorded", number, flush=True)
        file.delivered.record(batch(number)).then(partial(print, "done", number, flush=True))
        await asyncio.sleep(0)

asyncio.run(main())
"""


def test_what_a_killed_process_had_committed_is_there(path: Path) -> None:
    """All that ``done`` had come for, each batch whole or not at all, and nothing that was never recorded."""
    rng = random.Random(4)
    done: set[int] = set()
    recorded: set[int] = set()
    for start, wanted in enumerate((0, 40, 80, 120)):  # as many batches are to be done before the end
        begun_with, is_killed = len(done), False
        process = subprocess.Popen(
            [
                sys.executable,
                "-c",
                RECORD_FOR_EVER.format(root=str(Path(__file__).parents[2])),
                str(path),
                str(start * 1_000_000),
            ],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        for count, line in enumerate(process.stdout):
            if line.endswith("\n"):  # the last one may be cut off
                word, number = line.split()
                (done if word == "done" else recorded).add(int(number))
            if not is_killed and count >= 200 and len(done) - begun_with >= wanted:
                is_killed = True
                time.sleep(rng.random() / 20)  # anywhere in a commit
                process.send_signal(signal.SIGKILL)
        assert process.wait(DEADLINE_S) == -signal.SIGKILL
        process.stdout.close()
        counts = in_file(path)
        assert done <= counts.keys() <= recorded
        assert set(counts.values()) <= {5}  # of the first process none, when the machine is busy
    assert len(done) > 100

    async def look() -> None:
        file = state_file(path, [])
        await file.start()
        counts = in_file(path)
        for number in recorded:
            known = [file.delivered.contains("a", delivery.digest) for delivery in batch(number)]
            assert known == [number in counts] * 5
        await file.close(DEADLINE_S)

    asyncio.run(look())


# --- starting ------------------------------------------------------------------------------------


async def test_a_second_daemon_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It does not start; when the first one has ended, it does."""
    monkeypatch.setattr(lock, "PATIENCE_S", 0.02)
    facts: list[Fact] = []
    first, second = state_file(path, []), state_file(path, facts)
    await first.start()
    with pytest.raises(StateInUse, match=f"process {os.getpid()}"):
        await second.start()
    await second.close(DEADLINE_S)
    assert facts == []
    await first.close(DEADLINE_S)
    third = state_file(path, facts)
    await third.start()
    assert facts == [StateOpened(str(path), 0)]
    await third.close(DEADLINE_S)


def make_garbage(path: Path) -> None:
    """No database."""
    path.write_bytes(b"garbage" * 1000)


def make_newer(path: Path) -> None:
    """A file of a version to come."""
    store = Store.open(path, create=True)
    store._execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    store.close()


def make_folder(path: Path) -> None:
    """A folder in the file's place."""
    path.mkdir()


@pytest.mark.parametrize(
    ("make", "error"),
    [(make_garbage, StateCorrupt), (make_newer, StateTooNew), (make_folder, StateUnusable)],
)
async def test_a_file_of_no_use_is_told_and_delivery_goes_on(
    path: Path, make: Callable[[Path], None], error: type[PluginError]
) -> None:
    """And once it is out of the way, a new one is made, and what was delivered meanwhile is in it."""
    make(path)
    away = path.with_name("away")
    facts: list[Fact] = []
    file = state_file(path, facts)
    await file.start()
    assert type(file.error) is error
    trouble = facts[0]
    assert isinstance(trouble, StateTrouble)
    assert (trouble.error, trouble.path) == (file.error, str(path))
    deliveries, is_done = batch(1), asyncio.Event()
    file.delivered.record(deliveries).then(is_done.set)
    assert is_done.is_set()
    assert len(deliveries) == 5
    assert file.delivered.contains("a", deliveries[0].digest)
    os.rename(path, away)
    await until(lambda: file.error is None)
    assert facts[-1] == StateRecovered(str(path))
    assert in_file(path) == {1: 5}
    await file.close(DEADLINE_S)


# --- a full disk ---------------------------------------------------------------------------------

FILL_THE_DISK = """
import asyncio, resource, sys
from functools import partial
from pathlib import Path
sys.path.insert(0, {root!r})
from tests.state.test_file import batch, in_file, state_file, until

async def main():
    path, facts, done = Path(sys.argv[1]), [], []
    file = state_file(path, facts)
    await file.start()
    full = path.stat().st_size + 300_000
    resource.setrlimit(resource.RLIMIT_FSIZE, (full, resource.RLIM_INFINITY))
    number = 0
    while file.error is None:
        file.delivered.record(batch(number, 200)).then(partial(done.append, number))
        number += 1
        await asyncio.sleep(0.001)
    for number in range(number, number + 10):
        file.delivered.record(batch(number, 200)).then(partial(done.append, number))
    assert len(done) == number + 1, "somebody was held up"
    print("trouble", file.error.id)
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    await until(lambda: file.error is None)
    await file.close(10.0)
    assert in_file(path) == {{each: 200 for each in range(number + 1)}}
    print(*(type(fact).__name__ for fact in facts if type(fact).__name__ != "StateTrouble"))

asyncio.run(main())
"""


def test_a_disk_that_is_full_stops_nothing(path: Path) -> None:
    """Every event is answered, the trouble told; with room again, what was delivered meanwhile is written."""
    script = FILL_THE_DISK.format(root=str(Path(__file__).parents[2]))
    ended = subprocess.run(
        [sys.executable, "-c", script, str(path)], capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.splitlines() == ["trouble state.unusable", "StateOpened StateRecovered"]
