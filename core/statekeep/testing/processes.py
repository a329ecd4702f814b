"""Functions that the contracts run in separate processes, with as few imports as possible."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from statekeep import ConflictError, Journals, Session, Sessions, StateStore
from statekeep.store import SupportsAppend, power

if TYPE_CHECKING:
    from multiprocessing.context import BaseContext

    from statekeep.sessions.repository import Form

__all__ = [
    "add_turns_at",
    "append_lines_at",
    "append_often",
    "in_processes",
    "increment",
    "increment_at",
    "take_part",
    "update_often",
    "write_at",
]

R = TypeVar("R")
Opener = Callable[[str], StateStore]

_ATTEMPTS = 1000
_LONG = timedelta(minutes=5)


def in_processes(function: Callable[..., R], arguments: Iterable[tuple[Any, ...]]) -> list[R]:
    """Call a module-level function in several processes at once.

    Args:
        function: The function to call.
        arguments: The arguments for each process.

    Returns:
        The results of the calls, in order.
    """
    calls = list(arguments)
    with ProcessPoolExecutor(len(calls), mp_context=_context()) as pool:
        futures = [pool.submit(function, *call) for call in calls]
        return [future.result() for future in futures]


def _context() -> BaseContext:
    return multiprocessing.get_context("spawn")


def increment(store: StateStore, key: str, times: int) -> None:
    """Increment a stored counter by compare-and-swap.

    Raises:
        AssertionError: The document is gone, or every attempt met a conflict.
    """
    for _ in range(times):
        for _ in range(_ATTEMPTS):
            blob = store.get(key)
            if blob is None:
                raise AssertionError("the document is gone")
            try:
                store.put(key, b"%d" % (int(blob.data) + 1), expect=blob.version)
            except ConflictError:
                continue
            break
        else:
            raise AssertionError(f"{_ATTEMPTS} conflicts in a row: no attempt ever wins")


def increment_at(open_client: Opener, location: str, key: str, times: int) -> None:
    """Open a client in this process and increment a counter."""
    with open_client(location) as store:
        increment(store, key, times)


def append_lines_at(open_client: Opener, location: str, key: str, worker: int, times: int) -> None:
    """Open a client in this process and append lines, retrying each after a conflict.

    Raises:
        AssertionError: The document is gone, or every attempt met a conflict.
    """
    with open_client(location) as store:
        able = power(store, SupportsAppend)
        assert able is not None
        for n in range(times):
            for _ in range(_ATTEMPTS):
                blob = store.get(key)
                if blob is None:
                    raise AssertionError("the document is gone")
                try:
                    able.append(key, b"%d-%d\n" % (worker, n), expect=blob.version)
                except ConflictError:
                    continue
                break
            else:
                raise AssertionError(f"{_ATTEMPTS} conflicts in a row: no attempt ever wins")


def write_at(open_client: Opener, location: str, key: str, data: bytes) -> list[str]:
    """Open a client in this process, write, and return the keys it then sees."""
    with open_client(location) as store:
        store.put(key, data)
        return [entry.key for entry in store.scan()]


def update_often(open_client: Opener, location: str, worker: int, times: int) -> None:
    """Add messages to the session ``s``."""
    with open_client(location) as store:
        _update_often(Sessions(store), worker, times)


def take_part(open_client: Opener, location: str, form: Form, worker: int, times: int) -> str:
    """Get or create the session ``s``, add messages, and return when it was created."""
    with open_client(location) as store:
        sessions = Sessions(store, form=form)
        session = sessions.get_or_create("ada", "s")
        _update_often(sessions, worker, times)
    return str(session.created_at)


def add_turns_at(open_client: Opener, location: str, form: Form, worker: int, times: int) -> None:
    """Add turns of a kilobyte, numbered by worker and turn, to the session ``s``."""
    with open_client(location) as store:
        sessions = Sessions(store, form=form)
        for number in range(times):
            said = f"{worker}-{number}"
            agent = f"{said} {'x' * 1000}"
            sessions.add_turn("s", user=[said], agent=[agent], user_id="ada", timeout=_LONG)


def append_often(
    open_client: Opener,
    location: str,
    collection: str,
    name: tuple[str, ...],
    worker: int,
    times: int,
) -> None:
    """Append items of a kilobyte, numbered by worker and item, to a journal."""
    with open_client(location) as store:
        journal = Journals(store, collection).open(*name)
        for number in range(times):
            journal.append([[worker, number, "x" * 1000]])


def _update_often(sessions: Sessions, worker: int, times: int) -> None:
    for n in range(times):
        content = f"{worker}-{n}"
        add = partial(Session.add_user_message, content=content)
        is_stored = False
        while not is_stored:
            try:
                sessions.update("s", add, timeout=timedelta(minutes=3))
                is_stored = True
            except ConflictError as error:
                if error.landed == "no":
                    raise
                # The response was lost and someone else wrote since: look, as users must.
                session = sessions.load("s", required=True)
                is_stored = any(each.content == content for each in session.user_messages)
