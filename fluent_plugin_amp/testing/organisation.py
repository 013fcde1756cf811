"""One organisation of the local Cisco cloud: its groups, event streams, recorded events, and what it owns.

Answers requests of the REST API as Cisco's cloud is documented and was seen to: singular keys in, plural keys
out, an omitted or empty list meaning all, the password only in the answer to a creation, five streams at most,
``next`` absent on the last page.  `cloud` brings the requests here; a `Broker`, where there is one, gets the
queues and users of the streams.
"""

from __future__ import annotations

import json
import secrets
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from fluent_plugin_amp.cisco.answers import MAX_EVENT_STREAMS
from fluent_plugin_amp.cisco.event_types import catalogue
from fluent_plugin_amp.testing.audit_log import AuditLog
from fluent_plugin_amp.testing.inventory import Inventory
from fluent_plugin_amp.testing.recorded import RecordedEvents
from fluent_plugin_amp.testing.responses import Responses
from fluent_plugin_amp.testing.rest import Request, Response, answer, page, refused

DEFAULT_GROUPS = {
    "b077d6bc-bbdf-42f7-8838-a06053fbd98a": "Audit",
    "5b1857e3-ba49-46cf-9bf1-0cad6b5ecd18": "Protect",
    "6c3c2005-4c74-4ba7-8dbb-c4d5b6bafe03": "Server",
    "d7cf8b98-e830-4ce1-a0e5-d943ed6bab17": "Triage",
}
"""GUID and name of the groups that every new organisation has."""


class Broker(Protocol):
    """What an organisation needs of a message broker; `PrivateRabbitMQ` has it."""

    def create_stream(self, queue: str, username: str, password: str, *, binding_keys: Sequence[str] = ...) -> object:
        """Make a durable queue, bound by ``binding_keys``, and a user who may read it and nothing else."""

    def delete_queue(self, queue: str) -> None:
        """Delete a queue with its messages."""

    def delete_user(self, name: str) -> None:
        """Delete a user and close the user's connections."""

    def publish(self, queue: str, bodies: Iterable[bytes]) -> object:
        """Put messages into a queue."""


@dataclass(slots=True)
class LocalStream:
    """An event stream, with the password that the API shows once."""

    id: int
    name: str
    event_types: tuple[int, ...]
    """Empty: all."""
    group_guids: tuple[str, ...]
    """Empty: all."""
    user_name: str
    password: str = field(repr=False)

    @property
    def queue_name(self) -> str:
        """The queue on the broker."""
        return f"event_stream_{self.id}"

    def wants(self, event: dict[str, Any]) -> bool:
        """Whether the stream carries this event."""
        guids = event.get("group_guids") or ()
        return (not self.event_types or event.get("event_type_id") in self.event_types) and (
            not self.group_guids or any(guid in self.group_guids for guid in guids)
        )


@dataclass(slots=True)
class RequestLimit:
    """So many requests in so many seconds, then 429 until they are over."""

    limit: int = 3000
    window_s: float = 3600.0
    used: int = 0
    began: float = field(default_factory=time.monotonic)

    def take(self) -> tuple[bool, dict[str, str]]:
        """Count one request: whether it may go on, and the headers of its answer, in the spelling seen."""
        now = time.monotonic()
        if now - self.began >= self.window_s:
            self.began, self.used = now, 0
        allowed = self.used < self.limit
        self.used += allowed
        reset_s = max(0.0, self.window_s - (now - self.began))
        return allowed, {
            "x-ratelimit-limit": str(self.limit),
            "x-ratelimit-remaining": str(self.limit - self.used),
            "x-ratelimit-reset": str(int(reset_s) + (reset_s % 1 > 0)),
        }


class Organisation:
    """One customer of the cloud, with one API key.

    Args:
        client_id: the API credential's first half.
        api_key: its second half.
        read_only: the key may not create, change or delete.
        broker: gets queue and user of each stream; None: streams exist over REST only.
        broker_address: host and port that new streams are told to connect to.
        new_id: gives each stream of the cloud an id of its own.
    """

    def __init__(
        self,
        client_id: str,
        api_key: str,
        *,
        read_only: bool = False,
        broker: Broker | None = None,
        broker_address: tuple[str, int],
        new_id: Callable[[], int],
    ) -> None:
        self.client_id = client_id
        self.api_key = api_key
        self.read_only = read_only
        self.event_types = [{"id": one.id, "name": one.name, "description": one.name} for one in catalogue()]
        self.groups = dict(DEFAULT_GROUPS)
        self.streams: dict[int, LocalStream] = {}
        self.requests = RequestLimit()
        self.inventory = Inventory(lambda: self.groups)
        """Its computers, policies and vulnerabilities."""
        self.responses = Responses(self.groups, lambda event: self.publish([json.dumps(event).encode()]))
        """Computers that can be isolated and moved, lists of files, and what was seen where."""
        self.events = RecordedEvents()
        """What ``GET /v1/events`` shows."""
        self.audit_log = AuditLog()
        """What ``GET /v1/audit_logs`` shows."""
        self.arriving: Iterator[list[bytes]] = iter(())
        """Events that happen, as `publish` takes them, before each answer to ``GET /v1/events``."""
        self.next_on_the_last_page = False
        """Every page has a ``next``, the last one, and the empty one behind it, too."""
        self._broker = broker
        self._broker_address = broker_address
        self._new_id = new_id
        self._lock = threading.RLock()

    # --- the API ---------------------------------------------------------------------------------

    def answer(self, request: Request) -> Response:
        """What the API answers."""
        with self._lock:
            allowed, headers = self.requests.take()
            response = self._route(request) if allowed else refused(429, "Too Many Requests", "Rate limit exceeded")
            response.headers.update(headers)
            return response

    def _route(self, request: Request) -> Response:
        if self.read_only and request.method not in ("GET", "OPTIONS"):
            return refused(403, "Forbidden", "This API credential is read-only")
        if (response := self.responses.answer(request)) is not None:
            return response
        match request.method, request.path.strip("/").split("/"):
            case "GET", ["v1", "version"]:
                return answer(200, {}, {"links": {"self": request.base_url + request.path}})
            case "GET", ["v1", "event_types"]:
                return answer(200, self.event_types, {"results": {"total": len(self.event_types)}})
            case "GET", ["v1", "groups"]:
                return self._page(request, [self.inventory.group(guid) for guid in self.groups])
            case "GET", ["v1", "computers" | "policies" | "vulnerabilities", *_]:
                return self.inventory.answer(request)
            case "GET", ["v1", "events"]:
                if bodies := next(self.arriving, None):
                    self.publish(bodies)
                return self._page(request, self.events.newest_first(request.query))
            case "GET", ["v1", "audit_logs"]:
                times = ((request.values(name) or [""])[0] for name in ("start_time", "end_time"))
                return self._page(request, self.audit_log.between(*times))
            case "GET", ["v1", "event_streams"]:
                return answer(200, [self._described(stream) for stream in self.streams.values()])
            case "POST", ["v1", "event_streams"]:
                return self._create(request)
            case method, ["v1", "event_streams", number] if method in ("GET", "PATCH", "DELETE"):
                stream = self.streams.get(int(number)) if number.isdecimal() else None
                return self._one(request, stream) if stream else refused(404, "Not Found", "Event stream not found")
        return refused(404, "Not Found", f"No route matches {request.path}")

    def _page(self, request: Request, found: Sequence[object]) -> Response:
        return page(request, found, next_always=self.next_on_the_last_page)

    def _create(self, request: Request) -> Response:
        try:
            name, types, guids = self._wanted(request.body)
        except ValueError as exc:
            return refused(400, "Bad Request", str(exc))
        if not name:
            return refused(400, "Bad Request", "name can't be blank")
        if len(self.streams) >= MAX_EVENT_STREAMS:
            return refused(400, "Bad Request", f"An organisation has at most {MAX_EVENT_STREAMS} event streams")
        id_ = self._new_id()
        stream = LocalStream(
            id_,
            name,
            tuple(types or ()),
            tuple(guids or ()),
            user_name=f"{id_}-{secrets.token_hex(10)}",
            password=secrets.token_hex(20),
        )
        if self._broker is not None:
            self._broker.create_stream(stream.queue_name, stream.user_name, stream.password, binding_keys=())
        self.streams[id_] = stream
        described = self._described(stream)
        described["amqp_credentials"]["password"] = stream.password
        return answer(201, described)

    def _one(self, request: Request, stream: LocalStream) -> Response:
        if request.method == "DELETE":
            self.delete(stream.id)
            return answer(200, {})
        if request.method == "PATCH":
            try:
                name, types, guids = self._wanted(request.body)
            except ValueError as exc:
                return refused(400, "Bad Request", str(exc))
            stream.name = stream.name if name is None else name
            stream.event_types = stream.event_types if types is None else tuple(types)
            stream.group_guids = stream.group_guids if guids is None else tuple(guids)
        return answer(200, self._described(stream))

    def _wanted(self, body: bytes) -> tuple[str | None, list[int] | None, list[str] | None]:
        """Name, types and groups of a creation or change; None for what it leaves out."""
        wanted = json.loads(body or b"{}")
        if not isinstance(wanted, dict) or not set(wanted) <= {"name", "event_type", "group_guid"}:
            raise ValueError("the keys are name, event_type and group_guid")
        types, guids = wanted.get("event_type"), wanted.get("group_guid")
        known = {one["id"] for one in self.event_types}
        for kind, given, possible in (("event_type", types, known), ("group_guid", guids, self.groups)):
            unknown = [value for value in given or () if value not in possible]
            if unknown:
                raise ValueError(f"{kind} {unknown[0]} does not exist")
        return wanted.get("name"), types, guids

    def _described(self, stream: LocalStream) -> dict[str, Any]:
        host, port = self._broker_address
        described: dict[str, Any] = {"id": stream.id, "name": stream.name}
        if stream.event_types:
            described["event_types"] = list(stream.event_types)
        if stream.group_guids:
            described["group_guids"] = list(stream.group_guids)
        described["amqp_credentials"] = {
            "user_name": stream.user_name,
            "queue_name": stream.queue_name,
            "host": host,
            "port": str(port),
            "proto": "https",
        }
        return described

    # --- behind the API --------------------------------------------------------------------------

    def delete(self, stream_id: int) -> None:
        """Delete a stream as the console does, with queue and user."""
        with self._lock:
            stream = self.streams.pop(stream_id)
            if self._broker is not None:
                self._broker.delete_queue(stream.queue_name)
                self._broker.delete_user(stream.user_name)

    def publish(self, bodies: Iterable[bytes]) -> int:
        """Let events happen: kept for ``GET /v1/events``, and put into the queue of each stream that wants them.

        Returns how many copies went to queues.  A body that is no JSON object goes to streams of everything only.
        """
        copies = 0
        with self._lock:
            queues: dict[str, list[bytes]] = {stream.queue_name: [] for stream in self.streams.values()}
            for body in bodies:
                event = _decoded(body)
                if event:
                    self.events.add(event)
                for stream in self.streams.values():
                    if stream.wants(event):
                        queues[stream.queue_name].append(body)
                        copies += 1
            if self._broker is not None:
                for queue, wanted in queues.items():
                    if wanted:
                        self._broker.publish(queue, wanted)
        return copies


def _decoded(body: bytes) -> dict[str, Any]:
    try:
        event = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return event if isinstance(event, dict) else {}
