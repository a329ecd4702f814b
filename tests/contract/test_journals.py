"""What `Journals` promises over every store."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test
from support import RACED_IN_FULL

from statekeep.testing import JournalMachine, JournalsContract

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.mark.parametrize(
    "backend",
    [
        "memory",
        "local",
        "local, renaming",
        "sqlite",
        "postgres",
        "valkey",
        "redis",
        "fsspec's memory",
        "fsspec's files",
        "moto+s3fs",
        "seaweedfs+obstore",
    ],
)
class TestJournals(JournalsContract):
    @pytest.fixture
    def location(self, new_location: Callable[[], str]) -> str:
        return new_location()

    @pytest.fixture
    def race(self, backend: str) -> tuple[int, int]:
        return (4, 25) if backend in RACED_IN_FULL else (2, 10)


@pytest.mark.parametrize(
    "backend",
    [
        "memory",
        "local",
        "local, renaming",
        "sqlite",
        "postgres",
        "valkey",
        "redis",
        "seaweedfs+obstore",
    ],
)
def test_a_journal_is_a_list_whatever_is_done(
    backend: str, new_location: Callable[[], str]
) -> None:
    class Machine(JournalMachine):
        def location(self) -> str:
            return new_location()

    often = settings(
        max_examples=3 if "+" in backend or backend == "postgres" else 15,
        stateful_step_count=30,
        deadline=None,
    )
    run_state_machine_as_test(Machine, settings=often)
