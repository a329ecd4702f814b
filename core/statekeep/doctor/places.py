"""Keys that would collide elsewhere, or differ only in spelling."""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING

from statekeep.doctor.findings import Finding
from statekeep.store.keys import SESSIONS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["collisions", "is_misspelt"]


def collisions(keys: Iterable[str]) -> Iterator[Finding]:
    """Yield documents that not every store can hold side by side."""
    keys = sorted(keys)
    folders: set[str] = set()
    for key in keys:
        folder = key.rpartition("/")[0]
        while folder and folder not in folders:
            folders.add(folder)
            folder = folder.rpartition("/")[0]
    known = set(keys)
    spelled: dict[str, str] = {}
    for key in keys:
        first = spelled.setdefault(_folded(key), key)
        if first != key:
            reason = f"on a volume that ignores case it would be the same file as {first!r}"
        elif key in folders:
            reason = "it is also a category, which no folder on a disk could hold"
        elif key.endswith(".md") and key.startswith(f"{SESSIONS}/") and f"{key[:-3]}.json" in known:
            reason = "it is beside the session of that name; the original lists that session twice"
        else:
            continue
        yield Finding("collision", key, reason, harmless=True)


def is_misspelt(key: str, meant: str) -> bool:
    """Return whether two keys would be one on a volume that ignores case or normalizes names."""
    return _folded(key) == _folded(meant)


def _folded(key: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", key).casefold())
