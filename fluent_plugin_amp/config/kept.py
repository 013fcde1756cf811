"""The streams that a reload leaves as they run, because the included files that hold them are broken.  Pure."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from fluent_plugin_amp.config.document import MarkedDict, MarkedList
from fluent_plugin_amp.config.models import Config
from fluent_plugin_amp.config.problems import Mark
from fluent_plugin_amp.config.streams import StreamConfig
from fluent_plugin_amp.config.transform import TransformConfig


@dataclass(frozen=True, slots=True)
class Kept:
    """Broken files, and their streams with the file of each, as they run."""

    files: frozenset[str] = frozenset()
    streams: tuple[tuple[StreamConfig, str], ...] = ()

    @classmethod
    def of(cls, running: Config, files: Collection[str]) -> Kept:
        """The streams of these files in the configuration in force."""
        held = ((stream, running.files.get(stream.name, "")) for stream in running.streams)
        return cls(frozenset(files), tuple((stream, file) for stream, file in held if file in files))

    @property
    def names(self) -> frozenset[str]:
        """Of the streams."""
        return frozenset(stream.name for stream, _ in self.streams)

    def stand_in(self, streams: MarkedList) -> list[str]:
        """Let the models see that these streams are there; a warning for each other one that has such a name.

        The one that runs stays: a broken file must not change it, and perhaps the file only lost it to a mistake.
        """
        warnings, names = [], self.names
        others = [*zip(streams, streams.marks, strict=True)]
        streams.clear()
        streams.marks.clear()
        for stream, mark in others:
            name = stream.get("name") if isinstance(stream, MarkedDict) else None
            if isinstance(name, str) and name in names:
                warnings.append(
                    f"{mark}: stream {name} still runs as a broken file had it; what stands here waits until that "
                    "file is mended"
                )
            else:
                streams.add(stream, mark)
        for stream, file in self.streams:
            # It has its transform already, and is not judged by a global one that changed.
            plain = stream.model_copy(update={"add": {}, "transform": TransformConfig(links=False)})
            streams.add(plain, Mark(file, 1))
        return warnings

    def put_back(self, config: Config) -> Config:
        """The streams themselves, in place of those that stood in for them."""
        exact = {stream.name: stream for stream, _ in self.streams}
        return config.model_copy(
            update={"streams": tuple(exact.get(stream.name, stream) for stream in config.streams)}
        )

    def __str__(self) -> str:
        """What becomes of them."""
        if not self.streams:
            return "included files are broken and were left out"
        return f"included files are broken, and their streams run on as before ({', '.join(sorted(self.names))})"
