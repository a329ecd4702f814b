"""Two workers that take messages of one conversation at the same time: none is lost.

``python two_workers.py [URL]``
"""

from __future__ import annotations

import asyncio
import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

from statekeep_adapters.openai_agents import StatekeepSession

MESSAGES = 50


def work(url: str, worker: str) -> None:
    """What a pod does with each message: what was said, and the answer, in one write."""

    async def main() -> None:
        async with StatekeepSession("support-7", url, user_id="ada") as session:
            for number in range(MESSAGES):
                await session.get_items(limit=20)
                await session.add_items(
                    [
                        {"role": "user", "content": f"{worker}: question {number}"},
                        {"role": "assistant", "content": f"{worker}: answer {number}"},
                    ]
                )

    asyncio.run(main())


async def kept(url: str) -> list[str]:
    async with StatekeepSession("support-7", url, user_id="ada") as session:
        return [str(item.get("content")) for item in await session.get_items()]


if __name__ == "__main__":
    url = sys.argv[1] if len(sys.argv) > 1 else "sqlite:state.db"
    workers = ["one", "two"]
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        list(pool.map(work, [url] * 2, workers))
    said = asyncio.run(kept(url))
    whole = sum(
        said[place + 1] == text.replace("question", "answer")
        for place, text in enumerate(said)
        if "question" in text
    )
    print(f"{len(said)} of {4 * MESSAGES} messages, {whole} answers right after their questions")
