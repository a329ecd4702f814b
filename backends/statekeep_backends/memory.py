"""Memory: for tests, and for state that may be lost. Semantics and versions are as elsewhere."""

from __future__ import annotations

import os
import threading
import weakref
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from statekeep.errors import ConfigError
from statekeep.plugins import BackendSpec, hookimpl
from statekeep.store import (
    ANY,
    Blob,
    Capabilities,
    Entry,
    Expect,
    ExpectSeen,
    StateStore,
    Version,
    check_key,
    check_prefix,
    compare,
    content_version,
)
from statekeep.timestamps import to_nanoseconds, utc_now

if TYPE_CHECKING:
    from collections.abc import Iterator

    from statekeep.store import Record, StoreURL

__all__ = ["MemoryStore"]


class Place:
    """Where documents are stored, for one client or several."""

    def __init__(self) -> None:
        self.blobs: dict[str, Blob] = {}
        self.lock = threading.Lock()
        _places.add(self)


class MemoryStore(StateStore):
    """A store in the memory of this process; a forked child gets a copy of its own.

    Args:
        name: A name for error messages.
        place: Where its documents are, to share them; by default a place of its own.
    """

    def __init__(self, name: str = "", place: Place | None = None) -> None:
        self._name = name
        self._place = place or Place()

    def __repr__(self) -> str:
        return f"memory:{self._name}"

    @property
    def capabilities(self) -> Capabilities:
        """Everything except sharing with other processes."""
        return Capabilities(conditional_put=True, conditional_delete=True, shared=False)

    def get(self, key: str) -> Blob | None:
        """See `StateStore.get`."""
        check_key(key)
        return self._place.blobs.get(key)

    def put(self, key: str, data: bytes, *, expect: Expect = ANY) -> Version:
        """See `StateStore.put`."""
        check_key(key)
        version = content_version(data)
        blob = Blob(data, version, utc_now(), version)
        with self._place.lock:
            self._compare(key, expect)
            self._place.blobs[key] = blob
        return blob.version

    def append(
        self,
        key: str,
        data: bytes,
        *,
        expect: Version,
        record: Record | None = None,  # noqa: ARG002 - this store keeps no records
    ) -> Version:
        """See `SupportsAppend.append`."""
        check_key(key)
        with self._place.lock:
            self._compare(key, expect)
            whole = self._place.blobs[key].data + data
            version = content_version(whole)
            self._place.blobs[key] = Blob(whole, version, utc_now(), version)
        return version

    def delete(self, key: str, *, expect: ExpectSeen = ANY) -> None:
        """See `StateStore.delete`."""
        check_key(key)
        with self._place.lock:
            self._compare(key, expect)
            self._place.blobs.pop(key, None)

    def scan(self, prefix: str = "") -> Iterator[Entry]:
        """See `StateStore.scan`."""
        check_prefix(prefix)
        with self._place.lock:
            blobs = list(self._place.blobs.items())
        below = f"{prefix}/" if prefix else ""
        return (
            Entry(key, len(blob.data), to_nanoseconds(blob.modified), blob.fingerprint)
            for key, blob in blobs
            if key.startswith(below)
        )

    def close(self) -> None:
        """See `StateStore.close`. The documents stay, for other clients."""

    def _compare(self, key: str, expect: Expect) -> None:
        current = self._place.blobs.get(key)
        compare(current.version if current else None, expect, key=key, store=self)


_places: weakref.WeakSet[Place] = weakref.WeakSet()
_named: dict[str, Place] = {}
_named_lock = threading.Lock()


def _find_place(name: str) -> Place:
    with _named_lock:
        return _named.setdefault(name, Place())


def _renew_locks() -> None:
    # A thread of the parent may have held a lock, which nobody would ever release in the child.
    global _named_lock  # noqa: PLW0603
    _named_lock = threading.Lock()
    for place in _places:
        place.lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_locks)


class MemoryConfig(BaseModel):
    """The memory backend has no options."""

    model_config = ConfigDict(extra="forbid")


def _open(url: StoreURL, config: MemoryConfig) -> MemoryStore:  # noqa: ARG001
    name = url.location
    if name.startswith("/"):
        raise ConfigError("write memory: for a new store, or memory:NAME for a shared one")
    return MemoryStore(name, _find_place(name) if name else None)


@hookimpl
def statekeep_backends() -> list[BackendSpec]:
    """Provide ``memory:``."""
    summary = "this process's memory; memory:NAME is shared within the process"
    return [BackendSpec("memory", summary, MemoryConfig, _open, nests=True)]
