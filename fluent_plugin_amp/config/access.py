"""Which cloud, and which key: from options, the environment, or a stream's ``api:`` in the configuration.

The first that says something decides: an option, then AMP_CLIENT_ID, AMP_API_KEY, AMP_API_KEY_FILE, AMP_REGION
and AMP_API_HOST, then the configuration file.  The key itself is never an option: options are seen by everybody
who lists the processes.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from fluent_plugin_amp.cisco.api_key import ApiKey
from fluent_plugin_amp.cisco.regions import Cloud, find_cloud
from fluent_plugin_amp.errors import ConfigError, ConfigUnreadable, UsageError
from fluent_plugin_amp.files import MAX_SECRET_BYTES, read_bytes, read_text


@dataclass(frozen=True, slots=True)
class Given:
    """What the command line says; None for what it leaves open."""

    region: str | None = None
    api_host: str | None = None
    client_id: str | None = None
    api_key_file: str | None = None
    """``-`` is standard input."""
    ca_file: str | None = None
    config_file: Path | None = None
    stream: str | None = None
    """The stream of the configuration whose ``api:`` and ``cloud:`` are meant."""


@dataclass(frozen=True, slots=True)
class Access:
    """A cloud and a key to it; no cloud where nothing names one."""

    cloud: Cloud | None
    key: ApiKey


@dataclass(frozen=True, slots=True)
class _Api:
    """What the configuration says."""

    client_id: str | None = None
    api_key: str | None = None
    api_key_file: str | None = None
    cloud: Cloud | None = None


def find_access(given: Given, environ: Mapping[str, str]) -> Access:
    """The cloud and the key that options, environment and configuration name.

    Raises UsageError when they name none, or one that cannot be; ConfigError for the configuration's mistakes.
    """
    api = _Api() if given.config_file is None else _from_config(given.config_file, given.stream, environ)
    client_id = given.client_id or environ.get("AMP_CLIENT_ID") or api.client_id
    key = (
        _read_key(given.api_key_file)
        or environ.get("AMP_API_KEY")
        or _read_key(environ.get("AMP_API_KEY_FILE"))
        or api.api_key
        or _read_key(api.api_key_file)
    )
    if not client_id or not key:
        missing = " and ".join(
            name for name, value in (("the client id", client_id), ("the API key", key)) if not value
        )
        raise UsageError(
            f"{missing} of the Cisco cloud: not given",
            remedy="Set AMP_CLIENT_ID and AMP_API_KEY (or AMP_API_KEY_FILE), or use --client-id and --api-key-file. "
            "A key is made in the console: Accounts > API Credentials.",
        )
    try:
        cloud = _find_cloud(given, environ) or api.cloud
        if cloud is not None and given.ca_file is not None:
            cloud = replace(cloud, ca_file=given.ca_file)
        return Access(cloud, ApiKey(client_id, key.strip()))
    except ValueError as exc:
        remedy = "Check region or host, client id and key, as options, variables (AMP_…) or in the configuration."
        raise UsageError(str(exc), remedy=remedy) from exc


def _find_cloud(given: Given, environ: Mapping[str, str]) -> Cloud | None:
    if given.region and given.api_host:
        raise UsageError("--region and --api-host name two clouds: give one of them")
    named = given.region or given.api_host or environ.get("AMP_API_HOST") or environ.get("AMP_REGION")
    return find_cloud(named) if named else None


def _read_key(name: str | None) -> str | None:
    if not name:
        return None
    try:
        return sys.stdin.read() if name == "-" else read_bytes(name, MAX_SECRET_BYTES).decode("ascii")
    except OSError as exc:
        raise UsageError(f"the API key's file {name} cannot be read: {exc.strerror}") from exc
    except UnicodeDecodeError:
        raise UsageError(f"{name} holds no API key: it is no plain text") from None


def _from_config(path: Path, wanted: str | None, environ: Mapping[str, str]) -> _Api:
    """``api:`` and ``cloud:`` of one stream; the rest of the file may still be unfinished.

    ``wanted`` is the stream's name; None: the only stream that has ``api:``.
    """
    from fluent_plugin_amp.config.document import parse
    from fluent_plugin_amp.config.problems import report

    try:
        tree, problems = parse(read_text(path), str(path))
    except OSError as exc:
        raise ConfigUnreadable(f"{path} cannot be read: {exc.strerror}") from exc
    if problems:
        raise ConfigError(report(problems))
    if isinstance(tree, dict):
        tree = tree.get("streams", tree)
    streams = [stream for stream in (tree if isinstance(tree, list) else [tree]) if isinstance(stream, dict)]
    found = [
        stream
        for stream in streams
        if (isinstance(stream.get("api"), dict) if wanted is None else stream.get("name") == wanted)
    ]
    if len(found) != 1:
        what = "with api:" if wanted is None else f"named {wanted!r}"
        raise ConfigError(
            f"{path} has {len(found) or 'no'} streams {what}",
            remedy="Name the stream with --stream."
            if found
            else "Give a stream `api: {client_id: …, api_key_file: …}`.",
        )
    try:
        return _read_api(found[0], path.parent, environ)
    except ValueError as exc:
        raise ConfigError(f"{path}: {exc}") from exc


def _read_api(stream: Mapping[str, Any], folder: Path, environ: Mapping[str, str]) -> _Api:
    from fluent_plugin_amp.config.variables import expand

    def text(mapping: object, key: str) -> str | None:
        value = mapping.get(key) if isinstance(mapping, Mapping) else None
        return expand(value, environ) if isinstance(value, str) else None

    def file(mapping: object, key: str) -> str | None:
        name = text(mapping, key)
        return None if name is None else str(folder / name)

    api, cloud = stream.get("api"), stream.get("cloud")
    host = text(stream, "cloud") or text(cloud, "api")
    found = None
    if host is not None:
        found = find_cloud(host, console=text(cloud, "console"), ca_file=file(cloud, "ca_file"))
    return _Api(text(api, "client_id"), text(api, "api_key"), file(api, "api_key_file"), found)
