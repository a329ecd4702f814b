"""A graph that waits for a person, and resumes in another process: ``python interrupt.py [URL]``.

Try it with the URL of a bucket; two pods need share nothing else.
"""

from __future__ import annotations

import subprocess
import sys
from typing import Any, TypedDict

from langgraph.graph import END, START, StateGraph
from langgraph.types import Command, interrupt

from statekeep_adapters.langgraph import StatekeepSaver


class State(TypedDict, total=False):
    draft: str
    verdict: str


def write(state: State) -> State:
    print("writing")
    return {"draft": "We refund you."}


def approve(state: State) -> State:
    return {"verdict": interrupt({"send?": state["draft"]})}


def main(url: str, *answer: str) -> None:
    builder = StateGraph(State)
    builder.add_node("write", write)
    builder.add_node("approve", approve)
    builder.add_edge(START, "write")
    builder.add_edge("write", "approve")
    builder.add_edge("approve", END)
    config: Any = {"configurable": {"thread_id": "refund-4711"}}
    with StatekeepSaver(url, user_id="ada") as saver:
        graph = builder.compile(checkpointer=saver)
        if answer:
            print("ended:", graph.invoke(Command(resume=answer[0]), config))
        else:
            waiting = graph.invoke({}, config)["__interrupt__"]
            print("waits for a person:", waiting[0].value)


if __name__ == "__main__":
    url = sys.argv[1] if len(sys.argv) > 1 else "sqlite:state.db"
    if len(sys.argv) > 2:
        main(url, *sys.argv[2:])
    else:
        main(url)
        subprocess.run([sys.executable, __file__, url, "yes"], check=True)
