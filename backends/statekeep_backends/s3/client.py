"""One request to a bucket, whoever sends it: its arguments, its results, and its failures."""

from __future__ import annotations

import math
from contextvars import ContextVar
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeVar
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping, Sequence
    from datetime import datetime
    from typing import Any

    from statekeep.store import Expect, ExpectSeen, Version

__all__ = [
    "PAGE",
    "SEND_BEFORE",
    "Client",
    "Content",
    "Head",
    "Object",
    "Page",
    "Refusal",
    "is_aws",
]

A = TypeVar("A")
T = TypeVar("T")

PAGE = 1000
"""Maximum number of objects in one LIST and in one bulk delete, as S3 defines it."""

SEND_BEFORE: ContextVar[float] = ContextVar("SEND_BEFORE", default=math.inf)
"""The time, by `time.monotonic`, after which no client may send anything for the current call."""


class Content(NamedTuple):
    """The result of a GET."""

    data: bytes
    version: Version
    modified: datetime | None


class Head(NamedTuple):
    """The result of a HEAD."""

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
        objects: The objects it lists.
        more: The token for the next page, None if there is none.
    """

    objects: list[Object]
    more: str | None


class Refusal(NamedTuple):
    """One object that a bulk delete did not delete."""

    name: str
    code: str
    message: str


class Client(Protocol):
    """Sends each request once, counts it, and raises only `Failure`.

    Its coroutines must run in its own `run`: some wait on a loop, others never wait. Names are
    those of whole objects, including the prefix.
    """

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine that calls this client, and wait for its result."""
        ...

    async def pause(self, seconds: float) -> None:
        """Wait for some seconds."""
        ...

    async def map(
        self, function: Callable[[A], Coroutine[Any, Any, T]], items: Sequence[A]
    ) -> list[T]:
        """Run a coroutine per item, `max_concurrency` at a time; the first error stops them all."""
        ...

    async def on_aws(self) -> bool:
        """Return whether it talks to Amazon itself."""
        ...

    async def get(self, name: str, most: int) -> Content:
        """Send a GET; refuse an object of more than `most` bytes."""
        ...

    async def head(self, name: str) -> Head:
        """Send a HEAD."""
        ...

    async def put(
        self, name: str, data: bytes, expect: Expect, kind: str, metadata: Mapping[str, str]
    ) -> Version:
        """Send a PUT, with ``If-None-Match`` or ``If-Match`` if something is expected."""
        ...

    async def delete(self, name: str, expect: ExpectSeen) -> None:
        """Send a DELETE, with ``If-Match`` if something is expected."""
        ...

    async def delete_many(self, names: Sequence[str]) -> list[Refusal]:
        """Send the POST of a bulk delete; at most `PAGE` names."""
        ...

    async def page(self, start: str, more: str | None) -> Page:
        """Send a LIST of names with a prefix."""
        ...

    async def renew(self) -> None:
        """Look for new credentials, because the current ones have expired."""
        ...

    def close(self) -> None:
        """Close the connections."""
        ...


def is_aws(endpoint_url: str) -> bool:
    """Return whether an endpoint is Amazon's own."""
    host = urlsplit(endpoint_url).hostname or ""
    return host.endswith((".amazonaws.com", ".amazonaws.com.cn"))
