"""The key to one organisation of a Cisco cloud.  Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

_CLIENT_ID = re.compile(r"[0-9a-f]{20}", re.IGNORECASE)
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class ApiKey:
    """An API credential as the console makes it (Accounts > API Credentials).

    Raises ValueError when it cannot be one; the message holds neither part.
    """

    client_id: str
    api_key: str = field(repr=False)

    def __post_init__(self) -> None:
        for name, value in (("client id", self.client_id), ("API key", self.api_key)):
            if not value or not value.isascii() or any(c.isspace() or not c.isprintable() for c in value):
                raise ValueError(f"the {name} is empty, or holds white space or other than ASCII characters")
        if ":" in self.client_id:
            raise ValueError("the client id holds a colon")
        if _UUID.fullmatch(self.client_id) and _CLIENT_ID.fullmatch(self.api_key):
            raise ValueError("client id and API key are swapped: the id has 20 digits, the key has hyphens")
