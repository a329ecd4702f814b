"""What a bucket's URL may say."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat

__all__ = ["S3Config"]


class S3Config(BaseModel):
    """Options of a bucket; credentials come by the usual AWS ways only."""

    model_config = ConfigDict(extra="forbid")

    endpoint_url: str | None = None
    """Another server than AWS."""

    region: str | None = None
    """The bucket's region; by default what the AWS configuration says."""

    profile: str | None = None
    """A profile of the AWS configuration."""

    anon: bool = False
    """Do not sign requests."""

    addressing_style: Literal["auto", "path", "virtual"] = "auto"
    """Where the bucket's name stands in the URL of a request."""

    conditional: Literal["auto", "yes", "no"] = "auto"
    """Whether the server keeps conditions; ``auto`` trusts AWS and asks any other once."""

    connect_timeout: PositiveFloat = 5.0
    """Seconds."""

    read_timeout: PositiveFloat = 15.0
    """Seconds."""

    retries: int = Field(default=4, ge=0)
    """How often a request is sent again after throttling, server errors and lost answers."""

    max_concurrency: int = Field(default=32, ge=1)
    """How many requests one call may have under way."""
