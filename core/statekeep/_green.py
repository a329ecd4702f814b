"""Detects threads and waits that gevent or eventlet has replaced."""

from __future__ import annotations

import _thread
import select

__all__ = ["replaced_by"]


def replaced_by() -> str | None:
    """Return the library that has replaced Python's threads or waits in this process, or None.

    An event loop in its own thread, as fsspec runs one, then fails or hangs.

    >>> replaced_by() is None
    True
    """
    for function, home in ((_thread.start_new_thread, "_thread"), (select.select, "select")):
        module = function.__module__.partition(".")[0]
        if module != home:
            return module
    return None
