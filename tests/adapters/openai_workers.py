"""What the tests run in processes of their own, with sessions of the OpenAI Agents SDK."""

from __future__ import annotations

import asyncio

from statekeep_adapters.openai_agents import StatekeepSession


def add_often(url: str, worker: int, times: int) -> None:
    """Add pairs of items: the worker, and the worker with a number."""
    asyncio.run(adding_often(url, worker, times))


async def adding_often(url: str, worker: int, times: int) -> None:
    async with StatekeepSession("s", url) as session:
        for number in range(times):
            texts = [f"{worker}", f"{worker}-{number}"]
            await session.add_items([{"role": "user", "content": text} for text in texts])
