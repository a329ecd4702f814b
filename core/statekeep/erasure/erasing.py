"""Plan an erasure, carry it out where nothing has changed since, and verify the result."""

from __future__ import annotations

from datetime import timedelta
from itertools import groupby
from typing import TYPE_CHECKING, Final, TypeVar

from statekeep._arguments import checked
from statekeep.erasure.looking import Found, look
from statekeep.erasure.places import ordered
from statekeep.erasure.types import ErasureFailure, ErasurePlan, ErasureReport, ErasureVictim
from statekeep.errors import ConflictError, StateStoreError
from statekeep.retention.sweeping import sweep_unnamed
from statekeep.store.powers import (
    Seen,
    SupportsVacuum,
    delete_many,
    power,
    remains,
    sweep,
)
from statekeep.store.transfer import Transfer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from statekeep.erasure.types import Thoroughness
    from statekeep.store.protocol import StateStore

__all__ = ["erase", "erase_user", "plan_erasure"]

T = TypeVar("T")

_STALE: Final = timedelta(hours=1)


@checked
def plan_erasure(store: StateStore, user_id: str, *, documents: Iterable[str] = ()) -> ErasurePlan:
    """Find what erasing a user would delete, and why. Changes nothing.

    Args:
        store: Any store; read access is enough.
        user_id: The user. Sessions and journals are recognized by the user id inside them, not by
            their names; those without a user are not touched.
        documents: Patterns of documents and blobs that belong to the user, too: category and name,
            such as ``"users/ada/*"`` or ``"blobs/plots/ada/*"``. A star matches anything, slashes
            included.

    Returns:
        The plan; `erase` carries it out.

    Raises:
        InvalidKeyError: The id is empty, or contains half a character.
        UnavailableError: The store did not answer.
        AccessDeniedError: The store refuses to be listed.

    Examples:
        >>> from statekeep import Sessions, open_store
        >>> from statekeep.erasure import plan_erasure
        >>> with open_store("memory:") as store:
        ...     _ = Sessions(store).get_or_create("ada", "weekly")
        ...     [victim.key for victim in plan_erasure(store, "ada").victims]
        ['sessions/weekly.json']
    """
    patterns = tuple(documents)
    found = look(store, user_id, patterns)
    return ErasurePlan(
        store=str(store),
        user_id=user_id,
        documents=patterns,
        victims=found.victims,
        problems=found.problems,
        mentions=found.mentions,
        remains=remains(store),
        unnamed=found.unnamed,
    )


@checked
def erase(
    store: StateStore,
    plan: ErasurePlan,
    *,
    verify: Thoroughness = "heads",
    progress: Callable[[int], object] | None = None,
) -> ErasureReport:
    """Delete the victims of a plan that have not changed since, and look for what is left.

    Segments and attachments are deleted with their journals, without waiting for the sweep.
    Finally, a database frees the space of what was deleted, and files that killed writers left
    behind more than an hour ago are removed.

    Args:
        store: The store that the plan was made for.
        plan: What to delete.
        verify: Where to look for the user's id afterwards; ``"everything"`` reads documents,
            blobs, segments and attachments as well.
        progress: Called after each victim with the number done so far.

    Returns:
        What became of each victim, and what is left. Failures, including that of the final scan,
        are reported here and raise nothing.

    Raises:
        ValueError: The plan was made for another store.
    """
    if plan.store != str(store):
        raise ValueError(f"the plan was made for {plan.store}, not for {store}")
    run = _Run(store, progress)
    run.delete(plan.victims)
    uids = {each.uid for each in plan.victims if each.uid is not None}
    unread = Found((), plan.problems, plan.mentions, plan.unnamed)

    def look_again() -> Found:
        everything = verify == "everything"
        return look(store, plan.user_id, plan.documents, everything=everything, uids=uids)

    found = run.attempt(look_again) or unread
    # Parts written by a writer that had read a head since deleted, or an index made meanwhile.
    heads = {each.uid for each in found.victims if each.version is not None}
    late = [
        each
        for each in found.victims
        if each.version is None and (each.kind == "index" or each.uid not in heads)
    ]
    if late:
        run.delete(late)
        found = run.attempt(look_again) or unread
    run.tidy()
    gone = {each.key for each in run.erased}
    return ErasureReport(
        erased=ordered(run.erased),
        skipped=ordered([each for each in run.skipped if each.key not in gone]),
        failed=tuple(run.failed),
        left=found.victims,
        problems=found.problems,
        mentions=found.mentions,
        remains=plan.remains,
        unnamed=found.unnamed,
    )


@checked
def erase_user(
    store: StateStore,
    user_id: str,
    *,
    documents: Iterable[str] = (),
    verify: Thoroughness = "heads",
    progress: Callable[[int], object] | None = None,
) -> ErasureReport:
    """Delete everything that belongs to a user, and look for what is left.

    Args:
        store: The store.
        user_id: As for `plan_erasure`.
        documents: As for `plan_erasure`.
        verify: As for `erase`.
        progress: As for `erase`.

    Returns:
        As `erase`. Writers may save for the user meanwhile; what they save is in
        `ErasureReport.left`, and another call deletes it.

    Raises:
        InvalidKeyError, UnavailableError, AccessDeniedError: As `plan_erasure` and `erase`.

    Examples:
        >>> from statekeep import Sessions, open_store
        >>> from statekeep.erasure import erase_user
        >>> with open_store("memory:") as store:
        ...     _ = Sessions(store).get_or_create("ada", "weekly")
        ...     report = erase_user(store, "ada")
        >>> [victim.key for victim in report.erased], report.complete
        (['sessions/weekly.json'], True)
    """
    plan = plan_erasure(store, user_id, documents=documents)
    return erase(store, plan, verify=verify, progress=progress)


class _Run:
    """Deletes victims, and records what became of each."""

    def __init__(self, store: StateStore, progress: Callable[[int], object] | None) -> None:
        self._store = store
        # If the store has no conditional delete, checking just before is the best there is.
        is_conditional = store.capabilities.conditional_delete
        self._transfer = Transfer(store, "detect" if is_conditional else "last-writer-wins")
        self._progress = progress
        self._done = 0
        self.erased: list[ErasureVictim] = []
        self.skipped: list[ErasureVictim] = []
        self.failed: list[ErasureFailure] = []

    def delete(self, victims: Sequence[ErasureVictim]) -> None:
        """Delete heads and documents that have not changed, then the parts of deleted heads."""
        kept = self._delete_seen({each.key: each for each in victims if each.version is not None})
        parts = sorted([each for each in victims if each.version is None], key=_uid)
        for uid, together in groupby(parts, _uid):
            if uid in kept:
                for victim in together:
                    self._settle(victim, ConflictError("its journal may be there", landed="no"))
            else:
                self._delete_parts([*together])

    def _delete_seen(self, victims: Mapping[str, ErasureVictim]) -> set[str | None]:
        """Delete heads and documents; return the uids of those that may still be there."""
        kept: set[str | None] = set()
        conditions = (
            Seen(each.key, each.version, each.fingerprint)
            for each in victims.values()
            if each.version is not None
        )
        for done in self._transfer.delete_all_seen(conditions):
            for key, error in done.items():
                self._settle(victims[key], error)
                if error is not None:
                    kept.add(victims[key].uid)
        return kept

    def _delete_parts(self, parts: Sequence[ErasureVictim]) -> None:
        error = None
        try:
            delete_many(self._store, [each.key for each in parts])
        except StateStoreError as met:
            error = met
        for part in parts:
            self._settle(part, error)

    def _settle(self, victim: ErasureVictim, error: StateStoreError | None) -> None:
        match error:
            case None:
                self.erased.append(victim)
            case ConflictError(landed="no"):
                self.skipped.append(victim)
            case _:
                self.failed.append(ErasureFailure(victim, error))
        self._done += 1
        if self._progress:
            self._progress(self._done)

    def tidy(self) -> None:
        """Remove unnamed parts and stale temporary files, and free the space."""
        self.attempt(lambda: sweep_unnamed(self._transfer))
        self.attempt(lambda: sweep(self._store, older_than=_STALE))
        if able := power(self._store, SupportsVacuum):
            self.attempt(able.vacuum)

    def attempt(self, work: Callable[[], T]) -> T | None:
        """Run a step that concerns the whole store; record a failure and return None."""
        try:
            return work()
        except StateStoreError as error:
            # The deletions must be reported even if this fails.
            self.failed.append(ErasureFailure(None, error))
            return None


def _uid(victim: ErasureVictim) -> str:
    return victim.uid or ""
