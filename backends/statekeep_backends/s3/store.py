"""A store in a bucket: one request for each operation."""

from __future__ import annotations

import asyncio
import mimetypes
import secrets
from typing import TYPE_CHECKING, Any, Literal

from botocore.exceptions import ClientError

from statekeep.errors import (
    AccessDeniedError,
    ConflictError,
    InvalidKeyError,
    UnsupportedError,
)
from statekeep.keys import RESERVED, check_key, check_prefix, is_key
from statekeep.protocol import (
    ABSENT,
    ANY,
    Blob,
    Capabilities,
    Entry,
    Expect,
    ExpectSeen,
    StateStore,
    Version,
    check_expectation,
    compare,
)
from statekeep.timestamps import to_nanoseconds, to_utc
from statekeep_backends.s3.config import S3Config
from statekeep_backends.s3.requests import CHANGED, MISSING, NO_ANSWER, Requests, code_of, is_aws

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["S3Store"]

_MAX_KEY = 1024
_PAGE = 1000
_NONCE = "statekeep-nonce"
_IMPOSSIBLE = '"00000000000000000000000000000000"'


class S3Store(StateStore):
    """A store in a bucket, or below a prefix of one.

    Nothing is sent before the first operation.

    Args:
        bucket: The bucket; it must exist.
        prefix: Segments joined by ``/``; empty for the whole bucket.
        config: Options.

    Raises:
        InvalidKeyError: The prefix could not be part of a key.
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

    def __repr__(self) -> str:
        where = f"s3://{self._bucket}/{self._prefix}".rstrip("/")
        return f"{where} at {self._config.endpoint_url}" if self._config.endpoint_url else where

    @property
    def capabilities(self) -> Capabilities:
        """All, unless the server is known not to keep conditions."""
        return Capabilities(
            conditional_put=self._keeps.get("put", True),
            conditional_delete=self._keeps.get("delete", True),
            shared=True,
        )

    def get(self, key: str) -> Blob | None:
        """See `StateStore.get`. One request."""
        name = self._name(key)
        return self._requests.run(self._get, key, name)

    def get_many(
        self, keys: Iterable[str]
    ) -> Iterator[tuple[str, Blob | AccessDeniedError | None]]:
        """See `SupportsGetMany`. One request each, many at once."""
        wanted = [(key, self._name(key)) for key in keys]
        # In batches, so that no more than these are in memory at a time.
        batch = 8 * self._config.max_concurrency
        for start in range(0, len(wanted), batch):
            part = wanted[start : start + batch]
            yield from self._requests.run(self._get_all, part)

    def put(self, key: str, data: bytes, *, expect: Expect = ANY) -> Version:
        """See `StateStore.put`. One request, and after a conflict one more."""
        name = self._name(key)
        if expect is not ANY:
            check_expectation(expect)
            self._ask_once("put", key)
        body = bytes(data)
        return self._requests.run(self._put, key, name, body, expect)

    def delete(self, key: str, *, expect: ExpectSeen = ANY) -> None:
        """See `StateStore.delete`. One request, and after a lost answer one more."""
        name = self._name(key)
        if expect is not ANY:
            check_expectation(expect)
            self._ask_once("delete", key)
        self._requests.run(self._delete, key, name, expect)

    def delete_many(self, keys: Iterable[str]) -> None:
        """See `SupportsDeleteMany`. One request for each 1000."""
        keys_of = {self._name(key): key for key in keys}
        names = list(keys_of)
        for start in range(0, len(names), _PAGE):
            part = names[start : start + _PAGE]
            for error in self._requests.run(self._drop, part):
                key = keys_of.get(error.get("Key", ""))
                self._requests.fail_with(error.get("Code", ""), error.get("Message", ""), key)

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

    async def _get(self, client: Any, key: str, name: str) -> Blob | None:
        async def attempt() -> Blob:
            answer = await client.get_object(Bucket=self._bucket, Key=name)
            async with answer["Body"] as body:
                data = await body.read()
            version = Version(answer["ETag"])
            return Blob(data, version, to_utc(answer["LastModified"]), version)

        try:
            return await self._requests.persist(attempt, key)
        except ClientError as error:
            if code_of(error) in MISSING:
                return None
            self._requests.fail(error, key)

    async def _get_all(
        self, client: Any, wanted: list[tuple[str, str]]
    ) -> list[tuple[str, Blob | AccessDeniedError | None]]:
        free = asyncio.Semaphore(self._config.max_concurrency)

        async def get(key: str, name: str) -> tuple[str, Blob | AccessDeniedError | None]:
            async with free:
                try:
                    return key, await self._get(client, key, name)
                except AccessDeniedError as error:
                    return key, error

        return await asyncio.gather(*(get(key, name) for key, name in wanted))

    async def _put(self, client: Any, key: str, name: str, body: bytes, expect: Expect) -> Version:
        nonce = secrets.token_hex(16)
        condition: dict[str, Any] = {}
        if expect is not ANY:
            condition = {"Metadata": {_NONCE: nonce}}
            condition |= {"IfNoneMatch": "*"} if expect is ABSENT else {"IfMatch": expect}

        async def attempt() -> Version:
            answer = await client.put_object(
                Bucket=self._bucket,
                Key=name,
                Body=body,
                ContentType=mimetypes.guess_type(key)[0] or "application/octet-stream",
                **condition,
            )
            return Version(answer["ETag"])

        try:
            return await self._requests.persist(attempt, key)
        except ClientError as error:
            code = code_of(error)
            if condition and code in CHANGED:
                return await self._landed(client, key, name, nonce)
            if condition and code in MISSING:
                compare(None, expect, key=key, store=self)
            self._requests.fail(error, key)

    async def _landed(self, client: Any, key: str, name: str, nonce: str) -> Version:
        # A write whose answer was lost is sent again, and then fails because of itself. Only the
        # nonce tells whose it is: another writer may have written equal bytes.
        found = await self._head(client, key, name)
        if found is not None and found["Metadata"].get(_NONCE) == nonce:
            return Version(found["ETag"])
        raise ConflictError(
            "it exists already, has changed or is gone; reload and retry", key=key, store=self
        )

    async def _delete(self, client: Any, key: str, name: str, expect: ExpectSeen) -> None:
        condition = {} if expect is ANY else {"IfMatch": expect}
        answer_lost = False

        async def attempt() -> None:
            nonlocal answer_lost
            try:
                await client.delete_object(Bucket=self._bucket, Key=name, **condition)
            except NO_ANSWER:
                answer_lost = True
                raise

        try:
            await self._requests.persist(attempt, key)
        except ClientError as error:
            code = code_of(error)
            if code in MISSING and not condition:
                return
            if code not in MISSING | CHANGED:
                self._requests.fail(error, key)
            if answer_lost and await self._head(client, key, name) is None:
                return  # as asked, and most likely by the request whose answer was lost
            raise ConflictError(
                "it has changed or is gone; reload and retry", key=key, store=self
            ) from error

    async def _drop(self, client: Any, names: list[str]) -> list[dict[str, str]]:
        async def attempt() -> list[dict[str, str]]:
            objects = [{"Key": name} for name in names]
            answer = await client.delete_objects(
                Bucket=self._bucket, Delete={"Objects": objects, "Quiet": True}
            )
            errors: list[dict[str, str]] = answer.get("Errors", [])
            return errors

        try:
            return await self._requests.persist(attempt, None)
        except ClientError as error:
            self._requests.fail(error, None)

    async def _head(self, client: Any, key: str, name: str) -> Any | None:
        try:
            return await self._requests.persist(
                lambda: client.head_object(Bucket=self._bucket, Key=name), key
            )
        except ClientError as error:
            if code_of(error) in MISSING:
                return None
            self._requests.fail(error, key)

    def _scan(self, start: str) -> Iterator[Entry]:
        more: dict[str, str] = {}
        while True:
            page = self._requests.run(self._page, start, more)
            for found in page.get("Contents", ()):
                key = found["Key"][len(self._prefix) :]
                if is_key(key):
                    written = to_nanoseconds(found["LastModified"])
                    yield Entry(key, found["Size"], written, found["ETag"])
            if not page.get("IsTruncated"):
                return
            more = {"ContinuationToken": page["NextContinuationToken"]}

    async def _page(self, client: Any, start: str, more: dict[str, str]) -> Any:
        try:
            return await self._requests.persist(
                lambda: client.list_objects_v2(
                    Bucket=self._bucket, Prefix=start, MaxKeys=_PAGE, **more
                ),
                None,
            )
        except ClientError as error:
            self._requests.fail(error, start or None)

    def _ask_once(self, what: Literal["put", "delete"], key: str) -> None:
        """Refuse a condition that the server would not keep; find out, if need be."""
        if what not in self._keeps:
            probe = {
                "Bucket": self._bucket,
                "Key": f"{self._prefix}{RESERVED}/probe-{secrets.token_hex(8)}.json",
            }
            self._keeps[what] = self._requests.run(self._ask, what, probe)
        if not self._keeps[what]:
            raise UnsupportedError(
                f"this server does not keep the condition of a {what}; use another server, or "
                "last-writer-wins",
                key=key,
                store=self,
            )

    async def _ask(
        self, client: Any, what: Literal["put", "delete"], probe: dict[str, str]
    ) -> bool:
        """Make a conditional request that must fail, and see whether it does."""
        if is_aws(client):
            return True
        persist = self._requests.persist
        try:
            if what == "delete":
                await persist(lambda: client.put_object(**probe, Body=b""), None)
            try:
                await persist(
                    lambda: (
                        client.put_object(**probe, Body=b"", IfMatch=_IMPOSSIBLE)
                        if what == "put"
                        else client.delete_object(**probe, IfMatch=_IMPOSSIBLE)
                    ),
                    None,
                )
            except ClientError as error:
                keeps = code_of(error) in MISSING | CHANGED
                if not keeps and code_of(error) not in {"NotImplemented", "501"}:
                    raise
            else:
                keeps = False
            # One that keeps conditions has not made what it was asked to replace.
            if not (keeps and what == "put"):
                await persist(lambda: client.delete_object(**probe), None)
        except ClientError as error:
            self._requests.fail(error, None)
        return keeps
