"""The base of all sections of the configuration, and `TlsConfig`, which several hold.  Pure."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator

from fluent_plugin_amp.config.values import ServerName


class Section(BaseModel):
    """A mapping of the configuration."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    @model_validator(mode="before")
    @classmethod
    def _null_is_default(cls, data: Any) -> Any:
        """``transform:`` with every line below it commented out is no mistake."""
        if not isinstance(data, dict):
            return data
        return {key: value for key, value in data.items() if value is not None or cls._takes_null(key)}

    @classmethod
    def _takes_null(cls, key: str) -> bool:
        field = cls.model_fields.get(key)
        return field is None or (field.default is None and not field.is_required())


class TlsConfig(Section):
    """TLS towards a server. Certificates are verified, and TLS 1.2 is the oldest version spoken."""

    ca_file: Path | None = Field(
        default=None, description="PEM file of the CAs to trust, in place of the system's; private clouds need it."
    )
    cert_file: Path | None = Field(default=None, description="PEM file of the client certificate, with its chain.")
    key_file: Path | None = Field(
        default=None,
        description="PEM file of the client certificate's key, not encrypted; default: it is in `cert_file`.",
    )
    server_name: ServerName | None = Field(
        default=None, description="The name to ask for (SNI) and to find in the certificate; default: the host."
    )
    verify: bool = Field(default=True, description="false trusts any certificate: only to find out what is wrong.")

    @field_validator("key_file")
    @classmethod
    def _goes_with_a_certificate(cls, key_file: Path | None, info: ValidationInfo) -> Path | None:
        if key_file is not None and info.data.get("cert_file", key_file) is None:
            raise ValueError("has no effect without `cert_file`")
        return key_file
