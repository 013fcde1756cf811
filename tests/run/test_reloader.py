"""Whatever happens on a reload: what runs goes on, and the next one works."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fluent_plugin_amp.config import Config
from fluent_plugin_amp.containment import all_of
from fluent_plugin_amp.errors import ConfigError, IncludeBroken
from fluent_plugin_amp.facts import Fact, InternalError, Reloaded, ReloadTrouble
from fluent_plugin_amp.observe.logs import LOGGER, LogObserver
from fluent_plugin_amp.run.reload import Changes
from fluent_plugin_amp.run.reloader import Reloader
from fluent_plugin_amp.testing.waiting import DEADLINE_S


def config(tag: str = "a") -> Config:
    """One stream, with this tag."""
    stream = {"name": "s", "url": "amqps://h", "username": "u", "password": "p", "queue": "q", "tag": tag}
    return Config.model_validate({"streams": [stream]})


class World:
    """A reloader, what it reads and applies, and what it says."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **options: Any) -> None:
        self.load: Callable[[], Config] = config
        self.apply_fails: Exception | None = None
        self.applied: list[Changes] = []
        self.facts: list[Fact] = []
        self.lines: list[str] = []
        self._said = asyncio.Event()
        self.reloader = Reloader(
            config(), lambda running: self.load(), self._apply, all_of(LogObserver(), self.facts.append), **options
        )
        handler = logging.Handler()
        handler.emit = self._hear  # type: ignore[method-assign]
        monkeypatch.setattr(LOGGER, "handlers", [handler])
        monkeypatch.setattr(LOGGER, "level", logging.INFO)

    def _hear(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())
        self._said.set()

    async def _apply(self, changes: Changes) -> None:
        self.applied.append(changes)
        if self.apply_fails is not None:
            raise self.apply_fails

    async def reload(self) -> str:
        """Ask for it; what is said."""
        self._said.clear()
        self.lines.clear()
        self.reloader.ask()
        await asyncio.wait_for(self._said.wait(), DEADLINE_S)
        return self.lines[0]


def raising(error: BaseException) -> Callable[[], Config]:
    """A ``load`` that fails."""

    def load() -> Config:
        raise error

    return load


@pytest.mark.parametrize(
    "error", [RuntimeError("Symlink loop"), RecursionError(), UnicodeEncodeError("u", "", 0, 0, "")]
)
@pytest.mark.parametrize("where", ["load", "apply"])
async def test_anything_at_all(where: str, error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is told as a fault, and the next reload does what this one was to do."""
    world = World(monkeypatch)
    task = asyncio.create_task(world.reloader.run())
    world.load = raising(error) if where == "load" else lambda: config("b")
    world.apply_fails = error
    assert await world.reload() == (
        "not reloaded: a fault of this program. What runs goes on; the next SIGHUP tries again"
    )
    assert world.facts == [InternalError("reload", error)]
    world.apply_fails, world.load = None, lambda: config("b")
    assert await world.reload() == "reloaded: with other transforms: s"
    assert [stream.tag for stream in world.applied[-1].transformed] == ["b"]
    task.cancel()


async def test_a_mistake(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is no fault, and changes nothing."""
    world = World(monkeypatch)
    task = asyncio.create_task(world.reloader.run())
    world.load = raising(ConfigError("no"))
    assert (await world.reload()).startswith("not reloaded, everything stays as it is: [config.invalid] no. ")
    assert [type(fact) for fact in world.facts] == [ReloadTrouble]
    assert not world.applied
    task.cancel()


async def test_broken_included_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """All else is applied; then the trouble is told, at each reload until it is mended."""
    world = World(monkeypatch)
    task = asyncio.create_task(world.reloader.run())
    trouble = IncludeBroken("included files are broken; 1 mistake in the configuration:\n  d/a.yml:1: x: wrong")
    for tag in "bc":
        world.load = lambda tag=tag: config(tag).loaded([], trouble=trouble)  # type: ignore[misc]
        assert await world.reload() == "reloaded: with other transforms: s"
        assert [stream.tag for stream in world.applied[-1].transformed] == [tag]
        assert world.lines[1:] == [
            "reloaded only in part: [config.include-broken] included files are broken; 1 mistake in the "
            f"configuration: (1) d/a.yml:1: x: wrong. {IncludeBroken.default_remedy}"
        ]
    world.load = lambda: config("c")
    assert await world.reload() == "reloaded: nothing changed"
    assert isinstance(world.facts[-1], Reloaded)
    task.cancel()


async def test_mistakes_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """A line of the log is one line: where a terminal has a line for each mistake, each has a number here."""
    world = World(monkeypatch)
    task = asyncio.create_task(world.reloader.run())
    for words, said in (
        (
            "2 mistakes:\n  a.yml:1: x: wrong\n  a.yml:2: y: did you mean `z`?",
            "(1) a.yml:1: x: wrong (2) a.yml:2: y: did",
        ),
        ("2 mistakes:\n  a.yml:1: x: wrong\n  a.yml:2: y: did you mean `z`?", " `z`? Mend it."),
        ("a.yml cannot be read: No such file", "[config.invalid] a.yml cannot be read: No such file. Mend it."),
    ):
        world.load = raising(ConfigError(words, remedy="Mend it."))
        assert said in await world.reload()
    task.cancel()


async def test_a_disk_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading has a deadline; the next reload does not wait for the one that hangs."""
    world = World(monkeypatch, read_timeout_s=0.05)
    task = asyncio.create_task(world.reloader.run())
    disk = threading.Event()

    def hang() -> Config:
        disk.wait(DEADLINE_S)
        return config("late")

    world.load = hang
    said = "not reloaded, everything stays as it is: [config.slow] the configuration could not be read within 0.05 s"
    assert (await world.reload()).startswith(said)
    world.reloader._read_timeout_s = DEADLINE_S
    world.load = lambda: config("b")
    assert await world.reload() == "reloaded: with other transforms: s"
    disk.set()
    task.cancel()


HANGING = """
import asyncio, threading
from fluent_plugin_amp.run.reloader import Reloader
from tests.run.test_reloader import config

async def main():
    reading = asyncio.Event()
    loop = asyncio.get_running_loop()
    def hang(running):
        loop.call_soon_threadsafe(reading.set)
        threading.Event().wait()
    reloader = Reloader(config(), hang, None, print)
    reloader.ask()
    task = asyncio.create_task(reloader.run())
    await reading.wait()
    task.cancel()

asyncio.run(main())
print("ended")
"""


def test_a_stop_does_not_wait_for_it() -> None:
    """The event loop and the process end while the reading still hangs."""
    root = Path(__file__).parents[2]
    ended = subprocess.run(
        [sys.executable, "-c", HANGING], cwd=root, timeout=DEADLINE_S * 2, capture_output=True, text=True, check=True
    )
    assert ended.stdout == "ended\n"
