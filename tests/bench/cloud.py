"""A local cloud of one organisation in a process of its own, so that its work is not the bench's.

Prints how it is reached, as an entry of ``organisations`` in JSON; ends with its standard input.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fluent_plugin_amp.testing.cloud import LocalCloud

NAME = "acme"


@contextlib.contextmanager
def cloud(folder: Path, computers: int, bodies: list[bytes]) -> Iterator[dict[str, Any]]:
    """One with so many computers, those of ``bodies`` and their groups among them; how it is reached."""
    events = [json.loads(body) for body in bodies]
    known = {
        "computers": sorted({event["connector_guid"] for event in events if "connector_guid" in event}),
        "groups": sorted({guid for event in events for guid in event.get("group_guids", ())}),
    }
    file = folder / "known.json"
    file.write_text(json.dumps(known))
    command = [sys.executable, "-m", "tests.bench.cloud", str(file), str(computers)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        yield json.loads(process.stdout.readline())
        process.stdin.close()


def main(file: Path, computers: int) -> None:
    """Serve until the end of standard input, behind everybody else: the real cloud is another machine."""
    os.nice(19)
    known = json.loads(file.read_text())
    with LocalCloud() as local:
        organisation = local.add_organisation(read_only=True)
        organisation.groups |= {guid: f"Group {number}" for number, guid in enumerate(known["groups"])}
        organisation.inventory.add_computers(computers, guids=known["computers"])
        api = {"client_id": organisation.client_id, "api_key": organisation.api_key}
        print(json.dumps({"name": NAME, "cloud": {"api": local.url}, "api": api}), flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
