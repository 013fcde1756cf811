"""The models of the configuration: a class for each mapping of the file, an attribute for each key.  Pure.

The whole is here, its larger parts in ``streams`` and ``forward``, what they share in ``section``.  Invariants:

- frozen, and no key that is not listed here; a null where null has no meaning of its own means the default;
- each field refuses on its own, none hides what is wrong with another: rules between two keys of a mapping sit
  on the later one and see the earlier one in ``info.data``;
- secrets are SecretStr, and no text of a refusal repeats a value;
- a `StreamConfig` within a `Config` is complete: its ``transform`` and ``add`` already hold the global ones.

The keys ``*_file``, ``credentials_file`` and ``include`` are resolved before, by `load`.  To add a key, add an
attribute with a description: schema, reference and spelling hints follow from it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, ConfigDict, Field, PrivateAttr, ValidationError, ValidationInfo, field_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

from fluent_plugin_amp.config.forward import ForwardConfig
from fluent_plugin_amp.config.organisations import OrganisationConfig
from fluent_plugin_amp.config.proxy import ProxyWay
from fluent_plugin_amp.config.section import Section
from fluent_plugin_amp.config.streams import StreamConfig
from fluent_plugin_amp.config.transform import TransformConfig
from fluent_plugin_amp.config.units import MIB, Duration, Size, Whole
from fluent_plugin_amp.config.values import Address, Secret, Tag, Text, one_or_more, repeated, split_address
from fluent_plugin_amp.errors import IncludeBroken


class DeadLettersConfig(Section):
    """Events that cannot be sent as records: they arrive as dead letters, with their original bytes."""

    tag: Tag = Field(default="edr.cisco.amp.dead_letters", description="The tag of the dead letters.")
    raw: bool = Field(
        default=False,
        description="Where `transform.obfuscate` is used, a dead letter holds only the hash and the length of its "
        "body; true: the original bytes all the same.",
    )


class StateConfig(Section):
    """What outlives the process, in a file of its own: which events were delivered, and dead letters nobody takes."""

    path: Path | None = Field(
        default=None,
        description="The file (SQLite); made if need be, in a folder that must be there. One for each process. "
        "null: a new process does not know what an earlier one delivered.",
    )
    remember: Annotated[float, Duration("1m")] = Field(
        default=11 * 86400.0,
        description="How long delivered events are remembered; the broker may deliver an event again for 10 days.",
    )


class DetectionsConfig(Section):
    """One more record for each detection, made from all its events: `{}` turns it on."""

    window: Annotated[float, Duration("1s", "1h")] = Field(
        default=60.0,
        description="A detection of which only a part has arrived is written after this; when more arrives, again.",
    )
    tag: Tag = Field(default="edr.cisco.amp.detections", description="The tag of the records.")
    max_open: Annotated[int, Whole("1")] = Field(
        default=100_000, description="How many detections are remembered; of more, the oldest is closed early."
    )


class IncidentsConfig(Section):
    """One more record for each group of detections that belong together: `{}` turns it on."""

    window: Annotated[float, Duration("1s", "1d")] = Field(
        default=300.0, description="Length of an incident, from its first event on, by the time of the events."
    )
    lateness: Annotated[float, Duration("0s", "1d")] = Field(
        default=60.0,
        description="How much out of order the events of one hash or computer may arrive and still be put where they "
        "belong; between computers there may be any delay.",
    )
    by: tuple[Literal["sha256", "sha256_and_computer", "computer"], ...] = Field(
        default=("sha256", "sha256_and_computer", "computer"),
        min_length=1,
        description="The groupings, each on its own: the same file on any computers, the same file on one computer, "
        "any detections on one computer.",
    )
    tag: Tag = Field(default="edr.cisco.amp.incidents", description="The tag of the records.")
    max_open: Annotated[int, Whole("1")] = Field(
        default=100_000,
        description="How many incidents are open at once; of more, what was quiet for longest is closed early.",
    )


class CompletenessConfig(Section):
    """A record for each stream and hour of what the cloud had and what was delivered: `{}` turns it on."""

    every: Annotated[float, Duration("1h", "1h")] = Field(
        default=3600.0, description="The span of one record. It is sent when the hour is two hours old."
    )
    tag: Tag = Field(default="edr.cisco.amp.completeness", description="The tag of the records.")
    repair: bool = Field(
        default=False,
        description="true: what is missing is delivered at once, unless events still wait in the queue.",
    )
    key: Secret | None = Field(
        default=None, description="The key of the HMAC over each record, or in `key_file`; null: only a hash."
    )
    key_file: Path | None = Field(default=None, description="File that holds nothing but the key.")


class HeartbeatConfig(Section):
    """A small record now and then that says that the plugin works: `{}` turns it on."""

    every: Annotated[float, Duration("10s", "1d")] = Field(
        default=300.0, description="Interval of the records. Alert when three of them are missing."
    )
    tag: Tag = Field(default="edr.cisco.amp.heartbeat", description="The tag of the records.")


class ObserveConfig(Section):
    """What an operator sees."""

    listen: Address | None = Field(
        default="127.0.0.1:24280",
        description="Address of the status page, `/metrics`, `/healthz` and `/readyz` (HTTP, no password: keep it on "
        "loopback, where it answers only to a `Host` of loopback, or behind a firewall); null: none of them.",
    )
    ready: Literal["all", "any"] = Field(
        default="all",
        description="What `/readyz` answers 200 for: `all` streams consume (or stand by, or rest until their next "
        "poll), or `any` of them does; a server acknowledges in either case.",
    )
    statistics_every: Annotated[float, Duration("1s", "1d")] = Field(
        default=300.0, description="Interval of the log lines that count events."
    )

    @classmethod
    def _takes_null(cls, key: str) -> bool:
        return key == "listen" or super()._takes_null(key)

    @property
    def address(self) -> tuple[str, int] | None:
        """Host and port of ``listen``; None when it is turned off."""
        return split_address(self.listen) if self.listen is not None else None


class LoggingConfig(Section):
    """The plugin's own log, on standard error and perhaps to the servers."""

    level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="The least that is logged."
    )
    format: Literal["text", "json"] = Field(default="text", description="`json`: one object a line.")
    forward_tag: Tag | None = Field(
        default=None,
        description="Also send the log to the servers, as records with this tag; best effort: lines are left out "
        "rather than waited for. null: it stays on standard error.",
    )


class ShardConfig(Section):
    """One process of several that share the streams of a configuration."""

    of: Annotated[int, Whole("1", "1000")] = Field(description="How many processes there are.")
    index: Annotated[int, Whole("0", "999")] = Field(description="Which one this is, from 0.")

    @field_validator("index")
    @classmethod
    def _is_one_of_them(cls, index: int, info: ValidationInfo) -> int:
        if index >= info.data.get("of", index + 1):
            raise ValueError("must be less than `of`: it counts from 0")
        return index

    def has(self, stream_name: str) -> bool:
        """Whether a stream belongs to this process.  Other streams make no difference to the answer."""
        digest = hashlib.sha256(stream_name.encode()).digest()
        return int.from_bytes(digest[:8], "big") % self.of == self.index


class Config(Section):
    """The whole configuration."""

    model_config = ConfigDict(
        json_schema_extra={"required": [], "anyOf": [{"required": ["streams"]}, {"required": ["include"]}]}
    )

    transform: TransformConfig = Field(default=TransformConfig(), description="What is done with each event.")
    proxy: ProxyWay = Field(
        default=None,
        description="The proxy on the way from this network to the brokers and to Cisco's REST API, for every stream "
        "that names none itself: `http://[user:password@]host:port`, which is asked with CONNECT, or `socks5://…`. "
        "Either resolves the broker's name itself, and TLS goes through it to the broker. `environment`: as "
        "HTTPS_PROXY and NO_PROXY say. `direct`: none. null: none to the brokers, `environment` to the API.",
    )
    streams: tuple[StreamConfig, ...] = Field(min_length=1, description="The event streams to read.")
    organisations: tuple[OrganisationConfig, ...] = Field(
        default=(),
        description="Organisations whose REST API is polled: audit logs; docs/organisation.md.",
    )
    include: Annotated[tuple[Text, ...], BeforeValidator(one_or_more)] = Field(
        default=(),
        description="Files with more streams, as glob patterns: `streams.d/*.yml`. Each file holds one stream, "
        "a list of them, or `streams:` with a list.",
    )
    shard: ShardConfig | None = Field(
        default=None,
        description="This process takes its share of the streams, by the hash of their names; null: all of them.",
    )
    forward: ForwardConfig = Field(default=ForwardConfig(), description="Where the records go.")
    dead_letters: DeadLettersConfig = Field(default=DeadLettersConfig(), description="Events that cannot be sent.")
    detections: DetectionsConfig | None = Field(
        default=None, description="Events of one detection in one record; null: off."
    )
    incidents: IncidentsConfig | None = Field(
        default=None, description="Detections that belong together in one record; null: off."
    )
    memory_limit: Annotated[int, Size("1MiB")] = Field(
        default=64 * MIB,
        description="Bound of what is held in memory, over all streams; beyond it the broker keeps the events.",
    )
    max_event_size: Annotated[int, Size("64KiB")] = Field(
        default=32 * MIB,
        description="A larger event is not received: it stays in the queue, and its stream stands still. Each stream "
        "may hold one event of this size besides `memory_limit`, while it arrives.",
    )
    state: StateConfig = Field(default=StateConfig(), description="What outlives the process.")
    completeness: CompletenessConfig | None = Field(
        default=None,
        description="Records that prove hour by hour that nothing is missing; needs `state.path`, and `api` on the "
        "streams that it is for. null: off.",
    )
    heartbeat: HeartbeatConfig | None = Field(
        default=None,
        description="Records on the way that events take: a rule of the SIEM sees when they stop. null: off.",
    )
    observe: ObserveConfig = Field(default=ObserveConfig(), description="Snapshot for the operator.")
    logging: LoggingConfig = Field(default=LoggingConfig(), description="The plugin's own log.")

    _warnings: tuple[str, ...] = PrivateAttr(())
    _files: Mapping[str, str] = PrivateAttr({})
    _kept: frozenset[str] = PrivateAttr(frozenset())
    _trouble: IncludeBroken | None = PrivateAttr(None)

    @field_validator("streams")
    @classmethod
    def _complete(cls, streams: tuple[StreamConfig, ...], info: ValidationInfo) -> tuple[StreamConfig, ...]:
        # both stand before `streams` so that they are known here; they are absent when they were refused themselves
        transform, proxy = info.data.get("transform", TransformConfig()), info.data.get("proxy")
        if twice := repeated(stream.name for stream in streams):
            raise ValueError(f"has two streams named `{twice}`")
        complete = tuple(stream.under(transform, proxy) for stream in streams)
        homeless = [
            InitErrorDetails(
                type=PydanticCustomError(
                    "value_error",
                    "{error}",
                    {"error": f"`{stream.name}` has `links`, but no `cloud`: its broker's host does not tell"},
                ),
                loc=(index,),
                input=None,
            )
            for index, stream in enumerate(complete)
            if stream.transform.links and stream.console_host is None
        ]
        if homeless:  # each has the place of its stream
            raise ValidationError.from_exception_data("streams", homeless)
        return complete

    @field_validator("organisations")
    @classmethod
    def _complete_organisations(
        cls, organisations: tuple[OrganisationConfig, ...], info: ValidationInfo
    ) -> tuple[OrganisationConfig, ...]:
        transform, proxy = info.data.get("transform", TransformConfig()), info.data.get("proxy")
        if twice := repeated(organisation.name for organisation in organisations):
            raise ValueError(f"has two organisations named `{twice}`")
        return tuple(organisation.under(transform, proxy) for organisation in organisations)

    @property
    def own_organisations(self) -> tuple[OrganisationConfig, ...]:
        """The organisations that this process polls: all, or those of its shard; others for what its streams need."""
        if self.shard is None:
            return self.organisations
        asking = {stream.organisation for stream in self.own_streams}
        return tuple(
            each if self.shard.has(each.name) else each.for_streams()
            for each in self.organisations
            if self.shard.has(each.name) or (each.name in asking and each.for_streams().sources)
        )

    @field_validator("completeness")
    @classmethod
    def _can_be_proved(
        cls, completeness: CompletenessConfig | None, info: ValidationInfo
    ) -> CompletenessConfig | None:
        if completeness is not None:
            state, streams = info.data.get("state"), info.data.get("streams")
            if state is not None and state.path is None:
                raise ValueError("needs `state.path`: without it nobody knows what was delivered")
            if streams is not None and all(stream.api is None for stream in streams):
                raise ValueError("needs `api` on a stream: the cloud is asked what it has")
        return completeness

    @property
    def own_streams(self) -> tuple[StreamConfig, ...]:
        """The streams that this process reads: all, or those of its shard."""
        return tuple(stream for stream in self.streams if self.shard is None or self.shard.has(stream.name))

    @property
    def warnings(self) -> tuple[str, ...]:
        """What `load` found unwise: no TLS, no verification, secrets that others can read."""
        return self._warnings

    @property
    def files(self) -> Mapping[str, str]:
        """The included file of each stream that came from one, by the stream's name."""
        return self._files

    @property
    def kept(self) -> frozenset[str]:
        """The names of the streams that run on as before, since their files are broken."""
        return self._kept

    @property
    def trouble(self) -> IncludeBroken | None:
        """The mistakes of the included files that a reload left out."""
        return self._trouble

    def loaded(
        self,
        warnings: Iterable[str],
        files: Mapping[str, str] | None = None,
        kept: frozenset[str] = frozenset(),
        trouble: IncludeBroken | None = None,
    ) -> Config:
        """A copy that carries what `load` found besides."""
        copy = self.model_copy()
        copy._warnings, copy._files, copy._kept, copy._trouble = tuple(warnings), files or {}, kept, trouble
        return copy
