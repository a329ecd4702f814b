"""Requests to a bucket: sent once each, again where that is right, with errors in our words."""

from __future__ import annotations

import asyncio
import os
import random
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Concatenate, NoReturn, ParamSpec, TypeVar
from urllib.parse import urlsplit

import botocore.exceptions
from aiobotocore.httpsession import AIOHTTPSession
from botocore.exceptions import ClientError
from fsspec.asyn import sync
from s3fs import S3FileSystem

from statekeep.errors import (
    AccessDeniedError,
    ConfigError,
    InvalidKeyError,
    StateStoreError,
    UnavailableError,
    UnsupportedError,
)
from statekeep.operations import count_request

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

    from statekeep_backends.s3.config import S3Config

__all__ = ["CHANGED", "MISSING", "NO_ANSWER", "Requests", "code_of"]

P = ParamSpec("P")
T = TypeVar("T")

MISSING = {"NoSuchKey", "NotFound", "404"}
CHANGED = {"PreconditionFailed", "412"}
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
ELSEWHERE = {
    "AuthorizationHeaderMalformed",
    "IllegalLocationConstraintException",
    "PermanentRedirect",
    "301",
}
BUSY = {
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
_KNOWN = MISSING | CHANGED | DENIED | ELSEWHERE | BUSY

NO_ANSWER = (
    botocore.exceptions.ConnectionError,
    botocore.exceptions.HTTPClientError,
    botocore.exceptions.IncompleteReadError,
    botocore.exceptions.ResponseStreamingError,
    asyncio.TimeoutError,
    ConnectionError,
)
_NO_CREDENTIALS = (
    botocore.exceptions.CredentialRetrievalError,
    botocore.exceptions.NoCredentialsError,
    botocore.exceptions.PartialCredentialsError,
    botocore.exceptions.TokenRetrievalError,
)
_SIGN_IN = (
    "sign in the usual AWS ways: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, a profile or a role"
)
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 5.0


class Requests:
    """The connection to a bucket, made when first needed and again in a forked child.

    s3fs makes the client and runs the loop. Its file operations are not used: they cache, probe,
    and drop conditions.

    Args:
        bucket: The bucket.
        config: Options.
        store: Who sends, for error messages.
    """

    def __init__(self, bucket: str, config: S3Config, store: object) -> None:
        self._bucket = bucket
        self._config = config
        self._store = store
        self._lock = threading.Lock()
        self._filesystem: S3FileSystem | None = None
        self._pid = 0

    def run(
        self,
        operation: Callable[Concatenate[Any, P], Coroutine[Any, Any, T]],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """Run an operation on the loop and wait for it; only our own errors come out."""
        filesystem = self._connect()

        async def connected() -> T:
            return await operation(await filesystem.set_session(), *args, **kwargs)

        try:
            result: T = sync(filesystem.loop, connected)
        except StateStoreError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, it does not leave as it is
            self.fail(error, None)
        return result

    async def persist(self, attempt: Callable[[], Awaitable[T]], key: str | None) -> T:
        """Send a request until it is answered for good, with a jittered back-off.

        Each time counts as a request of the operation that runs.

        Raises:
            ClientError: The answer is an error that does not pass by waiting.
            UnavailableError: There was no such answer.
        """
        for tries in range(self._config.retries + 1):
            count_request()
            try:
                return await attempt()
            except ClientError as error:
                if code_of(error) not in BUSY:
                    raise
                last: Exception = error
            except botocore.exceptions.SSLError:
                raise
            except NO_ANSWER as error:
                last = error
            if tries < self._config.retries:
                pause = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2**tries)
                await asyncio.sleep(random.uniform(pause / 2, pause))  # noqa: S311 - jitter
        self.fail(last, key)
        return None

    def close(self) -> None:
        """Close the connections, if this process opened them."""
        with self._lock:
            filesystem, self._filesystem = self._filesystem, None
            if filesystem is not None and self._pid == os.getpid():
                sync(filesystem.loop, _close, filesystem)

    def fail(self, error: Exception, key: str | None) -> NoReturn:
        """Raise what an exception of the libraries means."""
        if isinstance(error, ClientError):
            message = error.response.get("Error", {}).get("Message", "")
            self.fail_with(code_of(error), message, key, error)
        if isinstance(error, NO_ANSWER) and not isinstance(error, botocore.exceptions.SSLError):
            raise UnavailableError(
                f"no answer ({type(error).__name__}); a write may have landed; retry later",
                key=key,
                store=self._store,
            ) from error
        if isinstance(error, _NO_CREDENTIALS):
            raise AccessDeniedError(
                f"no credentials; {_SIGN_IN}", key=key, store=self._store
            ) from error
        if isinstance(error, botocore.exceptions.BotoCoreError | ValueError):
            raise ConfigError(f"S3 is configured wrongly: {error}", store=self._store) from error
        raise UnavailableError(
            f"the request failed: {error!r}", key=key, store=self._store
        ) from error

    def fail_with(
        self, code: str, message: str, key: str | None, cause: Exception | None = None
    ) -> NoReturn:
        """Raise what an error code of S3 means."""
        said = f"{code}: {message}" if message else code
        if code == "NoSuchBucket":
            raise ConfigError(
                f"there is no bucket {self._bucket!r}; create it, or mend the URL",
                store=self._store,
            ) from cause
        if code in DENIED:
            raise AccessDeniedError(
                f"S3 refuses ({said}); {_SIGN_IN}", key=key, store=self._store
            ) from cause
        if code in ELSEWHERE:
            raise ConfigError(
                f"the bucket is elsewhere ({said}); set the option region", store=self._store
            ) from cause
        if code in BUSY:
            raise UnavailableError(
                f"S3 asks to wait ({said}); retry later", key=key, store=self._store
            ) from cause
        if code == "KeyTooLongError":
            raise InvalidKeyError("too long for this server", key=key, store=self._store) from cause
        raise UnsupportedError(
            f"the server refuses ({said})", key=key, store=self._store
        ) from cause

    def _connect(self) -> S3FileSystem:
        with self._lock:
            if self._filesystem is None or self._pid != os.getpid():
                self._filesystem = _make_filesystem(self._config)
                self._pid = os.getpid()
            return self._filesystem


def code_of(error: ClientError) -> str:
    """The code of an error; where the body has none that we know, its status."""
    code = str(error.response.get("Error", {}).get("Code", ""))
    status = str(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", ""))
    vague = code not in _KNOWN and code != "NoSuchBucket"
    return status if vague and status in _KNOWN else code


def is_aws(client: Any) -> bool:
    """Whether a client talks to Amazon itself."""
    host = urlsplit(client.meta.endpoint_url).hostname or ""
    return host.endswith((".amazonaws.com", ".amazonaws.com.cn"))


class _SendOnce(AIOHTTPSession):  # type: ignore[misc]
    """Sends each request once.

    The HTTP library would send it again, unasked, when a kept connection breaks before the
    answer; then it could not be known that an answer was lost.
    """

    async def _get_session(self, proxy_url: str | None) -> Any:
        session = await super()._get_session(proxy_url)
        with suppress(AttributeError):
            session._retry_connection = False  # noqa: SLF001
        return session


def _make_filesystem(config: S3Config) -> S3FileSystem:
    options: dict[str, Any] = {
        "connect_timeout": config.connect_timeout,
        "read_timeout": config.read_timeout,
        "retries": {"total_max_attempts": 1, "mode": "standard"},
        "max_pool_connections": max(64, config.max_concurrency),
        "s3": {"addressing_style": config.addressing_style},
        "http_session_cls": _SendOnce,
    }
    if config.endpoint_url is not None:
        # Many other servers do not know the checksums that AWS's clients add by now.
        options["request_checksum_calculation"] = "when_required"
        options["response_checksum_validation"] = "when_required"
    return S3FileSystem(
        anon=config.anon,
        endpoint_url=config.endpoint_url,
        client_kwargs={"region_name": config.region} if config.region else {},
        config_kwargs=options,
        use_listings_cache=False,
        skip_instance_cache=True,
        max_concurrency=1,
        **({"profile": config.profile} if config.profile else {}),
    )


async def _close(filesystem: S3FileSystem) -> None:
    if filesystem._s3 is not None:  # noqa: SLF001 - its own close() waits a tenth of a second only
        await filesystem._s3creator.__aexit__(None, None, None)  # noqa: SLF001
