"""Reads the configuration again when SIGHUP asks for it, and has the difference applied.

A configuration that cannot be used changes nothing: all its mistakes are told, and what runs goes on as it is.  Where
only included files cannot be used, the streams that came from them go on as they are, and all else is applied.
Nothing else that happens here ends more than this one reload: the next SIGHUP begins anew, and a stop never waits for
a disk that hangs.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path

from fluent_plugin_amp.config import Config
from fluent_plugin_amp.errors import ConfigError, ConfigSlow
from fluent_plugin_amp.facts import InternalError, Observer, Reloaded, ReloadTrouble
from fluent_plugin_amp.files import read_bytes
from fluent_plugin_amp.observe.logs import LOGGER
from fluent_plugin_amp.run.reload import Changes, compare, tls_files
from fluent_plugin_amp.state.thread import CallThread

READ_TIMEOUT_S = 60.0
"""For all the files of a configuration; what takes longer is `ConfigSlow`."""


class Reloader:
    """Carries out one reload after the other.

    Args:
        config: in force at the beginning.
        load: reads the configuration, given the one in force; in a thread, since many files may take a while.
        apply: changes what runs; a ConfigError of it means that nothing was changed.  After any other exception it
            is given the same changes again with the next reload, and has to cope with those that it made.
        observer: hears how it went, and of what nobody foresaw.
        read_timeout_s: how long ``load`` may take.
    """

    def __init__(
        self,
        config: Config,
        load: Callable[[Config], Config],
        apply: Callable[[Changes], Awaitable[None]],
        observer: Observer,
        *,
        read_timeout_s: float = READ_TIMEOUT_S,
    ) -> None:
        self._config = config
        self._load = load
        self._apply = apply
        self._tell = observer
        self._read_timeout_s = read_timeout_s
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
            config, digests = await self._read()
            renewed = [path for path, digest in digests.items() if self._digests.get(path, digest) != digest]
            changes = compare(self._config, config, renewed)
            await self._apply(changes)
        except ConfigError as error:
            self._tell(ReloadTrouble(_on_one_line(error)))
            return
        except Exception as error:  # a fault domain: whatever it is, what runs goes on
            LOGGER.error("not reloaded: a fault of this program. What runs goes on; the next SIGHUP tries again")
            self._tell(InternalError("reload", error))
            return
        self._config, self._digests = changes.config, digests
        for warning in config.warnings:
            LOGGER.warning("%s", warning)
        self._tell(Reloaded(str(changes)))
        if changes.fixed:
            LOGGER.warning("changed in the file, but not before the next start: %s", ", ".join(changes.fixed))
        if config.trouble is not None:
            self._tell(ReloadTrouble(_on_one_line(config.trouble)))

    async def _read(self) -> tuple[Config, dict[Path, bytes]]:
        """In a thread of its own: one that hangs on a dead disk is left behind, and neither a stop nor the next
        reload waits for it."""
        thread = CallThread("reload")
        reading = thread.call(self._load_all)
        thread.stop()
        done, _ = await asyncio.wait({reading}, timeout=self._read_timeout_s)
        if not done:
            reading.cancel()
            raise ConfigSlow(f"the configuration could not be read within {self._read_timeout_s:g} s")
        return reading.result()

    def _load_all(self) -> tuple[Config, dict[Path, bytes]]:
        config = self._load(self._config)
        return config, _digests(tls_files(config))


def _on_one_line(error: ConfigError) -> ConfigError:
    """The same; of several mistakes, which have a line each elsewhere, each has a number."""
    first, *mistakes = str(error).split("\n  ")
    said = " ".join([first, *(f"({number}) {mistake}" for number, mistake in enumerate(mistakes, start=1))])
    return type(error)(said, remedy=error.remedy)


def _digests(files: Iterable[Path]) -> dict[Path, bytes]:
    """Of what the files hold: a renewed certificate keeps its file's name."""
    return {path: _digest(path) for path in files}


def _digest(path: Path) -> bytes:
    try:
        return hashlib.sha256(read_bytes(path)).digest()
    except OSError:
        return b""
