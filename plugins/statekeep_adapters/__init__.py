"""Adapters: statekeep as the store of an agent framework.

Each module needs the framework that it is named after, an extra of statekeep:

- `statekeep_adapters.claude` (``pip install 'statekeep[claude-agent-sdk]'``)
- `statekeep_adapters.langgraph` (``pip install 'statekeep[langgraph]'``)
- `statekeep_adapters.openai_agents` (``pip install 'statekeep[openai-agents]'``)
- `statekeep_adapters.pydantic_ai` (``pip install 'statekeep[pydantic-ai]'``)
- `statekeep_adapters.strands` (``pip install 'statekeep[strands-agents]'``)

Conversations of all frameworks are journals: one store can hold those of several, and
``statekeep sessions list --all`` lists them together.
"""
