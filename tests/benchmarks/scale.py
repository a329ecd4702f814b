"""Listings of very many sessions: ``python scale.py``; its tables are those of docs/scale.md.

On a SeaweedFS of its own for 10,000 and 100,000, in new processes, with the requests that they
sent; for up to a million on a store that only says what is there, for what the index takes; and
a page of as many in SQLite and PostgreSQL, beside what the database itself takes for it.
"""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import sqlite3
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from importlib import import_module
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import boto3
import psycopg

from statekeep import ANY, Sessions, StateStore, Version, load_pruner, open_store
from statekeep.events import Event, OperationFinished
from statekeep.format.record import HeadRecord, encode_record, read_record
from statekeep.heads.collection import SESSION_HEADS
from statekeep.heads.records import encode_index
from statekeep.store import (
    Blob,
    Capabilities,
    Entry,
    Expect,
    ExpectSeen,
    SupportsQuery,
    power,
)
from statekeep.store.keys import session_key

sys.path.insert(0, str(Path(__file__).parents[1]))
import servers

from benchmarks.conversations import SMALL, Size, documents

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

T = TypeVar("T")

_TIMES = 5


class Cost(NamedTuple):
    """What a listing took.

    Attributes:
        requests: That were sent.
        seconds: Until it was there.
        kept: Megabytes that stay in memory.
        peak: Megabytes that were in memory at most.
    """

    requests: int
    seconds: float
    kept: float
    peak: float

    def __str__(self) -> str:
        return f"{self.requests:,} | {self.seconds:.1f} s | {self.kept:.0f} MB | {self.peak:.0f} MB"


class Imaginary(StateStore):
    """Says that so many sessions are there, and has an index of them."""

    def __init__(self, count: int, index: Path) -> None:
        self._count = count
        self._index = index

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(conditional_put=True, conditional_delete=True, shared=True)

    def scan(self, prefix: str = "") -> Iterator[Entry]:  # noqa: ARG002
        for record in self.records():
            yield Entry(record.key, record.size, record.updated_at * 1000, record.fingerprint)

    def get(self, key: str) -> Blob | None:
        assert key == SESSION_HEADS.index
        return Blob(self._index.read_bytes(), Version("any"), None)

    def put(self, key: str, data: bytes, *, expect: Expect = ANY) -> Version:
        raise NotImplementedError

    def delete(self, key: str, *, expect: ExpectSeen = ANY) -> None:
        raise NotImplementedError

    def close(self) -> None:
        pass

    def write_index(self) -> None:
        self._index.write_bytes(encode_index(self.records()))

    def records(self) -> Iterator[HeadRecord]:
        """The newest first."""
        for number in reversed(range(self._count)):
            name = hashlib.md5(b"%d" % number, usedforsecurity=False).hexdigest()
            session_id = f"{name[:8]}-{name[8:12]}-{name[12:16]}-{name[16:20]}-{name[20:]}"
            moment = 1_700_000_000_000_000 + number
            yield HeadRecord(
                key=session_key(session_id),
                fingerprint=f'"{name}"',
                version=Version(f'"{name}"'),
                id=session_id,
                user_id=f"user-{number % 5000}",
                length=10,
                active_seed_id=None,
                project_id=f"project-{number % 50}",
                created_at=moment,
                updated_at=moment,
                size=7000,
                pinned_until=None,
                expires_at=None,
                title=None,
                last_phase="interview",
                last_evaluation=True,
            )


def on_a_server(count: int) -> Iterator[str]:
    """Lines of a table."""
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True))
        endpoint = stack.enter_context(servers.seaweedfs(Path(folder)))
        boto3.client("s3", endpoint_url=endpoint).create_bucket(Bucket="scale")
        url = f"s3://scale/x?endpoint_url={endpoint}&client=obstore"
        _fill(url, count)
        yield f"| {count:,}, no index | {_alone(_list, url)} |"
        yield f"| {count:,}, a new process | {_alone(_list, url)} |"
        yield f"| {count:,}, the same process again | {_alone(_list, url, 1)} |"
        _fill(url, 100, Size("10 x 210", 10, 210))
        yield f"| {count:,}, 100 of them changed | {_alone(_list, url)} |"
        with open_store(url) as store:
            blob = store.get(SESSION_HEADS.index)
            assert blob
            yield f"| its index | | | {len(blob.data) / 1e6:.1f} MB | |"
        yield f"| a tenth of {count:,} pruned | {_alone(_prune, url, count - count // 10)} |"


def of_the_index(count: int) -> Iterator[str]:
    """Lines of a table."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "index"
        _alone(Imaginary(count, path).write_index)
        cost = _alone(_list_imaginary, count, path)
        size = path.stat().st_size / 1e6
        yield (
            f"| {count:,}, a new process | {cost.seconds:.1f} s | {cost.kept:.0f} MB | "
            f"{cost.peak:.0f} MB | {size:.0f} MB |"
        )


def in_a_database(count: int) -> Iterator[str]:
    """Lines of a table: the newest 100 in a new process, and what SQLite itself takes for them."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "state.db"
        _alone(_fill_database, path, count)
        ours = sorted(_alone(_page, path) for _ in range(_TIMES))
        bare = sorted(_alone(_bare_page, path) for _ in range(_TIMES))
        middle = _TIMES // 2
        yield (
            f"| {count:,} | {ours[middle] * 1e3:.1f} ms | {bare[middle] * 1e3:.1f} ms | "
            f"{ours[middle] / bare[middle]:.1f} | {path.stat().st_size / 1e6:.0f} MB |"
        )


def in_postgres(count: int) -> Iterator[str]:
    """Lines of a table: the newest 100 in a new process and again, and what PostgreSQL takes."""
    with servers.postgres(fsync="on") as server:
        _alone(_fill_postgres, server.url, count)
        ours = [_alone(_pages, server.url) for _ in range(_TIMES)]
        bare = [_alone(_bare_pages, server.url) for _ in range(_TIMES)]
        cells = []
        for first, other in zip(zip(*ours, strict=True), zip(*bare, strict=True), strict=True):
            one, two = median(first), median(other)
            cells.append(f"{one * 1e3:.2f} ms | {two * 1e3:.2f} ms | {one / two:.1f}")
        yield f"| {count:,} | {' | '.join(cells)} |"


def _fill_postgres(url: str, count: int) -> None:
    """Let the server repeat a session, each time under another id and later; they are short."""
    ((session_id, data),) = documents(Size("1 x 20", 1, 20), 1)
    key = session_key(session_id)
    with open_store(url) as store:
        able = power(store, SupportsQuery)
        assert able
        record = encode_record(read_record(key, Blob(data, Version(""), None)))
        able.put_record(key, data, record, expect=ANY)
    with psycopg.connect(url, autocommit=True) as db:
        db.execute(_REPEAT, (session_id, session_id, count - 1))
        db.execute("VACUUM ANALYZE")  # as the server itself does once a minute


_REPEAT = """
    INSERT INTO statekeep_documents (
        key, version, modified, bytes, v, place, record, id, user_id, size, created_at, updated_at,
        data
    ) SELECT
        replace(key, %s, made.id), md5(made.id), modified, bytes, v, place,
        (record::jsonb || jsonb_build_object(
            'id', made.id, 'user_id', made.user_id,
            'created_at', created_at + made.n, 'updated_at', updated_at + made.n
        ))::text,
        made.id, made.user_id, size, created_at + made.n, updated_at + made.n,
        convert_to(replace(convert_from(data, 'UTF8'), %s, made.id), 'UTF8')
    FROM statekeep_documents, (
        SELECT n, md5(n::text)::uuid::text AS id, 'user-' || n %% 5000 AS user_id
        FROM generate_series(1, %s) AS n
    ) AS made
"""


def _pages(url: str) -> tuple[float, float]:
    Sessions(open_store("memory:")).list()  # what is imported is not measured
    import_module("statekeep_backends.postgres.store")
    with open_store(url) as store:
        sessions = Sessions(store)
        return _first_and_later(lambda: len(sessions.list(limit=100)))


def _bare_pages(url: str) -> tuple[float, float]:
    query = (
        "SELECT key, version, modified, record FROM statekeep_documents WHERE place = 'sessions' "
        "AND updated_at IS NOT NULL ORDER BY updated_at DESC, id, key LIMIT 100"
    )
    connections: list[psycopg.Connection[Any]] = []

    def page() -> int:
        if not connections:
            connections.append(psycopg.connect(url, autocommit=True))
        return len(connections[0].execute(query).fetchall())

    times = _first_and_later(page)
    connections[0].close()
    return times


def _first_and_later(page: Callable[[], int]) -> tuple[float, float]:
    """Seconds for a page when nothing was asked before, and when much was."""
    times = []
    for _ in range(1 + 8 * _TIMES):
        start = time.perf_counter()
        assert page() == 100
        times.append(time.perf_counter() - start)
    return times[0], median(times[1:])


def _fill_database(path: Path, count: int) -> None:
    with open_store(f"sqlite:{path}?durability=normal") as store:
        able = power(store, SupportsQuery)
        assert able
        for session_id, data in documents(SMALL, count):
            key = session_key(session_id)
            record = read_record(key, Blob(data, Version(""), None))
            able.put_record(key, data, encode_record(record), expect=ANY)


def _page(path: Path) -> float:
    Sessions(open_store("memory:")).list()  # what is imported is not measured
    import_module("statekeep_backends.sqlite")
    start = time.perf_counter()
    with open_store(f"sqlite:{path}?durability=normal") as store:
        assert len(Sessions(store).list(limit=100)) == 100
    return time.perf_counter() - start


def _bare_page(path: Path) -> float:
    start = time.perf_counter()
    with closing(sqlite3.connect(path)) as db:
        rows = db.execute(
            "SELECT key, version, modified, record FROM documents WHERE place = 'sessions' "
            "AND updated_at IS NOT NULL ORDER BY updated_at DESC LIMIT 100"
        ).fetchall()
    assert len(rows) == 100
    return time.perf_counter() - start


def _alone(function: Callable[..., T], *arguments: object) -> T:
    """Call a function in a new process."""
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        return pool.apply(function, arguments)


def _list(url: str, before: int = 0) -> Cost:
    with open_store(url) as store:
        return _measure(store, before, lambda sessions: sessions.list(limit=100))


def _prune(url: str, keep: int) -> Cost:
    with open_store(url) as store:
        strategy = load_pruner("max-sessions", max_sessions=keep)
        return _measure(store, 0, lambda sessions: sessions.prune(strategy))


def _list_imaginary(count: int, path: Path) -> Cost:
    store = Imaginary(count, path)
    start = time.monotonic()
    for _ in store.scan():
        pass
    scanning = time.monotonic() - start
    cost = _measure(store, 0, lambda sessions: sessions.list(limit=100))
    return cost._replace(seconds=cost.seconds - scanning)


def _measure(store: StateStore, before: int, work: Callable[[Sessions], object]) -> Cost:
    finished: list[Event] = []
    sessions = Sessions(store, observers=[finished.append])
    base = _memory("VmRSS")
    for _ in range(1 + before):
        work(sessions)
    last = finished[-1]
    assert isinstance(last, OperationFinished)
    seconds = last.duration.total_seconds()
    return Cost(last.requests, seconds, _memory("VmRSS") - base, _memory("VmHWM") - base)


def _memory(which: str) -> float:
    """Megabytes; not by getrusage(), whose peak is the parent's if that was higher."""
    lines = Path("/proc/self/status").read_text().splitlines()
    (kilobytes,) = (line.split()[1] for line in lines if line.startswith(f"{which}:"))
    return int(kilobytes) * 1024 / 1e6


def _fill(url: str, count: int, size: Size = SMALL) -> None:
    with open_store(url) as store, ThreadPoolExecutor(32) as pool:
        for done in pool.map(
            lambda one: store.put(session_key(one[0]), one[1]), documents(size, count)
        ):
            del done


def main() -> None:
    os.environ.update(servers.CREDENTIALS)
    print("| sessions | requests | time | stays in memory | peak |")
    print("| --- | --- | --- | --- | --- |")
    for count in (10_000, 100_000):
        for line in on_a_server(count):
            print(line, flush=True)
    print("\n| sessions | time | stays in memory | peak | index |")
    print("| --- | --- | --- | --- | --- |")
    for count in (100_000, 1_000_000):
        for line in of_the_index(count):
            print(line, flush=True)

    print("\n| sessions in SQLite | page of 100, a new process | bare | ratio | file |")
    print("| --- | --- | --- | --- | --- |")
    for count in (10_000, 1_000_000):
        for line in in_a_database(count):
            print(line, flush=True)

    print("\n| sessions in PostgreSQL | page of 100, a new process | bare | ratio "
          "| the same process again | bare | ratio |")  # fmt: skip
    print(f"|{' --- |' * 7}")
    for count in (10_000, 1_000_000):
        for line in in_postgres(count):
            print(line, flush=True)


if __name__ == "__main__":
    main()
