"""Sessions over any store: versions, conflicts, owners, listings and pruning."""

from __future__ import annotations

import logging
import time
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Literal, Self, TypeVar, cast, overload

from statekeep._arguments import checked
from statekeep.errors import ConflictError
from statekeep.format.session import AgentResponse, Session, UserMessage, keep_messages
from statekeep.format.summary import EXPIRES, PIN, SessionSummary
from statekeep.heads.collection import SESSION_HEADS
from statekeep.heads.pages import Listing, page
from statekeep.heads.queries import heads_of
from statekeep.observe.emitter import Emitter
from statekeep.observe.events import (
    ConflictDetected,
    ConflictRetried,
    Observer,
    SessionDeleted,
    SessionRestored,
    SessionSaved,
)
from statekeep.retention.background import BackgroundPruner
from statekeep.retention.pruner import Pruner, purging
from statekeep.retention.trash import Trashed, is_of_session, list_trash
from statekeep.retention.types import PrunePlan, PruneRequest
from statekeep.sessions.repository import Added, Form, SessionRepository
from statekeep.sessions.turns import no_such_session
from statekeep.store.query import Filter, Order
from statekeep.store.retrying import apply, retry_on_conflict
from statekeep.store.transfer import ConflictPolicy, Transfer, refuse_unconditional
from statekeep.timestamps import format_timestamp, to_utc, utc_now

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from types import TracebackType

    from statekeep.config.settings import Settings
    from statekeep.format.json import RepairText
    from statekeep.retention.copies import Copy
    from statekeep.retention.types import PruneReport, PruningStrategy, Retention
    from statekeep.store.protocol import StateStore, Version

__all__ = ["Sessions"]

T = TypeVar("T")

_logger = logging.getLogger(__name__)

_TIMEOUT = timedelta(seconds=30)


class Sessions:
    """The sessions of a store.

    Safe to use from several threads. Closing it does not close a store that was passed to it; only
    `open` opens a store that it also closes.

    Args:
        store: The store that holds them.
        form: How new sessions are stored: ``"document"``, whole, as the original reads them; or
            ``"journal"``, so that adding a turn costs the same however long the session is.
            Existing sessions keep their form; see `convert`.
        conflicts: ``"detect"`` (never overwrite unseen changes) or ``"last-writer-wins"``, the
            only choice on a store without conditional writes.
        observers: Functions called with each event, after the fact, in the thread in which it
            happens.
        retention: Makes saves trigger pruning in the background; without it, nothing is pruned
            unless asked. With it, close the sessions or use them as a context manager.
        journal_retention: How the journals of each collection are pruned, by the collection's
            name, independently of each other; saves of sessions trigger this too. None for a
            collection that is pruned only on request. No other prune empties such a collection's
            trash.

    Raises:
        UnsupportedError: Conflicts are to be detected, and the store cannot detect them.
        ClosedError: Raised by every method after `close`.

    Examples:
        >>> from statekeep import Sessions, open_store
        >>> with open_store("memory:") as store:
        ...     sessions = Sessions(store)
        ...     session = sessions.get_or_create("ada", "plan")
        ...     _ = session.add_user_message("Hello")
        ...     _ = sessions.save(session)
        ...     sessions.list(user_id="ada").summaries[0].message_count
        1
    """

    @checked
    def __init__(
        self,
        store: StateStore,
        *,
        form: Form = "document",
        conflicts: ConflictPolicy = "detect",
        observers: Iterable[Observer] = (),
        retention: Retention | None = None,
        journal_retention: Mapping[str, Retention | None] | None = None,
    ) -> None:
        refuse_unconditional(store, conflicts)
        apart = {**(journal_retention or {})}
        if retention is not None and (twice := sorted(retention.collections & apart.keys())):
            raise ValueError(f"retention and journal_retention both prune {twice[0]!r}")
        self._store = store
        self._owns_store = False
        self._emitter = Emitter(store, observers, "Sessions")
        self._transfer = Transfer(store, conflicts)
        self._repository = SessionRepository(self._transfer, form)
        self._heads = heads_of(store, SESSION_HEADS, self._emitter)
        self._purges = purging(None, apart)
        self._pruner = Pruner([self._heads], self._transfer, self._emitter, self._purges)
        self._background: BackgroundPruner | None = None
        if retention is not None:
            self._background = BackgroundPruner(
                retention, self._transfer, self._pruner_of(retention), self._emitter
            )
        self._of_journals = [
            self._background_of(name, each, purging(name, apart))
            for name, each in apart.items()
            if each is not None
        ]

    @classmethod
    def open(cls, config: str | os.PathLike[str] | Settings | None = None) -> Self:
        """Open what the deployment configured; use it as a context manager, or close it.

        It makes no connection and creates nothing before the first use.

        Args:
            config: Settings, or a store to use instead of the configured one: a folder or a URL.
                By default, what the environment and the configuration files say.

        Raises:
            ConfigError, PluginError: As in `statekeep.open_store`.
            UnsupportedError: The store cannot detect conflicts, and the configuration does not
                choose ``last-writer-wins``.

        Examples:
            >>> sessions = Sessions.open("memory:")
            >>> sessions.get_or_create("ada", "plan").id
            'plan'
            >>> sessions.close()
        """
        from statekeep.config import opening  # noqa: PLC0415 - it is a higher layer

        settings = opening.settings_for(config)
        store, chosen = opening.open_configured(settings)
        try:
            sessions = cls(store, form=settings.form, **chosen)
        except BaseException:
            store.close()
            raise
        sessions._owns_store = True
        return sessions

    @checked
    def close(self, timeout: timedelta = _TIMEOUT) -> None:
        """Stop background pruning, and close the store if `open` opened it.

        Closing twice is fine. After it, every other method raises `ClosedError`.

        Args:
            timeout: How long to wait for a running prune; after that, it stops once it has
                finished the current session.
        """
        deadline = time.monotonic() + timeout.total_seconds()
        for each in filter(None, [self._background, *self._of_journals]):
            left = timedelta(seconds=max(0.0, deadline - time.monotonic()))
            if not each.close(left):
                _logger.warning("a prune of %s was cut short after %s", self._store, timeout)
        self._emitter.close()
        if self._owns_store:
            self._store.close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._store})"

    def __enter__(self) -> Self:
        self._emitter.refuse_closed("__enter__")
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
        """The underlying store."""
        return self._store

    @overload
    def load(
        self,
        session_id: str,
        *,
        user_id: str | None = None,
        required: Literal[True],
        repair_text: RepairText = "refuse",
    ) -> Session: ...
    @overload
    def load(
        self,
        session_id: str,
        *,
        user_id: str | None = None,
        required: bool = False,
        repair_text: RepairText = "refuse",
    ) -> Session | None: ...
    @checked
    def load(
        self,
        session_id: str,
        *,
        user_id: str | None = None,
        required: bool = False,
        repair_text: RepairText = "refuse",
    ) -> Session | None:
        """Read a session.

        Args:
            session_id: The session's id.
            user_id: If given, the user who must own it.
            required: Raise an error if there is no such session.
            repair_text: ``"replace"`` to read U+FFFD in place of text that another program wrote
                and UTF-8 cannot hold.

        Returns:
            The session, or None if it does not exist. It remembers its version for `save`.

        Raises:
            NotFoundError: It does not exist, and `required` is true.
            OwnershipError: It belongs to another user.
            CorruptDataError: What is stored there is not this session.
            UnsupportedError: A newer version of statekeep wrote it.
            InvalidKeyError: The id is not legal.
        """
        with self._emitter.operation("load", session_id):
            session = self._repository.load(session_id, user_id, repair_text)
            if session is None and required:
                raise no_such_session(session_id, self._store)
            return session

    @checked
    def save(self, session: Session, *, overwrite: bool = False) -> Version:
        """Store a session if the stored one has not changed since it was loaded.

        Args:
            session: The session to store. A new one must not exist yet; a loaded one must not
                have changed since.
            overwrite: Replace whatever is there, even a corrupt document, but never a different
                session (on a volume that does not distinguish two ids).

        Returns:
            The new version; the session remembers it.

        Raises:
            ConflictError: Someone else saved or deleted it, or a new session's id is taken;
                nothing was changed, unless `landed` is ``"unknown"``. See `update`.
            UnsupportedError: A newer version of statekeep wrote what is there.
            InvalidDocumentError: It holds something that cannot be stored; nothing was changed.
            InvalidKeyError: The id is not legal.
        """
        with self._emitter.operation("save", session.id):
            version, created = self._telling(
                lambda: self._repository.save(session, overwrite=overwrite)
            )
            self._saved(session.id, session.user_id, version, created=created)
            return version

    @checked
    def append(self, session: Session) -> Version:
        """Store messages added to a session, and changes to anything but its messages.

        Like `save`, except that it never changes a stored message. `save` also writes only what
        was added where it can, and otherwise replaces everything.

        Args:
            session: A new session, or one that has not changed in the store since it was loaded.

        Returns:
            The new version; the session remembers it.

        Raises:
            ValueError: A stored message was changed or removed; nothing was changed.
            ConflictError, UnsupportedError, InvalidDocumentError, InvalidKeyError: As in `save`.
        """
        with self._emitter.operation("append", session.id):
            version, created = self._telling(
                lambda: self._repository.save(session, overwrite=False, append=True)
            )
            self._saved(session.id, session.user_id, version, created=created)
            return version

    @checked
    def add_turn(
        self,
        session_id: str,
        *,
        user: Iterable[str | UserMessage] = (),
        agent: Iterable[str | AgentResponse] = (),
        user_id: str | None = None,
        key: str | None = None,
        timeout: timedelta = _TIMEOUT,
    ) -> SessionSummary:
        """Add messages to a session, without loading it if it is stored as a journal.

        Args:
            session_id: The session's id.
            user: What the user said: texts or messages.
            agent: What the agent then answered: texts or messages.
            user_id: The user who must own it; a missing session is created for this user.
            key: Idempotency key: what was added under a key is not added again. Journals only.
            timeout: How long to keep retrying after conflicts.

        Returns:
            The updated session's summary, as a listing shows it.

        Raises:
            NotFoundError: There is no such session, and no user to create it for.
            OwnershipError: It belongs to another user.
            UnsupportedError: A key is given, and the session is stored whole.
            ConflictError: Others kept writing until the timeout, and nothing was added; or, if
                `landed` is ``"unknown"``, the response was lost and someone else wrote since.
            InvalidDocumentError: Something cannot be stored.

        Examples:
            >>> from statekeep import Sessions, open_store
            >>> sessions = Sessions(open_store("memory:"), form="journal")
            >>> _ = sessions.add_turn("plan", user=["Hello"], agent=["Hi"], user_id="ada")
            >>> [message.content for message in sessions.tail("plan", last=1)]
            ['Hi']
        """
        now = utc_now()
        said: list[UserMessage | AgentResponse] = [
            UserMessage(content=each, timestamp=now) if isinstance(each, str) else each
            for each in user
        ]
        said += [
            AgentResponse(content=each, timestamp=now) if isinstance(each, str) else each
            for each in agent
        ]

        def attempt() -> Added:
            return self._telling(lambda: self._repository.add_turn(session_id, said, user_id, key))

        with self._emitter.operation("add_turn", session_id):
            added = retry_on_conflict(attempt, timeout, self._retry, at_most_once=True)
            if added.version is not None:
                self._saved(session_id, added.summary.user_id, added.version, created=added.created)
            return added.summary

    @checked
    def tail(
        self, session_id: str, *, last: int = 20, user_id: str | None = None
    ) -> Sequence[UserMessage | AgentResponse] | None:
        """Read the last messages of a session; from a journal, it reads no others.

        Args:
            session_id: The session's id.
            last: How many messages to read.
            user_id: If given, the user who must own it.

        Returns:
            The messages, oldest first; None if there is no such session.

        Raises:
            OwnershipError, CorruptDataError, UnsupportedError, InvalidKeyError: As in `load`.
            ValueError: `last` is negative.
        """
        if last < 0:
            raise ValueError(f"last must be at least 0, not {last}")
        with self._emitter.operation("tail", session_id):
            wanted = slice(-last, None) if last else slice(0)
            part = self._repository.part(session_id, user_id, wanted)
            return None if part is None else part.messages

    @checked
    def rewind(self, session_id: str, *, messages: int, user_id: str | None = None) -> Session:
        """Remove messages from the end of a session.

        Args:
            session_id: The session's id.
            messages: How many messages to keep, from the start.
            user_id: If given, the user who must own it.

        Returns:
            The session as stored.

        Raises:
            NotFoundError: There is no such session.
            ConflictError: As in `update`.
            ValueError: The number is negative.
            OwnershipError, CorruptDataError, InvalidKeyError: As in `load` and `save`.
        """
        if messages < 0:
            raise ValueError(f"messages must be at least 0, not {messages}")

        with self._emitter.operation("rewind", session_id):
            return self.update(
                session_id, lambda session: keep_messages(session, messages), user_id=user_id
            )

    @checked
    def convert(self, session_id: str, form: Form) -> bool:
        """Store a session in the other form; it remains the same session.

        The original cannot read a session that is stored as a journal, and would destroy it by
        saving it.

        Args:
            session_id: The session's id.
            form: ``"document"`` or ``"journal"``.

        Returns:
            Whether its form changed.

        Raises:
            NotFoundError: There is no such session.
            ConflictError: Others kept writing for 30 seconds; nothing was changed.
            InvalidDocumentError: It holds something that cannot be stored in that form.
            CorruptDataError, UnsupportedError, InvalidKeyError: As in `load`.
        """

        def attempt() -> Session | None:
            return self._telling(lambda: self._repository.convert(session_id, form))

        with self._emitter.operation("convert", session_id):
            session = retry_on_conflict(attempt, _TIMEOUT, self._retry)
            if session is None:
                return False
            version = cast("Version", session.version)
            self._saved(session_id, session.user_id, version, created=False)
            return True

    @checked
    def update(
        self,
        session_id: str,
        change: Callable[[Session], object],
        *,
        user_id: str | None = None,
        timeout: timedelta = _TIMEOUT,
    ) -> Session:
        """Load, change and save a session, retrying as long as others write in between.

        Unlike with `Documents.update`, the function changes its argument in place: a session is
        an object that remembers its version.

        Args:
            session_id: The session's id.
            change: Changes the session in place. It may be called several times, and its return
                value is ignored.
            user_id: If given, the user who must own it.
            timeout: How long to keep retrying after conflicts.

        Returns:
            The session as stored.

        Raises:
            NotFoundError: There is no such session.
            ConflictError: Others kept writing until the timeout, and this change was not stored;
                or, if `landed` is ``"unknown"``, the response was lost and someone else wrote
                since. It is never stored twice.
            OwnershipError, CorruptDataError, InvalidDocumentError, InvalidKeyError: As in `load`
                and `save`.
        """
        with self._emitter.operation("update", session_id):
            return self._updated(session_id, change, user_id, timeout, at_most_once=True)

    @checked
    def get_or_create(self, user_id: str, session_id: str | None = None) -> Session:
        """Load a session, or create and store it if it does not exist.

        If several callers race, one creates it and all get the same session. With
        last-writer-wins, this requires a store that can create without replacing.

        Args:
            user_id: The user who owns it.
            session_id: The session's id; without one, a new session gets a random id.

        Raises:
            OwnershipError: The id belongs to another user.
            CorruptDataError, InvalidKeyError: As in `load`.
        """

        def attempt() -> Session:
            if session_id is not None:
                existing = self.load(session_id, user_id=user_id)
                if existing is not None:
                    return existing
            session = Session.new(user_id, session_id)
            self.save(session)
            return session

        with self._emitter.operation("get_or_create", session_id):
            return retry_on_conflict(attempt, _TIMEOUT, self._retry)

    @checked
    def delete(self, session_id: str, *, user_id: str | None = None, trash: bool = False) -> bool:
        """Delete a session.

        Args:
            session_id: The session's id.
            user_id: If given, the user who must own it.
            trash: Put a copy into the trash; see `restore`.

        Returns:
            Whether it existed.

        Raises:
            OwnershipError: It belongs to another user.
            CorruptDataError: What is stored there is not this session; it is left alone.
            InvalidKeyError: The id is not legal.
        """

        def attempt() -> bool:
            return self._telling(lambda: self._repository.delete(session_id, user_id, trash=trash))

        with self._emitter.operation("delete", session_id):
            deleted = retry_on_conflict(attempt, _TIMEOUT, self._retry)
            if deleted:
                self._emitter.emit(SessionDeleted, session_id, pruned=False, trashed=trash)
            return deleted

    @checked
    def restore(self, session_id: str, *, copy: str | None = None) -> Session:
        """Restore the newest state of a session from the trash.

        The newest state is the one with the greatest `updated_at`, whatever came into the trash
        last. The session keeps its `updated_at`, so a strategy that uses it chooses the session
        again; pin it, or change it. Its metadata records that it was restored
        (``statekeep.restored``). The copy is removed if it has been in the trash for an hour;
        otherwise it stays until the trash is emptied.

        Args:
            session_id: The session's id, or `Trashed.stem`.
            copy: The `Trashed.key` of the copy to restore instead.

        Returns:
            The session as stored.

        Raises:
            NotFoundError: There is no copy.
            ConflictError: A session with this id exists; nothing was changed.
            CorruptDataError: The copy is not this session; it stays in the trash.
            InvalidKeyError: The id is not legal.
        """
        with self._emitter.operation("restore", session_id):
            session = self._repository.restore(session_id, copy)
            version = cast("Version", session.version)
            self._emitter.emit(SessionRestored, session.id, session.user_id, version)
            return session

    @checked
    def list_trash(self, *, user_id: str | None = None) -> Sequence[Trashed]:
        """List the sessions in the trash, newest first. Reads every copy.

        Args:
            user_id: Only those of this user; copies that cannot be read belong to no user.
        """
        with self._emitter.operation("list_trash"):
            return list_trash(self._store, is_of_session, user_id)

    @checked
    def empty_trash(
        self, *, older_than: timedelta = timedelta(0), user_id: str | None = None
    ) -> int:
        """Delete the sessions in the trash permanently.

        Args:
            older_than: Only what has been there at least this long, by the store's clock.
            user_id: Only what belongs to this user, for which every copy must be read.

        Returns:
            How many copies were deleted.
        """
        with self._emitter.operation("empty_trash"):
            return self._pruner.empty_trash(older_than, is_of_session, user_id)

    @checked
    def list(
        self,
        *,
        user_id: str | None = None,
        project_id: str | None = None,
        active_seed_id: str | None = None,
        last_phase: str | None = None,
        title: str | None = None,
        updated_before: datetime | None = None,
        updated_after: datetime | None = None,
        created_before: datetime | None = None,
        created_after: datetime | None = None,
        order: Order = "updated",
        limit: int | None = None,
        cursor: str | None = None,
    ) -> Listing[SessionSummary]:
        """List sessions, by default newest `updated_at` first, ties by id.

        A session that is updated between two pages moves to the front, and the second page may
        miss it. A document that should be a session and cannot be read is in `Listing.problems`,
        and logged once.

        Args:
            user_id: Only those of this user.
            project_id: Only those of this project.
            active_seed_id: Only those whose active seed is this one.
            last_phase: Only those where this is the last phase that a response reached.
            title: Only those with this title, the metadata value ``title``.
            updated_before: Only those updated before this time; time-zone aware.
            updated_after: Only those updated after this time; time-zone aware.
            created_before: Only those created before this time; time-zone aware.
            created_after: Only those created after this time; time-zone aware.
            order: ``"created"`` for newest `created_at` first, ``"size"`` for largest first.
            limit: Maximum number of sessions; None for all.
            cursor: The `Listing.cursor` of the previous page.

        Returns:
            The page, the problems and the cursor of the next page.

        Raises:
            InvalidKeyError: The cursor does not come from a listing in this order.
            ValueError: A time is naive, or the limit is not positive.
        """
        wanted = Filter(
            user_id=user_id,
            project_id=project_id,
            active_seed_id=active_seed_id,
            last_phase=last_phase,
            title=title,
            updated_before=updated_before,
            updated_after=updated_after,
            created_before=created_before,
            created_after=created_after,
        )
        with self._emitter.operation("list"):
            return page(
                [self._heads], wanted, SessionSummary, order=order, limit=limit, cursor=cursor
            )

    @checked
    def count(
        self,
        *,
        user_id: str | None = None,
        project_id: str | None = None,
        active_seed_id: str | None = None,
        last_phase: str | None = None,
        title: str | None = None,
        updated_before: datetime | None = None,
        updated_after: datetime | None = None,
        created_before: datetime | None = None,
        created_after: datetime | None = None,
    ) -> int:
        """Count the sessions that `list` would return with these filters.

        Raises:
            ValueError: A time is naive.
        """
        wanted = Filter(
            user_id=user_id,
            project_id=project_id,
            active_seed_id=active_seed_id,
            last_phase=last_phase,
            title=title,
            updated_before=updated_before,
            updated_after=updated_after,
            created_before=created_before,
            created_after=created_after,
        )
        with self._emitter.operation("count"):
            return self._heads.count(wanted, None)

    @checked
    def pin(self, session_id: str, until: datetime | None = None) -> Session:
        """Protect a session from pruning, without changing `updated_at`.

        Args:
            session_id: The session's id.
            until: When the protection ends, time-zone aware; None for never.

        Returns:
            The session as stored.

        Raises:
            NotFoundError: There is no such session.
            ConflictError: Others kept writing for 30 seconds; nothing was changed.
            ValueError: The time is naive.
        """
        pin = True if until is None else format_timestamp(until)
        with self._emitter.operation("pin", session_id):
            return self._repeatedly(session_id, lambda session: session.metadata.update({PIN: pin}))

    @checked
    def unpin(self, session_id: str) -> Session:
        """End the protection of `pin`, without changing `updated_at`.

        Returns:
            The session as stored.

        Raises:
            NotFoundError: There is no such session.
            ConflictError: Others kept writing for 30 seconds; nothing was changed.
        """
        with self._emitter.operation("unpin", session_id):
            return self._repeatedly(session_id, lambda session: session.metadata.pop(PIN, None))

    @checked
    def expire(self, session_id: str, at: datetime | None) -> Session:
        """Set when the strategy ``expired`` may delete a session, without changing `updated_at`.

        Args:
            session_id: The session's id.
            at: The time, time-zone aware; None for never.

        Returns:
            The session as stored.

        Raises:
            NotFoundError: There is no such session.
            ConflictError: Others kept writing for 30 seconds; nothing was changed.
            ValueError: The time is naive.
        """

        def change(session: Session) -> None:
            if at is None:
                session.metadata.pop(EXPIRES, None)
            else:
                session.metadata[EXPIRES] = format_timestamp(at)

        with self._emitter.operation("expire", session_id):
            return self._repeatedly(session_id, change)

    @checked
    def plan_prune(
        self,
        strategy: PruningStrategy,
        *,
        now: datetime | None = None,
        protect: Iterable[str] = (),
        min_idle: timedelta = timedelta(0),
    ) -> PrunePlan:
        """Return what a prune would delete, and why. Changes nothing.

        Args:
            strategy: Chooses the sessions; see `statekeep.load_pruner`.
            now: The current time for the strategy, time-zone aware; by default this machine's.
            protect: Ids to hide from the strategy, besides those of pinned sessions.
            min_idle: Also hide sessions that changed less than this long ago.

        Raises:
            PluginError: The strategy failed, or chose something it was not shown.
            ValueError: `now` is naive, or `min_idle` is negative.
        """
        present = utc_now() if now is None else to_utc(now)
        request = PruneRequest(strategy, frozenset(protect), min_idle)
        with self._emitter.operation("plan_prune"):
            return self._pruner.plan(request, now=present)

    @checked
    def prune(
        self,
        plan: PrunePlan | PruningStrategy,
        *,
        now: datetime | None = None,
        protect: Iterable[str] = (),
        min_idle: timedelta = timedelta(0),
        trash: timedelta | None = None,
        trust_clock: bool = False,
        progress: Callable[[int], object] | None = None,
    ) -> PruneReport:
        """Delete what a plan names, each session only if it is still the one that was seen.

        The store's clock decides: a prune writes a stamp, takes the date that the store gave it as
        the current time, and plans again if the plan's time is off by more than a minute. A plan
        passed in can only shrink: victims that are not chosen again are skipped. This changes
        nothing where the store has this machine's clock (memory, disk) or none (plain fsspec).

        It also sweeps, as `Journals.sweep` does, and removes leftovers of killed writers that are
        older than an hour.

        Args:
            plan: A plan, or a strategy to make one with.
            now: As in `plan_prune`; only with a strategy and `trust_clock`.
            protect: As in `plan_prune`; only with a strategy.
            min_idle: As in `plan_prune`; only with a strategy.
            trash: Move the victims to the trash, and permanently delete what has been there for
                this long plus a day; None to delete the victims at once and leave the trash alone.
            trust_clock: Use the plan's time, whatever the store's clock says.
            progress: Called after each victim with the number done so far.

        Returns:
            What became of each victim; see `PruneReport`. A victim that could not be deleted is
            reported there and does not raise.

        Raises:
            PluginError: As in `plan_prune`.
            ValueError: The plan was made for another store, `trash` is negative, or `now` is given
                without `trust_clock`.
        """
        if now is not None and not trust_clock:
            raise ValueError(
                "a prune uses the store's clock; pass now= to plan_prune, or also trust_clock=True"
            )
        ours = not isinstance(plan, PrunePlan)
        with self._emitter.operation("prune"):
            if not isinstance(plan, PrunePlan):
                plan = self.plan_prune(plan, now=now, protect=protect, min_idle=min_idle)
            elif protect or min_idle or now:
                raise TypeError(
                    "now, protect and min_idle belong to plan_prune when a plan is given"
                )
            return self._pruner.prune(
                plan, ours=ours, trust_clock=trust_clock, trash=trash, progress=progress
            )

    def _repeatedly(self, session_id: str, change: Callable[[Session], object]) -> Session:
        """Make a change that has the same result however often it is made."""
        return self._updated(session_id, change, None, _TIMEOUT, at_most_once=False)

    def _updated(
        self,
        session_id: str,
        change: Callable[[Session], object],
        user_id: str | None,
        timeout: timedelta,
        *,
        at_most_once: bool,
    ) -> Session:
        def attempt() -> Session:
            session = self.load(session_id, user_id=user_id, required=True)
            result = apply(change, session)
            if isinstance(result, Session) and result is not session:
                raise TypeError(
                    "the change returned another session; change the given one in place"
                )
            self.save(session)
            return session

        return retry_on_conflict(attempt, timeout, self._retry, at_most_once=at_most_once)

    def _pruner_of(self, retention: Retention) -> Pruner:
        if not retention.collections:
            return self._pruner
        from statekeep.heads.journals import journal_indexes  # noqa: PLC0415 - rarely needed

        journals = journal_indexes(self._store, retention.collections, self._emitter)
        return Pruner([self._heads, *journals], self._transfer, self._emitter, self._purges)

    def _background_of(
        self, collection: str, retention: Retention, purges: Callable[[Copy], bool]
    ) -> BackgroundPruner:
        from statekeep.heads.journals import journal_indexes  # noqa: PLC0415 - rarely needed

        indexes = journal_indexes(self._store, {collection} | retention.collections, self._emitter)
        pruner = Pruner(indexes, self._transfer, self._emitter, purges)
        return BackgroundPruner(retention, self._transfer, pruner, self._emitter, collection)

    def _telling(self, work: Callable[[], T]) -> T:
        """Run some work, and tell observers if it meets a conflict."""
        try:
            return work()
        except ConflictError as error:
            self._emitter.emit(ConflictDetected, error.key)
            raise

    def _saved(self, session_id: str, user_id: str, version: Version, *, created: bool) -> None:
        self._emitter.emit(SessionSaved, session_id, user_id, version, created)
        if self._background:
            self._background.saved(session_id)
        for each in self._of_journals:
            each.saved(session_id)

    def _retry(self, error: ConflictError, retry: int) -> None:
        self._emitter.emit(ConflictRetried, error.key, retry)
