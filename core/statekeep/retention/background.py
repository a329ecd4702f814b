"""Background retention: saves trigger a prune, at most one per period across all processes."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

from statekeep.observe.events import PruneFailed
from statekeep.retention.stamp import Stamp
from statekeep.retention.types import PruneRequest, PruneThrottle

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    from statekeep.observe.emitter import Emitter
    from statekeep.retention.pruner import Pruner
    from statekeep.retention.types import Retention
    from statekeep.store.transfer import Transfer

__all__ = ["BackgroundPruner"]

_logger = logging.getLogger(__name__)


class BackgroundPruner:
    """Prunes in its own thread when saves trigger it.

    Args:
        retention: What to prune, and how often.
        transfer: Writes the stamp.
        pruner: Performs the prune.
        emitter: Tells observers.
        collection: The collection that is pruned separately from everything else, if any.
    """

    def __init__(
        self,
        retention: Retention,
        transfer: Transfer,
        pruner: Pruner,
        emitter: Emitter,
        collection: str | None = None,
    ) -> None:
        self._retention = retention
        self._stamp = Stamp(transfer, collection)
        self._store = transfer.store
        self._pruner = pruner
        self._emitter = emitter
        self._throttle = PruneThrottle(retention.every)
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._closed = False
        self._thread: threading.Thread | None = None

    def saved(self, saved_id: str) -> None:
        """Start a prune that skips what was just saved, if one is due; return at once."""
        # If the lock is taken, another thread is doing exactly this.
        if not self._lock.acquire(blocking=False):
            return
        try:
            if self._closed or (self._thread and self._thread.is_alive()):
                return
            if not self._throttle.should_prune():
                return
            thread = threading.Thread(
                target=self._run, args=(saved_id,), name="statekeep-retention", daemon=True
            )
            thread.start()
            self._thread = thread
        except RuntimeError as error:  # cannot start another thread
            _logger.warning("background pruning of %s cannot start: %s", self._store, error)
            self._emitter.emit(PruneFailed, error)
        finally:
            self._lock.release()

    def close(self, timeout: timedelta) -> bool:
        """Start no more prunes, and wait for a running one.

        Returns:
            Whether it ended within the timeout. If not, it stops once it has finished the current
            session.
        """
        seconds = timeout.total_seconds()
        self._closed = True
        # So that no thread is between the check and the start.
        if self._lock.acquire(timeout=seconds):
            self._lock.release()
        if self._thread is None:
            return True
        self._thread.join(seconds)
        self._stop.set()
        return not self._thread.is_alive()

    def _run(self, saved_id: str) -> None:
        try:
            present = self._stamp.claim(self._retention.every)
            if present is not None:
                with self._emitter.operation("prune_in_background"):
                    self._prune(present, saved_id)
        except Exception as error:
            _logger.exception("background pruning of %s failed", self._store)
            self._emitter.emit(PruneFailed, error)

    def _prune(self, present: datetime, saved_id: str) -> None:
        retention = self._retention
        protect = retention.protect | {saved_id}
        request = PruneRequest(retention.strategy, protect, retention.min_idle)
        plan = self._pruner.plan(request, now=present)
        self._pruner.execute(plan, present=present, trash=retention.trash, stop=self._stop.is_set)
