"""More streams than file descriptors: what must go on has what it needs."""

from __future__ import annotations

import asyncio
import errno
import os
import resource
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import httpx
import pytest
import yaml

from fluent_plugin_amp import descriptors
from fluent_plugin_amp.cisco import transport
from fluent_plugin_amp.errors import TooManyFiles
from fluent_plugin_amp.sink.forward.connection import open_connection
from fluent_plugin_amp.sink.forward.settings import ForwardSettings, ServerAddress
from fluent_plugin_amp.source.amqp import BrokerAddress
from fluent_plugin_amp.source.reasons import not_opened_because
from fluent_plugin_amp.testing.ports import free_ports
from fluent_plugin_amp.testing.waiting import DEADLINE_S

ROOT = Path(__file__).parent.parent
STREAMS = 260
LIMIT = 300


@pytest.fixture
def limits() -> Iterator[tuple[int, int]]:
    """Those of this process, put back afterwards."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield before
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_the_soft_limit_is_raised(limits: tuple[int, int]) -> None:
    """As far as the hard limit allows, and never lowered."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, limits[1]))
    descriptors.raise_limit()
    assert descriptors.limit() == min(limits[1], descriptors.ENOUGH)
    descriptors.raise_limit()
    assert descriptors.limit() == min(limits[1], descriptors.ENOUGH)


def test_the_reserve_is_refused_to_streams(limits: tuple[int, int]) -> None:
    """By the number that the kernel gave."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, limits[1]))
    assert descriptors.room_for_streams() == 128
    with socket.socket() as one:
        descriptors.claim(one)
        os.dup2(one.fileno(), 200)
        with socket.socket(fileno=200) as other, pytest.raises(OSError, match="Too many open files") as refused:
            descriptors.claim(other)
    assert refused.value.errno == errno.EMFILE
    assert descriptors.is_exhausted(refused.value)


def start(command: list[str], log: IO[bytes]) -> subprocess.Popen[bytes]:
    """A process."""
    return subprocess.Popen(command, stderr=log, cwd=ROOT)


async def test_a_process_with_more_streams_than_descriptors(tmp_path: Path) -> None:
    """It says so with numbers and a remedy, answers at its endpoints meanwhile, and shows no traceback."""
    connected: list[asyncio.StreamWriter] = []
    server = await asyncio.start_server(lambda _, writer: connected.append(writer), "127.0.0.1", 0, backlog=512)
    endpoint, forward = free_ports(2)
    port = server.sockets[0].getsockname()[1]
    config = tmp_path / "c.yml"
    config.touch(0o600)
    streams = [{"url": f"amqp://u:p@127.0.0.1:{port}", "queue": f"q{number}"} for number in range(STREAMS)]
    config.write_text(
        yaml.safe_dump(
            {
                "streams": streams,
                "forward": {"servers": [{"host": "127.0.0.1", "port": forward}]},
                "observe": {"listen": f"127.0.0.1:{endpoint}"},
            }
        )
    )
    log = tmp_path / "log"
    run = [sys.executable, "-m", "fluent_plugin_amp", "run", "-c", str(config)]
    with log.open("wb") as file:
        process = start(["sh", "-c", f'ulimit -n {LIMIT}; exec "$@"', "sh", *run], file)
    try:
        deadline = time.monotonic() + DEADLINE_S
        while log.read_text().count("[process.too-many-files] 127.0.0.1") < 20:
            assert time.monotonic() < deadline, log.read_text()[-2000:]
            await asyncio.sleep(0.05)
        assert f"{STREAMS} streams, and file descriptors for 172 (limit 300, " in log.read_text()
        assert "LimitNOFILE=" in log.read_text()
        async with httpx.AsyncClient(trust_env=False, timeout=DEADLINE_S) as client:
            answers = [client.get(f"http://127.0.0.1:{endpoint}/healthz") for _ in range(40)]
            assert {answer.status_code for answer in await asyncio.gather(*answers)} == {200}
        assert "Traceback" not in log.read_text()
        process.terminate()
        assert await asyncio.to_thread(process.wait, DEADLINE_S) == 0
    finally:
        process.kill()
        process.wait()
        server.close()
        for writer in connected:
            writer.transport.abort()


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE])
async def test_each_connection_says_what_is_missing(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """To a broker, to a server and to the cloud: not that the peer should be checked."""
    error = OSError(number, os.strerror(number))
    broker = BrokerAddress(host="h", port=1, username="u", password="p")
    assert isinstance(not_opened_because(broker, error, None), TooManyFiles)

    async def refused(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(asyncio.get_running_loop(), "create_connection", refused)
    address = ServerAddress("s", "127.0.0.1", 1)
    with pytest.raises(TooManyFiles, match="no connection: Too many open files"):
        await open_connection(address, ForwardSettings((address,)))
    failed = httpx.ConnectError("x")
    failed.__cause__ = error
    assert isinstance(transport._failure(failed, transport._Way("https://h")).error, TooManyFiles)
