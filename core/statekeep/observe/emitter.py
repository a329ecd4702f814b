"""The one emitter of everything that observers receive: events, and how each operation ended."""

from __future__ import annotations

import logging
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from datetime import timedelta
from threading import Lock
from time import perf_counter
from typing import TYPE_CHECKING, Concatenate, ParamSpec

from statekeep.errors import ClosedError
from statekeep.observe.events import OperationFinished, notify
from statekeep.timestamps import utc_now

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from contextlib import AbstractContextManager

    from statekeep.errors import Landed
    from statekeep.observe.events import Event, Observer
    from statekeep.store.protocol import StateStore

__all__ = ["Emitter", "closed_error", "count_request"]

P = ParamSpec("P")

_logger = logging.getLogger("statekeep.operations")

_UNOBSERVED = nullcontext()
_READING = {
    "__aenter__",
    "__enter__",
    "attachments",
    "count",
    "get",
    "head",
    "heads",
    "list",
    "list_trash",
    "load",
    "load_json",
    "load_markdown",
    "plan_prune",
    "read",
    "tail",
}


class _Running:
    """A running operation, and the number of requests sent for it."""

    __slots__ = ("counting", "emitter", "requests")

    def __init__(self, emitter: Emitter) -> None:
        self.emitter = emitter
        self.requests = 0
        self.counting = Lock()


_running: ContextVar[_Running | None] = ContextVar("statekeep_operation", default=None)


class Emitter:
    """Tells observers what happens on a store. Without observers it costs next to nothing.

    Args:
        store: The store on which it happens.
        observers: Functions called with each event, after the fact, in the thread in which it
            happens.
        owner: The class whose operations these are: ``"Sessions"``.
    """

    __slots__ = ("_closed", "_observers", "_owner", "_store")

    def __init__(self, store: StateStore, observers: Iterable[Observer], owner: str) -> None:
        self._store = store
        self._observers = tuple(observers)
        self._owner = owner
        self._closed = False

    def close(self) -> None:
        """Refuse every operation from now on."""
        self._closed = True

    def refuse_closed(self, name: str) -> None:
        """Raise `ClosedError` if `close` was called."""
        if self._closed:
            raise closed_error(self._owner, name, self._store)

    def emit(
        self, event: Callable[Concatenate[str, P], Event], *args: P.args, **kwargs: P.kwargs
    ) -> None:
        """Send an event to the observers.

        Args:
            event: The event's class.
            args: Its fields after `Event.store`.
            kwargs: Its fields by name.
        """
        if self._observers:
            notify(self._observers, event(str(self._store), *args, **kwargs))

    def operation(self, name: str, subject: str | None = None) -> AbstractContextManager[None]:
        """Return a context manager for an operation; at its end, it reports outcome and cost.

        The report goes to the observers, and to the log at level DEBUG.

        An operation inside another one of the same emitter counts as part of it.

        Args:
            name: The method's name.
            subject: What the operation is about, if it is about one thing.

        Raises:
            ClosedError: The object that performs the operation was closed.
        """
        self.refuse_closed(name)
        if not self._observers and not _logger.isEnabledFor(logging.DEBUG):
            return _UNOBSERVED
        outer = _running.get()
        if outer is not None and outer.emitter is self:
            return _UNOBSERVED
        return self._observed(f"{self._owner}.{name}", subject)

    @contextmanager
    def _observed(self, operation: str, subject: str | None) -> Iterator[None]:
        running = _Running(self)
        token = _running.set(running)
        outcome = "ok"
        started_at, start = utc_now(), perf_counter()
        try:
            yield
        except BaseException as error:
            outcome = type(error).__name__
            raise
        finally:
            duration = timedelta(seconds=perf_counter() - start)
            _running.reset(token)
            _logger.debug(
                "%s%s: %s in %.1f ms, %d requests, on %s",
                operation,
                "" if subject is None else f" {subject!r}",
                outcome,
                duration.total_seconds() * 1000,
                running.requests,
                self._store,
            )
            self.emit(
                OperationFinished,
                operation,
                subject,
                outcome,
                started_at,
                duration,
                running.requests,
            )


def closed_error(owner: str, operation: str, store: object) -> ClosedError:
    """Return the error that an operation on a closed object raises.

    Args:
        owner: The object's class.
        operation: The method's name.
        store: The underlying store.
    """
    landed: Landed | None = None if operation in _READING else "no"
    return ClosedError(f"this {owner} was closed; open it again", store=store, landed=landed)


def count_request() -> None:
    """Count a request that a store sends for the running operation; for backends.

    A backend may call it from a thread of its own that has the caller's context variables.
    """
    if (running := _running.get()) is not None:
        with running.counting:
            running.requests += 1
