"""One request to a bucket, whoever sends it: what it takes, what it gives, how it fails."""

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
"""Objects of one LIST and of one bulk delete: the most that S3 allows."""

SEND_BEFORE: ContextVar[float] = ContextVar("SEND_BEFORE", default=math.inf)
"""The moment, by `time.monotonic`, after which no client may send what the call wants sent."""


class Content(NamedTuple):
    """What a GET brings."""

    data: bytes
    version: Version
    modified: datetime | None


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
        more: What to give for the next page, None if there is none.
    """

    objects: list[Object]
    more: str | None


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

    async def get(self, name: str, most: int) -> Content:
        """GET of an object that has no more bytes than these."""
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

    async def page(self, start: str, more: str | None) -> Page:
        """LIST of the names that begin so."""
        ...

    async def renew(self) -> None:
        """Look for credentials anew, because those at hand have expired."""
        ...

    def close(self) -> None:
        """Close the connections."""
        ...


def is_aws(endpoint_url: str) -> bool:
    """Whether an endpoint is Amazon's own."""
    host = urlsplit(endpoint_url).hostname or ""
    return host.endswith((".amazonaws.com", ".amazonaws.com.cn"))
