"""TLS contexts for the client's side: towards the brokers, the Forward servers and Cisco's REST API alike.

The shell around ``ssl``.  Certificates and host names are verified unless the configuration says otherwise, and
nothing older than TLS 1.2 is spoken.  Where no CA is given, the system's are trusted, a company's own among them;
`trusting` says where they are.

Where a certificate is refused for the sake of the time, the refusal says its time and this machine's: one of them is
wrong, and often it is the clock.

Connections of the same settings share a context, for as long as one of them holds it.  The CAs of a system take a
megabyte and tens of milliseconds each time that they are read, and a process may have hundreds of streams.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import ssl
import time
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn
from weakref import WeakValueDictionary

import certifi

from fluent_plugin_amp.errors import TlsFilesUnusable
from fluent_plugin_amp.files import read_bytes

if TYPE_CHECKING:
    from fluent_plugin_amp.config import TlsConfig


_shared: WeakValueDictionary[tuple[object, ...], ssl.SSLContext] = WeakValueDictionary()
"""By the settings, and by what is in the files: a file that was renewed makes a new context."""


def client_context(tls: TlsConfig) -> ssl.SSLContext:
    """A context for connections that this side opens, shared with those of the same settings: nobody may change it.

    The name to verify is given with each connection: ``tls.server_name or host``.

    Raises:
        TlsFilesUnusable: names the file that is not there, or not what it should be.
    """
    contents = [_digest(key, getattr(tls, key)) for key in ("ca_file", "cert_file", "key_file")]
    try:
        key = (tls, *contents, None if tls.ca_file else _system_cas())
    except OSError as error:
        raise TlsFilesUnusable(f"the system's CAs: {error.strerror}") from error
    context = _shared.get(key)
    if context is None:
        _shared[key] = context = _new_context(tls)
    return context


def _new_context(tls: TlsConfig) -> ssl.SSLContext:
    try:
        context = trusting(tls.ca_file)
    except OSError as error:  # ssl.SSLError is one
        which_cas = f"ca_file {tls.ca_file}" if tls.ca_file else "the system's CAs"
        raise TlsFilesUnusable(f"{which_cas}: {_reason(error)}") from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if not tls.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if tls.cert_file is not None:
        key_file = tls.key_file or tls.cert_file

        def refuse_to_ask() -> NoReturn:  # without it OpenSSL would ask at the terminal and hang a service
            raise TlsFilesUnusable(f"key_file {key_file}: the key is encrypted")

        try:
            context.load_cert_chain(tls.cert_file, tls.key_file, password=refuse_to_ask)
        except OSError as error:
            which = "" if tls.key_file is None else f" and key_file {tls.key_file}"
            raise TlsFilesUnusable(f"cert_file {tls.cert_file}{which}: {_reason(error)}") from error
    return context


def trusting(ca_file: Path | str | None) -> ssl.SSLContext:
    """A context that verifies against the CAs in one file.

    None: against those in SSL_CERT_FILE and SSL_CERT_DIR; where neither is set, against the system's, or certifi's on
    a system that has none, such as a small container image.

    Raises OSError, of which ssl.SSLError is one, for a file that cannot be used.
    """
    context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=ca_file)
    if ca_file is None and not _names_cas():
        context.load_verify_locations(certifi.where())
    context.sslobject_class = _Dated
    return context


def http_context(ca_file: str | None) -> ssl.SSLContext:
    """`trusting`, shared in the same way by clients of HTTP: they set in it what they speak, so it is only for them.

    Raises OSError.
    """
    key = ("http", ca_file, _system_cas() if ca_file is None else hashlib.sha256(read_bytes(ca_file)).digest())
    context = _shared.get(key)
    if context is None:
        _shared[key] = context = trusting(ca_file)
    return context


def clock_remedy(error: ssl.SSLCertVerificationError) -> str | None:
    """What to do where a certificate was refused for the sake of the time; None: for another reason."""
    return _CLOCK_REMEDY if error.verify_code in _BOUNDS else None


_BOUNDS = {9: ("notBefore", "valid from"), 10: ("notAfter", "valid until")}
"""Of a certificate, by what OpenSSL calls X509_V_ERR_CERT_NOT_YET_VALID and X509_V_ERR_CERT_HAS_EXPIRED."""

_CLOCK_REMEDY = "Check this machine's clock (`timedatectl`); if it is right, the peer needs another certificate."


class _Dated(ssl.SSLObject):
    """TLS of one connection; its refusals for the sake of the time say both times in ``verify_message``."""

    def do_handshake(self) -> None:
        try:
            super().do_handshake()
        except ssl.SSLCertVerificationError as error:
            if error.verify_code in _BOUNDS:
                error.verify_message += _times(self, *_BOUNDS[error.verify_code])
            raise


def _times(connection: Any, bound: str, words: str) -> str:
    """Of the first certificate on which the clock is on the wrong side of the bound; and of the clock."""
    now = time.time()
    its = ""
    with contextlib.suppress(ssl.SSLError, ValueError, KeyError):  # the peer may have written anything there
        # Before Python 3.13 a chain that was refused is told by the object below only.
        chain: list[Any] = getattr(connection._sslobj, "get_unverified_chain", list)() or []
        bounds = (ssl.cert_time_to_seconds(certificate.get_info()[bound]) for certificate in chain)
        its = next((f" ({words} {_utc(at)})" for at in bounds if (now < at) is (bound == "notBefore")), "")
    return f"{its}: this machine's clock says {_utc(now)}"


def _utc(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def _names_cas() -> bool:
    """Whether the environment or the system says whom to trust."""
    paths = ssl.get_default_verify_paths()
    if paths.openssl_cafile_env in os.environ or paths.openssl_capath_env in os.environ or paths.cafile is not None:
        return True
    return paths.capath is not None and any(Path(paths.capath).iterdir())


def _system_cas() -> tuple[object, ...]:
    """What tells the system's CAs from those of another time: the places, and when each was changed."""
    places = [path for path in ssl.get_default_verify_paths()[:2] if path is not None]
    return tuple((path, os.stat(path).st_ino, os.stat(path).st_mtime_ns) for path in places)


def _digest(key: str, path: Path | None) -> bytes | None:
    """Of a file's content.  What can be read here OpenSSL may open: of a pipe it would wait for the end."""
    try:
        return None if path is None else hashlib.sha256(read_bytes(path)).digest()
    except OSError as error:
        raise TlsFilesUnusable(f"{key} {path}: {error.strerror}") from error


def _reason(error: OSError) -> str:
    if isinstance(error, ssl.SSLError):
        if error.reason == "KEY_VALUES_MISMATCH":
            return "the key is not the certificate's"
        return "no certificate or key in PEM form"
    return str(error.strerror)
