"""Requests to a bucket: sent again where that is right, with errors in our words."""

from __future__ import annotations

import os
import random
import threading
import weakref
from typing import TYPE_CHECKING, Any, Concatenate, Literal, ParamSpec, TypeVar

from statekeep.errors import (
    AccessDeniedError,
    ConfigError,
    InvalidKeyError,
    StateStoreError,
    UnavailableError,
    UnsupportedError,
)
from statekeep_backends.s3.choice import choose, make
from statekeep_backends.s3.client import (
    DENIED,
    MISCONFIGURED,
    NO_ANSWER,
    NO_CREDENTIALS,
    NOT_SUPPORTED,
    RETRYABLE,
    WRONG_REGION,
    Failure,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from statekeep_backends.s3.choice import Kind
    from statekeep_backends.s3.client import Client
    from statekeep_backends.s3.config import S3Config

__all__ = ["Call", "Requests"]

P = ParamSpec("P")
T = TypeVar("T")
Landed = Literal["no", "unknown"]

_SIGN_IN = (
    "sign in the usual AWS ways: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, a profile or a role"
)
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 5.0


class Call:
    """One call of a store, and what its requests may have done so far.

    Args:
        retries: How often each may be sent again.
        landed: ``"no"`` for a write, None for a read.

    Attributes:
        client: Sends the requests.
        landed: What an error of this call says in `StateStoreError.landed`.
    """

    client: Client

    def __init__(self, retries: int, landed: Landed | None) -> None:
        self._retries = retries
        self.landed = landed

    async def send_with_retry(self, request: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Send a request that changes nothing, again and again until it is answered for good.

        Raises:
            Failure: The last one, or the first that does not pass by waiting.
        """
        for tries in range(self._retries):
            try:
                return await request()
            except Failure as failure:
                if failure.code not in RETRYABLE | {NO_ANSWER}:
                    raise
            pause = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2**tries)
            await self.client.pause(random.uniform(pause / 2, pause))  # noqa: S311 - jitter
        return await request()

    async def write_with_retry(self, request: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Send a request that changes something, and keep account of what may have landed.

        Raises:
            Failure: As `send_with_retry`.
        """

        async def attempt() -> T:
            before, self.landed = self.landed, "unknown"
            try:
                return await request()
            except Failure as failure:
                if failure.refused:
                    self.landed = before
                raise

        return await self.send_with_retry(attempt)


class Requests:
    """The client of a bucket, made when first needed and again in a forked child.

    Args:
        bucket: The bucket.
        config: Options.
        store: Who sends, for error messages.

    Attributes:
        kind: Which client it is.
        once: To be held while a request is sent that need not be sent by several threads.

    Raises:
        ConfigError: The client that is asked for is not installed, or cannot do what else is.
    """

    def __init__(self, bucket: str, config: S3Config, store: object) -> None:
        self._bucket = bucket
        self._config = config
        self._store = store
        self.kind: Kind = choose(config)
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
        """Run an operation that changes nothing and wait for it; only our own errors come out."""
        return self._run(key, Call(self._config.retries, None), operation, *args, **kwargs)

    def write(
        self,
        key: str | None,
        operation: Callable[Concatenate[Call, P], Coroutine[Any, Any, T]],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """Run an operation that changes something; its errors say what may have landed."""
        return self._run(key, Call(self._config.retries, "no"), operation, *args, **kwargs)

    def close(self) -> None:
        """Close the connections."""
        with self._lock:
            client, self._client = self._client, None
            if client is not None:
                client.close()

    def translate(
        self, failure: Failure, key: str | None, landed: Landed | None = None
    ) -> StateStoreError:
        """The error that a failure is for the caller."""
        error = self._translate(failure, key)
        error.landed = landed
        return error

    def _translate(self, failure: Failure, key: str | None) -> StateStoreError:
        code, said, store = failure.code, str(failure), self._store
        if code == NO_ANSWER:
            said = f"no answer ({failure.message})"
            return UnavailableError(f"{said}; retry later", key=key, store=store)
        if code in RETRYABLE:
            return UnavailableError(f"S3 asks to wait ({said}); retry later", key=key, store=store)
        if code in DENIED:
            return AccessDeniedError(f"S3 refuses ({said}); {_SIGN_IN}", key=key, store=store)
        if code == NO_CREDENTIALS:
            return AccessDeniedError(f"{said}; {_SIGN_IN}", key=key, store=store)
        if code == "NoSuchBucket":
            return ConfigError(
                f"there is no bucket {self._bucket!r}; create it, or mend the URL", store=store
            )
        if code in WRONG_REGION:
            return ConfigError(
                f"the bucket is elsewhere ({said}); set the option region", store=store
            )
        if code == MISCONFIGURED:
            return ConfigError(f"S3 is configured wrongly: {failure.message}", store=store)
        if code == "KeyTooLongError":
            return InvalidKeyError("too long for this server", key=key, store=store)
        if code == NOT_SUPPORTED:
            return UnsupportedError(failure.message, key=key, store=store)
        return UnsupportedError(f"the server refuses ({said})", key=key, store=store)

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
        """Begin anew in a forked child; give the client of the parent."""
        self._lock, self.once = threading.Lock(), threading.Lock()
        client, self._client = self._client, None
        return client


_living: weakref.WeakSet[Requests] = weakref.WeakSet()
_of_parents: list[Client | None] = []


def _begin_anew() -> None:
    # Kept, because a client that is closed or collected in a child takes its connections out of
    # the event loop, which at that depth is still the parent's: that would wait in vain.
    _of_parents.extend([requests.reset_after_fork() for requests in _living])


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_anew)
