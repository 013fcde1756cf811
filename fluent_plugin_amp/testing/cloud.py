"""A local Cisco cloud: the REST API over HTTP or HTTPS on loopback, in threads of this process.

::

    with PrivateRabbitMQ(certificates=certificates) as broker, LocalCloud(broker=broker, certificates=…) as cloud:
        key = cloud.add_organisation()
        ...                                 # amp-streams create …, with AMP_API_HOST=cloud.url
        cloud.publish([b'{"id": 1, …}'])    # into the queues of the streams that want it, and GET /v1/events

Without a broker the streams exist over REST only.  `LocalCloud.fail` scripts what goes wrong: any status and
body, a slow answer, one that is lost after the work was done, a connection that is cut before.  `hostile_answers` has
what no cloud should answer.

Invariants: listens on loopback only; after ``close`` no thread waits on a connection.
"""

from __future__ import annotations

import base64
import contextlib
import gzip
import io
import itertools
import secrets
import socket
import ssl
import threading
from collections.abc import Iterable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

from fluent_plugin_amp.testing.organisation import Broker, Organisation
from fluent_plugin_amp.testing.rest import Request, Response, refused

if TYPE_CHECKING:
    from typing_extensions import Self

HOST = "127.0.0.1"


@dataclass(slots=True)
class Failure:
    """Something that goes wrong with the next ``times`` requests of this method and path.

    Args:
        method: GET, POST, …; None: any.
        path: beginning of the path, as ``/v1/groups``; None: any.
        client_id: only requests of this client; None: of any.
        times: how often it happens.
        status: answer with this status instead of the API's.
        body: and this body.
        headers: and these headers.
        delay_s: wait before doing anything.
        works: whether the API does what is asked, for a failure that only hides its answer.
        silent: close the connection without an answer.
        drip_s: send the answer byte by byte, headers included, with such a pause before each.
    """

    method: str | None = None
    path: str | None = None
    times: int = 1
    client_id: str | None = None
    status: int | None = None
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    delay_s: float = 0.0
    works: bool = False
    silent: bool = False
    drip_s: float = 0.0


def error_body(status: int, description: str, detail: str) -> bytes:
    """The body of an error in Cisco's usual shape."""
    return refused(status, description, detail).body or b""


def too_many_requests(reset_s: int, *, documented_spelling: bool = True, times: int = 1) -> Failure:
    """A 429 whose limit starts anew in ``reset_s`` seconds, in the documented spelling or the one seen."""
    names = ("X-Rate-Limit-Limit", "X-Rate-Limit-Remaining", "X-Rate-Limit-Reset")
    if not documented_spelling:
        names = ("x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset")
    return Failure(
        times=times,
        status=429,
        body=error_body(429, "Too Many Requests", "Rate limit exceeded"),
        headers=dict(zip(names, ("3000", "0", str(reset_s)), strict=True)),
    )


def web_page(status: int = 200, title: str = "Please log in", *, times: int = 1) -> Failure:
    """HTML where JSON should be, as a proxy or a portal answers."""
    body = f"<!DOCTYPE html><html><head><title>{title}</title></head><body>…</body></html>".encode()
    return Failure(times=times, status=status, body=body, headers={"content-type": "text/html"})


def lost_answer(*, times: int = 1) -> Failure:
    """A stream is created, and the connection is cut before the answer with its password."""
    return Failure("POST", "/v1/event_streams", times, works=True, silent=True)


class LocalCloud:
    """The cloud; it starts with ``start`` or ``with``, and has no organisation before `add_organisation`.

    Args:
        broker: gets queues, users and events of the streams.
        broker_address: host and port that new streams are told; by default the broker's TLS port on localhost.
        tls: serve HTTPS with this context (`certificates.server_context`).
        first_stream_id: the id of the first stream, and the number in the name of its queue.
    """

    def __init__(
        self,
        *,
        broker: Broker | None = None,
        broker_address: tuple[str, int] | None = None,
        tls: ssl.SSLContext | None = None,
        first_stream_id: int = 1,
    ) -> None:
        self.requests: list[tuple[str, str]] = []
        """Method and path of every request, in the order of arrival."""
        self._broker = broker
        self._broker_address = broker_address or ("localhost", getattr(broker, "tls_port", 443))
        self._organisations: dict[str, Organisation] = {}
        self._failures: list[Failure] = []
        self._ids = itertools.count(first_stream_id)
        self._lock = threading.Lock()
        self._server = _Server(self, tls)
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, name="local-cloud", daemon=True
        )
        scheme = "http" if tls is None else "https"
        self.url = f"{scheme}://{HOST}:{self._server.server_address[1]}"
        """What to give as AMP_API_HOST."""

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def start(self) -> None:
        """Answer from now on."""
        self._thread.start()

    def close(self) -> None:
        """Stop answering and cut what is open; for good."""
        if self._thread.is_alive():
            self._server.end()
            self._thread.join()
        self._server.server_close()

    def add_organisation(
        self, client_id: str | None = None, api_key: str | None = None, *, read_only: bool = False
    ) -> Organisation:
        """A new customer, with an API key in the form of Cisco's unless given."""
        organisation = Organisation(
            client_id or secrets.token_hex(10),
            api_key or secrets.token_hex(16),
            read_only=read_only,
            broker=self._broker,
            broker_address=self._broker_address,
            new_id=lambda: next(self._ids),
        )
        self._organisations[organisation.client_id] = organisation
        return organisation

    def organisations(self) -> list[Organisation]:
        """Every customer there is."""
        return list(self._organisations.values())

    def publish(self, bodies: Iterable[bytes]) -> int:
        """Let events happen in every organisation; returns how many copies went to queues."""
        bodies = list(bodies)
        return sum(organisation.publish(bodies) for organisation in self.organisations())

    def fail(self, failure: Failure) -> Failure:
        """Let it happen, after what was scripted before; ``times`` of the returned object counts down."""
        with self._lock:
            self._failures.append(failure)
        return failure

    # --- called by the server's threads ----------------------------------------------------------

    def next_failure(self, method: str, path: str, authorization: str) -> Failure | None:
        """The scripted failure of a request that just arrived."""
        client_id, _ = _credentials(authorization)
        with self._lock:
            self.requests.append((method, path))
            for failure in self._failures:
                if (
                    failure.times > 0
                    and failure.method in (None, method)
                    and path.startswith(failure.path or "")
                    and failure.client_id in (None, client_id)
                ):
                    failure.times -= 1
                    return failure
        return None

    def answer(self, request: Request, authorization: str) -> Response:
        """What the API answers to a request with this ``Authorization`` header."""
        client_id, api_key = _credentials(authorization)
        organisation = self._organisations.get(client_id)
        if organisation is None or organisation.api_key != api_key:
            return refused(401, "Unauthorized", "Unknown API key or Client ID")
        return organisation.answer(request)


def _credentials(authorization: str) -> tuple[str, str]:
    """Client id and API key of a header; empty when it is no Basic authentication."""
    scheme, _, token = authorization.partition(" ")
    try:
        client_id, _, api_key = base64.b64decode(token).decode().partition(":")
    except ValueError:
        return "", ""
    return (client_id, api_key) if scheme == "Basic" else ("", "")


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, cloud: LocalCloud, tls: ssl.SSLContext | None) -> None:
        super().__init__((HOST, 0), _Handler)
        self.cloud = cloud
        self.ending = threading.Event()
        self._open: set[socket.socket] = set()
        if tls is not None:
            # Each handshake happens in its connection's thread, so that a client without TLS blocks nobody.
            self.socket = tls.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)

    def process_request(self, request: Any, client_address: Any) -> None:
        self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A connection that breaks is the client's business: nothing is printed."""

    def end(self) -> None:
        self.ending.set()
        self.shutdown()
        for connection in list(self._open):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1  # one write for headers and body

    def _serve(self) -> None:
        url = urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        cloud = self.server.cloud
        authorization = self.headers.get("authorization", "")
        failure = cloud.next_failure(self.command, url.path, authorization)
        if failure is not None and failure.delay_s and self.server.ending.wait(failure.delay_s):
            self.close_connection = True
            return
        scheme = "https" if isinstance(self.connection, ssl.SSLSocket) else "http"
        request = Request(
            self.command,
            url.path,
            base_url=f"{scheme}://{self.headers.get('host', HOST)}",
            query=tuple(parse_qsl(url.query, keep_blank_values=True)),
            body=body,
        )
        response = None
        if failure is None or failure.works or (failure.status is None and not failure.silent):
            response = cloud.answer(request, authorization)
        if failure is not None and failure.status is not None:
            response = Response(failure.status, failure.body, dict(failure.headers))
        if response is None or (failure is not None and failure.silent):
            self.close_connection = True
            return
        if failure is not None and failure.drip_s:
            self._drip(response, failure.drip_s)
        else:
            self._send(response)

    do_GET = do_POST = do_PATCH = do_DELETE = do_PUT = do_OPTIONS = _serve

    def _send(self, response: Response) -> None:
        body = response.body or b""
        headers = {"content-type": "application/json", **response.headers}
        if (
            len(body) > 512
            and "content-encoding" not in headers
            and "gzip" in self.headers.get("accept-encoding", "")
        ):
            body = gzip.compress(body, compresslevel=1, mtime=0)
            headers["content-encoding"] = "gzip"
        self.send_response(response.status)
        for name, value in headers.items():
            self.send_header(name, value)
        if response.status != 204:
            self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _drip(self, response: Response, pause_s: float) -> None:
        there, self.wfile = self.wfile, io.BytesIO()
        self._send(response)
        answer, self.wfile = self.wfile.getvalue(), there
        for byte in answer:
            if self.server.ending.wait(pause_s):
                self.close_connection = True
                return
            self.wfile.write(bytes([byte]))
            self.wfile.flush()

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: tests read `LocalCloud.requests`."""
