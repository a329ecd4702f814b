"""Every built-in strategy against the one contract."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from statekeep import load_pruner
from statekeep.testing import PrunerContract

if TYPE_CHECKING:
    from statekeep.retention import PruningStrategy

OF_ONE_RULE: list[tuple[str, dict[str, Any]]] = [
    ("ttl", {}),
    ("ttl", {"ttl_hours": 0}),
    ("ttl", {"ttl_hours": 0.001}),
    ("ttl", {"ttl_hours": 1e300}),
    ("max-sessions", {}),
    ("max-sessions", {"max_sessions": 0}),
    ("max-sessions", {"max_sessions": 1}),
    ("max-per-user", {}),
    ("max-per-user", {"max_sessions": 0}),
    ("max-per-user", {"max_sessions": 1}),
    ("max-per-user", {"max_sessions": 2, "users": {"ada": 1}}),
    ("keep-last-per-phase", {}),
    ("keep-last-per-phase", {"max_sessions": 1, "keep_passed": True}),
    ("total-bytes", {"max_bytes": 0}),
    ("total-bytes", {"max_bytes": 1000}),
]
OF_TWO: list[tuple[str, dict[str, Any]]] = [
    ("ttl+count", {}),
    ("ttl+count", {"ttl_hours": 24, "max_sessions": 1}),
    ("ttl+count", {"ttl_hours": 0, "max_sessions": 50}),
    (
        "any-of",
        {
            "strategies": [
                {"strategy": "max-per-user", "options": {"max_sessions": 2}},
                {"strategy": "max-sessions", "options": {"max_sessions": 3}},
            ]
        },
    ),
]


class _BuiltIn(PrunerContract):
    for_any_order = True

    @pytest.fixture
    def strategy(self, name: str, options: dict[str, Any]) -> PruningStrategy:
        return load_pruner(name, **options)


@pytest.mark.parametrize(("name", "options"), OF_ONE_RULE)
class TestStrategyOfOneRule(_BuiltIn):
    in_order = True


@pytest.mark.parametrize(("name", "options"), OF_TWO)
class TestStrategyOfTwo(_BuiltIn):
    """First what one rule chooses, then what the other does."""
