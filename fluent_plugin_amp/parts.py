"""The parts of a `run`, each made from the configuration: sink, brokers, transforms.

Raises ConfigError where a file that the configuration names cannot be used.
"""

from __future__ import annotations

import sys
from typing import Literal, Protocol

from fluent_plugin_amp.config import Config, StreamConfig, TransformConfig
from fluent_plugin_amp.facts import Observer
from fluent_plugin_amp.model import Sink
from fluent_plugin_amp.pipeline.flatten import Flattener
from fluent_plugin_amp.pipeline.links import Links
from fluent_plugin_amp.pipeline.obfuscate import Obfuscation, Rule
from fluent_plugin_amp.pipeline.transform import Transform
from fluent_plugin_amp.sink.forward.client import ForwardClient
from fluent_plugin_amp.sink.forward.settings import ForwardSettings, Security, ServerAddress
from fluent_plugin_amp.source.amqp import Broker
from fluent_plugin_amp.tls import client_context


class ClosableSink(Sink, Protocol):
    """A sink whose peers are told good-bye."""

    async def close(self, timeout_s: float) -> object:
        """Wait for the answers of what was sent, then close the connections."""


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


def make_broker(stream: StreamConfig) -> Broker:
    """Where a stream's queue is."""
    return Broker(
        host=stream.host,
        port=stream.port,
        username=stream.username,
        password=stream.password.get_secret_value(),
        vhost=stream.vhost,
        tls=client_context(stream.tls) if stream.use_tls else None,
        server_name=stream.tls.server_name,
        heartbeat_s=stream.heartbeat,
    )


def make_transform(stream: StreamConfig) -> Transform:
    """The steps of one stream."""
    transform: TransformConfig = stream.transform
    flatten = transform.flatten
    obfuscate = make_obfuscation(transform)
    links = None
    if transform.links and stream.console_host is not None:  # a configuration without a console was refused
        links = Links(stream.console_host) if obfuscate is None else Links(stream.console_host, obfuscate.hides)
    return Transform(
        stream=stream.name,
        tag=stream.tag,
        drop_event_types=frozenset(transform.drop_event_types),
        obfuscate=obfuscate,
        links=links,
        add=stream.add,
        pulling_id=transform.pulling_id,
        flatten=Flattener(flatten.separator, flatten.lists, flatten.depth) if flatten is not None else None,
        serialize=transform.serialize,
    )


def make_obfuscation(transform: TransformConfig) -> Obfuscation | None:
    """The rules of one stream; None without any."""
    rules = [
        Rule(rule.field, rule.method, rule.key.get_secret_value().encode() if rule.key else b"")
        for rule in transform.obfuscate
    ]
    return Obfuscation(rules) if rules else None
