"""What the tests of conf/ share: events sent without a broker, and the files with a test's own addresses in them."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from fluent_plugin_amp.testing.certificates import Certificates, KeyPair
from tests.servers import CONF, need

FIRST_ID = 2**60 + 1
EVENTS: list[dict[str, Any]] = [
    {"id": FIRST_ID, "event_type": "Quarantine Failure", "computer": {"hostname": "Büro-7", "active": True}},
    {"id": FIRST_ID + 1, "file": {"file_path": "C:\\a\nb.exe", "note": "x" * 20_000}, "score": 7.5, "none": None},
]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(CONF.parent), "AMP_STREAM_PASSWORD": "secret"}


def plugin_command(command: str, config: Path, *arguments: str) -> list[str]:
    """The plugin as a command line; for `ENVIRONMENT`."""
    return [sys.executable, "-m", "fluent_plugin_amp", command, "-c", str(config), *arguments]


def write_config(folder: Path, port: int, **sections: Any) -> Path:
    """A configuration that leads to a Forward server on ``port``."""
    stream = {"name": "a", "url": "amqps://127.0.0.1:1", "username": "u", "password": "p", "queue": "q"}
    config = folder / "config.yml"
    config.touch(mode=0o600)
    servers = {"servers": [{"host": "127.0.0.1", "port": port}]}
    config.write_text(yaml.safe_dump({"streams": [stream], "forward": servers, **sections}))
    return config


def send(folder: Path, port: int, events: Sequence[Mapping[str, Any]] = EVENTS, **sections: Any) -> None:
    """Have the plugin deliver events to a Forward server; returns once that has acknowledged them."""
    lines = "".join(json.dumps(event) + "\n" for event in events)
    command = plugin_command("replay", write_config(folder, port, **sections), "-")
    subprocess.run(command, input=lines.encode(), env=ENVIRONMENT, check=True, timeout=60)


def fluent_bit_replacements(
    folder: Path, port: int, receiver_port: int, certificates: Certificates, client: KeyPair | None = None
) -> dict[str, str]:
    """What replaces Devo's address, ports, folders and certificates in the Fluent Bit files of conf/."""
    client = client or certificates.client
    return {
        "collector-us.devo.io": "localhost",
        "443": str(receiver_port),
        "/etc/fluent-bit/devo/chain.crt": str(certificates.ca_file),
        "/etc/fluent-bit/devo/mydomain.crt": str(client.cert_file),
        "/etc/fluent-bit/devo/mydomain.key": str(client.key_file),
        "/var/lib/fluent-bit/storage": str(folder / "storage"),
        "24224": str(port),
    }


def need_fluent_bit_output(name: str) -> None:
    """End the test as "not run" where the Fluent Bit on PATH was built without this output."""
    need("fluent-bit")
    text = subprocess.run(["fluent-bit", "--help"], capture_output=True, text=True, check=True, timeout=60).stdout
    if not re.search(rf"^  {name} ", text.partition("Outputs")[2], re.MULTILINE):
        pytest.skip(f"not run: needs a fluent-bit with the output {name}")


def need_output_plugin(folder: Path, name: str) -> None:
    """Skip where Fluentd, or this output plugin of a gem of its own, is not installed."""
    need("fluentd")
    file = folder / "dry-run.conf"
    file.write_text(f"<match **>\n  @type {name}\n  host localhost\n  port 1\n</match>\n")
    command = ["fluentd", "--dry-run", "-c", str(file)]
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    if f"Unknown output plugin '{name}'" in result.stdout:
        pytest.skip(f"not run: needs the gem of Fluentd's output plugin {name}")


def events_of(lines: Sequence[bytes], header: bytes) -> list[dict[str, Any]]:
    """The events in syslog lines, each of which must begin with exactly ``header``."""
    assert all(line.startswith(header) for line in lines), lines[0][:200]
    return [json.loads(line[len(header) :]) for line in lines]


def activate(text: str, way: int) -> str:
    """``conf/fluentd.conf`` with the block of way 1 turned off and the one of ``way`` turned on."""
    head, *blocks = re.split(r"(?m)^(?=# --- \d)", text)
    for number, block in enumerate(blocks, 1):
        if number == 1:
            block = re.sub(r"(?m)^(?=[^#\n])", "#", block)
        if number == way:
            block = re.sub(r"(?ms)^#?<match.*?</match>$", lambda found: re.sub(r"(?m)^#", "", found[0]), block)
        blocks[number - 1] = block
    return head + "".join(blocks)


def with_label(text: str) -> str:
    """``conf/fluentd.conf`` with its lines for installations that have a ``<match **>``."""
    text, lines = re.subn(r"(?m)^( *)# ?(?=@label @AMP$|<label @AMP>$|</label>$)", r"\1", text)
    assert lines == 3
    return text
