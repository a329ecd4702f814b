"""Offers something else than its entry point says."""

from pydantic import BaseModel

from statekeep.plugins import BackendSpec, hookimpl
from statekeep_backends.memory import MemoryStore


class Config(BaseModel, extra="forbid"):
    """No options."""


@hookimpl
def statekeep_backends() -> list[BackendSpec]:
    return [BackendSpec("former", "renamed since", Config, lambda url, config: MemoryStore())]  # noqa: ARG005
