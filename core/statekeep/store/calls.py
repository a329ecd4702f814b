"""Guards that hold every backend to the protocol.

`StateStore` wraps the members of its subclasses in them. They name an argument of the wrong type,
refuse calls to a closed store, and make errors of writes say what may have landed. A backend
only ever gets plain values: text as a `str`, and bytes that nobody else holds.
"""

# ruff: noqa: ANN401 - a member can take more than the protocol says

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from functools import wraps
from typing import TYPE_CHECKING, Any, Final, NoReturn

from statekeep._arguments import refuse_type
from statekeep.errors import (
    ClosedError,
    ConfigError,
    InvalidDocumentError,
    InvalidKeyError,
    StateStoreError,
    UnsupportedError,
)
from statekeep.store.arguments import plain_bytes, plain_keys, plain_text
from statekeep.store.powers import Anomaly, Survey
from statekeep.store.values import ABSENT, ANY, check_expectation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from statekeep.errors import Landed

    Member = Callable[..., Any]

__all__ = ["guard", "guarded_in", "refuse_closed"]

_CLOSED = "_statekeep_closed"

# These refuse the request itself, before anything is sent.
_REFUSALS = (ConfigError, InvalidDocumentError, InvalidKeyError, UnsupportedError)


def refuse_closed(store: object, key: str | None = None, landed: Landed | None = None) -> NoReturn:
    """Refuse a call because the store is closed.

    Raises:
        ClosedError: Always.
    """
    raise ClosedError("the store is closed; open it again", key=key, store=store, landed=landed)


def guard(name: str, method: Member) -> Member:
    """Wrap a member of a store so that it keeps the promises of the protocol.

    Args:
        name: The member's name.
        method: The backend's implementation, or one that is already guarded.
    """
    if hasattr(method, "_statekeep_guarded"):
        return method
    guarded = (_GUARDS | _OF_QUERIES)[name](method)
    vars(guarded)["_statekeep_guarded"] = True
    return guarded


def _guard_get(method: Member) -> Member:
    @wraps(method)
    def get(self: Any, key: str, *args: Any, **kwargs: Any) -> Any:
        if type(key) is not str:
            key = plain_text("key", key)
        if self._statekeep_closed:
            refuse_closed(self, key)
        return method(self, key, *args, **kwargs)

    return get


def _guard_put(method: Member) -> Member:
    @wraps(method)
    def put(self: Any, key: str, data: bytes, *args: Any, expect: Any = ANY, **kwargs: Any) -> Any:
        if type(key) is not str:
            key = plain_text("key", key)
        if type(data) is not bytes:
            data = plain_bytes("data", data)
        if expect is not ANY and type(expect) is not str:
            check_expectation(expect)
        if self._statekeep_closed:
            refuse_closed(self, key, "no")
        try:
            return method(self, key, data, *args, expect=expect, **kwargs)
        except StateStoreError as error:
            _say_what_landed(error)
            raise

    return put


def _guard_delete(method: Member) -> Member:
    @wraps(method)
    def delete(self: Any, key: str, *args: Any, expect: Any = ANY, **kwargs: Any) -> Any:
        if type(key) is not str:
            key = plain_text("key", key)
        if expect is not ANY and type(expect) is not str:
            if expect is ABSENT:
                raise TypeError("expect: ANY or a version, not ABSENT")
            check_expectation(expect)
        if self._statekeep_closed:
            refuse_closed(self, key, "no")
        try:
            return method(self, key, *args, expect=expect, **kwargs)
        except StateStoreError as error:
            _say_what_landed(error)
            raise

    return delete


def _guard_append(method: Member) -> Member:
    @wraps(method)
    def append(self: Any, key: str, data: bytes, *args: Any, expect: Any, **kwargs: Any) -> Any:
        if type(key) is not str:
            key = plain_text("key", key)
        if type(data) is not bytes:
            data = plain_bytes("data", data)
        if type(expect) is not str:
            if expect is ANY or expect is ABSENT:
                raise TypeError(f"expect: a version, not {expect!r}")
            check_expectation(expect)
        if self._statekeep_closed:
            refuse_closed(self, key, "no")
        try:
            return method(self, key, data, *args, expect=expect, **kwargs)
        except StateStoreError as error:
            _say_what_landed(error)
            raise

    return append


def _guard_put_record(method: Member) -> Member:
    @wraps(method)
    def put_record(self: Any, key: str, data: bytes, record: Any, *, expect: Any) -> Any:
        if not isinstance(record, Mapping):
            refuse_type("record", "a mapping", record)
        return put(self, key, data, record, expect=expect)

    put = _guard_put(method)
    return put_record


def _guard_set_records(method: Member) -> Member:
    @wraps(method)
    def set_records(self: Any, records: Iterable[Any], *args: Any, **kwargs: Any) -> Any:
        if self._statekeep_closed:
            refuse_closed(self, landed="no")
        try:
            return method(self, records, *args, **kwargs)
        except StateStoreError as error:
            _say_what_landed(error)
            raise

    return set_records


def _guard_reading(method: Member) -> Member:
    @wraps(method)
    def reading(self: Any, prefix: str, *args: Any, **kwargs: Any) -> Any:
        if type(prefix) is not str:
            prefix = plain_text("prefix", prefix)
        if self._statekeep_closed:
            refuse_closed(self, prefix)
        return method(self, prefix, *args, **kwargs)

    return reading


def _guard_survey(method: Member) -> Member:
    @wraps(method)
    def survey(self: Any, prefix: str, known: Any = None, *args: Any, **kwargs: Any) -> Any:
        if known is not None and not isinstance(known, Survey):
            refuse_type("known", "a Survey or None", known)
        return reading(self, prefix, known, *args, **kwargs)

    reading = _guard_reading(method)
    return survey


def _guard_delete_many(method: Member) -> Member:
    @wraps(method)
    def delete_many(self: Any, keys: Iterable[str], *args: Any, **kwargs: Any) -> Any:
        keys = plain_keys(keys)
        if self._statekeep_closed:
            refuse_closed(self, landed="no")
        try:
            return method(self, keys, *args, **kwargs)
        except StateStoreError as error:
            _say_what_landed(error)
            raise

    return delete_many


def _guard_delete_seen(method: Member) -> Member:
    @wraps(method)
    def delete_seen(self: Any, seen: Iterable[Any], *args: Any, **kwargs: Any) -> Any:
        if self._statekeep_closed:
            refuse_closed(self, landed="no")
        return _while_open(self, map(say, method(self, seen, *args, **kwargs)))

    def say(done: dict[str, StateStoreError | None]) -> dict[str, StateStoreError | None]:
        for error in done.values():
            if error is not None:
                _say_what_landed(error)
        return done

    return delete_seen


def _guard_get_many(method: Member) -> Member:
    @wraps(method)
    def get_many(self: Any, keys: Iterable[str], *args: Any, **kwargs: Any) -> Any:
        keys = plain_keys(keys)
        if self._statekeep_closed:
            refuse_closed(self)
        return _while_open(self, method(self, keys, *args, **kwargs))

    return get_many


def _guard_scan(method: Member) -> Member:
    @wraps(method)
    def scan(self: Any, prefix: str = "", *args: Any, **kwargs: Any) -> Any:
        if type(prefix) is not str:
            prefix = plain_text("prefix", prefix)
        if self._statekeep_closed:
            refuse_closed(self, prefix or None)
        return _while_open(self, method(self, prefix, *args, **kwargs))

    return scan


def _guard_sweep(method: Member) -> Member:
    @wraps(method)
    def sweep(self: Any, *args: Any, older_than: timedelta, **kwargs: Any) -> Any:
        _check_age(older_than)
        if self._statekeep_closed:
            refuse_closed(self)
        return method(self, *args, older_than=older_than, **kwargs)

    return sweep


def _guard_inspect(method: Member) -> Member:
    @wraps(method)
    def inspect(self: Any, *args: Any, older_than: timedelta, **kwargs: Any) -> Any:
        _check_age(older_than)
        if self._statekeep_closed:
            refuse_closed(self)
        return _while_open(self, method(self, *args, older_than=older_than, **kwargs))

    return inspect


def _guard_repair(method: Member) -> Member:
    @wraps(method)
    def repair(self: Any, anomaly: Anomaly, quarantine: str, *args: Any, **kwargs: Any) -> Any:
        if not isinstance(anomaly, Anomaly):
            refuse_type("anomaly", "an Anomaly", anomaly)
        quarantine = plain_text("quarantine", quarantine)
        if self._statekeep_closed:
            refuse_closed(self, anomaly.place, "no")
        return method(self, anomaly, quarantine, *args, **kwargs)

    return repair


def _guard_upkeep(method: Member) -> Member:
    @wraps(method)
    def upkeep(self: Any, *args: Any, **kwargs: Any) -> Any:
        if self._statekeep_closed:
            refuse_closed(self)
        return method(self, *args, **kwargs)

    return upkeep


def _guard_close(method: Member) -> Member:
    @wraps(method)
    def close(self: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            return method(self, *args, **kwargs)
        finally:
            # Only now: a wrapper may still write while it closes.
            self.__dict__[_CLOSED] = True

    return close


_GUARDS: Final[dict[str, Callable[[Member], Member]]] = {
    "append": _guard_append,
    "close": _guard_close,
    "delete": _guard_delete,
    "delete_many": _guard_delete_many,
    "delete_seen": _guard_delete_seen,
    "get": _guard_get,
    "get_many": _guard_get_many,
    "initialize": _guard_upkeep,
    "inspect": _guard_inspect,
    "put": _guard_put,
    "remains": _guard_upkeep,
    "repair": _guard_repair,
    "scan": _guard_scan,
    "survey": _guard_survey,
    "sweep": _guard_sweep,
    "vacuum": _guard_upkeep,
}
_OF_QUERIES: Final[dict[str, Callable[[Member], Member]]] = {
    "count": _guard_reading,
    "put_record": _guard_put_record,
    "query": _guard_reading,
    "set_records": _guard_set_records,
}


def guarded_in(kind: type) -> Iterator[str]:
    """Yield the names of the members of a store that are guarded, including those of its powers."""
    yield from _GUARDS
    # On their own, names such as `count` may mean something else.
    if all(hasattr(kind, name) for name in _OF_QUERIES):
        yield from _OF_QUERIES


def _while_open(store: Any, found: Iterator[Any]) -> Iterator[Any]:
    if store._statekeep_closed:  # noqa: SLF001
        refuse_closed(store)
    for each in found:
        yield each
        if store._statekeep_closed:  # noqa: SLF001
            refuse_closed(store)


def _say_what_landed(error: StateStoreError) -> None:
    if error.landed is None:
        error.landed = "no" if isinstance(error, _REFUSALS) else "unknown"


def _check_age(older_than: object) -> None:
    if not isinstance(older_than, timedelta):
        refuse_type("older_than", "a timedelta", older_than)
