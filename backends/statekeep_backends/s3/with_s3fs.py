"""Requests through s3fs. Needs the extra ``s3``."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager, suppress
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, TypeVar

import aiohttp
import botocore.exceptions
import botocore.utils
from aiobotocore.httpsession import AIOHTTPSession
from aiobotocore.session import AioSession
from botocore.exceptions import ClientError
from fsspec.asyn import sync
from s3fs import S3FileSystem

from statekeep import __version__
from statekeep.observe.emitter import count_request
from statekeep.store import ABSENT, ANY, Version
from statekeep.timestamps import to_utc
from statekeep_backends.s3.client import (
    MISCONFIGURED,
    NO_ANSWER,
    NO_CREDENTIALS,
    PAGE,
    After,
    Client,
    Content,
    Failure,
    Head,
    Object,
    Page,
    Refusal,
    is_aws,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence

    from statekeep.store import Expect, ExpectSeen
    from statekeep_backends.s3.config import S3Config

__all__ = ["S3fsClient"]

A = TypeVar("A")
T = TypeVar("T")

_LOST = (
    aiohttp.ClientError,
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


class S3fsClient(Client):
    """s3fs makes the client and fsspec runs the loop.

    The file operations of s3fs are not used: they cache, probe, and drop conditions.
    """

    def __init__(self, bucket: str, config: S3Config) -> None:
        self._bucket = bucket
        self._at_once = config.max_concurrency
        self._filesystem = _make_filesystem(config)

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        result: T = sync(self._filesystem.loop, lambda: coroutine)
        return result

    async def pause(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def map(
        self, function: Callable[[A], Coroutine[Any, Any, T]], items: Sequence[A]
    ) -> list[T]:
        free = asyncio.Semaphore(self._at_once)

        async def call(item: A) -> T:
            async with free:
                return await function(item)

        calls = [asyncio.ensure_future(call(item)) for item in items]
        try:
            return await asyncio.gather(*calls)
        except BaseException:
            # gather() would leave the others under way, for nobody.
            for each in calls:
                each.cancel()
            await asyncio.gather(*calls, return_exceptions=True)
            raise

    async def on_aws(self) -> bool:
        return is_aws((await self._connect()).meta.endpoint_url)

    async def get(self, name: str) -> Content:
        with _failures():
            answer = await self._call("get_object", Key=name)
            async with answer["Body"] as body:
                data = await body.read()
        return Content(data, Version(answer["ETag"]), to_utc(answer["LastModified"]))

    async def head(self, name: str) -> Head:
        with _failures():
            answer = await self._call("head_object", Key=name)
        return Head(Version(answer["ETag"]), answer["Metadata"])

    async def put(
        self, name: str, data: bytes, expect: Expect, kind: str, metadata: Mapping[str, str]
    ) -> Version:
        condition: dict[str, str] = {}
        if expect is not ANY:
            condition = {"IfNoneMatch": "*"} if expect is ABSENT else {"IfMatch": expect}
        with _failures():
            answer = await self._call(
                "put_object", Key=name, Body=data, ContentType=kind, Metadata=metadata, **condition
            )
        return Version(answer["ETag"])

    async def delete(self, name: str, expect: ExpectSeen) -> None:
        condition = {} if expect is ANY else {"IfMatch": expect}
        with _failures():
            await self._call("delete_object", Key=name, **condition)

    async def delete_many(self, names: Sequence[str]) -> list[Refusal]:
        objects = [{"Key": name} for name in names]
        with _failures():
            answer = await self._call("delete_objects", Delete={"Objects": objects, "Quiet": True})
        return [
            Refusal(error.get("Key", ""), error.get("Code", ""), error.get("Message", ""))
            for error in answer.get("Errors", ())
        ]

    async def page(self, start: str, more: object | None) -> Page:
        place: dict[str, object] = {}
        if isinstance(more, After):
            place = {"StartAfter": more.name}
        elif more is not None:
            place = {"ContinuationToken": more}
        with _failures():
            answer = await self._call("list_objects_v2", Prefix=start, MaxKeys=PAGE, **place)
        objects = [
            Object(found["Key"], found["Size"], to_utc(found["LastModified"]), found["ETag"])
            for found in answer.get("Contents", ())
        ]
        return Page(objects, answer["NextContinuationToken"] if answer["IsTruncated"] else None)

    def close(self) -> None:
        sync(self._filesystem.loop, self._close)

    async def _call(self, operation: str, **arguments: Any) -> Any:
        client = await self._connect()
        count_request()
        return await getattr(client, operation)(Bucket=self._bucket, **arguments)

    async def _connect(self) -> Any:
        with _failures(unsent=True):
            return await self._filesystem.set_session()

    async def _close(self) -> None:
        if self._filesystem._s3 is not None:  # noqa: SLF001 - its own close() waits 0.1 s only
            await self._filesystem._s3creator.__aexit__(None, None, None)  # noqa: SLF001


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
        # Short, because botocore composes its own anew for each request.
        "user_agent": f"statekeep/{__version__} (s3fs)",
    }
    if config.endpoint_url is not None:
        # Many other servers do not know the checksums that AWS's clients add by now.
        options["request_checksum_calculation"] = "when_required"
        options["response_checksum_validation"] = "when_required"
    session = AioSession(profile=config.profile)
    parsers = session.get_component("response_parser_factory")
    parsers.set_parser_defaults(timestamp_parser=_parse_timestamp)
    return S3FileSystem(
        session=session,
        anon=config.anon,
        endpoint_url=config.endpoint_url,
        client_kwargs={"region_name": config.region} if config.region else {},
        config_kwargs=options,
        use_listings_cache=False,
        skip_instance_cache=True,
        max_concurrency=1,
    )


def _parse_timestamp(value: object) -> datetime:
    """Read a time of an answer; botocore's own parser takes most of the time of a LIST."""
    if isinstance(value, str):
        with suppress(ValueError):
            in_body = value.endswith("Z")
            read = datetime.fromisoformat(value) if in_body else parsedate_to_datetime(value)
            if read.tzinfo is not None:
                return read
    moment: datetime = botocore.utils.parse_timestamp(value)
    return moment


@contextmanager
def _failures(*, unsent: bool = False) -> Iterator[None]:
    """Translate the exceptions of the libraries.

    Args:
        unsent: Whether nothing is sent yet.
    """
    try:
        yield
    except ClientError as error:
        said = error.response.get("Error", {})
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", "")
        raise Failure(str(said.get("Code", "")), said.get("Message", ""), str(status)) from error
    except _NO_CREDENTIALS as error:
        raise Failure(NO_CREDENTIALS, str(error), unsent=True) from error
    except botocore.exceptions.SSLError as error:  # of the handshake
        raise Failure(MISCONFIGURED, str(error), unsent=True) from error
    except _LOST as error:
        raise Failure(NO_ANSWER, type(error).__name__, unsent=unsent) from error
    except (botocore.exceptions.BotoCoreError, ValueError) as error:
        raise Failure(MISCONFIGURED, str(error), unsent=unsent) from error
