"""Requests to a bucket: retried where that is right, with statekeep's errors."""

from __future__ import annotations

import os
import random
import threading
import time
import weakref
from typing import TYPE_CHECKING, Any, Concatenate, Literal, ParamSpec, TypeVar

from statekeep.errors import StateStoreError, UnavailableError
from statekeep_backends.s3.choice import choose, make
from statekeep_backends.s3.client import SEND_BEFORE
from statekeep_backends.s3.errors import to_error
from statekeep_backends.s3.failures import NO_ANSWER, Failure, Kind

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from statekeep_backends.s3.choice import Kind as KindOfClient
    from statekeep_backends.s3.client import Client
    from statekeep_backends.s3.config import S3Config

__all__ = ["Call", "Requests", "begin_anew"]

P = ParamSpec("P")
T = TypeVar("T")
Landed = Literal["no", "unknown"]

_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 5.0

_LAST_SENT = 540.0
"""Seconds after the start of a call within which its writes and deletes may be sent.

Moves rely on none being sent ten minutes after the start; a connection can also take a while.
"""


class Call:
    """One call of a store, and what its requests may have done so far.

    Args:
        retries: How often each request can be retried.
        landed: ``"no"`` for a write, None for a read.

    Attributes:
        client: Sends the requests.
        landed: The `StateStoreError.landed` of an error of this call.
    """

    client: Client

    def __init__(self, retries: int, landed: Landed | None) -> None:
        self._retries = retries
        self.landed = landed

    async def send_with_retry(self, request: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Send a request that changes nothing, and retry it until it has a final answer.

        Raises:
            Failure: The last one, or the first that waiting does not help.
        """
        tries, renewed = 0, False
        while True:
            try:
                return await request()
            except Failure as failure:
                if failure.kind is Kind.EXPIRED and not renewed:
                    renewed = True
                    await self.client.renew()
                    continue
                if not failure.kind.passes or tries >= self._retries:
                    raise
                pause = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2**tries)
                if time.monotonic() + pause >= SEND_BEFORE.get():
                    raise
            tries += 1
            await self.client.pause(random.uniform(pause / 2, pause))  # noqa: S311 - jitter

    async def write_with_retry(self, request: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Send a request that changes something, and keep track of what may have landed.

        Raises:
            Failure: As in `send_with_retry`.
        """

        async def attempt() -> T:
            before, self.landed = self.landed, "unknown"
            try:
                if time.monotonic() >= SEND_BEFORE.get():
                    raise Failure(NO_ANSWER, "preparing the request took too long", unsent=True)
                return await request()
            except Failure as failure:
                if failure.refused:
                    self.landed = before
                raise

        return await self.send_with_retry(attempt)


def begin_anew() -> None:
    """Give later requests as much time as if their call started now."""
    SEND_BEFORE.set(time.monotonic() + _LAST_SENT)


class Requests:
    """The client of a bucket, created when first needed and again in a forked child.

    Args:
        bucket: The bucket.
        config: Options.
        store: The store, for error messages.

    Attributes:
        kind: The kind of client.
        once: Held while sending a request that only one of several threads needs to send.

    Raises:
        ConfigError: The requested client is not installed, or cannot do what else is configured.
    """

    def __init__(self, bucket: str, config: S3Config, store: object) -> None:
        self._bucket = bucket
        self._config = config
        self._store = store
        self.kind: KindOfClient = choose(bucket, config)
        self._lock = threading.Lock()
        self.once = threading.Lock()
        self._client: Client | None = None
        _living.add(self)

    def read(
        self,
        key: str | None,
        operation: Callable[Concatenate[Call, P], Coroutine[Any, Any, T]],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """Run an operation that changes nothing and wait for it; raises only statekeep's errors."""
        return self._run(key, Call(self._config.retries, None), operation, *args, **kwargs)

    def write(
        self,
        key: str | None,
        begun: float,
        operation: Callable[Concatenate[Call, P], Coroutine[Any, Any, T]],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """Run an operation that changes something; its errors say what may have landed.

        Args:
            key: The document in question.
            begun: When the caller requested it, by `time.monotonic`.
            operation: The operation.
            args: Its positional arguments.
            kwargs: Its keyword arguments.
        """
        token = SEND_BEFORE.set(begun + _LAST_SENT)
        try:
            return self._run(key, Call(self._config.retries, "no"), operation, *args, **kwargs)
        finally:
            SEND_BEFORE.reset(token)

    def close(self) -> None:
        """Close the connections."""
        with self._lock:
            client, self._client = self._client, None
            if client is not None:
                client.close()

    def translate(
        self, failure: Failure, key: str | None, landed: Landed | None = None
    ) -> StateStoreError:
        """Return the error for a failure."""
        error = to_error(failure, key=key, bucket=self._bucket, store=self._store)
        error.landed = landed
        return error

    def _run(
        self,
        key: str | None,
        call: Call,
        operation: Callable[Concatenate[Call, P], Coroutine[Any, Any, T]],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        try:
            call.client = self._connect()
            return call.client.run(operation(call, *args, **kwargs))
        except StateStoreError as error:
            error.landed = call.landed
            raise
        except Failure as failure:
            raise self.translate(failure, key, call.landed) from failure
        except Exception as error:
            raise UnavailableError(
                f"the request failed: {error!r}", key=key, store=self._store, landed=call.landed
            ) from error

    def _connect(self) -> Client:
        if (client := self._client) is not None:
            return client
        with self._lock:
            if self._client is None:
                self._client = make(self.kind, self._bucket, self._config)
            return self._client

    def reset_after_fork(self) -> Client | None:
        """Start over in a forked child; return the parent's client."""
        self._lock, self.once = threading.Lock(), threading.Lock()
        client, self._client = self._client, None
        return client


_living: weakref.WeakSet[Requests] = weakref.WeakSet()
_of_parents: list[Client | None] = []


def _forget_parents() -> None:
    # Kept, because closing or collecting a client in a child removes its connections from the event
    # loop, which at this point is still the parent's: that would wait in vain.
    _of_parents.extend([requests.reset_after_fork() for requests in _living])


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_parents)
