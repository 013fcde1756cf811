"""A proxy for tests opens ways as it should, by the word of clients that others wrote."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from fluent_plugin_amp.testing.certificates import Certificates, server_context
from fluent_plugin_amp.testing.cloud import LocalCloud
from fluent_plugin_amp.testing.company_proxy import CompanyProxy
from fluent_plugin_amp.tls import trusting


@pytest.mark.parametrize("scheme", ["http", "socks5"])
async def test_a_foreign_client_gets_through(certificates: Certificates, scheme: str) -> None:
    """httpx tunnels through it, with user and password and not without; to a name that only the proxy knows, too."""
    with LocalCloud(tls=server_context(certificates.other_host)) as cloud:
        port = httpx.URL(cloud.url).port
        url = f"https://elsewhere.example:{port}/v1/version"
        names = {"elsewhere.example": "127.0.0.1"}
        async with CompanyProxy(username="me", password="secret", names=names) as proxy:
            for user, lets_in in (("me:secret@", True), ("me:wrong@", False), ("", False)):
                async with httpx.AsyncClient(
                    proxy=f"{scheme}://{user}127.0.0.1:{proxy.port}", verify=trusting(certificates.ca_file)
                ) as client:
                    if lets_in:
                        assert (await client.get(url)).status_code == 401
                        assert f"elsewhere.example:{port}" in proxy.asked
                    else:
                        with pytest.raises(httpx.ProxyError):
                            await client.get(url)
            await asyncio.wait_for(proxy.has(0), 20.0)
