"""On S3 servers of this machine, and counted on the way there."""

from __future__ import annotations

import os
import secrets
import tempfile
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import servers
from proxy import Proxy

from benchmarks import baselines, peers
from benchmarks.adapters import Bucket, StatekeepBucket
from benchmarks.bench import Entry
from benchmarks.conversations import SMALL, as_json, ids
from benchmarks.operations import (
    fill,
    list_every_way,
    prune,
    save_and_load,
    save_and_load_together,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from benchmarks.bench import Bench
    from benchmarks.processes import Worker

__all__ = ["buckets", "requests"]

_STATEKEEP = [
    Entry(f"statekeep, {client}", partial(StatekeepBucket, client=client), "statekeep")
    for client in ("s3fs", "obstore")
]
_FLOOR = Entry("bare boto3", baselines.BareBucket, "floor")
_PEERS = [
    Entry("strands-agents, S3", peers.StrandsBucket, "peer"),
    Entry("py-key-value, S3", peers.KeyValueBucket, "peer"),
]


def buckets(bench: Bench) -> None:
    """Do all that is done on filesystems on S3 servers, too."""
    ours = [*_STATEKEEP, _FLOOR]
    with _servers("moto", "SeaweedFS") as urls:
        bench.part = "turns"
        for name, url in urls.items():
            everyone = [*ours, *(_PEERS if bench.plan.peers else [])]
            places = [_new_place(url) for _ in everyone]
            save_and_load(bench, name, everyone, places, bench.plan.sizes[:-1])
        # moto takes one request at a time: of what is done at once it tells nothing.
        name, url = "SeaweedFS", urls["SeaweedFS"]
        bench.part = "fleet"
        _transfer_and_load(bench, name, ours, [_new_place(url) for _ in ours])
        save_and_load_together(bench, name, ours, [_new_place(url) for _ in ours])
        for count in bench.plan.objects:
            places = [_new_place(url) for _ in ours]
            fill(bench, ours, places, count)
            bench.part = "listing"
            for _ in range(max(1, bench.plan.rounds // 3)):
                for entry, place in zip(ours, places, strict=True):
                    list_every_way(bench, entry, name, place, count, _forget_index)
            bench.part = "pruning"
            for entry, place in zip(ours, places, strict=True):
                prune(bench, entry, name, place, count, 1)


def requests(bench: Bench) -> None:
    """Count the requests that reach a server."""
    with _servers("SeaweedFS") as urls, Proxy(urls["SeaweedFS"]) as proxy:
        url = proxy.url
        for entry in (*_STATEKEEP, *(_PEERS if bench.plan.peers else [])):
            with bench.worker(entry, _new_place(url)) as worker:
                for work, call in _single_operations(worker):
                    proxy.count()
                    call()
                    number = len(proxy.count())
                    bench.add(entry, "S3", work, SMALL.name, number, "requests")
        for count in bench.plan.counted:
            for entry in _STATEKEEP:
                _count_listing(bench, entry, _new_place(url), count, proxy)


def _count_listing(bench: Bench, entry: Entry, place: str, count: int, proxy: Proxy) -> None:
    fill(bench, [entry], [place.replace(proxy.url, proxy.target)], count)
    for ways in (("no index", "again"), ("new process",)):
        with bench.worker(entry, place) as worker:
            worker.call("load", ids(1)[0], 0, 1)  # what comes before is no part of a listing
            for way in ways:
                proxy.count()
                worker.call("newest", 100, min(100, count))
                number = len(proxy.count())
                bench.add(entry, "S3", f"list, {way}", f"{count:,}", number, "requests")


def _single_operations(worker: Worker) -> Iterator[tuple[str, Callable[[], object]]]:
    (one,) = ids(1)
    worker.call("fill", SMALL, [one])
    yield "load", lambda: worker.call("load", one, 0, 1)
    worker.call("take", one, SMALL)
    worker.call("save", 0, 1)  # before the first, the server is asked what it can do
    yield "save", lambda: worker.call("save", 0, 1)


def _transfer_and_load(
    bench: Bench, name: str, entries: Sequence[Entry], places: Sequence[str]
) -> None:
    threads = bench.plan.threads
    session_ids = ids(20 * threads)
    documents = [*as_json(SMALL, session_ids)]
    fill(bench, entries, places, len(session_ids))
    with bench.workers(entries, places) as workers:
        for _ in range(bench.plan.rounds):
            for entry, worker in zip(entries, workers, strict=True):
                for work, size, took in _many_at_once(worker, threads, documents):
                    bench.add(entry, name, work, size, len(session_ids) / took, "1/s")


def _many_at_once(
    worker: Worker, threads: int, documents: list[tuple[str, bytes]]
) -> Iterator[tuple[str, str, float]]:
    """Work, how many at once, and seconds: first the requests alone, then whole sessions."""
    session_ids = [each for each, _ in documents]
    together = f"{threads} at once"
    yield "get bytes", together, worker.call("transfer", "get_many", session_ids, threads)
    yield "put bytes", together, worker.call("transfer", "put_many", documents, threads)
    yield "load", f"{threads} threads", worker.call("load_in_threads", session_ids, threads)


@contextmanager
def _servers(*names: str) -> Iterator[dict[str, str]]:
    """The URLs of servers that have a bucket each."""
    for variable in [*os.environ]:
        if variable.startswith("AWS_"):
            del os.environ[variable]
    os.environ.update(servers.CREDENTIALS)
    with ExitStack() as stack:
        base = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        urls = {}
        if "moto" in names:
            urls["moto"] = stack.enter_context(servers.moto(base / "log"))
        if "SeaweedFS" in names:
            (base / "seaweedfs").mkdir()
            urls["SeaweedFS"] = stack.enter_context(servers.seaweedfs(base / "seaweedfs"))
        for url in urls.values():
            _bucket(_new_place(url)).create()
        yield urls


def _new_place(url: str) -> str:
    return f"s3://benchmark/{secrets.token_hex(6)}?endpoint_url={url}"


def _forget_index(place: str) -> None:
    index = f"{Bucket(place).prefix}/.statekeep/cache/"
    for each in _bucket(place).objects.filter(Prefix=index):
        each.delete()


def _bucket(place: str) -> Any:
    import boto3

    bucket = Bucket(place)
    return boto3.resource("s3", endpoint_url=bucket.endpoint).Bucket(bucket.name)
