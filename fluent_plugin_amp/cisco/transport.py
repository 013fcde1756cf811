"""HTTP to the Cisco cloud, one exchange at a time: the only importer of httpx.

Turns httpx's exceptions into the plugin's own, and says of each whether it may pass, and whether the request
can have reached the cloud; what to repeat is decided in `api`.
"""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any

import certifi
import httpx
import msgspec

from fluent_plugin_amp import __version__
from fluent_plugin_amp.errors import (
    CloudAnswerNotUnderstood,
    CloudCertificateRefused,
    CloudProxyRefused,
    CloudUnreachable,
    PluginError,
)
from fluent_plugin_amp.files import read_bytes

MAX_ANSWER_BYTES = 64 << 20
"""An answer larger than this, unpacked, is refused: no page of 500 events comes near it."""


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
        proxy: URL of a proxy; None: HTTPS_PROXY, ALL_PROXY and NO_PROXY of the environment.
        timeout_s: how long a connection, or the next piece of an answer, may take.
        connections: how many connections are open at most.

    Raises ValueError when ``ca_file`` or the proxy cannot be used.
    """
    context = tls_context(ca_file)
    try:
        client = httpx.AsyncClient(
            verify=context,
            proxy=proxy,
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
    except ImportError as exc:
        raise ValueError("a SOCKS proxy needs one more package: pip install 'httpx[socks]'") from exc
    except (ValueError, httpx.InvalidURL):
        # without its cause: httpx quotes the proxy's URL, which may hold a password
        raise ValueError("the proxy (--proxy, HTTPS_PROXY, ALL_PROXY) is no http:// or https:// URL") from None
    async with client:
        yield client


def tls_context(ca_file: str | None) -> ssl.SSLContext:
    """A context that verifies, against one CA or those of the system.  Raises ValueError for a bad file."""
    try:
        if ca_file is not None:
            read_bytes(ca_file)  # OpenSSL would wait for the end of a pipe
        context = ssl.create_default_context(cafile=ca_file)
    except OSError as exc:  # ssl.SSLError is one
        raise ValueError(f"{ca_file}: no file of PEM certificates ({exc.strerror or exc})") from exc
    paths = ssl.get_default_verify_paths()
    if ca_file is None and paths.cafile is None and paths.capath is None:
        context.load_verify_locations(certifi.where())  # a system without CAs of its own
    return context


async def exchange(
    client: httpx.AsyncClient,
    method: str,
    url: str,
    *,
    user: str,
    password: str,
    query: Sequence[tuple[str, str]] = (),
    body: Mapping[str, Any] | None = None,
) -> HttpAnswer:
    """Send one request with Basic authentication and receive its answer, whatever the status.

    ``body`` is sent as JSON.  Redirects are answers too.  Raises ExchangeFailed.
    """
    content = None if body is None else msgspec.json.encode(body)
    try:
        async with client.stream(
            method,
            url,
            params=list(query) or None,
            content=content,
            headers=None if content is None else {"content-type": "application/json"},
            auth=httpx.BasicAuth(user, password),
        ) as response:
            received = bytearray()
            async for part in response.aiter_bytes():
                received += part
                if len(received) > MAX_ANSWER_BYTES:
                    error = CloudAnswerNotUnderstood(f"{method} {url}: the answer is too large")
                    raise ExchangeFailed(error, passing=False, in_doubt=True)
            return HttpAnswer(response.status_code, response.headers.multi_items(), bytes(received))
    except httpx.RequestError as exc:
        raise _failure(exc, url) from exc


def _failure(exc: httpx.RequestError, url: str) -> ExchangeFailed:
    """What a failed exchange means."""
    host = httpx.URL(url).netloc.decode("ascii")
    tls = next((cause for cause in _causes(exc) if isinstance(cause, ssl.SSLError)), None)
    if isinstance(tls, ssl.SSLCertVerificationError):
        error: PluginError = CloudCertificateRefused(f"{host}: {tls.verify_message or 'untrusted certificate'}")
        return ExchangeFailed(error, passing=False, in_doubt=False)
    if isinstance(exc, httpx.ProxyError):
        # "407 Proxy Authentication Required": what the proxy answered to CONNECT
        if str(exc)[:1] == "4":
            return ExchangeFailed(CloudProxyRefused(f"the proxy answered {exc}"), passing=False, in_doubt=False)
        return ExchangeFailed(CloudUnreachable(f"the proxy answered {exc}"), passing=True, in_doubt=False)
    if isinstance(exc, httpx.DecodingError):
        error = CloudAnswerNotUnderstood(f"{host}: the answer cannot be unpacked")
        return ExchangeFailed(error, passing=False, in_doubt=True)
    if isinstance(exc, (httpx.ConnectError, httpx.ConnectTimeout)):
        if tls is not None:
            error = CloudUnreachable(f"{host} does not speak TLS ({tls.reason or 'handshake failed'})")
            return ExchangeFailed(error, passing=False, in_doubt=False)
        error = CloudUnreachable(f"no connection to {host}: {_reason(exc)}")
        return ExchangeFailed(error, passing=True, in_doubt=False)
    error = CloudUnreachable(f"no answer from {host}: {_reason(exc)}")
    return ExchangeFailed(error, passing=True, in_doubt=True, late=isinstance(exc, httpx.TimeoutException))


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
    for cause in _causes(exc):
        if isinstance(cause, socket.gaierror):
            return cause.strerror or "unknown host"
        if isinstance(cause, OSError) and cause.errno:
            return os.strerror(cause.errno)
    return str(exc) or "the connection was closed"
