"""A backend that imports its library only when a store is opened."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel

from statekeep.plugins import BackendSpec, hookimpl

if TYPE_CHECKING:
    from statekeep.store import StateStore, StoreURL


class Config(BaseModel, extra="forbid"):
    """No options."""


def _open(url: StoreURL, config: Config) -> StateStore:
    import a_library_that_is_not_installed as library  # type: ignore[import-not-found]

    store: StateStore = library.open(url.location, config)
    return store


@hookimpl
def statekeep_backends() -> list[BackendSpec]:
    return [BackendSpec("late", "finds out late", Config, _open)]
