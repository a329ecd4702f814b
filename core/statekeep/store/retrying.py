"""Retrying after a conflict, with jittered back-off."""

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
    *,
    at_most_once: bool = False,
) -> T:
    """Call until there is no `ConflictError`; after the timeout, let it propagate.

    The pause before each retry is random, so that callers that collided once do not collide again.

    Args:
        attempt: The function to call.
        timeout: How long to keep retrying after conflicts.
        again: Called before each retry with the conflict and the number of the retry, from 1.
        at_most_once: Let a conflict propagate if its write may have landed, for a retry could
            then apply the same change twice.
    """
    deadline = time.monotonic() + timeout.total_seconds()
    for retry in count(1):
        try:
            return attempt()
        except ConflictError as error:
            in_doubt = at_most_once and error.landed != "no"
            if in_doubt or time.monotonic() >= deadline:
                raise
            again(error, retry)
        pause = min(_LONGEST_PAUSE, _SHORTEST_PAUSE * 2 ** min(retry - 1, 10))
        time.sleep(random.uniform(0, pause))  # noqa: S311 - jitter, not a secret
    raise AssertionError  # pragma: no cover - count() does not end


def apply(change: Callable[[V], T], value: V) -> T:
    """Call the function that was passed to `update`.

    Raises:
        TypeError: It is an async function, so none of it would have run.
    """
    result = change(value)
    if inspect.iscoroutine(result):
        result.close()
        raise TypeError("the change is called, not awaited; give a function that is not async")
    return result
