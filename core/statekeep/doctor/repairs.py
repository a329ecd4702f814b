"""Moves what cannot be read to quarantine. What is sound is never touched."""

from __future__ import annotations

import secrets
from datetime import timedelta
from typing import TYPE_CHECKING

from statekeep._arguments import checked
from statekeep.doctor.findings import Repaired, RepairFailure, RepairReport
from statekeep.errors import ConflictError, StateStoreError, UnavailableError
from statekeep.retention.stamp import Stamp
from statekeep.retention.sweeping import sweep_unnamed
from statekeep.store.keys import QUARANTINE
from statekeep.store.powers import SupportsInspect, power
from statekeep.store.transfer import Transfer
from statekeep.timestamps import format_timestamp, utc_now

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from statekeep.doctor.findings import Diagnosis, Finding
    from statekeep.store.protocol import Blob, Entry, StateStore

__all__ = ["repair"]

_DAY = timedelta(days=1)
_DEPTH = QUARANTINE.count("/") + 2  # the folder of a repair, and then the old key


@checked
def repair(
    store: StateStore,
    diagnosis: Diagnosis,
    *,
    progress: Callable[[int], object] | None = None,
) -> RepairReport:
    """Move what a diagnosis found to quarantine, if it is still what was seen.

    If there are segments or attachments that no journal refers to, it also runs the sweep, which
    deletes those that it already found a day ago.

    What is moved goes below ``.statekeep/quarantine``, under its old name in a new place for each
    repair. A document is first copied and then deleted, so a crash leaves it in one place or in
    both.

    Args:
        store: The store that was diagnosed.
        diagnosis: The findings to deal with.
        progress: Called after each finding with the number done so far.

    Returns:
        What became of each finding. One that could not be dealt with is reported there and does
        not raise.

    Raises:
        ValueError: The diagnosis was made for another store.

    Examples:
        >>> from statekeep import open_store
        >>> from statekeep.doctor import diagnose, repair
        >>> with open_store("memory:") as store:
        ...     version = store.put("sessions/s.json", b"{")
        ...     report = repair(store, diagnose(store))
        ...     [finding.kind for finding in diagnose(store).problems]
        []
    """
    if diagnosis.store != str(store):
        raise ValueError(f"the diagnosis was made for {diagnosis.store}, not for {store}")
    moment = format_timestamp(utc_now().replace(microsecond=0)).replace(":", "")
    quarantine = f"{QUARANTINE}/{moment}-{secrets.token_hex(4)}"
    # Where the store has no conditions, reading before writing is the best there is.
    transfer = Transfer(store, "last-writer-wins")
    quarantined = _Quarantined(transfer)
    repaired: list[Repaired] = []
    skipped: list[Finding] = []
    failed: list[RepairFailure] = []
    left: list[Finding] = []
    for done, finding in enumerate(diagnosis.findings, start=1):
        if finding.action is None:
            left.append(finding)
        else:
            try:
                repaired.append(
                    Repaired(finding, _repair_one(transfer, finding, quarantine, quarantined))
                )
            except StateStoreError as error:
                if _is_left_alone(error):
                    skipped.append(finding)
                else:
                    failed.append(RepairFailure(finding, error))
        if progress:
            progress(done)
    orphans = [finding for finding in left if finding.kind == "orphan"]
    swept = 0
    if orphans and diagnosis.is_store:
        try:
            swept = sweep_unnamed(transfer).deleted
        except StateStoreError as error:
            failed += [RepairFailure(finding, error) for finding in orphans]
            left = [finding for finding in left if finding not in orphans]
    return RepairReport(tuple(repaired), tuple(skipped), tuple(failed), tuple(left), swept)


def _is_left_alone(error: StateStoreError) -> bool:
    # A conflict in the answer to a second request may be our own doing.
    return isinstance(error, ConflictError) and error.landed == "no"


class _Quarantined:
    """What was quarantined within a day, by the store's clock; listed when first needed."""

    def __init__(self, transfer: Transfer) -> None:
        self._transfer = transfer
        self._store = transfer.store
        self._copies: list[Entry] | None = None
        self._now: datetime | None = None

    def holds(self, key: str, blob: Blob) -> bool:
        """Return whether an earlier attempt to move this same document may still be under way."""
        return any(
            entry.size == len(blob.data)
            and entry.key.split("/", _DEPTH)[-1] == key
            and (copy := self._store.get(entry.key)) is not None
            and copy.data == blob.data
            and self._is_young(entry)
            for entry in self._entries()
        )

    def _entries(self) -> list[Entry]:
        if self._copies is None:
            self._copies = list(self._store.scan(QUARANTINE))
        return self._copies

    def _is_young(self, entry: Entry) -> bool:
        if self._now is None:
            self._now = Stamp(self._transfer).write()
        return entry.modified is None or self._now - entry.modified < _DAY


def _repair_one(
    transfer: Transfer, finding: Finding, quarantine: str, quarantined: _Quarantined
) -> str | None:
    store = transfer.store
    if finding.anomaly is not None and (able := power(store, SupportsInspect)):
        return able.repair(finding.anomaly, quarantine)
    blob = store.get(finding.place)
    if blob is None or blob.version != finding.version:
        raise ConflictError(
            "it has changed or is gone", key=finding.place, store=store, landed="no"
        )
    if finding.action == "remove":
        transfer.delete_seen(finding.place, blob.version)
        return None
    if quarantined.holds(finding.place, blob):
        # Every attempt would add another copy while the delete is refused or unanswered.
        raise UnavailableError(
            "a copy of it was put into quarantine less than a day ago; retry after a day",
            key=finding.place,
            store=store,
            landed="unknown",
        )
    to = f"{quarantine}/{finding.place}"
    transfer.move(finding.place, blob, to)
    return to
