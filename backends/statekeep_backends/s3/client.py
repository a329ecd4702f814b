"""One request to a bucket, whoever sends it: what it takes, what it gives, how it fails."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeVar
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping, Sequence
    from datetime import datetime
    from typing import Any

    from statekeep.store import Expect, ExpectSeen, Version

__all__ = [
    "DENIED",
    "MISCONFIGURED",
    "MISSING",
    "NOT_SUPPORTED",
    "NO_ANSWER",
    "NO_CREDENTIALS",
    "PAGE",
    "PRECONDITION_FAILED",
    "RETRYABLE",
    "WRONG_REGION",
    "After",
    "Client",
    "Content",
    "Failure",
    "Head",
    "Object",
    "Page",
    "Refusal",
    "is_aws",
]

A = TypeVar("A")
T = TypeVar("T")

PAGE = 1000
"""Objects of one LIST and of one bulk delete: the most that S3 allows."""

MISSING = {"NoSuchKey", "NotFound", "404"}
PRECONDITION_FAILED = {"PreconditionFailed", "412"}
DENIED = {
    "AccessDenied",
    "AllAccessDisabled",
    "ExpiredToken",
    "InvalidAccessKeyId",
    "InvalidToken",
    "SignatureDoesNotMatch",
    "401",
    "403",
}
WRONG_REGION = {
    "AuthorizationHeaderMalformed",
    "IllegalLocationConstraintException",
    "PermanentRedirect",
    "301",
}
RETRYABLE = {
    "ConditionalRequestConflict",
    "InternalError",
    "OperationAborted",
    "RequestTimeout",
    "ServiceUnavailable",
    "SlowDown",
    "Throttling",
    "ThrottlingException",
    "TooManyRequests",
    "409",
    "429",
    "500",
    "502",
    "503",
    "504",
}
_KNOWN = MISSING | PRECONDITION_FAILED | DENIED | WRONG_REGION | RETRYABLE | {"NoSuchBucket"}

NO_ANSWER = "no answer"
NO_CREDENTIALS = "no credentials"
MISCONFIGURED = "misconfigured"
NOT_SUPPORTED = "not supported"

# A server that throttles, or lacks a feature or room, says so before it does anything.
_REFUSED = {"SlowDown", "Throttling", "ThrottlingException", "TooManyRequests", "501", "507"}
# Clients' errors by their status, but the server cannot know how far the request came.
_TIMED_OUT = {"RequestTimeout", "408"}


class Failure(Exception):  # noqa: N818 - it never leaves this backend
    """A request that did not do what it was sent for.

    Args:
        code: S3's code for it, or `NO_ANSWER`, `NO_CREDENTIALS`, `MISCONFIGURED`
            or `NOT_SUPPORTED`: what the client cannot do.
        message: What the server or the library says.
        status: The status of the answer; it is the code where S3's is none that we know.
        unsent: Whether it is certain that nothing was sent.

    Attributes:
        refused: Whether it is certain that nothing was done: the answer says so, or nothing was
            sent. Any other failure may have come after the effect.
    """

    def __init__(
        self, code: str, message: str = "", status: str = "", *, unsent: bool = False
    ) -> None:
        vague = code not in _KNOWN and status in _KNOWN
        self.code = (status if vague else code) or status
        self.message = message
        self.refused = unsent or _is_refusal(code, status)
        super().__init__(f"{self.code}: {message}" if message else self.code)


class Content(NamedTuple):
    """What a GET brings."""

    data: bytes
    version: Version
    modified: datetime


class Head(NamedTuple):
    """What a HEAD tells."""

    version: Version
    metadata: Mapping[str, str]


class Object(NamedTuple):
    """One object of a listing."""

    name: str
    size: int
    modified: datetime
    etag: str


class Page(NamedTuple):
    """The answer to one LIST.

    Attributes:
        objects: What it lists.
        more: What to give for the next page, None if there is none: whatever a client of this
            kind can go on from, or `After`.
    """

    objects: list[Object]
    more: object | None


class After(NamedTuple):
    """A place in a listing that any client can go on from.

    Attributes:
        name: The last object that was listed.
    """

    name: str


class Refusal(NamedTuple):
    """One object that a bulk delete left."""

    name: str
    code: str
    message: str


class Client(Protocol):
    """Sends each request once, counts it, and raises `Failure` and nothing else.

    The coroutines are for its own `run` alone: some wait on a loop, others never wait. Names are
    those of whole objects, the prefix included.
    """

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine that calls this client, and wait for it."""
        ...

    async def pause(self, seconds: float) -> None:
        """Wait."""
        ...

    async def map(
        self, function: Callable[[A], Coroutine[Any, Any, T]], items: Sequence[A]
    ) -> list[T]:
        """Run a coroutine for each item, `max_concurrency` at once; the first error ends it."""
        ...

    async def on_aws(self) -> bool:
        """Whether it talks to Amazon itself."""
        ...

    async def get(self, name: str) -> Content:
        """GET."""
        ...

    async def head(self, name: str) -> Head:
        """HEAD."""
        ...

    async def put(
        self, name: str, data: bytes, expect: Expect, kind: str, metadata: Mapping[str, str]
    ) -> Version:
        """PUT, with ``If-None-Match`` or ``If-Match`` if something is expected."""
        ...

    async def delete(self, name: str, expect: ExpectSeen) -> None:
        """DELETE, with ``If-Match`` if something is expected."""
        ...

    async def delete_many(self, names: Sequence[str]) -> list[Refusal]:
        """POST of a bulk delete; at most `PAGE` names."""
        ...

    async def page(self, start: str, more: object | None) -> Page:
        """LIST of the names that begin so."""
        ...

    def close(self) -> None:
        """Close the connections."""
        ...


def _is_refusal(code: str, status: str) -> bool:
    if _TIMED_OUT & {code, status}:
        return False
    # A code alone may be one object's in a bulk delete, of which others are gone.
    return status[:1] in {"3", "4"} or (status[:1] == "5" and bool(_REFUSED & {code, status}))


def is_aws(endpoint_url: str) -> bool:
    """Whether an endpoint is Amazon's own."""
    host = urlsplit(endpoint_url).hostname or ""
    return host.endswith((".amazonaws.com", ".amazonaws.com.cn"))
