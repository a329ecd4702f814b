"""Telling observers how each operation ended, how long it took and what it cost."""

from __future__ import annotations

from contextvars import ContextVar
from datetime import timedelta
from functools import wraps
from threading import Lock
from time import perf_counter
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, cast

from statekeep.events import OperationFinished, notify
from statekeep.timestamps import utc_now

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from statekeep.events import Observer
    from statekeep.protocol import StateStore

__all__ = ["count_request", "operation"]

M = TypeVar("M", bound="Callable[..., Any]")


class _Observed(Protocol):
    _observers: tuple[Observer, ...]

    @property
    def store(self) -> StateStore: ...


class _Running:
    """An operation that has not ended, and the requests sent for it."""

    __slots__ = ("counting", "owner", "requests")

    def __init__(self, owner: object) -> None:
        self.owner = owner
        self.requests = 0
        self.counting = Lock()


_running: ContextVar[_Running | None] = ContextVar("statekeep_operation", default=None)


def operation(*about: str) -> Callable[[M], M]:
    """Make of a method an operation: the observers hear when it has ended.

    Without observers it costs next to nothing. What it calls on the same object is part of it.

    Args:
        about: The parameters that say what it is about; the subject is these, joined by ``/``.
    """

    def decorate(method: M) -> M:
        name = method.__qualname__.replace("._", ".")
        places = [(each, method.__code__.co_varnames.index(each) - 1) for each in about]

        @wraps(method)
        def observed(self: _Observed, /, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
            if not self._observers:
                return method(self, *args, **kwargs)
            outer = _running.get()
            if outer is not None and outer.owner is self:
                return method(self, *args, **kwargs)
            running = _Running(self)
            token = _running.set(running)
            outcome = "ok"
            started_at, start = utc_now(), perf_counter()
            try:
                return method(self, *args, **kwargs)
            except BaseException as error:
                outcome = type(error).__name__
                raise
            finally:
                duration = timedelta(seconds=perf_counter() - start)
                _running.reset(token)
                notify(
                    self._observers,
                    OperationFinished(
                        str(self.store),
                        name,
                        _subject(places, args, kwargs),
                        outcome,
                        started_at,
                        duration,
                        running.requests,
                    ),
                )

        return cast("M", observed)

    return decorate


def count_request() -> None:
    """Say that a store sends a request for the operation that runs; for backends.

    It may be called from a thread of the backend that has the caller's context variables.
    """
    if (running := _running.get()) is not None:
        with running.counting:
            running.requests += 1


def _subject(
    places: Sequence[tuple[str, int]], args: Sequence[Any], kwargs: Mapping[str, Any]
) -> str | None:
    given = [
        args[place] if place < len(args) else kwargs.get(parameter) for parameter, place in places
    ]
    if not given or None in given:
        return None
    return "/".join(str(getattr(value, "id", value)) for value in given)
