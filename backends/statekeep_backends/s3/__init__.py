"""S3 and what speaks its protocol, through s3fs. Needs the extra ``s3``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from statekeep.errors import ConfigError
from statekeep.hooks import BackendSpec, hookimpl
from statekeep_backends.s3.config import S3Config

if TYPE_CHECKING:
    from statekeep.urls import StoreURL
    from statekeep_backends.s3.store import S3Store


def _open(url: StoreURL, config: S3Config) -> S3Store:
    if not url.location.startswith("//"):
        raise ConfigError("write s3://bucket or s3://bucket/prefix")
    bucket, _, prefix = url.location[2:].partition("/")
    if not bucket:
        raise ConfigError("the URL names no bucket; write s3://bucket/prefix")
    try:
        from statekeep_backends.s3.store import S3Store  # noqa: PLC0415 - its libraries are an extra
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"s3: needs packages that are not installed ({error.name}): pip install 'statekeep[s3]'"
        ) from error
    return S3Store(bucket, prefix.strip("/"), config)


@hookimpl
def statekeep_backends() -> list[BackendSpec]:
    """Offer ``s3:``."""
    summary = "a bucket on S3 or a server that speaks its protocol"
    return [BackendSpec("s3", summary, S3Config, _open, nests=True)]
