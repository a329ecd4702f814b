"""A store in a bucket: one request for each operation."""

from __future__ import annotations

import mimetypes
import secrets
import time
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Literal

from statekeep._arguments import refuse_type
from statekeep.errors import (
    AccessDeniedError,
    ConflictError,
    CorruptDataError,
    InvalidKeyError,
    StateStoreError,
    UnsupportedError,
)
from statekeep.store import (
    ANY,
    Anomaly,
    Blob,
    Capabilities,
    Entry,
    Expect,
    ExpectSeen,
    StateStore,
    Version,
    check_expectation,
    check_key,
    check_prefix,
    compare,
    is_key,
)
from statekeep.store.arguments import plain_text
from statekeep.store.limits import limit_of, refuse_too_large
from statekeep.store.transfer import Transfer
from statekeep.timestamps import to_nanoseconds, utc_now
from statekeep_backends.s3.client import PAGE
from statekeep_backends.s3.config import S3Config
from statekeep_backends.s3.extras import GET_S3FS, is_installed
from statekeep_backends.s3.failures import Failure, Kind
from statekeep_backends.s3.names import check_bucket
from statekeep_backends.s3.requests import Requests, begin_anew

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from datetime import timedelta

    from statekeep_backends.s3.client import Head, Object, Page
    from statekeep_backends.s3.requests import Call

__all__ = ["S3Store"]

_MAX_KEY = 1024
# Objects used to find out whether a server honors conditions.
_PROBES = ".statekeep/probe-"
_NONCE = "statekeep-nonce"
_IMPOSSIBLE = Version('"00000000000000000000000000000000"')
_ANY_BYTES = "application/octet-stream"


# The suffixes of nearly all documents: their types are looked up once.
_USUAL = frozenset({"json", "jsonl", "md"})
_REMAINS = (
    "a bucket that has or ever had versioning keeps old versions of what was deleted, and so do "
    "its replicas: delete the versions, or set up a lifecycle rule that does"
)


@lru_cache(16)
def _type_of(key: str) -> str:
    return mimetypes.guess_type(key)[0] or _ANY_BYTES


class S3Store(StateStore):
    """A store in a bucket, or below a prefix of one.

    It sends nothing before the first operation.

    Args:
        bucket: The bucket, which must exist, or the ARN of an access point.
        prefix: Segments joined by ``/``; empty for the whole bucket.
        config: Options.

    Raises:
        InvalidKeyError: The prefix could not be part of a key.
        ConfigError: No bucket can have that name; or the requested client is not installed, or
            cannot do what else is configured.
    """

    def __init__(self, bucket: str, prefix: str = "", config: S3Config | None = None) -> None:
        bucket = plain_text("bucket", bucket)
        if not isinstance(config, S3Config | None):
            refuse_type("config", "an S3Config or None", config)
        check_bucket(bucket)
        check_prefix(prefix)
        self._bucket = bucket
        self._prefix = f"{prefix}/" if prefix else ""
        self._config = config or S3Config()
        self._requests = Requests(bucket, self._config, self)
        # For puts and for deletes, as far as known.
        self._honours_conditions: dict[str, bool] = {}
        if self._config.conditional != "auto":
            trusted = self._config.conditional == "yes"
            self._honours_conditions = dict.fromkeys(("put", "delete"), trusted)
        self._lacks_s3fs = self._requests.kind == "obstore" and not is_installed("s3fs")
        if self._lacks_s3fs:
            self._honours_conditions["delete"] = False

    def __repr__(self) -> str:
        where = f"s3://{self._bucket}/{self._prefix}".rstrip("/")
        return f"{where} at {self._config.endpoint_url}" if self._config.endpoint_url else where

    @property
    def capabilities(self) -> Capabilities:
        """All of them, unless the server or the client is known not to honor conditions."""
        return Capabilities(
            conditional_put=self._honours_conditions.get("put", True),
            conditional_delete=self._honours_conditions.get("delete", True),
            shared=True,
            remote=True,
        )

    def get(self, key: str) -> Blob | None:
        """See `StateStore.get`; one request."""
        return self._requests.read(key, self._get, key, self._name(key))

    def get_many(self, keys: Iterable[str]) -> Iterator[tuple[str, Blob | StateStoreError | None]]:
        """See `SupportsGetMany`; one request each, many at once."""
        wanted = [(key, self._name(key)) for key in keys]
        # In batches, so that only one of them is in memory at a time.
        batch = 8 * self._config.max_concurrency
        for start in range(0, len(wanted), batch):
            part = wanted[start : start + batch]
            yield from self._requests.read(None, self._get_all, part)

    def put(self, key: str, data: bytes, *, expect: Expect = ANY) -> Version:
        """See `StateStore.put`; one request, and one more after a conflict."""
        name, begun = self._name(key), time.monotonic()
        refuse_too_large(data, self._limit_of(key), key=key, store=self)
        if expect is not ANY:
            check_expectation(expect)
            self._refuse_condition("put", key, begun)
        return self._requests.write(key, begun, self._put, key, name, data, expect)

    def delete(self, key: str, *, expect: ExpectSeen = ANY) -> None:
        """See `StateStore.delete`; one request, and one more after a lost answer."""
        name, begun = self._name(key), time.monotonic()
        if expect is not ANY:
            check_expectation(expect)
            self._refuse_condition("delete", key, begun)
        self._requests.write(key, begun, self._delete, key, name, expect)

    def delete_many(self, keys: Iterable[str]) -> None:
        """See `SupportsDeleteMany`; one request per 1000 documents."""
        named = {self._name(key): key for key in keys}
        self._requests.write(None, time.monotonic(), self._delete_many, named)

    def scan(self, prefix: str = "") -> Iterator[Entry]:
        """See `StateStore.scan`; one request per 1000 documents."""
        check_prefix(prefix)
        return self._scan(f"{self._prefix}{prefix}/" if prefix else self._prefix)

    def inspect(self, *, older_than: timedelta) -> Iterator[Anomaly]:
        """See `SupportsInspect.inspect`; one request."""
        before = utc_now() - older_than
        for found in self._list(self._prefix + _PROBES):
            if found.modified < before:
                yield Anomaly(
                    "leftover",
                    found.name[len(self._prefix) :],
                    "a probe of whether the server honors conditions, by a process that was killed",
                    "remove",
                    identity=found.etag,
                )

    def repair(self, anomaly: Anomaly, quarantine: str) -> str | None:  # noqa: ARG002
        """See `SupportsInspect.repair`; removes a leftover only if it is still what was seen."""
        # If the server honors no conditions, reading before writing is the best there is.
        Transfer(self, "last-writer-wins").delete_seen(
            anomaly.place, Version(str(anomaly.identity))
        )
        return None

    def remains(self) -> Sequence[str]:
        """See `SupportsRemains`; sends no request."""
        return [_REMAINS]

    def close(self) -> None:
        """See `StateStore.close`."""
        self._requests.close()

    def _name(self, key: str) -> str:
        check_key(key)
        name = self._prefix + key
        if len(name.encode()) > _MAX_KEY:
            raise InvalidKeyError(
                f"with the prefix, S3 accepts at most {_MAX_KEY} bytes", key=key, store=self
            )
        return name

    def _limit_of(self, key: str) -> int:
        return limit_of(key, self._config.max_document_bytes)

    async def _get(self, call: Call, key: str, name: str) -> Blob | None:
        try:
            found = await call.send_with_retry(lambda: call.client.get(name, self._limit_of(key)))
        except Failure as failure:
            if failure.kind is Kind.MISSING:
                return None
            raise
        return Blob(found.data, found.version, found.modified, found.version)

    async def _get_all(
        self, call: Call, wanted: list[tuple[str, str]]
    ) -> list[tuple[str, Blob | StateStoreError | None]]:
        async def get(each: tuple[str, str]) -> tuple[str, Blob | StateStoreError | None]:
            key, name = each
            try:
                return key, await self._get(call, key, name)
            except Failure as failure:
                error = self._requests.translate(failure, key)
                if isinstance(error, AccessDeniedError | CorruptDataError):
                    return key, error
                raise error from failure

        return await call.client.map(get, wanted)

    async def _put(self, call: Call, key: str, name: str, data: bytes, expect: Expect) -> Version:
        nonce = secrets.token_hex(16)
        metadata = {} if expect is ANY else {_NONCE: nonce}
        ending = key.rpartition(".")[2]
        kind = _type_of(f"x.{ending}" if ending in _USUAL else key)
        try:
            return await call.write_with_retry(
                lambda: call.client.put(name, data, expect, kind, metadata)
            )
        except Failure as failure:
            if expect is not ANY and failure.kind is Kind.PRECONDITION_FAILED:
                return await self._read_back(call, key, name, nonce)
            if expect is not ANY and failure.kind is Kind.MISSING:
                compare(None, expect, key=key, store=self)
            raise

    async def _read_back(self, call: Call, key: str, name: str, nonce: str) -> Version:
        """Return the version of our own write, if that is what is there."""
        # A write whose answer was lost is sent again, and then fails because of itself. Only the
        # nonce tells whose it is: another writer may have written the same bytes. A different
        # nonce proves nothing: after a lost answer, that writer may have replaced what had landed.
        found = await self._head(call, name)
        if found is not None and found.metadata.get(_NONCE) == nonce:
            return found.version
        raise ConflictError(
            "it exists already, has changed or is gone; reload and retry", key=key, store=self
        )

    async def _delete(self, call: Call, key: str, name: str, expect: ExpectSeen) -> None:
        try:
            await call.write_with_retry(lambda: call.client.delete(name, expect))
        except Failure as failure:
            if failure.kind is Kind.MISSING and expect is ANY:
                return
            if failure.kind not in {Kind.MISSING, Kind.PRECONDITION_FAILED}:
                raise
            if call.landed == "unknown" and await self._head(call, name) is None:
                return  # as requested, and most likely by the request whose answer was lost
            raise ConflictError(
                "it has changed or is gone; reload and retry", key=key, store=self
            ) from failure

    async def _delete_many(self, call: Call, keys: dict[str, str]) -> None:
        names = list(keys)
        for start in range(0, len(names), PAGE):
            request = partial(call.client.delete_many, names[start : start + PAGE])
            begin_anew()  # nothing waits for all of them to end
            for refusal in await call.write_with_retry(request):
                failure = Failure(refusal.code, refusal.message)
                raise self._requests.translate(failure, keys.get(refusal.name))

    async def _head(self, call: Call, name: str) -> Head | None:
        try:
            return await call.send_with_retry(lambda: call.client.head(name))
        except Failure as failure:
            if failure.kind is Kind.MISSING:
                return None
            raise

    def _scan(self, start: str) -> Iterator[Entry]:
        for found in self._list(start):
            key = found.name[len(self._prefix) :]
            if is_key(key) and not key.startswith(_PROBES):
                yield Entry(key, found.size, to_nanoseconds(found.modified), found.etag)

    def _list(self, start: str) -> Iterator[Object]:
        more: str | None = None
        key = start[len(self._prefix) :].rstrip("/") or None
        while True:
            page = self._requests.read(key, self._page, start, more)
            yield from page.objects
            if page.more is None:
                return
            more = page.more

    async def _page(self, call: Call, start: str, more: str | None) -> Page:
        return await call.send_with_retry(lambda: call.client.page(start, more))

    def _refuse_condition(self, what: Literal["put", "delete"], key: str, begun: float) -> None:
        """Refuse a condition that would not be honored; find out first if necessary."""
        if what not in self._honours_conditions:
            if self._requests.once.acquire(blocking=False):
                try:
                    self._find_out(what, key, begun)
                finally:
                    self._requests.once.release()
            else:
                with self._requests.once:
                    pass  # another thread is asking
                # If it got no answer, the waiting threads ask all at once, not one after another.
                self._find_out(what, key, begun)
        if not self._honours_conditions[what]:
            who, instead = "this server", "use another server"
            if what == "delete" and self._lacks_s3fs:
                who, instead = "obstore without s3fs", GET_S3FS
            raise UnsupportedError(
                f"{who} does not honor the condition of a {what}; {instead}, or last-writer-wins",
                key=key,
                store=self,
                landed="no",
            )

    def _find_out(self, what: Literal["put", "delete"], key: str, begun: float) -> None:
        if what in self._honours_conditions:
            return
        probe = f"{self._prefix}{_PROBES}{secrets.token_hex(8)}.json"
        try:
            self._honours_conditions[what] = self._requests.write(
                key, begun, self._ask, what, probe
            )
        except StateStoreError as error:
            error.landed = "no"  # the actual write was not sent
            raise

    async def _ask(self, call: Call, what: Literal["put", "delete"], probe: str) -> bool:
        """Send a conditional request that must fail, and see whether it does."""
        client, send = call.client, call.write_with_retry
        if await client.on_aws():
            return True
        if what == "delete":
            await send(lambda: client.put(probe, b"", ANY, _ANY_BYTES, {}))
        try:
            if what == "put":
                await send(lambda: client.put(probe, b"", _IMPOSSIBLE, _ANY_BYTES, {}))
            else:
                await send(lambda: client.delete(probe, _IMPOSSIBLE))
        except Failure as failure:
            honours = failure.kind in {Kind.MISSING, Kind.PRECONDITION_FAILED}
            if not honours and failure.kind is not Kind.NOT_IMPLEMENTED:
                raise
        else:
            honours = False
        # A server that honors conditions has not created the object that the probe named.
        if not (honours and what == "put"):
            await send(lambda: client.delete(probe, ANY))
        return honours
