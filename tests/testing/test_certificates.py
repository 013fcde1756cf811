"""Certificates: the good one is accepted, each faulty one is refused for its own fault."""

from __future__ import annotations

import ssl
import stat
import sys
from pathlib import Path

import pytest

from fluent_plugin_amp.testing.certificates import (
    OTHER_HOST,
    Certificates,
    KeyPair,
    make_certificates,
    server_context,
)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """One set for the module."""
    return make_certificates(tmp_path_factory.mktemp("certificates") / "new")


def handshake(server: ssl.SSLContext, client: ssl.SSLContext, host: str = "localhost") -> None:
    """A TLS handshake in memory, and a byte from the client, so that TLS 1.3 shows the server's refusal too."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    peers = [
        client.wrap_bio(to_client, to_server, server_hostname=host),
        server.wrap_bio(to_server, to_client, server_side=True),
    ]
    waiting = list(peers)
    while waiting:
        for peer in list(waiting):
            try:
                peer.do_handshake()
            except ssl.SSLWantReadError:
                continue
            waiting.remove(peer)
    peers[0].write(b"!")
    assert peers[1].read() == b"!"


def trusting(certificates: Certificates) -> ssl.SSLContext:
    """A client that verifies, as every client should."""
    return ssl.create_default_context(cafile=certificates.ca_file)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "::1"])
def test_the_server_certificate_is_good_for_loopback(certificates: Certificates, host: str) -> None:
    """A verifying client accepts it under each name of this machine."""
    handshake(server_context(certificates.server), trusting(certificates), host)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("other_host", "Hostname mismatch"),
        ("expired", "certificate has expired"),
        ("untrusted_server", "unable to get local issuer certificate"),
    ],
)
def test_each_faulty_certificate_has_its_one_fault(certificates: Certificates, name: str, reason: str) -> None:
    """A verifying client refuses it, and says why."""
    pair: KeyPair = getattr(certificates, name)
    with pytest.raises(ssl.SSLCertVerificationError, match=reason):
        handshake(server_context(pair), trusting(certificates))


def test_the_other_host_certificate_is_good_for_the_other_host(certificates: Certificates) -> None:
    """Only the name is wrong with it."""
    handshake(server_context(certificates.other_host), trusting(certificates), OTHER_HOST)


def test_a_server_may_demand_a_client_certificate(certificates: Certificates) -> None:
    """With the client's certificate it goes through; without, or with one of another authority, it does not."""
    server = server_context(certificates.server, client_ca_file=certificates.ca_file)
    client = trusting(certificates)
    with pytest.raises(ssl.SSLError, match="PEER_DID_NOT_RETURN_A_CERTIFICATE"):
        handshake(server, client)
    client.load_cert_chain(certificates.untrusted_client.cert_file, certificates.untrusted_client.key_file)
    with pytest.raises(ssl.SSLError, match="CERTIFICATE_VERIFY_FAILED"):
        handshake(server, client)
    client.load_cert_chain(certificates.client.cert_file, certificates.client.key_file)
    handshake(server, client)


def test_private_keys_are_for_their_owner_alone(certificates: Certificates) -> None:
    """Programs that refuse keys which others can read accept these."""
    assert stat.S_IMODE(certificates.server.key_file.stat().st_mode) == 0o600


def test_the_extra_is_named_when_trustme_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error tells what to install."""
    monkeypatch.setitem(sys.modules, "trustme", None)
    with pytest.raises(ModuleNotFoundError, match="the package trustme"):
        make_certificates(tmp_path)
