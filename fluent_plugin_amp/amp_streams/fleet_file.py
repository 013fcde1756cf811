"""FLEET.yml: the event streams that many organisations are to have.

Read as strictly as the configuration: every mistake at once, each with its line, typos with the key that was
meant, ``${VARIABLES}`` in what belongs to the API.  Secrets are read here and appear in no message.

Pure, but for the API keys' files, which ``read_file`` reads.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from typing import Any

from fluent_plugin_amp.amp_streams.errors import FleetInvalid
from fluent_plugin_amp.amp_streams.tenants import Tenant, WantedStream, label_of
from fluent_plugin_amp.cisco.answers import MAX_EVENT_STREAMS
from fluent_plugin_amp.cisco.api_key import ApiKey
from fluent_plugin_amp.cisco.names import is_all
from fluent_plugin_amp.cisco.regions import Cloud, find_cloud
from fluent_plugin_amp.config.document import BROKEN, MarkedDict, MarkedList, parse
from fluent_plugin_amp.config.problems import Mark, Problem, join, report
from fluent_plugin_amp.config.variables import expand

_STREAM_KEYS = ("name", "event_types", "groups", "config")
_INHERITED = ("region", "api_host", "ca_file", "event_types", "groups", "config", "streams")
_TENANT_KEYS = ("name", "client_id", "api_key", "api_key_file", *_INHERITED)


def read_fleet(
    text: str,
    file: str,
    *,
    environ: Mapping[str, str],
    read_file: Callable[[str], str],
    resolve: Callable[[str], str] = str,
) -> tuple[Tenant, ...]:
    """The tenants of a fleet file.

    Args:
        text: the file's content.
        file: its name, for messages.
        environ: the environment, for ``${VARIABLES}``.
        read_file: the content of ``api_key_file``, whose name is relative to the fleet file; raises OSError.
        resolve: makes the name of ``ca_file`` absolute.

    Raises FleetInvalid with every mistake.
    """
    tree, problems = parse(text, file)
    reader = _Reader(environ, read_file, resolve, problems)
    tenants = reader.fleet(tree, Mark(file, 1))
    if reader.problems:
        raise FleetInvalid(report(reader.problems).replace("in the configuration:", "in the fleet:"))
    return tenants


class _Reader:
    """One run of `read_fleet`: the mistakes found so far; a None stands for what is wrong and was noted."""

    def __init__(
        self,
        environ: Mapping[str, str],
        read_file: Callable[[str], str],
        resolve: Callable[[str], str],
        problems: list[Problem],
    ) -> None:
        self.problems = problems
        self._defaults = MarkedDict(Mark("", 0))
        self._environ = environ
        self._read_file = read_file
        self._resolve = resolve

    def fleet(self, tree: Any, start: Mark) -> tuple[Tenant, ...]:
        if not isinstance(tree, MarkedDict):
            if tree is not BROKEN:
                self.problems.append(Problem(start, "", "must be a mapping with `tenants:`"))
            return ()
        self._keys(tree, ("defaults", "tenants"))
        defaults = tree.get("defaults")
        if defaults is not None and not isinstance(defaults, MarkedDict):
            self._wrong(tree, "defaults", "must be a mapping (key: value)")
        if isinstance(defaults, MarkedDict):
            self._defaults = defaults
        self._keys(self._defaults, _INHERITED)
        listed = tree.get("tenants")
        if not isinstance(listed, MarkedList) or not listed:
            self._wrong(tree, "tenants", "must be a list with at least one tenant")
            return ()
        tenants = [self._tenant(item, mark, index) for index, (item, mark) in enumerate(_marked(listed))]
        found = [tenant for tenant in tenants if tenant is not None]
        self._distinct(found, tree)
        return tuple(found)

    def _tenant(self, item: Any, mark: Mark, index: int) -> Tenant | None:
        if not isinstance(item, MarkedDict):
            if item is not BROKEN:
                self.problems.append(Problem(mark, f"tenants[{index}]", "must be a mapping (key: value)"))
            return None
        self._keys(item, _TENANT_KEYS)
        before = len(self.problems)
        # A tenant's own region or host replaces both of the defaults: they would contradict each other.
        own_cloud = item.get("region") is not None or item.get("api_host") is not None
        merged = MarkedDict(item.mark, item.path)
        for key in item:
            merged.put(key, item[key], item.marks[key])
        for key in self._defaults:
            if key not in merged and not (own_cloud and key in ("region", "api_host")):
                merged.put(key, self._defaults[key], self._defaults.marks[key])
        name = self._text(merged, "name")
        cloud = self._cloud(merged)
        api_key = self._key(merged)
        streams = self._streams(merged, name or "")
        if name is None or cloud is None or api_key is None or len(self.problems) > before:
            return None
        return Tenant(name, label_of(name), cloud, api_key, streams)

    def _cloud(self, tenant: MarkedDict) -> Cloud | None:
        given = [key for key in ("region", "api_host") if tenant.get(key) is not None]
        if len(given) != 1:
            self._wrong(tenant, "region", "give either region (us, eu, apjc) or api_host")
            return None
        where, ca_file = self._text(tenant, given[0]), self._text(tenant, "ca_file", needed=False)
        if where is None:
            return None
        try:
            return find_cloud(where, ca_file=ca_file and self._resolve(ca_file))
        except ValueError as exc:
            self._wrong(tenant, given[0], str(exc))
            return None

    def _key(self, tenant: MarkedDict) -> ApiKey | None:
        client_id = self._text(tenant, "client_id")
        api_key = self._text(tenant, "api_key", needed=False)
        file = self._text(tenant, "api_key_file", needed=False)
        if (api_key is None) == (file is None):
            self._wrong(tenant, "api_key", "give either api_key (as ${VARIABLE}) or api_key_file")
            return None
        if file is not None:
            try:
                api_key = self._read_file(file).strip()
            except OSError as exc:
                self._wrong(tenant, "api_key_file", f"cannot be read: {exc.strerror}")
                return None
        if client_id is None:
            return None
        try:
            return ApiKey(client_id, api_key or "")
        except ValueError as exc:
            self._wrong(tenant, "client_id", str(exc))
            return None

    def _streams(self, tenant: MarkedDict, tenant_name: str) -> tuple[WantedStream, ...]:
        listed = tenant.get("streams")
        if not isinstance(listed, MarkedList):
            self._wrong(tenant, "streams", "must be a list (it may be empty)")
            return ()
        if len(listed) > MAX_EVENT_STREAMS:
            self._wrong(tenant, "streams", f"Cisco allows an organisation {MAX_EVENT_STREAMS} event streams")
        streams: dict[str, WantedStream] = {}
        for item, mark in _marked(listed):
            if not isinstance(item, MarkedDict):
                if item is not BROKEN:
                    self.problems.append(Problem(mark, join(tenant.path, "streams"), "must be a mapping"))
                continue
            self._keys(item, _STREAM_KEYS)
            name = self._text(item, "name")
            if name is None:
                continue
            if label_of(name) in streams:
                self._wrong(item, "name", f"`{name}` is too much like another stream's name")
            label = f"{label_of(tenant_name)}-{label_of(name)}"
            streams[label_of(name)] = WantedStream(
                name,
                label,
                self._list(item if "event_types" in item else tenant, "event_types"),
                self._list(item if "groups" in item else tenant, "groups"),
                {**self._mapping(tenant, "config"), **self._mapping(item, "config")},
            )
        return tuple(streams.values())

    def _distinct(self, tenants: list[Tenant], tree: MarkedDict) -> None:
        """Names and keys belong to one tenant each: files and the limit of five streams go by them."""
        names: dict[str, str] = {}
        clients: dict[tuple[str, str], str] = {}
        for tenant in tenants:
            client = (tenant.cloud.api_url, tenant.key.client_id)
            if tenant.label in names:
                pair = f"`{names[tenant.label]}` and `{tenant.name}`"
                self._wrong(tree, "tenants", f"{pair} are the same, or too much alike for file names")
            elif client in clients:
                pair = f"`{clients[client]}` and `{tenant.name}`"
                self._wrong(tree, "tenants", f"{pair} have the same client_id: make them one tenant")
            names[tenant.label] = clients[client] = tenant.name

    # --- values ----------------------------------------------------------------------------------

    def _text(self, mapping: MarkedDict, key: str, *, needed: bool = True) -> str | None:
        value = mapping.get(key)
        if value is None or value is BROKEN:
            if needed and value is None:
                self._wrong(mapping, key, "missing")
            return None
        if not isinstance(value, str) or not value.strip():
            self._wrong(mapping, key, "must be a text, and not empty: put it in quotes")
            return None
        try:
            return expand(value, self._environ)
        except ValueError as exc:
            self._wrong(mapping, key, str(exc))
            return None

    def _list(self, mapping: MarkedDict, key: str) -> tuple[str, ...] | None:
        value = mapping.get(key)
        if value is None or _means_all(value):
            return None
        if not isinstance(value, MarkedList) or not value:
            self._wrong(mapping, key, "must be `all`, or a list of names or ids")
            return None
        if not all(isinstance(one, str) or type(one) is int for one in value):
            self._wrong(mapping, key, "must hold names or ids only")
            return None
        if any(map(_means_all, value)) and len(value) > 1:
            self._wrong(mapping, key, "`all` stands alone: nothing can stand beside it")
            return None
        return None if _means_all(value[0]) else tuple(str(one) for one in value)

    def _mapping(self, mapping: MarkedDict, key: str) -> dict[str, Any]:
        value = mapping.get(key)
        if isinstance(value, MarkedDict):
            return {name: _plain(inner) for name, inner in value.items()}
        if value is not None:
            self._wrong(mapping, key, "must be a mapping (key: value)")
        return {}

    def _keys(self, mapping: MarkedDict, known: tuple[str, ...]) -> None:
        for key in mapping.keys() - set(known):
            close = difflib.get_close_matches(key.lower().replace("-", "_"), known, n=1)
            hint = f"; did you mean `{close[0]}`?" if close else f"; known here: {', '.join(known)}"
            self._wrong(mapping, key, f"unknown key{hint}")

    def _wrong(self, mapping: MarkedDict, key: str, text: str) -> None:
        mark = mapping.marks.get(key, mapping.mark)
        inherited = mapping is not self._defaults and self._defaults.marks.get(key) is mark
        self.problems.append(Problem(mark, join("defaults" if inherited else mapping.path, key), text))


def _means_all(value: object) -> bool:
    return isinstance(value, str) and is_all(value)


def _marked(sequence: MarkedList) -> list[tuple[Any, Mark]]:
    return list(zip(sequence, sequence.marks, strict=True))


def _plain(value: Any) -> Any:
    """The same tree in plain dicts and lists."""
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    return [_plain(inner) for inner in value] if isinstance(value, list) else value
