"""Fixtures of the contracts: a location and its clients."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from statekeep import Sessions, StateStore, open_store
from statekeep.testing.claims import claims

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from statekeep.sessions.repository import Form
    from statekeep.store import ConflictPolicy

__all__ = ["PolicyFixtures", "SessionFixtures", "StoreFixtures"]


class _Fixtures:
    """A location and a client on it; override `location`."""

    @pytest.fixture
    def location(self) -> str:
        """The URL of an empty place, new for each test."""
        raise NotImplementedError("override the fixture `location` with the URL of an empty place")

    open: Callable[[str], StateStore] = staticmethod(open_store)
    """Opens a client; for a store without a URL, override it with a module-level function."""

    @pytest.fixture
    def store(self, location: str) -> Iterator[StateStore]:
        """A client on the location."""
        with self.open(location) as store:
            yield store

    @pytest.fixture
    def _shared(self, store: StateStore) -> None:
        if not store.capabilities.shared:
            pytest.skip("not claimed: shared")


class StoreFixtures(_Fixtures):
    """A location and two clients on it."""

    def size_of(self, key: str, data: bytes) -> int:  # noqa: ARG002
        """The size a scan reports for a document; override it if the store transforms the bytes."""
        return len(data)

    @pytest.fixture
    def other(self, location: str) -> Iterator[StateStore]:
        """A second client on the same location."""
        with self.open(location) as store:
            yield store

    @pytest.fixture
    def _conditional_put(self, store: StateStore) -> None:
        if not claims(store, "conditional_put"):
            pytest.skip("not claimed: conditional_put")

    @pytest.fixture
    def _conditional_delete(self, store: StateStore) -> None:
        if not claims(store, "conditional_delete"):
            pytest.skip("not claimed: conditional_delete")


class PolicyFixtures(_Fixtures):
    """A location, and how conflicts are handled there."""

    @pytest.fixture
    def conflicts(self, store: StateStore) -> ConflictPolicy:
        """``"detect"`` if the store can detect conflicts, else ``"last-writer-wins"``."""
        can = claims(store, "conditional_put") and claims(store, "conditional_delete")
        return "detect" if can else "last-writer-wins"

    @pytest.fixture
    def _creates(self, store: StateStore) -> None:
        if not claims(store, "conditional_put"):
            pytest.skip("not claimed: conditional_put")

    @pytest.fixture
    def _detects(self, conflicts: ConflictPolicy) -> None:
        if conflicts != "detect":
            pytest.skip("not claimed: conditional_put and conditional_delete")


class SessionFixtures(PolicyFixtures):
    """Sessions in either form, and a second worker's view of them."""

    @pytest.fixture(params=["document", "journal"])
    def form(self, request: pytest.FixtureRequest) -> Form:
        """The form in which new sessions are stored; both promise the same."""
        form: Form = request.param
        return form

    @pytest.fixture
    def race(self) -> tuple[int, int]:
        """The number of racing processes and of updates by each; lower them for a slow store."""
        return 8, 50

    @pytest.fixture
    def sessions(self, store: StateStore, form: Form, conflicts: ConflictPolicy) -> Sessions:
        """The store's sessions."""
        return Sessions(store, form=form, conflicts=conflicts)

    @pytest.fixture
    def others(self, location: str, form: Form, conflicts: ConflictPolicy) -> Iterator[Sessions]:
        """Another worker's view of the same location."""
        with self.open(location) as store:
            yield Sessions(store, form=form, conflicts=conflicts)
