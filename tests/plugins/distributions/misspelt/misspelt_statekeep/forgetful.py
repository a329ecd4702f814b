"""One hook is marked, two are not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel

from statekeep.plugins import BackendSpec, PrunerSpec, hookimpl
from statekeep_backends.memory import MemoryStore

if TYPE_CHECKING:
    from statekeep.events import Event


class Config(BaseModel, extra="forbid"):
    """No options."""


@hookimpl
def statekeep_backends() -> list[BackendSpec]:
    return [BackendSpec("forgetful", "forgets", Config, lambda url, config: MemoryStore())]  # noqa: ARG005


def statekeep_pruners() -> list[PrunerSpec]:
    return []


def statekeep_event(event: Event) -> None:
    raise AssertionError(f"never called with {event}")
