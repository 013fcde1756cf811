"""How the node of a `PrivateRabbitMQ` is configured and started: nothing at a place of the whole machine.

The server's script is told to become the virtual machine (``RABBITMQ_ALLOW_INPUT``) instead of its parent, and
so to leave standard input to the console of `erlang`.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from fluent_plugin_amp.testing.certificates import Certificates, KeyPair
from fluent_plugin_amp.testing.erlang import ErlangNode, NodeError, clean_environment

HOST = "127.0.0.1"
ADMIN, ADMIN_PASSWORD = "admin", "private"

_NAME = "amp@localhost"
_FOLDERS = ("/usr/lib/rabbitmq/bin", "/opt/rabbitmq/sbin", "/usr/local/sbin", "/opt/homebrew/sbin")


class RabbitMQMissing(NodeError):
    """RabbitMQ is not installed."""


def find_server() -> str | None:
    """Path of the server's own script; None when RabbitMQ is not installed.

    The one on PATH comes last: Debian's insists on a user of its own.
    """
    scripts = [Path(folder, "rabbitmq-server") for folder in _FOLDERS]
    return next((str(script) for script in scripts if script.exists()), shutil.which("rabbitmq-server"))


def make_node(folder: Path, node_port: int, configuration: str) -> ErlangNode:
    """A node that keeps everything in ``folder``; ``node_port`` is for Erlang's own distribution.

    Raises RabbitMQMissing.
    """
    server = find_server()
    if server is None:
        raise RabbitMQMissing("no rabbitmq-server on this machine: install RabbitMQ 3.10 or later")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "rabbitmq.conf").write_text(configuration)
    (folder / "enabled_plugins").write_text("[].\n")
    return ErlangNode(
        [server],
        name=_NAME,
        port=node_port,
        folder=folder,
        environment=_environment(folder),
        await_ready="rabbit:await_startup(node(), false, infinity)",
    )


def _environment(folder: Path) -> dict[str, str]:
    """Everything that would otherwise be read or written at a place of the whole machine."""
    return clean_environment(
        HOME=str(folder),
        RABBITMQ_NODENAME=_NAME,
        RABBITMQ_CONF_ENV_FILE=str(folder / "no-rabbitmq-env.conf"),
        RABBITMQ_CONFIG_FILE=str(folder / "rabbitmq"),
        RABBITMQ_ADVANCED_CONFIG_FILE=str(folder / "no-advanced.config"),
        RABBITMQ_ENABLED_PLUGINS_FILE=str(folder / "enabled_plugins"),
        RABBITMQ_MNESIA_BASE=str(folder / "data"),
        RABBITMQ_GENERATED_CONFIG_DIR=str(folder / "generated"),
        RABBITMQ_SCHEMA_DIR=str(folder / "schema"),
        RABBITMQ_LOG_BASE=str(folder / "log"),
        RABBITMQ_ALLOW_INPUT="true",
    )


def node_configuration(
    port: int,
    *,
    tls_port: int,
    certificates: Certificates | None,
    server_certificate: KeyPair | None,
    demand_client_certificate: bool,
) -> str:
    """The text of ``rabbitmq.conf``; a TLS port with ``certificates`` only."""
    lines = [
        f"listeners.tcp.1 = {HOST}:{port}",
        "num_acceptors.tcp = 2",
        "loopback_users = none",
        f"default_user = {ADMIN}",
        f"default_pass = {ADMIN_PASSWORD}",
        "disk_free_limit.absolute = 1MB",
        "log.console = false",
        "log.file = rabbit.log",
        "log.file.level = info",
    ]
    if certificates is not None:
        pair = server_certificate or certificates.server
        demand = str(demand_client_certificate).lower()
        lines += [
            f"listeners.ssl.1 = {HOST}:{tls_port}",
            "num_acceptors.ssl = 2",
            f"ssl_options.cacertfile = {certificates.ca_file}",
            f"ssl_options.certfile = {pair.cert_file}",
            f"ssl_options.keyfile = {pair.key_file}",
            f"ssl_options.verify = verify_{'peer' if demand_client_certificate else 'none'}",
            f"ssl_options.fail_if_no_peer_cert = {demand}",
        ]
    return "\n".join(lines) + "\n"
