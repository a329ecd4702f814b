"""Requests through obstore. Needs the extra ``obstore``, and ``s3`` for what obstore lacks."""

from __future__ import annotations

import html
import os
import re
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from contextvars import copy_context
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar
from urllib.parse import urlsplit

import obstore
from obstore.exceptions import UnauthenticatedError
from obstore.store import S3Store as Bucket

from statekeep import __version__
from statekeep.observe.emitter import count_request
from statekeep.store import ABSENT, ANY, Version
from statekeep_backends.s3.answers import not_s3
from statekeep_backends.s3.client import Client, Content, Head, Page, Refusal, is_aws
from statekeep_backends.s3.environment import Environment
from statekeep_backends.s3.extras import GET_S3FS, is_installed
from statekeep_backends.s3.failures import (
    MISCONFIGURED,
    NO_CREDENTIALS,
    NOT_S3,
    NOT_SUPPORTED,
    REDIRECTED,
    Failure,
    Kind,
    no_answer,
    no_tls,
    refuse_large,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
    from types import TracebackType

    from obstore import PutMode
    from obstore.store import ClientConfig
    from obstore.store import S3Config as Options

    from statekeep.store import Expect, ExpectSeen
    from statekeep_backends.s3.config import S3Config

__all__ = ["ObstoreClient"]

A = TypeVar("A")
T = TypeVar("T")


class ObstoreClient(Client):
    """Calls obstore's synchronous functions, which are faster from threads than its async ones.

    So its coroutines never wait, and each runs to completion in the thread that calls `run`.
    """

    process: ClassVar[int | None] = None
    """The process with obstore's own threads. In a child forked afterwards, it hangs forever."""

    def __init__(self, bucket: str, config: S3Config) -> None:
        if ObstoreClient.process is None:
            ObstoreClient.process = os.getpid()
        self._name = bucket
        self._config = config
        self._request = _Request(bucket)
        self._lock = threading.Lock()
        self._s3fs: Client | None = None
        self._renewed = -_RENEWED_FOR
        self._open()

    def _open(self) -> None:
        try:
            self._environment = Environment.read(self._config)
            self._bucket = _open(self._name, self._config, self._environment)
        except Exception as error:
            raise Failure(MISCONFIGURED, str(error), unsent=True) from error

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        try:
            coroutine.send(None)
        except StopIteration as ended:
            result: T = ended.value
            return result
        raise AssertionError("it waits for something")

    async def pause(self, seconds: float) -> None:
        time.sleep(seconds)  # noqa: ASYNC251 - there is no loop

    async def map(
        self, function: Callable[[A], Coroutine[Any, Any, T]], items: Sequence[A]
    ) -> list[T]:
        # With the caller's context variables, so that requests count toward its operation.
        context = copy_context()

        def call(item: A) -> T:
            return context.copy().run(self.run, function(item))

        calls: list[Future[T]] = []
        with _threads(self._config.max_concurrency) as threads:
            try:
                for item in items:
                    calls.append(threads.submit(call, item))  # noqa: PERF401 - it may fail halfway
                return [each.result() for each in calls]
            finally:
                _abandon(calls)

    async def on_aws(self) -> bool:
        return is_aws(self._environment.endpoint_url)

    async def get(self, name: str, most: int) -> Content:
        with self._request:
            answer = obstore.get(self._bucket, name)
            meta = answer.meta  # created on every access
            refuse_large(meta["size"], most)
            data = bytes(answer.bytes())
        modified = meta["last_modified"]
        return Content(
            data,
            _version(meta["e_tag"], "GET", data),
            modified if modified > _NEVER else None,
        )

    async def head(self, name: str) -> Head:
        with self._request:
            answer = obstore.get(self._bucket, name, options={"head": True})
        return Head(_version(answer.meta["e_tag"], "HEAD"), answer.attributes)

    async def put(
        self, name: str, data: bytes, expect: Expect, kind: str, metadata: Mapping[str, str]
    ) -> Version:
        mode: PutMode = "overwrite"
        if expect is not ANY:
            mode = "create" if expect is ABSENT else {"e_tag": expect}
        attributes = {"Content-Type": kind, **metadata}
        if self._config.storage_class is not None:
            attributes["Storage-Class"] = self._config.storage_class
        with self._request:
            answer = obstore.put(
                self._bucket, name, data, attributes=attributes, mode=mode, use_multipart=False
            )
        return _version(answer["e_tag"], "PUT")

    async def delete(self, name: str, expect: ExpectSeen) -> None:
        # obstore accepts any answer to a DELETE, but not to a bulk delete.
        if expect is not ANY or is_installed("s3fs"):
            s3fs = self._instead("delete on a condition")
            s3fs.run(s3fs.delete(name, expect))
            return
        for refusal in await self.delete_many([name]):
            failure = Failure(refusal.code, refusal.message)
            failure.refused = not failure.kind.passes
            raise failure

    async def delete_many(self, names: Sequence[str]) -> list[Refusal]:
        try:
            with self._request:
                obstore.delete(self._bucket, list(names))
        except Failure as failure:
            said = str(failure.__cause__)
            if failure.code == "" and _IN_A_KEY.search(said):
                return []  # obstore mistakes a key with "SlowDown" in it for an error of that name
            refused = [name for name in names if f"request failed for key {name}: " in said]
            if not refused:
                raise
            return [Refusal(max(refused, key=len), failure.code, failure.message)]
        return []

    async def page(self, start: str, more: str | None) -> Page:
        # obstore sees an empty listing in any document, and does not say where a page ends.
        s3fs = self._instead("list")
        return s3fs.run(s3fs.page(start, more))

    async def renew(self) -> None:
        with self._lock:
            begun = time.monotonic()
            if begun - self._renewed >= _RENEWED_FOR:  # otherwise another thread just did
                self._open()
                self._renewed = begun
            s3fs = self._s3fs
        if s3fs is not None:
            s3fs.run(s3fs.renew())

    def close(self) -> None:
        # Connections end with this; the client itself may live on in some traceback.
        del self._bucket
        if self._s3fs is not None:
            self._s3fs.close()

    def _instead(self, of: str) -> Client:
        if not is_installed("s3fs"):
            raise Failure(NOT_SUPPORTED, f"obstore cannot {of}; s3fs can: {GET_S3FS}", unsent=True)
        from statekeep_backends.s3.with_s3fs import S3fsClient  # noqa: PLC0415 - only if needed

        with self._lock:
            if self._s3fs is None:
                self._s3fs = S3fsClient(self._name, self._config)
            return self._s3fs


class _Request:
    """Counts a request, and translates what obstore raises.

    A class, because two generators would take a tenth of the time of a call.
    """

    def __init__(self, bucket: str) -> None:
        self._bucket = bucket

    def __enter__(self) -> None:
        count_request()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is None or isinstance(error, Failure):
            return
        if isinstance(error, Exception):
            raise _translate(error, self._bucket) from error
        if type(error).__name__ == "PanicException":  # Rust's
            raise Failure(NOT_SUPPORTED, f"obstore broke down: {error}") from error


_idle: dict[int, ThreadPoolExecutor] = {}


@contextmanager
def _threads(at_once: int) -> Iterator[ThreadPoolExecutor]:
    """Yield threads for one call: those of an earlier call, unless another one is using them.

    Starting them takes a quarter of the time of a batch. They belong to the process and not to a
    store, so that a thousand open stores do not keep a thousand times as many.
    """
    threads = _idle.pop(at_once, None) or ThreadPoolExecutor(at_once, "statekeep-s3")
    try:
        yield threads
    finally:
        if _idle.setdefault(at_once, threads) is not threads:
            threads.shutdown()


def _abandon(calls: list[Future[T]]) -> None:
    """Stop calls whose results nobody needs after an error, and drop the results."""
    for call in calls:
        call.cancel()
    wait(calls)
    calls.clear()


# obstore shows an error in Rust's own rendering, one field per line. Names of objects and answers
# of servers are escaped and quoted there, so none can be mistaken for a field.
_STATUS = re.compile(r"^ +status: (\d+),$", re.MULTILINE)
_BODY = re.compile(r'^ +(?:body: )?"(.*)",$', re.MULTILINE)
_URL = re.compile(r"^ +(\w+://\S+),$", re.MULTILINE)
_LOST = re.compile(r"^ +(?:source: )?HttpError \{\n +kind: (\w+),$", re.MULTILINE)
_LOSSES = {
    "Connect": "cannot connect",
    "Decode": "the answer broke off",
    "Interrupted": "the connection broke",
    "Request": "the connection broke",
}
_WHY = re.compile(r'^ +(?:message|error): "(.*)",$', re.MULTILINE)
_REFUSED = re.compile(r'^ +code: "([\w.]+)",\n +message: "(.*)",$', re.MULTILINE)
_TLS = re.compile(r"^ +error: Invalid(Certificate|Message)\((\w*)", re.MULTILINE)
_STRANGE = re.compile(r"^    source: (?:Invalid\w+Response|Metadata|Header) \{$", re.MULTILINE)
_CODE = re.compile(r"<Code>([\w.]+)</Code>")
_MESSAGE = re.compile(r"<Message>(.*?)</Message>")
# An answer with status 200 that looks like an error, but is the result of a bulk delete.
_IN_A_KEY = re.compile(
    r'^ +status: 200,\n +body: "(?:<\?xml[^>]*>)?(?:\\n|\s)*<(?:\w+:)?DeleteResult', re.MULTILINE
)

_NEVER = datetime.fromtimestamp(0, UTC)
"""What obstore returns if an answer does not say when an object was written."""

_RENEWED_FOR = 30.0
"""Seconds within which credentials are looked for only once."""


def _translate(error: Exception, bucket: str) -> Failure:
    """Translate an exception of obstore."""
    said, _, source = str(error).partition("\n\nDebug source:\n")
    url = _URL.search(source)
    if isinstance(error, UnauthenticatedError) and url is None:
        return Failure(NO_CREDENTIALS, said, unsent=True)
    if url and bucket not in url[1]:
        return Failure(NO_CREDENTIALS, f"{url[1]} gives none", unsent=True)
    if status := _STATUS.search(source):
        failure = _of_status(status[1], source[status.end() :])
        if failure.kind is Kind.REDIRECTED and url:
            return Failure(REDIRECTED, f"{status[1]} from {url[1]}", "300")
        return failure
    if refused := _REFUSED.search(source):
        return Failure(refused[1], refused[2])
    if "inner: BareRedirect" in source:
        return Failure("PermanentRedirect", status="301")
    if "source: TooManyRedirects" in source:
        return Failure(REDIRECTED, f"from {url[1] if url else 'there'}, on and on", "300")
    if broken := _TLS.search(source):
        # A certificate is checked before anything is sent; a broken message may come later.
        unsent = broken[1] == "Certificate"
        return no_tls(url[1] if url else "", broken[2] or broken[1], unsent=unsent)
    if lost := _LOST.search(source):
        return _not_answered(url[1] if url else "", lost[1], source[lost.end() :])
    if _STRANGE.search(source):
        return Failure(NOT_S3, said.removeprefix("Generic S3 error: "))
    if isinstance(error, TypeError | ValueError):
        return Failure(
            NOT_SUPPORTED,
            "obstore does not accept control characters in a key; use client=s3fs",
            unsent=True,
        )
    return Failure(NOT_SUPPORTED, said)


def _of_status(status: str, source: str) -> Failure:
    body = _BODY.search(source)
    text = body[1].replace("\\n", " ").replace('\\"', '"') if body else ""
    code, message = _CODE.search(text), _MESSAGE.search(text)
    failure = Failure(code[1] if code else "", html.unescape(message[1]) if message else "", status)
    if failure.kind is Kind.MISSING and text.strip() and not code:
        return not_s3("that there is nothing", text.encode())
    return failure


def _not_answered(url: str, kind: str, source: str) -> Failure:
    unsent = kind == "Connect"
    if kind == "Timeout" or "TimedOut" in source:
        return no_answer(url, "timed out", unsent=unsent)
    why = _WHY.search(source)
    return no_answer(url, _LOSSES.get(kind, kind), why[1] if why else "", unsent=unsent)


def _version(etag: str | None, method: str, body: bytes = b"") -> Version:
    if not etag:
        raise not_s3(f"the answer to {method} has no ETag", body)
    return Version(etag)


def _open(bucket: str, config: S3Config, environment: Environment) -> Bucket:
    server = urlsplit(environment.endpoint_url)
    virtual = config.addressing_style == "virtual" or (
        config.addressing_style == "auto"
        and is_aws(environment.endpoint_url)
        and "." not in bucket  # its certificate would not cover that
    )
    options: ClientConfig = {
        "allow_http": server.scheme == "http",
        "connect_timeout": timedelta(seconds=config.connect_timeout),
        "read_timeout": timedelta(seconds=config.read_timeout),
        "timeout": timedelta(days=1),  # obstore also has one for the whole request
        "user_agent": f"statekeep/{__version__} (obstore)",
    }
    if environment.ca_bundle:
        options["root_certificate"] = Path(environment.ca_bundle).read_bytes()
    endpoint = server._replace(netloc=f"{bucket}.{server.netloc}") if virtual else server
    # Everything that an environment variable could set differently.
    said: Options = {
        "aws_endpoint_url_s3": endpoint.geturl().rstrip("/"),
        "conditional_put": "etag",
        "disable_bulk_delete": False,
        "region": environment.region,
        "skip_signature": config.anon,
        "virtual_hosted_style_request": virtual,
    }
    if config.checksum:
        said["checksum_algorithm"] = "CRC64NVME"
    if config.sse is not None:
        said["server_side_encryption"] = config.sse
    if config.sse_kms_key_id is not None:
        said["sse_kms_key_id"] = config.sse_kms_key_id
    return Bucket(
        bucket,
        config=said,
        client_options=options,
        credential_provider=environment.credentials,
        # Retries are decided elsewhere: it must be known that an answer was lost.
        retry_config={"max_retries": 0},
    )
