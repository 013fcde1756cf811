"""Signals that wait until a password is safe."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable, Iterator

import pytest

from fluent_plugin_amp.admin.interrupts import Interrupts
from fluent_plugin_amp.errors import Interrupted


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """Whatever a test does, the handlers are those of before."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def run(*steps: Callable[[], object]) -> tuple[list[str], Interrupts]:
    """Take the steps with signals held back; what the user was told, and what was noted."""
    said: list[str] = []
    interrupts = Interrupts(said.append)
    with interrupts.held_back("waiting for the password"):
        for step in steps:
            step()
    return said, interrupts


def ctrl_c() -> None:
    """What a terminal sends."""
    signal.raise_signal(signal.SIGINT)


def test_a_signal_waits_for_the_end_of_the_block() -> None:
    """The block is finished, and only then the signal does what it always does."""
    done: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        run(ctrl_c, lambda: done.append("saved"))
    assert done == ["saved"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_lost_terminal_and_sigterm_wait_too(number: signal.Signals) -> None:
    """The user is told why; afterwards they reach the handler of before, once."""
    reached: list[int] = []
    signal.signal(number, lambda number, frame: reached.append(number))
    said, interrupts = run(lambda: signal.raise_signal(number), lambda: reached.append(0))
    assert reached == [0, number]
    assert interrupts.noted is number
    assert said == ["waiting for the password"]


def test_what_was_ignored_stays_ignored() -> None:
    """Under nohup a lost terminal is nothing."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    _, interrupts = run(lambda: signal.raise_signal(signal.SIGHUP))
    assert interrupts.noted is None


def test_a_second_ctrl_c_is_obeyed_at_once() -> None:
    """Who insists is not held up."""
    done: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        run(ctrl_c, ctrl_c, lambda: done.append("too far"))
    assert done == []


def fail() -> None:
    """Something goes wrong."""
    raise RuntimeError


def test_an_error_in_the_block_goes_before_the_signal() -> None:
    """The error is reported; the command ends by it anyway."""
    with pytest.raises(RuntimeError):
        run(ctrl_c, fail)


def test_a_moment_in_which_nothing_can_be_lost() -> None:
    """There a noted signal ends the work with an error of its own; without one nothing happens."""
    interrupts = Interrupts(lambda why: None)
    interrupts.check()
    interrupts.noted = signal.SIGINT
    with pytest.raises(Interrupted):
        interrupts.check()


def test_the_handlers_of_before_are_restored() -> None:
    """After the block nothing of it is left."""
    before = signal.getsignal(signal.SIGINT)
    with Interrupts(lambda why: None).held_back("…"):
        assert signal.getsignal(signal.SIGINT) is not before
    assert signal.getsignal(signal.SIGINT) is before


def test_within_asyncio_the_task_goes_on_until_the_end_of_the_block() -> None:
    """The event loop's own handling of Ctrl-C takes over afterwards."""
    steps: list[str] = []

    async def work() -> None:
        with Interrupts(lambda why: None).held_back("…"):
            signal.raise_signal(signal.SIGINT)
            await asyncio.sleep(0)
            steps.append("saved")
        await asyncio.sleep(0)
        steps.append("too far")

    with pytest.raises(KeyboardInterrupt):
        asyncio.run(work())
    assert steps == ["saved"]


def test_outside_the_main_thread_nothing_happens() -> None:
    """Python delivers no signals there."""
    reached = threading.Event()

    def work() -> None:
        with Interrupts(lambda why: None).held_back("…"):
            reached.set()

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert reached.is_set()
