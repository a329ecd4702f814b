"""The stamp: one document that records when the last prune began and what the store's time is.

It is written by every prune, and to find out how old a copy in quarantine is. The date that the
store then gives it counts as the current time, so a worker with a wrong clock deletes nothing that
it should not.
"""

from __future__ import annotations

import os
import platform
import secrets
from typing import TYPE_CHECKING

from statekeep.errors import ConflictError, CorruptDataError
from statekeep.format.json import decode_json, encode_json
from statekeep.store.keys import STAMP, STAMPS
from statekeep.timestamps import format_timestamp, parse_timestamp, utc_now

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    from statekeep.store.protocol import Blob
    from statekeep.store.transfer import Transfer

__all__ = ["Stamp"]


class Stamp:
    """The stamp of a store.

    Args:
        transfer: Performs the writes.
        collection: The collection whose prunes it is about; None for the whole store.
    """

    def __init__(self, transfer: Transfer, collection: str | None = None) -> None:
        self._transfer = transfer
        self._store = transfer.store
        self._key = STAMP if collection is None else f"{STAMPS}/{collection}.json"

    def write(self) -> datetime:
        """Write the stamp, and return the current time by the store's clock.

        If the store does not date what is written, the machine's clock is used.
        """
        self._store.put(self._key, _new_stamp())
        return self._date()

    def claim(self, every: timedelta) -> datetime | None:
        """Write the stamp if the last prune was long enough ago.

        It is never renewed or released, so a process that dies blocks nothing for longer than a
        period.

        Returns:
            The current time by the store's clock, or None if it is not this process's turn.
        """
        blob = self._store.get(self._key)
        if blob is not None and not _is_due(blob, every):
            return None
        try:
            if blob is None:
                self._transfer.put_new(self._key, _new_stamp())
            else:
                self._transfer.put_seen(self._key, _new_stamp(), blob.version)
        except ConflictError:
            return None
        return self._date()

    def _date(self) -> datetime:
        blob = self._store.get(self._key)
        return (blob and blob.modified) or utc_now()


def _new_stamp() -> bytes:
    # With a nonce, because equal bytes can have equal versions, and two processes could claim it.
    return encode_json(
        {
            "claimed_at": format_timestamp(utc_now()),
            "claimed_by": f"{platform.node()}:{os.getpid()}",
            "nonce": secrets.token_hex(16),
        }
    )


def _is_due(blob: Blob, every: timedelta) -> bool:
    last = blob.modified or _claimed_at(blob)
    # A stamp from the far future is from another clock; waiting for it could take years.
    return last is None or abs(utc_now() - last) >= every


def _claimed_at(blob: Blob) -> datetime | None:
    try:
        return parse_timestamp(decode_json(blob.data)["claimed_at"])
    except (CorruptDataError, ValueError, TypeError, KeyError):
        return None
