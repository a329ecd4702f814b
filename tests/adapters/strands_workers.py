"""What the tests of Strands Agents run in processes of their own."""

from __future__ import annotations

import asyncio

from strands.types.exceptions import StorageError
from strands.types.session import SessionMessage

from statekeep_adapters.strands import StatekeepSessionRepository, StatekeepStorage


def say(url: str, worker: int, times: int) -> None:
    """Add messages of an agent, numbered from 0 as all other processes number theirs."""
    with StatekeepSessionRepository(url) as repository:
        for number in range(times):
            message = SessionMessage(
                {"role": "user", "content": [{"text": f"{worker}-{number}"}]}, number
            )
            repository.create_message("17", "a", message)


def count(url: str, times: int) -> None:
    """Count up what is in a storage, each time again until nobody came between."""

    async def main() -> None:
        async with StatekeepStorage(url) as storage:
            for _ in range(times):
                while not await _count(storage):
                    pass

    asyncio.run(main())


async def _count(storage: StatekeepStorage) -> bool:
    data = await storage.read("count")
    try:
        await storage.write("count", b"%d" % (int(data or 0) + 1))
    except StorageError:
        return False
    return True
