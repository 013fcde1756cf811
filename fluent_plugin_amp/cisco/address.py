"""The broker's URL, from what Cisco's API says about an event stream.  Pure."""

from __future__ import annotations

from dataclasses import dataclass

from fluent_plugin_amp.cisco.answers import EventStream
from fluent_plugin_amp.cisco.errors import CloudAnswerNotUnderstood
from fluent_plugin_amp.cisco.regions import Cloud, is_host_name

DEFAULT_PORT = 443


@dataclass(frozen=True, slots=True)
class StreamAddress:
    """Where an event stream is consumed and by whom: everything but the password."""

    id: int
    name: str
    url: str
    """``amqps://host:port``."""
    host: str
    port: int
    username: str
    queue: str


def amqps_url(host: str, port: str | int | None, proto: str = "https") -> str:
    """The broker's URL that Cisco's ``host``, ``port`` and ``proto`` mean.

    The cloud says ``https`` and a port as a string; what listens there is AMQP over TLS.  ValueError when the host
    is none, the port is no port, or ``proto`` is not known to mean AMQP over TLS.
    """
    if proto not in ("https", "amqps"):
        raise ValueError(f"proto {proto[:40]!r} is not known to mean AMQP over TLS")
    number = DEFAULT_PORT if port in (None, "") else int(port)
    if not is_host_name(host):
        raise ValueError(f"{host[:100]!r} is not a host name")
    if not 0 < number < 65536:
        raise ValueError(f"{number} is no port")
    return f"amqps://{f'[{host}]' if ':' in host else host}:{number}"


def address_of(stream: EventStream, cloud: Cloud) -> StreamAddress:
    """Where ``stream`` is consumed; what the cloud leaves out is as usual in that cloud."""
    who = f"event stream {stream.name!r} ({stream.id})"
    amqp = stream.amqp
    if amqp is None:
        raise CloudAnswerNotUnderstood(f"{who}: no amqp_credentials")
    host = amqp.host or cloud.broker_host
    try:
        url = amqps_url(host, amqp.port, amqp.proto)
    except ValueError as exc:
        raise CloudAnswerNotUnderstood(f"{who}: {exc}") from exc
    port = amqp.port or DEFAULT_PORT
    return StreamAddress(stream.id, stream.name, url, host, port, amqp.user_name, amqp.queue_name)
