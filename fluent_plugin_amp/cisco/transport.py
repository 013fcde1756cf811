"""HTTP to the Cisco cloud, one exchange at a time: the only importer of httpx.

Turns httpx's exceptions into the plugin's own, and says of each whether it may pass, and whether the request
can have reached the cloud; what to repeat is decided in `api`.

Whatever answers is bounded: its headers (by httpx, 100 KiB), its body (`unpacking`), and the time until it is there
as a whole (`DEADLINE_TIMEOUTS`).  While the way to the cloud leads through a proxy and is not open yet, the proxy is
named as the one in trouble (`_Way`).
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from http.cookiejar import CookieJar, DefaultCookiePolicy
from time import monotonic
from typing import Any

import httpx
import msgspec
import socksio

from fluent_plugin_amp import __version__
from fluent_plugin_amp.cisco.errors import (
    CloudAnswerNotUnderstood,
    CloudCertificateRefused,
    CloudProxyFailed,
    CloudProxyRefused,
    CloudUnreachable,
)
from fluent_plugin_amp.cisco.unpacking import NotUnpacked, Unpacking
from fluent_plugin_amp.descriptors import is_exhausted
from fluent_plugin_amp.errors import PluginError, TooManyFiles
from fluent_plugin_amp.files import read_bytes
from fluent_plugin_amp.proxy import status_line
from fluent_plugin_amp.tls import clock_remedy, http_context, trusting
from fluent_plugin_amp.turns import Turns

MAX_ANSWER_BYTES = 64 << 20
"""An answer larger than this, packed or unpacked, is refused: no page of 500 events comes near it."""
AT_ONCE = 4 << 10
"""Bytes of an answer that are unpacked in one step; unpacked it is some 60 KB of JSON."""
DEADLINE_TIMEOUTS = 10
"""So many timeouts a whole answer may take: each byte of it may come in time, and the last one never."""


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """An answer as it arrived, unpacked."""

    status: int
    headers: Sequence[tuple[str, str]]
    body: bytes


class ExchangeFailed(Exception):
    """A request without an answer, or without the answer hoped for."""

    def __init__(self, error: PluginError, *, passing: bool, in_doubt: bool, late: bool = False) -> None:
        super().__init__(str(error))
        self.error = error
        """What to report if it does not pass."""
        self.passing = passing
        """It may be over at the next try."""
        self.in_doubt = in_doubt
        """The cloud may have done what was asked all the same."""
        self.late = late
        """The cloud may still be doing it."""


@contextlib.asynccontextmanager
async def http_client(
    *,
    ca_file: str | None = None,
    proxy: str | None = None,
    timeout_s: float = 30.0,
    connections: int = 8,
) -> AsyncIterator[httpx.AsyncClient]:
    """The HTTP client that several `CiscoApi` may share.

    Args:
        ca_file: PEM file of the only CA to trust; None: SSL_CERT_FILE, SSL_CERT_DIR, or the system's CAs.
        proxy: URL of a proxy; empty: none; None: HTTPS_PROXY, ALL_PROXY and NO_PROXY of the environment.
        timeout_s: how long a connection, or the next piece of an answer, may take.
        connections: how many connections are open at most.

    Raises ValueError when ``ca_file`` or the proxy cannot be used.
    """
    context = tls_context(ca_file, http_context)
    try:
        client = httpx.AsyncClient(
            verify=context,
            proxy=proxy or None,
            trust_env=proxy is None,
            timeout=httpx.Timeout(timeout_s, pool=None),
            limits=httpx.Limits(max_connections=connections, max_keepalive_connections=connections),
            # One organisation's session must not leak into another's requests.
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
            headers={
                "accept": "application/json",
                "accept-encoding": "gzip",
                "user-agent": f"fluent-plugin-amp/{__version__}",
            },
        )
    except (ValueError, httpx.InvalidURL):
        # without its cause: httpx quotes the proxy's URL, which may hold a password
        schemes = "an http://, https:// or socks5:// URL"
        raise ValueError(f"the proxy (--proxy, HTTPS_PROXY, ALL_PROXY) is not {schemes}") from None
    async with client:
        yield client


def tls_context(ca_file: str | None, make: Callable[[str | None], ssl.SSLContext] = trusting) -> ssl.SSLContext:
    """A context that verifies, against one CA or those of the system.  Raises ValueError for a bad file."""
    try:
        if ca_file is not None:
            read_bytes(ca_file)  # OpenSSL would wait for the end of a pipe
        return make(ca_file)
    except OSError as exc:  # ssl.SSLError is one
        raise ValueError(f"{ca_file}: not a file of PEM certificates ({exc.strerror or exc})") from exc


async def exchange(
    client: httpx.AsyncClient,
    method: str,
    url: str,
    *,
    user: str,
    password: str,
    query: Sequence[tuple[str, str]] = (),
    body: Mapping[str, Any] | None = None,
    connect_s: float | None = None,
    check: Callable[[], None] | None = None,
) -> HttpAnswer:
    """Send one request with Basic authentication and receive its answer, whatever the status.

    ``body`` is sent as JSON.  Redirects are answers too.  Raises ExchangeFailed.

    Args:
        connect_s: so long a connection and its TLS may take at most, each; by default as long as an answer may.
            Twice that is the most for all of the way, with what proxies do: later nothing is sent.
        check: called when the way is open; what it raises is raised, and nothing is sent.
    """
    content = None if body is None else msgspec.json.encode(body)
    times = client.timeout
    if connect_s is not None:
        connect_s = min(connect_s, times.connect or connect_s)
        times = httpx.Timeout(connect=connect_s, read=times.read, write=times.write, pool=times.pool)
    way = _Way(url, math.inf if connect_s is None else monotonic() + 2 * connect_s, check)
    deadline_s = DEADLINE_TIMEOUTS * client.timeout.read if client.timeout.read else None

    async def send() -> HttpAnswer:
        turns = Turns()
        async with client.stream(
            method,
            url,
            params=list(query) or None,
            content=content,
            headers=None if content is None else {"content-type": "application/json"},
            auth=httpx.BasicAuth(user, password),
            follow_redirects=False,
            timeout=times,
            extensions={"trace": way.note},
        ) as response:
            try:
                codings = response.headers.get_list("content-encoding")
                unpacking = Unpacking(codings, max_bytes=MAX_ANSWER_BYTES)
                async for part in response.aiter_raw():
                    for at in range(0, len(part), AT_ONCE):
                        unpacking.take(part[at : at + AT_ONCE])
                        await turns.rest()
                return HttpAnswer(response.status_code, response.headers.multi_items(), unpacking.end())
            except NotUnpacked as exc:
                error = CloudAnswerNotUnderstood(f"{method} {url}: the answer {exc}")
                raise ExchangeFailed(error, passing=False, in_doubt=True) from None

    # Not `wait_for`: before Python 3.12 it can swallow a cancellation that comes together with the answer.
    sending = asyncio.ensure_future(send())
    try:
        done, _ = await asyncio.wait({sending}, timeout=deadline_s)
        if not done:
            late = CloudUnreachable(f"{method} {url}: the answer is not there as a whole after {deadline_s:g} s")
            raise ExchangeFailed(late, passing=False, in_doubt=True, late=True)
        return sending.result()
    except httpx.RemoteProtocolError as exc:
        raise _failure(exc, way) from None  # it quotes what it was sent
    except httpx.RequestError as exc:
        raise _failure(exc, way) from exc
    except socksio.ProtocolError as exc:
        raise _refused_by_proxy("it does not answer in SOCKS 5", way.proxy) from exc
    except httpx.InvalidURL as exc:
        raise ExchangeFailed(CloudAnswerNotUnderstood(f"{way.host}: {exc}"), passing=False, in_doubt=False) from exc
    finally:
        await _give_up(sending)


async def _give_up(sending: asyncio.Future[HttpAnswer]) -> None:
    """Close the connection of what is still under way."""
    if not sending.done():
        sending.cancel()
        await asyncio.wait({sending})


class _Way:
    """How a request gets to the cloud, as httpx tells it (its ``trace`` extension): directly, or through a proxy.

    Of a connection that is used again nothing is told: then the way was open before.
    """

    def __init__(self, url: str, until_s: float = math.inf, check: Callable[[], None] | None = None) -> None:
        self._until_s, self._check = until_s, check
        parsed = httpx.URL(url)
        self.host = parsed.netloc.decode("ascii")
        self.proxy = ""
        """``host:port`` of a proxy that has not let the request through yet; empty: there is none, or it has."""
        self._target = parsed.raw_host.decode("ascii"), parsed.port or {"https": 443, "http": 80}[parsed.scheme]
        self._is_tunnelled = parsed.scheme == "https"

    async def note(self, event: str, info: Mapping[str, Any]) -> None:
        """Something that httpx does.  Raises ConnectTimeout where the way is open too late: nothing is sent then."""
        is_sent = event.endswith("send_request_headers.started") and info["request"].method != b"CONNECT"
        if is_sent and monotonic() > self._until_s:
            raise httpx.ConnectTimeout("the way took too long")
        if is_sent and self._check is not None:
            self._check()
        if event.endswith("connect_tcp.started"):
            host, port = info["host"], info["port"]
            self.proxy = "" if (host, port) == self._target else f"{host}:{port}"
        elif event in _LET_THROUGH or (event == "connection.connect_tcp.complete" and not self._is_tunnelled):
            self.proxy = ""


_LET_THROUGH = ("proxy.start_tls.started", "socks.setup_socks5_connection.complete")
"""A proxy has answered that the way is open: CONNECT with 200, SOCKS with success."""


def _failure(exc: httpx.RequestError, way: _Way) -> ExchangeFailed:
    """What a failed exchange means."""
    host = way.host
    tls = next((cause for cause in _causes(exc) if isinstance(cause, ssl.SSLError)), None)
    if isinstance(exc, httpx.ProxyError):
        return _refused_by_proxy(str(exc), way.proxy)
    if isinstance(tls, ssl.SSLCertVerificationError):
        whose = f"the proxy {way.proxy}" if way.proxy else host
        what = f"{whose}: {tls.verify_message or 'untrusted certificate'}"
        error: PluginError = CloudCertificateRefused(what, remedy=clock_remedy(tls))
        return ExchangeFailed(error, passing=False, in_doubt=False)
    if any(map(is_exhausted, _causes(exc))):  # nobody's fault but ours, proxy or not
        error = TooManyFiles(f"no connection to {host}: {_reason(exc)}")
        return ExchangeFailed(error, passing=True, in_doubt=False)
    if way.proxy:
        error = CloudProxyFailed(f"no way to {host} through the proxy {way.proxy}: {_reason(exc)}")
        return ExchangeFailed(error, passing=True, in_doubt=False)
    if isinstance(exc, (httpx.ConnectError, httpx.ConnectTimeout)):
        if tls is not None and not isinstance(exc, httpx.ConnectTimeout):  # it may be slow
            error = CloudUnreachable(f"{host} does not speak TLS ({tls.reason or 'handshake failed'})")
            return ExchangeFailed(error, passing=False, in_doubt=False)
        error = CloudUnreachable(f"no connection to {host}: {_reason(exc)}")
        return ExchangeFailed(error, passing=True, in_doubt=False)
    error = CloudUnreachable(f"no answer from {host}: {_reason(exc)}")
    return ExchangeFailed(error, passing=True, in_doubt=True, late=isinstance(exc, httpx.TimeoutException))


def _refused_by_proxy(said: str, proxy: str) -> ExchangeFailed:
    """What a proxy's answer to CONNECT means: ``407 Proxy Authentication Required``."""
    if said[:3].isdecimal():
        status = int(said[:3])
        what, refused = f"the proxy {proxy} answered {status_line(status)}", 400 <= status < 500
    else:  # SOCKS, in httpx's own words
        what, refused = f"the proxy {proxy}: {said}", "password" in said
    if refused:
        return ExchangeFailed(CloudProxyRefused(what), passing=False, in_doubt=False)
    return ExchangeFailed(CloudProxyFailed(what), passing=True, in_doubt=False)


def _causes(exc: BaseException) -> list[BaseException]:
    """The exception, what it came from, and the members of groups on the way (one for each address tried)."""
    found: list[BaseException] = []
    todo: list[BaseException | None] = [exc]
    while todo:
        cause = todo.pop(0)
        if cause is not None and cause not in found:
            found.append(cause)
            todo += [cause.__cause__ or cause.__context__, *getattr(cause, "exceptions", ())]
    return found


def _reason(exc: httpx.RequestError) -> str:
    """In words: the system's, where there are any."""
    if isinstance(exc, httpx.TimeoutException):
        return "timed out"
    if isinstance(exc, httpx.RemoteProtocolError):
        return str(exc).partition(": ")[0]  # what is quoted behind it may be a password that it was sent
    for cause in _causes(exc):
        if isinstance(cause, socket.gaierror):
            return cause.strerror or "unknown host"
        if isinstance(cause, OSError) and cause.errno:
            return os.strerror(cause.errno)
    return str(exc) or "the connection was closed"
