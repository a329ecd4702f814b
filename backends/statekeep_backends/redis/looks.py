"""Checks how a server is set up: whether it can lose what it has acknowledged."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from redis.exceptions import ResponseError

from statekeep.observe.emitter import count_request

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from redis.connection import Connection

__all__ = ["look"]

_QUESTIONS = (
    ("INFO", "memory"),
    ("INFO", "persistence"),
    ("CONFIG", "GET", "save"),
    ("CONFIG", "GET", "appendfsync"),
)


def look(connection: Connection, warn: Callable[[str], None]) -> None:
    """Warn of each setting that can lose state; ignore what the server does not disclose.

    Raises:
        RedisError, OSError: The server did not answer.
    """
    count_request()
    connection.send_packed_command(connection.pack_commands(_QUESTIONS))
    known: dict[str, str] = {}
    for _ in _QUESTIONS:
        with suppress(ResponseError):  # a managed server does not disclose everything
            known |= _read(connection.read_response(disconnect_on_error=True))
    for each in _dangers(known):
        warn(each)


def _read(answer: Any) -> Mapping[str, str]:
    """Return the server's settings, by name."""
    if isinstance(answer, list):
        names = (each.decode() for each in answer[::2])
        return dict(zip(names, (each.decode() for each in answer[1::2]), strict=True))
    lines = (line.partition(":") for line in answer.decode(errors="replace").splitlines())
    return {name: value for name, colon, value in lines if colon}


def _dangers(known: Mapping[str, str]) -> Iterator[str]:
    policy = known.get("maxmemory_policy", "")
    if policy.startswith("allkeys"):
        yield (
            f"the server deletes documents when its memory is full (maxmemory-policy {policy}); "
            "set it to noeviction"
        )
    if known.get("aof_enabled") == "0":
        if known.get("save") == "":
            yield (
                "the server keeps nothing over a restart (no appendonly, no save); set appendonly "
                "to yes, and choose with appendfsync what survives"
            )
        elif known.get("save"):
            yield (
                "a server that dies loses what was written since its last snapshot (no "
                "appendonly); set appendonly to yes"
            )
    elif known.get("aof_enabled") == "1" and known.get("appendfsync") == "no":
        yield (
            "a power cut loses what the system has not written yet, about 30 seconds (appendfsync "
            "no); set it to everysec or always"
        )
