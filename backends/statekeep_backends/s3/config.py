"""What a bucket's URL may say."""

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
    """Options of a bucket; credentials come by the usual AWS ways only."""

    model_config = ConfigDict(extra="forbid")

    client: Literal["auto", "s3fs", "obstore"] = "auto"
    """Which library sends the requests; ``auto`` is obstore where that loses nothing."""

    endpoint_url: str | None = None
    """Another server than AWS."""

    region: str | None = Field(default=None, pattern=r"^[A-Za-z0-9-]+$")
    """The bucket's region; by default what the AWS configuration says."""

    profile: str | None = None
    """A profile of the AWS configuration."""

    anon: bool = False
    """Do not sign requests."""

    addressing_style: Literal["auto", "path", "virtual"] = "auto"
    """Where the bucket's name stands in the URL of a request."""

    conditional: Literal["auto", "yes", "no"] = "auto"
    """Whether the server honours conditions; ``auto`` trusts AWS and asks any other once."""

    sse: Literal["AES256", "aws:kms"] | None = None
    """How the server encrypts what is written; by default as the bucket says."""

    sse_kms_key_id: str | None = None
    """The key for ``aws:kms``: an id, an ARN or an alias."""

    storage_class: str | None = Field(default=None, pattern=r"^[A-Z0-9_]+$")
    """The storage class of what is written; by default as the server says."""

    checksum: bool = True
    """Send a checksum (a CRC) with each write; buckets with object lock refuse those without."""

    connect_timeout: PositiveFloat = 5.0
    """Seconds."""

    read_timeout: PositiveFloat = 15.0
    """Seconds."""

    retries: int = Field(default=4, ge=0)
    """How often a request is sent again after throttling, server errors and lost answers."""

    max_document_bytes: PositiveInt = MAX_DOCUMENT_BYTES
    """A larger document is not read, but reported, and not written."""

    max_concurrency: int = Field(default=32, ge=1)
    """How many requests one call may have under way."""

    @field_validator("endpoint_url")
    @classmethod
    def _is_a_url(cls, given: str | None) -> str | None:
        if given is not None:
            if given != given.strip() or not given.isprintable():
                raise ValueError(f"there is a character in it that cannot be seen: {given!a}")
            url = urlsplit(given)
            if url.scheme not in {"http", "https"} or not url.hostname:
                raise ValueError("an endpoint begins with http:// or https://, and a host")
        return given

    @field_validator("storage_class")
    @classmethod
    def _can_be_read(cls, given: str | None) -> str | None:
        if given in {"GLACIER", "DEEP_ARCHIVE"}:
            raise ValueError("what is archived cannot be read; GLACIER_IR can")
        return given

    @model_validator(mode="after")
    def _has_a_use_for_its_key(self) -> Self:
        if self.sse_kms_key_id is not None and self.sse != "aws:kms":
            raise ValueError("sse_kms_key_id needs sse=aws:kms")
        return self
