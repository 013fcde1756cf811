"""Reads the configuration again when SIGHUP asks for it, and has the difference applied.

A configuration that cannot be used changes nothing: all its mistakes are logged, and what runs goes on as it is.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path

from fluent_plugin_amp.config import Config
from fluent_plugin_amp.errors import ConfigError
from fluent_plugin_amp.observe.logs import LOGGER
from fluent_plugin_amp.reload import Changes, compare, tls_files


class Reloader:
    """See the module.

    Args:
        config: in force at the beginning.
        load: reads the configuration; in a thread, since many files may take a while.
        apply: changes what runs; a ConfigError of it means that nothing was changed.
    """

    def __init__(
        self, config: Config, load: Callable[[], Config], apply: Callable[[Changes], Awaitable[None]]
    ) -> None:
        self._config = config
        self._load = load
        self._apply = apply
        self._digests = _digests(tls_files(config))
        self._asked = asyncio.Event()

    def ask(self) -> None:
        """Reload soon; asked again meanwhile, once more afterwards."""
        self._asked.set()

    async def run(self) -> None:
        """Reload whenever asked, until cancelled."""
        while True:
            await self._asked.wait()
            self._asked.clear()
            await self._reload()

    async def _reload(self) -> None:
        try:
            config = await asyncio.to_thread(self._load)
            digests = await asyncio.to_thread(_digests, tls_files(config))
            renewed = [path for path, digest in digests.items() if self._digests.get(path, digest) != digest]
            changes = compare(self._config, config, renewed)
            await self._apply(changes)
        except ConfigError as error:
            LOGGER.error("not reloaded, everything stays as it is: [%s] %s %s", error.id, error, error.remedy)
            return
        self._config, self._digests = changes.config, digests
        for warning in config.warnings:
            LOGGER.warning("%s", warning)
        LOGGER.info("reloaded: %s", changes)
        if changes.fixed:
            LOGGER.warning("changed in the file, but not before the next start: %s", ", ".join(changes.fixed))


def _digests(files: Iterable[Path]) -> dict[Path, bytes]:
    """Of what the files hold: a renewed certificate keeps its file's name."""
    return {path: _digest(path) for path in files}


def _digest(path: Path) -> bytes:
    try:
        return hashlib.sha256(path.read_bytes()).digest()
    except OSError:
        return b""
