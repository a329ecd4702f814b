"""What a failure is for the caller: one of our errors, and advice only where it is true."""

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
            "this is not what S3 answers ({said}): a proxy or a page to sign in to the network "
            "may be in between, or endpoint_url is wrong"
        ),
    ),
    # Waiting makes no room, so nobody is told to wait.
    Kind.FULL: (UnavailableError, "the store is full ({said}); make room or raise the quota"),
    Kind.SIGN_IN: (AccessDeniedError, "S3 refuses ({said}); " + _SIGN_IN),
    Kind.NO_CREDENTIALS: (AccessDeniedError, "no credentials ({said}); " + _SIGN_IN),
    Kind.EXPIRED: (
        AccessDeniedError,
        (
            "the credentials have expired ({said}), and a look for new ones found none that are "
            "good; renew them"
        ),
    ),
    Kind.DENIED: (AccessDeniedError, "S3 refuses ({said})"),
    Kind.ARCHIVED: (
        AccessDeniedError,
        "the object is archived ({said}) and has to be restored in S3 before it can be read",
    ),
    # Not a matter of rights: every request fails until the machine is mended.
    Kind.CLOCK: (ConfigError, "S3 refuses ({said}): this machine's clock is wrong; set it"),
    Kind.ELSEWHERE: (ConfigError, "the bucket is elsewhere ({said}); set the option region"),
    Kind.REDIRECTED: (
        ConfigError,
        (
            "the request was redirected ({said}), which is not followed; set the options "
            "endpoint_url and region so that they name the server itself"
        ),
    ),
    Kind.BAD_BUCKET: (ConfigError, "{bucket!r} is no name of a bucket ({said}); mend the URL"),
    Kind.NO_BUCKET: (ConfigError, "there is no bucket {bucket!r}; create it, or mend the URL"),
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
    Kind.LARGE: (CorruptDataError, "{said}; open the store with more of them to read it"),
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
    """The error that a failure is for the caller.

    Args:
        failure: What happened.
        key: The document concerned.
        bucket: The bucket concerned.
        store: Who sent the request.
    """
    kind, words = _MEANING.get(failure.kind, _OTHERWISE)
    said = words.format(said=failure, bucket=bucket)
    if failure.code == "AccessDenied":
        said += "; see who is signed in, and what a policy lets them do"
    return kind(said, key=None if failure.kind in _OF_THE_BUCKET else key, store=store)
