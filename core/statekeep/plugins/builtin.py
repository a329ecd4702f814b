"""The entry points of statekeep's own distribution, in case its metadata is missing.

Frozen programs, vendored copies and slimmed copies have the code, but not the metadata that lists
it.
"""

from __future__ import annotations

from importlib.metadata import EntryPoint
from importlib.util import find_spec
from typing import Final

__all__ = ["BUILTIN", "missing_from"]

BUILTIN: Final = {
    "statekeep.backends": {
        "file": "statekeep_backends.local",
        "fsspec": "statekeep_backends.filesystem",
        "memory": "statekeep_backends.memory",
        "postgres": "statekeep_backends.postgres",
        "postgresql": "statekeep_backends.postgres",
        "redis": "statekeep_backends.redis",
        "rediss": "statekeep_backends.redis",
        "s3": "statekeep_backends.s3",
        "sqlite": "statekeep_backends.sqlite",
        "unix": "statekeep_backends.redis",
        "valkey": "statekeep_backends.redis",
    },
    "statekeep.commands": {"browse": "statekeep_web.plugin"},
    "statekeep.importers": {
        "claude-code": "statekeep_plugins.transcripts.importers",
        "codex": "statekeep_plugins.transcripts.importers",
        "langgraph": "statekeep_plugins.databases.langgraph",
        "openai-agents": "statekeep_plugins.databases.openai_agents",
    },
    "statekeep.observers": {"otel": "statekeep_plugins.telemetry"},
    "statekeep.pruners": dict.fromkeys(
        (
            "any-of",
            "expired",
            "keep-last-per-phase",
            "max-per-user",
            "max-sessions",
            "total-bytes",
            "ttl",
            "ttl+count",
        ),
        "statekeep_plugins.pruners",
    ),
}
"""For each group, the names and their modules, as in pyproject.toml."""


def missing_from(group: str, found: set[str]) -> list[EntryPoint]:
    """Return a group's built-in entry points that the metadata lacks, if their code is installed.

    Args:
        group: The group, such as ``statekeep.backends``.
        found: The names in our own distribution's metadata.
    """
    return [
        EntryPoint(name, module, group)
        for name, module in BUILTIN.get(group, {}).items()
        if name not in found and find_spec(module.partition(".")[0])
    ]
