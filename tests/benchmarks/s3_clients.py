"""Both clients of S3 beside bare boto3, on a SeaweedFS of its own: ``python s3_clients.py``.

What is compared runs in turns, so that a noisy neighbour meets all alike; medians are told.
"""

from __future__ import annotations

import os
import secrets
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, NamedTuple

import boto3
from botocore.config import Config

from statekeep import open_store
from statekeep.store import get_many

sys.path.insert(0, str(Path(__file__).parents[1]))
import servers

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from statekeep import StateStore

ROUNDS = 9
FEW, MANY = 60, 320
AT_ONCE = 32
BODY = secrets.token_hex(2048).encode()
KEYS = [f"sessions/{n}.json" for n in range(MANY)]


class Subject(NamedTuple):
    """What is measured of one library."""

    name: str
    put: Callable[[str], object]
    get: Callable[[str], object]
    get_many: Callable[[Sequence[str]], object]


def boto3_subject(endpoint: str, threads: ThreadPoolExecutor) -> Subject:
    config = Config(max_pool_connections=2 * AT_ONCE)
    client = boto3.client("s3", endpoint_url=endpoint, config=config)
    client.create_bucket(Bucket="bench")

    def put(key: str) -> object:
        return client.put_object(Bucket="bench", Key=f"x/{key}", Body=BODY)

    def get(key: str) -> object:
        return client.get_object(Bucket="bench", Key=f"x/{key}")["Body"].read()

    return Subject("boto3", put, get, lambda keys: list(threads.map(get, keys)))


def our_subject(name: str, store: StateStore) -> Subject:
    return Subject(
        name,
        lambda key: store.put(key, BODY),
        store.get,
        lambda keys: list(get_many(store, keys)),
    )


def measure(subjects: Sequence[Subject], threads: ThreadPoolExecutor) -> str:
    """A table of rates, CPU of this process, and ratios to the first subject."""
    few = KEYS[:FEW]
    work: dict[str, tuple[int, Callable[[Subject], object]]] = {
        "put, one at a time": (FEW, lambda s: [s.put(key) for key in few]),
        "get, one at a time": (FEW, lambda s: [s.get(key) for key in few]),
        f"put, {AT_ONCE} threads": (MANY, lambda s: list(threads.map(s.put, KEYS))),
        f"get, {AT_ONCE} at once": (MANY, lambda s: s.get_many(KEYS)),
    }
    for subject in subjects:  # makes the documents and the connections
        list(threads.map(subject.put, KEYS))
        subject.get_many(KEYS)
    lines = ["| | " + " | ".join(subject.name for subject in subjects) + " |"]
    lines.append("| --- " * (1 + len(subjects)) + "|")
    for what, (times, run) in work.items():
        walls: list[list[float]] = [[] for _ in subjects]
        cpus: list[list[float]] = [[] for _ in subjects]
        for _ in range(ROUNDS):
            for n, subject in enumerate(subjects):
                wall, cpu = time.perf_counter(), time.process_time()
                run(subject)
                walls[n].append(time.perf_counter() - wall)
                cpus[n].append(time.process_time() - cpu)
        base = median(walls[0])
        cells = [
            f"{base / median(wall):.2f} times: {times / median(wall):.0f}/s, "
            f"{median(cpu) / times * 1e3:.2f} ms of CPU"
            for wall, cpu in zip(walls, cpus, strict=True)
        ]
        lines.append(f"| {what} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    os.environ.update(servers.CREDENTIALS)
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True))
        endpoint = stack.enter_context(servers.seaweedfs(Path(folder)))
        threads = stack.enter_context(ThreadPoolExecutor(AT_ONCE))
        subjects = [boto3_subject(endpoint, threads)]
        for name in ("s3fs", "obstore"):
            url = f"s3://bench/x?endpoint_url={endpoint}&client={name}"
            subjects.append(our_subject(name, stack.enter_context(open_store(url))))
        print(measure(subjects, threads))


if __name__ == "__main__":
    main()
