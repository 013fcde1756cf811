"""The parts of a `run`, each made from the configuration: sink, brokers, transforms, streams.

Raises ConfigError where a file that the configuration names cannot be used.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType
from typing import Literal, Protocol

from fluent_plugin_amp.config import Config, StreamConfig, TlsConfig, TransformConfig
from fluent_plugin_amp.config.organisations import OrganisationConfig
from fluent_plugin_amp.config.proxy import proxy_to
from fluent_plugin_amp.config.transform import ShapeConfig
from fluent_plugin_amp.errors import ConfigError
from fluent_plugin_amp.facts import Observer
from fluent_plugin_amp.model import Chunk, ServerSnapshot, Sink
from fluent_plugin_amp.pipeline.asking import Asker
from fluent_plugin_amp.pipeline.combine.member import MemberMaker
from fluent_plugin_amp.pipeline.conductor import Conductor
from fluent_plugin_amp.pipeline.flatten import Flattener
from fluent_plugin_amp.pipeline.links import Links
from fluent_plugin_amp.pipeline.names import Names, Naming
from fluent_plugin_amp.pipeline.obfuscate import Obfuscation, Rule, rules_of
from fluent_plugin_amp.pipeline.shape.records import EVENTS
from fluent_plugin_amp.pipeline.transform import Schema, Transform
from fluent_plugin_amp.proxy import Proxy
from fluent_plugin_amp.sink.forward.client import ForwardClient
from fluent_plugin_amp.sink.forward.settings import ForwardSettings, Security, ServerAddress
from fluent_plugin_amp.source.amqp import BrokerAddress
from fluent_plugin_amp.source.flow import Flow, auto_prefetch_count
from fluent_plugin_amp.source.settings import Location, StreamSettings
from fluent_plugin_amp.source.stream import Stream
from fluent_plugin_amp.tls import client_context

SINK_CLOSE_TIMEOUT_S = 2.0
"""So long a sink may take to close, once everything was answered that will be."""


class ClosableSink(Sink, Protocol):
    """A sink whose peers are told good-bye."""

    def figures(self) -> tuple[ServerSnapshot, ...]:
        """How its servers stand; none where there are none."""

    async def close(self, timeout_s: float) -> list[Chunk]:
        """Wait for the answers of what was sent, then close the connections and end ``run``.

        Returns the chunks that will not be answered.
        """


def make_sink(config: Config, observer: Observer, stdout: Literal["json", "msgpack"] | None) -> ClosableSink:
    """The Forward client, or standard output."""
    if stdout is not None:
        from fluent_plugin_amp.sink.stdout import StdoutSink

        return StdoutSink(stdout, sys.stdout.buffer)
    return ForwardClient(forward_settings(config), observer)


def forward_settings(config: Config) -> ForwardSettings:
    """What the Forward client needs."""
    forward = config.forward
    security = None
    if forward.security is not None:
        given = forward.security
        security = Security(
            self_hostname=given.self_hostname,
            shared_key=given.shared_key.get_secret_value() if given.shared_key else "",
            username=given.username or "",
            password=given.password.get_secret_value() if given.password else "",
        )
    return ForwardSettings(
        servers=tuple(
            ServerAddress(
                name=server.label,
                host=server.host,
                port=server.port,
                unix_path=str(server.unix_path) if server.unix_path else None,
                weight=server.weight,
                standby=server.standby,
            )
            for server in forward.servers
        ),
        tls=client_context(forward.tls) if forward.tls is not None else None,
        server_hostname=forward.tls.server_name if forward.tls is not None else None,
        security=security,
        compress=forward.compress,
        connect_timeout_s=forward.connect_timeout,
        ack_response_timeout_s=forward.ack_response_timeout,
        max_in_flight=forward.max_in_flight,
    )


def make_locate(stream: StreamConfig) -> Callable[[], Awaitable[Location]]:
    """What tells where a stream is: as configured, or looked up anew each time."""
    if stream.event_stream_name is None:
        location = Location(make_broker(stream), stream.queue)

        async def as_configured() -> Location:
            return location

        return as_configured

    # a file that cannot be used is a mistake at the start, not trouble later
    client_context(stream.tls)
    if stream.cloud is not None:
        client_context(TlsConfig(ca_file=stream.cloud.ca_file))

    async def as_looked_up() -> Location:
        from fluent_plugin_amp.run.lookup import look_up

        found = await look_up(stream)
        return Location(make_broker(found), found.queue)

    return as_looked_up


def make_broker(stream: StreamConfig) -> BrokerAddress:
    """Where the queue of a stream is that needs no looking up, or was looked up."""
    return BrokerAddress(
        host=stream.host,
        port=stream.port,
        username=stream.username,
        password=stream.password.get_secret_value(),
        vhost=stream.vhost,
        tls=client_context(stream.tls) if stream.use_tls else None,
        server_name=stream.tls.server_name,
        proxy=broker_proxy(stream),
        # A broker lets go of a consumer that keeps silent for two to three heartbeats: with half of the one that was
        # asked for, whoever stands by takes over within two of those.
        heartbeat_s=stream.heartbeat / 2 if stream.exclusive else stream.heartbeat,
    )


def broker_proxy(stream: StreamConfig) -> Proxy | None:
    """The proxy on the way to a stream's broker, which is known.

    Raises:
        ConfigError: the environment names one that cannot be used.
    """
    try:
        return proxy_to(stream.host, stream.port, stream.proxy, os.environ)
    except ValueError as error:
        raise ConfigError(str(error), remedy="Correct the variable, or name the proxy in `proxy`.") from None


def make_names(config: Config, known: dict[str, Names]) -> None:
    """Have a `Names` in ``known`` for each organisation whose names are wanted, and for no other."""
    wanted = {each.name for each in config.own_organisations if each.names}
    for name in {*known} - wanted:
        del known[name]
    for name in wanted:
        known.setdefault(name, Names(name))


def hunted(config: Config) -> dict[str, OrganisationConfig]:
    """The organisations with hunts, by name."""
    return {each.name: each for each in config.own_organisations if each.hunts is not None}


def hunt_lines(hunted: Mapping[str, OrganisationConfig]) -> dict[str, float]:
    """After how many seconds each hunts a file again, by its line."""
    return {each.line("hunts"): each.hunts.every for each in hunted.values() if each.hunts is not None}


def make_asker(stream: StreamConfig, hunted: Mapping[str, OrganisationConfig]) -> Asker | None:
    """What tells which events of a stream ask for a hunt; None: none does."""
    organisation = hunted.get(stream.organisation or "")
    if organisation is None or organisation.hunts is None:
        return None
    event_types = frozenset(organisation.hunts.event_types)
    return Asker(organisation.line("hunts"), stream.name, event_types or None)


def make_transform(
    stream: StreamConfig,
    known: Mapping[str, Names] = MappingProxyType({}),
    hunted: Mapping[str, OrganisationConfig] = MappingProxyType({}),
) -> Transform:
    """The steps of one stream; ``known`` are the names of organisations, ``hunted`` those with hunts."""
    transform: TransformConfig = stream.transform
    flatten = transform.flatten
    obfuscate = make_obfuscation(transform)
    links = None
    if stream.console_host is not None:
        links = Links(stream.console_host) if obfuscate is None else Links(stream.console_host, obfuscate.hides)
    names = known.get(stream.organisation or "")
    naming = None
    if names is not None:
        naming = Naming(names) if obfuscate is None else Naming(names, obfuscate.hides)
    return Transform(
        stream=stream.name,
        tag=stream.tag,
        max_tags=stream.max_tags,
        drop_event_types=frozenset(transform.drop_event_types),
        names=naming,
        obfuscate=obfuscate,
        links=links if transform.links else None,
        add=stream.add,
        pulling_id=transform.pulling_id,
        schema=make_shape(transform.shape, stream.name),
        ids_as_texts=transform.ids == "text",
        flatten=Flattener(flatten.separator, flatten.lists, flatten.depth) if flatten is not None else None,
        serialize=transform.serialize,
        # The password is a secret that lasts: with it, values that are masked are known again.
        ask=make_asker(stream, hunted),
        combine=MemberMaker(obfuscate, links, stream.password.get_secret_value().encode(), naming),
    )


def make_shape(shape: ShapeConfig | None, source: str, records: str = EVENTS) -> Schema | None:
    """What writes records in a public schema; None: nothing does.

    Args:
        shape: as configured.
        source: the name of the stream, or of what else the records come from.
        records: their kind, one of `pipeline.shape.records.KINDS`.
    """
    if shape is None:
        return None
    if shape.to == "ecs":
        from fluent_plugin_amp.pipeline.shape.ecs import EcsShape

        return EcsShape(source, raw_data=shape.raw_data, records=records)
    from fluent_plugin_amp.pipeline.shape.ocsf import OcsfShape

    return OcsfShape(source, shape.version, raw_data=shape.raw_data, observables=shape.observables, records=records)


def make_obfuscation(transform: TransformConfig) -> Obfuscation | None:
    """The rules of one stream; None without any."""
    rules: list[Rule] = []
    of_presets: list[Rule] = []
    for each in transform.obfuscate:
        key = each.key.get_secret_value().encode() if each.key else b""
        if each.preset is None:
            rules.append(Rule(each.field or "", each.method, key))
        else:
            of_presets += rules_of(each.preset, each.method, key)
    own = {rule.path for rule in rules}  # what is said of a field goes before its preset
    rules += [rule for rule in of_presets if rule.path not in own]
    return Obfuscation(rules, of_presets) if rules else None


def make_stream(
    stream: StreamConfig, config: Config, conductor: Conductor, observer: Observer, *, once: bool = False
) -> Stream:
    """One stream, with its share of the memory limit."""
    share_bytes, prefetch_count = share_of(stream, config)
    settings = StreamSettings(
        name=stream.name,
        locate=make_locate(stream),
        memory_limit_bytes=config.memory_limit,
        max_event_bytes=config.max_event_size,
        shutdown_timeout_s=config.forward.shutdown_timeout,
        pause_after_s=config.forward.pause_after,
        exclusive=stream.exclusive,
        poll_interval_s=stream.poll_interval,
        silent_after_s=stream.silent_after,
        once=once,
    )
    flow = Flow(
        prefetch_count=prefetch_count,
        pause_after_s=config.forward.pause_after,
        share_bytes=share_bytes,
        memory_limit_bytes=config.memory_limit,
    )
    return Stream(settings, flow, conductor, observer)


def share_of(stream: StreamConfig, config: Config) -> tuple[int, int]:
    """The bytes of the memory limit that are guaranteed to a stream, and its prefetch."""
    share_bytes = config.memory_limit // len(config.own_streams)
    return share_bytes, auto_prefetch_count(share_bytes) if stream.prefetch_count == "auto" else stream.prefetch_count


def record_transform(config: Config, line: str, tag: str) -> Transform:
    """The form of records of the plugin's own: flattened and serialised as events are."""
    flatten = config.transform.flatten
    return Transform(
        line,
        tag=tag,
        flatten=Flattener(flatten.separator, flatten.lists, flatten.depth) if flatten is not None else None,
        serialize=config.transform.serialize,
    )
