"""Finds the cloud and the key to it: in options, the environment, or a stream's ``api:`` in the configuration.

The first one that is given counts: an option, then AMP_CLIENT_ID, AMP_API_KEY, AMP_API_KEY_FILE, AMP_REGION
and AMP_API_HOST, then the configuration file.  Where environment and file have two client ids, it is an error: an old
variable must not take a command to another organisation.

The key itself is never an option: everybody who lists the processes sees its options.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from fluent_plugin_amp.cisco.api_key import ApiKey
from fluent_plugin_amp.cisco.regions import Cloud, find_cloud
from fluent_plugin_amp.errors import UsageError
from fluent_plugin_amp.files import MAX_SECRET_BYTES, read_bytes

if TYPE_CHECKING:
    from fluent_plugin_amp.config.proxy import ProxyWay
    from fluent_plugin_amp.config.stream_api import Api


@dataclass(frozen=True, slots=True)
class Given:
    """What the command line says; None where it says nothing."""

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
    proxy: ProxyWay = None
    variables: tuple[str, ...] = ()
    """Variables that are taken though a configuration was named."""
    broker_ca_file: str | None = None
    """The CA of the broker: of the option, of the stream's ``tls:``, or that of the cloud."""


def find_access(given: Given, environ: Mapping[str, str]) -> Access:
    """The cloud and the key that options, environment and configuration name.

    Raises UsageError when they name none, one that cannot be, or two organisations; ConfigError for mistakes of
    the configuration.
    """
    key = _read_key(given.api_key_file) or environ.get("AMP_API_KEY") or _read_key(environ.get("AMP_API_KEY_FILE"))
    client_id = given.client_id or environ.get("AMP_CLIENT_ID")
    cloud = proxy = api = None
    if given.config_file is not None:
        from fluent_plugin_amp.config.stream_api import read_api  # takes its time, and few need it

        api = read_api(given.config_file, given.stream, environ, needs_key=not key)
        if given.client_id is None and client_id and api.client_id and api.client_id != client_id:
            raise UsageError(
                f"which organisation? AMP_CLIENT_ID is not the client id of {given.config_file}",
                remedy="Unset AMP_CLIENT_ID, AMP_API_KEY and AMP_API_KEY_FILE, or leave -c out.",
            )
        client_id, key, cloud, proxy = client_id or api.client_id, key or api.api_key, api.cloud, api.proxy
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
        cloud = _find_cloud(given, environ) or cloud
        if cloud is not None and given.ca_file is not None:
            cloud = replace(cloud, ca_file=given.ca_file)
        variables = _in_place_of(api, given, environ) if api is not None else ()
        of_broker = given.ca_file or (api.broker_ca_file if api else None) or (cloud.ca_file if cloud else None)
        return Access(cloud, ApiKey(client_id, key.strip()), proxy, variables, of_broker)
    except ValueError as exc:
        remedy = "Check region or host, client id and key, as options, variables (AMP_…) or in the configuration."
        raise UsageError(str(exc), remedy=remedy) from exc


def _in_place_of(api: Api, given: Given, environ: Mapping[str, str]) -> tuple[str, ...]:
    """The variables that are taken though a configuration was named.

    The key's is told whenever it is taken; those of client id and cloud only where the configuration says nothing or
    something else.
    """
    of_key = "AMP_API_KEY" if environ.get("AMP_API_KEY") else "AMP_API_KEY_FILE"
    of_cloud = "AMP_API_HOST" if environ.get("AMP_API_HOST") else "AMP_REGION"
    named, of_file = _find_cloud(given, environ), api.cloud and api.cloud.api_url
    taken = {
        "AMP_CLIENT_ID": given.client_id is None and not api.client_id,
        of_key: given.api_key_file is None,
        of_cloud: not (given.region or given.api_host) and named and named.api_url != of_file,
    }
    return tuple(name for name, counts in taken.items() if counts and environ.get(name))


def _find_cloud(given: Given, environ: Mapping[str, str]) -> Cloud | None:
    if given.region and given.api_host:
        raise UsageError("--region and --api-host name two clouds: give one of them")
    named = given.region or given.api_host or environ.get("AMP_API_HOST") or environ.get("AMP_REGION")
    return find_cloud(named) if named else None


def _read_key(name: str | None) -> str | None:
    if not name:
        return None
    try:
        if name != "-":
            return read_bytes(name, MAX_SECRET_BYTES).decode("ascii")
        key = sys.stdin.read(MAX_SECRET_BYTES + 1)
    except OSError as exc:
        raise UsageError(f"the API key's file {name} cannot be read: {exc.strerror}") from exc
    except UnicodeDecodeError:
        raise UsageError(f"{name} holds no API key: it is not plain text") from None
    if len(key) > MAX_SECRET_BYTES:
        raise UsageError(f"standard input holds no API key: it is larger than {MAX_SECRET_BYTES >> 10} KiB")
    return key
