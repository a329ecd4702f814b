"""What every backend and every pruning strategy promises."""

from __future__ import annotations

import tempfile
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from statekeep import load_pruner
from statekeep.testing import (
    JournalMachine,
    JournalsContract,
    PrunerContract,
    SessionsContract,
    StateStoreContract,
    StateStoreMachine,
)

if TYPE_CHECKING:
    from pathlib import Path

    from statekeep.retention import PruningStrategy


class TestStore(StateStoreContract):
    @pytest.fixture
    def location(self, tmp_path: Path) -> str:
        return f"onefile:{tmp_path}/state.db"


class TestSessions(SessionsContract):
    @pytest.fixture
    def location(self, tmp_path: Path) -> str:
        return f"onefile:{tmp_path}/state.db"


class TestJournals(JournalsContract):
    @pytest.fixture
    def location(self, tmp_path: Path) -> str:
        return f"onefile:{tmp_path}/state.db"


@settings(max_examples=20, stateful_step_count=30, deadline=None)
class Machine(StateStoreMachine):
    def location(self) -> str:
        return f"onefile:{tempfile.mkdtemp()}/state.db"


TestMachine = Machine.TestCase


@settings(max_examples=10, stateful_step_count=30, deadline=None)
class MachineOfJournals(JournalMachine):
    def location(self) -> str:
        return f"onefile:{tempfile.mkdtemp()}/state.db"


TestMachineOfJournals = MachineOfJournals.TestCase


class TestLastOfDay(PrunerContract):
    in_order = True

    @pytest.fixture
    def strategy(self) -> PruningStrategy:
        return load_pruner("last-of-day", full_days=7)
