"""What the tests of the adapter for LangGraph run in processes of their own."""

from __future__ import annotations

from langgraph.checkpoint.base import empty_checkpoint

from statekeep_adapters.langgraph import StatekeepSaver, StatekeepStore


def write(url: str, worker: int, times: int) -> None:
    """Put writes of tasks, checkpoints in a namespace of this process, and items of memory."""
    root = {"thread_id": "t", "checkpoint_ns": "", "checkpoint_id": "c"}
    own = {"thread_id": "t", "checkpoint_ns": f"node:{worker}"}
    with StatekeepSaver(url) as saver, StatekeepStore(url) as memory:
        for number in range(times):
            saver.put_writes({"configurable": root}, [("x", number)], f"{worker}-{number}")
            checkpoint = {**empty_checkpoint(), "channel_values": {"x": "x" * 10_000}}
            saver.put({"configurable": own}, checkpoint, {"step": number}, {})  # type: ignore[arg-type]
            memory.put(("shared",), f"{worker}-{number}", {"n": number})
            memory.put(("shared",), "all", {"n": number})
