"""A thread of LangGraph: a journal named after its id, with the items of all namespaces."""
