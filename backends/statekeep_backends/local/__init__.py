"""Local disk: a folder of plain files, shared with other processes and with the original."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field, PositiveInt

from statekeep.plugins import BackendSpec, hookimpl
from statekeep.store import MAX_DOCUMENT_BYTES
from statekeep_backends.local.store import Durability, LocalDiskStore

if TYPE_CHECKING:
    from statekeep.store import StoreURL

__all__ = ["LocalDiskConfig", "LocalDiskStore"]


class LocalDiskConfig(BaseModel):
    """Options of a local folder."""

    model_config = ConfigDict(extra="forbid")

    durability: Durability = "fsync"
    """``fsync`` survives a power cut, ``rename`` only the death of the process."""

    lock_timeout: float = Field(default=10.0, ge=0, allow_inf_nan=False)
    """Seconds to wait for another writer."""

    mode: str = "private"
    """Who can read new files: ``private`` (0600), or an octal mode as text, such as ``0640``."""

    max_document_bytes: PositiveInt = MAX_DOCUMENT_BYTES
    """Maximum size of a document; a larger one is not written, and reading it is an error."""


def _open(url: StoreURL, config: LocalDiskConfig) -> LocalDiskStore:
    return LocalDiskStore(url.path, **config.model_dump())


@hookimpl
def statekeep_backends() -> list[BackendSpec]:
    """Provide ``file:``, which is also the meaning of a bare path."""
    summary = "a folder on this machine"
    return [BackendSpec("file", summary, LocalDiskConfig, _open, nests=True)]
