"""What a reload changes: the difference between the configuration in force and the one read now.  Pure.

Streams come and go; a stream whose way to the broker changed is drained and begins anew, one whose transforms or tag
changed does not notice.  Servers, log and endpoints change in one go.  Everything else is fixed until the process is
started again, and said: a key that this module does not know is among them, so none is silently without effect.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

from fluent_plugin_amp.config import Config, StreamConfig, TlsConfig
from fluent_plugin_amp.config.organisations import OrganisationConfig
from fluent_plugin_amp.config.section import Section

_CHANGEABLE = frozenset(
    {"transform", "streams", "organisations", "include", "shard", "max_event_size", "logging", "observe"}
)
_FIXED_IN_FORWARD = frozenset({"chunk_limit_size", "pause_after", "shutdown_timeout"})
"""What streams and batches in being were made with."""
_ONLY_TRANSFORM = frozenset({"tag", "max_tags", "add", "transform"})


@dataclass(frozen=True, slots=True)
class Changes:
    """What to do."""

    config: Config
    """In force afterwards: the new one, but for the ``fixed`` keys."""
    added: tuple[StreamConfig, ...]
    removed: tuple[str, ...]
    restarted: tuple[StreamConfig, ...]
    """Drained, and begun anew as they are here."""
    transformed: tuple[StreamConfig, ...]
    """Go on, with other transforms."""
    organisations: tuple[str, ...]
    """Added, removed, or changed: their sources begin anew from where they were."""
    servers: bool
    """Servers, or the way to them, changed."""
    logging: bool
    observe: bool
    fixed: tuple[str, ...]
    """Keys that changed in the file and cannot change before the next start."""

    def __bool__(self) -> bool:
        """Something changes now."""
        streams = self.added or self.removed or self.restarted or self.transformed
        return bool(streams or self.organisations or self.servers or self.logging or self.observe)

    def __str__(self) -> str:
        """One line for the log."""
        parts = [
            *_names("added", (stream.name for stream in self.added)),
            *_names("removed", self.removed),
            *_names("restarted", (stream.name for stream in self.restarted)),
            *_names("with other transforms", (stream.name for stream in self.transformed)),
            *_names("organisations changed", self.organisations),
            *(["servers changed"] if self.servers else []),
            *(["log changed"] if self.logging else []),
            *(["observe changed"] if self.observe else []),
        ]
        return "; ".join(parts) or "nothing changed"


def compare(old: Config, new: Config, renewed: Collection[Path] = ()) -> Changes:
    """From ``old``, which is in force, to ``new``; ``renewed``: files of the same name whose content changed."""
    config, fixed = _keep_fixed(old, new)
    before = {stream.name: stream for stream in old.own_streams}
    after = {stream.name: stream for stream in config.own_streams}
    both = [(before[name], stream) for name, stream in after.items() if name in before]
    anew = [
        stream
        for was, stream in both
        if old.max_event_size != config.max_event_size
        or _differing(was, stream) - _ONLY_TRANSFORM
        or (_uses(stream.tls, renewed) and stream.name not in config.kept)
        or (_files(stream.tls) and stream.name in old.kept - config.kept)  # perhaps renewed meanwhile
    ]
    return Changes(
        config=config,
        added=tuple(stream for name, stream in after.items() if name not in before),
        removed=tuple(name for name in before if name not in after),
        restarted=tuple(anew),
        transformed=tuple(
            stream
            for was, stream in both
            if stream not in anew and (was != stream or _has_names(old, was) != _has_names(config, stream))
        ),
        organisations=_differing_names(old.own_organisations, config.own_organisations),
        servers=old.forward != config.forward or _uses(config.forward.tls, renewed),
        logging=old.logging != config.logging,
        observe=old.observe != config.observe,
        fixed=fixed,
    )


def tls_files(config: Config) -> set[Path]:
    """The files with certificates and keys that a configuration names: their content may change unseen."""
    sections = [config.forward.tls, *(stream.tls for stream in config.own_streams)]
    return {path for tls in sections for path in _files(tls)}


def _keep_fixed(old: Config, new: Config) -> tuple[Config, tuple[str, ...]]:
    kept: dict[str, object] = {}
    said: list[str] = []
    for key in sorted(_differing(old, new) - _CHANGEABLE):
        was, is_now = getattr(old, key), getattr(new, key)
        if key == "forward":
            fixed = _differing(was, is_now) & _FIXED_IN_FORWARD
            kept[key] = is_now.model_copy(update={name: getattr(was, name) for name in fixed})
            said += [f"forward.{name}" for name in sorted(fixed)]
        else:
            kept[key] = was
            inner = isinstance(was, Section) and isinstance(is_now, Section)
            said += [f"{key}.{name}" for name in sorted(_differing(was, is_now))] if inner else [key]
    return new.model_copy(update=kept), tuple(said)


def _differing_names(old: Iterable[OrganisationConfig], new: Iterable[OrganisationConfig]) -> tuple[str, ...]:
    before, after = {each.name: each for each in old}, {each.name: each for each in new}
    return tuple(name for name in {**before, **after} if before.get(name) != after.get(name))


def _has_names(config: Config, stream: StreamConfig) -> bool:
    return any(each.names and each.name == stream.organisation for each in config.own_organisations)


def _differing(one: Section, other: Section) -> set[str]:
    return {name for name in type(one).model_fields if getattr(one, name) != getattr(other, name)}


def _files(tls: TlsConfig | None) -> list[Path]:
    return [path for path in (tls.ca_file, tls.cert_file, tls.key_file) if path] if tls is not None else []


def _uses(tls: TlsConfig | None, renewed: Collection[Path]) -> bool:
    return any(path in renewed for path in _files(tls))


def _names(what: str, names: Iterable[str]) -> list[str]:
    listed = list(names)
    return [f"{what}: {', '.join(listed)}"] if listed else []
