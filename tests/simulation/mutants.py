"""Mistakes, each made in the library for as long as a block runs: the simulation must find them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from unittest import mock

from contract.journal_mutants import MISTAKES

from simulation import journals, rules
from statekeep.doctor import Finding, diagnosis, repairs
from statekeep.errors import ConflictError, StateStoreError, UnavailableError
from statekeep.heads import index
from statekeep.retention import planning, pruner, stamp, trash
from statekeep.sessions import restoring
from statekeep.store.protocol import content_version
from statekeep.store.transfer import Transfer

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from datetime import datetime

    from statekeep import Session
    from statekeep.retention import PruneReport
    from statekeep.retention.copies import Copy
    from statekeep.store.protocol import Blob, StateStore, Version

__all__ = ["MUTANTS", "Mutant"]


@dataclass(frozen=True, slots=True)
class Mutant:
    """A mistake.

    Attributes:
        where: The class or module in which it is made.
        name: What is replaced there.
        mistake: By what; its name says what is wrong.
        rule: The rule that it breaks.
    """

    where: object
    name: str
    mistake: Callable[..., Any]
    rule: Callable[..., Any]

    def __str__(self) -> str:
        return self.mistake.__name__.strip("_")

    def made(self) -> AbstractContextManager[object]:
        """Make the mistake for as long as a block runs."""
        return mock.patch.object(self.where, self.name, self.mistake)


_move = Transfer.move
_report = pruner._report
_missing = index._missing
_newest = trash._newest
_write_stamp = stamp.Stamp.write


def _take_back_if_something_is_there(transfer: Transfer, key: str, blob: Blob, to: str) -> None:
    copy = transfer.put_new(to, blob.data)
    try:
        transfer.delete_seen(key, blob.version)
    except ConflictError:
        if transfer.store.get(key) is not None:
            transfer.delete_seen(to, copy)
        raise


def _take_back_whatever_happened(transfer: Transfer, key: str, blob: Blob, to: str) -> None:
    copy = transfer.put_new(to, blob.data)
    try:
        transfer.delete_seen(key, blob.version)
    except StateStoreError:
        transfer.delete_seen(to, copy)
        raise


def _never_take_back(transfer: Transfer, key: str, blob: Blob, to: str) -> None:
    transfer.put_new(to, blob.data)
    transfer.delete_seen(key, blob.version)


def _delete_before_the_copy(transfer: Transfer, key: str, blob: Blob, to: str) -> None:
    transfer.delete_seen(key, blob.version)
    transfer.put_new(to, blob.data)


def _rely_on_an_equal_copy(transfer: Transfer, key: str, blob: Blob, to: str) -> None:
    for entry in transfer.store.scan(to.rpartition("/")[0]):
        if entry.key.endswith(f"-{key.rpartition('/')[2]}"):
            copy = transfer.store.get(entry.key)
            if copy is not None and copy.data == blob.data:
                transfer.delete_seen(key, blob.version)
                return
    _move(transfer, key, blob, to)


def _save_over_anything(
    transfer: Transfer, key: str, data: bytes, _: Version, __: object = None
) -> Version:
    return transfer.store.put(key, data)


def _create_over_anything(transfer: Transfer, key: str, data: bytes, _: object = None) -> Version:
    return transfer.store.put(key, data)


def _delete_anything(transfer: Transfer, key: str, _: Version) -> None:
    transfer.store.delete(key)


def _believe_a_lost_save(
    transfer: Transfer, key: str, data: bytes, version: Version, _: object = None
) -> Version:
    try:
        return transfer.store.put(key, data, expect=version)
    except UnavailableError:
        return content_version(data)


def _believe_a_lost_delete(transfer: Transfer, key: str, version: Version) -> None:
    try:
        transfer.store.delete(key, expect=version)
    except ConflictError:
        return


def _raise_what_nobody_expects(transfer: Transfer, key: str, version: Version) -> None:
    try:
        transfer.store.delete(key, expect=version)
    except ConflictError:
        raise KeyError(key) from None


def _protect_nothing(*_: object, **__: object) -> None:
    return None


def _report_what_is_unknown_as_pruned(*args: Any) -> PruneReport:
    report = _report(*args)
    unknown = tuple(failure.victim for failure in report.unknown)
    return replace(report, pruned=report.pruned + unknown, unknown=())


def _report_what_is_unknown_as_skipped(*args: Any) -> PruneReport:
    report = _report(*args)
    unknown = tuple(failure.victim for failure in report.unknown)
    return replace(report, skipped=report.skipped + unknown, unknown=())


def _always_due(*_: object) -> bool:
    return True


def _overlook_the_last(*args: Any) -> list[str]:
    return _missing(*args)[:-1]


def _suspect_everything(key: str, blob: Blob) -> list[Finding]:
    return [Finding("corrupt session", key, "it looks odd", "move", version=blob.version)]


def _restore_what_came_last(
    store: StateStore, wanted: trash.Restorable[Any], copies: list[Copy]
) -> Any:
    return _newest(store, wanted, sorted(copies, key=lambda copy: copy.trashed_at)[-1:])


def _restore_the_very_bytes(_: object, session: Session, _nonce: str) -> bytes:
    return session.to_json()


def _trust_the_clock_of_the_worker(of: stamp.Stamp) -> datetime:
    _write_stamp(of)
    now: datetime = vars(stamp)["utc_now"]()  # the simulated one
    return now


def _forget_what_is_in_the_trash(*_: object) -> frozenset[str]:
    return frozenset()


def _forget_what_is_in_quarantine(*_: object) -> bool:
    return False


def _call_any_conflict_left_alone(error: StateStoreError) -> bool:
    return isinstance(error, ConflictError)


_OF_JOURNALS: dict[str, Callable[..., Any]] = {
    "believe_in_an_answer": journals.what_a_journal_acknowledges_is_there,
    "believe_what_it_saw": journals.a_read_is_a_state_that_was,
    "count_anew": journals.a_change_does_what_was_asked,
    "delete_what_was_merged": journals.a_named_segment_is_there,
    "forget_keys_of_lines_that_leave": journals.a_change_does_what_was_asked,
    "go_on_whatever_the_uid": journals.a_handle_stays_with_its_journal,
    "keep_a_drop_without_its_items": journals.a_change_does_what_was_asked,
    "name_a_segment_unseen": journals.a_named_segment_is_there,
    "say_no_of_what_is_unknown": journals.what_is_said_not_to_land_does_not,
    "try_again_in_a_journal_made_anew": journals.an_append_is_one,
    "try_again_whatever_was_cleared": journals.an_append_is_one,
}

MUTANTS = (
    Mutant(trash, "_newest", _restore_what_came_last, rules.restore_brings_back_the_newest),
    Mutant(
        restoring._SessionCopies, "revive", _restore_the_very_bytes, rules.a_restored_session_stays
    ),
    Mutant(
        stamp.Stamp,
        "write",
        _trust_the_clock_of_the_worker,
        rules.a_wrong_clock_deletes_nothing_young,
    ),
    Mutant(pruner, "young_copies", _forget_what_is_in_the_trash, rules.the_trash_does_not_pile_up),
    Mutant(
        repairs._Quarantined,
        "holds",
        _forget_what_is_in_quarantine,
        rules.the_trash_does_not_pile_up,
    ),
    Mutant(repairs, "_is_left_alone", _call_any_conflict_left_alone, rules.a_repair_report_is_true),
    Mutant(Transfer, "move", _take_back_if_something_is_there, rules.nothing_vanishes),
    Mutant(Transfer, "move", _take_back_whatever_happened, rules.nothing_vanishes),
    Mutant(Transfer, "move", _delete_before_the_copy, rules.nothing_vanishes),
    Mutant(Transfer, "move", _rely_on_an_equal_copy, rules.nothing_vanishes),
    Mutant(Transfer, "move", _never_take_back, rules.what_was_deleted_stays_deleted),
    Mutant(Transfer, "put_seen", _save_over_anything, rules.no_update_is_overwritten),
    Mutant(Transfer, "put_seen", _believe_a_lost_save, rules.what_was_acknowledged_is_stored),
    Mutant(Transfer, "put_new", _create_over_anything, rules.no_update_is_overwritten),
    Mutant(Transfer, "delete_seen", _delete_anything, rules.a_prune_spares_what_was_saved),
    Mutant(Transfer, "delete_seen", _believe_a_lost_delete, rules.a_delete_is_true),
    Mutant(
        Transfer,
        "delete_seen",
        _raise_what_nobody_expects,
        rules.only_what_is_documented_is_raised,
    ),
    Mutant(planning, "_protection", _protect_nothing, rules.a_pinned_session_is_not_pruned),
    Mutant(pruner, "_report", _report_what_is_unknown_as_pruned, rules.a_report_is_true),
    Mutant(pruner, "_report", _report_what_is_unknown_as_skipped, rules.a_report_is_true),
    Mutant(stamp, "_is_due", _always_due, rules.one_background_prune_a_period),
    Mutant(index, "_missing", _overlook_the_last, rules.a_listing_is_complete),
    Mutant(diagnosis, "_examine_session", _suspect_everything, rules.a_repair_spares_what_is_sound),
    *(
        Mutant(each.where, each.name, each.mistake, _OF_JOURNALS[str(each)])
        for each in MISTAKES
        if str(each) in _OF_JOURNALS
    ),
)
"""Each mistake, and the rule that finds it."""
