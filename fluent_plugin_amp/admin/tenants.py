"""Tenants: organisations and the event streams that they are to have.  Pure."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fluent_plugin_amp.cisco.api_key import ApiKey
from fluent_plugin_amp.cisco.names import fold, is_all, slug
from fluent_plugin_amp.cisco.regions import Cloud
from fluent_plugin_amp.errors import UsageError


@dataclass(frozen=True, slots=True)
class WantedStream:
    """One stream that a tenant is to have."""

    name: str
    label: str
    """The stream's name in logs and files: tenant and stream, unique in the fleet."""
    event_types: tuple[str, ...] | None
    """Names or ids; None: all."""
    groups: tuple[str, ...] | None
    """Names or GUIDs; None: all."""
    config: Mapping[str, Any] = field(default_factory=dict)
    """Keys for the stream's entry in the configuration, as they are."""


@dataclass(frozen=True, slots=True)
class Tenant:
    """One organisation and its streams."""

    name: str
    label: str
    cloud: Cloud
    key: ApiKey
    streams: tuple[WantedStream, ...]


def label_of(name: str) -> str:
    """``name`` for files and log lines; where letters are lost, a hash keeps different names apart."""
    plain = slug(name)
    if plain == re.sub(r"[\s_]+", "-", name.strip().lower()):
        return plain
    return f"{plain}-{hashlib.sha256(name.encode()).hexdigest()[:6]}"


def chosen_tenants(tenants: Sequence[Tenant], names: Sequence[str]) -> Sequence[Tenant]:
    """The tenants that are named, in the order of the file; all of them for ``all``, and for no name."""
    if not names or any(map(is_all, names)):
        return tenants
    wanted = {fold(name): name for name in names}
    for tenant in tenants:
        wanted.pop(fold(tenant.name), None)
    if wanted:
        there = ", ".join(repr(tenant.name) for tenant in tenants[:12]) + (", …" if len(tenants) > 12 else "")
        raise UsageError(f"the fleet has no tenant {', '.join(map(repr, wanted.values()))}; there are: {there}")
    return [tenant for tenant in tenants if fold(tenant.name) in {fold(name) for name in names}]
