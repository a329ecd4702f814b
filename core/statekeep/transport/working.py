"""Run the same work for several documents, in threads where that is worthwhile."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import contextmanager
from contextvars import copy_context
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

    from statekeep.store.protocol import StateStore

__all__ = ["Run", "running"]

Run = Callable[[Callable[[str], None], Iterable[str]], None]
"""Runs work for each key, and returns when all is done."""

_WORKERS: Final = 16


@contextmanager
def running(workers: int | None, *stores: StateStore) -> Iterator[Run]:
    """Provide a function that runs work in threads.

    Args:
        workers: How many threads; None for 16 if one of the stores is remote, else one.
        stores: The stores that the work uses.

    Raises:
        ValueError: `workers` is less than 1.
    """
    if workers is None:
        workers = _WORKERS if any(store.capabilities.remote for store in stores) else 1
    if workers < 1:
        raise ValueError(f"workers must be at least 1, not {workers}")
    if workers == 1:
        yield _one_by_one
        return
    from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415 - not always needed

    pool = ThreadPoolExecutor(workers, "statekeep-copy")
    context = copy_context()

    def at_once(work: Callable[[str], None], keys: Iterable[str]) -> None:
        for _ in pool.map(lambda key: context.copy().run(work, key), keys):
            pass

    try:
        yield at_once
    finally:
        pool.shutdown(cancel_futures=True)


def _one_by_one(work: Callable[[str], None], keys: Iterable[str]) -> None:
    for key in keys:
        work(key)
