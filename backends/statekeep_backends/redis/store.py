"""A store on a Valkey or Redis server.

Each call is a script: atomic for everyone else, and done completely or not at all. A write whose
answer is lost is looked up instead of guessed: no other write has its version.
"""

from __future__ import annotations

import logging
import secrets
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar

from statekeep._text import printable
from statekeep.errors import CorruptDataError, StateStoreError
from statekeep.store import (
    ANY,
    Anomaly,
    Blob,
    Capabilities,
    Entry,
    Found,
    Row,
    StateStore,
    Version,
    check_key,
    check_prefix,
)
from statekeep.store.limits import limit_of, refuse_too_large, too_large
from statekeep.timestamps import from_microseconds
from statekeep_backends._batches import batches
from statekeep_backends._records import decode
from statekeep_backends.redis import queries, scripts
from statekeep_backends.redis.client import Client
from statekeep_backends.redis.config import LARGEST
from statekeep_backends.redis.errors import FAILURES, LostAnswerError, translated
from statekeep_backends.redis.records import encode, question
from statekeep_backends.redis.writes import TORN, Writes

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from datetime import timedelta

    from statekeep.store import Expect, ExpectSeen, Filter, Order, Position, Record, Seen
    from statekeep_backends.redis.config import Place, RedisConfig

__all__ = ["RedisStore"]

T = TypeVar("T")

log = logging.getLogger(__name__)

_REMAINS: Final = (
    "the server's append-only file and snapshots hold deleted documents until BGREWRITEAOF and "
    "BGSAVE have rewritten them; so do their backups"
)

_PAGE, _LARGE, _FEW = 1000, 100, 50
_ENOUGH: Final = 16 * 2**20
"""Bytes of documents after which a reply with several documents ends."""


class RedisStore(StateStore):
    """A store on a Valkey or Redis server; needs the extra ``redis``.

    Args:
        name: Its URL, without secrets.
        place: Where it is.
        config: How to connect to it.
    """

    def __init__(self, name: str, place: Place, config: RedisConfig) -> None:
        self._name = name
        self._most = config.max_document_bytes
        self._client = Client(place, config, partial(log.warning, "%s: %s", name))
        self._writes = Writes(self._client, name)

    def __repr__(self) -> str:
        return self._name

    @property
    def capabilities(self) -> Capabilities:
        """All of them."""
        return Capabilities(conditional_put=True, conditional_delete=True, shared=True, remote=True)

    def get(self, key: str) -> Blob | None:
        """See `StateStore.get`."""
        check_key(key)
        (found,) = self._read(key, scripts.GET, 0, key, self._limit_of(key))
        return self._blob(key, found)

    def put(self, key: str, data: bytes, *, expect: Expect = ANY) -> Version:
        """See `StateStore.put`."""
        return self._put(key, data, expect, None)

    def put_record(self, key: str, data: bytes, record: Record, *, expect: Expect) -> Version:
        """See `SupportsQuery.put_record`."""
        return self._put(key, data, expect, record)

    def append(
        self, key: str, data: bytes, *, expect: Version, record: Record | None = None
    ) -> Version:
        """See `SupportsAppend.append`; it sends only what is appended."""
        check_key(key)
        version = _new_version()
        most = self._limit_of(key)
        others = (*encode(key, record), most)
        self._writes.write(scripts.APPEND, key, data, expect, version, *others, most=most)
        return version

    def delete(self, key: str, *, expect: ExpectSeen = ANY) -> None:
        """See `StateStore.delete`."""
        check_key(key)
        (error,) = self._writes.delete([(key, expect)]).values()
        if error is not None:
            raise error

    def scan(self, prefix: str = "") -> Iterator[Entry]:
        """See `StateStore.scan`; each page is of one moment."""
        check_prefix(prefix)
        # "0" follows "/".
        low, high = (f"({prefix}/", f"({prefix}0") if prefix else ("-", "+")
        while True:
            rows = self._read(None, scripts.SCAN, low, high, _PAGE)
            for key, size, modified, version in rows:
                if version is not None:
                    yield Entry(key.decode(), int(size), int(modified) * 1000, version.decode())
            if len(rows) < _PAGE:
                return
            low = f"({rows[-1][0].decode()}"

    def close(self) -> None:
        """See `StateStore.close`."""
        self._client.close()

    def get_many(self, keys: Iterable[str]) -> Iterator[tuple[str, Blob | StateStoreError | None]]:
        """See `SupportsGetMany`; reads several documents, or some MiB, with each request."""
        for batch in batches(keys, _FEW):
            for key in batch:
                check_key(key)
            rest = batch
            while rest:
                asked = [each for key in rest for each in (key, self._limit_of(key))]
                found = self._read(None, scripts.GET, _ENOUGH, *asked)
                for key, row in zip(rest, found, strict=False):
                    try:
                        yield key, self._blob(key, row)
                    except CorruptDataError as error:
                        yield key, error
                rest = rest[len(found) :]

    def delete_many(self, keys: Iterable[str]) -> None:
        """See `SupportsDeleteMany`; deletes a hundred with each request."""
        for batch in batches(keys, _LARGE):
            for key in batch:
                check_key(key)
            for error in self._writes.delete([(key, ANY) for key in batch]).values():
                if error is not None:
                    raise error

    def delete_seen(self, seen: Iterable[Seen]) -> Iterator[dict[str, StateStoreError | None]]:
        """See `SupportsDeleteSeen`; deletes a hundred with each request."""
        for batch in batches(seen, _LARGE):
            for each in batch:
                check_key(each.key)
            yield self._writes.delete([(each.key, each.version) for each in batch])

    def set_records(self, records: Iterable[tuple[str, Version, Record]]) -> None:
        """See `SupportsQuery.set_records`; sets a hundred with each request."""
        for batch in batches(records, _LARGE):
            asked: list[str | bytes] = []
            for key, version, record in batch:
                check_key(key)
                asked += [key, version, *encode(key, record)]
            # Doing this twice is the same as once.
            self._read(None, scripts.SET_RECORDS, *asked, writes=True)

    def query(
        self,
        prefix: str,
        wanted: Filter,
        *,
        known: int,
        order: Order = "updated",
        after: Position | None = None,
        limit: int | None = None,
    ) -> Found:
        """See `SupportsQuery.query`."""
        check_prefix(prefix)
        asked = question(prefix, wanted, known=known, order=order, after=after, limit=limit)
        found, problems, missing = self._read(None, queries.QUERY, *asked)
        found.sort()  # with several places, only each of them is in order
        return Found(
            [_row(each) for each in found[:limit]],
            [_row(each) for each in problems],
            [key.decode() for key in missing],
        )

    def count(self, prefix: str, wanted: Filter, *, known: int) -> int:
        """See `SupportsQuery.count`."""
        check_prefix(prefix)
        number: int = self._read(None, queries.COUNT, *question(prefix, wanted, known=known))
        return number

    def inspect(self, *, older_than: timedelta) -> Iterator[Anomaly]:  # noqa: ARG002
        """See `SupportsInspect.inspect`; finds documents that are listed but not whole."""
        low = "-"
        while True:
            last, torn = self._read(None, scripts.INSPECT, low, _PAGE)
            for key in torn:
                yield Anomaly("damage", printable(key.decode()), TORN, None)
            if last is None:
                return
            low = f"({last.decode()}"

    def remains(self) -> Sequence[str]:
        """See `SupportsRemains`. Sends nothing."""
        return [_REMAINS]

    def repair(self, anomaly: Anomaly, quarantine: str) -> str | None:  # noqa: ARG002
        """See `SupportsInspect.repair`; nothing found here can be repaired.

        Raises:
            CorruptDataError: Always.
        """
        raise CorruptDataError(anomaly.reason, key=anomaly.place, store=self)

    def _put(self, key: str, data: bytes, expect: Expect, record: Record | None) -> Version:
        check_key(key)
        most = self._limit_of(key)
        refuse_too_large(data, most, key=key, store=self)
        version = _new_version()
        others = encode(key, record)
        self._writes.write(scripts.PUT, key, data, expect, version, *others, most=most)
        return version

    def _blob(self, key: str, row: Any) -> Blob | None:
        if row is None:
            return None
        version, modified, size, data = row
        most = self._limit_of(key)
        if int(size) > most:
            raise CorruptDataError(too_large(int(size), most), key=key, store=self)
        if data is None or len(data) != int(size):
            raise CorruptDataError(TORN, key=key, store=self)
        name = Version(version.decode())
        return Blob(data, name, from_microseconds(int(modified)), name)

    def _limit_of(self, key: str) -> int:
        return min(limit_of(key, self._most), LARGEST)

    def _read(
        self,
        key: str | None,
        script: scripts.Script,
        *arguments: str | bytes | int,
        writes: bool = False,
    ) -> Any:
        """Run a script that can be run twice; run it once more if its answer is lost."""
        lost: LostAnswerError | None = None
        for _ in range(2):
            try:
                return self._client.run(script, *arguments)
            except LostAnswerError as error:
                # A connection may have been idle while the server was restarted.
                lost = lost or error
            except FAILURES as error:
                # The first attempt may have landed.
                told = lost if lost and writes else error
                raise translated(told, key=key, store=self, writes=writes) from error
        assert lost  # noqa: S101 - otherwise it has returned
        raise translated(lost, key=key, store=self, writes=writes) from lost


def _new_version() -> Version:
    # Random, so that it never recurs, and shows whose write is there.
    return Version(secrets.token_hex(12))


def _row(found: Any) -> Row:
    _, key, version, modified, record = found
    return Row(key.decode(), Version(version.decode()), int(modified) * 1000, decode(record))
