"""How long do 1,000 concurrent saves take on each backend, and does the loop stay awake?

    python tests/benchmarks/async_saves.py --help

Prints a table: saves a second one after the other without a loop, then all at once through
`AsyncSessions` with various numbers of workers. In parentheses the longest time for which the loop
could not turn. The best of some runs, in a temporary folder, with the tests' own S3 servers.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import secrets
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import boto3

from statekeep import AsyncSessions, Session, Sessions, open_store

sys.path.insert(0, str(Path(__file__).parents[1]))
import servers  # of the tests, which are no package


def new_sessions(count: int) -> list[Session]:
    """New sessions of 10 exchanges with 200 characters a message."""
    made = [Session.new("ada", secrets.token_hex(8)) for _ in range(count)]
    for session in made:
        for _ in range(10):
            session.add_user_message("x" * 200)
            session.add_agent_response("y" * 200)
    return made


def one_by_one(url: str, count: int) -> float:
    """Save without a loop; gives the seconds."""
    made = new_sessions(count)
    with open_store(url) as store:
        sessions = Sessions(store)
        sessions.save(made.pop())
        started = time.perf_counter()
        for session in made:
            sessions.save(session)
        return time.perf_counter() - started


async def all_at_once(url: str, count: int, workers: int) -> tuple[float, float]:
    """Save concurrently; gives the seconds and the longest pause of the loop."""
    made = new_sessions(count)
    longest = 0.0

    async def beat() -> None:
        nonlocal longest
        before = time.perf_counter()
        while True:
            await asyncio.sleep(0)
            now = time.perf_counter()
            longest, before = max(longest, now - before), now
            await asyncio.sleep(0.001)
            before = time.perf_counter()

    with open_store(url) as store:
        async with AsyncSessions(store, workers=workers) as sessions:
            await sessions.save(made.pop())
            heart = asyncio.create_task(beat())
            started = time.perf_counter()
            await asyncio.gather(*map(sessions.save, made))
            seconds = time.perf_counter() - started
            heart.cancel()
    return seconds, longest


def bucket(endpoint: str) -> str:
    """The URL of an empty bucket."""
    name = f"bench-{secrets.token_hex(4)}"
    boto3.client("s3", endpoint_url=endpoint).create_bucket(Bucket=name)
    return f"s3://{name}/prefix?endpoint_url={endpoint}"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--saves", type=int, default=1000)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 4, 8, 16, 32])
    parser.add_argument("--runs", type=int, default=3)
    asked = parser.parse_args()
    os.environ.update(servers.CREDENTIALS)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        (folder / "weed").mkdir()
        urls = {
            "memory": "memory:",
            "local, rename": f"file:{folder}/rename?durability=rename",
            "local, fsync": f"file:{folder}/fsync?durability=fsync",
            "moto": bucket(stack.enter_context(servers.moto(folder / "log"))),
            "SeaweedFS": bucket(stack.enter_context(servers.seaweedfs(folder / "weed"))),
        }
        print(f"{'saves a second':16}{'one by one':>14}", end="")
        print("".join(f"{workers:>10} workers" for workers in asked.workers))
        for name, url in urls.items():
            best = min(one_by_one(url, asked.saves) for _ in range(asked.runs))
            print(f"{name:16}{asked.saves / best:>14.0f}", end="", flush=True)
            for workers in asked.workers:
                seconds, pause = min(
                    asyncio.run(all_at_once(url, asked.saves, workers)) for _ in range(asked.runs)
                )
                rate = f"{asked.saves / seconds:.0f} ({pause * 1000:.0f} ms)"
                print(f"{rate:>18}", end="", flush=True)
            print()


main()
