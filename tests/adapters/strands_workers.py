"""What the tests of Strands Agents run in processes of their own."""

from __future__ import annotations

import asyncio

from strands.types.exceptions import StorageError

from statekeep_adapters.strands import StatekeepStorage


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
