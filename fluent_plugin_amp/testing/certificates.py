"""Certificates for tests: a private authority, and everything a TLS peer may get wrong.

Made anew for each run by trustme (``pip install '.[demo]'``), so nothing expires in a
repository.  Every key is for this machine's loopback and worth nothing elsewhere.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import trustme

OTHER_HOST = "elsewhere.example"
"""The host name in `Certificates.other_host`."""


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A certificate and its private key, as paths of PEM files."""

    cert_file: Path
    key_file: Path


@dataclass(frozen=True, slots=True)
class Certificates:
    """What `make_certificates` wrote; every path is absolute and PEM.

    ``ca_file`` is the authority to trust.  ``server`` is good for localhost, 127.0.0.1 and ::1; each other
    server certificate has one fault.
    """

    ca_file: Path
    server: KeyPair
    other_host: KeyPair
    """Trusted, but for another host name: `OTHER_HOST`."""
    expired: KeyPair
    """Trusted and for localhost, but it ended a day ago."""
    not_yet_valid: KeyPair
    """Trusted and for localhost, but it begins in a day."""
    client: KeyPair
    """Trusted, for TLS client authentication."""
    untrusted_ca_file: Path
    """A second authority, which nobody needs to trust."""
    untrusted_server: KeyPair
    """For localhost, issued by the second authority."""
    untrusted_client: KeyPair
    """For TLS client authentication, issued by the second authority."""


def make_certificates(folder: Path) -> Certificates:
    """Write two authorities and their certificates into ``folder`` (made if missing).

    Raises ModuleNotFoundError, naming the extra to install, when trustme is missing.
    """
    try:
        import trustme
    except ModuleNotFoundError as exc:
        raise ModuleNotFoundError(
            "the package trustme, which makes certificates, is not installed", name="trustme"
        ) from exc

    folder = folder.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    loopback = ("localhost", "127.0.0.1", "::1")
    trusted, untrusted = trustme.CA(), trustme.CA()
    now = datetime.now(timezone.utc)
    return Certificates(
        ca_file=_write_ca(trusted, folder / "ca.pem"),
        server=_write(trusted.issue_cert(*loopback), folder / "server"),
        other_host=_write(trusted.issue_cert(OTHER_HOST), folder / "other_host"),
        expired=_write(
            trusted.issue_cert(*loopback, not_before=now - timedelta(2), not_after=now - timedelta(1)),
            folder / "expired",
        ),
        not_yet_valid=_write(
            trusted.issue_cert(*loopback, not_before=now + timedelta(1), not_after=now + timedelta(2)),
            folder / "not_yet_valid",
        ),
        client=_write(trusted.issue_cert("amp-client@localhost"), folder / "client"),
        untrusted_ca_file=_write_ca(untrusted, folder / "untrusted_ca.pem"),
        untrusted_server=_write(untrusted.issue_cert(*loopback), folder / "untrusted_server"),
        untrusted_client=_write(untrusted.issue_cert("amp-client@localhost"), folder / "untrusted_client"),
    )


def server_context(pair: KeyPair, *, client_ca_file: Path | None = None) -> ssl.SSLContext:
    """A TLS context for a server that shows ``pair``; with ``client_ca_file`` it demands a client certificate."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(pair.cert_file, pair.key_file)
    if client_ca_file is not None:
        context.load_verify_locations(client_ca_file)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def _write_ca(authority: trustme.CA, path: Path) -> Path:
    authority.cert_pem.write_to_path(path)
    return path


def _write(leaf: trustme.LeafCert, stem: Path) -> KeyPair:
    pair = KeyPair(stem.with_name(stem.name + ".pem"), stem.with_name(stem.name + ".key"))
    pair.key_file.touch(mode=0o600)
    leaf.private_key_pem.write_to_path(pair.key_file)
    pair.cert_file.write_bytes(b"".join(blob.bytes() for blob in leaf.cert_chain_pems))
    return pair
