"""A store in a bucket: one request for each operation."""

from __future__ import annotations

import mimetypes
import secrets
from typing import TYPE_CHECKING, Literal

from statekeep.errors import AccessDeniedError, ConflictError, InvalidKeyError, UnsupportedError
from statekeep.store import (
    ANY,
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
from statekeep.timestamps import to_nanoseconds
from statekeep_backends.s3.client import (
    MISSING,
    NO_ANSWER,
    PAGE,
    PRECONDITION_FAILED,
    RETRYABLE,
    Failure,
)
from statekeep_backends.s3.config import S3Config
from statekeep_backends.s3.extras import GET_S3FS, is_installed
from statekeep_backends.s3.requests import Requests

_PROBES = ".statekeep/probe-"

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from statekeep_backends.s3.client import Client, Head, Page, Refusal

__all__ = ["S3Store"]

_MAX_KEY = 1024
_NONCE = "statekeep-nonce"
_IMPOSSIBLE = Version('"00000000000000000000000000000000"')
_ANY_BYTES = "application/octet-stream"


class S3Store(StateStore):
    """A store in a bucket, or below a prefix of one.

    Nothing is sent before the first operation.

    Args:
        bucket: The bucket; it must exist.
        prefix: Segments joined by ``/``; empty for the whole bucket.
        config: Options.

    Raises:
        InvalidKeyError: The prefix could not be part of a key.
        ConfigError: The client that is asked for is not installed, or cannot do what else is.
    """

    def __init__(self, bucket: str, prefix: str = "", config: S3Config | None = None) -> None:
        check_prefix(prefix)
        self._bucket = bucket
        self._prefix = f"{prefix}/" if prefix else ""
        self._config = config or S3Config()
        self._requests = Requests(bucket, self._config, self)
        self._keeps: dict[str, bool] = {}
        if self._config.conditional != "auto":
            self._keeps = dict.fromkeys(("put", "delete"), self._config.conditional == "yes")
        self._lacks_s3fs = self._requests.kind == "obstore" and not is_installed("s3fs")
        if self._lacks_s3fs:
            self._keeps["delete"] = False

    def __repr__(self) -> str:
        where = f"s3://{self._bucket}/{self._prefix}".rstrip("/")
        return f"{where} at {self._config.endpoint_url}" if self._config.endpoint_url else where

    @property
    def capabilities(self) -> Capabilities:
        """All, unless the server or the client is known not to keep conditions."""
        return Capabilities(
            conditional_put=self._keeps.get("put", True),
            conditional_delete=self._keeps.get("delete", True),
            shared=True,
        )

    def get(self, key: str) -> Blob | None:
        """See `StateStore.get`. One request."""
        return self._requests.run(key, self._get, self._name(key))

    def get_many(
        self, keys: Iterable[str]
    ) -> Iterator[tuple[str, Blob | AccessDeniedError | None]]:
        """See `SupportsGetMany`. One request each, many at once."""
        wanted = [(key, self._name(key)) for key in keys]
        # In batches, so that no more than these are in memory at a time.
        batch = 8 * self._config.max_concurrency
        for start in range(0, len(wanted), batch):
            part = wanted[start : start + batch]
            yield from self._requests.run(None, self._get_all, part)

    def put(self, key: str, data: bytes, *, expect: Expect = ANY) -> Version:
        """See `StateStore.put`. One request, and after a conflict one more."""
        name = self._name(key)
        if expect is not ANY:
            check_expectation(expect)
            self._ask_once("put", key)
        return self._requests.run(key, self._put, key, name, bytes(data), expect)

    def delete(self, key: str, *, expect: ExpectSeen = ANY) -> None:
        """See `StateStore.delete`. One request, and after a lost answer one more."""
        name = self._name(key)
        if expect is not ANY:
            check_expectation(expect)
            self._ask_once("delete", key)
        self._requests.run(key, self._delete, key, name, expect)

    def delete_many(self, keys: Iterable[str]) -> None:
        """See `SupportsDeleteMany`. One request for each 1000."""
        keys_of = {self._name(key): key for key in keys}
        names = list(keys_of)
        for start in range(0, len(names), PAGE):
            for refusal in self._requests.run(None, self._drop, names[start : start + PAGE]):
                failure = Failure(refusal.code, refusal.message)
                raise self._requests.translate(failure, keys_of.get(refusal.name))

    def scan(self, prefix: str = "") -> Iterator[Entry]:
        """See `StateStore.scan`. One request for each 1000 documents."""
        check_prefix(prefix)
        return self._scan(f"{self._prefix}{prefix}/" if prefix else self._prefix)

    def close(self) -> None:
        """See `StateStore.close`."""
        self._requests.close()

    def _name(self, key: str) -> str:
        check_key(key)
        name = self._prefix + key
        if len(name.encode()) > _MAX_KEY:
            raise InvalidKeyError(
                f"with the prefix, S3 takes at most {_MAX_KEY} bytes", key=key, store=self
            )
        return name

    async def _get(self, client: Client, name: str) -> Blob | None:
        try:
            found = await self._requests.send_with_retry(client, lambda: client.get(name))
        except Failure as failure:
            if failure.code in MISSING:
                return None
            raise
        return Blob(found.data, found.version, found.modified, found.version)

    async def _get_all(
        self, client: Client, wanted: list[tuple[str, str]]
    ) -> list[tuple[str, Blob | AccessDeniedError | None]]:
        async def get(each: tuple[str, str]) -> tuple[str, Blob | AccessDeniedError | None]:
            key, name = each
            try:
                return key, await self._get(client, name)
            except Failure as failure:
                error = self._requests.translate(failure, key)
                if isinstance(error, AccessDeniedError):
                    return key, error
                raise error from failure

        return await client.map(get, wanted)

    async def _put(
        self, client: Client, key: str, name: str, data: bytes, expect: Expect
    ) -> Version:
        nonce = secrets.token_hex(16)
        metadata = {} if expect is ANY else {_NONCE: nonce}
        kind = mimetypes.guess_type(key)[0] or _ANY_BYTES
        try:
            return await self._requests.send_with_retry(
                client, lambda: client.put(name, data, expect, kind, metadata)
            )
        except Failure as failure:
            if expect is not ANY and failure.code in PRECONDITION_FAILED:
                return await self._landed(client, key, name, nonce)
            if expect is not ANY and failure.code in MISSING:
                compare(None, expect, key=key, store=self)
            raise

    async def _landed(self, client: Client, key: str, name: str, nonce: str) -> Version:
        # A write whose answer was lost is sent again, and then fails because of itself. Only the
        # nonce tells whose it is: another writer may have written equal bytes.
        found = await self._head(client, name)
        if found is not None and found.metadata.get(_NONCE) == nonce:
            return found.version
        raise ConflictError(
            "it exists already, has changed or is gone; reload and retry", key=key, store=self
        )

    async def _delete(self, client: Client, key: str, name: str, expect: ExpectSeen) -> None:
        answer_lost = False

        async def attempt() -> None:
            nonlocal answer_lost
            try:
                await client.delete(name, expect)
            except Failure as failure:
                # A server that fails may have deleted it before.
                answer_lost = answer_lost or failure.code in RETRYABLE | {NO_ANSWER}
                raise

        try:
            await self._requests.send_with_retry(client, attempt)
        except Failure as failure:
            if failure.code in MISSING and expect is ANY:
                return
            if failure.code not in MISSING | PRECONDITION_FAILED:
                raise
            if answer_lost and await self._head(client, name) is None:
                return  # as asked, and most likely by the request whose answer was lost
            raise ConflictError(
                "it has changed or is gone; reload and retry", key=key, store=self
            ) from failure

    async def _drop(self, client: Client, names: list[str]) -> list[Refusal]:
        return await self._requests.send_with_retry(client, lambda: client.delete_many(names))

    async def _head(self, client: Client, name: str) -> Head | None:
        try:
            return await self._requests.send_with_retry(client, lambda: client.head(name))
        except Failure as failure:
            if failure.code in MISSING:
                return None
            raise

    def _scan(self, start: str) -> Iterator[Entry]:
        more: object | None = None
        while True:
            page = self._requests.run(start or None, self._page, start, more)
            for found in page.objects:
                key = found.name[len(self._prefix) :]
                if is_key(key):
                    yield Entry(key, found.size, to_nanoseconds(found.modified), found.etag)
            if page.more is None:
                return
            more = page.more

    async def _page(self, client: Client, start: str, more: object | None) -> Page:
        return await self._requests.send_with_retry(client, lambda: client.page(start, more))

    def _ask_once(self, what: Literal["put", "delete"], key: str) -> None:
        """Refuse a condition that would not be kept; find out, if need be."""
        if what not in self._keeps:
            if self._requests.once.acquire(blocking=False):
                try:
                    self._learn(what, key)
                finally:
                    self._requests.once.release()
            else:
                with self._requests.once:
                    pass  # another thread is asking
                # If it got no answer, those who waited ask all at once, not one by one.
                self._learn(what, key)
        if not self._keeps[what]:
            who, instead = "this server", "use another server"
            if what == "delete" and self._lacks_s3fs:
                who, instead = "obstore without s3fs", GET_S3FS
            raise UnsupportedError(
                f"{who} does not keep the condition of a {what}; {instead}, or last-writer-wins",
                key=key,
                store=self,
            )

    def _learn(self, what: Literal["put", "delete"], key: str) -> None:
        if what not in self._keeps:
            probe = f"{self._prefix}{_PROBES}{secrets.token_hex(8)}.json"
            self._keeps[what] = self._requests.run(key, self._ask, what, probe)

    async def _ask(self, client: Client, what: Literal["put", "delete"], probe: str) -> bool:
        """Make a conditional request that must fail, and see whether it does."""
        if await client.on_aws():
            return True

        send_with_retry = self._requests.send_with_retry
        if what == "delete":
            await send_with_retry(client, lambda: client.put(probe, b"", ANY, _ANY_BYTES, {}))
        try:
            if what == "put":
                await send_with_retry(
                    client, lambda: client.put(probe, b"", _IMPOSSIBLE, _ANY_BYTES, {})
                )
            else:
                await send_with_retry(client, lambda: client.delete(probe, _IMPOSSIBLE))
        except Failure as failure:
            keeps = failure.code in MISSING | PRECONDITION_FAILED
            if not keeps and failure.code not in {"NotImplemented", "501"}:
                raise
        else:
            keeps = False
        # One that keeps conditions has not made what it was asked to replace.
        if not (keeps and what == "put"):
            await send_with_retry(client, lambda: client.delete(probe, ANY))
        return keeps
