"""What nobody foresaw is kept to what it met: here to a background task, a callback, an observer.

The other fault domains are seen to where they are: an event in `pipeline.conductor`, a stream in `source.stream`, a
connection beside the socket that it reads.  docs/reliability.md has the table, and a test holds the code against it.
Each tells `facts.InternalError` and goes on; only an event loop that cannot go on ends the process.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

from fluent_plugin_amp.backoff import Outage, Pace
from fluent_plugin_amp.errors import PluginError
from fluent_plugin_amp.facts import Fact, InternalError, Observer
from fluent_plugin_amp.text import modules_of

RESTART_FIRST_S = 1.0
RESTART_CAP_S = 300.0
RAN_LONG_AFTER_S = 600.0
"""A task that ran for so long begins its back-off anew."""


async def keep_running(
    where: str,
    job: Callable[[], Awaitable[None]],
    tell: Observer,
    *,
    ends_with: tuple[type[Exception], ...] = (),
    stopped: asyncio.Event | None = None,
    first_s: float = RESTART_FIRST_S,
    jitter: Callable[[], float] = random.random,
) -> None:
    """Run ``job`` until it returns; when it fails, tell, and begin it again with back-off.

    Args:
        where: what it is, for `facts.InternalError`.
        job: called for each beginning.
        tell: hears of each failure.
        ends_with: what is no failure, and raised to whoever waits for this.
        stopped: once it is set, ``job`` is not begun again, and no pause holds up the end.
        first_s: seconds before the first new beginning.
        jitter: 0 … 1, see `backoff.Outage`.
    """
    loop = asyncio.get_running_loop()
    outage = Outage(loop.time, jitter)
    while True:
        began = loop.time()
        try:
            await job()
            return
        except ends_with:
            raise
        except Exception as exc:  # the domain of this task
            tell(InternalError(where, exc))
        if loop.time() - began >= RAN_LONG_AFTER_S:
            outage.over()
        pause_s = outage.failed(Pace(first_s, RESTART_CAP_S))
        if stopped is None:
            await asyncio.sleep(pause_s)
            continue
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(stopped.wait(), pause_s)
        if stopped.is_set():
            return


@contextlib.contextmanager
def contained(where: str, tell: Observer) -> Iterator[None]:
    """What fails inside is told, and keeps nothing that follows from being done."""
    try:
        yield
    except Exception as exc:  # the domain of ``where``
        tell(InternalError(where, exc))


def all_of(*observers: Observer) -> Observer:
    """One observer of several; one that fails costs its own view of that fact, never the part that tells it."""

    def tell(fact: Fact) -> None:
        for observer in observers:
            try:
                observer(fact)
            except Exception as exc:  # the domain of this observer
                if not isinstance(fact, InternalError):
                    tell(InternalError("observer", exc))

    return tell


def callback_handler(tell: Observer) -> Callable[[asyncio.AbstractEventLoop, dict[str, Any]], None]:
    """The event loop's exception handler: what a callback of ours raised is told, and the loop goes on.

    What is not ours (a network's end, pika tripping over its own) is left to asyncio, which logs it.
    """

    def handle(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        exc = context.get("exception")
        if isinstance(exc, Exception) and _is_ours(exc):
            tell(InternalError("callback", exc))
        else:
            loop.default_exception_handler(context)

    return handle


def _is_ours(exc: Exception) -> bool:
    """Raised on the way through this package, but by no network and not by pika, which trips over its own ends."""
    modules = modules_of(exc)
    return (
        not isinstance(exc, PluginError | OSError)
        and any(name.startswith("fluent_plugin_amp.") for name in modules)
        and not modules[-1].startswith("pika.")
    )
