"""`load`: from files and environment to a `Config`, or to a ConfigError with every mistake.

Read the file and replace its variables; gather the streams from wherever they stand; read secrets, make file names
absolute; let the models judge.  A step that meets a mistake notes it and goes on.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from fluent_plugin_amp.config.document import BROKEN, MarkedDict, MarkedList, locate
from fluent_plugin_amp.config.explain import explain
from fluent_plugin_amp.config.gather import gather_streams, is_of_organisation, organisations_of, take_api
from fluent_plugin_amp.config.kept import Kept
from fluent_plugin_amp.config.kinds import kind_of_text, kind_of_tree
from fluent_plugin_amp.config.models import Config
from fluent_plugin_amp.config.organisations import SOURCES
from fluent_plugin_amp.config.problems import Mark, Problem, report
from fluent_plugin_amp.config.reading import Reading, read_text
from fluent_plugin_amp.config.section import Section
from fluent_plugin_amp.errors import ConfigError, ConfigUnreadable, IncludeBroken
from fluent_plugin_amp.hosts import is_loopback

Judged = TypeVar("Judged", bound=Section)

LEAST_REMEMBERED_S = 3600.0
"""With polled sources: more than they read again, see `organisation.windows`."""
MAX_EXPLAINED = 1000
"""Refusals; a file of another kind may hold a hundred thousand keys, and each takes a search for the one meant."""


def load(path: Path | str, environ: Mapping[str, str] = os.environ, *, running: Config | None = None) -> Config:
    """Read a configuration and everything it refers to.

    ``running`` is the configuration in force, on a reload.  Where only included files have mistakes, their streams
    are taken from there as they are, and `Config.trouble` tells the mistakes.

    Raises:
        ConfigUnreadable: the file itself cannot be read.
        ConfigError: its text lists every mistake with file, line and path of the key.
    """
    file = Path(path)
    try:
        text = read_text(file)
    except ValueError as error:
        raise ConfigUnreadable(f"{file} {error}") from None
    kept = Kept()
    mistakes: list[Problem] = []
    while True:  # each round leaves out at least one more file
        reading = Reading(environ)
        root = _root(reading, file, text, kept)
        config = judge(reading, root, Config) if root is not None else None
        if config is not None and root is not None:
            _check_together(reading, root, config)
        elif root is not None and _has_no_state_file(root):
            on = [[key for key in SOURCES if tree.get(key) is not None] for tree in organisations_of(root)]
            _note_no_state_file(reading, root, on, is_exclusive=_has_exclusive(root))
        mistakes += reading.problems
        if config is not None and root is not None and not reading.problems:
            break
        broken = reading.mistakes_in.keys() - {str(file)}
        if running is None or not broken or sum(reading.mistakes_in[name] for name in broken) < len(reading.problems):
            raise ConfigError(report(mistakes))
        kept = Kept.of(running, kept.files | broken)
    files = {
        stream.name: mark.file
        for stream, mark in zip(config.streams, root["streams"].marks, strict=True)
        if mark.file != str(file)
    }
    trouble = IncludeBroken(f"{kept}; {report(mistakes)}") if mistakes else None
    config = kept.put_back(config)
    return config.loaded([*reading.warnings, *_unwise(config)], files, kept.names, trouble)


def _root(reading: Reading, file: Path, text: str, kept: Kept) -> MarkedDict | None:
    """The whole configuration as one tree, for the models; None, with a problem, when there is none."""
    if kind := kind_of_text(text):
        reading.problems.append(Problem(Mark(str(file), 1), "", kind))
        return None
    root = reading.document(file, text)
    if kind := kind_of_tree(root):
        reading.problems[:] = [Problem(Mark(str(file), 1), "", kind)]
        return None
    if root is None:
        root = MarkedDict(Mark(str(file), 1))
    if not isinstance(root, MarkedDict):
        if root is not BROKEN:
            reading.problems.append(Problem(Mark(str(file), 1), "", "must be a mapping (key: value)"))
        return None
    for organisation in organisations_of(root):
        take_api(reading, organisation)
    gather_streams(reading, root, file, kept.files)
    _complete_transform(reading, root.get("transform"))
    streams = root.get("streams")
    if isinstance(streams, MarkedList):
        for stream, mark in zip(streams, streams.marks, strict=True):
            if isinstance(stream, MarkedDict):
                with reading.blaming(mark.file):
                    _complete_transform(reading, stream.get("transform"))
        reading.warnings += kept.stand_in(streams)
    forward = root.get("forward")
    if isinstance(forward, MarkedDict):
        _complete_forward(reading, forward)
    state = root.get("state")
    if isinstance(state, MarkedDict):
        reading.file(state, "path")
    completeness = root.get("completeness")
    if isinstance(completeness, MarkedDict):
        reading.take_secret(completeness, "key")
    return root


def _complete_transform(reading: Reading, transform: object) -> None:
    rules = transform.get("obfuscate") if isinstance(transform, MarkedDict) else None
    for rule in rules if isinstance(rules, MarkedList) else ():
        if isinstance(rule, MarkedDict):
            reading.take_secret(rule, "key")


def _complete_forward(reading: Reading, forward: MarkedDict) -> None:
    reading.check_tls(forward.get("tls"))
    security = forward.get("security")
    if isinstance(security, MarkedDict):
        reading.take_secret(security, "shared_key")
        reading.take_secret(security, "password")
    servers = forward.get("servers")
    for server in servers if isinstance(servers, MarkedList) else ():
        if isinstance(server, MarkedDict):
            reading.file(server, "unix_path")


def judge(reading: Reading, root: MarkedDict, model: type[Judged]) -> Judged | None:
    """What a model makes of the tree; None, with a problem for each refusal, when it refuses it."""
    try:
        return model.model_validate(root)
    except ValidationError as error:
        note_refusals(reading, root, error, model)
    return None


def note_refusals(
    reading: Reading,
    root: MarkedDict,
    error: ValidationError,
    model: type[Section],
    below: tuple[str | int, ...] = (),
) -> None:
    """Note in plain words what was refused; ``model`` is that of ``root``, the part that refused is ``below``."""
    for refusal in error.errors(include_url=False)[:MAX_EXPLAINED]:
        refusal["loc"] = (*below, *refusal["loc"])
        if is_of_organisation(root, refusal["loc"]):
            continue  # said there
        if words := explain(refusal, model):
            if refusal["type"] == "missing" and _is_cut(root, refusal["loc"]):
                words = "empty: what begins with # is a comment, and with & an anchor; put it in quotes"
            with reading.blaming(_holder(root, refusal["loc"])):
                reading.problems.append(Problem(*locate(root, refusal["loc"]), words))


def _holder(root: MarkedDict, loc: tuple[str | int, ...]) -> str:
    """The file that holds the stream at ``loc``, or the file itself: a stream's parts may stand in further files."""
    return locate(root, loc[:2] if loc[:1] == ("streams",) else ())[0].file


def _is_cut(root: MarkedDict, loc: tuple[str | int, ...]) -> bool:
    """Whether a key stands there without a value, because YAML took the value for a comment or an anchor."""
    node: Any = root
    for step in loc[:-1]:
        child = node.child(step) if isinstance(node, (MarkedDict, MarkedList)) else None
        node = child[1] if child else None
    return isinstance(node, MarkedDict) and loc[-1] in node.cut


def _check_together(reading: Reading, root: MarkedDict, config: Config) -> None:
    """Note keys that cannot work together."""
    if config.state.path is None:
        on = [organisation.sources for organisation in config.organisations]
        is_exclusive = any(stream.exclusive for stream in config.streams)
        _note_no_state_file(reading, root, on, is_exclusive=is_exclusive)
    streams = {stream.name for stream in config.streams}
    for organisation, tree in zip(config.organisations, organisations_of(root), strict=True):
        for source in organisation.sources:
            if config.state.remember < LEAST_REMEMBERED_S:
                what = "needs `state.remember` of at least an hour: what is read twice is known by it"
                reading.problem(tree, source, what)
            if source == "hunts" and all(stream.organisation != organisation.name for stream in config.streams):
                what = f"needs a stream with `organisation: {organisation.name}`: its events ask"
                reading.problem(tree, source, what)
            if organisation.line(source) in streams:
                reading.problem(tree, source, f"there is a stream named `{organisation.line(source)}`: rename it")


def _note_no_state_file(
    reading: Reading, root: MarkedDict, on: Sequence[Sequence[str]], *, is_exclusive: bool
) -> None:
    """Note what needs one; ``on`` are the sources of each organisation."""
    for key in ("detections", "incidents"):
        if root.get(key) is not None and is_exclusive:
            what = "needs `state.path` with an `exclusive` stream: who takes over must know what was open"
            reading.problem(root, key, what)
    for tree, sources in zip(organisations_of(root), on, strict=True):
        for source in sources:
            what = "needs `state.path`: there it is kept how far the source was delivered"
            reading.problem(tree, source, what)


def _has_no_state_file(root: MarkedDict) -> bool:
    """Whether the tree names no state file; it may be one that no model takes."""
    state = root.get("state")
    return state.get("path") is None if isinstance(state, MarkedDict) else state is None


def _has_exclusive(root: MarkedDict) -> bool:
    """Whether a stream of such a tree is `exclusive`."""
    streams = root.get("streams")
    trees = streams if isinstance(streams, MarkedList) else ()
    return any(isinstance(tree, MarkedDict) and tree.get("exclusive") is True for tree in trees)


def _unwise(config: Config) -> list[str]:
    """Warnings about settings that work and are unsafe."""
    of_streams: dict[str, list[str]] = {}
    for stream in config.streams:
        if not stream.use_tls:
            what = "amqp:// sends password and events without TLS; use amqps://"
        elif not stream.tls.verify:
            what = "tls.verify is false: anyone on the path can pose as the broker"
        else:
            continue
        of_streams.setdefault(what, []).append(stream.name)
    warnings = [f"{_named(names)}: {what}" for what, names in of_streams.items()]
    if config.forward.tls is not None and not config.forward.tls.verify:
        warnings.append("forward: tls.verify is false: anyone on the path can pose as the server")
    address = config.observe.address
    if address is not None and not is_loopback(address[0]):
        warnings.append("observe: other machines can reach `listen`, and need no password; use a loopback address")
    return warnings


def _named(streams: list[str]) -> str:
    """A few of them by name: hundreds that have something in common are one line."""
    if len(streams) == 1:
        return f"stream {streams[0]}"
    return f"{len(streams)} streams ({', '.join(streams[:3])}{' …' if len(streams) > 3 else ''})"
