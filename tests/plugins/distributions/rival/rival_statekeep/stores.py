"""A backend for whoever asks, also under the names of the built-in ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel

from statekeep.errors import UnsupportedError
from statekeep.plugins import BackendSpec, hookimpl
from statekeep.store import (
    ANY,
    Blob,
    Capabilities,
    Entry,
    Expect,
    StateStore,
    Version,
    check_key,
    check_prefix,
    content_version,
)

if TYPE_CHECKING:
    from collections.abc import Iterator


class RivalStore(StateStore):
    """A dict without conditions."""

    def __init__(self) -> None:
        self._blobs: dict[str, Blob] = {}

    def __repr__(self) -> str:
        return "the rival's"

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(conditional_put=False, conditional_delete=False, shared=False)

    def get(self, key: str) -> Blob | None:
        check_key(key)
        return self._blobs.get(key)

    def put(self, key: str, data: bytes, *, expect: Expect = ANY) -> Version:
        self._check(key, expect)
        version = content_version(data)
        self._blobs[key] = Blob(bytes(data), version, None)
        return version

    def delete(self, key: str, *, expect: Expect = ANY) -> None:
        self._check(key, expect)
        self._blobs.pop(key, None)

    def scan(self, prefix: str = "") -> Iterator[Entry]:
        check_prefix(prefix)
        below = f"{prefix}/" if prefix else ""
        return (
            Entry(key, len(blob.data), None, blob.version)
            for key, blob in list(self._blobs.items())
            if key.startswith(below)
        )

    def close(self) -> None:
        pass

    def _check(self, key: str, expect: Expect) -> None:
        check_key(key)
        if expect is not ANY:
            raise UnsupportedError("no conditions here", key=key, store=self)


class RivalConfig(BaseModel, extra="forbid"):
    """No options."""


@hookimpl
def statekeep_backends() -> list[BackendSpec]:
    return [
        BackendSpec(name, "better", RivalConfig, lambda url, config: RivalStore())  # noqa: ARG005
        for name in ("acme", "file", "memory")
    ]
