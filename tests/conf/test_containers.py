"""Dockerfile and examples/demo: what can be known of them without a container engine.

Every configuration that the compose file holds is read by the real program it is for.
"""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from fluent_plugin_amp import __version__
from fluent_plugin_amp.config import load
from fluent_plugin_amp.testing.certificates import Certificates
from fluent_plugin_amp.testing.erlang import erlang_binary
from fluent_plugin_amp.testing.rabbitmq import PrivateRabbitMQ
from tests.servers import CONF, need

ROOT = CONF.parent
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "examples/demo/compose.yml").read_text())


def content(name: str) -> str:
    """A configuration as the container gets it."""
    return (ROOT / "examples/demo" / name).read_text()


def test_the_image_copies_what_is_there() -> None:
    """Every file that the Dockerfile copies exists, and .dockerignore lets it through."""
    copied = re.findall(r"(?m)^COPY (?!--from)(.*) \S+$", (ROOT / "Dockerfile").read_text())
    paths = {path for line in copied for path in line.split()}
    assert paths == {"setup.cfg", "pyproject.toml", "README.md", "LICENSE", "fluent_plugin_amp", "conf", "examples"}
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert allowed == paths
    assert all((ROOT / path).exists() for path in paths)


def test_the_image_is_lean_and_not_root() -> None:
    """The last stage runs nothing that installs, and ends as a numeric user that is not root."""
    last = (ROOT / "Dockerfile").read_text().rpartition("FROM ")[2]
    assert "pip " not in last
    assert "apt" not in last
    assert "ARG UID=10001\n" in last
    assert "USER ${UID}:${UID}" in last
    assert "HEALTHCHECK" in last


def test_the_image_says_what_it_is() -> None:
    """Its labels have the version of this checkout, and the files that run it name this version too."""
    labels = dict(re.findall(r'org\.opencontainers\.image\.(\w+)="([^"]*)"', (ROOT / "Dockerfile").read_text()))
    assert labels.keys() == {"title", "description", "version", "licenses", "revision"}
    assert labels["version"] == __version__
    compose = yaml.safe_load((ROOT / "examples/compose/compose.yml").read_text())
    assert compose["services"]["plugin"]["image"] == f"fluent-plugin-amp:{__version__}"


def test_the_development_container_has_what_the_tests_need() -> None:
    """It makes what `make test` depends on, with a .venv of its own: the one of the host names the host's Python."""
    container = json.loads((ROOT / ".devcontainer/devcontainer.json").read_text())
    made = container["postCreateCommand"].removeprefix("make ").replace(".venv", "$(VENV)")
    assert f"\nunit: {made}\n" in (ROOT / "Makefile").read_text()
    assert container["mounts"][0]["target"] == "${containerWorkspaceFolder}/.venv"


def test_references_resolve() -> None:
    """Volumes, files and dependencies that services name are there."""
    for name, service in COMPOSE["services"].items():
        assert set(service.get("depends_on", ())) <= COMPOSE["services"].keys(), name
        named = {volume.split(":")[0] for volume in service.get("volumes", [])}
        assert {volume for volume in named if not volume.startswith("./")} <= COMPOSE["volumes"].keys(), name
        assert all((ROOT / "examples/demo" / volume).is_file() for volume in named if volume.startswith("./")), name
        assert not service.get("image", "").endswith(":latest"), name


def test_only_the_plugin_is_asked_for_its_health() -> None:
    """Services that share its image would inherit its health check, and be unhealthy for ever."""
    for name, service in COMPOSE["services"].items():
        if service["image"].startswith("fluent-plugin-amp") and name != "plugin":
            assert service["healthcheck"] == {"disable": True}, name


@pytest.mark.parametrize("forward", ["fluent-bit", "fluentd"])
def test_the_plugin_reads_its_configuration(forward: str, tmp_path: Path, certificates: Certificates) -> None:
    """It loads, and leads to the server that was asked for, by a name that is a service."""
    file = tmp_path / "config.yml"
    file.touch(mode=0o600)
    text = content("plugin.yml").replace("/certificates/ca.pem", str(certificates.ca_file))
    file.write_text(text.replace("/var/lib/fluent-plugin-amp", str(tmp_path)))
    config = load(file, {"FORWARD": forward})
    assert config.forward.servers[0].host == forward
    assert forward in COMPOSE["services"]
    assert config.streams[0].queue == "event_stream_demo"


def test_fluent_bit_reads_its_configuration(tmp_path: Path) -> None:
    """`fluent-bit --dry-run` takes it."""
    need("fluent-bit")
    file = tmp_path / "fluent-bit.yaml"
    file.write_text(content("fluent-bit.yaml"))
    command = ["fluent-bit", "--dry-run", "-c", str(file)]
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert result.returncode == 0, result.stderr


def test_fluentd_reads_its_configuration(tmp_path: Path) -> None:
    """`fluentd --dry-run` takes it."""
    need("fluentd")
    file = tmp_path / "fluentd.conf"
    file.write_text(
        content("fluentd.conf").replace("/fluentd/log", str(tmp_path)).replace("host fluent-bit", "host localhost")
    )
    command = ["fluentd", "--dry-run", "-c", str(file)]
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert result.returncode == 0, result.stdout


def test_rabbitmq_takes_the_definitions(broker: PrivateRabbitMQ) -> None:
    """Real RabbitMQ imports them; then the stream's user may read its one queue and nothing else."""
    definitions = json.loads(content("definitions.json"))
    definitions["users"] = [user for user in definitions["users"] if user["name"] != "admin"]
    definitions["permissions"] = [entry for entry in definitions["permissions"] if entry["user"] != "admin"]
    answer = broker.evaluate(f"rabbit_definitions:import_raw({erlang_binary(json.dumps(definitions))})")
    assert answer == "ok"
    assert broker.queue_depth("event_stream_demo") == (0, 0, 0)
    permissions = broker.evaluate("rabbit_auth_backend_internal:list_user_permissions(<<115,116,114,101,97,109>>)")
    assert "event_stream_demo" in permissions
    assert permissions.count("^$") == 2
    broker.delete_queue("event_stream_demo")
    broker.delete_user("stream")
