from __future__ import annotations

import asyncio
import os
import ssl
from pathlib import Path
from typing import NoReturn

import pytest
import trustme
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from fluent_plugin_amp.config import TlsConfig
from fluent_plugin_amp.errors import EXIT_CONFIG, TlsFilesUnusable
from fluent_plugin_amp.tls import client_context, http_context


@pytest.fixture(scope="module")
def ca() -> trustme.CA:
    """An authority that no system trusts."""
    return trustme.CA()


@pytest.fixture
def files(ca: trustme.CA, tmp_path: Path) -> Path:
    """A folder with ca.pem, client.pem, client.key and both.pem."""
    ca.cert_pem.write_to_path(tmp_path / "ca.pem")
    client = ca.issue_cert("client.example")
    client.cert_chain_pems[0].write_to_path(tmp_path / "client.pem")
    client.private_key_pem.write_to_path(tmp_path / "client.key")
    client.private_key_and_cert_chain_pem.write_to_path(tmp_path / "both.pem")
    return tmp_path


async def handshake(
    ca: trustme.CA, tls: TlsConfig, name: str, *, ask: bool = False, oldest_only: bool = False
) -> str:
    """Connect to a server whose certificate is for broker.example; its TLS version, and who it saw."""
    server_context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    ca.issue_cert("broker.example").configure_cert(server_context)
    if ask:
        ca.configure_trust(server_context)
        server_context.verify_mode = ssl.CERT_REQUIRED

    async def greet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = writer.get_extra_info("ssl_object").getpeercert() or {}
        names = [value for _, value in peer.get("subjectAltName", ())]
        writer.write(f"{writer.get_extra_info('ssl_object').version()} {names}".encode())
        writer.close()

    server = await asyncio.start_server(greet, "127.0.0.1", 0, ssl=server_context)
    async with server:
        port = server.sockets[0].getsockname()[1]
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", port, ssl=client_context(tls), server_hostname=name
        )
        seen = await reader.read()
        writer.close()
    return seen.decode()


async def test_the_given_ca_is_trusted(ca: trustme.CA, files: Path) -> None:
    """A server whose certificate the given CA signed, for the name asked for, is spoken to."""
    assert (await handshake(ca, TlsConfig(ca_file=files / "ca.pem"), "broker.example")).startswith("TLSv1.3")


async def test_an_unknown_ca_is_not_trusted(ca: trustme.CA) -> None:
    """By default only the system's CAs count."""
    with pytest.raises(ssl.SSLCertVerificationError):
        await handshake(ca, TlsConfig(), "broker.example")


def test_a_given_ca_stands_in_place_of_the_systems(files: Path) -> None:
    """With `ca_file` nobody else may vouch for the server."""
    assert len(client_context(TlsConfig(ca_file=files / "ca.pem")).get_ca_certs()) == 1


async def test_a_ca_that_the_system_trusts_is_trusted(
    ca: trustme.CA, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as a company's; SSL_CERT_FILE stands for the system's file, and nobody else is trusted besides."""
    monkeypatch.setenv("SSL_CERT_FILE", str(files / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_DIR", str(files))
    assert await handshake(ca, TlsConfig(), "broker.example")
    assert len(client_context(TlsConfig()).get_ca_certs()) == 1


@pytest.mark.parametrize("folder", ["none", "empty"])
def test_a_system_without_cas_takes_those_of_certifi(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: str
) -> None:
    """As in a small container image: for brokers, servers and Cisco's API alike."""
    (tmp_path / "empty").mkdir()
    capath = str(tmp_path / folder) if folder == "empty" else None
    paths = ssl.DefaultVerifyPaths(None, capath, "SSL_CERT_FILE", "", "SSL_CERT_DIR", "")  # type: ignore[arg-type]
    for variable in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(ssl, "get_default_verify_paths", lambda: paths)
    monkeypatch.setattr(ssl.SSLContext, "set_default_verify_paths", lambda context: None)
    assert len(client_context(TlsConfig()).get_ca_certs()) > 50


def test_whom_the_environment_trusts_is_all(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that is missing is no reason to trust anybody else."""
    monkeypatch.setenv("SSL_CERT_FILE", str(files / "missing.pem"))
    monkeypatch.setenv("SSL_CERT_DIR", str(files / "missing"))
    assert client_context(TlsConfig()).get_ca_certs() == []


async def test_another_name_is_not_trusted(ca: trustme.CA, files: Path) -> None:
    """The certificate must bear the name."""
    with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
        await handshake(ca, TlsConfig(ca_file=files / "ca.pem"), "other.example")


async def test_verify_false_trusts_anybody(ca: trustme.CA) -> None:
    """Neither CA nor name is looked at."""
    assert await handshake(ca, TlsConfig(verify=False), "other.example")


def test_nothing_older_than_tls_1_2() -> None:
    """Old versions are refused even where nothing else is verified."""
    assert client_context(TlsConfig(verify=False)).minimum_version is ssl.TLSVersion.TLSv1_2


@pytest.mark.parametrize(("cert", "key"), [("client.pem", "client.key"), ("both.pem", None)])
async def test_client_certificate(ca: trustme.CA, files: Path, cert: str, key: str | None) -> None:
    """The client shows its certificate, from two files or from one."""
    key_file = files / key if key else None
    tls = TlsConfig(ca_file=files / "ca.pem", cert_file=files / cert, key_file=key_file)
    assert "client.example" in await handshake(ca, tls, "broker.example", ask=True)


def test_connections_of_the_same_settings_share_one_context(files: Path) -> None:
    """The system's CAs take a megabyte: hundreds of streams hold them once."""
    assert client_context(TlsConfig()) is client_context(TlsConfig())
    assert client_context(TlsConfig()) is not client_context(TlsConfig(ca_file=files / "ca.pem"))


def test_clients_of_http_share_another_one(files: Path) -> None:
    """The looks of completeness records are hundreds at once.  What HTTP sets in it is nothing for a broker."""
    system, own = http_context(None), http_context(str(files / "ca.pem"))
    assert http_context(None) is system
    assert http_context(str(files / "ca.pem")) is own
    assert client_context(TlsConfig()) is not system
    (files / "ca.pem").write_text((files / "ca.pem").read_text().rstrip() + " \n")
    assert http_context(str(files / "ca.pem")) is not own


@pytest.mark.parametrize("renewed", ["ca.pem", "both.pem"])
def test_a_renewed_file_is_read_anew(ca: trustme.CA, files: Path, renewed: str) -> None:
    """Under the same name, of the same length, and however fast it was replaced."""
    tls = TlsConfig(ca_file=files / "ca.pem", cert_file=files / "both.pem")
    before = client_context(tls)
    (files / renewed).write_text((files / renewed).read_text().rstrip() + " \n")
    assert client_context(tls) is not before


def test_renewed_cas_of_the_system_are_read_anew(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A context that is made after the change, as on a reload, has them."""
    monkeypatch.setenv("SSL_CERT_FILE", str(files / "ca.pem"))
    before = client_context(TlsConfig())
    (files / "ca.pem").write_text((files / "ca.pem").read_text() + "\n# renewed\n")
    assert client_context(TlsConfig()) is not before


def refusal(tls: TlsConfig) -> str:
    """What is said of files that cannot be used."""
    with pytest.raises(TlsFilesUnusable) as refused:
        client_context(tls)
    assert refused.value.exit_code == EXIT_CONFIG
    return str(refused.value)


def test_files_that_are_not_there(files: Path) -> None:
    """The message names the file."""
    missing = files / "missing.pem"
    assert refusal(TlsConfig(ca_file=missing)) == f"ca_file {missing}: No such file or directory"
    assert refusal(TlsConfig(cert_file=missing)) == f"cert_file {missing}: No such file or directory"


def test_files_that_are_not_pem(files: Path) -> None:
    """Anything else than PEM is refused, an empty CA file too: it would trust nobody, or everybody."""
    for name, text in (("garbage.pem", "garbage"), ("empty.pem", "")):
        (files / name).write_text(text)
        assert (
            refusal(TlsConfig(ca_file=files / name)) == f"ca_file {files / name}: no certificate or key in PEM form"
        )
    assert "no certificate or key in PEM form" in refusal(TlsConfig(cert_file=files / "client.pem"))


def test_a_key_of_another_certificate(ca: trustme.CA, files: Path) -> None:
    """A pair that is none is told apart from a broken file."""
    ca.issue_cert("other.example").private_key_pem.write_to_path(files / "other.key")
    tls = TlsConfig(cert_file=files / "client.pem", key_file=files / "other.key")
    assert "the key is not the certificate's" in refusal(tls)


def test_an_encrypted_key(files: Path) -> None:
    """OpenSSL would ask at the terminal for its password; a service must not wait for that."""
    key = load_pem_private_key((files / "client.key").read_bytes(), None)
    encrypted = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"x"))
    (files / "encrypted.key").write_bytes(encrypted)
    tls = TlsConfig(cert_file=files / "client.pem", key_file=files / "encrypted.key")
    assert refusal(tls) == f"key_file {files / 'encrypted.key'}: the key is encrypted"


@pytest.mark.parametrize("name", ["stat", "iterdir"])
def test_a_store_of_the_system_that_cannot_be_read(name: str, files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Renewed at that very moment, or closed to this user: it is named, and no fault of ours."""

    def refuse(*_: object, **__: object) -> NoReturn:
        raise PermissionError(13, "Permission denied")

    for variable in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(variable, raising=False)
    paths = ssl.DefaultVerifyPaths(None, str(files), "SSL_CERT_FILE", "", "SSL_CERT_DIR", "")  # type: ignore[arg-type]
    monkeypatch.setattr(ssl, "get_default_verify_paths", lambda: paths)
    monkeypatch.setattr(os if name == "stat" else Path, name, refuse)
    with pytest.raises(TlsFilesUnusable, match="the system's CAs: "):
        client_context(TlsConfig())
