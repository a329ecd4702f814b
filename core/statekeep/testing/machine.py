"""A store against a dict, whatever is done in whatever order."""

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
    from statekeep.store import ExpectSeen

__all__ = ["StateStoreMachine"]

# Few keys, few prefixes and few values: so that steps often meet, and a document often becomes
# again what it was.
_KEYS = ["a.json", "a/b.json", "a/b/ünï c.md", "ab/%..x.json"]
_PREFIXES = ["a", "a/b", "nothing"]
_keys = st.sampled_from(_KEYS)
_clients = st.integers(0, 1)
_ages = st.integers(0, 5)
_data = st.sampled_from([b"", b"A", b"B", b"AA"]) | st.binary(max_size=32)


class StateStoreMachine(RuleBasedStateMachine):
    """Two clients on one location against a dict: subclass it and override `location`.

    Hypothesis runs it again and again, each time with other steps and in an empty place, and
    prints the shortest run that shows a difference. A step makes two requests or three; for a slow
    store, let it run less often with `hypothesis.settings`.

    Example:
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
        self._versions: dict[str, dict[bytes, Version]] = {key: {} for key in _KEYS}
        self._fingerprints: dict[tuple[str, str], bytes] = {}

    def location(self) -> str:
        """The URL of an empty place, a new one for each call."""
        raise NotImplementedError("override location() with the URL of an empty place")

    def open(self, location: str) -> StateStore:
        """Open a client; override it where `open_store` cannot."""
        return open_store(location)

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
        self._put(client, key, data, self._current(key) or ABSENT)

    @rule(client=_clients, key=_keys, data=_data, age=_ages)
    def swap_what_was_there(self, client: int, key: str, data: bytes, age: int) -> None:
        self._put(client, key, data, self._former(key, age))

    @rule(client=_clients, key=_keys)
    def delete(self, client: int, key: str) -> None:
        self._delete(client, key, self._current(key) or ANY)

    @rule(client=_clients, key=_keys, age=_ages)
    def delete_what_was_there(self, client: int, key: str, age: int) -> None:
        self._delete(client, key, self._former(key, age))

    @rule(client=_clients, keys=st.sets(_keys))
    def delete_many(self, client: int, keys: set[str]) -> None:
        delete_many(self._clients[client], keys)
        for key in keys:
            self._documents.pop(key, None)

    @rule(key=_keys)
    def get(self, key: str) -> None:
        for client in self._clients:
            self._compare(key, client.get(key))

    @rule(keys=st.sets(_keys))
    def get_many(self, keys: set[str]) -> None:
        for client in self._clients:
            found = dict(get_many(client, keys))
            assert set(found) == keys
            for key, blob in found.items():
                assert not isinstance(blob, Exception), blob
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
            assert sorted((entry.key, entry.size) for entry in entries) == sorted(
                (key, len(data)) for key, data in expected.items()
            )
            for entry in entries:
                if entry.fingerprint is not None:
                    data = expected[entry.key]
                    assert self._fingerprints.get((entry.key, entry.fingerprint), data) == data

    def _put(self, client: int, key: str, data: bytes, expect: Expect) -> None:
        store = self._clients[client]
        if refusal := self._refusal(key, expect, "conditional_put"):
            with pytest.raises(refusal):
                store.put(key, data, expect=expect)
            self._compare(key, store.get(key))
            return
        version = store.put(key, data, expect=expect)
        self._documents[key] = data
        self._learn(key, data, version)

    def _delete(self, client: int, key: str, expect: ExpectSeen) -> None:
        store = self._clients[client]
        if refusal := self._refusal(key, expect, "conditional_delete"):
            with pytest.raises(refusal):
                store.delete(key, expect=expect)
            self._compare(key, store.get(key))
            return
        store.delete(key, expect=expect)
        self._documents.pop(key, None)

    def _refusal(self, key: str, expect: Expect, power: Power) -> type[StateStoreError] | None:
        if expect is ANY:
            return None
        if not self._claimed[power]:
            return UnsupportedError
        holds = key not in self._documents if expect is ABSENT else self._current(key) == expect
        return None if holds else ConflictError

    def _current(self, key: str) -> Version | None:
        return self._versions[key][self._documents[key]] if key in self._documents else None

    def _former(self, key: str, age: int) -> Version:
        known = [NO_SUCH_VERSION, *self._versions[key].values()]
        return known[-1 - age % len(known)]

    def _learn(self, key: str, data: bytes, version: Version) -> None:
        """Versions are equal if and only if the bytes are."""
        assert self._versions[key].setdefault(data, version) == version
        assert list(self._versions[key].values()).count(version) == 1

    def _compare(self, key: str, blob: Blob | None) -> None:
        assert (None if blob is None else blob.data) == self._documents.get(key)
        if blob is not None:
            self._learn(key, blob.data, blob.version)
            if blob.fingerprint is not None:
                known = self._fingerprints.setdefault((key, blob.fingerprint), blob.data)
                assert known == blob.data
