"""The world in which the commands of the pages run: a cloud, its broker, a server, and a folder of their own.

What a page names and cannot be here, such as Cisco's cloud or a path in /etc, is replaced in the command.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from fluent_plugin_amp.cisco.api import CiscoApi
from fluent_plugin_amp.cisco.api_key import ApiKey
from fluent_plugin_amp.cisco.credentials import reserve
from fluent_plugin_amp.cisco.regions import find_cloud
from fluent_plugin_amp.cisco.streams import create_saved
from fluent_plugin_amp.cisco.transport import http_client
from fluent_plugin_amp.testing.certificates import Certificates
from fluent_plugin_amp.testing.cloud import LocalCloud
from fluent_plugin_amp.testing.fluentd import FakeFluentd
from fluent_plugin_amp.testing.organisation import Organisation
from fluent_plugin_amp.testing.ports import free_port
from fluent_plugin_amp.testing.rabbitmq import PrivateRabbitMQ
from fluent_plugin_amp.testing.waiting import DEADLINE_S
from tests.cisco.helpers import VARIABLES
from tests.docs.blocks import Step, shape
from tests.e2e.plugin import Plugin

CLIENT_ID = "a1b2c3d4e5f6a7b8c9d0"


@dataclass
class World:
    """See the module."""

    folder: Path
    cloud: LocalCloud
    organisation: Organisation
    broker: PrivateRabbitMQ
    server: FakeFluentd
    certificates: Certificates
    port: int = field(default_factory=free_port)
    """Of the status page."""
    variables: dict[str, str] = field(default_factory=dict)
    plugins: list[Plugin] = field(default_factory=list)
    before_step: dict[int, Callable[[], object]] = field(default_factory=dict)
    """What happens in the world before the step of this number, from 0."""
    any_order: bool = False
    """The lines of an output come in any order: several parts log at once."""
    soon: bool = False
    """A step that looks is repeated until it sees what the page shows."""

    def __post_init__(self) -> None:
        self.write("api_key", self.organisation.api_key)
        kept = {name: value for name, value in os.environ.items() if name not in VARIABLES}
        self._environment = {
            **kept,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "SSL_CERT_FILE": str(self.certificates.ca_file),
            "AMP_API_HOST": self.cloud.url,
            "AMP_CLIENT_ID": self.organisation.client_id,
            "AMP_API_KEY_FILE": str(self.folder / "api_key"),
            "LC_ALL": "C.UTF-8",
            "NO_PROXY": "*",
        }

    # --- what a page has had before ------------------------------------------------------------------------

    def write(self, name: str, text: str) -> None:
        """A file, for its owner only."""
        path = self.folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, "utf-8")
        path.chmod(0o600)

    def create(
        self,
        name: str,
        *,
        file: str = "siem.yml",
        event_types: Sequence[int] | None = None,
        group_guids: Sequence[str] | None = None,
    ) -> int:
        """An event stream, saved in a file; its id."""

        async def create() -> int:
            key = ApiKey(self.organisation.client_id, self.organisation.api_key)
            async with http_client(ca_file=str(self.certificates.ca_file), proxy="") as http:
                api = CiscoApi(find_cloud(self.cloud.url), key, http)
                with reserve(self.folder / file) as reserved:
                    made = await create_saved(api, name, reserved, event_types=event_types, group_guids=group_guids)
                    return made.id

        return asyncio.run(create())

    def configure(self, stream: dict[str, Any], *, listens: bool = False, **keys: Any) -> None:
        """`amp.yml`, with a stream of this section."""
        config = {
            "streams": [{"tls": {"ca_file": str(self.certificates.ca_file)}, **stream}],
            "forward": {"servers": [{"host": self.server.host, "port": self.server.port}], **keys.pop("forward", {})},
            "observe": {"listen": f"127.0.0.1:{self.port}" if listens else None},
            **keys,
        }
        self.write("amp.yml", yaml.safe_dump(config, sort_keys=False))

    def start(self) -> Plugin:
        """`fluent-plugin-amp run` with what was configured."""
        plugin = Plugin(self.folder / "running", yaml.safe_load((self.folder / "amp.yml").read_text()))
        self.plugins.append(plugin)
        return plugin.start()

    def publish(self, count: int, *, age_s: float = 0.0, first: int = 0, apart_s: int = 1) -> None:
        """Events happen, the last of them so long ago."""
        last = int(time.time() - age_s)
        events = [
            {
                "id": 2**60 + number,
                "timestamp": last - apart_s * (first + count - 1 - number),
                "timestamp_nanoseconds": 1,
            }
            for number in range(first, first + count)
        ]
        self.cloud.publish([json.dumps(event | {"event_type_id": 1090519054}).encode() for event in events])

    # --- what is done ----------------------------------------------------------------------------------------

    def sh(self, command: str, *arguments: str, code: int | None = 0) -> tuple[str, int]:
        """What a command prints, on either output, and its exit code; variables that it exports stay."""
        if arguments:
            command += "".join(f" '{argument}'" for argument in arguments)
        script = f"touch .env; . ./.env; (exit ${{LAST:-0}})\n{{ {command}\n}}; LAST=$?; export -p > .env; exit $LAST"
        done = subprocess.run(
            ["bash", "-c", script],
            cwd=self.folder,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=DEADLINE_S,
            check=False,
        )
        output = done.stdout.decode()
        with (self.folder / ".env").open("a") as file:
            file.write(f"LAST={done.returncode}\n")
        assert code is None or done.returncode == code, output
        return output, done.returncode

    async def do(self, number: int, step: Step) -> None:
        """One step of a block; what it prints has the shape that the page shows."""
        if number in self.before_step:
            await asyncio.to_thread(self.before_step[number])
        deadline = time.monotonic() + DEADLINE_S
        expected = shape(step.output)
        while True:
            output, code = await asyncio.to_thread(self.sh, self._here(step.command), code=None)
            seen = shape(output)
            if self.any_order:
                expected, seen = sorted(expected), sorted(seen)
            if seen == expected or not self.soon or time.monotonic() > deadline:
                break
            await asyncio.sleep(0.1)
        assert seen == expected, f"$ {step.command}\nprinted\n{output}\nand the page shows\n{step.output}"
        assert step.exit_code in (None, code), f"$ {step.command} ended with {code}"

    def _here(self, command: str) -> str:
        for named, here in (
            ("AMP_REGION=eu", f"AMP_API_HOST={self.cloud.url}"),
            (CLIENT_ID, self.organisation.client_id),
            ("/etc/fluent-plugin-amp/api_key", str(self.folder / "api_key")),
            ("127.0.0.1:24280", f"127.0.0.1:{self.port}"),
        ):
            command = command.replace(named, here)
        return command

    def close(self) -> None:
        """Plugins end."""
        with contextlib.ExitStack() as stack:
            for plugin in self.plugins:
                stack.callback(plugin.kill)
