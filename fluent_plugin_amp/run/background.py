"""What a `run` does beside its streams: tasks in the background, and what it says about its configuration."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine, Iterable

from fluent_plugin_amp import descriptors
from fluent_plugin_amp.config import Config
from fluent_plugin_amp.errors import TooManyFiles
from fluent_plugin_amp.observe.logs import LOGGER
from fluent_plugin_amp.pipeline.conductor import Conductor
from fluent_plugin_amp.pipeline.transform import Transform

UNMATCHED_EVERY_S = 3600.0


@contextlib.asynccontextmanager
async def in_background(job: Coroutine[None, None, None]) -> AsyncIterator[None]:
    """Run a task beside the block; it is cancelled at the end."""
    task = asyncio.create_task(job)
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def keep_logging_unmatched(conductor: Conductor) -> None:
    """`log_unmatched` every hour, until cancelled."""
    while True:
        await asyncio.sleep(UNMATCHED_EVERY_S)
        log_unmatched(line.transform for line in conductor.lines.values())


def log_unmatched(transforms: Iterable[Transform]) -> None:
    """Say which obfuscated fields no event had: perhaps the path has a typo, and something goes out in the clear."""
    for transform in transforms:
        for path in transform.obfuscate.unmatched() if transform.obfuscate is not None else ():
            LOGGER.warning("stream %s: no event had the field %s of transform.obfuscate", transform.stream, path)


def warn_of_shortage(config: Config) -> None:
    """Say that there are more streams than file descriptors for them."""
    streams, room = len(config.own_streams), descriptors.room_for_streams()
    if streams > room:
        LOGGER.warning(
            "%d streams, and file descriptors for %d (limit %d, of which some are kept for servers and endpoints): "
            "[%s] %s",
            streams,
            room,
            descriptors.limit(),
            TooManyFiles.id,
            TooManyFiles.default_remedy,
        )


def servers_text(config: Config, stdout: str | None) -> str:
    """Where records go, for the log."""
    return "standard output" if stdout else ", ".join(server.label for server in config.forward.servers)
