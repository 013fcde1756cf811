"""What the name or the address of a host tells by itself.  Pure: no name is looked up."""

from __future__ import annotations

import ipaddress


def is_address(host: str) -> bool:
    """An address of IPv4 or IPv6, without brackets."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def is_loopback(host: str) -> bool:
    """``localhost``, or an address of loopback."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
