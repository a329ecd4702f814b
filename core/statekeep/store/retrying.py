"""Trying again after a conflict, with a jittered back-off."""

from __future__ import annotations

import inspect
import random
import time
from itertools import count
from typing import TYPE_CHECKING, TypeVar

from statekeep.errors import ConflictError

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import timedelta

__all__ = ["apply", "retry_on_conflict"]

T = TypeVar("T")
V = TypeVar("V")

_SHORTEST_PAUSE = 0.002
_LONGEST_PAUSE = 0.25


def retry_on_conflict(
    attempt: Callable[[], T],
    timeout: timedelta,
    again: Callable[[ConflictError, int], object],
) -> T:
    """Call until it raises no `ConflictError`; after the timeout, let it through.

    The pause before each further attempt is random, so that those who met once do not meet again.

    Args:
        attempt: What to call.
        timeout: How long to go on after conflicts.
        again: Told before each further attempt of the conflict and how many retries it makes.
    """
    deadline = time.monotonic() + timeout.total_seconds()
    for retry in count(1):
        try:
            return attempt()
        except ConflictError as error:
            if time.monotonic() >= deadline:
                raise
            again(error, retry)
        pause = min(_LONGEST_PAUSE, _SHORTEST_PAUSE * 2 ** min(retry - 1, 10))
        time.sleep(random.uniform(0, pause))  # noqa: S311 - jitter, not a secret
    raise AssertionError  # pragma: no cover - count() does not end


def apply(change: Callable[[V], T], value: V) -> T:
    """Call the function that a caller of `update` gave.

    Raises:
        TypeError: It is an asynchronous one, of which nothing would have run.
    """
    result = change(value)
    if inspect.iscoroutine(result):
        result.close()
        raise TypeError("the change is called, not awaited; give a function that is not async")
    return result
