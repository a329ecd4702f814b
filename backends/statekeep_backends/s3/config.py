"""The options of a bucket."""

from __future__ import annotations

from typing import Literal, Self
from urllib.parse import urlsplit

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PositiveFloat,
    PositiveInt,
    field_validator,
    model_validator,
)

from statekeep.store import MAX_DOCUMENT_BYTES

__all__ = ["S3Config"]


class S3Config(BaseModel):
    """Options of a bucket; credentials only come from the usual AWS sources."""

    model_config = ConfigDict(extra="forbid")

    client: Literal["auto", "s3fs", "obstore"] = "auto"
    """The library that sends requests; ``auto`` is obstore if that loses no feature."""

    endpoint_url: str | None = None
    """The URL of a server other than AWS."""

    region: str | None = Field(default=None, pattern=r"^[A-Za-z0-9-]+$")
    """The bucket's region; by default that of the AWS configuration."""

    profile: str | None = None
    """A profile of the AWS configuration."""

    anon: bool = False
    """Do not sign requests."""

    addressing_style: Literal["auto", "path", "virtual"] = "auto"
    """Where a request's URL contains the name of the bucket."""

    conditional: Literal["auto", "yes", "no"] = "auto"
    """Whether the server honors conditions; ``auto`` trusts AWS and probes other servers once."""

    sse: Literal["AES256", "aws:kms"] | None = None
    """How the server encrypts what is written; by default the bucket's setting."""

    sse_kms_key_id: str | None = None
    """The key for ``aws:kms``: an id, an ARN or an alias."""

    storage_class: str | None = Field(default=None, pattern=r"^[A-Z0-9_]+$")
    """The storage class of what is written; by default the server's."""

    checksum: bool = True
    """Send a checksum (a CRC) with each write; buckets with object lock require one."""

    connect_timeout: PositiveFloat = 5.0
    """Seconds to wait for a connection."""

    read_timeout: PositiveFloat = 15.0
    """Seconds to wait for data."""

    retries: int = Field(default=4, ge=0)
    """How often to retry a request after throttling, server errors and lost answers."""

    max_document_bytes: PositiveInt = MAX_DOCUMENT_BYTES
    """Maximum size of a document; a larger one is not written, and reading it is an error."""

    max_concurrency: int = Field(default=32, ge=1)
    """Maximum number of concurrent requests of one call."""

    @field_validator("endpoint_url")
    @classmethod
    def _is_a_url(cls, given: str | None) -> str | None:
        if given is not None:
            if given != given.strip() or not given.isprintable():
                raise ValueError(f"it contains an invisible character: {given!a}")
            url = urlsplit(given)
            if url.scheme not in {"http", "https"} or not url.hostname:
                raise ValueError("an endpoint starts with http:// or https://, and has a host")
        return given

    @field_validator("storage_class")
    @classmethod
    def _can_be_read(cls, given: str | None) -> str | None:
        if given in {"GLACIER", "DEEP_ARCHIVE"}:
            raise ValueError("archived objects cannot be read; use GLACIER_IR")
        return given

    @model_validator(mode="after")
    def _has_a_use_for_its_key(self) -> Self:
        if self.sse_kms_key_id is not None and self.sse != "aws:kms":
            raise ValueError("sse_kms_key_id needs sse=aws:kms")
        return self
