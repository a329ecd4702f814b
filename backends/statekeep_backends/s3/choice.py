"""Chooses which of the two clients sends the requests."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Literal

from statekeep._green import replaced_by
from statekeep.errors import ConfigError
from statekeep_backends.s3.extras import GET_OBSTORE, GET_S3FS, is_installed
from statekeep_backends.s3.failures import NOT_SUPPORTED, Failure

if TYPE_CHECKING:
    from statekeep_backends.s3.client import Client
    from statekeep_backends.s3.config import S3Config

__all__ = ["Kind", "choose", "make"]

Kind = Literal["s3fs", "obstore"]

_ONLY_BOTOCORE_KNOWS = ("AWS_USE_DUALSTACK_ENDPOINT", "AWS_USE_FIPS_ENDPOINT")


def choose(bucket: str, config: S3Config) -> Kind:
    """Choose a client for a bucket and a configuration.

    ``auto`` is obstore if that loses no feature, otherwise s3fs: obstore can neither list nor
    delete on a condition, so it also needs s3fs.

    Raises:
        ConfigError: The requested client is not installed, or cannot do what else is configured; or
            this process does not have Python's own threads.
    """
    if library := replaced_by():
        # obstore itself works there, but leaves listing and deleting to s3fs.
        raise ConfigError(
            f"s3: {library} has replaced Python's threads or waits (monkey patching), and s3fs "
            f"cannot work with that; use a process that {library} does not patch, with threads as "
            "workers, or another backend"
        )
    if config.client == "obstore":
        if why_not := _why_not_obstore(bucket, config):
            raise ConfigError(f"s3: obstore cannot be the client: {why_not}")
        return "obstore"
    if not is_installed("s3fs"):
        alone = (
            "; obstore alone can neither list nor delete on a condition; to use it nevertheless, "
            "set client=obstore"
        )
        raise ConfigError(
            f"s3: needs packages that are not installed (s3fs): {GET_S3FS}"
            + (alone if is_installed("obstore") else "")
        )
    if config.client == "auto" and _why_not_obstore(bucket, config) is None:
        return "obstore"
    return "s3fs"


def make(kind: Kind, bucket: str, config: S3Config) -> Client:
    """Create a client of that kind, or the other one if that cannot work here.

    Raises:
        Failure: The configuration is wrong, or neither can work.
    """
    # Each needs its own packages.
    if kind == "obstore":
        from statekeep_backends.s3.with_obstore import ObstoreClient  # noqa: PLC0415

        if ObstoreClient.process in {None, os.getpid()}:
            return ObstoreClient(bucket, config)
        if not is_installed("s3fs"):
            raise Failure(
                NOT_SUPPORTED,
                "obstore cannot be used in a child that was forked after its first use; start "
                f"processes with spawn, or use s3fs in them: {GET_S3FS}",
                unsent=True,
            )
    from statekeep_backends.s3.with_s3fs import S3fsClient  # noqa: PLC0415

    return S3fsClient(bucket, config)


def _why_not_obstore(bucket: str, config: S3Config) -> str | None:
    if not is_installed("obstore"):
        return f"it is not installed; {GET_OBSTORE}"
    if bucket.startswith("arn:"):
        return "it does not support access points; use client=s3fs"
    profile = config.profile or os.environ.get("AWS_PROFILE")
    if profile and not is_installed("botocore"):
        return f"a profile needs botocore, which is not installed; {GET_S3FS}"
    for name in _ONLY_BOTOCORE_KNOWS:
        if os.environ.get(name, "").lower() == "true":
            return f"it does not support {name}; use client=s3fs"
    return None
