"""What can be imported."""

from __future__ import annotations

import importlib
import pickle
import pkgutil

import pytest

import statekeep
import statekeep_backends
import statekeep_plugins
import statekeep_web
from statekeep import errors

MODULES = sorted(
    module.name
    for package in (statekeep, statekeep_backends, statekeep_plugins, statekeep_web)
    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
    if "__main__" not in module.name
)


def _order(name: str) -> tuple[int, str]:
    # Constants, then classes, then functions: the order that the linter keeps.
    return (0 if name.isupper() else 1 if name[0].isupper() else 2, name)


@pytest.mark.parametrize("name", MODULES)
def test_all_is_sorted_and_complete(name: str) -> None:
    module = importlib.import_module(name)
    public = getattr(module, "__all__", [])
    assert list(public) == sorted(public, key=_order)
    for each in public:
        assert hasattr(module, each), each


def test_the_front_door_is_narrow() -> None:
    assert len(statekeep.__all__) <= 42
    assert statekeep.__all__ == sorted(statekeep.__all__)


def test_the_tree_of_errors_is_drawn() -> None:
    drawn = errors.__doc__ or ""
    assert all(name in drawn for name in errors.__all__)


def test_what_the_front_door_shows_is_documented() -> None:
    for name in statekeep.__all__:
        value = getattr(statekeep, name)
        if isinstance(value, type) or callable(value):
            assert value.__doc__ or not isinstance(value, type), name


@pytest.mark.parametrize("name", errors.__all__)
def test_an_error_survives_the_way_between_processes(name: str) -> None:
    kind = getattr(errors, name)
    error = kind("what was wrong", key="a/b.md", store="memory:", landed="unknown")
    back = pickle.loads(pickle.dumps(error))
    assert type(back) is kind
    assert str(back) == str(error) == "what was wrong [key 'a/b.md', store memory:]"
    assert (back.key, back.store, back.landed) == ("a/b.md", "memory:", "unknown")
