"""The tests that `statekeep.testing.conformance` runs; collected by pytest, never imported."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test

from statekeep.testing import StateStoreContract, StateStoreMachine

if TYPE_CHECKING:
    from collections.abc import Callable


class TestStore(StateStoreContract):
    """The contract, with a new place for each test."""

    @pytest.fixture
    def location(self, new_location: Callable[[], str]) -> str:
        """See `StateStoreContract.location`."""
        return new_location()


def test_it_behaves_like_a_dict(new_location: Callable[[], str]) -> None:
    """Compare the store with a dict, in only a few runs because it may be remote."""

    class Machine(StateStoreMachine):
        def location(self) -> str:
            return new_location()

    few = settings(max_examples=5, stateful_step_count=20, deadline=None, database=None)
    run_state_machine_as_test(Machine, settings=few)
