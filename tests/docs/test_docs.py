"""Every command that README and docs show, as written: what it prints has the shape that the page shows.

A new block is in neither table below, and its test says so: give it a scene that makes the world in which it runs, or
the reason why it cannot run here.
"""

from __future__ import annotations

import asyncio
import json
import re
import textwrap
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import yaml

from fluent_plugin_amp.model import EventIdentity
from fluent_plugin_amp.state.store import Store
from fluent_plugin_amp.state.values import Block as DeliveredBlock
from fluent_plugin_amp.testing.certificates import Certificates
from fluent_plugin_amp.testing.cloud import LocalCloud
from fluent_plugin_amp.testing.fluentd import FakeFluentd
from fluent_plugin_amp.testing.organisation import DEFAULT_GROUPS
from fluent_plugin_amp.testing.ports import free_port
from fluent_plugin_amp.testing.rabbitmq import PrivateRabbitMQ
from fluent_plugin_amp.testing.reactions import Ack, NoAck
from tests.docs.blocks import ROOT, Block, blocks, blocks_of, shape
from tests.docs.world import World
from tests.servers import need

BACKFILL = "fluent-plugin-amp backfill -c amp.yml --stream emea --since 4h"

THREATS = [1090519054, 553648147]
"""Threat Detected, and Cloud Recall Detection."""

NOT_RUN = {
    "README.md > fluent-plugin-amp > make demo": "tests/test_dist.py runs it, and `make test` is what runs this",
    "README.md > fluent-plugin-amp > fluent-plugin-amp check": "`run` has no end; further blocks run `check`",
    "docs/streams.md > New passwords for a fleet > amp-streams apply fleet.yml --verify": (
        "passwords and queues change between its steps; tests/amp_streams/test_apply.py has them with a real broker"
    ),
    f"docs/backfill.md > Deliver a span of time > {BACKFILL} (2)": "somebody presses Ctrl-C; tests/history does it",
}
"""Blocks that are not run, and why."""

Scene = Callable[[World], None]
SCENES: dict[str, Scene] = {}


def scene(*keys: str) -> Callable[[Scene], Scene]:
    """What makes the world for the blocks of these keys."""

    def register(make: Scene) -> Scene:
        SCENES.update(dict.fromkeys(keys, make))
        return make

    return register


# --- README ------------------------------------------------------------------------------------------------------


@scene("README.md > Commands > fluent-plugin-amp check -c amp.yml --end-to-end")
def a_stream_with_events(world: World) -> None:
    """A configuration of one stream, and 2000 events in its queue."""
    world.create("demo", file="demo.yml")
    world.configure({"credentials_file": "demo.yml"}, listens=True)
    world.publish(2000, apart_s=0)  # none is old enough for a word about it, however slow the machine
    world.any_order = True


@scene(
    "README.md > Streams: amp-streams > export AMP_REGION=eu AMP_CLIENT_ID=a1b2c3d4e5f6a7b8c9d0 "
    "AMP_API_KEY_FILE=/etc/fluent-plugin-amp/api_key",
    "docs/streams.md > Event streams: amp-streams > export AMP_REGION=eu AMP_CLIENT_ID=a1b2c3d4e5f6a7b8c9d0 "
    "AMP_API_KEY_FILE=/etc/fluent-plugin-amp/api_key",
    "docs/streams.md > Looking > amp-streams test",
    'docs/streams.md > Creating > amp-streams create "Threats only" --event-type "threat detected" --event-type '
    '"Retrospective Detection" --group audit --dry-run',
)
def a_new_organisation(world: World) -> None:
    """Its API key, and no stream yet."""


@scene("README.md > Configuration > fluent-plugin-amp check -c amp.yml")
def five_mistakes(world: World) -> None:
    """In a file of ten lines."""
    text = """\
        streams:
          - name: emea
            url: amqps://export-streaming.eu.amp.cisco.com:443
            username: 6-0123456789abcdef0123
            pasword: secret
            queue: event_stream_6
            heartbeat: often
        forward:
          servers: [{host: 127.0.0.1, port: 99999}]
          compres: gzip
        """
    world.write("amp.yml", textwrap.dedent(text))


# --- docs/completeness.md ----------------------------------------------------------------------------------------


@scene("docs/completeness.md > Check them > fluent-plugin-amp verify --key-file completeness.key completeness.ndjson")
def two_days_of_records(world: World) -> None:
    """As a SIEM exported them; before the second command somebody changes a figure."""
    from tests.completeness.chains import KEY, two_days

    records = two_days()
    world.write("completeness.key", KEY.decode())
    world.write("completeness.ndjson", "".join(f"{json.dumps(record)}\n" for record in records))
    records[10].update(missing=0, delivered=110)
    world.write("changed.ndjson", "".join(f"{json.dumps(record)}\n" for record in records))


# --- docs/streams.md ---------------------------------------------------------------------------------------------


@scene(
    "docs/streams.md > Looking > amp-streams list",
    "docs/streams.md > Changing and deleting > amp-streams update "
    "'Threats only' --all-groups --event-type 'Threat Quarantined'",
)
def three_streams(world: World) -> None:
    """One of everything, and one that is restricted; one more to be deleted, where the page deletes one."""
    world.create("SIEM")
    audit = next(guid for guid, name in DEFAULT_GROUPS.items() if name == "Audit")
    world.create("Threats only", event_types=THREATS, group_guids=[audit], file="threats.yml")
    world.before_step[1] = lambda: world.create("Threats test", file="test.yml")


@scene("docs/streams.md > Creating > sed 's/^password: .*/password: …/' siem.yml")
def a_saved_stream(world: World) -> None:
    """Its file."""
    world.create("SIEM")


@scene("docs/streams.md > A new password > amp-streams rotate SIEM --save siem-new.yml")
def a_stream_to_rotate(world: World) -> None:
    """An event waits in the old queue when it is finished too early; then it is gone."""
    old = world.create("SIEM")
    world.before_step[1] = lambda: world.publish(1)
    world.before_step[2] = lambda: world.broker.purge(f"event_stream_{old}")


@scene("docs/streams.md > Many organisations > amp-streams apply fleet.yml --dry-run")
def three_tenants(world: World) -> None:
    """The fleet file of the page, its tenants in the local cloud; the key of the third may only read."""
    (fleet,) = re.findall(r"^```yaml\n(# fleet\.yml\n.*?)^```", (ROOT / "docs/streams.md").read_text(), re.M | re.S)
    text = fleet.replace("region: eu ", f"api_host: {world.cloud.url} ", 1)
    assert text != fleet
    for client_id, key, read_only in (
        ("acme", "A" * 32, False),
        ("bravo", "B" * 32, False),
        ("charlie", "C" * 32, True),
    ):
        tenant = world.cloud.add_organisation(f"{client_id}-client-id", key, read_only=read_only)
        tenant.groups["00000000-0000-0000-0000-000000000001"] = "Servers"
    world.write("fleet.yml", text)
    world.write("keys/bravo", "B" * 32)
    world.sh(f"export ACME_KEY={'A' * 32} CHARLIE_KEY={'C' * 32}")


@scene("docs/streams.md > When something goes wrong > amp-streams list")
def a_wrong_key_and_a_private_authority(world: World) -> None:
    """One after the other."""
    other = world.certificates.untrusted_ca_file
    world.sh("export KEPT=$AMP_API_KEY_FILE AMP_API_KEY_FILE=; export AMP_API_KEY=00000000000000000000000000000000")
    world.before_step[1] = lambda: world.sh(f"unset AMP_API_KEY; export AMP_API_KEY_FILE=$KEPT SSL_CERT_FILE={other}")


# --- docs/respond.md ---------------------------------------------------------------------------------------------

RESPOND = "docs/respond.md"


@scene(
    f"{RESPOND} > Isolate > amp-respond status desk-015",
    f"{RESPOND} > Block the file > amp-respond lists",
    f"{RESPOND} > What is done, and what is only shown > amp-respond isolate desk-01 --reason 'case 77' --yes",
)
def a_file_on_two_computers(world: World) -> None:
    """And two lists, of which a policy uses one."""
    responses = world.organisation.responses
    computers = [responses.add_computer(name) for name in ("desk-014", "desk-015")]
    responses.see("95bbbad491f16a026a56a4ee18c99d53384b0bee5ab0fb9d2ed39ccd8692a0ba", *computers)
    responses.add_list("SOC list", "simple_custom_detections", "Protect")
    responses.add_list("Execution list", "application_blocking")
    world.sh(f"export XDG_STATE_HOME={world.folder}")


@scene(f"{RESPOND} > Release > amp-respond release desk-015 --reason 'case 77: cleaned' --yes")
def an_isolated_computer(world: World) -> None:
    """After the block above."""
    a_file_on_two_computers(world)
    for computer in world.organisation.responses.computers.values():
        computer.status = "isolated"


# --- docs/operations.md ------------------------------------------------------------------------------------------

READYZ = "curl -s 127.0.0.1:24280/readyz"


@scene(f"docs/operations.md > All is well > {READYZ}")
def healthy(world: World) -> None:
    """A plugin that runs."""
    running(world)


@scene(f"docs/operations.md > Fluentd is down > {READYZ}")
def fluentd_down(world: World) -> None:
    """The port of the server is nobody's."""
    world.server.port = free_port()
    running(world)


@scene(f"docs/operations.md > The password is refused > {READYZ}")
def password_refused(world: World) -> None:
    """It was changed."""
    running(world, password="wrong")


@scene(f"docs/operations.md > Falling behind > {READYZ}")
def falling_behind(world: World) -> None:
    """More wait than a slow server takes, and they are two hours old."""
    world.server.reaction = Ack(delay_s=1.0)
    running(world, before=lambda: world.publish(3000, age_s=2 * 3600), prefetch_count=10)


@scene(f"docs/operations.md > Paused > {READYZ}")
def paused(world: World) -> None:
    """The server takes chunks and never acknowledges any."""
    world.server.reaction = NoAck()
    running(world, before=lambda: world.publish(1), forward={"pause_after": "2s"})


def running(
    world: World, before: Callable[[], None] = lambda: None, forward: dict[str, str] | None = None, **stream: object
) -> None:
    """The plugin runs, and shows what it sees before long."""
    need("curl")
    world.create("emea", file="emea.yml")
    before()
    saved = yaml.safe_load((world.folder / "emea.yml").read_text())
    section = {key: saved[key] for key in ("name", "url", "username", "password", "queue")}
    world.configure({**section, **stream}, listens=True, forward=forward or {})
    world.start()
    world.soon = True


# --- docs/backfill.md --------------------------------------------------------------------------------------------


@scene(
    "docs/backfill.md > Was everything delivered? > fluent-plugin-amp reconcile -c amp.yml --stream emea --since 4h",
    f"docs/backfill.md > Deliver a span of time > {BACKFILL}",
)
def some_delivered(world: World) -> None:
    """Events of the last hours, a part of them delivered."""
    world.create("emea", file="emea.yml")
    api = {"client_id": world.organisation.client_id, "api_key_file": "api_key"}
    cloud = {"api": world.cloud.url, "console": "localhost", "ca_file": str(world.certificates.ca_file)}
    world.configure(
        {"name": "emea", "credentials_file": "emea.yml", "cloud": cloud, "api": api},
        state={"path": str(world.folder / "state.db")},
    )
    store = Store.open(world.folder / "state.db", create=True)  # in use for a day
    with store.transaction():
        then = int(time.time()) - 86400
        store.add_delivered([DeliveredBlock("emea", then, [bytes(16)], [EventIdentity(1, then, 0, None, None)])])
    store.close()
    world.publish(3600, age_s=3600)
    world.sh("fluent-plugin-amp run -c amp.yml --once")
    queue = yaml.safe_load((world.folder / "emea.yml").read_text())["queue"]
    world.publish(3600, age_s=5400, first=3600)
    world.broker.purge(queue)


@scene("docs/backfill.md > Captured events: replay > fluent-plugin-amp replay -c amp.yml --dry-run answer.json")
def an_answer_of_the_api(world: World) -> None:
    """With two events."""
    world.create("emea", file="emea.yml")
    world.configure({"credentials_file": "emea.yml"})
    world.write("answer.json", json.dumps({"version": "v1.2.0", "data": [{"id": 1}, {"id": 2}]}))


# --- all of them -------------------------------------------------------------------------------------------------

BLOCKS = {block.key: block for block in blocks()}


@pytest.fixture
async def world(
    tmp_path: Path, cloud: LocalCloud, broker: PrivateRabbitMQ, certificates: Certificates
) -> AsyncIterator[World]:
    """Everything there is to run commands in."""
    async with FakeFluentd() as server:
        made = World(tmp_path, cloud, cloud.add_organisation(), broker, server, certificates)
        yield made
        made.close()


@pytest.mark.parametrize(
    "block", [pytest.param(block, id=key) for key, block in BLOCKS.items() if key not in NOT_RUN]
)
async def test_a_block_does_what_the_page_shows(block: Block, world: World) -> None:
    """Every command of it prints what has the shape that is shown, and ends as is shown."""
    assert block.key in SCENES, (
        f"{block.page}:{block.line} is a block that no test runs. Give it a scene in {Path(__file__).name}, or put "
        f"it into NOT_RUN with the reason; its key is\n  {block.key}"
    )
    await asyncio.to_thread(SCENES[block.key], world)
    for number, step in enumerate(block.steps):
        await world.do(number, step)


def test_no_scene_is_left_over() -> None:
    """Each belongs to a block, and none is both run and not run."""
    assert not SCENES.keys() - BLOCKS.keys()
    assert not NOT_RUN.keys() - BLOCKS.keys()
    assert not SCENES.keys() & NOT_RUN.keys()
    assert all(len(reason) > 20 for reason in NOT_RUN.values())


def test_the_shape_of_an_output() -> None:
    """Numbers, times and widths differ from run to run; words do not."""
    one = "ok  server 127.0.0.1:22182  connected in 3 ms\n\n2026-11-22 03:00Z  5466\n2026-11-22 04:00Z  7\n"
    other = "ok server 127.0.0.1:9   connected in 1.2 s\n2026-01-02 03:00Z  5,466\n"
    assert shape(one) == shape(other)
    assert shape(one) != shape(one.replace("connected", "refused"))


def test_blocks_are_found() -> None:
    """Commands, their outputs, exit codes, and the heading above."""
    text = "# A `b`\n\n```console\n$ one   # why\n$ two\nsaid\n(exit code 7)\n```\n\n```console\n$ one\n```\n"
    first, second = blocks_of("docs/x.md", text)
    assert [first.key, second.key] == ["docs/x.md > A b > one", "docs/x.md > A b > one (2)"]
    assert [(step.command, step.output, step.exit_code) for step in first.steps] == [
        ("one   # why", "", None),
        ("two", "said\n", 7),
    ]
    assert (first.line, second.line) == (3, 10)
