"""Threads and waits that a library has replaced by its own (gevent, eventlet)."""

from __future__ import annotations

import _thread
import select

__all__ = ["replaced_by"]


def replaced_by() -> str | None:
    """The library whose threads or waits this process has in place of Python's, or None.

    An event loop in a thread of its own, as fsspec runs one, then fails or waits for ever.

    >>> replaced_by() is None
    True
    """
    for function, home in ((_thread.start_new_thread, "_thread"), (select.select, "select")):
        module = function.__module__.partition(".")[0]
        if module != home:
            return module
    return None
