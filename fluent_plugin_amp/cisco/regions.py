"""Where each Cisco cloud is: API, event stream broker and console.  Pure.

Three public clouds by name, and private ones by the host of their appliance.  A public cloud that is given by
the host of its API is the same as the one given by name.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from urllib.parse import SplitResult, urlsplit

from fluent_plugin_amp.hosts import is_loopback


@dataclass(frozen=True, slots=True)
class Cloud:
    """One cloud: what people call it, and where its parts listen (all on TCP 443 unless said otherwise)."""

    name: str
    """``us``, ``eu``, ``apjc``, or ``host`` or ``host:port`` of a private cloud's API."""
    api_url: str
    """``https://host`` or ``https://host:port``, without a slash at the end."""
    broker_host: str
    """Where the event streams are, unless the cloud says otherwise when it creates one."""
    console_host: str
    ca_file: str | None = None
    """PEM file of the CA that signed a private cloud's certificate; None: the system's CAs."""

    @property
    def is_public(self) -> bool:
        """One of Cisco's own three."""
        return self.name in CLOUDS

    def as_setting(self) -> str | dict[str, str]:
        """The value of ``cloud:`` in the configuration that means this cloud."""
        if self.is_public and self.ca_file is None:
            return self.name
        setting = {"api": self.api_url, "console": self.console_host}
        if self.ca_file is not None:
            setting["ca_file"] = self.ca_file
        return setting


def _public(name: str, infix: str) -> Cloud:
    return Cloud(
        name,
        api_url=f"https://api{infix}.amp.cisco.com",
        broker_host=f"export-streaming{infix}.amp.cisco.com",
        console_host=f"console{infix}.amp.cisco.com",
    )


CLOUDS: Mapping[str, Cloud] = MappingProxyType(
    {"us": _public("us", ""), "eu": _public("eu", ".eu"), "apjc": _public("apjc", ".apjc")}
)


def find_cloud(region_or_host: str, *, console: str | None = None, ca_file: str | None = None) -> Cloud:
    """The cloud called ``region_or_host``: ``us``, ``eu``, ``apjc``, a host, ``host:port``, or a whole URL.

    Raises ValueError when it is none of these, or would send the API key over the network in the clear.
    """
    text = region_or_host.strip()
    known = CLOUDS.get(text.lower())
    if known is None:
        url = _split(text)
        host = url.hostname or ""
        api_url = f"{url.scheme}://{url.netloc}"
        known = next((cloud for cloud in CLOUDS.values() if cloud.api_url == api_url), None)
        known = known or Cloud(url.netloc, api_url=api_url, broker_host=host, console_host=host)
    return replace(known, console_host=console or known.console_host, ca_file=ca_file)


def _split(text: str) -> SplitResult:
    if "@" in text:  # first: every other message quotes the text
        raise ValueError("the host of the API must not hold user or password")
    try:
        url = urlsplit(text if "://" in text else f"https://{text}")
    except ValueError:
        raise ValueError(f"{text!r} is neither a region ({', '.join(CLOUDS)}) nor a host") from None
    try:
        port = url.port
    except ValueError:
        raise ValueError(f"{text!r}: the port must be a number from 1 to 65535") from None
    host = (url.hostname or "").rstrip(".")
    if not host or any(character.isspace() for character in text):
        raise ValueError(f"{text!r} is neither a region ({', '.join(CLOUDS)}) nor a host")
    if "://" not in text and "." not in host and ":" not in host and port is None and host != "localhost":
        raise ValueError(f"{text!r} is neither a region ({', '.join(CLOUDS)}) nor a full host name")
    if not is_host_name(host):
        raise ValueError(f"{text!r}: {host!r} is not a host name")
    if url.path.rstrip("/") not in ("", "/v1") or url.query or url.fragment:
        raise ValueError(f"{text!r}: give the host of the API only, without a path")
    if url.scheme not in ("https", "http"):
        raise ValueError(f"{text!r}: the API is reached over https")
    if url.scheme == "http" and not is_loopback(host):
        raise ValueError(f"{text!r}: over http the API key would travel in the clear; use https")
    literal = f"[{host}]" if ":" in host else host
    default_port = 443 if url.scheme == "https" else 80
    netloc = literal if port is None or port == default_port else f"{literal}:{port}"
    return url._replace(netloc=netloc)


def is_host_name(host: str) -> bool:
    """Whether ``host`` is a name or an IPv6 address, and nothing besides."""
    if len(host) > 253:
        return False
    try:
        if ":" in host:  # without its brackets
            return ipaddress.ip_address(host).version == 6
        labels = host.encode("idna").decode("ascii").split(".")
    except ValueError:
        return False
    return all(re.fullmatch(r"[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?", label) for label in labels)
