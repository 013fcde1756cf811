"""FLEET.yml: the event streams that many organisations are to have.

Read like the configuration, by models of the same kind: every mistake at once, each with its line, typos with the key
that was meant.  ``${VARIABLES}`` are replaced, but for those in ``config``, which the plugin replaces.  No message
holds a secret.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError, ValidationInfo, field_validator

from fluent_plugin_amp.admin.errors import FleetInvalid
from fluent_plugin_amp.admin.tenants import Tenant, WantedStream, label_of
from fluent_plugin_amp.cisco.answers import MAX_EVENT_STREAMS
from fluent_plugin_amp.cisco.names import is_all
from fluent_plugin_amp.cisco.regions import Cloud, find_cloud
from fluent_plugin_amp.config.document import BROKEN, MarkedDict, MarkedList
from fluent_plugin_amp.config.load import judge, note_refusals
from fluent_plugin_amp.config.problems import Mark, Problem, report
from fluent_plugin_amp.config.reading import Reading, read_text
from fluent_plugin_amp.config.section import Section
from fluent_plugin_amp.config.streams import ApiConfig
from fluent_plugin_amp.config.values import StaticFields, repeated


def _not_blank(text: str) -> str:
    if not text.strip():
        raise ValueError("must not be empty")
    return text


def _names_a_cloud(text: str | None) -> str | None:
    if text is not None:
        find_cloud(text)
    return text


def _unless_all(value: object) -> object:
    """None for ``all``, alone or as the only item of a list."""
    if value is None or _means_all(value):
        return None
    if not isinstance(value, list) or not value:
        raise ValueError("must be `all`, or a list of names or ids")
    if any(map(_means_all, value)):
        if len(value) > 1:
            raise ValueError("`all` stands alone: nothing can stand beside it")
        return None
    return value


def _means_all(value: object) -> bool:
    return isinstance(value, str) and is_all(value)


def _name_or_id(value: object) -> object:
    if not isinstance(value, str) and type(value) is not int:
        raise ValueError("must be a name or an id")
    return str(value)


Name = Annotated[str, AfterValidator(_not_blank)]
Where = Annotated[Name | None, AfterValidator(_names_a_cloud)]
Chosen = Annotated[tuple[Annotated[str, BeforeValidator(_name_or_id)], ...] | None, BeforeValidator(_unless_all)]


class FleetFilters(Section):
    """What a stream takes from its tenant, and a tenant from the defaults."""

    event_types: Chosen = None
    groups: Chosen = None
    config: StaticFields = Field(default={})


class FleetStream(FleetFilters):
    """A stream that a tenant is to have."""

    name: Name

    def of(self, tenant: FleetTenant) -> WantedStream:
        """This stream with what the tenant says of all its streams."""
        own = self.model_fields_set
        return WantedStream(
            self.name,
            f"{label_of(tenant.name)}-{label_of(self.name)}",
            (self if "event_types" in own else tenant).event_types,
            (self if "groups" in own else tenant).groups,
            {**tenant.config, **self.config},
        )


class FleetDefaults(FleetFilters):
    """What every tenant has that does not say otherwise."""

    region: Where = None
    api_host: Where = None
    ca_file: Path | None = None
    streams: tuple[FleetStream, ...] | None = None

    @field_validator("api_host")
    @classmethod
    def _is_alone(cls, api_host: str | None, info: ValidationInfo) -> str | None:
        if api_host is not None and info.data.get("region") is not None:
            raise ValueError("give either region (us, eu, apjc) or api_host")
        return api_host

    @field_validator("streams")
    @classmethod
    def _fit(cls, streams: tuple[FleetStream, ...] | None) -> tuple[FleetStream, ...] | None:
        if len(streams or ()) > MAX_EVENT_STREAMS:
            raise ValueError(f"Cisco allows an organisation {MAX_EVENT_STREAMS} event streams")
        if twice := repeated(label_of(stream.name) for stream in streams or ()):
            raise ValueError(f"`{twice}` is too much like another stream's name")
        return streams


class FleetTenant(FleetDefaults, ApiConfig):
    """One organisation, with what it takes from the defaults."""

    name: Name
    api_host: Where = Field(default=None, validate_default=True)
    streams: tuple[FleetStream, ...]

    @field_validator("api_host")
    @classmethod
    def _or_region(cls, api_host: str | None, info: ValidationInfo) -> str | None:
        if api_host is None and info.data.get("region", "") is None:
            raise ValueError("give either region (us, eu, apjc) or api_host")
        return api_host

    @property
    def cloud(self) -> Cloud:
        """The organisation's cloud."""
        return find_cloud(self.region or self.api_host or "", ca_file=str(self.ca_file) if self.ca_file else None)

    @property
    def tenant(self) -> Tenant:
        """The organisation as `apply` takes it."""
        streams = tuple(stream.of(self) for stream in self.streams)
        return Tenant(self.name, label_of(self.name), self.cloud, self.key, streams)


class Fleet(Section):
    """The whole file."""

    defaults: FleetDefaults = FleetDefaults()
    tenants: tuple[FleetTenant, ...] = Field(min_length=1)

    @field_validator("tenants")
    @classmethod
    def _are_distinct(cls, tenants: tuple[FleetTenant, ...]) -> tuple[FleetTenant, ...]:
        """Names and keys belong to one tenant each: files and the limit of five streams go by them."""
        names: dict[str, str] = {}
        clients: dict[tuple[str, str], str] = {}
        for each in tenants:
            label, client = label_of(each.name), (each.cloud.api_url, each.client_id)
            if label in names:
                raise ValueError(f"`{names[label]}` and `{each.name}` are the same, or too much alike for file names")
            if client in clients:
                raise ValueError(
                    f"`{clients[client]}` and `{each.name}` have the same client_id: make them one tenant"
                )
            names[label] = clients[client] = each.name
        return tenants


def read_fleet(path: Path, environ: Mapping[str, str]) -> tuple[Tenant, ...]:
    """The tenants of a fleet file, with the keys from the files that it names.

    Raises FleetInvalid: the file cannot be read, or the error lists every mistake.
    """
    try:
        text = read_text(path)
    except ValueError as error:
        raise FleetInvalid(f"{path} {error}", remedy="Name a fleet file.") from None
    reading = Reading(environ)
    root = reading.document(path, text, as_is=("config",))
    fleet = None
    if isinstance(root, MarkedDict):
        _complete(reading, root)
        fleet = judge(reading, root, Fleet)
    elif root is not BROKEN:
        reading.problems.append(Problem(Mark(str(path), 1), "", "must be a mapping with `tenants:`"))
    if fleet is None or reading.problems:
        raise FleetInvalid(report(reading.problems, "fleet"))
    return tuple(each.tenant for each in fleet.tenants)


def _complete(reading: Reading, root: MarkedDict) -> None:
    """Read secrets, make file names absolute, and give each tenant the defaults that it does not replace."""
    defaults, tenants = root.get("defaults"), root.get("tenants")
    inherited = MarkedDict(root.mark)
    if isinstance(defaults, MarkedDict):
        reading.file(defaults, "ca_file")
        for key in defaults.keys() & FleetDefaults.model_fields.keys():
            inherited.put(key, defaults[key], defaults.marks[key])
        try:
            FleetDefaults.model_validate(defaults)
        except ValidationError as error:
            note_refusals(reading, root, error, Fleet, ("defaults",))
            inherited.update({key: BROKEN for each in error.errors() if (key := str(each["loc"][0])) in inherited})
    for tenant in tenants if isinstance(tenants, MarkedList) else ():
        if isinstance(tenant, MarkedDict):
            reading.file(tenant, "ca_file")
            reading.take_secret(tenant, "api_key")
            # A tenant's own region or host replaces both of the defaults: they would contradict each other.
            cloud = ("region", "api_host")
            has_cloud = any(tenant.get(key) is not None for key in cloud)
            for key in inherited.keys() - tenant.keys() - set(cloud if has_cloud else ()):
                tenant.put(key, inherited[key], inherited.marks[key])
