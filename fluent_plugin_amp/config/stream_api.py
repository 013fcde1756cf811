"""What one stream says of the way to Cisco (``api:``, ``cloud:``, ``proxy:``, ``tls.ca_file``), and nothing else.

The files are read as `load` reads them.  The rest of them may still be unfinished: a stream that is about to be
created has no password yet, and variables of other streams need not be set.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from fluent_plugin_amp.cisco.regions import Cloud
from fluent_plugin_amp.config.document import BROKEN, MarkedDict, MarkedList
from fluent_plugin_amp.config.gather import list_streams, take_organisation
from fluent_plugin_amp.config.load import note_refusals
from fluent_plugin_amp.config.models import Config
from fluent_plugin_amp.config.problems import Mark, join, report
from fluent_plugin_amp.config.proxy import ProxyWay, read_way
from fluent_plugin_amp.config.reading import Reading, read_text
from fluent_plugin_amp.config.streams import CloudConfig, StreamConfig
from fluent_plugin_amp.errors import ConfigError, ConfigUnreadable


@dataclass(frozen=True, slots=True)
class Api:
    """What the configuration says; None where it says nothing."""

    client_id: str | None
    api_key: str | None
    cloud: Cloud | None
    proxy: ProxyWay = None
    broker_ca_file: str | None = None


def read_api(path: Path, wanted: str | None, environ: Mapping[str, str], *, needs_key: bool) -> Api:
    """What the stream of the name ``wanted`` says; None: the only stream that has ``api:``.

    ``path`` may also be an included file.  Without ``needs_key`` no file with a key is read.
    Raises ConfigError for mistakes, and where there is no such stream.
    """
    try:
        text = read_text(path)
    except ValueError as error:
        raise ConfigUnreadable(f"{path} {error}") from None
    reading = Reading(environ)
    root = _as_root(reading.document(path, text), path)
    streams, _ = list_streams(reading, root, path)
    for stream in streams:
        if isinstance(stream, MarkedDict):
            take_organisation(reading, root, stream)
    root.put("streams", streams, streams.mark)
    if mistakes := [problem for problem in reading.problems if problem not in reading.unset]:
        raise ConfigError(report(mistakes))
    found = [
        index
        for index, stream in enumerate(streams)
        if isinstance(stream, MarkedDict)
        and (isinstance(stream.get("api"), dict) if wanted is None else stream.get("name") == wanted)
    ]
    if len(found) != 1:
        what = "with api:" if wanted is None else f"named {wanted!r}"
        raise ConfigError(
            f"{path} has {len(found) or 'no'} streams {what}",
            remedy="Name the stream with --of-stream."
            if found
            else "Give a stream `api: {client_id: …, api_key_file: …}`.",
        )
    return _read(reading, root, found[0], needs_key=needs_key)


def _as_root(tree: object, path: Path) -> MarkedDict:
    """The tree, or what stands for the configuration where the file holds just one stream or a list of them."""
    if isinstance(tree, MarkedDict) and tree.keys() & {"streams", "include"}:
        return tree
    root = MarkedDict(Mark(str(path), 1))
    if isinstance(tree, MarkedDict):
        streams = MarkedList(tree.mark)
        streams.add(tree, tree.mark)
        root.put("streams", streams, tree.mark)
    elif isinstance(tree, MarkedList):
        root.put("streams", tree, tree.mark)
    return root


def _read(reading: Reading, root: MarkedDict, index: int, *, needs_key: bool) -> Api:
    stream: MarkedDict = root["streams"][index]
    parts = (join(stream.path, "api"), join(stream.path, "cloud"))
    file = stream.mark.file
    holder = stream if stream.get("proxy") is not None else root
    in_parts = [each for each in reading.unset if each.mark.file == file and each.path.startswith(parts)]
    reading.problems[:] = in_parts + [each for each in reading.unset if each.mark is holder.marks.get("proxy")]
    api, cloud = stream.get("api"), StreamConfig.without_nulls(stream.get("cloud"))
    if not isinstance(api, MarkedDict):
        api = MarkedDict(stream.mark)
    if needs_key:
        reading.take_secret(api, "api_key")
    if isinstance(cloud, MarkedDict):
        reading.file(cloud, "ca_file")
    tls, of_broker = stream.get("tls"), None
    if isinstance(tls, MarkedDict) and isinstance(tls.get("ca_file"), str):
        of_broker = reading.file(tls, "ca_file")
    found = None
    try:
        found = CloudConfig.model_validate(cloud).cloud if cloud is not None else None
    except ValidationError as error:
        note_refusals(reading, root, error, Config, ("streams", index, "cloud"))
    proxy = None
    try:
        proxy = read_way(holder.get("proxy")) if holder.get("proxy") is not BROKEN else None
    except ValueError as error:
        reading.problem(holder, "proxy", str(error))
    if reading.problems:
        raise ConfigError(report(reading.problems))
    client_id, key = (
        value if isinstance(value, str) else None for value in (api.get("client_id"), api.get("api_key"))
    )
    return Api(client_id, key, found, proxy, str(of_broker) if of_broker else None)
