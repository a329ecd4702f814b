"""Sessions over any store: versions, conflicts, owners, listings, pruning."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Concatenate, Literal, ParamSpec, Self, cast

from statekeep.background import BackgroundPruner
from statekeep.errors import (
    ConflictError,
    CorruptDataError,
    InvalidDocumentError,
    NotFoundError,
    OwnershipError,
    UnsupportedError,
)
from statekeep.events import (
    ConflictDetected,
    ConflictRetried,
    Event,
    Observer,
    ProblemFound,
    PruneFailed,
    PruneFinished,
    SessionDeleted,
    SessionRestored,
    SessionSaved,
    notify,
)
from statekeep.index import SummaryIndex
from statekeep.keys import session_key
from statekeep.listing import Catalogue, Listing, Record, decode_session, page
from statekeep.models import Session
from statekeep.operations import operation
from statekeep.protocol import (
    ABSENT,
    ANY,
    Blob,
    Expect,
    StateStore,
    Version,
)
from statekeep.pruning import carry_out, make_plan
from statekeep.retention import (
    PlannedVictim,
    PrunePlan,
    PruneReport,
    PruningStrategy,
    Retention,
)
from statekeep.retrying import apply, retry_on_conflict
from statekeep.summaries import PIN
from statekeep.timestamps import format_timestamp, to_microseconds, to_utc, utc_now
from statekeep.trash import Trashed, discard, empty_trash, list_trash, restore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from types import TracebackType

__all__ = ["Conflicts", "Sessions"]

P = ParamSpec("P")

_logger = logging.getLogger(__name__)

Conflicts = Literal["detect", "last-writer-wins"]

_PATIENCE = timedelta(seconds=30)


class Sessions:
    """The sessions of a store.

    Safe under threads. It does not close the store.

    Args:
        store: Where they lie.
        conflicts: ``"detect"`` (nothing is ever overwritten unseen) or ``"last-writer-wins"``,
            the only choice on a store without conditional writes.
        observers: Told of what happens, after the fact, in the thread in which it happens.
        retention: Lets saves trigger pruning in the background; without it nothing is ever pruned
            unasked. Then close the sessions, or use them as a context manager.

    Raises:
        UnsupportedError: Conflicts are to be detected on a store that cannot.

    Example:
        >>> from statekeep import Sessions, open_store
        >>> with open_store("memory:") as store:
        ...     sessions = Sessions(store)
        ...     session = sessions.get_or_create("ada", "plan")
        ...     _ = session.add_user_message("Hello")
        ...     _ = sessions.save(session)
        ...     sessions.list(user_id="ada").summaries[0].message_count
        1
    """

    def __init__(
        self,
        store: StateStore,
        *,
        conflicts: Conflicts = "detect",
        observers: Iterable[Observer] = (),
        retention: Retention | None = None,
    ) -> None:
        if conflicts not in {"detect", "last-writer-wins"}:
            raise ValueError(f"conflicts is 'detect' or 'last-writer-wins', not {conflicts!r}")
        self._detect = conflicts == "detect"
        powers = store.capabilities
        if self._detect and not (powers.conditional_put and powers.conditional_delete):
            raise UnsupportedError(
                "this store cannot compare and swap, or not delete on a condition, so what others "
                "save meanwhile would be lost; choose another store, or accept that with "
                "conflicts='last-writer-wins'",
                store=store,
            )
        self._store = store
        self._observers = tuple(observers)
        self._index = SummaryIndex(store)
        self._reported: dict[str, Version | None] = {}
        self._retention = retention
        self._background: BackgroundPruner | None = None
        if retention is not None:
            self._background = BackgroundPruner(
                store, retention, self._prune_in_background, self._prune_failed
            )

    def close(self, timeout: timedelta = _PATIENCE) -> None:
        """End background pruning; everything else goes on working.

        Args:
            timeout: How long to wait for a prune that runs; then it ends after the session that
                it is at.
        """
        if self._background and not self._background.close(timeout):
            _logger.warning("a prune of %s was cut short after %s", self._store, timeout)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def store(self) -> StateStore:
        """The store below."""
        return self._store

    @operation("session_id")
    def load(self, session_id: str, *, user_id: str | None = None) -> Session | None:
        """Read a session.

        Args:
            session_id: Which.
            user_id: If given, whom it must belong to.

        Returns:
            The session, or None if there is none. It remembers its version for `save`.

        Raises:
            OwnershipError: It belongs to another user.
            CorruptDataError: What lies there is not this session.
            InvalidKeyError: The id is not legal.
        """
        key = session_key(session_id)
        blob = self._store.get(key)
        return None if blob is None else self._decode(key, blob, user_id)

    @operation("session")
    def save(self, session: Session, *, overwrite: bool = False) -> Version:
        """Store a session, if it is still as it was loaded.

        Args:
            session: A new one must not exist yet; a loaded one must not have changed since.
            overwrite: Store it whatever is there, even a corrupt document; only another session
                (on a volume that takes two ids for one) is spared.

        Returns:
            The new version; the session remembers it.

        Raises:
            ConflictError: It was saved or deleted by someone else meanwhile, or a new session's
                id is taken; nothing was changed. See `update`.
            InvalidDocumentError: It holds something that cannot be stored; nothing was changed.
            InvalidKeyError: The id is not legal.
        """
        key = session_key(session.id)
        try:
            data = session.to_json()
        except InvalidDocumentError as error:
            raise InvalidDocumentError(error.message, key=key, store=self._store) from None
        if overwrite:
            expect: Expect = ANY
            created = not self._exists_for(key, session.id)
        else:
            seen = session.version
            created = seen is None
            expect = ABSENT if seen is None else seen
        if not self._detect and not (expect is ABSENT and self._store.capabilities.conditional_put):
            expect = ANY
        try:
            version = self._store.put(key, data, expect=expect)
        except ConflictError as error:
            self._notify(ConflictDetected, key)
            what = "exists already" if created else "was saved or deleted since it was loaded"
            raise ConflictError(
                f"the session {what}; load it again, or let update() do so",
                key=key,
                store=self._store,
            ) from error
        session.expect_version(version)
        self._notify(SessionSaved, session.id, session.user_id, version, created)
        if self._background:
            self._background.saved(session.id)
        return version

    @operation("session_id")
    def update(
        self,
        session_id: str,
        change: Callable[[Session], object],
        *,
        user_id: str | None = None,
        timeout: timedelta = _PATIENCE,
    ) -> Session:
        """Load, change and save, again and again until nobody came between.

        Args:
            session_id: Which.
            change: Changes the session in place; it may be called several times. What it returns
                does not matter.
            user_id: If given, whom it must belong to.
            timeout: How long to go on after conflicts.

        Returns:
            The session as stored.

        Raises:
            NotFoundError: There is no such session.
            ConflictError: Someone came between until the timeout; this change was not stored.
            OwnershipError, CorruptDataError, InvalidDocumentError, InvalidKeyError: As `load`
                and `save`.
        """

        def attempt() -> Session:
            session = self.load(session_id, user_id=user_id)
            if session is None:
                raise NotFoundError(
                    "no such session", key=session_key(session_id), store=self._store
                )
            result = apply(change, session)
            if isinstance(result, Session) and result is not session:
                raise TypeError("the change gave another session; change the given one in place")
            self.save(session)
            return session

        return retry_on_conflict(attempt, timeout, self._retry)

    @operation("session_id")
    def get_or_create(self, user_id: str, session_id: str | None = None) -> Session:
        """Give the session of that id, made and stored if there was none.

        Of several that race one creates it, and all get the same; where conflicts are not
        detected, only on a store that can create without replacing.

        Args:
            user_id: Whom it belongs to.
            session_id: Which; without one, a new session with a random id.

        Raises:
            OwnershipError: The id belongs to another user.
            CorruptDataError, InvalidKeyError: As `load`.
        """

        def attempt() -> Session:
            if session_id is not None:
                existing = self.load(session_id, user_id=user_id)
                if existing is not None:
                    return existing
            session = Session.new(user_id, session_id)
            self.save(session)
            return session

        return retry_on_conflict(attempt, _PATIENCE, self._retry)

    @operation("session_id")
    def delete(self, session_id: str, *, user_id: str | None = None, trash: bool = False) -> bool:
        """Delete a session.

        Args:
            session_id: Which.
            user_id: If given, whom it must belong to.
            trash: Leave a copy in the trash; see `restore`.

        Returns:
            Whether there was one.

        Raises:
            OwnershipError: It belongs to another user.
            CorruptDataError: What lies there is not this session; it is left alone.
            InvalidKeyError: The id is not legal.
        """
        key = session_key(session_id)

        def attempt() -> bool:
            blob = self._store.get(key)
            if blob is None:
                return False
            self._decode(key, blob, user_id)
            try:
                if trash:
                    discard(self._store, key, blob, self._delete, now=utc_now())
                else:
                    self._delete(key, blob.version)
            except ConflictError:
                self._notify(ConflictDetected, key)
                raise
            return True

        deleted = retry_on_conflict(attempt, _PATIENCE, self._retry)
        if deleted:
            self._notify(SessionDeleted, session_id, pruned=False, trashed=trash)
        return deleted

    @operation("session_id")
    def restore(self, session_id: str) -> Session:
        """Put back the copy of a session that came into the trash last.

        It keeps its `updated_at`, so a strategy that went by that chooses it again; pin it, or
        change it.

        Args:
            session_id: Which; or what `Trashed.stem` says.

        Returns:
            The session as stored.

        Raises:
            NotFoundError: There is no copy.
            ConflictError: There is a session of this id; nothing was changed.
            CorruptDataError: The copy is not this session; it stays in the trash.
            InvalidKeyError: The id is not legal.
        """
        session = restore(self._store, session_id)
        version = cast("Version", session.version)
        self._notify(SessionRestored, session.id, session.user_id, version)
        return session

    @operation()
    def list_trash(self) -> Sequence[Trashed]:
        """List what is in the trash, the newest first. Reads no sessions."""
        return list_trash(self._store)

    @operation()
    def empty_trash(self, *, older_than: timedelta = timedelta(0)) -> int:
        """Delete for good what is in the trash.

        Args:
            older_than: Only what has been there for so long.

        Returns:
            How many copies were deleted.
        """
        return empty_trash(self._store, older_than=older_than, now=utc_now())

    @operation()
    def list(
        self,
        *,
        user_id: str | None = None,
        project_id: str | None = None,
        active_seed_id: str | None = None,
        updated_before: datetime | None = None,
        updated_after: datetime | None = None,
        limit: int | None = None,
        cursor: str | None = None,
    ) -> Listing:
        """List sessions, newest `updated_at` first, ties by id.

        A session that is updated between two pages moves to the front and may be missed by the
        second. A document that should be a session and cannot be read is in `Listing.problems`,
        and logged once.

        Args:
            user_id: Only this user's.
            project_id: Only this project's.
            active_seed_id: Only those with this seed in work.
            updated_before: Only those updated before; aware.
            updated_after: Only those updated after; aware.
            limit: At most so many; None for all.
            cursor: Where the last page ended: its `Listing.cursor`.

        Returns:
            The page, the problems and the cursor of the next page.

        Raises:
            InvalidKeyError: The cursor is not one of a listing.
            ValueError: A time is naive, or the limit is not positive.
        """
        before = None if updated_before is None else to_microseconds(to_utc(updated_before))
        after = None if updated_after is None else to_microseconds(to_utc(updated_after))

        def keep(record: Record) -> bool:
            return (
                (user_id is None or record.user_id == user_id)
                and (project_id is None or record.project_id == project_id)
                and (active_seed_id is None or record.active_seed_id == active_seed_id)
                and (before is None or record.updated_at < before)
                and (after is None or record.updated_at > after)
            )

        return page(self._catalogue(), keep, limit=limit, cursor=cursor)

    @operation("session_id")
    def pin(self, session_id: str, until: datetime | None = None) -> Session:
        """Protect a session from pruning; `updated_at` stays.

        Args:
            session_id: Which.
            until: When the protection ends, aware; None for never.

        Returns:
            The session as stored.

        Raises:
            NotFoundError: There is no such session.
            ValueError: The time is naive.
        """
        pin = True if until is None else format_timestamp(until)
        return self.update(session_id, lambda session: session.metadata.update({PIN: pin}))

    @operation("session_id")
    def unpin(self, session_id: str) -> Session:
        """End the protection of `pin`; `updated_at` stays.

        Returns:
            The session as stored.

        Raises:
            NotFoundError: There is no such session.
        """
        return self.update(session_id, lambda session: session.metadata.pop(PIN, None))

    @operation()
    def plan_prune(
        self,
        strategy: PruningStrategy,
        *,
        now: datetime | None = None,
        protect: Iterable[str] = (),
        min_idle: timedelta = timedelta(0),
    ) -> PrunePlan:
        """Say what a prune would delete, and why. Changes nothing.

        Args:
            strategy: Decides; see `statekeep.load_pruner`.
            now: The present as the strategy shall see it, aware; by default this machine's.
            protect: Ids that it must not see, besides the pinned ones.
            min_idle: Sessions changed within this time it must not see either.

        Raises:
            PluginError: The strategy failed, or chose what it was not shown.
            ValueError: The present is naive, or the idle time negative.
        """
        present = utc_now() if now is None else to_utc(now)
        return make_plan(
            self._catalogue(times=True),
            strategy,
            store=str(self._store),
            now=present,
            protect=protect,
            min_idle=min_idle,
        )

    @operation()
    def prune(
        self,
        plan: PrunePlan | PruningStrategy,
        *,
        now: datetime | None = None,
        protect: Iterable[str] = (),
        min_idle: timedelta = timedelta(0),
        trash: timedelta | None = None,
        progress: Callable[[int], object] | None = None,
    ) -> PruneReport:
        """Delete what a plan names, each session only if it is still the one that was seen.

        Leftovers of killed writers that are older than an hour are removed as well.

        Args:
            plan: A plan, or a strategy to make one from.
            now: As in `plan_prune`; only together with a strategy.
            protect: As in `plan_prune`; only together with a strategy.
            min_idle: As in `plan_prune`; only together with a strategy.
            trash: Put the victims into the trash, and delete for good what has been there for so
                long; None to delete the victims at once and leave the trash alone.
            progress: Called after each victim with how many are done.

        Returns:
            What became of each victim; see `PruneReport`. A victim that could not be deleted is
            in it and raises nothing.

        Raises:
            PluginError: As `plan_prune`.
            ValueError: The plan was made for another store, or `trash` is negative.
        """
        if trash is not None and trash < timedelta(0):
            raise ValueError("trash must not be negative")
        if not isinstance(plan, PrunePlan):
            plan = self.plan_prune(plan, now=now, protect=protect, min_idle=min_idle)
        elif protect or min_idle or now:
            raise TypeError("now, protect and min_idle belong to plan_prune when a plan is given")
        elif plan.store != str(self._store):
            raise ValueError(f"the plan was made for {plan.store}, not for {self._store}")

        # The strategy's present may be any; the trash goes by the real one.
        return self._carry_out(plan, trash=trash, now=utc_now(), progress=progress)

    @operation()
    def _prune_in_background(
        self, *, now: datetime, protect: frozenset[str], stop: Callable[[], bool]
    ) -> PruneReport:
        retention = cast("Retention", self._retention)
        plan = self.plan_prune(
            retention.strategy,
            now=now,
            protect=retention.protect | protect,
            min_idle=retention.min_idle,
        )
        return self._carry_out(plan, trash=retention.trash, now=now, stop=stop)

    def _prune_failed(self, error: Exception) -> None:
        self._notify(PruneFailed, error)

    def _carry_out(
        self,
        plan: PrunePlan,
        *,
        trash: timedelta | None,
        now: datetime,
        progress: Callable[[int], object] | None = None,
        stop: Callable[[], bool] = lambda: False,
    ) -> PruneReport:
        def deleted(victim: PlannedVictim) -> None:
            session_id, trashed = victim.summary.id, trash is not None
            self._notify(SessionDeleted, session_id, pruned=True, trashed=trashed)

        def finished(report: PruneReport) -> None:
            self._notify(
                PruneFinished,
                pruned=len(report.pruned),
                spared=len(report.spared),
                unknown=len(report.unknown),
                failed=len(report.failed),
                swept=report.swept,
                emptied=report.emptied,
            )

        return carry_out(
            plan,
            self._store,
            self._delete,
            trash=trash,
            now=now,
            deleted=deleted,
            finished=finished,
            progress=progress,
            stop=stop,
        )

    def _catalogue(self, *, times: bool = False) -> Catalogue:
        catalogue = self._index.read(times=times)
        reported = self._reported
        self._reported = {problem.key: problem.version for problem in catalogue.problems}
        for problem in catalogue.problems:
            if problem.key not in reported or reported[problem.key] != problem.version:
                _logger.warning("%s on %s: %s", problem.key, self._store, problem.reason)
                self._notify(ProblemFound, problem.key, problem.reason)
        return catalogue

    def _decode(self, key: str, blob: Blob, user_id: str | None) -> Session:
        try:
            session = decode_session(key, blob)
        except CorruptDataError as error:
            raise CorruptDataError(
                f"{error.message}; it was left as it is", key=key, store=self._store
            ) from None
        if user_id is not None and session.user_id != user_id:
            raise OwnershipError(
                f"the session does not belong to {user_id!r}", key=key, store=self._store
            )
        return session

    def _exists_for(self, key: str, session_id: str) -> bool:
        blob = self._store.get(key)
        if blob is None:
            return False
        try:
            inner = Session.from_json(blob.data).id
        except CorruptDataError:
            return True  # garbage: replacing it is what overwriting is for
        if inner != session_id:
            raise CorruptDataError(
                f"it holds the session {inner[:80]!r}, which is not overwritten",
                key=key,
                store=self._store,
            )
        return True

    def _delete(self, key: str, version: Version) -> None:
        if self._detect or self._store.capabilities.conditional_delete:
            self._store.delete(key, expect=version)
            return
        blob = self._store.get(key)
        if blob is None or blob.version != version:
            raise ConflictError("it has changed since it was read", key=key, store=self._store)
        self._store.delete(key)

    def _retry(self, error: ConflictError, retry: int) -> None:
        self._notify(ConflictRetried, error.key, retry)

    def _notify(
        self, event: Callable[Concatenate[str, P], Event], *args: P.args, **kwargs: P.kwargs
    ) -> None:
        if self._observers:
            notify(self._observers, event(str(self._store), *args, **kwargs))
