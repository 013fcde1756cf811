"""The servers that the records go to, and how.  Pure."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, SecretStr, ValidationInfo, field_validator

from fluent_plugin_amp.config.section import Section, TlsConfig
from fluent_plugin_amp.config.units import MIB, Duration, Size, Whole
from fluent_plugin_amp.config.values import Host, Port, Secret, Text, repeated
from fluent_plugin_amp.text import host_and_port


class ServerConfig(Section):
    """One Fluentd or Fluent Bit with a `forward` input."""

    unix_path: Path | None = Field(
        default=None,
        description="Unix socket in place of host and port. Fluent Bit only: Fluentd's never acknowledges.",
    )
    host: Host = Field(default="127.0.0.1", description="Host name or address.")
    port: Port = Field(default=24224, description="TCP port.")
    weight: Annotated[int, Whole("1", "1000")] = Field(
        default=60, description="Share of the chunks, in proportion to the weights of the other servers that are up."
    )
    standby: bool = Field(default=False, description="true: used only while no other server is up.")

    @field_validator("unix_path")
    @classmethod
    def _fits(cls, path: Path | None) -> Path | None:
        if path is not None and len(str(path).encode()) > 107:
            raise ValueError("is longer than the 107 bytes of a socket's path")
        return path

    @field_validator("host", "port")
    @classmethod
    def _one_address(cls, value: Any, info: ValidationInfo) -> Any:
        if info.data.get("unix_path") is not None:
            raise ValueError("does not go with `unix_path`: a server has one address")
        return value

    @property
    def label(self) -> str:
        """``host:port`` or the socket's path: the server's name in logs and metrics."""
        if self.unix_path is not None:
            return str(self.unix_path)
        return host_and_port(self.host, self.port)


class SecurityConfig(Section):
    """The client's side of Fluentd's `<security>`, or Fluent Bit's `shared_key` and `security.users`."""

    model_config = ConfigDict(
        json_schema_extra={
            "required": [],
            "anyOf": [{"required": ["shared_key"]}, {"required": ["shared_key_file"]}],
        }
    )

    self_hostname: Text = Field(
        default_factory=socket.gethostname,
        description="The name that the plugin gives itself; default: this machine's host name.",
    )
    shared_key: SecretStr = Field(
        description="The key that both sides know; or in `shared_key_file`. "
        'Write "" for a Fluent Bit with `empty_shared_key`.'
    )
    shared_key_file: Path | None = Field(default=None, description="File that holds nothing but the shared key.")
    username: Text | None = Field(default=None, description="User name, where the server has users.")
    password: Secret | None = Field(
        default=None, validate_default=True, description="The user's password; or in `password_file`."
    )
    password_file: Path | None = Field(default=None, description="File that holds nothing but the password.")

    @field_validator("password")
    @classmethod
    def _goes_with_a_user(cls, password: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        if password is None and info.data.get("username") is not None:
            raise ValueError("missing for `username`; give it here or in `password_file`")
        if password is not None and info.data.get("username", "") is None:
            raise ValueError("has no effect without `username`")
        return password


class ForwardConfig(Section):
    """Where the records go: the Forward protocol with acknowledgements, to one or several servers."""

    servers: tuple[ServerConfig, ...] = Field(
        default=(ServerConfig(),), min_length=1, description="The servers; chunks are shared among those that are up."
    )
    tls: TlsConfig | None = Field(
        default=None, description="TLS towards the servers; `{}` turns it on, null is without."
    )
    security: SecurityConfig | None = Field(default=None, description="The handshake, for servers that ask for one.")
    compress: Literal["none", "gzip"] = Field(default="none", description="Compression of the chunks.")
    connect_timeout: Annotated[float, Duration("100ms", "10m")] = Field(
        default=10.0, description="For the connection with its TLS handshake, and again for Forward's own handshake."
    )
    ack_response_timeout: Annotated[float, Duration("100ms", "25m")] = Field(
        default=60.0,
        description="How long a server may take to acknowledge a chunk before it is sent again, elsewhere.",
    )
    chunk_limit_size: Annotated[int, Size("16KiB", "64MiB")] = Field(
        default=MIB,
        description="Largest chunk, before compression; below the server's own limits (`chunk_size_limit`, "
        "`chunk_limit_size`, `buffer_max_size`).",
    )
    max_in_flight: Annotated[int, Whole("1", "64")] = Field(
        default=4, description="Chunks sent to a server and not acknowledged yet, at most."
    )
    pause_after: Annotated[
        float, Duration("1s", "25m", why="after 30 minutes the broker takes unacknowledged events back by itself")
    ] = Field(
        default=600.0,
        description="When events wait this long for an acknowledgement, they are given back to the broker.",
    )
    shutdown_timeout: Annotated[float, Duration("0s", "10m")] = Field(
        default=15.0,
        description="How long a stop waits for chunks in flight; what is left stays in the broker's queue.",
    )

    @field_validator("servers")
    @classmethod
    def _usable(cls, servers: tuple[ServerConfig, ...]) -> tuple[ServerConfig, ...]:
        if twice := repeated(server.label for server in servers):
            raise ValueError(f"holds {twice} twice")
        if all(server.standby for server in servers):
            raise ValueError("are all `standby`: one must be in use")
        return servers
