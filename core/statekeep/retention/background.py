"""Background retention: saves trigger a prune, at most one per period in a whole fleet.

A stamp in the store says when the last prune began. Who prunes has claimed it by compare-and-swap
before; nobody renews or releases it, so whoever dies holds nothing up for longer than a period.
"""

from __future__ import annotations

import logging
import os
import platform
import secrets
import threading
from typing import TYPE_CHECKING

from statekeep.errors import ConflictError, CorruptDataError
from statekeep.format.json import decode_json, encode_json
from statekeep.observe.events import PruneFailed
from statekeep.retention.types import PruneThrottle
from statekeep.store.keys import STAMP
from statekeep.timestamps import format_timestamp, parse_timestamp, utc_now

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    from statekeep.observe.emitter import Emitter
    from statekeep.retention.pruner import Pruner
    from statekeep.retention.types import Retention
    from statekeep.store.protocol import Blob
    from statekeep.store.transfer import Transfer

__all__ = ["BackgroundPruner"]

_logger = logging.getLogger(__name__)


class BackgroundPruner:
    """Prunes in a thread of its own, when saves ask for it.

    Args:
        retention: What is pruned, and how often.
        transfer: Writes the stamp.
        pruner: Prunes.
        emitter: Tells observers.
    """

    def __init__(
        self, retention: Retention, transfer: Transfer, pruner: Pruner, emitter: Emitter
    ) -> None:
        self._retention = retention
        self._transfer = transfer
        self._store = transfer.store
        self._pruner = pruner
        self._emitter = emitter
        self._throttle = PruneThrottle(retention.every)
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._closed = False
        self._thread: threading.Thread | None = None

    def saved(self, session_id: str) -> None:
        """Start a prune that skips this session, if one is due; returns at once."""
        # Who does not get the lock is not needed: another thread is at this very point.
        if not self._lock.acquire(blocking=False):
            return
        try:
            if self._closed or (self._thread and self._thread.is_alive()):
                return
            if not self._throttle.should_prune():
                return
            thread = threading.Thread(
                target=self._run, args=(session_id,), name="statekeep-retention", daemon=True
            )
            thread.start()
            self._thread = thread
        except RuntimeError as error:  # no more threads
            _logger.warning("background pruning of %s cannot start: %s", self._store, error)
            self._emitter.emit(PruneFailed, error)
        finally:
            self._lock.release()

    def close(self, timeout: timedelta) -> bool:
        """Start no more prunes, and wait for one that runs.

        Returns:
            Whether it has ended within the timeout. If not, it ends after the session that it is
            at.
        """
        seconds = timeout.total_seconds()
        self._closed = True
        # So that no thread is between having asked and having started.
        if self._lock.acquire(timeout=seconds):
            self._lock.release()
        if self._thread is None:
            return True
        self._thread.join(seconds)
        self._stop.set()
        return not self._thread.is_alive()

    def _run(self, session_id: str) -> None:
        try:
            now = self._claim()
            if now is not None:
                with self._emitter.operation("prune_in_background"):
                    self._prune(now, session_id)
        except Exception as error:
            _logger.exception("background pruning of %s failed", self._store)
            self._emitter.emit(PruneFailed, error)

    def _prune(self, now: datetime, session_id: str) -> None:
        retention = self._retention
        plan = self._pruner.plan(
            retention.strategy,
            now=now,
            protect=retention.protect | {session_id},
            min_idle=retention.min_idle,
        )
        self._pruner.execute(plan, trash=retention.trash, now=now, stop=self._stop.is_set)

    def _claim(self) -> datetime | None:
        """Claim the stamp if the last prune was long enough ago.

        Returns:
            The present as the store has it, so that a wrong clock here deletes nothing; None if
            it is not this process's turn.
        """
        blob = self._store.get(STAMP)
        if blob is not None and not self._is_due(blob):
            return None
        # The nonce, because equal bytes would be an equal version, and two could claim it.
        claim = {
            "claimed_at": format_timestamp(utc_now()),
            "claimed_by": f"{platform.node()}:{os.getpid()}",
            "nonce": secrets.token_hex(16),
        }
        data = encode_json(claim)
        try:
            if blob is None:
                self._transfer.put_new(STAMP, data)
            else:
                self._transfer.put_seen(STAMP, data, blob.version)
        except ConflictError:
            return None
        claimed = self._store.get(STAMP)
        return (claimed and claimed.modified) or utc_now()

    def _is_due(self, blob: Blob) -> bool:
        last = blob.modified or _claimed_at(blob)
        # A stamp of the far future is one of another clock; waiting for it might take years.
        return last is None or abs(utc_now() - last) >= self._retention.every


def _claimed_at(blob: Blob) -> datetime | None:
    try:
        return parse_timestamp(decode_json(blob.data)["claimed_at"])
    except (CorruptDataError, ValueError, TypeError, KeyError):
        return None
