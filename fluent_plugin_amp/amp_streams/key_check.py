"""Asks the clouds whether a key works, and what it may do.  Changes nothing in any cloud."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from fluent_plugin_amp.cisco.answers import RateLimit
from fluent_plugin_amp.cisco.api import CiscoApi
from fluent_plugin_amp.cisco.errors import CloudCredentialsRefused
from fluent_plugin_amp.cisco.regions import Cloud
from fluent_plugin_amp.errors import PluginError
from fluent_plugin_amp.observe import units
from fluent_plugin_amp.text import how_many


@dataclass(frozen=True, slots=True)
class Finding:
    """What one cloud says about a key."""

    cloud: Cloud
    version: str = ""
    may_write: bool | None = None
    """Read & Write; None where it cannot be told."""
    rate_limit: RateLimit | None = None
    error: PluginError | None = None
    """Why the key does not work there."""

    def as_text(self) -> str:
        """A few lines for people."""
        scope = {
            True: "read & write",
            False: "read-only: it cannot manage event streams",
            None: "reads; whether it may write cannot be told",
        }[self.may_write]
        lines = [
            f"cloud        {self.cloud.name} ({self.cloud.api_url}), API {self.version}",
            f"key          accepted, {scope}",
        ]
        limit = self.rate_limit
        if limit is not None and limit.remaining is not None:
            left = how_many(limit.remaining, "request")
            if limit.limit is not None:
                left = f"{limit.remaining} of {how_many(limit.limit, 'request')}"
            reset = "" if limit.reset_s is None else f", starts anew in {units.duration(limit.reset_s)}"
            lines.append(f"rate limit   {left} left{reset}")
        return "\n".join(lines) + "\n"

    def as_json(self) -> dict[str, Any]:
        """For ``--json``."""
        limit = self.rate_limit
        return {
            "cloud": self.cloud.name,
            "api": self.cloud.api_url,
            "accepted": self.error is None,
            "version": self.version,
            "may_write": self.may_write,
            "rate_limit": limit and {"limit": limit.limit, "remaining": limit.remaining, "reset_s": limit.reset_s},
            "error": self.error and {"id": self.error.id, "message": str(self.error)},
        }


async def check_key(clouds: Sequence[Cloud], open_api: Callable[[Cloud], CiscoApi]) -> list[Finding]:
    """Ask each cloud, all at the same time."""
    return await asyncio.gather(*(_ask(open_api(cloud)) for cloud in clouds))


async def _ask(api: CiscoApi) -> Finding:
    try:
        version = await api.version()
    except PluginError as error:
        return Finding(api.cloud, error=error)
    return Finding(api.cloud, version, await api.may_write(), api.rate_limit)


def verdict(findings: Sequence[Finding]) -> PluginError | None:
    """The error of a key that works nowhere, or None.

    If every cloud refused it, the key is wrong; if one could not be asked, the answer is open.
    """
    errors = [finding.error for finding in findings if finding.error is not None]
    if len(errors) < len(findings) or not errors:
        return None
    if len(errors) == 1:
        (error,), cloud = errors, findings[0].cloud
        if isinstance(error, CloudCredentialsRefused):
            # not what others are told: to try `amp-streams test`
            error.remedy = "Check client id and API key" + (
                "; a key is valid in one region only: without --region and AMP_REGION every public cloud is asked."
                if cloud.is_public
                else ", and whether they were made in this private cloud."
            )
        return error
    said = "; ".join(f"{finding.cloud.name}: {finding.error}" for finding in findings)
    if all(isinstance(error, CloudCredentialsRefused) for error in errors):
        return CloudCredentialsRefused(
            f"no public cloud accepts this key ({said})",
            remedy="Check client id and API key; for a private cloud give --api-host.",
        )
    unasked = next(error for error in errors if not isinstance(error, CloudCredentialsRefused))
    return type(unasked)(f"no cloud accepted the key, and not all could be asked ({said})", remedy=unasked.remedy)
