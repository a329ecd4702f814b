"""Tests of stores that can delete many documents, each only if unchanged."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from statekeep import ClosedError, ConflictError, InvalidKeyError, StateStore, Version
from statekeep.store import Seen, SupportsDeleteSeen, power
from statekeep.testing.checks import holds, lists, read
from statekeep.testing.fixtures import StoreFixtures

if TYPE_CHECKING:
    from collections.abc import Iterable

    from statekeep import StateStoreError

__all__ = ["DeletingContract"]

_KEYS = [f"notes/{n}.json" for n in range(100)]
_FEW = _KEYS[:6]


class DeletingContract(StoreFixtures):
    """The part of `StateStoreContract` about `SupportsDeleteSeen`."""

    @pytest.fixture
    def deleting(self, store: StateStore) -> SupportsDeleteSeen:
        """The store if it can delete this way; otherwise the test is skipped."""
        able = power(store, SupportsDeleteSeen)
        if able is None:
            pytest.skip("not claimed: deletes of what was seen")
        return able

    def test_unchanged_documents_are_deleted_together(
        self, store: StateStore, other: StateStore, deleting: SupportsDeleteSeen
    ) -> None:
        seen = [_seen(store, key) for key in _KEYS]
        store.put("notes/more.json", b"x")
        assert _deleted(deleting, seen) == dict.fromkeys(_KEYS)
        lists(other, ["notes/more.json"], when=" after all others were deleted")
        assert _deleted(deleting, []) == {}

    def test_documents_changed_since_they_were_seen_are_kept(
        self, store: StateStore, other: StateStore, deleting: SupportsDeleteSeen
    ) -> None:
        seen = [_seen(store, key) for key in _FEW]
        changed, gone, again, swapped, *_ = _FEW
        other.put(changed, b"changed")
        other.delete(gone)
        other.delete(again)
        other.put(again, b"again")
        # With the version of another document, it is not the one that was seen.
        seen[3] = Seen(swapped, seen[4].version, None)
        seen[4] = seen[4]._replace(fingerprint=None)
        never = Seen("nothing/here.json", Version("no such version"), None)
        done = _deleted(deleting, [*seen, never])
        refused = [key for key, error in done.items() if error is not None]
        spared = sorted([changed, gone, again, swapped, never.key])
        assert sorted(refused) == spared, (
            f"it refused to delete {sorted(refused)} instead of {spared}"
        )
        for key in refused:
            error = done[key]
            assert isinstance(error, ConflictError), (
                f"{key!r} is refused with {error!r}, not a ConflictError"
            )
            assert error.landed == "no", "it deleted nothing, but the error does not say so"
            assert error.key == key, f"the error of {key!r} is about {error.key!r}"
        lists(other, [changed, again, swapped], when=" after the others were deleted")
        holds(other, b"changed", changed)

    def test_only_one_of_two_racing_deleters_deletes_each_document(
        self, store: StateStore, other: StateStore, deleting: SupportsDeleteSeen
    ) -> None:
        rival = power(other, SupportsDeleteSeen)
        assert rival is not None
        seen = [_seen(store, key) for key in _KEYS]
        with ThreadPoolExecutor(2) as pool:
            both = [*pool.map(lambda able: _deleted(able, seen), (deleting, rival))]
        for key in _KEYS:
            errors = [done[key] for done in both]
            assert errors.count(None) == 1, f"{key!r} was deleted by both or by neither: {errors}"

    def test_an_illegal_key_or_a_closed_store_deletes_nothing(
        self, store: StateStore, other: StateStore, deleting: SupportsDeleteSeen
    ) -> None:
        seen = [_seen(store, key) for key in _FEW]
        with pytest.raises(InvalidKeyError):
            _deleted(deleting, [Seen("../x", Version("v"), None)])
        store.close()
        with pytest.raises(ClosedError):
            _deleted(deleting, seen)
        lists(other, _FEW)


def _seen(store: StateStore, key: str) -> Seen:
    store.put(key, key.encode())
    blob = read(store, key)
    return Seen(key, blob.version, blob.fingerprint)


def _deleted(
    deleting: SupportsDeleteSeen, seen: Iterable[Seen]
) -> dict[str, StateStoreError | None]:
    done: dict[str, StateStoreError | None] = {}
    for some in deleting.delete_seen(seen):
        assert not done.keys() & some.keys(), "a key is reported twice"
        done |= some
    return done
