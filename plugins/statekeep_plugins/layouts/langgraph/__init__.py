"""A thread of LangGraph: the journal of its id, with checkpoints and writes of all namespaces."""
