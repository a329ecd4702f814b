"""Requests through s3fs. Needs the extra ``s3``."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from base64 import b64encode
from contextlib import contextmanager, suppress
from datetime import datetime
from email.utils import parsedate_to_datetime
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar
from zlib import crc32

import aiohttp
import botocore.exceptions
import botocore.parsers
import botocore.utils
from aiobotocore.httpsession import AIOHTTPSession
from aiobotocore.session import AioSession
from botocore.exceptions import ClientError
from botocore.handlers import _handle_200_error, add_expect_header
from fsspec.asyn import sync
from s3fs import S3FileSystem

from statekeep import __version__
from statekeep.observe.emitter import count_request
from statekeep.store import ABSENT, ANY, Version
from statekeep.timestamps import to_utc
from statekeep_backends.s3.answers import not_s3, read_deletion, read_listing
from statekeep_backends.s3.client import (
    PAGE,
    SEND_BEFORE,
    Client,
    Content,
    Head,
    Page,
    Refusal,
    is_aws,
)
from statekeep_backends.s3.failures import (
    MISCONFIGURED,
    NO_ANSWER,
    NO_CREDENTIALS,
    NOT_S3,
    REDIRECTED,
    Failure,
    Kind,
    no_answer,
    no_tls,
    refuse_large,
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
    botocore.exceptions.FlexibleChecksumError,
    botocore.exceptions.HTTPClientError,
    botocore.exceptions.IncompleteReadError,
    botocore.exceptions.ResponseStreamingError,
    asyncio.TimeoutError,
    ConnectionError,
)
_TIMED_OUT = (
    botocore.exceptions.ConnectTimeoutError,
    botocore.exceptions.ReadTimeoutError,
    TimeoutError,
)
# Not `EndpointConnectionError`, which also stands for a connection that broke.
_UNCONNECTED = (
    aiohttp.ClientConnectorError,
    botocore.exceptions.ConnectTimeoutError,
    botocore.exceptions.ProxyConnectionError,
    socket.gaierror,
)
_BROKEN = (
    aiohttp.ClientError,
    botocore.exceptions.ConnectionClosedError,
    botocore.exceptions.EndpointConnectionError,
    botocore.exceptions.IncompleteReadError,
    botocore.exceptions.ResponseStreamingError,
    ConnectionError,
)
_NO_CREDENTIALS = (
    botocore.exceptions.CredentialRetrievalError,
    botocore.exceptions.NoCredentialsError,
    botocore.exceptions.PartialCredentialsError,
    botocore.exceptions.TokenRetrievalError,
)


_RAW = "statekeep: as it came"
_READ_HERE = {"DeleteObjects", "ListObjectsV2"}
_NO_CONTENT = 204
_NO_SUCCESS = 300

_RENEWED_FOR = 30.0
"""Seconds within which credentials are looked for only once."""


class S3fsClient(Client):
    """A client that s3fs creates, on a loop that fsspec runs.

    It does not use the file operations of s3fs: they cache, probe, and drop conditions.
    """

    def __init__(self, bucket: str, config: S3Config) -> None:
        self._bucket = bucket
        self._config = config
        self._filesystem = _make_filesystem(config)
        self._previous: S3FileSystem | None = None
        self._renewed = -_RENEWED_FOR
        self._added = _parameters_of_writes(config)

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        result: T = sync(self._filesystem.loop, lambda: coroutine)
        return result

    async def pause(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def map(
        self, function: Callable[[A], Coroutine[Any, Any, T]], items: Sequence[A]
    ) -> list[T]:
        free = asyncio.Semaphore(self._config.max_concurrency)

        async def call(item: A) -> T:
            async with free:
                return await function(item)

        calls = [asyncio.ensure_future(call(item)) for item in items]
        try:
            return await asyncio.gather(*calls)
        except BaseException:
            # gather() would let the others run on, though nobody needs their results.
            for each in calls:
                each.cancel()
            await asyncio.gather(*calls, return_exceptions=True)
            raise

    async def on_aws(self) -> bool:
        return is_aws((await self._connect()).meta.endpoint_url)

    async def get(self, name: str, most: int) -> Content:
        with _failures():
            answer = await self._call("get_object", Key=name)
            async with answer["Body"] as body:
                data = await _read(body, answer.get("ContentLength"), most)
        modified = answer.get("LastModified")
        return Content(data, _version(answer, "GET", data), modified and to_utc(modified))

    async def head(self, name: str) -> Head:
        with _failures():
            answer = await self._call("head_object", Key=name)
        return Head(_version(answer, "HEAD"), answer.get("Metadata", {}))

    async def put(
        self, name: str, data: bytes, expect: Expect, kind: str, metadata: Mapping[str, str]
    ) -> Version:
        more = dict(self._added)
        if expect is not ANY:
            more |= {"IfNoneMatch": "*"} if expect is ABSENT else {"IfMatch": expect}
        if self._config.checksum:
            more["ChecksumCRC32"] = b64encode(crc32(data).to_bytes(4, "big")).decode()
        with _failures():
            answer = await self._call(
                "put_object", Key=name, Body=data, ContentType=kind, Metadata=metadata, **more
            )
        return _version(answer, "PUT")

    async def delete(self, name: str, expect: ExpectSeen) -> None:
        condition = {} if expect is ANY else {"IfMatch": expect}
        with _failures():
            answer = await self._call("delete_object", Key=name, **condition)
        status = answer["ResponseMetadata"]["HTTPStatusCode"]
        if status != _NO_CONTENT:
            raise not_s3(f"a DELETE was answered by status {status}", answer[_RAW])

    async def delete_many(self, names: Sequence[str]) -> list[Refusal]:
        objects = [{"Key": name} for name in names]
        with _failures():
            answer = await self._call("delete_objects", Delete={"Objects": objects, "Quiet": True})
        return read_deletion(answer[_RAW])

    async def page(self, start: str, more: str | None) -> Page:
        place = {} if more is None else {"ContinuationToken": more}
        with _failures():
            answer = await self._call("list_objects_v2", Prefix=start, MaxKeys=PAGE, **place)
        return read_listing(answer[_RAW], self._bucket, start)

    async def renew(self) -> None:
        now = time.monotonic()
        if now - self._renewed < _RENEWED_FOR:
            return  # another thread just did
        # Running requests keep theirs until the next renewal.
        ended, self._previous = self._previous, self._filesystem
        self._filesystem, self._renewed = _make_filesystem(self._config), now
        if ended is not None:
            await _close(ended)

    def close(self) -> None:
        for filesystem in (self._filesystem, self._previous):
            if filesystem is not None:
                sync(filesystem.loop, _close, filesystem)

    async def _call(self, operation: str, **arguments: Any) -> Any:
        client = await self._connect()
        count_request()
        return await getattr(client, operation)(Bucket=self._bucket, **arguments)

    async def _connect(self) -> Any:
        with _failures(unsent=True):
            return await self._filesystem.set_session()


class _SendOnce(AIOHTTPSession):  # type: ignore[misc]
    """Sends each request once, and only to the server that it is for.

    The HTTP library would silently re-send it if a kept connection breaks before the answer; then
    nobody could know that an answer was lost. It would also follow redirects.
    """

    async def _get_session(self, proxy_url: str | None) -> Any:
        session = await super()._get_session(proxy_url)
        with suppress(AttributeError):
            session._retry_connection = False  # noqa: SLF001
        if not isinstance(session._request, partial):  # noqa: SLF001
            session._request = partial(session._request, allow_redirects=False)  # noqa: SLF001
        return session


async def _read(body: Any, length: int | None, most: int) -> bytes:
    if length is not None:
        refuse_large(length, most)
        data: bytes = await body.read()
        return data
    # Some servers answer in chunks, and do not say how many.
    chunks, room = [], most + 1
    while chunk := await body.read(room):
        chunks.append(chunk)
        room -= len(chunk)
        if not room:
            refuse_large(None, most)
    return b"".join(chunks)


async def _close(filesystem: S3FileSystem) -> None:
    if filesystem._s3 is not None:  # noqa: SLF001 - its own close() only waits 0.1 s
        await filesystem._s3creator.__aexit__(None, None, None)  # noqa: SLF001


def _parameters_of_writes(config: S3Config) -> dict[str, str]:
    said = {
        "ServerSideEncryption": config.sse,
        "SSEKMSKeyId": config.sse_kms_key_id,
        "StorageClass": config.storage_class,
    }
    return {name: value for name, value in said.items() if value is not None}


def _version(answer: Mapping[str, Any], method: str, body: bytes = b"") -> Version:
    if not answer.get("ETag"):
        raise not_s3(f"the answer to {method} has no ETag", body or answer.get(_RAW, b""))
    return Version(answer["ETag"])


def _refuse_late(**_: object) -> None:
    # Between the start of the call and now, it may have waited for credentials.
    if time.monotonic() >= SEND_BEFORE.get():
        raise Failure(NO_ANSWER, "preparing the request took too long", unsent=True)


def _follow_no_further(params: Mapping[str, Any], **_: object) -> None:
    # botocore asks by HEAD where a bucket is, and if that is redirected, asks again, forever.
    params["context"].setdefault("s3_redirect", {})["redirected"] = True


def _keep_answer(
    operation_model: Any,
    response_dict: dict[str, Any],
    customized_response_dict: dict[str, Any],
    **_: object,
) -> None:
    """Return the answer unparsed: botocore sees an empty listing in any document."""
    body = response_dict["body"]
    if isinstance(body, bytes):
        customized_response_dict[_RAW] = body
        if response_dict["status_code"] < _NO_SUCCESS and operation_model.name in _READ_HERE:
            response_dict["body"] = b""


def _make_filesystem(config: S3Config) -> S3FileSystem:
    options: dict[str, Any] = {
        "connect_timeout": config.connect_timeout,
        "read_timeout": config.read_timeout,
        "retries": {"total_max_attempts": 1, "mode": "standard"},
        "max_pool_connections": max(64, config.max_concurrency),
        "s3": {"addressing_style": config.addressing_style},
        "http_session_cls": _SendOnce,
        # Short, because botocore builds its own for each request.
        "user_agent": f"statekeep/{__version__} (s3fs)",
    }
    # The checksum of a write is passed with it, in a header; botocore's own follows the body, in a
    # form that many other servers do not know.
    options["request_checksum_calculation"] = "when_required"
    if config.endpoint_url is not None:
        options["response_checksum_validation"] = "when_required"
    session = AioSession(profile=config.profile)
    # It turns status 200 into 500 if the body is not XML. This module handles that itself.
    session.unregister("before-parse.s3.*", _handle_200_error)
    # The HTTP library waits forever for permission to send the body.
    session.unregister("before-call.s3", add_expect_header)
    session.register("before-call.s3.HeadBucket", _follow_no_further)
    session.register("before-parse.s3", _keep_answer)
    session.register("before-send.s3", _refuse_late)
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
    """Parse a time in an answer; botocore's parser takes most of the time of a LIST."""
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
        unsent: Whether nothing has been sent yet.
    """
    try:
        yield
    except ClientError as error:
        raise _failure_of(error.response) from error
    except botocore.parsers.ResponseParserError as error:
        raise Failure(NOT_S3, str(error)) from error
    except _NO_CREDENTIALS as error:
        raise Failure(NO_CREDENTIALS, str(error), unsent=True) from error
    except botocore.exceptions.SSLError as error:  # from the handshake
        raise _not_encrypted(error) from error
    except _LOST as error:
        raise _not_answered(error, unsent=unsent) from error
    except (botocore.exceptions.BotoCoreError, ValueError) as error:
        raise Failure(MISCONFIGURED, str(error), unsent=unsent) from error


def _failure_of(answer: Mapping[str, Any]) -> Failure:
    said, meta, raw = answer.get("Error", {}), answer.get("ResponseMetadata", {}), answer.get(_RAW)
    failure = Failure(
        str(said.get("Code", "")), said.get("Message", ""), str(meta.get("HTTPStatusCode", ""))
    )
    if failure.kind is Kind.MISSING and raw and b"<Code>" not in raw:
        return not_s3("that there is nothing", raw)
    headers = meta.get("HTTPHeaders", {})
    if failure.kind is Kind.REDIRECTED:
        where = headers.get("location", "nowhere")
        return Failure(REDIRECTED, f"{meta['HTTPStatusCode']} to {where}", "300")
    if failure.kind is Kind.ELSEWHERE and (region := headers.get("x-amz-bucket-region")):
        return Failure(failure.code, f"{failure.message} in {region}", "300")
    return failure


def _not_answered(error: BaseException, *, unsent: bool) -> Failure:
    """Return a failure with the system's message, which the libraries wrap, or their own name."""
    told = getattr(error, "kwargs", {})
    url, inner = told.get("endpoint_url") or "", told.get("error") or error
    unconnected = isinstance(error, _UNCONNECTED) or isinstance(inner, _UNCONNECTED)
    unsent = unsent or unconnected
    if isinstance(error, _TIMED_OUT):
        return no_answer(url, "timed out", unsent=unsent)
    said = getattr(inner, "os_error", None) or inner
    number, text = getattr(said, "errno", None) or 0, getattr(said, "strerror", None)
    # asyncio puts its own words there, except where a name is not found.
    why = os.strerror(number) if number > 0 else str(text or said)
    what = type(error).__name__
    if unconnected:
        what = "cannot connect"
    elif isinstance(error, _BROKEN):
        what = "the connection broke"
    return no_answer(url, what, why, unsent=unsent)


def _not_encrypted(error: botocore.exceptions.SSLError) -> Failure:
    inner = error.kwargs.get("error")
    said = getattr(inner, "os_error", None) or getattr(inner, "certificate_error", None) or inner
    why = getattr(said, "verify_message", None) or getattr(said, "reason", None) or said
    return no_tls(error.kwargs.get("endpoint_url") or "", str(why), unsent=True)
