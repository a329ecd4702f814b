"""On an S3 server of this machine, and counted on the way there."""

from __future__ import annotations

import os
import secrets
import tempfile
import time
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import servers
from proxy import Proxy

from benchmarks import floors
from benchmarks.bench import Entry
from benchmarks.conversations import SMALL
from benchmarks.local import each_session
from benchmarks.peers import KeyValueBucket, StrandsBucket
from benchmarks.subjects import AtOnce, Bucket, StatekeepBucket

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.bench import Bench
    from benchmarks.subjects import Cost

__all__ = ["AT_ONCE", "FLOOR", "buckets"]

FLOOR = "bare obstore"
_STATEKEEP = [
    Entry(f"statekeep, {client}", partial(StatekeepBucket, client=client), "statekeep")
    for client in ("obstore", "s3fs")
]
_FLOORS = [
    Entry(FLOOR, floors.BareObstore, "floor"),
    Entry("bare boto3", floors.BareBoto3, "floor"),
]
_PEERS = [
    Entry("strands-agents, S3", StrandsBucket, "peer"),
    Entry("py-key-value, S3", KeyValueBucket, "peer"),
]

AT_ONCE = "Sessions in asyncio's executor"
_AT_ONCE = [
    Entry(AT_ONCE, partial(AtOnce, by="asyncio"), "floor"),
    Entry("AsyncSessions", partial(AtOnce, by="statekeep"), "statekeep"),
]


def buckets(bench: Bench) -> None:
    """Save and load on S3, and count the requests of that and of listings."""
    entries, peers = [*_FLOORS, *_STATEKEEP], _PEERS if bench.plan.peers else []
    with _server() as url:
        few = max(1, bench.plan.sizes[SMALL] // 5)
        for _ in bench.rounds(bench.plan.rounds):
            places = [_new_place(url) for _ in entries]
            each_session(bench, "SeaweedFS", entries, places, SMALL, few)
        bench.part = "at once on S3"
        _at_once(bench, url)
        bench.part = "others on S3"
        for _ in bench.rounds(min(3, bench.plan.rounds)):
            both = [*_STATEKEEP, *peers]
            places = [_new_place(url) for _ in both]
            each_session(bench, "SeaweedFS", both, places, SMALL, max(1, few // 5))
        bench.part = "requests"
        with Proxy(url) as proxy:
            for entry in (*entries, *peers):
                _count(bench, entry, _new_place(proxy.url), proxy)
            for entry in _STATEKEEP:
                _count_listing(bench, entry, _new_place(url), proxy)


def _at_once(bench: Bench, url: str) -> None:
    """A thousand operations of one event loop."""
    count = bench.plan.crowd // 10
    with ExitStack() as stack:
        team = [
            (entry, stack.enter_context(bench.worker(entry, _new_place(url)))) for entry in _AT_ONCE
        ]
        for _, worker in team:
            worker.call("prepare", SMALL, count)
            worker.call("whole", "save_all")
        for _ in bench.rounds(bench.plan.rounds):
            for work in ("save", "load"):
                for entry, worker in team:
                    cost: Cost = worker.call("whole", f"{work}_all")
                    bench.add(entry, "SeaweedFS", f"{count:,} at once", work, cost / count)


def _count(bench: Bench, entry: Entry, place: str, proxy: Proxy) -> None:
    with bench.worker(entry, place) as worker:
        worker.call("prepare", SMALL, 1)
        for work, title in (("create", ""), ("load", "load"), ("update", "save again")):
            proxy.count()
            worker.call("each", work)
            # Before the first save the server is asked what it can do.
            if title:
                number = len(proxy.count())
                bench.add(entry, "SeaweedFS", "one session", title, number, "requests")


def _count_listing(bench: Bench, entry: Entry, place: str, proxy: Proxy) -> None:
    count = bench.plan.small_crowd
    with bench.worker(entry, place) as worker:
        worker.call("prepare", SMALL, count)
        worker.call("each", "create")
    time.sleep(bench.plan.settling)
    counted = place.replace(proxy.target, proxy.url)
    for ways in (("page, no index", "page, again"), ("page, new process",)):
        with bench.worker(entry, counted) as worker:
            worker.call("prepare", SMALL, 0)  # then it has been opened, too
            for way in ways:
                proxy.count()
                worker.call("newest", 100, min(100, count))
                number = len(proxy.count())
                bench.add(entry, "SeaweedFS", f"{count:,} sessions", way, number, "requests")


@contextmanager
def _server() -> Iterator[str]:
    """The URL of a server that has a bucket."""
    import boto3

    for variable in [*os.environ]:
        if variable.startswith("AWS_"):
            del os.environ[variable]
    os.environ.update(servers.CREDENTIALS)
    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as base,
        servers.seaweedfs(Path(base)) as url,
    ):
        bucket = Bucket(_new_place(url))
        boto3.resource("s3", endpoint_url=bucket.endpoint).Bucket(bucket.name).create()
        yield url


def _new_place(url: str) -> str:
    return f"s3://benchmark/{secrets.token_hex(6)}?endpoint_url={url}"
