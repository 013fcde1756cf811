"""The local cloud of the tests of `cisco`, for these as well."""

from tests.cisco.conftest import api, cloud, connect, no_proxy_around, organisation, waits

__all__ = ["api", "cloud", "connect", "no_proxy_around", "organisation", "waits"]
