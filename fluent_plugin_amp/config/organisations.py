"""The organisations whose REST API is polled: their key, their sources, and their share of the rate limit.  Pure.

A source is a section of its organisation, such as ``audit_logs``; to add one, add an attribute here and its name to
`SOURCES`.  Its line in the conductor, in metrics and in the state file is called ``organisation/source``.
"""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field, field_validator

from fluent_plugin_amp.cisco.regions import CLOUDS
from fluent_plugin_amp.config.proxy import ProxyWay
from fluent_plugin_amp.config.section import Section
from fluent_plugin_amp.config.streams import ApiConfig, CloudConfig, or_a_name
from fluent_plugin_amp.config.transform import TransformConfig
from fluent_plugin_amp.config.units import Duration, Share
from fluent_plugin_amp.config.values import EventTypeId, StaticFields, Tag, Text

SOURCES = ("audit_logs", "computers", "vulnerabilities", "hunts")
"""The keys of an organisation that are polled sources."""


class AuditLogsConfig(Section):
    """Who did what in the console and over the API; needs `state.path`: `{}` turns it on."""

    poll_interval: Annotated[float, Duration("1s", "1d")] = Field(default=300.0, description="How often to ask.")
    tag: Tag = Field(default="edr.cisco.amp.audit_logs", description="The tag of the records.")


class ComputersConfig(Section):
    """Which computers appeared, changed or went; needs `state.path`: `{}` turns it on."""

    poll_interval: Annotated[float, Duration("1m", "1d")] = Field(
        default=3600.0, description="How often to ask for those that reported within a day."
    )
    sweep: Annotated[float, Duration("1h", "30d")] = Field(
        default=86_400.0, description="How often to read all of them: what went is found by that."
    )
    tag: Tag = Field(default="edr.cisco.amp.computers", description="The tag of the records.")


class VulnerabilitiesConfig(Section):
    """Which vulnerable programs are new or have changed; needs `state.path`: `{}` turns it on."""

    poll_interval: Annotated[float, Duration("1m", "1d")] = Field(default=3600.0, description="How often to ask.")
    tag: Tag = Field(default="edr.cisco.amp.vulnerabilities", description="The tag of the records.")


class HuntsConfig(Section):
    """Who else has seen a malicious file, and raised no event for it; needs `state.path`: `{}` turns it on."""

    poll_interval: ClassVar[float] = 5.0
    """How often is looked for what is due, in seconds; the cloud is asked only then."""

    every: Annotated[float, Duration("1h", "30d")] = Field(
        default=86_400.0, description="After so long a file that has events again is hunted again."
    )
    delay: Annotated[float, Duration("0s", "1h")] = Field(
        default=60.0,
        description="Time between an event and its hunt, so that other computers have raised their events, too.",
    )
    event_types: tuple[EventTypeId, ...] = Field(
        default=(),
        description="Events of these types ask, by name, older name, or id, unless their file is clean; none: events "
        "of whatever type whose file is malicious.",
    )
    rate_limit_share: Annotated[float, Share("0.01", "0.8")] = Field(
        default=0.1,
        description="How much of the requests that the cloud grants hunts may use, beside that of the organisation.",
    )
    tag: Tag = Field(default="edr.cisco.amp.hunts", description="The tag of the records.")


class OrganisationConfig(Section):
    """One organisation at Cisco, seen through one API key."""

    name: Text = Field(description="Label in logs and metrics, unique; a stream may name it as its `organisation`.")
    cloud: CloudConfig = Field(
        description="`us`, `eu`, `apjc`, or a private cloud with its `api`.", json_schema_extra=or_a_name
    )
    api: ApiConfig = Field(description="The key; one that may only read will do.")
    proxy: ProxyWay = Field(
        default=None, description="The proxy on the way to `cloud`; null: as `proxy` at the top level says."
    )
    rate_limit_share: Annotated[float, Share("0.01", "0.8")] = Field(
        default=0.5,
        description="How much of the requests that the cloud grants each process may use (see `shard`); the last "
        "fifth of what is left is never touched: people act with it.",
    )
    audit_logs: AuditLogsConfig | None = Field(
        default=None, description="The audit log: each entry is a record; null: off."
    )
    computers: ComputersConfig | None = Field(
        default=None, description="The computers: what appeared, changed or went is a record; null: off."
    )
    vulnerabilities: VulnerabilitiesConfig | None = Field(
        default=None, description="The vulnerable programs: what is new or has changed is a record; null: off."
    )
    hunts: HuntsConfig | None = Field(
        default=None,
        description="Who else has seen the malicious file of an event: a record for each; null: off, docs/hunts.md.",
    )
    names: bool = Field(
        default=False,
        description="Events, detections and incidents of the streams that name this organisation get `names`: of "
        "their groups, policy, system and connector, docs/records.md. Needs `state.path`. Without `computers` the "
        "lists are read all the same, as its defaults say, and no record of a computer is sent.",
    )
    add: StaticFields = Field(
        default={},
        description="Static fields of this organisation's own records; where `transform.add` has the same key, this "
        "one holds.",
    )

    @field_validator("cloud")
    @classmethod
    def _can_be_asked(cls, cloud: CloudConfig) -> CloudConfig:
        if cloud.api is None:
            raise ValueError(f"must say where the API is: {', '.join(CLOUDS)}, or a mapping with `api`")
        return cloud

    @property
    def sources(self) -> tuple[str, ...]:
        """The keys of the sources that are turned on; `names` is one where `computers` does not learn them."""
        on = tuple(key for key in SOURCES if getattr(self, key) is not None)
        return (*on, "names") if self.names and self.computers is None else on

    def section(self, source: str) -> AuditLogsConfig | ComputersConfig | VulnerabilitiesConfig | HuntsConfig:
        """How one of its `sources` is polled."""
        section: AuditLogsConfig | ComputersConfig | VulnerabilitiesConfig | HuntsConfig = (
            ComputersConfig() if source == "names" else getattr(self, source)
        )
        return section

    def line(self, source: str) -> str:
        """The name of the line of one of its sources."""
        return f"{self.name}/{source}"

    def for_streams(self) -> OrganisationConfig:
        """This organisation with what its streams need only: hunts and names, which each process has for itself."""
        return self.model_copy(update={key: None for key in SOURCES if key != "hunts"})

    def under(self, transform: TransformConfig, proxy: ProxyWay) -> OrganisationConfig:
        """This organisation with what holds for all: their ``proxy``, where it has none of its own, and ``add``."""
        way = proxy if self.proxy is None else self.proxy
        return self.model_copy(update={"add": {**transform.add, **self.add}, "proxy": way})
