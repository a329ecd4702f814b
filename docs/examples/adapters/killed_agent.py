"""An agent that is killed in the middle of a turn, and goes on in another process.

The model is a fake one, so this needs no network: ``python killed_agent.py [URL]``.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

from agents import Agent, RunConfig, Runner, function_tool
from agents.items import ModelResponse
from agents.models.interface import Model
from agents.usage import Usage
from openai.types.responses import (
    ResponseFunctionToolCall,
    ResponseOutputMessage,
    ResponseOutputText,
)

from statekeep_adapters.openai_agents import StatekeepSession

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

URL = "sqlite:state.db"


class Planner(Model):
    """Books a flight, then a hotel, then says so; it goes by what the session has."""

    async def get_response(
        self, system_instructions: str | None, input: Any, *_: object, **__: object
    ) -> ModelResponse:
        done = [item["output"] for item in input if item.get("type") == "function_call_output"]
        wanted = [each for each in ("flight", "hotel") if f"{each} booked" not in done]
        output: Any
        if wanted:
            arguments = f'{{"what": "{wanted[0]}"}}'
            output = ResponseFunctionToolCall(
                arguments=arguments, call_id=wanted[0], name="book", type="function_call"
            )
        else:
            text = ResponseOutputText(text=" and ".join(done), type="output_text", annotations=[])
            output = ResponseOutputMessage(
                id="m", content=[text], role="assistant", status="completed", type="message"
            )
        return ModelResponse(output=[output], usage=Usage(), response_id=None)

    def stream_response(self, *_: object, **__: object) -> AsyncIterator[Any]:
        raise NotImplementedError


@function_tool
def book(what: str) -> str:
    """Book something, unless the machine fails first."""
    if what == os.environ.get("FAIL_AT"):
        os._exit(1)
    return f"{what} booked"


async def main(url: str) -> None:
    async with StatekeepSession("trip", url, user_id="ada") as session:
        went_on = bool(await session.get_items())
        agent = Agent(name="planner", model=Planner(), tools=[book])
        said: Any = [] if went_on else "Book my trip"
        config = RunConfig(tracing_disabled=True)
        result = await Runner.run(agent, said, session=session, run_config=config)
        print("went on:" if went_on else "began:", result.final_output)


if __name__ == "__main__":
    url = sys.argv[1] if len(sys.argv) > 1 else URL
    if "FAIL_AT" in os.environ or "GO_ON" in os.environ:
        asyncio.run(main(url))
    else:
        command = [sys.executable, __file__, url]
        killed = subprocess.run(command, env={**os.environ, "FAIL_AT": "hotel"}, check=False)
        print("the first process ended with", killed.returncode)
        subprocess.run(command, env={**os.environ, "GO_ON": "1"}, check=True)
