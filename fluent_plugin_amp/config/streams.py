"""The streams: where each is read, how, and the cloud that it belongs to.  Pure."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import (
    ConfigDict,
    Field,
    JsonValue,
    SecretStr,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticKnownError

from fluent_plugin_amp.cisco.api_key import ApiKey
from fluent_plugin_amp.cisco.regions import CLOUDS, Cloud, find_cloud
from fluent_plugin_amp.config.proxy import ProxyWay
from fluent_plugin_amp.config.section import Section, TlsConfig
from fluent_plugin_amp.config.transform import TransformConfig
from fluent_plugin_amp.config.units import Duration, Whole
from fluent_plugin_amp.config.url import BrokerUrl
from fluent_plugin_amp.config.values import (
    ConsoleHost,
    PrefetchCount,
    Queue,
    Secret,
    StaticFields,
    TagTemplate,
    Text,
)
from fluent_plugin_amp.pipeline.tags import MAX_TAGS


class CloudConfig(Section):
    """The Cisco cloud of the stream: the name of a public one, or where a private cloud is."""

    model_config = ConfigDict(json_schema_extra={"anyOf": [{"required": ["console"]}, {"required": ["api"]}]})

    api: Text | None = Field(default=None, description="The REST API: its host, `host:port` or `https://` URL.")
    console: ConsoleHost | None = Field(
        default=None, validate_default=True, description="Host of the console, or host:port; default: as in `api`."
    )
    ca_file: Path | None = Field(
        default=None, description="PEM file of the CAs to trust for `api`, in place of the system's."
    )

    @model_validator(mode="before")
    @classmethod
    def _by_name(cls, given: object) -> object:
        if not isinstance(given, str):
            return given
        if given not in CLOUDS:
            raise ValueError(f"must be {', '.join(CLOUDS)}, or a mapping with `console` or `api`")
        return {"api": given}

    @field_validator("api")
    @classmethod
    def _names_a_cloud(cls, api: str | None) -> str | None:
        try:
            if api is not None:
                find_cloud(api)
        except ValueError:  # without its words: they quote what may hold a password
            raise ValueError("must be a host, host:port, or an https:// URL without user and path") from None
        return api

    @field_validator("console")
    @classmethod
    def _or_api(cls, console: str | None, info: ValidationInfo) -> str | None:
        if console is None and info.data.get("api", "") is None:
            raise PydanticKnownError("missing")
        return console

    @property
    def cloud(self) -> Cloud | None:
        """The cloud to ask; None where only its console is known."""
        if self.api is None:
            return None
        return find_cloud(self.api, console=self.console, ca_file=str(self.ca_file) if self.ca_file else None)


def or_a_name(schema: dict[str, Any]) -> None:
    """A cloud's JSON Schema: a mapping, or the name of a public one."""
    if "anyOf" not in schema:
        schema["anyOf"] = [{"$ref": schema.pop("$ref")}]
    schema["anyOf"].append({"enum": list(CLOUDS)})


class ApiConfig(Section):
    """A key to the Cisco cloud's REST API (console: Accounts > API Credentials); one that may only read will do."""

    client_id: Text = Field(description="The client id.")
    api_key: Secret = Field(description="The key, or in `api_key_file`.")
    api_key_file: Path | None = Field(default=None, description="File that holds nothing but the key.")

    @field_validator("api_key")
    @classmethod
    def _can_be_a_key(cls, api_key: SecretStr, info: ValidationInfo) -> SecretStr:
        ApiKey(info.data.get("client_id", "refused"), api_key.get_secret_value())
        return api_key

    @property
    def key(self) -> ApiKey:
        """Both parts."""
        return ApiKey(self.client_id, self.api_key.get_secret_value())


_EITHER_SOURCE: list[JsonValue] = [
    {"required": ["credentials_file"]},
    {"required": ["url", "queue"]},
    {"required": ["event_stream_name", "cloud", "api"]},
]


class StreamConfig(Section):
    """One event stream, as Cisco's console or `amp-streams create` shows it."""

    model_config = ConfigDict(json_schema_extra={"required": [], "anyOf": _EITHER_SOURCE})

    name: Text = Field(
        description="Label in logs, metrics and tags, unique; default: the credentials file's `name`, else `queue` "
        "or `event_stream_name`."
    )
    event_stream_name: Text | None = Field(
        default=None,
        description="The event stream's name in Cisco's console, instead of `url`, `username` and `queue`: these are "
        "then looked up in `cloud` with the key of `api`; `password` is needed all the same.",
    )
    url: Text = Field(
        default=None,
        validate_default=True,
        description="The broker: `amqps://host[:port][/vhost]`, port 443 unless given. `user:password@` may stand "
        "before the host, percent-encoded. An address of IPv6 is put in brackets. `amqp://` is without TLS.",
    )
    username: Text = Field(default=None, validate_default=True, description="The stream's user name; or in `url`.")
    password: Secret = Field(description="The stream's password; or in `url`, or in `password_file`.")
    password_file: Path | None = Field(default=None, description="File that holds nothing but the password.")
    queue: Queue = Field(
        default=None, validate_default=True, description="The stream's queue, such as `event_stream_6`."
    )
    credentials_file: Path | None = Field(
        default=None,
        description="YAML or JSON file with `url`, `username`, `password`, `queue` and perhaps `name`, as "
        "`amp-streams create --save` writes it; or the API's own answer to the stream's creation, as JSON. What is "
        "given here goes before what it says.",
    )
    organisation: Text | None = Field(
        default=None,
        description="The name of one of `organisations`, whose `cloud` and `api` this stream takes where it has none "
        "of its own.",
    )
    tag: TagTemplate = Field(
        default="edr.cisco.amp.events",
        description="The tag of the records. May hold `{stream}`, `{event_type}`, `{event_type_id}`, "
        "`{severity}` and, with an organisation's `names`, `{group}`, which are made fit for a tag; of at most 255 "
        "characters.",
    )
    max_tags: Annotated[int, Whole("1", "100000")] = Field(
        default=MAX_TAGS,
        description="How many tags this stream's events may have where `tag` depends on them; what is new after that "
        "gets `other` in place of the fields with most values. Each costs a buffer or a file at the server.",
    )
    prefetch_count: PrefetchCount = Field(
        default="auto",
        description="How many events may be under way at once; `auto`: as many as memory and latency ask for.",
    )
    exclusive: bool = Field(
        default=False,
        description="true: consume only while nobody else does; a second process with the same stream stands by and "
        "takes over, within two `heartbeat`s where the first one's host vanished.",
    )
    poll_interval: Annotated[float, Duration("1s", "1d")] | None = Field(
        default=None,
        description="Connect that often, deliver what is in the queue and disconnect, as collectors do; not with "
        "`exclusive`. null: stay connected, and deliver each event at once.",
    )
    silent_after: Annotated[float, Duration("1m", "30d")] | None = Field(
        default=None,
        description="No event for so long is a warning, `stream.silent`; longer than `poll_interval`. null: never.",
    )
    heartbeat: Annotated[
        float, Duration("1s", "10m", why="without heartbeats a broker that hangs is never noticed")
    ] = Field(
        default=60.0,
        description="Interval of the AMQP heartbeats; a dead connection is noticed after one to two of them.",
    )
    tls: TlsConfig = Field(default=TlsConfig(), description="TLS towards the broker, where `url` is `amqps://`.")
    proxy: ProxyWay = Field(
        default=None,
        description="The proxy on the way to the broker and to `cloud`; null: as `proxy` at the top level says.",
    )
    cloud: CloudConfig | None = Field(
        default=None,
        validate_default=True,
        description="`us`, `eu`, `apjc`, or a private cloud, for `event_stream_name`, `backfill`, `reconcile`, "
        "`amp-streams` and `transform.links`; null: that of the `credentials_file`, else the public cloud that the "
        "broker belongs to.",
        json_schema_extra=or_a_name,
    )
    api: ApiConfig | None = Field(
        default=None,
        validate_default=True,
        description="The key for `event_stream_name`, `backfill` and `reconcile`, and for `amp-streams` with `-c`.",
    )
    add: StaticFields = Field(
        default={},
        description="Static fields of this stream; where `transform.add` has the same key, this one holds.",
    )
    transform: TransformConfig = Field(
        default=TransformConfig(), description="Keys of `transform` that are different for this stream."
    )

    @field_validator("url")
    @classmethod
    def _readable(cls, url: str) -> str:
        BrokerUrl.parse(url)
        return url

    @field_validator("url", "username", "queue", mode="wrap")
    @classmethod
    def _given_or_looked_up(cls, value: object, read: ValidatorFunctionWrapHandler, info: ValidationInfo) -> str:
        """Empty where the stream is looked up."""
        name = info.data.get("event_stream_name", "")  # empty when it was refused itself
        if value is None:
            if name is None:
                raise PydanticKnownError("missing")
            return ""
        text: str = read(value)
        if name:
            raise ValueError("given together with `event_stream_name`, which looks it up: remove one of them")
        return text

    @field_validator("cloud", mode="before")
    @classmethod
    def without_nulls(cls, cloud: object) -> object:
        """``cloud``, or None where all its keys are null."""
        return None if isinstance(cloud, dict) and cloud and all(value is None for value in cloud.values()) else cloud

    @field_validator("cloud")
    @classmethod
    def _can_be_asked(cls, cloud: CloudConfig | None, info: ValidationInfo) -> CloudConfig | None:
        if info.data.get("event_stream_name") and (cloud is None or cloud.api is None):
            raise ValueError(
                f"must say where to look up `event_stream_name`: {', '.join(CLOUDS)}, or a mapping with `api`"
            )
        return cloud

    @field_validator("api")
    @classmethod
    def _is_there_to_look_up(cls, api: ApiConfig | None, info: ValidationInfo) -> ApiConfig | None:
        if api is None and info.data.get("event_stream_name"):
            raise ValueError("missing; `event_stream_name` is looked up with `client_id` and `api_key_file`")
        return api

    @field_validator("poll_interval")
    @classmethod
    def _has_no_standby(cls, poll_interval: float | None, info: ValidationInfo) -> float | None:
        if poll_interval is not None and info.data.get("exclusive"):
            raise ValueError(
                "cannot be used with `exclusive`: a stream that disconnects after each poll cannot keep others away"
            )
        return poll_interval

    @field_validator("silent_after")
    @classmethod
    def _is_longer_than_a_poll(cls, silent_after: float | None, info: ValidationInfo) -> float | None:
        if silent_after is not None and silent_after <= (info.data.get("poll_interval") or 0.0):
            raise ValueError("must be longer than `poll_interval`: between two polls no event can come")
        return silent_after

    @field_validator("tls")
    @classmethod
    def _url_is_amqps(cls, tls: TlsConfig, info: ValidationInfo) -> TlsConfig:
        if any(getattr(tls, key) is not None for key in tls.model_fields_set) and info.data.get("url", "").startswith(
            "amqp://"
        ):
            raise ValueError("has no effect on an amqp:// url; write amqps://")
        return tls

    @property
    def scheme(self) -> str:
        """``amqps`` or ``amqp``."""
        return BrokerUrl.parse(self.url).scheme

    @property
    def host(self) -> str:
        """The broker's host."""
        return BrokerUrl.parse(self.url).host

    @property
    def port(self) -> int:
        """The broker's port."""
        return BrokerUrl.parse(self.url).port

    @property
    def vhost(self) -> str:
        """The virtual host, decoded."""
        return BrokerUrl.parse(self.url).vhost

    @property
    def console_host(self) -> str | None:
        """The host of Cisco's console; None when it cannot be told."""
        if self.cloud is not None:
            return self.cloud.console or (self.cloud.cloud.console_host if self.cloud.cloud else None)
        host = self.host.lower()
        return next((cloud.console_host for cloud in CLOUDS.values() if cloud.broker_host == host), None)

    @property
    def use_tls(self) -> bool:
        """Whether the broker is spoken to over TLS."""
        return not self.url or self.scheme == "amqps"

    def found(self, *, url: str, username: str, queue: str) -> StreamConfig:
        """This stream, once it was looked up."""
        return self.model_copy(update={"url": url, "username": username, "queue": queue})

    def under(self, transform: TransformConfig, proxy: ProxyWay = None) -> StreamConfig:
        """This stream with what holds for all: their ``proxy``, where it has none of its own, and their ``transform``
        below its own: both ``add`` are then the same, complete.
        """
        own = self.transform.over(transform)
        add = {**own.add, **self.add}
        transform = own.model_copy(update={"add": add})
        way = proxy if self.proxy is None else self.proxy
        return self.model_copy(update={"add": add, "transform": transform, "proxy": way})
