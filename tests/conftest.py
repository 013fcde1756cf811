"""What the tests share: certificates, a private RabbitMQ, and event streams on it."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Literal, Protocol

import pytest
from hypothesis import settings

from fluent_plugin_amp.observe.logs import LOGGER
from fluent_plugin_amp.testing.certificates import Certificates, make_certificates, server_context
from fluent_plugin_amp.testing.cloud import LocalCloud
from fluent_plugin_amp.testing.erlang import NodeError
from fluent_plugin_amp.testing.ports import free_port as find_free_port
from fluent_plugin_amp.testing.rabbitmq import PrivateRabbitMQ, StreamCredentials

# In the background (`nohup make test &`) these are ignored, and so they would be by every process that a test starts.
for _number, _usual in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
    if signal.getsignal(_number) is signal.SIG_IGN:
        signal.signal(_number, _usual)

# A busy machine is no fault of the code: examples have no deadline of their own, tests have one (setup.cfg).
settings.register_profile("steady", deadline=None)
settings.load_profile("steady")

_first_stream_ids = count(700_000, 100)
"""Apart for each cloud: an id names a queue of the broker that they share."""


class MakeStream(Protocol):
    """See `make_stream`."""

    def __call__(
        self, *, kind: Literal["classic", "quorum"] = "classic", delivery_limit: int | None = None
    ) -> StreamCredentials:
        """Make a stream."""


@pytest.fixture(autouse=True)
def plain_log(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The plugin's log as it is before anybody sets it up; what a test makes of it is gone afterwards."""
    monkeypatch.setattr(LOGGER, "handlers", [])
    monkeypatch.setattr(LOGGER, "propagate", True)
    level = LOGGER.level
    yield
    LOGGER.setLevel(level)


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """A private authority, and certificates with every fault."""
    return make_certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="session")
def shared_broker(certificates: Certificates, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateRabbitMQ]:
    """One RabbitMQ for the whole run, plain and TLS; use `broker`."""
    folder: Path = tmp_path_factory.mktemp("rabbitmq")
    try:
        broker = PrivateRabbitMQ(certificates=certificates, folder=folder)
    except NodeError as exc:
        pytest.skip(f"no RabbitMQ: {exc}")
    with broker:
        yield broker


@pytest.fixture
def broker(shared_broker: PrivateRabbitMQ) -> Iterator[PrivateRabbitMQ]:
    """A running RabbitMQ; a test may stop, kill or freeze it: the next one finds it running again."""
    if not shared_broker.running:
        shared_broker.start()
    yield shared_broker
    if shared_broker.running:
        shared_broker.thaw()


_numbers = count(1)


@pytest.fixture
def make_stream(broker: PrivateRabbitMQ) -> Callable[..., StreamCredentials]:
    """Makes an event stream, a queue of its own and a user who may only read it."""

    def make(
        *, kind: Literal["classic", "quorum"] = "classic", delivery_limit: int | None = None
    ) -> StreamCredentials:
        return broker.create_stream(f"event_stream_{next(_numbers)}", kind=kind, delivery_limit=delivery_limit)

    return make


@pytest.fixture
def free_port() -> int:
    """A TCP port on loopback that nothing listens on."""
    return find_free_port()


@pytest.fixture
def cloud(broker: PrivateRabbitMQ, certificates: Certificates) -> Iterator[LocalCloud]:
    """A cloud over HTTPS with the broker that all tests share; its streams are gone afterwards."""
    tls = server_context(certificates.server)
    with LocalCloud(broker=broker, tls=tls, first_stream_id=next(_first_stream_ids)) as cloud:
        yield cloud
        for organisation in cloud.organisations():
            for stream_id in list(organisation.streams):
                organisation.delete(stream_id)
