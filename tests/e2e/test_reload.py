"""SIGHUP: what the configuration says now is done, and nothing is lost on the way."""

from __future__ import annotations

import os
import pty
import re
import signal
import sys
from collections import Counter
from typing import Any

import httpx
import yaml

from fluent_plugin_amp.testing.fluentd import FakeFluentd
from fluent_plugin_amp.testing.ports import free_port
from fluent_plugin_amp.testing.reactions import HoldAck, NoAck
from fluent_plugin_amp.testing.waiting import DEADLINE_S
from tests.e2e.configs import bodies, configuration, ids_of
from tests.e2e.conftest import Rig
from tests.e2e.plugin import Plugin, eventually


async def reload(plugin: Plugin, config: dict[str, Any], times: int = 1) -> None:
    """Write the file, send SIGHUP, and return when the plugin has done what it says, so often by now."""
    plugin.config_file.write_text(yaml.safe_dump(config))
    plugin.signal(signal.SIGHUP)
    await plugin.logged("reloaded: ", times=times)


async def test_streams_come_and_go(rig: Rig, fluentd: FakeFluentd) -> None:
    """A new one is consumed, one that is gone is let go of, and one that stays goes on without a new connection."""
    stays, goes, comes = (rig.make_stream() for _ in range(3))
    sections = {
        name: rig.section(stream, name=name) for name, stream in (("stays", stays), ("goes", goes), ("comes", comes))
    }
    plugin = rig.run(configuration([sections["stays"], sections["goes"]], fluentd))
    await plugin.logged("connected to queue", times=2)
    await reload(plugin, configuration([sections["stays"], sections["comes"]], fluentd))
    assert "reloaded: added: comes; removed: goes" in plugin.log
    for number, stream in enumerate((stays, goes, comes)):
        await rig.publish(stream, bodies(50, first=50 * number))
    await fluentd.wait_for(lambda: len(fluentd.records) == 100)
    assert ids_of(fluentd.records) == ids_of([*bodies(50), *bodies(50, first=100)])
    assert rig.broker.queue_depth(goes.queue)[:3] == (50, 0, 0)
    assert plugin.log.count("connected to queue") == 3


async def test_a_stream_that_goes_is_drained(rig: Rig, fluentd: FakeFluentd) -> None:
    """What it held when it was taken out is delivered and acknowledged, once."""
    stream, other = rig.make_stream(), rig.make_stream()
    await rig.publish(stream, bodies(30))
    sections = [rig.section(each, name=name) for each, name in ((stream, "a"), (other, "b"))]
    fluentd.reaction = HoldAck()
    plugin = rig.run(configuration(sections, fluentd))
    await fluentd.wait_for(lambda: fluentd.chunks)
    plugin.config_file.write_text(yaml.safe_dump(configuration(sections[1:], fluentd)))
    plugin.signal(signal.SIGHUP)
    await plugin.logged("SIGHUP")
    fluentd.release()
    await plugin.logged("reloaded: removed: a")
    (event,) = fluentd.records
    assert rig.broker.queue_depth(stream.queue)[:2] == (29, 0)
    assert ids_of([event]) == ids_of(bodies(1))


async def test_other_transforms(rig: Rig, fluentd: FakeFluentd) -> None:
    """They hold from the next event on; the connection is the same."""
    stream = rig.make_stream()
    section = rig.section(stream, name="emea")
    plugin = rig.run(configuration(section, fluentd))
    await rig.publish(stream, bodies(1))
    await fluentd.wait_for(lambda: len(fluentd.records) == 1)
    await reload(plugin, configuration({**section, "tag": "other.{stream}", "add": {"tenant": "acme"}}, fluentd))
    await rig.publish(stream, bodies(1, first=1))
    await fluentd.wait_for(lambda: len(fluentd.records) == 2)
    assert fluentd.chunks[-1].tag == "other.emea"
    assert fluentd.records[-1]["tenant"] == "acme"
    assert plugin.log.count("connected to queue") == 1


async def test_other_servers(rig: Rig, fluentd: FakeFluentd) -> None:
    """What the old server did not acknowledge goes to the new one, and nothing is lost."""
    stream = rig.make_stream()
    section = rig.section(stream)
    plugin = rig.run(configuration(section, fluentd, shutdown_timeout="1s"))
    await rig.publish(stream, bodies(100))
    await fluentd.wait_for(lambda: len(fluentd.records) == 100)
    fluentd.reaction = NoAck()
    await rig.publish(stream, bodies(100, first=100))
    await fluentd.wait_for(lambda: len(fluentd.chunks) > len(fluentd.acks))
    async with FakeFluentd() as other:
        await reload(plugin, configuration(section, other, shutdown_timeout="1s"))
        await eventually(lambda: sum(rig.broker.queue_depth(stream.queue)[:2]) == 0)
        assert ids_of(fluentd.records) + ids_of(other.records) == ids_of(bodies(200))
        assert fluentd.connections == 0


async def test_a_new_password(rig: Rig, fluentd: FakeFluentd) -> None:
    """In the file that the configuration names: the stream that was refused connects at once."""
    stream = rig.make_stream()
    password_file = rig.folder / "emea.password"
    password_file.touch(mode=0o600)
    password_file.write_text("old")
    section = rig.section(stream, name="emea", password_file=str(password_file))
    del section["password"]
    config = configuration(section, fluentd)
    plugin = rig.run(config)
    await plugin.logged("[amqp.credentials-refused]")
    password_file.write_text(stream.password)
    await reload(plugin, config)
    await plugin.logged("connected to queue")
    assert "reloaded: restarted: emea" in plugin.log
    assert stream.password not in plugin.log


async def test_a_broken_file_changes_nothing(rig: Rig, fluentd: FakeFluentd) -> None:
    """All its mistakes are in the log; events flow as before; a sound file is taken afterwards."""
    stream = rig.make_stream()
    config = configuration(rig.section(stream, name="emea"), fluentd)
    plugin = rig.run(config)
    await plugin.logged("connected to queue")
    broken = {**config, "memory_limt": "1MiB", "logging": {"level": "loud"}}
    plugin.config_file.write_text(yaml.safe_dump(broken))
    plugin.signal(signal.SIGHUP)
    await plugin.logged("not reloaded, everything stays as it is: [config.invalid]")
    assert "did you mean `memory_limit`" in plugin.log
    assert "logging.level" in plugin.log
    await rig.publish(stream, bodies(10))
    await fluentd.wait_for(lambda: len(fluentd.records) == 10)
    await reload(plugin, {**config, "logging": {"level": "debug"}, "memory_limit": "32MiB"})
    assert "reloaded: log changed" in plugin.log
    assert "not before the next start: memory_limit" in plugin.log


async def test_a_broken_included_file_keeps_its_own_streams_only(rig: Rig, fluentd: FakeFluentd) -> None:
    """Its stream goes on over the same connection, another file's changes; it is a trouble until it is mended."""
    port, folder = free_port(), rig.folder / "streams.d"
    folder.mkdir()
    streams = {name: rig.make_stream() for name in ("one", "two")}
    sections = {name: rig.section(stream, name=name) for name, stream in streams.items()}
    for name, section in sections.items():
        (folder / f"{name}.yml").write_text(yaml.safe_dump(section))
    config = {**configuration([], fluentd), "observe": {"listen": f"127.0.0.1:{port}"}}
    config |= {"include": f"{folder}/*.yml", "streams": None}
    plugin = rig.run(config)
    await plugin.logged("connected to queue", times=2)
    (folder / "one.yml").write_text(yaml.safe_dump({**sections["one"], "queeu": "x"}))
    (folder / "two.yml").write_text(yaml.safe_dump({**sections["two"], "tag": "other"}))
    await reload(plugin, config)
    assert "reloaded: with other transforms: two" in plugin.log
    await plugin.logged("reloaded only in part: [config.include-broken] ")
    assert f"{folder}/one.yml:" in plugin.log
    for number, stream in enumerate(streams.values()):
        await rig.publish(stream, bodies(10, first=10 * number))
    await fluentd.wait_for(lambda: len(fluentd.records) == 20)
    assert {chunk.tag for chunk in fluentd.chunks} == {"edr.cisco.amp.events", "other"}
    assert plugin.log.count("connected to queue") == 2
    async with httpx.AsyncClient(trust_env=False, timeout=DEADLINE_S, base_url=f"http://127.0.0.1:{port}") as client:
        assert "config.include-broken" in (await client.get("/")).text
        (folder / "one.yml").write_text(yaml.safe_dump(sections["one"]))
        await reload(plugin, config, times=2)
        assert "config.include-broken" not in (await client.get("/")).text


async def test_a_ca_file_that_cannot_be_used_changes_nothing(rig: Rig, fluentd: FakeFluentd) -> None:
    """What can fail is made before anything is touched."""
    section = rig.section(rig.make_stream(), name="emea")
    plugin = rig.run(configuration(section, fluentd))
    await plugin.logged("connected to queue")
    ca_file = rig.folder / "ca.pem"
    ca_file.write_text("no certificate")
    plugin.config_file.write_text(
        yaml.safe_dump(configuration({**section, "tls": {"ca_file": str(ca_file)}}, fluentd))
    )
    plugin.signal(signal.SIGHUP)
    await plugin.logged("not reloaded, everything stays as it is: [config.tls-files]")
    ca_file.write_bytes(rig.certificates.ca_file.read_bytes())
    plugin.signal(signal.SIGHUP)
    await plugin.logged("reloaded: restarted: emea")
    await plugin.logged("connected to queue", times=2)


async def test_the_log_and_the_endpoints(rig: Rig, fluentd: FakeFluentd) -> None:
    """Another address, another format, and from now on the log goes to the server too."""
    section = rig.section(rig.make_stream(), name="emea")
    config = configuration(section, fluentd)
    one, two = free_port(), free_port()
    plugin = rig.run({**config, "observe": {"listen": f"127.0.0.1:{one}"}})
    await plugin.logged(f"http://127.0.0.1:{one}/")
    logging = {"format": "json", "forward_tag": "fluent_plugin_amp.log"}
    await reload(plugin, {**config, "observe": {"listen": f"127.0.0.1:{two}"}, "logging": logging})
    await plugin.logged(f"http://127.0.0.1:{two}/")
    async with httpx.AsyncClient(trust_env=False, timeout=DEADLINE_S) as client:
        assert (await client.get(f"http://127.0.0.1:{two}/healthz")).status_code == 200
    assert '"message":"reloaded: log changed; observe changed"' in plugin.log
    await fluentd.wait_for(
        lambda: any(record.get("message", "").startswith("reloaded") for record in fluentd.records)
    )
    assert {chunk.tag for chunk in fluentd.chunks} == {"fluent_plugin_amp.log"}
    assert await plugin.stopped() == 0
    assert fluentd.records[-1]["message"].startswith("stopped: total of 1 stream")
    assert Counter(record["level"] for record in fluentd.records).keys() == {"info"}


def test_a_terminal_that_is_closed_ends_it(rig: Rig) -> None:
    """The SIGHUP of a terminal that is gone asks for no reload: nobody would know of the process."""
    config = rig.folder / "config.yml"
    config.touch(mode=0o600)
    config.write_text(yaml.safe_dump(configuration(rig.section(rig.make_stream()), {"port": free_port()})))
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(sys.executable, [sys.executable, "-m", "fluent_plugin_amp", "run", "-c", str(config)])
    said = b""
    while b"connected to queue" not in said:
        said += os.read(terminal, 4096)
    os.close(terminal)
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0


async def test_a_polled_stream(rig: Rig, fluentd: FakeFluentd) -> None:
    """One line for each poll, one `@devo_pulling_id` for its events, well in between; a new interval begins anew."""
    stream, port = rig.make_stream(), free_port()
    section = rig.section(stream, name="emea", poll_interval="1h", transform={"pulling_id": True})
    config = {**configuration(section, fluentd), "observe": {"listen": f"127.0.0.1:{port}"}}
    await rig.publish(stream, bodies(100))
    plugin = rig.run(config)
    await plugin.logged("stream emea: polled in ")
    assert ": 100 received, 100 delivered (" in plugin.log
    assert re.search(r"0 dead letters; next run in 35\d\d\.\d", plugin.log)
    assert "connected to queue" not in plugin.log
    async with httpx.AsyncClient(trust_env=False, timeout=DEADLINE_S, base_url=f"http://127.0.0.1:{port}") as client:
        assert (await client.get("/readyz")).status_code == 200
        assert "1 resting" in (await client.get("/")).text
        assert 'cisco_amp_stream_up{stream="emea"} 1.0' in (await client.get("/metrics")).text
    assert rig.broker.queue_depth(stream.queue)[:3] == (0, 0, 0)
    await rig.publish(stream, bodies(50, first=100))
    section["poll_interval"] = "1s"
    await reload(plugin, {**configuration(section, fluentd), "observe": config["observe"]})
    await fluentd.wait_for(lambda: len(fluentd.records) == 150)
    await plugin.logged("stream emea: polled in ", times=3)
    assert ids_of(fluentd.records) == ids_of(bodies(150))
    pulls = Counter(record["@devo_pulling_id"] for record in fluentd.records)
    assert sorted(pulls.values()) == [50, 100]
    assert await plugin.stopped() == 0
