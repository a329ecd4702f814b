"""The meaning of an unsuccessful answer: its kind, whether to retry, and what was done."""

from __future__ import annotations

from enum import Enum, auto
from urllib.parse import urlsplit

from statekeep.store.limits import too_large

__all__ = [
    "LARGE",
    "MISCONFIGURED",
    "NOT_S3",
    "NOT_SUPPORTED",
    "NO_ANSWER",
    "NO_CREDENTIALS",
    "REDIRECTED",
    "Failure",
    "Kind",
    "no_answer",
    "no_tls",
    "refuse_large",
]


class Kind(Enum):
    """The kind of a failure, by what to do next."""

    MISSING = auto()
    PRECONDITION_FAILED = auto()
    BUSY = auto()
    FAILED = auto()
    NO_ANSWER = auto()
    NOT_S3 = auto()
    FULL = auto()
    SIGN_IN = auto()
    EXPIRED = auto()
    DENIED = auto()
    ARCHIVED = auto()
    CLOCK = auto()
    ELSEWHERE = auto()
    REDIRECTED = auto()
    NO_BUCKET = auto()
    BAD_BUCKET = auto()
    ENCRYPTION = auto()
    STORAGE_CLASS = auto()
    KEY_TOO_LONG = auto()
    TOO_LARGE = auto()
    LARGE = auto()
    NOT_IMPLEMENTED = auto()
    NO_CREDENTIALS = auto()
    MISCONFIGURED = auto()
    NOT_SUPPORTED = auto()
    REFUSED = auto()

    @property
    def passes(self) -> bool:
        """Whether it may pass after waiting, so that the request is retried."""
        return self in {Kind.BUSY, Kind.FAILED, Kind.NO_ANSWER, Kind.NOT_S3}


NO_ANSWER = "no answer"
NO_CREDENTIALS = "no credentials"
MISCONFIGURED = "misconfigured"
NOT_SUPPORTED = "not supported"
NOT_S3 = "not S3"
REDIRECTED = "redirected"
LARGE = "larger than what is read"

_KINDS = {
    Kind.MISSING: "NoSuchKey NotFound",
    Kind.PRECONDITION_FAILED: "PreconditionFailed",
    Kind.BUSY: "BandwidthLimitExceeded ConditionalRequestConflict OperationAborted "
    "RequestLimitExceeded SlowDown TooManyRequests",
    # With the last three, the network altered or truncated the body.
    Kind.FAILED: "InternalError RequestTimeout ServiceUnavailable "
    "BadDigest IncompleteBody XAmzContentChecksumMismatch",
    Kind.FULL: "InsufficientStorage QuotaExceeded StorageFull XMinioStorageFull",
    Kind.SIGN_IN: "InvalidAccessKeyId InvalidClientTokenId InvalidToken MissingAuthenticationToken "
    "SignatureDoesNotMatch UnrecognizedClientException",
    Kind.EXPIRED: "ExpiredToken ExpiredTokenException TokenRefreshRequired",
    Kind.DENIED: "AccessDenied AllAccessDisabled",
    Kind.ARCHIVED: "InvalidObjectState",
    Kind.CLOCK: "RequestTimeTooSkewed",
    Kind.ELSEWHERE: "AuthorizationHeaderMalformed IllegalLocationConstraintException "
    "IncorrectEndpoint PermanentRedirect TemporaryRedirect",
    Kind.NO_BUCKET: "NoSuchBucket NoSuchAccessPoint",
    Kind.BAD_BUCKET: "InvalidAccessPoint InvalidAccessPointAliasError InvalidBucketName",
    Kind.ENCRYPTION: "InvalidEncryptionAlgorithmError",
    Kind.STORAGE_CLASS: "InvalidStorageClass",
    Kind.KEY_TOO_LONG: "KeyTooLongError",
    Kind.TOO_LARGE: "EntityTooLarge MaxMessageLengthExceeded",
    Kind.NOT_IMPLEMENTED: "NotImplemented",
}
_OURS = {
    NO_ANSWER: Kind.NO_ANSWER,
    NO_CREDENTIALS: Kind.NO_CREDENTIALS,
    MISCONFIGURED: Kind.MISCONFIGURED,
    NOT_SUPPORTED: Kind.NOT_SUPPORTED,
    NOT_S3: Kind.NOT_S3,
    REDIRECTED: Kind.REDIRECTED,
    LARGE: Kind.LARGE,
}
_BY_CODE = _OURS | {code: kind for kind, codes in _KINDS.items() for code in codes.split()}
_BY_STATUS = {
    "304": Kind.NOT_S3,  # no request had such a condition
    "401": Kind.DENIED,
    "403": Kind.DENIED,
    "408": Kind.FAILED,
    "412": Kind.PRECONDITION_FAILED,
    "413": Kind.TOO_LARGE,
    "429": Kind.BUSY,
    "501": Kind.NOT_IMPLEMENTED,
    "507": Kind.FULL,
}
# These mean this only without a code from S3: with one, they are about something else.
_BARE = {"404": Kind.MISSING, "409": Kind.BUSY}

# A server that throttles, or lacks a feature or space, says so before it does anything.
_BEFORE_THE_EFFECT = {Kind.FULL, Kind.NOT_IMPLEMENTED}
# By their status these are client errors, but the server cannot know how far the request got.
_TIMED_OUT = {"RequestTimeout", "408"}


class Failure(Exception):  # noqa: N818 - it never leaves this backend
    """A request that did not do what it was sent for.

    Args:
        code: S3's code, or one of those that this module defines.
        message: What the server or the library says.
        status: The status of the answer.
        unsent: Whether certainly nothing was sent.

    Attributes:
        kind: The kind of failure.
        message: What was said, on one line.
        refused: Whether certainly nothing was done: the answer says so, or nothing was sent. Any
            other failure may have come after the effect.
    """

    def __init__(
        self, code: str, message: str = "", status: str = "", *, unsent: bool = False
    ) -> None:
        self.code = code = "" if code == status else code
        self.kind = _kind_of(code, status)
        self.message = " ".join("".join(c if c.isprintable() else " " for c in message).split())
        self.refused = unsent or self._is_refusal(status)
        name = "" if code in _OURS else code or status
        super().__init__(": ".join(filter(None, [name, self.message])) or code)

    def _is_refusal(self, status: str) -> bool:
        if self.kind is Kind.NOT_S3 or _TIMED_OUT & {self.code, status}:
            return False
        if status[:1] == "5":
            return self.kind in _BEFORE_THE_EFFECT or _throttles(self.code)
        # A code alone may belong to one object of a bulk delete, while others are gone.
        return status[:1] in {"3", "4"}


def no_answer(url: str, what: str, why: str = "", *, unsent: bool = False) -> Failure:
    """Return the failure for a missing answer.

    Args:
        url: Where the request was to go; only its host is shown.
        what: What happened.
        why: What the system or the library says about it.
        unsent: Whether certainly nothing was sent.
    """
    return Failure(NO_ANSWER, _at(url, f"{what}: {why}" if why else what), unsent=unsent)


def no_tls(url: str, why: str, *, unsent: bool) -> Failure:
    """Return the failure for a secure connection that cannot be established; see `no_answer`."""
    what = f"no TLS, or no trusted certificate ({why})"
    return Failure(MISCONFIGURED, _at(url, what), unsent=unsent)


def refuse_large(size: int | None, most: int) -> None:
    """Refuse to read an object that is too large.

    Args:
        size: Its size in bytes; None if only known to be too large.
        most: The maximum size in bytes.

    Raises:
        Failure: It is too large.
    """
    if size is None or size > most:
        raise Failure(LARGE, too_large(size, most), unsent=True)


def _at(url: str, what: str) -> str:
    host = urlsplit(url).netloc.rpartition("@")[2]
    return f"{host}: {what}" if host else what


def _throttles(code: str) -> bool:
    return "Throttl" in code or code in {"SlowDown", "TooManyRequests", "RequestLimitExceeded"}


def _kind_of(code: str, status: str) -> Kind:
    if kind := _BY_CODE.get(code):
        return kind
    if _throttles(code):
        return Kind.BUSY
    if code.startswith("KMS."):
        return Kind.ENCRYPTION
    if kind := _BY_STATUS.get(status):
        return kind
    if not code and (kind := _BARE.get(status)):
        return kind
    if status[:1] == "4" or not status:
        return Kind.REFUSED
    if status[:1] == "3":
        return Kind.REDIRECTED
    # Anything else: an unlisted status may have come after the effect, and may pass.
    return Kind.NOT_S3 if status[:1] in {"1", "2"} else Kind.FAILED
