"""A private RabbitMQ, real but small: one node on loopback in a temporary folder, gone when its owner is.

It plays Cisco's broker: `PrivateRabbitMQ.create_stream` makes a durable queue and a user who may read only that
queue and configure nothing.  Nothing of a RabbitMQ that runs on this machine already is used or disturbed; any
user may start one, root included.  It needs the RabbitMQ server (3.10 or later) installed, not running.

::

    with PrivateRabbitMQ(certificates=make_certificates(folder)) as broker:
        stream = broker.create_stream("event_stream_1")
        broker.publish(stream.queue, EventGenerator(seed=1).bodies(1000))
        ...                                 # consume from stream.tls_url as stream.username

Invariants: ports and data survive ``stop``, ``kill`` and ``start``.  After ``close``, the end of a ``with`` or
of the interpreter no process is left and the temporary folder is gone.

The methods are synchronous; from asyncio call them through ``asyncio.to_thread``.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import signal
import tempfile
import time
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from fluent_plugin_amp.testing.certificates import Certificates, KeyPair
from fluent_plugin_amp.testing.erlang import NodeError, erlang_binary
from fluent_plugin_amp.testing.ports import free_ports
from fluent_plugin_amp.testing.publisher import Message, publish
from fluent_plugin_amp.testing.rabbitmq_node import ADMIN, ADMIN_PASSWORD, HOST, make_node, node_configuration
from fluent_plugin_amp.testing.waiting import DEADLINE_S

if TYPE_CHECKING:
    from pika.adapters.blocking_connection import BlockingChannel
    from typing_extensions import Self

EXCHANGE = "events_api_stream"
"""The topic exchange of Cisco's event streams; `PrivateRabbitMQ.create_stream` binds each queue to it."""

_ORGANISATION_GUID = "7d1c4d0e-9e0c-4b1b-8f0c-6a3c1e2f5b90"
_ENVELOPE = {
    "CC": [
        f"{_ORGANISATION_GUID}.5d2f6c0e-2c77-4c1f-9b7a-0d8f7d6f9a11.553648147.b077d6bc-bbdf-42f7-8838-a06053fbd98a"
    ]
}
"""What no queue is named after, so that it routes nothing."""
_VHOST = erlang_binary("/")
# The monitor would look for epmd once a minute; this node has none, see erlang.py.
_WITHOUT_EPMD = "supervisor:terminate_child(rabbit_sup, rabbit_epmd_monitor_sup)"
# The broker keeps what was just configured in memory for up to a second; `kill` must not undo it.
_WRITE_OUT = "ok = mnesia:sync_log(), [ok = dets:sync(Table) || Table <- dets:all()]"
# Classic queues know their depth; of a quorum queue the usual figures are seconds old, so its log is asked.
_QUEUE_DEPTH = """
    case rabbit_amqqueue:lookup(rabbit_misc:r(VHOST, queue, NAME)) of
        {ok, Queue} ->
            case amqqueue:get_type(Queue) of
                rabbit_quorum_queue ->
                    Ask = fun(Query) ->
                        {ok, {_, Count}, _} = ra:local_query(amqqueue:get_pid(Queue), Query), Count
                    end,
                    {Ask(fun rabbit_fifo:query_messages_ready/1),
                     Ask(fun rabbit_fifo:query_messages_checked_out/1),
                     Ask(fun rabbit_fifo:query_consumer_count/1)};
                _ ->
                    [{_, Ready}, {_, Unacked}, {_, Consumers}] = rabbit_amqqueue:info(
                        Queue, [messages_ready, messages_unacknowledged, consumers]),
                    {Ready, Unacked, Consumers}
            end;
        {error, not_found} -> no_such_queue
    end
"""


class QueueDepth(NamedTuple):
    """How many messages and consumers a queue has at this moment."""

    ready: int
    unacked: int
    consumers: int


@dataclass(frozen=True, slots=True)
class StreamCredentials:
    """How to consume one event stream: what Cisco's API answers when a stream is created, and the URLs."""

    queue: str
    username: str
    password: str
    url: str
    """``amqp://127.0.0.1:<port>``: plain, no credentials in it."""
    tls_url: str
    """``amqps://localhost:<port>``; empty for a broker without certificates."""


class PrivateRabbitMQ:
    """A RabbitMQ node of our own; with ``certificates`` it listens on a TLS port too.

    ``server_certificate`` replaces ``certificates.server``, to show a faulty one.  ``demand_client_certificate``
    refuses TLS clients without a certificate of ``certificates.ca_file``.  With ``folder`` data and log are kept
    there, and stay there; without, in a temporary folder.

    Every method raises `NodeError` when the node does not run or does not do what is asked.
    """

    def __init__(
        self,
        *,
        certificates: Certificates | None = None,
        server_certificate: KeyPair | None = None,
        demand_client_certificate: bool = False,
        folder: Path | None = None,
    ) -> None:
        self.host = HOST
        self.port, self.tls_port, node_port = free_ports(3)
        self.url = f"amqp://{HOST}:{self.port}"
        self.tls_url = f"amqps://localhost:{self.tls_port}" if certificates else ""
        self.folder = (folder or Path(tempfile.mkdtemp(prefix="amp-rabbitmq-"))).absolute()
        self._remove_folder = weakref.finalize(self, shutil.rmtree, self.folder, ignore_errors=True)
        if folder is not None:
            self._remove_folder.detach()
        self._settings: dict[str, str] = {}
        configuration = node_configuration(
            self.port,
            tls_port=self.tls_port,
            certificates=certificates,
            server_certificate=server_certificate,
            demand_client_certificate=demand_client_certificate,
        )
        self._node = make_node(self.folder, node_port, configuration)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # --- the node --------------------------------------------------------------------------------

    @property
    def running(self) -> bool:
        """The node's process is there."""
        return self._node.running

    @property
    def pid(self) -> int:
        """The process id of the node."""
        return self._node.pid

    @property
    def log(self) -> str:
        """What the node logged so far."""
        return "".join(path.read_text(errors="replace") for path in sorted(self.folder.glob("log/*.log")))

    def start(self, timeout_s: float = 180.0) -> None:
        """Start the node, with the ports and the data it had; returns when it accepts connections (about 5 s)."""
        try:
            self._node.start(timeout_s)
        except NodeError as exc:
            raise NodeError(f"RabbitMQ did not start: {exc}\n{_tail(self.log)}") from exc
        self._apply_settings()

    def stop(self) -> None:
        """Stop in order: clients are told (320 CONNECTION_FORCED), data are written, the process ends."""
        self.evaluate("rabbit:stop()")
        self._node.stop()

    def restart(self) -> None:
        """Stop in order and start again, within the same process: what clients see of a restart, but faster."""
        self.evaluate("ok = rabbit:stop(), ok = rabbit:start()", timeout_s=180.0)
        self._apply_settings()

    def kill(self) -> None:
        """SIGKILL, as in a crash of the machine; ``start`` brings the node back with what it had on disk."""
        self._node.kill()

    def freeze(self) -> None:
        """SIGSTOP: connections stay open and nothing answers any more, until ``thaw``."""
        self._node.signal(signal.SIGSTOP)
        os.waitid(os.P_PID, self.pid, os.WSTOPPED)

    def thaw(self) -> None:
        """SIGCONT, after ``freeze``."""
        self._node.signal(signal.SIGCONT)

    def close(self) -> None:
        """End the node at once and remove its temporary folder; for good."""
        self._node.kill()
        self._remove_folder()

    def evaluate(self, expression: str, timeout_s: float = DEADLINE_S) -> str:
        """Evaluate an Erlang expression on the node: what no method here offers, ``rabbitmqctl eval`` but fast."""
        return self._node.evaluate(expression, timeout_s)

    def _apply_settings(self) -> None:
        assignments = [f"application:set_env(rabbit, {name}, {value})" for name, value in self._settings.items()]
        self.evaluate(", ".join([_WITHOUT_EPMD, *assignments, "ok"]))

    def set_consumer_timeout(self, timeout_s: float | None, *, check_every_s: float = 1.0) -> None:
        """Close channels (406) that leave a delivery unacked for longer; None never does.

        For channels opened from now on, also after a restart.  RabbitMQ checks on a tick of a minute; here it
        is ``check_every_s``.
        """
        timeout = "undefined" if timeout_s is None else str(round(timeout_s * 1000))
        self._settings["consumer_timeout"] = timeout
        self._settings["channel_tick_interval"] = str(round(check_every_s * 1000))
        self._apply_settings()

    # --- users and queues ------------------------------------------------------------------------

    def create_stream(
        self,
        queue: str = "event_stream_1",
        username: str | None = None,
        password: str | None = None,
        *,
        kind: Literal["classic", "quorum"] = "classic",
        delivery_limit: int | None = None,
        binding_keys: Sequence[str] = ("#",),
    ) -> StreamCredentials:
        """Declare a durable queue and the one user who may read it, as the cloud does for an event stream.

        User name and password default to the forms Cisco uses, derived from the name of the queue.  The queue
        is bound to `EXCHANGE` by ``binding_keys``: events of one type are ``*.*.<event_type_id>``.
        """
        digest = hashlib.sha1(queue.encode()).hexdigest()
        username = username or f"{queue.rpartition('_')[2]}-{digest[:20]}"
        password = password or hashlib.sha1(digest.encode()).hexdigest()
        self.declare_queue(queue, kind=kind, delivery_limit=delivery_limit, binding_keys=binding_keys)
        self.add_user(username, password, read=f"^{re.escape(queue)}$")
        self.evaluate(_WRITE_OUT)
        return StreamCredentials(queue, username, password, self.url, self.tls_url)

    def declare_queue(
        self,
        queue: str,
        *,
        kind: Literal["classic", "quorum"] = "classic",
        delivery_limit: int | None = None,
        binding_keys: Sequence[str] = ("#",),
    ) -> None:
        """The queue of `create_stream` alone: for one that was deleted while its user stayed."""
        arguments: dict[str, Any] = {"x-queue-type": kind}
        if delivery_limit is not None:
            arguments["x-delivery-limit"] = delivery_limit
        with self._admin_channel() as channel:
            channel.queue_declare(queue, durable=True, arguments=arguments)
            channel.exchange_declare(EXCHANGE, "topic", durable=True)
            for key in binding_keys:
                channel.queue_bind(queue, EXCHANGE, key)

    def add_user(
        self, name: str, password: str, *, configure: str = "^$", write: str = "^$", read: str = "^$"
    ) -> None:
        """Add a user; the permissions are regular expressions over names of queues and exchanges, none by default."""
        self.evaluate(
            f"ok = rabbit_auth_backend_internal:add_user("
            f"{erlang_binary(name)}, {erlang_binary(password)}, {_ACTOR}), "
            + _permissions(name, configure, write, read)
        )

    def set_permissions(self, name: str, *, configure: str = "^$", write: str = "^$", read: str = "^$") -> None:
        """Replace a user's permissions; as with any RabbitMQ a running consumer is not disturbed."""
        self.evaluate(_permissions(name, configure, write, read))

    def change_password(self, name: str, password: str) -> None:
        """Change a user's password; open connections are not disturbed."""
        self.evaluate(
            f"ok = rabbit_auth_backend_internal:change_password("
            f"{erlang_binary(name)}, {erlang_binary(password)}, {_ACTOR})"
        )

    def delete_user(self, name: str) -> None:
        """Delete a user; the broker closes the user's connections."""
        self.evaluate(f"ok = rabbit_auth_backend_internal:delete_user({erlang_binary(name)}, {_ACTOR})")

    def delete_queue(self, queue: str) -> None:
        """Delete a queue with its messages; its consumers are cancelled."""
        with self._admin_channel() as channel:
            channel.queue_delete(queue)

    def purge(self, queue: str) -> None:
        """Remove the messages that are ready; those unacked stay with their consumers."""
        with self._admin_channel() as channel:
            channel.queue_purge(queue)

    def queue_depth(self, queue: str) -> QueueDepth:
        """Messages ready, messages unacked and consumers, exact for classic and quorum queues."""
        answer = self.evaluate(_QUEUE_DEPTH.replace("VHOST", _VHOST).replace("NAME", erlang_binary(queue)))
        if answer == "no_such_queue":
            raise NodeError(f"no queue {queue!r}")
        return QueueDepth(*map(int, re.findall(r"\d+", answer)))

    def wait_for_depth(
        self, queue: str, condition: Callable[[QueueDepth], bool], timeout_s: float = DEADLINE_S
    ) -> QueueDepth:
        """Ask again and again until ``condition`` holds; raises TimeoutError, with the last depth, otherwise."""
        deadline = time.monotonic() + timeout_s
        while not condition(depth := self.queue_depth(queue)):
            if time.monotonic() > deadline:
                raise TimeoutError(f"{queue} still has {depth} after {timeout_s:g} s")
            time.sleep(0.02)
        return depth

    def close_all_connections(self, username: str | None = None) -> int:
        """Let the broker close every client's connection (320), or one user's; returns how many."""
        mine = "true"
        if username is not None:
            mine = f"(catch rabbit_networking:connection_info(Pid, [user])) =:= [{{user, {erlang_binary(username)}}}]"
        return int(
            self.evaluate(
                f"Pids = [Pid || Pid <- rabbit_networking:connections(), {mine}], "
                'Close = fun(Pid) -> catch rabbit_networking:close_connection(Pid, "closed for a test") end, '
                "length([Pid || Pid <- Pids, Close(Pid) =:= ok])"  # one may have gone meanwhile
            )
        )

    # --- messages --------------------------------------------------------------------------------

    def publish(self, queue: str, bodies: Iterable[bytes]) -> int:
        """Put ``bodies`` into ``queue``, persistent and in order; returns their number when all are confirmed.

        Each comes in an envelope as Cisco's, but for the exchange and the routing key.  Raises `PublishError` when
        the broker does not confirm one of them, or there is no such queue.
        """
        return self._publish(Message("", queue, body, _ENVELOPE) for body in bodies)

    def publish_with_headers(self, queue: str, body: bytes, headers: dict[str, Any] | bytes) -> None:
        """One message with any AMQP headers, see `publisher.Message`."""
        self._publish([Message("", queue, body, headers)])

    def publish_routed(self, bodies: Iterable[bytes]) -> int:
        """Publish events as the cloud does: to `EXCHANGE`, under a routing key made from each event.

        The key is ``<guid>.<connector_guid>.<event_type_id>``, the header ``CC`` the same plus ``.<group_guid>``.
        Every stream whose binding matches gets a copy; an event that no stream wants is a `PublishError`.
        """
        return self._publish(map(_routed, bodies))

    def _publish(self, messages: Iterable[Message]) -> int:
        return publish(HOST, self.port, ADMIN, ADMIN_PASSWORD, messages)

    @contextmanager
    def _admin_channel(self) -> Iterator[BlockingChannel]:
        from pika import BlockingConnection, ConnectionParameters, PlainCredentials

        parameters = ConnectionParameters(
            HOST, self.port, credentials=PlainCredentials(ADMIN, ADMIN_PASSWORD), stack_timeout=60
        )
        with BlockingConnection(parameters) as connection:
            yield connection.channel()


_ACTOR = erlang_binary(ADMIN)


def _permissions(name: str, configure: str, write: str, read: str) -> str:
    patterns = ", ".join(map(erlang_binary, (configure, write, read)))
    return f"ok = rabbit_auth_backend_internal:set_permissions({erlang_binary(name)}, {_VHOST}, {patterns}, {_ACTOR})"


def _routed(body: bytes) -> Message:
    try:
        event = json.loads(body)
    except (ValueError, RecursionError):
        event = None
    if not isinstance(event, dict):
        event = {}
    key = f"{_ORGANISATION_GUID}.{event.get('connector_guid')}.{event.get('event_type_id')}"
    groups = event.get("group_guids")
    copies = [f"{key}.{group}" for group in groups] if isinstance(groups, list) else []
    return Message(EXCHANGE, key, body, {"CC": copies})


def _tail(text: str, lines: int = 30) -> str:
    return "\n".join(text.splitlines()[-lines:])
