"""Tests of wrong arguments and of closed stores."""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from functools import partial
from typing import TYPE_CHECKING, Any

from statekeep import ABSENT, ANY, ClosedError, StateStore
from statekeep.store import (
    SupportsInspect,
    SupportsSweep,
    delete_many,
    get_many,
    inspect,
    power,
    sweep,
)
from statekeep.testing.checks import holds, is_gone, lists
from statekeep.testing.fixtures import StoreFixtures

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["CallsContract"]

KEY = "notes/plan.json"
MORE = "notes/more.json"
_NO_TEXT: list[Any] = [5, None, b"notes/plan.json", ["notes/plan.json"]]
_NO_BYTES: list[Any] = ["text", None, 5, [1, 2], {"a": 1}]
_NO_KEYS: list[Any] = ["notes/plan.json", 5, None]


class _Bytes(bytes):
    """A subclass of bytes."""


class _Key(StrEnum):
    """A subclass of str."""

    PLAN = KEY


class CallsContract(StoreFixtures):
    """The part of `StateStoreContract` about wrong arguments and closed stores."""

    # arguments

    def test_a_type_error_names_the_wrong_argument(self, store: StateStore) -> None:
        version = store.put(KEY, b"A")
        # Any: the type checker would reject these arguments.
        wrong: Any = store
        calls: list[tuple[str, Callable[[], object]]] = [
            *(
                (parameter, call)
                for key in _NO_TEXT
                for parameter, call in (
                    ("key", partial(wrong.get, key)),
                    ("key", partial(wrong.put, key, b"B")),
                    ("key", partial(wrong.delete, key)),
                    ("key", lambda key=key: dict(get_many(wrong, [key]))),
                    ("key", partial(delete_many, wrong, [key])),
                    ("prefix", lambda key=key: list(wrong.scan(key))),
                )
            ),
            *(
                ("data", partial(wrong.put, KEY, data, expect=expect))
                for data in _NO_BYTES
                for expect in (ANY, ABSENT, version)
            ),
            *(("expect", partial(wrong.put, KEY, b"B", expect=each)) for each in (None, 5, b"v")),
            *(
                ("expect", partial(wrong.delete, KEY, expect=each))
                for each in (None, 5, b"v", ABSENT)
            ),
            *(
                ("keys", call)
                for keys in _NO_KEYS
                for call in (
                    lambda keys=keys: dict(get_many(wrong, keys)),
                    partial(delete_many, wrong, keys),
                )
            ),
        ]
        if power(store, SupportsSweep):
            calls.append(("older_than", partial(sweep, wrong, older_than=wrong)))
        if power(store, SupportsInspect):
            calls.append(("older_than", lambda: list(inspect(wrong, older_than=wrong))))
        for parameter, call in calls:
            said = _type_error(call)
            assert said is not None, f"a wrong {parameter!r} raises no TypeError: {call}"
            assert said.startswith(f"{parameter}: "), (
                f"a TypeError must begin with the parameter, here '{parameter}: ', not {said!r}"
            )
        lists(store, [KEY])
        holds(store, b"A", KEY)

    def test_bytes_like_data_comes_back_as_plain_bytes(self, store: StateStore) -> None:
        given: Any
        for given in (_Bytes(b"x"), bytearray(b"x"), memoryview(b"-x")[1:]):
            store.put(KEY, given)
            holds(store, b"x", KEY)
            blob = store.get(KEY)
            assert type(blob and blob.data) is bytes, (
                f"{type(given).__name__} did not come back as bytes"
            )

    def test_a_subclass_of_str_can_be_a_key(self, store: StateStore) -> None:
        store.put(_Key.PLAN, b"x")
        holds(store, b"x", KEY)
        (entry,) = store.scan()
        assert type(entry.key) is str, (
            f"a scan returns a key of the type {type(entry.key).__name__}"
        )
        store.delete(_Key.PLAN)
        is_gone(store, KEY)

    # closing

    def test_a_closed_store_raises_closed_error(self, store: StateStore, other: StateStore) -> None:
        age = timedelta(days=1)
        for key in (KEY, MORE):
            store.put(key, b"A")
        version = other.put(KEY, b"A")
        begun: list[tuple[str, Callable[[], object]]] = [
            ("a scan already begun", partial(next, _begun(store.scan()))),
            ("a scan not begun yet", partial(next, store.scan())),
            ("a get of many already begun", partial(next, _begun(get_many(store, [KEY, MORE])))),
        ]
        store.close()
        calls: list[tuple[str, Callable[[], object]]] = [
            *begun,
            ("a get", partial(store.get, KEY)),
            ("a put", partial(store.put, KEY, b"B")),
            ("a put that creates", partial(store.put, "notes/new.json", b"B", expect=ABSENT)),
            ("a put that replaces", partial(store.put, KEY, b"B", expect=version)),
            ("a delete", partial(store.delete, KEY)),
            ("a conditional delete", partial(store.delete, KEY, expect=version)),
            ("a scan", lambda: list(store.scan())),
            ("a scan of a prefix", lambda: list(store.scan("notes"))),
            ("a get of many", lambda: dict(get_many(store, [KEY]))),
            ("a delete of many", partial(delete_many, store, [KEY])),
            ("a `with`", store.__enter__),
        ]
        if power(store, SupportsSweep):
            calls.append(("a sweep", partial(sweep, store, older_than=age)))
        if power(store, SupportsInspect):
            calls.append(("an inspection", lambda: list(inspect(store, older_than=age))))
        for what, call in calls:
            error = _closed_error(call)
            assert error is not None, f"after `close`, {what} raises no ClosedError"
            assert error.store, f"the error of {what} does not name the store: {error!r}"
            writes = any(each in what for each in ("put", "delete"))
            assert error.landed == ("no" if writes else None), (
                f"the error of {what} says landed={error.landed!r}"
            )
        lists(other, [KEY, MORE], when=" after another client was closed")
        holds(other, b"A", KEY)

    def test_closing_twice_is_fine(self, store: StateStore) -> None:
        store.put(KEY, b"x")
        store.close()
        store.close()

    def test_closing_one_client_leaves_the_other_open(
        self, store: StateStore, other: StateStore
    ) -> None:
        store.put(KEY, b"x")
        holds(other, b"x", KEY)
        store.close()
        holds(other, b"x", KEY)


def _begun(found: Any) -> Any:  # noqa: ANN401 - any iterator
    next(found)
    return found


def _type_error(call: Callable[[], object]) -> str | None:
    try:
        call()
    except TypeError as error:
        return str(error)
    return None


def _closed_error(call: Callable[[], object]) -> ClosedError | None:
    try:
        call()
    except ClosedError as error:
        return error
    except StopIteration:
        return None
    return None
