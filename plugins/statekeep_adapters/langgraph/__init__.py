"""Checkpoints and long-term memory of LangGraph.

```python
from statekeep_adapters.langgraph import StatekeepSaver, StatekeepStore

saver, memory = StatekeepSaver("./state"), StatekeepStore("./state")
graph = builder.compile(checkpointer=saver, store=memory)
```
"""

from statekeep_adapters.langgraph.saver import StatekeepSaver as StatekeepSaver
from statekeep_adapters.langgraph.store import StatekeepStore as StatekeepStore

__all__ = ["StatekeepSaver", "StatekeepStore"]
