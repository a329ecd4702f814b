"""Names of buckets, and where they end in a URL."""

from __future__ import annotations

import re

from statekeep.errors import ConfigError

__all__ = ["check_bucket", "split"]

_ARN = re.compile(
    r"arn:[\w-]+:s3[\w-]*:[\w-]*:\d{12}:(?:outpost[:/][\w-]+[:/])?accesspoint[:/][\w.-]+"
)
_SHORTEST, _LONGEST = 3, 63


def split(location: str) -> tuple[str, str]:
    """Split what follows ``s3:`` into a bucket, or the ARN of an access point, and a prefix.

    Raises:
        ConfigError: It does not name a bucket, or contains something that no name can.
    """
    if not location.startswith("//"):
        raise ConfigError("write s3://bucket or s3://bucket/prefix")
    if not location.isprintable():
        raise ConfigError(f"the URL contains an invisible character: {location!r}")
    rest = location[2:]
    if arn := _ARN.match(rest):
        bucket, after = arn[0], rest[arn.end() :]
        if after[:1] not in {"", "/"}:
            raise ConfigError(f"{after[0]!r} cannot be in the name of an access point: {rest!r}")
    else:
        bucket, _, after = rest.partition("/")
    if not bucket:
        raise ConfigError("the URL names no bucket; write s3://bucket/prefix")
    check_bucket(bucket)
    return bucket, after.strip("/")


def check_bucket(bucket: str) -> None:
    """Refuse what can be neither a bucket's name nor an access point's ARN.

    Raises:
        ConfigError: It can be neither; the message says why.
    """
    if _ARN.fullmatch(bucket):
        return
    if bucket.startswith("arn:"):
        raise ConfigError(
            f"{bucket!r} is not the ARN of an access point, which is written "
            "arn:aws:s3:REGION:ACCOUNT:accesspoint/NAME"
        )
    if "@" in bucket:
        raise ConfigError(
            f"the bucket is named {bucket!r}, with a user before '@'; credentials come from the "
            "environment, never from a URL"
        )
    if ":" in bucket:
        raise ConfigError(
            f"the bucket is named {bucket!r}, with a port; give the server as the option "
            "endpoint_url"
        )
    if odd := re.search(r"[^a-z0-9.-]", bucket):
        raise ConfigError(
            f"the bucket is named {bucket!r}, with {odd[0]!r} in it; names consist of lower-case "
            "letters, digits, hyphens and dots"
        )
    if bucket[0] in ".-" or bucket[-1] in ".-" or ".." in bucket:
        raise ConfigError(
            f"the bucket is named {bucket!r}; names start and end with a letter or a digit, and "
            "have no two consecutive dots"
        )
    if not _SHORTEST <= len(bucket) <= _LONGEST:
        raise ConfigError(
            f"the bucket is named {bucket!r}; names have {_SHORTEST} to {_LONGEST} characters"
        )
