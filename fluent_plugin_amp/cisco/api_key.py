"""The key to one organisation of a Cisco cloud.  Pure."""

from __future__ import annotations

from dataclasses import dataclass, field


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
