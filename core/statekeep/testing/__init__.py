"""Tests that show whether a plugin keeps its promises. Needs the extra ``testing``.

```python
class TestMine(StateStoreContract):
    @pytest.fixture
    def location(self, tmp_path: Path) -> str:
        return f"mine:{tmp_path}"
```

See "Test a plugin" (docs/conformance.md). statekeep's own tests are elsewhere.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from statekeep.testing.answers import LossyPlace
    from statekeep.testing.faults import Fault, FaultyStore
    from statekeep.testing.hostile import hostile_ids, hostile_names
    from statekeep.testing.journal_machine import JournalMachine
    from statekeep.testing.journals import JournalsContract
    from statekeep.testing.machine import StateStoreMachine
    from statekeep.testing.pruners import PrunerContract
    from statekeep.testing.sessions import SessionsContract
    from statekeep.testing.store import StateStoreContract

__all__ = [
    "Fault",
    "FaultyStore",
    "JournalMachine",
    "JournalsContract",
    "LossyPlace",
    "PrunerContract",
    "SessionsContract",
    "StateStoreContract",
    "StateStoreMachine",
    "hostile_ids",
    "hostile_names",
]

_HOMES = {
    "Fault": "faults",
    "FaultyStore": "faults",
    "JournalMachine": "journal_machine",
    "JournalsContract": "journals",
    "LossyPlace": "answers",
    "PrunerContract": "pruners",
    "SessionsContract": "sessions",
    "StateStoreContract": "store",
    "StateStoreMachine": "machine",
    "hostile_ids": "hostile",
    "hostile_names": "hostile",
}
# Modules with assertions. Pytest explains only those registered before their import.
EXPLAINED = (
    "answers",
    "appending",
    "checks",
    "deleting",
    "journal_checks",
    "journal_damage",
    "journal_faults",
    "journal_machine",
    "journals",
    "listing",
    "machine",
    "pruners",
    "querying",
    "scanning",
    "sessions",
    "store",
    "surveying",
)


def __getattr__(name: str) -> object:
    # Imported on demand, so that worker processes need not wait for pytest.
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = f"{__name__}.{_HOMES[name]}"
    if "pytest" in sys.modules:
        modules = {f"{__name__}.{each}" for each in EXPLAINED} - sys.modules.keys()
        sys.modules["pytest"].register_assert_rewrite(*sorted(modules))
    try:
        return getattr(import_module(home), name)
    except ModuleNotFoundError as error:
        if error.name not in {"hypothesis", "pytest"}:
            raise
        raise ModuleNotFoundError(
            f"{error.name} is needed: pip install 'statekeep[testing]'", name=error.name
        ) from None
