"""Translates failures to statekeep's errors, with advice only where it is true."""

from __future__ import annotations

from typing import TYPE_CHECKING

from statekeep.errors import (
    AccessDeniedError,
    ConfigError,
    CorruptDataError,
    InvalidDocumentError,
    InvalidKeyError,
    StateStoreError,
    UnavailableError,
    UnsupportedError,
)
from statekeep_backends.s3.failures import Kind

if TYPE_CHECKING:
    from statekeep_backends.s3.failures import Failure

__all__ = ["to_error"]

_SIGN_IN = (
    "sign in the usual AWS ways: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, a profile or a role"
)

_MEANING: dict[Kind, tuple[type[StateStoreError], str]] = {
    Kind.BUSY: (UnavailableError, "S3 asks to wait ({said}); retry later"),
    Kind.FAILED: (UnavailableError, "the server failed ({said}); retry later"),
    Kind.NO_ANSWER: (UnavailableError, "no answer ({said}); retry later"),
    Kind.NOT_S3: (
        UnavailableError,
        (
            "this is not an answer from S3 ({said}): there may be a proxy or a network sign-in "
            "page in between, or endpoint_url is wrong"
        ),
    ),
    # Waiting does not free space, so the advice is not to wait.
    Kind.FULL: (UnavailableError, "the store is full ({said}); free some space or raise the quota"),
    Kind.SIGN_IN: (AccessDeniedError, "S3 refuses ({said}); " + _SIGN_IN),
    Kind.NO_CREDENTIALS: (AccessDeniedError, "no credentials ({said}); " + _SIGN_IN),
    Kind.EXPIRED: (
        AccessDeniedError,
        ("the credentials have expired ({said}), and no valid new ones were found; renew them"),
    ),
    Kind.DENIED: (AccessDeniedError, "S3 refuses ({said})"),
    Kind.ARCHIVED: (
        AccessDeniedError,
        "the object is archived ({said}), and must be restored in S3 before it can be read",
    ),
    # Not a matter of rights: every request fails until the machine is fixed.
    Kind.CLOCK: (ConfigError, "S3 refuses ({said}): this machine's clock is wrong; set it"),
    Kind.ELSEWHERE: (ConfigError, "the bucket is elsewhere ({said}); set the option region"),
    Kind.REDIRECTED: (
        ConfigError,
        (
            "the request was redirected ({said}), which statekeep does not follow; set the options "
            "endpoint_url and region to those of the server itself"
        ),
    ),
    Kind.BAD_BUCKET: (
        ConfigError,
        "{bucket!r} is not the name of a bucket ({said}); correct the URL",
    ),
    Kind.NO_BUCKET: (ConfigError, "there is no bucket {bucket!r}; create it, or correct the URL"),
    Kind.ENCRYPTION: (
        ConfigError,
        (
            "the key for encryption cannot be used ({said}); see the options sse and "
            "sse_kms_key_id, and the encryption of the bucket"
        ),
    ),
    Kind.STORAGE_CLASS: (ConfigError, "S3 refuses ({said}); see the option storage_class"),
    Kind.MISCONFIGURED: (ConfigError, "S3 is configured wrongly: {said}"),
    Kind.KEY_TOO_LONG: (InvalidKeyError, "too long for this server"),
    Kind.TOO_LARGE: (InvalidDocumentError, "too large for this server ({said})"),
    Kind.LARGE: (CorruptDataError, "{said}; open the store with a larger limit to read it"),
    Kind.NOT_SUPPORTED: (UnsupportedError, "{said}"),
}
_OTHERWISE = (UnsupportedError, "the server refuses ({said})")
_OF_THE_BUCKET = {
    Kind.BAD_BUCKET,
    Kind.CLOCK,
    Kind.ELSEWHERE,
    Kind.MISCONFIGURED,
    Kind.NO_BUCKET,
    Kind.REDIRECTED,
}


def to_error(failure: Failure, *, key: str | None, bucket: str, store: object) -> StateStoreError:
    """Return the error for a failure.

    Args:
        failure: What happened.
        key: The document in question.
        bucket: The bucket in question.
        store: The store that sent the request.
    """
    kind, words = _MEANING.get(failure.kind, _OTHERWISE)
    said = words.format(said=failure, bucket=bucket)
    if failure.code == "AccessDenied":
        said += "; check who is signed in, and what a policy lets them do"
    return kind(said, key=None if failure.kind in _OF_THE_BUCKET else key, store=store)
