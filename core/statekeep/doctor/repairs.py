"""Moving what cannot be read to quarantine. What is sound is never touched."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from statekeep.doctor.findings import Repaired, RepairFailure, RepairReport
from statekeep.errors import ConflictError, StateStoreError
from statekeep.store.keys import QUARANTINE
from statekeep.store.powers import SupportsInspect, power
from statekeep.store.transfer import Transfer
from statekeep.timestamps import format_timestamp, utc_now

if TYPE_CHECKING:
    from collections.abc import Callable

    from statekeep.doctor.findings import Diagnosis, Finding
    from statekeep.store.protocol import StateStore

__all__ = ["repair"]


def repair(
    store: StateStore,
    diagnosis: Diagnosis,
    *,
    progress: Callable[[int], object] | None = None,
) -> RepairReport:
    """Move to quarantine what a diagnosis found, each thing only if it is still what was seen.

    What is moved goes below ``.statekeep/quarantine``, under its old name and in a new place for
    each repair. A document is first copied and then deleted, so a crash leaves it in one place or
    in both.

    Args:
        store: The store that was diagnosed.
        diagnosis: What to deal with.
        progress: Called after each finding with how many are done.

    Returns:
        What became of each finding. What could not be dealt with is in it and raises nothing.

    Raises:
        ValueError: The diagnosis was made for another store.

    Example:
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
    # Where the store keeps no conditions, a look before is the best there is.
    transfer = Transfer(store, "last-writer-wins")
    repaired: list[Repaired] = []
    skipped: list[Finding] = []
    failed: list[RepairFailure] = []
    left: list[Finding] = []
    for done, finding in enumerate(diagnosis.findings, start=1):
        if finding.action is None:
            left.append(finding)
        else:
            try:
                repaired.append(Repaired(finding, _repair_one(transfer, finding, quarantine)))
            except ConflictError:
                skipped.append(finding)
            except StateStoreError as error:
                failed.append(RepairFailure(finding, error))
        if progress:
            progress(done)
    return RepairReport(tuple(repaired), tuple(skipped), tuple(failed), tuple(left))


def _repair_one(transfer: Transfer, finding: Finding, quarantine: str) -> str | None:
    store = transfer.store
    if finding.anomaly is not None and (able := power(store, SupportsInspect)):
        return able.repair(finding.anomaly, quarantine)
    blob = store.get(finding.place)
    if blob is None or blob.version != finding.version:
        raise ConflictError("it has changed or is gone", key=finding.place, store=store)
    if finding.action == "remove":
        transfer.delete_seen(finding.place, blob.version)
        return None
    to = f"{quarantine}/{finding.place}"
    transfer.move(finding.place, blob, to)
    return to
