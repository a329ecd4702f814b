"""What the tests of adapters run in processes of their own."""

from __future__ import annotations

import asyncio

from statekeep_adapters.claude import StatekeepSessionStore


def mirror(url: str, worker: int, times: int) -> None:
    """Append to one session: entries of this process, and such as all processes append."""

    async def append() -> None:
        async with StatekeepSessionStore(url) as sessions:
            for number in range(times):
                await sessions.append(
                    {"project_key": "p", "session_id": "s"},
                    [
                        {"type": "user", "uuid": f"all-{number}"},
                        {"type": "user", "uuid": f"{worker}-{number}"},
                    ],
                )

    asyncio.run(append())
