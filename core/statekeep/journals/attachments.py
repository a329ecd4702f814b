"""Attachments: files that belong to one journal, each named by its content.

They are stored below the uid of their journal, so nothing is shared or counted, and those of a
deleted journal can be recognized.
"""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from blake3 import blake3

from statekeep.errors import CorruptDataError, InvalidKeyError, StateStoreError
from statekeep.journals.segments import MissingSegmentError
from statekeep.store.keys import ATTACHMENTS
from statekeep.store.powers import delete_many, get_many

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from statekeep.store.protocol import StateStore

__all__ = ["Attachments", "is_attachment"]

_is_suffix = re.compile(r"\.(?!tmp$)[a-z0-9]{1,10}").fullmatch
_is_ref = re.compile(r"[0-9a-f]{32}(?:\.(?!tmp$)[a-z0-9]{1,10})?").fullmatch


class Attachments:
    """The attachments of one journal.

    Args:
        store: The store that holds them.
        uid: The journal's uid.
    """

    def __init__(self, store: StateStore, uid: str) -> None:
        self._store = store
        self._prefix = f"{ATTACHMENTS}/{uid}"

    def put(self, data: bytes, file_name: str) -> str:
        """Write a file, make sure it is there, and return its ref; repeating it changes nothing."""
        suffix = PurePosixPath(file_name).suffix.lower()
        ref = _hash(data) + (suffix if _is_suffix(suffix) else "")
        key = f"{self._prefix}/{ref}"
        try:
            self._store.put(key, data)
        except StateStoreError:
            blob = self._store.get(key)
            if blob is None or blob.data != data:
                raise
        return ref

    def get(self, refs: Iterable[str]) -> dict[str, bytes | None]:
        """Read files; None for a missing one.

        Raises:
            CorruptDataError: A file is not what was attached.
            InvalidKeyError: Something in `refs` is not a ref.
        """
        keys = self._keys(refs)
        found: dict[str, bytes | None] = dict.fromkeys(keys.values())
        for key, blob in get_many(self._store, keys):
            if isinstance(blob, StateStoreError):
                raise blob
            if blob is None:
                continue
            if _hash(blob.data) != keys[key][:32]:
                raise CorruptDataError("it is not what was attached", key=key, store=self._store)
            found[keys[key]] = blob.data
        return found

    def need(self, refs: Iterable[str]) -> dict[str, bytes]:
        """Read files that items of a head refer to.

        Raises:
            MissingSegmentError: A file is missing.
            CorruptDataError, InvalidKeyError: As in `get`.
        """
        files = {}
        for ref, data in self.get(refs).items():
            if data is None:
                raise MissingSegmentError(
                    "an item of the journal refers to this attachment, which is missing",
                    key=f"{self._prefix}/{ref}",
                    store=self._store,
                )
            files[ref] = data
        return files

    def delete(self, refs: Iterable[str]) -> None:
        """Delete files; missing ones are not an error.

        Raises:
            InvalidKeyError: Something in `refs` is not a ref.
        """
        delete_many(self._store, self._keys(refs))

    def copy(self, uid: str) -> None:
        """Copy all files to another journal, one by one."""
        for entry in self._store.scan(self._prefix):
            blob = self._store.get(entry.key)
            if blob is not None:  # otherwise it was just detached
                ref = entry.key.rpartition("/")[2]
                self._store.put(f"{ATTACHMENTS}/{uid}/{ref}", blob.data)

    def _keys(self, refs: Iterable[str]) -> Mapping[str, str]:
        keys = {}
        for ref in refs:
            if not _is_ref(ref):
                raise InvalidKeyError(f"not the ref of an attachment: {ref[:80]!r}")
            keys[f"{self._prefix}/{ref}"] = ref
        return keys


def is_attachment(data: bytes, ref: str) -> bool:
    """Whether bytes match a ref; true for anything that is not a ref, which cannot be checked."""
    return _is_ref(ref) is None or _hash(data) == ref[:32]


def _hash(data: bytes) -> str:
    return blake3(data).hexdigest(length=16)
