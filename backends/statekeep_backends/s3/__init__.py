"""S3 and compatible servers. Needs the extra ``s3``, the extra ``obstore``, or both."""

from __future__ import annotations

from typing import TYPE_CHECKING

from statekeep.plugins import BackendSpec, hookimpl
from statekeep_backends.s3.config import S3Config
from statekeep_backends.s3.names import split
from statekeep_backends.s3.store import S3Store

if TYPE_CHECKING:
    from statekeep.store import StoreURL


def _open(url: StoreURL, config: S3Config) -> S3Store:
    return S3Store(*split(url.location), config)


@hookimpl
def statekeep_backends() -> list[BackendSpec]:
    """Provide ``s3:``."""
    summary = "a bucket on S3 or on a compatible server"
    return [BackendSpec("s3", summary, S3Config, _open, nests=True)]
