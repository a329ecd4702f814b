"""A state machine that compares a store with a dict."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from statekeep import (
    ABSENT,
    ANY,
    ConflictError,
    StateStore,
    StateStoreError,
    UnsupportedError,
    Version,
    open_store,
)
from statekeep.store import Blob, Expect, delete_many, get_many
from statekeep.testing.claims import NO_SUCH_VERSION, Power, claims

if TYPE_CHECKING:
    from collections.abc import Callable

    from statekeep.store import ExpectSeen

__all__ = ["StateStoreMachine"]

# Few keys, prefixes and values, so that steps often collide and documents often return to
# earlier contents.
_KEYS = ["a.json", "a/b.json", "a/b/ünï c.md", "ab/%..x.json"]
_PREFIXES = ["a", "a/b", "nothing"]
_keys = st.sampled_from(_KEYS)
_clients = st.integers(0, 1)
_ages = st.integers(0, 5)
_data = st.sampled_from([b"", b"A", b"B", b"AA"]) | st.binary(max_size=32)


class StateStoreMachine(RuleBasedStateMachine):
    """Compares two clients on one location with a dict; subclass it and override `location`.

    Hypothesis runs it many times, each time with different steps in an empty place, and prints the
    shortest run that shows a difference. A step makes two or three requests; for a slow store,
    reduce the number of runs with `hypothesis.settings`.

    Examples:
        >>> from hypothesis import settings
        >>> @settings(max_examples=10, stateful_step_count=30, deadline=None)
        ... class Machine(StateStoreMachine):
        ...     def location(self) -> str:
        ...         return f"mine:{tempfile.mkdtemp()}"
        >>> TestMachine = Machine.TestCase
    """

    def __init__(self) -> None:
        super().__init__()
        self._where = self.location()
        self._clients = [self.open(self._where), self.open(self._where)]
        self._claimed = {
            power: claims(self._clients[0], power)
            for power in ("conditional_put", "conditional_delete")
        }
        self._documents: dict[str, bytes] = {}
        self._current: dict[str, Version] = {}
        self._versions: dict[str, dict[Version, bytes]] = {key: {} for key in _KEYS}
        self._fingerprints: dict[tuple[str, str], bytes] = {}

    def location(self) -> str:
        """The URL of an empty place, new for each call."""
        raise NotImplementedError("override location() with the URL of an empty place")

    def open(self, location: str) -> StateStore:
        """Open a client; override it if `open_store` cannot."""
        return open_store(location)

    def size_of(self, key: str, data: bytes) -> int:  # noqa: ARG002
        """The size a scan reports for a document; override it if the store transforms the bytes."""
        return len(data)

    def teardown(self) -> None:
        """Close the clients."""
        for client in self._clients:
            client.close()

    @rule(client=_clients, key=_keys, data=_data)
    def put(self, client: int, key: str, data: bytes) -> None:
        self._put(client, key, data, ANY)

    @rule(client=_clients, key=_keys, data=_data)
    def create(self, client: int, key: str, data: bytes) -> None:
        self._put(client, key, data, ABSENT)

    @rule(client=_clients, key=_keys, data=_data)
    def create_or_swap(self, client: int, key: str, data: bytes) -> None:
        self._put(client, key, data, self._current.get(key, ABSENT))

    @rule(client=_clients, key=_keys, data=_data, age=_ages)
    def swap_a_former_version(self, client: int, key: str, data: bytes, age: int) -> None:
        self._put(client, key, data, self._former(key, age))

    @rule(client=_clients, key=_keys)
    def delete(self, client: int, key: str) -> None:
        self._delete(client, key, self._current.get(key, ANY))

    @rule(client=_clients, key=_keys, age=_ages)
    def delete_a_former_version(self, client: int, key: str, age: int) -> None:
        self._delete(client, key, self._former(key, age))

    @rule(client=_clients, keys=st.sets(_keys))
    def delete_many(self, client: int, keys: set[str]) -> None:
        delete_many(self._clients[client], keys)
        for key in keys:
            self._forget(key)

    @rule(key=_keys)
    def get(self, key: str) -> None:
        for client in self._clients:
            self._compare(key, client.get(key))

    @rule(keys=st.sets(_keys))
    def get_many(self, keys: set[str]) -> None:
        for client in self._clients:
            found = dict(get_many(client, keys))
            assert set(found) == keys, f"a get of many of {sorted(keys)} returned {sorted(found)}"
            for key, blob in found.items():
                assert not isinstance(blob, Exception), f"{key!r} cannot be read: {blob!r}"
                self._compare(key, blob)

    @rule()
    def scan_everything(self) -> None:
        self._scan("")

    @rule(prefix=st.sampled_from(_PREFIXES))
    def scan(self, prefix: str) -> None:
        self._scan(prefix)

    @rule(client=_clients)
    def reopen(self, client: int) -> None:
        self._clients[client].close()
        self._clients[client] = self.open(self._where)

    def _scan(self, prefix: str) -> None:
        below = f"{prefix}/" if prefix else ""
        expected = {key: data for key, data in self._documents.items() if key.startswith(below)}
        for client in self._clients:
            entries = list(client.scan(prefix))
            found = sorted((entry.key, entry.size) for entry in entries)
            sizes = sorted((key, self.size_of(key, data)) for key, data in expected.items())
            assert found == sizes, f"a scan of {prefix!r} gives {found}, but there are {sizes}"
            for entry in entries:
                if entry.fingerprint is not None:
                    data = expected[entry.key]
                    known = self._fingerprints.get((entry.key, entry.fingerprint), data)
                    assert known == data, "a scan gives a fingerprint of other bytes"

    def _put(self, client: int, key: str, data: bytes, expect: Expect) -> None:
        store = self._clients[client]
        version: Version | None = None

        def put() -> None:
            nonlocal version
            version = store.put(key, data, expect=expect)

        if self._is_done(put, key, expect, "conditional_put"):
            assert version is not None, "a put returned no version"
            self._forget(key)
            self._documents[key] = data
            self._learn(key, data, version)
        else:
            self._compare(key, store.get(key))

    def _delete(self, client: int, key: str, expect: ExpectSeen) -> None:
        store = self._clients[client]
        if self._is_done(
            lambda: store.delete(key, expect=expect), key, expect, "conditional_delete"
        ):
            self._forget(key)
        else:
            self._compare(key, store.get(key))

    def _is_done(self, write: Callable[[], object], key: str, expect: Expect, power: Power) -> bool:
        """Write, check that it succeeds just when `expect` allows, and return whether it did."""
        if expect is not ANY and not self._claimed[power]:
            self._refused(write, UnsupportedError)
            return False
        if not self._holds(key, expect):
            if not self._is_of_equal_bytes(key, expect):
                self._refused(write, ConflictError)
                return False
            # The same bytes are back; it is up to the backend whether their version is as well.
            try:
                write()
            except ConflictError:
                return False
            return True
        write()
        return True

    def _refused(self, write: Callable[[], object], refusal: type[StateStoreError]) -> None:
        with pytest.raises(refusal) as caught:
            write()
        assert caught.value.landed in {"no", "unknown"}, (
            "the error does not say what may have landed"
        )

    def _holds(self, key: str, expect: Expect) -> bool:
        if expect is ANY:
            return True
        if expect is ABSENT:
            return key not in self._documents
        return self._current.get(key) == expect

    def _is_of_equal_bytes(self, key: str, expect: Expect) -> bool:
        known = self._versions[key]
        return expect in known and known.get(expect) == self._documents.get(key)

    def _former(self, key: str, age: int) -> Version:
        known = [NO_SUCH_VERSION, *self._versions[key]]
        return known[-1 - age % len(known)]

    def _forget(self, key: str) -> None:
        self._documents.pop(key, None)
        self._current.pop(key, None)

    def _learn(self, key: str, data: bytes, version: Version) -> None:
        assert self._versions[key].setdefault(version, data) == data, (
            "two contents have the same version"
        )
        assert self._current.setdefault(key, version) == version, (
            "the version changed though nothing was written"
        )

    def _compare(self, key: str, blob: Blob | None) -> None:
        found, expected = (None if blob is None else blob.data), self._documents.get(key)
        assert found == expected, f"{key!r} should hold {expected!r} but holds {found!r}"
        if blob is not None:
            self._learn(key, blob.data, blob.version)
            if blob.fingerprint is not None:
                known = self._fingerprints.setdefault((key, blob.fingerprint), blob.data)
                assert known == blob.data, "two contents have the same fingerprint"
