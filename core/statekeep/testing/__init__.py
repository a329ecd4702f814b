"""Proof that a plugin is right, for those who write one. Needs the extra ``testing``.

```python
class TestMine(StateStoreContract):
    @pytest.fixture
    def location(self, tmp_path: Path) -> str:
        return f"mine:{tmp_path}"
```

See "Prove a plugin" (docs/conformance.md). The tests of statekeep itself do not live here.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from statekeep.testing.faults import Fault, FaultyStore
    from statekeep.testing.hostile import hostile_ids, hostile_names
    from statekeep.testing.machine import StateStoreMachine
    from statekeep.testing.pruners import PrunerContract
    from statekeep.testing.sessions import SessionsContract
    from statekeep.testing.store import StateStoreContract

__all__ = [
    "Fault",
    "FaultyStore",
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
    "PrunerContract": "pruners",
    "SessionsContract": "sessions",
    "StateStoreContract": "store",
    "StateStoreMachine": "machine",
    "hostile_ids": "hostile",
    "hostile_names": "hostile",
}


def __getattr__(name: str) -> object:
    # Imported when asked for: pytest can only explain the assertions of modules that it was told
    # of before, and what runs in other processes should not have to wait for pytest.
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = f"{__name__}.{_HOMES[name]}"
    if "pytest" in sys.modules and home not in sys.modules:
        sys.modules["pytest"].register_assert_rewrite(home)
    try:
        return getattr(import_module(home), name)
    except ModuleNotFoundError as error:
        if error.name not in {"hypothesis", "pytest"}:
            raise
        raise ModuleNotFoundError(
            f"{error.name} is needed: pip install 'statekeep[testing]'", name=error.name
        ) from None
